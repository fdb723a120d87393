"""Reads the few facts of a JSON body that policies speak of, or says why it will not.

What is read here must be what the upstream reads. JSON that two parsers may read differently
(duplicate keys, NaN, trailing data, another character set) is ambiguous, and the call in doubt.
"""

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from broker.quick import quick
from interlock.model import Request

MOST_TOKENS = 2**53
LONGEST_NAME = 256
MOST_TOOLS = 1024
_LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
MOST_BYTES = 16 << 20
# Values are what takes time and memory, not characters. Commas in texts are counted too.
MOST_VALUES = 500_000
# Up to this size a body that was read is kept until the next one is.
SHORT_BODY = 64 << 10


JSON = "application/json"
# The one media type, with no parameter but the one charset that JSON has (RFC 8259, 8.1).
_JSON = re.compile(r'\s*application/json\s*(;\s*charset\s*=\s*"?utf-8"?\s*)?', re.IGNORECASE)


@quick
@dataclass(frozen=True, slots=True)
class Facts:
    """What policies may know of a model call."""

    model: str = ""
    stream: bool = False
    tools: tuple[str, ...] = ()
    max_tokens: int = 0


def read_facts(request: Request) -> Facts:
    """Read the body of a model call; raises ValueError that says what is ambiguous about it."""
    data = read_object(request)
    return Facts(
        model=plain_name(typed(data, "model", str, "")),
        stream=typed(data, "stream", bool, False),
        tools=names_of(typed(data, "tools", list, [])),
        max_tokens=max_tokens_of(data),
    )


def read_object(request: Request) -> dict[str, Any]:
    """Read a body that is one JSON object; raises ValueError."""
    data = read_json(request)
    if not isinstance(data, dict):
        raise ValueError("the body must be a JSON object")
    return data


def read_json(request: Request) -> Any:
    """Read a body that says that it is JSON; raises ValueError."""
    if request.content_encoding not in ("", "identity"):
        raise ValueError(f"the body is encoded as {request.content_encoding[:40]!r}")
    if request.content_type != JSON and not _JSON.fullmatch(request.content_type):
        raise ValueError("the body of such a call must be application/json, in UTF-8")
    if len(request.body) > MOST_BYTES:
        raise ValueError(f"the body is larger than {MOST_BYTES >> 20} MiB")
    return parse_request(request.body)


def parse_request(body: bytes) -> Any:
    """Parse the body of a request as `parse_json` does, a short one that was the last one once.

    Nobody may change what it answers.
    """
    return _parsed_last(body) if len(body) <= SHORT_BODY else parse_json(body)


def parse_json(body: bytes) -> Any:
    """Parse JSON that every parser reads the same way (RFC 8259, 4); raises ValueError."""
    if len(body) > MOST_VALUES and sum(map(body.count, (b",", b"[", b"{"))) > MOST_VALUES:
        raise ValueError(f"the body holds more than {MOST_VALUES} values")
    try:
        return _strict.decode(body.decode("utf-8"))
    except UnicodeDecodeError:
        raise ValueError("the body is not UTF-8") from None
    except RecursionError:
        raise ValueError("the body is nested too deeply") from None
    except json.JSONDecodeError as e:
        raise ValueError(f"the body is not JSON: {e.msg} at character {e.pos}") from None


# The last body is looked at more than once: for what policies know, and for the ledger.
_parsed_last = lru_cache(1)(parse_json)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a key that stands twice, also for parsers to which case makes no difference."""
    found = dict(pairs)
    if len({*map(str.casefold, found)}) != len(pairs):
        raise ValueError("a key stands twice in one object of the body")
    return found


def _no_constant(name: str) -> None:
    raise ValueError(f"the body holds {name}, which is not JSON")


_strict = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)


def plain_name(text: str, longest: int = LONGEST_NAME) -> str:
    """A name that can stand in a policy, a log line and the ledger."""
    if len(text) > longest or not text.isprintable():
        raise ValueError(f"a name in the body is not {longest} printable characters")
    return text


def typed[T](data: dict[str, Any], key: str, kind: type[T], default: T) -> T:
    value = data.get(key)
    if value is None:
        return default
    if type(value) is not kind:
        raise ValueError(f"{key!r} in the body must be a {kind.__name__}")
    return value


def max_tokens_of(data: dict[str, Any]) -> int:
    given = [typed(data, key, int, 0) for key in _LIMITS if key in data]
    if not given:
        return 0
    if not 0 <= min(given) <= max(given) < MOST_TOKENS:
        raise ValueError("the limit of tokens in the body is out of range")
    return max(given)


def names_of(tools: list[Any]) -> tuple[str, ...]:
    """Names of the tools that the model is offered (OpenAI nests them under `function`)."""
    if not tools:
        return ()
    names: set[str] = set()
    if len(tools) > MOST_TOOLS:
        raise ValueError(f"more than {MOST_TOOLS} tools in the body")
    for tool in tools:
        if not isinstance(tool, dict):
            raise ValueError("'tools' in the body must hold objects")
        inner = tool.get("function")
        name = (inner if isinstance(inner, dict) else tool).get("name") or tool.get("type")
        if isinstance(name, str):
            names.add(plain_name(name))
    return tuple(sorted(names))
