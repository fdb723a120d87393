"""Takes the tokens out of an answer and puts a placeholder in the place of each; pure."""

import dataclasses
import json
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote_plus, urlencode

from broker import Secret
from interlock.calls.body import parse_json

MOST_BYTES = 64 << 10
MOST_TOKENS = 8
# What says nothing of its end, such as a refresh token, is kept for so long, and nothing longer.
LONGEST_S = 90 * 24 * 3600.0
FORM = "application/x-www-form-urlencoded"
_REFRESH = "refresh"
# Of a form: neither blank nor control character, nor another sign at which servers cut one.
_FORM_PART = re.compile(r"[!-%'-:<-~]+")
_FORM_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


@dataclass(frozen=True, slots=True)
class Token:
    """One token that was in an answer, the moment it ends, and what stands there now."""

    field: str
    value: Secret
    ends: float
    placeholder: str = dataclasses.field(repr=False)


@dataclass(frozen=True, slots=True)
class Captured:
    """An answer without its tokens, and the tokens."""

    body: bytes
    tokens: tuple[Token, ...]


def capture(
    body: bytes,
    fields: Iterable[str],
    now: float,
    make: Callable[[], str],
    content_type: str = "",
) -> Captured:
    """Replace every token in an answer; raises ValueError, which quotes nothing of it.

    It is JSON, or a form where `content_type` says so. A field counts wherever it stands in the
    document. What comes back is written anew from what was read, so nothing that another parser
    might find in the answer is left in it.
    """
    if not body.strip():
        return Captured(body, ())
    if len(body) > MOST_BYTES:
        raise ValueError(f"it is larger than {MOST_BYTES >> 10} KiB")
    taken = _Taking({name.casefold(): name for name in fields}, now, make)
    if content_type.partition(";")[0].strip().lower() == FORM:
        shown = urlencode(taken.walk(parse_form(body))).encode()
        return Captured(shown, tuple(taken.tokens)) if taken.tokens else Captured(body, ())
    try:
        document = taken.walk(parse_json(body))
        shown = json.dumps(document, allow_nan=False, separators=(",", ":")).encode()
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return Captured(shown, tuple(taken.tokens)) if taken.tokens else Captured(body, ())


def parse_form(body: bytes) -> dict[str, str]:
    """Read a form that no two parsers read differently; raises ValueError.

    Its names are those of fields, so JSON, or a form cut at other signs, is none.
    """
    form: dict[str, str] = {}
    count = 0
    try:
        for part in body.decode("ascii").rstrip("\r\n").split("&"):
            name, mark, value = (unquote_plus(x, errors="strict") for x in part.partition("="))
            if not (mark and _FORM_NAME.fullmatch(name) and _FORM_PART.fullmatch(part)):
                raise ValueError("it is not a form of plain names and values")
            form[name] = value
            count += 1
    except UnicodeDecodeError:
        raise ValueError("it is not a form in UTF-8") from None
    if len({name.casefold() for name in form}) != count:
        raise ValueError("it has a field twice")
    return form


class _Taking:
    def __init__(self, fields: dict[str, str], now: float, make: Callable[[], str]) -> None:
        self._fields = fields
        self._now = now
        self._make = make
        self.tokens: list[Token] = []

    def walk(self, value: Any) -> Any:
        """A copy of a JSON value with placeholders in it."""
        if isinstance(value, list):
            return [self.walk(each) for each in value]
        if not isinstance(value, dict):
            return value
        return {key: self._member(value, key, each) for key, each in value.items()}

    def _member(self, around: dict[str, Any], key: str, value: Any) -> Any:
        name = self._fields.get(key.casefold())
        if name is None:
            return self.walk(value)
        if value is None or value == "":
            return value
        if not isinstance(value, str):
            raise ValueError(f"its field {name} is no text")
        if len(self.tokens) == MOST_TOKENS:
            raise ValueError(f"it holds more than {MOST_TOKENS} tokens")
        token = Token(name, _secret(name, value), self._end(around, name), self._make())
        self.tokens.append(token)
        return token.placeholder

    def _end(self, around: dict[str, Any], name: str) -> float:
        """The moment that the answer names for a token (RFC 6749, 5.1; GitHub's `expires_at`).

        What stands beside a refresh token speaks of the access token, unless it says otherwise.
        """
        refreshes = _REFRESH in name.casefold()
        own = f"{name.removesuffix('_token')}_expires_in", f"{name}_expires_in"
        seconds = [_number(around.get(each)) for each in (*own, *(() if refreshes else _LIVES))]
        moments = [_moment(around.get(each)) for each in (() if refreshes else _ENDS)]
        latest = self._now + LONGEST_S
        named = [self._now + each for each in seconds if each is not None]
        named += [each for each in moments if each is not None]
        return min([*named, latest])


_LIVES = ("expires_in",)
_ENDS = ("expires_at", "expires")


def _secret(name: str, value: str) -> Secret:
    try:
        return Secret(value)
    except ValueError:
        raise ValueError(f"its field {name} holds what cannot be a token") from None


def _number(value: Any) -> float | None:
    """Seconds, also where a server writes them in quotes."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return max(number, 0.0) if math.isfinite(number) else None


def _moment(value: Any) -> float | None:
    """Epoch seconds of a number, or of a text in ISO 8601."""
    number = _number(value)
    if number is not None:
        return number
    try:
        moment = datetime.fromisoformat(str(value))
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
