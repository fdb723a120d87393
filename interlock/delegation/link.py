"""One link of a chain: a PASETO v4.public token that fits behind exactly one other.

Its implicit assertion is its purpose and the digest of the link before it. So links cannot be
moved, swapped or mixed, none passes as a Secret Capability Token, and no such token as a link.
"""

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from nacl.signing import SigningKey, VerifyKey

from broker import paseto
from broker.claims import decode_footer, encode_footer
from interlock.delegation.holder import parse_holder
from interlock.delegation.scope import Scope
from interlock.model import Entity

PURPOSE = b"interlock-delegation-v1"
_SIGNATURE_BYTES = 64
_ID = re.compile(r"dlg_[0-9a-f]{20}")
_SHAPE = {
    "id": str,
    "from": str,
    "to": str,
    "actions": list,
    "resources": list,
    "intents": list,
    "goals": list,
    "nbf": str,
    "exp": str,
    "depth": int,
}
_compact = json.JSONEncoder(separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class Link:
    """`from_` lets `to` act within `scope`; `kid` names the key that signed."""

    id: str
    from_: Entity
    to: Entity
    scope: Scope
    kid: str


def sign_link(link: Link, key: SigningKey, parent: str) -> str:
    """Return the token of a link behind the token `parent`, which is empty for the root."""
    return paseto.sign(_encode(link), key, encode_footer(link.kid), _implicit(parent))


def verify_link(token: str, key: VerifyKey, parent: str) -> Link:
    """Return the link of a genuine token that stands behind `parent`.

    Raises broker.TokenError for a token that is not, ValueError for claims that are no link's.
    """
    payload, footer = paseto.verify(token, key, _implicit(parent))
    return _decode(payload, decode_footer(footer))


def unverified_kid(token: str) -> str:
    """Return the name of the key to verify with; raises broker.TokenError."""
    return decode_footer(paseto.footer_of(token))


def read_unverified(token: str) -> Link:
    """Return what a token says, whoever wrote it; raises broker.TokenError or ValueError."""
    kid = unverified_kid(token)
    body = token.split(".")[2]
    signed = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
    return _decode(signed[:-_SIGNATURE_BYTES], kid)


def parse_link_id(text: str) -> str:
    """Read the id of a link; raises ValueError."""
    if not _ID.fullmatch(text):
        raise ValueError(f"{text[:40]!r} is not the id of a link, which is dlg_ and 20 hex digits")
    return text


def _implicit(parent: str) -> bytes:
    return paseto.pae(PURPOSE, hashlib.sha256(parent.encode()).digest() if parent else b"")


def _encode(link: Link) -> bytes:
    scope = link.scope
    claims = {
        "id": link.id,
        "from": str(link.from_),
        "to": str(link.to),
        "actions": scope.actions,
        "resources": scope.resources,
        "intents": scope.intents,
        "goals": scope.goals,
        "nbf": _text_of(scope.not_before),
        "exp": _text_of(scope.expires),
        "depth": scope.depth,
    }
    return _compact(claims).encode()


def _decode(payload: bytes, kid: str) -> Link:
    try:
        claims = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise ValueError("its payload is not JSON") from error
    if not isinstance(claims, dict) or {n: type(v) for n, v in claims.items()} != _SHAPE:
        raise ValueError("it does not carry the claims of a link")
    scope = Scope(
        actions=_texts_of(claims["actions"]),
        resources=_texts_of(claims["resources"]),
        intents=_texts_of(claims["intents"]),
        goals=_texts_of(claims["goals"]),
        not_before=_time_of(claims["nbf"]),
        expires=_time_of(claims["exp"]),
        depth=claims["depth"],
    )
    from_, to = parse_holder(claims["from"]), parse_holder(claims["to"])
    return Link(parse_link_id(claims["id"]), from_, to, scope, kid)


def _texts_of(values: Sequence[object]) -> tuple[str, ...]:
    texts = tuple(value for value in values if isinstance(value, str))
    if len(texts) != len(values):
        raise ValueError("a list holds something that is not text")
    return texts


def _text_of(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def _time_of(text: str) -> float:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time has no zone")
    return moment.timestamp()
