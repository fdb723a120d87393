"""`hmac:...`: the request carries an HMAC-SHA256 of its parts, in headers of a declared form.

`hmac:HEADER=VALUE&HEADER=VALUE@SIGNED`: VALUE has {hex} or {base64} and may have {timestamp};
SIGNED is made of {method}, {path}, {timestamp} and {body}. Some are known by name.
"""

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import ClassVar

from broker.recipes.header import require_header
from broker.recipes.outgoing import Outgoing
from broker.recipes.recipe import Recipe
from broker.secret import Secret

PRESETS = {
    "github": "X-Hub-Signature-256=sha256={hex}@{body}",
    "slack": (
        "X-Slack-Signature=v0={hex}&X-Slack-Request-Timestamp={timestamp}@v0:{timestamp}:{body}"
    ),
    "stripe": "Stripe-Signature=t={timestamp},v1={hex}@{timestamp}.{body}",
}
_PLACE = re.compile(rb"\{(\w*)\}")
_SIGNED = {"method", "path", "timestamp", "body"}
_SHOWN = {"hex", "base64", "timestamp"}


@dataclass(frozen=True, slots=True)
class Signature(Recipe):
    """Send HMAC-SHA256 of the request in a header: `github`, `slack`, `stripe`, or as declared."""

    usage: ClassVar[str] = "hmac:FORM"
    holds: ClassVar[str] = "the signing key"
    form: str

    def __post_init__(self) -> None:
        headers, signed = self._parsed
        for name, value in headers:
            require_header("hmac", name)
            _require_places(value, _SHOWN)
        _require_places(signed, _SIGNED)
        places = {place for _, value in headers for place in _places(value)}
        if not (_places(signed) and places & {"hex", "base64"}):
            known = ", ".join(PRESETS)
            raise ValueError(
                f"recipe hmac: {self.form!r} is neither {known} nor HEADER={{hex}}@{{body}}"
            )
        if not (self.form.isascii() and self.form.isprintable()):
            raise ValueError(f"recipe hmac: {self.form!r} must be printable ASCII")

    @property
    def text(self) -> str:
        return f"hmac:{self.form}"

    @property
    def _parsed(self) -> tuple[list[tuple[str, str]], str]:
        headers, _, signed = PRESETS.get(self.form, self.form).partition("@")
        pairs = (header.partition("=") for header in headers.split("&"))
        return [(name, value) for name, _, value in pairs], signed

    def apply(self, outgoing: Outgoing, secret: Secret, now: float) -> Outgoing:
        headers, signed = self._parsed
        time = b"%d" % now
        parts = {
            "method": outgoing.method.encode(),
            "path": outgoing.path.encode("utf-8", "surrogateescape"),
            "timestamp": time,
            "body": outgoing.body,
        }
        digest = hmac.digest(secret.reveal(), _filled(signed, parts), hashlib.sha256)
        shown = {
            "hex": digest.hex().encode(),
            "base64": base64.b64encode(digest),
            "timestamp": time,
        }
        for name, value in headers:
            outgoing = outgoing.with_header(name, _filled(value, shown))
        return outgoing


def _places(template: str) -> list[str]:
    return [place.decode() for place in _PLACE.findall(template.encode())]


def _require_places(template: str, known: set[str]) -> None:
    if unknown := set(_places(template)) - known:
        here = ", ".join(sorted(known))
        raise ValueError(f"recipe hmac: {min(unknown)!r} is no place; here stand {here}")


def _filled(template: str, values: dict[str, bytes]) -> bytes:
    return _PLACE.sub(lambda found: values[found[1].decode()], template.encode())
