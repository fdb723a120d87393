"""`path:TEMPLATE`: the secret stands in a segment of the path, as in Telegram's `/bot{secret}/`."""

import re
from dataclasses import dataclass, replace
from typing import ClassVar
from urllib.parse import quote

from broker.errors import RecipeError
from broker.recipes.outgoing import Outgoing
from broker.recipes.recipe import Recipe
from broker.secret import Secret

_PLACE = "{secret}"
_TEMPLATE = re.compile(r"(?:/[A-Za-z0-9._~:@-]+)*/[A-Za-z0-9._~:@-]*\{secret\}[A-Za-z0-9._~:@-]*")
_PLAIN = "!$&'()*+,:=@"  # what a segment holds unencoded (RFC 3986, 3.3), but for `;`


@dataclass(frozen=True, slots=True)
class Segment(Recipe):
    """Send the path with SECRET where TEMPLATE has `{secret}` and the agent sent anything."""

    usage: ClassVar[str] = "path:TEMPLATE"
    holds: ClassVar[str] = "what stands for `{secret}` in the path"
    template: str

    def __post_init__(self) -> None:
        if not _TEMPLATE.fullmatch(self.template):
            example = "write it as /bot{secret} or /services/{secret}"
            raise ValueError(
                f"recipe path: {self.template!r} is not a path with one place; {example}"
            )

    @property
    def text(self) -> str:
        return f"path:{self.template}"

    def check(self, secret: Secret) -> None:
        if self.template.endswith("/" + _PLACE) and secret.reveal() in (b".", b".."):
            raise RecipeError(self.text, "the secret would be a step of the path")

    def apply(self, outgoing: Outgoing, secret: Secret, now: float) -> Outgoing:
        self.check(secret)
        before, _, after = self.template.partition(_PLACE)
        pattern = re.escape(before) + "[^/?#]+?" + re.escape(after) + "(?=[/?]|$)"
        found = re.match(pattern, outgoing.path)
        if not found:
            raise RecipeError(self.text, "the path does not begin as the template says")
        return replace(
            outgoing, path=before + _encoded(secret) + after + outgoing.path[found.end() :]
        )

    def forms(self, secret: Secret) -> tuple[bytes, ...]:
        return tuple(dict.fromkeys((secret.reveal(), _encoded(secret).encode())))


def _encoded(secret: Secret) -> str:
    return quote(secret.reveal(), safe=_PLAIN)
