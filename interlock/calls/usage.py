"""Reads what a model's answer used, as it streams by: tokens, and what they cost.

The APIs write a `usage` object: OpenAI at the top of a body, of the last chunk of a stream, or
inside the `response` of an event; Anthropic at the top of a body, inside the `message` of the
first event of a stream, and at the top of a later one that repeats the counts, grown; Google calls
it `usageMetadata` and repeats it in every chunk. What a stream
wrote after it last said so, or without saying, is estimated: leaving usage out dodges no limit.
"""

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from interlock.calls.body import MOST_TOKENS
from interlock.calls.called import Called, may_call
from interlock.calls.written import CHARACTERS_A_TOKEN, LONGEST_EVENT, Written

# Of a longer body, or line of a stream, the end is kept: `usage` follows the content.
MOST_BYTES = 2**20
KEPT_BYTES = MOST_BYTES // 2
LONGEST_MODEL = 128
_VERSION = re.compile(r"-(?:latest|\d{4}|\d{8}|\d{4}-\d{2}-\d{2})$")
_KEY = b'"usage"'
_EVENT = b"data:"
_DECODER = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class Usage:
    """What one answer used. `cost_usd` is None for a model without a known price.

    `estimated`: the answer did not say it all, so that some of it was worked out here.
    """

    model: str
    tokens_in: int
    tokens_out: int
    cost_usd: float | None
    estimated: bool = False


