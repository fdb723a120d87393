"""`placeholder:TEXT@PLACES`: the agent writes TEXT, we write the secret, in declared places only.

For a key that stands in the middle of something: a field of a JSON body, or part of a header.
"""

import json
import re
from dataclasses import dataclass, replace
from typing import Any, ClassVar
from urllib.parse import quote, unquote_plus

from broker.errors import RecipeError
from broker.recipes.header import require_header
from broker.recipes.outgoing import Outgoing, parameter_name
from broker.recipes.query import NAME, escaped
from broker.recipes.recipe import Recipe
from broker.secret import Secret

_TEXT = re.compile(r"[A-Za-z0-9_-]{8,64}")  # spelled the same way in every place
_POINTER = re.compile(r"(/[^/,\x00-\x1f\x7f]+)+")  # RFC 6901, without the comma
# Where agents prove themselves to us; the front door empties them before anything leaves.
_KEY_SLOTS = ("authorization", "x-api-key", "api-key", "x-goog-api-key")


@dataclass(frozen=True, slots=True)
class Placeholder(Recipe):
    """Send SECRET where the agent wrote TEXT: `header=NAME`, `query=NAME` or `json=/a/b`."""

    usage: ClassVar[str] = "placeholder:TEXT@PLACES"
    holds: ClassVar[str] = "what stands for TEXT"
    spec: str

    def __post_init__(self) -> None:
        if not _TEXT.fullmatch(self._what):
            raise ValueError("recipe placeholder: TEXT must be 8 to 64 letters, digits, _ or -")
        for kind, name in self._places:
            _require_place(kind, name)

    @property
    def text(self) -> str:
        return f"placeholder:{self.spec}"

    @property
    def _what(self) -> str:
        return self.spec.partition("@")[0]

    @property
    def _places(self) -> list[tuple[str, str]]:
        places = self.spec.partition("@")[2].split(",")
        return [(kind, name) for kind, _, name in (place.partition("=") for place in places)]

    def apply(self, outgoing: Outgoing, secret: Secret, now: float) -> Outgoing:
        fill = {"header": self._in_header, "query": self._in_query, "json": self._in_json}
        filled = outgoing
        for kind, name in self._places:
            filled = fill[kind](filled, name, secret)
        if filled is outgoing:
            raise RecipeError(self.text, "the placeholder is in none of its places")
        return filled

    def _in_header(self, outgoing: Outgoing, name: str, secret: Secret) -> Outgoing:
        values = outgoing.values(name)
        what = self._what.encode()
        if not any(what in value for value in values):
            return outgoing
        self._require_one(len(values), f"the header {name}")
        return outgoing.with_header(name, values[0].replace(what, secret.reveal()))

    def _in_query(self, outgoing: Outgoing, name: str, secret: Secret) -> Outgoing:
        found = [p for p in outgoing.parameters if parameter_name(p).casefold() == name.casefold()]
        values = [unquote_plus(parameter.partition("=")[2]) for parameter in found]
        if not any(self._what in value for value in values):
            return outgoing
        self._require_one(len(values), f"the parameter {name}")
        if "#" in outgoing.path:
            raise RecipeError(self.text, "what stands behind a # never arrives as a parameter")
        before, _, after = values[0].partition(self._what)
        shown = quote(before, safe="") + escaped(secret) + quote(after, safe="")
        return outgoing.with_parameter(name, shown)

    def _in_json(self, outgoing: Outgoing, pointer: str, secret: Secret) -> Outgoing:
        """Replace the bytes, not the document, and see that it was this very field that changed."""
        before = _field(outgoing.body, pointer)
        if before is None or self._what not in before:
            return outgoing
        what, value = self._what.encode(), _json_text(secret)
        self._require_one(outgoing.body.count(what), "the body")
        body = outgoing.body.replace(what, _literal(secret))
        if _field(body, pointer) != before.replace(self._what, value):
            raise RecipeError(self.text, f"the placeholder is in the body, but not at {pointer}")
        return replace(outgoing, body=body)

    def check(self, secret: Secret) -> None:
        if any(kind == "json" for kind, _ in self._places):
            try:
                _json_text(secret)
            except UnicodeDecodeError:
                raise RecipeError(self.text, "the secret is not UTF-8, as JSON must be") from None

    def forms(self, secret: Secret) -> tuple[bytes, ...]:
        self.check(secret)
        kinds = {kind for kind, _ in self._places}
        found = [secret.reveal()]
        if "query" in kinds:
            found.append(escaped(secret).encode())
        if "json" in kinds:
            found.append(_literal(secret))
        return tuple(dict.fromkeys(found))

    def _require_one(self, count: int, where: str) -> None:
        if count != 1:
            raise RecipeError(self.text, f"{where} has the placeholder {count} times, not once")


def _require_place(kind: str, name: str) -> None:
    """Raise ValueError for a place that there is not, or that must not hold a credential."""
    if kind == "header":
        require_header("placeholder", name)
        if name.lower().replace("_", "-") in _KEY_SLOTS:
            raise ValueError(f"recipe placeholder: for {name} use header:{name} with all its value")
    elif not (
        (kind == "query" and NAME.fullmatch(name)) or (kind == "json" and _POINTER.fullmatch(name))
    ):
        known = "places are header=NAME, query=NAME and json=/FIELD/FIELD"
        raise ValueError(f"recipe placeholder: {kind + '=' + name!r} is no place; {known}")


def _json_text(secret: Secret) -> str:
    return secret.reveal().decode()


def _literal(secret: Secret) -> bytes:
    """The secret as it stands in JSON, without the quotes around it."""
    return json.dumps(_json_text(secret))[1:-1].encode()


def _field(body: bytes, pointer: str) -> str | None:
    """The string at a JSON pointer (RFC 6901), None when there is none or the body is no JSON."""
    try:
        value: Any = json.loads(body.decode())
        for step in pointer.split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            value = value[int(name)] if isinstance(value, list) else value[name]
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        return None
    return value if isinstance(value, str) else None
