"""A stand-in: the agent holds a random text, which becomes the secret in one place of a call."""

import base64
import binascii
import json
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal
from urllib.parse import quote

from broker.errors import RecipeError
from broker.recipes.outgoing import Outgoing
from broker.recipes.recipe import Recipe
from broker.secret import Secret

Place = Literal["header", "query", "form", "json"]
MINTED_SLOT = "interlock-minted"
_BASIC = b"basic "


@dataclass(frozen=True, slots=True)
class StandIn(Recipe):
    """Send SECRET where the agent wrote the stand-in: in one header, the query, or the body.

    Made for one call, never stored. `text_` is the stand-in; `header` is named for that place.
    The token rides in a header of its own, beside the one of another recipe.
    """

    usage: ClassVar[str] = "minted"
    holds: ClassVar[str] = "a token that an upstream handed out"
    text_: str = field(repr=False)
    place: Place
    header: str = ""

    @property
    def slot(self) -> str:
        return MINTED_SLOT

    def apply(self, outgoing: Outgoing, secret: Secret, now: float) -> Outgoing:
        fill = {
            "header": self._in_header,
            "query": self._in_query,
            "form": self._in_body,
            "json": self._in_body,
        }
        return fill[self.place](outgoing, secret)

    def forms(self, secret: Secret) -> tuple[bytes, ...]:
        value = secret.reveal()
        return tuple(dict.fromkeys((value, _quoted(value), _literal(value))))

    def _in_header(self, outgoing: Outgoing, secret: Secret) -> Outgoing:
        values = outgoing.values(self.header)
        if len(values) != 1:
            raise self._wrong(f"{self.header} stands there {len(values)} times, not once")
        return outgoing.with_header(self.header, self._filled(values[0], secret.reveal()))

    def _in_query(self, outgoing: Outgoing, secret: Secret) -> Outgoing:
        path, mark, query = outgoing.path.partition("?")
        shown = _quoted(secret.reveal()).decode()
        self._require_one(query.count(self.text_))
        return replace(outgoing, path=path + mark + query.replace(self.text_, shown))

    def _in_body(self, outgoing: Outgoing, secret: Secret) -> Outgoing:
        write = _quoted if self.place == "form" else _literal
        what = self.text_.encode()
        self._require_one(outgoing.body.count(what))
        return replace(outgoing, body=outgoing.body.replace(what, write(secret.reveal())))

    def _filled(self, value: bytes, secret: bytes) -> bytes:
        """The header's value, whatever its scheme; inside Basic, the pair is encoded anew."""
        what = self.text_.encode()
        if value[: len(_BASIC)].lower() != _BASIC:
            self._require_one(value.count(what))
            return value.replace(what, secret)
        try:
            pair = base64.b64decode(value[len(_BASIC) :].strip(), validate=True)
        except (ValueError, binascii.Error):
            raise self._wrong("what stands behind Basic is not base64") from None
        self._require_one(pair.count(what))
        return value[: len(_BASIC)] + base64.b64encode(pair.replace(what, secret))

    def _require_one(self, count: int) -> None:
        if count != 1:
            raise self._wrong(f"the placeholder stands there {count} times, not once")

    def _wrong(self, why: str) -> RecipeError:
        return RecipeError(self.usage, why)


def _quoted(value: bytes) -> bytes:
    return quote(value, safe="").encode()


def _literal(value: bytes) -> bytes:
    """The value as it stands in JSON, without the quotes around it."""
    return json.dumps(value.decode(errors="replace"))[1:-1].encode()