class UsageReader:
    """Reads one answer, a plain JSON body or a stream of events, in chunks of any size.

    Never raises. Keeps 1 MiB and one chunk at most, and looks at each byte a few times only.
    """

    def __init__(self, service: str, model: str, asked_bytes: int = 0) -> None:
        """`service` is the catalogue's name of the API, `model` the one that was asked for.

        `asked_bytes` is the size of the request's body, for an answer that does not say.
        """
        self._known = bool(model) or service in _prices()
        self._service = service
        self._model = model
        self._tokens: dict[str, int] = {}  # by what they are charged as, without what is 0
        self._text = _Text()
        self._asked = asked_bytes
        self._written = Written()
        self._streamed: bool | None = None
        self.called = Called()

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the answer, with any content encoding undone."""
        if not self._known:
            return
        if self._streamed is None:
            chunk = chunk.lstrip(b"\xef\xbb\xbf \t\r\n")
            if not chunk:
                return
            self._streamed = not chunk.startswith((b"{", b"["))
        if not self._streamed:
            self._text.add(chunk)
            return
        if chunk.find(b"\r") >= 0:
            chunk = chunk.replace(b"\r", b"\n")
        if self._text:
            first, ended, chunk = chunk.partition(b"\n")
            self._text.add(first)
            if not ended:
                return
            self._end_line()
        lines, ended, begun = chunk.rpartition(b"\n")
        if ended:
            self._read_lines(lines)
        self._text.add(begun)

    def usage(self) -> Usage | None:
        """What the answer used as far as it came; None when it did not say and was no stream."""
        if self._streamed:
            self._end_line()
        elif self._text.cut:
            self._take(self._text.end(nested=False))
            self.called.cut = True
        elif _is_marked(self._text.kept):
            self._take_all(_parsed(self._text.kept))
        if not (self._tokens or self._written.begun):
            return None
        tokens = self._tokens | {}
        # What a stream used and did not say is estimated.
        if self._written.begun and tokens.keys() <= {"out"}:
            tokens["in"] = -(-self._asked // CHARACTERS_A_TOKEN)
        tokens["out"] = tokens.get("out", 0) + self._written.tokens
        return Usage(
            self._model,
            sum(count for kind, count in tokens.items() if kind != "out"),
            tokens["out"],
            _cost_usd(self._service, self._model, tokens),
            estimated={kind: count for kind, count in tokens.items() if count} != self._tokens,
        )

    def _read_lines(self, lines: bytes) -> None:
        """Read lines of a stream that came whole, and so are looked through together."""
        is_marked = _is_marked(lines)
        for line in lines.split(b"\n"):
            if len(line) > MOST_BYTES:
                self._text.add(line)
                self._end_line()
            elif line:
                self._read_line(line, is_marked=is_marked and _is_marked(line))

    def _end_line(self) -> None:
        """Read a line that came in pieces."""
        text, self._text = self._text, _Text()
        if not text.cut:
            self._read_line(text.kept, is_marked=_is_marked(text.kept))
            return
        self.called.cut = True
        if self._take(text.end(nested=True)):
            self._written.paid()

    def _read_line(self, line: bytes | bytearray, *, is_marked: bool) -> None:
        """Count what a line wrote; what it says was used pays for that."""
        is_event = line.startswith(_EVENT)
        if is_event and len(line) > LONGEST_EVENT:
            self._written.add_unread()
            is_event = False
        if not (is_event or is_marked):
            return
        data = _parsed(line)
        if is_event:
            self._written.add(data)
        if is_marked and self._take_all(data):
            self._written.paid()

    def _take_all(self, data: Any) -> bool:
        """Take what a body or an event says; Google streams a list of them to who wants no events.

        True when it says how much was written.
        """
        self.called.add(data)
        told = False
        for body in data if isinstance(data, list) else [data]:
            if isinstance(body, dict):
                told = self._take(body) or told
        return told

    def _take(self, data: Mapping[str, Any]) -> bool:
        """Take the counts out of one object; they only grow, so the largest holds.

        True when it says how much was written.
        """
        told = False
        for holder in (data, data.get("message"), data.get("response")):
            if not isinstance(holder, dict):
                continue
            usage = holder.get("usage") or holder.get("usageMetadata")
            if not isinstance(usage, dict):
                continue
            tokens = _tokens(usage)
            for kind, count in tokens.items():
                if count > self._tokens.get(kind, 0):
                    self._tokens[kind] = count
            told = told or tokens["out"] > 0
            model = holder.get("model") or holder.get("modelVersion")
            if isinstance(model, str) and _plain(model):
                self._model = model
        return told


class _Text:
    """A body or a line of a stream: all of it, or its end."""

    def __init__(self) -> None:
        self.kept = bytearray()
        self.cut = False

    def __bool__(self) -> bool:
        return bool(self.kept)

    def add(self, more: bytes) -> None:
        self.kept += more
        if len(self.kept) > MOST_BYTES:
            del self.kept[:-KEPT_BYTES]
            self.cut = True

    def end(self, *, nested: bool) -> dict[str, Any]:
        """Read the last `usage` and what follows it, if that ends the body or event.

        What the model wrote cannot pass for it: inside a string the quotes of the key would be
        escaped, and inside an object of the content more than one brace would follow.
        """
        if _KEY not in self.kept:
            return {}
        text = "{" + self.kept[self.kept.rindex(_KEY) :].decode("utf-8", "replace")
        try:
            data, end = _DECODER.raw_decode(text)
        except (ValueError, RecursionError):
            return {}
        return data if text[end:].strip() in ("", "}" if nested else "") else {}


def _is_marked(text: bytes | bytearray) -> bool:
    """Say whether it can tell of usage or of tools; most of a stream cannot, and costs less."""
    # Google's `usageMetadata` begins so too.
    return text.find(b'"usage') >= 0 or may_call(text)


def _parsed(text: bytes | bytearray) -> Any:
    """The JSON of a body or of a line of a stream; None for what is none."""
    try:
        value = text.removeprefix(_EVENT).strip(b" \t\r\n").decode()
        data, end = _DECODER.raw_decode(value)
    except (ValueError, RecursionError):
        return None
    return data if end == len(value) else None


def _tokens(usage: Mapping[str, Any]) -> dict[str, int]:
    """Count the tokens by what they are charged as.

    OpenAI's and Google's count of input includes what the cache held, Anthropic's does not;
    Google's of output does not include the thoughts.
    """
    details = usage.get("prompt_tokens_details") or usage.get("input_tokens_details")
    included = _count(details, "cached_tokens") + _count(usage, "cachedContentTokenCount")
    asked = _count(usage, "prompt_tokens", "input_tokens", "inputTokens", "promptTokenCount")
    wrote = _count(usage, "completion_tokens", "output_tokens", "outputTokens")
    google = _count(usage, "candidatesTokenCount") + _count(usage, "thoughtsTokenCount")
    return {
        "in": max(asked - included, 0) + _count(usage, "toolUsePromptTokenCount"),
        "cached": included + _count(usage, "cache_read_input_tokens"),
        "written": _count(usage, "cache_creation_input_tokens"),
        "out": wrote + google,
    }


def _count(holder: Any, *names: str) -> int:
    """The largest count under these names; 0 for what is none."""
    values = [holder.get(name) for name in names] if isinstance(holder, dict) else []
    return max([v for v in values if type(v) is int and 0 <= v < MOST_TOKENS], default=0)


def _plain(model: str) -> bool:
    return len(model) <= LONGEST_MODEL and model.isascii() and model.isprintable()


def _cost_usd(service: str, model: str, tokens: Mapping[str, int]) -> float | None:
    prices = _prices().get(service, {})
    price = prices.get(model) or prices.get(_VERSION.sub("", model))
    if price is None:
        return None
    return sum(count * price.get(kind, price["in"]) for kind, count in tokens.items()) / 1e6


@cache
def _prices() -> Mapping[str, Mapping[str, Mapping[str, float]]]:
    return tomllib.loads((files("interlock.calls") / "prices.toml").read_text("utf-8"))
