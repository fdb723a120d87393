"""What a request carries, by the names of its fields; the values only of those that were asked for.

Names are what a programmer wrote: short words. What does not look like one may be a value that
was put in the place of a name, so that it is counted and not kept.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote_plus

from broker import Mask
from interlock.calls.body import JSON, parse_request
from interlock.model import Request

# Shorter than any key of ours, which has 47 characters.
NAME = re.compile(r"[A-Za-z_$@][A-Za-z0-9_.$@\[\]-]{0,39}")
MOST_NAMES = 64
LARGEST_BODY = 1 << 20
LONGEST_VALUE = 256
_KEY_OF_OURS = re.compile(r"il[ks]_[A-Za-z0-9_-]{43}|v4\.(?:public|local)\.[A-Za-z0-9_.-]+")


def names_of(request: Request) -> dict[str, Any]:
    """The names in the query and at the top of the body, for a row; without what is empty."""
    told: dict[str, Any] = {}
    left_out = 0
    for place, names in (("query_fields", _asked(request.path)), ("body_fields", _top(request))):
        kept = [name for name in names if NAME.fullmatch(name)][:MOST_NAMES]
        left_out += len(names) - len(kept)
        if kept:
            told[place] = kept
    return told | {"fields_left_out": left_out} if left_out else told


def _asked(path: str) -> list[str]:
    """The names in a query, each once."""
    query = path.partition("?")[2]
    if not query:
        return []
    parts = [part.partition("=") for part in query.split("&") if part]
    return _distinct(unquote_plus(name) if equals else "" for name, equals, _ in parts)


def values_of(request: Request, fields: Iterable[str], mask: Mask) -> dict[str, Any]:
    """The values of some fields of a JSON body (`payee.country`), cut, with secrets masked.

    Of an object or a list the type alone. A body that two parsers may read differently has none.
    """
    if len(request.body) > LARGEST_BODY or request.content_encoding not in ("", "identity"):
        return {}
    try:
        data = parse_request(request.body)
    except ValueError:
        return {}
    found = {field: _at(data, field.split(".")) for field in fields}
    return {name: _short(value, mask) for name, value in found.items() if value is not ...}


def _at(data: Any, way: list[str]) -> Any:
    """The value at the end of a way through objects; `...` when it does not lead anywhere."""
    for name in way:
        if not isinstance(data, Mapping) or name not in data:
            return ...
        data = data[name]
    return data


def _short(value: Any, mask: Mask) -> Any:
    if isinstance(value, dict | list):
        return "object" if isinstance(value, dict) else "array"
    if not isinstance(value, str):
        return value if abs(value or 0) < 2**53 else "number"
    scrubber = mask.scrubber()
    shown = scrubber.feed(value.encode(errors="replace")) + scrubber.flush()
    text = shown.decode(errors="replace")
    return _KEY_OF_OURS.sub(lambda found: "*" * len(found[0]), text)[:LONGEST_VALUE]


def _top(request: Request) -> list[str]:
    """The names at the top of a JSON object or of a form, each once."""
    if len(request.body) > LARGEST_BODY or request.content_encoding not in ("", "identity"):
        return []
    kind = request.content_type
    if kind != JSON:
        kind = kind.partition(";")[0].strip().lower()
    if kind == "application/x-www-form-urlencoded":
        parts = [part.partition(b"=") for part in request.body.split(b"&") if part]
        return _distinct(
            unquote_plus(name.decode("latin-1")) if equals else "" for name, equals, _ in parts
        )
    if kind != JSON and not kind.endswith("+json"):
        return []
    try:
        data = _lenient(request.body)
    except (ValueError, RecursionError):
        return []
    return list(data) if isinstance(data, dict) else []


def _distinct(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _lenient(body: bytes) -> Any:
    """What a body holds, also where two parsers may read it differently; raises ValueError."""
    try:
        return parse_request(body)
    except ValueError:
        return json.loads(body)
