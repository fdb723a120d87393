"""A signed statement of an issuer about who calls: a JWT, verified before a word is believed."""

import base64
import binascii
import json
import warnings
from dataclasses import dataclass
from typing import Any

from interlock.errors import IdentityError
from interlock.federation.identity import (
    SPIFFE,
    Identity,
    is_subject,
    oidc,
    parse_spiffe,
    trust_domain_of,
)
from interlock.federation.issuer import Issuer
from interlock.federation.keyset import PublicJwk

INSTALL = "is not installed: pip install 'interlock[oauth]'"
LONGEST = 16 << 10
SKEW_S = 5.0
MOST_ACTORS = 8
MOST_GROUPS = 64
# Far beyond any token, and within what a float holds exactly.
LATEST = 1e12


class StatementError(IdentityError):
    """A token proves nothing; strangers are told the same whatever it is."""

    def __init__(self, cause: str) -> None:
        super().__init__("the agent name or key is not valid, or the key has expired", cause)


@dataclass(frozen=True, slots=True)
class Statement:
    """What a verified token says; times are epoch seconds.

    `actors` are who acted for whom (RFC 8693, 4.1), the last one first: claims, no authority.
    """

    identity: Identity
    subject: str
    agent: str
    groups: tuple[str, ...]
    actors: tuple[str, ...]
    not_before: float
    expires_at: float

    def require_current(self, now: float) -> None:
        """Raise StatementError outside the time for which it was made."""
        if now >= self.expires_at + SKEW_S:
            raise StatementError("expired token")
        if now < self.not_before - SKEW_S:
            raise StatementError("token of the future")


@dataclass(frozen=True, slots=True)
class Unverified:
    """What a token claims about itself, to find out whose it would be. Nothing else may read it."""

    algorithm: str
    kid: str | None
    issuer: object
    subject: object
    audience: object


def look(text: str) -> Unverified:
    """Read a token without believing it; raises StatementError for what is no JWT."""
    if len(text) > LONGEST:
        raise StatementError("malformed token")
    try:
        header, claims = (_object(part) for part in text.split(".")[:2])
    except (ValueError, RecursionError, binascii.Error):
        raise StatementError("malformed token") from None
    algorithm, kid = header.get("alg"), header.get("kid")
    sound = isinstance(algorithm, str) and (kid is None or isinstance(kid, str))
    # `crit` demands what we may not know; nothing of it is in use here (RFC 7515, 4.1.11).
    if not sound or "crit" in header:
        raise StatementError("malformed token")
    claimed = (claims.get(name) for name in ("iss", "sub", "aud"))
    return Unverified(str(algorithm), kid, *claimed)


def verify(text: str, issuer: Issuer, key: PublicJwk, algorithm: str, now: float) -> Statement:
    """Answer what a token says, if its issuer signed it for us and for now.

    Raises StatementError. `now` is in epoch seconds.
    """
    claims = _signed(text, key, algorithm)
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    if issuer.audience not in audiences:
        raise StatementError("wrong audience")
    subject = claims.get("sub")
    if not is_subject(subject):
        raise StatementError("malformed token")
    found = Statement(
        _identity(claims, issuer, str(subject)),
        str(subject),
        _text(claims, issuer.agent_claim),
        _groups(claims, issuer.group_claim),
        _actors(claims),
        *_times(claims, issuer),
    )
    found.require_current(now)
    return found


def _signed(text: str, key: PublicJwk, algorithm: str) -> dict[str, Any]:
    """The claims of a token that this very key signed."""
    try:
        from joserfc import jwt
        from joserfc.errors import JoseError, SecurityWarning
        from joserfc.jwk import import_key
    except ImportError:
        raise StatementError(f"joserfc {INSTALL}") from None
    try:
        material = import_key({"kty": key.kind, **dict(key.material)})
        with warnings.catch_warnings():
            # EdDSA is an old name for what is signed with Ed25519 here (RFC 9864).
            warnings.simplefilter("ignore", SecurityWarning)
            token = jwt.decode(text, material, [algorithm])
    except (JoseError, ValueError, TypeError, RecursionError):
        raise StatementError("bad signature") from None
    return dict(token.claims)


def _identity(claims: dict[str, Any], issuer: Issuer, subject: str) -> Identity:
    """The name that the issuer may speak for: its own subjects, a trust domain its own IDs."""
    if not issuer.is_spiffe:
        if claims.get("iss") != issuer.url:
            raise StatementError("wrong issuer")
        return oidc(issuer.url, subject)
    try:
        parse_spiffe(subject)
    except ValueError:
        raise StatementError("malformed token") from None
    if trust_domain_of(subject) != issuer.url:
        raise StatementError("wrong issuer")
    return Identity(SPIFFE, subject)


def _times(claims: dict[str, Any], issuer: Issuer) -> tuple[float, float]:
    """From when until when it holds: never longer than its issuer's tokens may live."""
    expires, not_before, issued = (_moment(claims, name) for name in ("exp", "nbf", "iat"))
    if expires is None or (issued is None and not issuer.is_spiffe):
        raise StatementError("malformed token")
    if issued is not None:
        expires = min(expires, issued + issuer.max_age_s)
    return max(not_before or 0.0, issued or 0.0), expires


def _moment(claims: dict[str, Any], name: str) -> float | None:
    """A time of a token in epoch seconds (RFC 7519, 2: NumericDate); None where it says none."""
    value = claims.get(name)
    if value is None:
        return None
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= value < LATEST:
        raise StatementError("malformed token")
    return float(value)


def _text(claims: dict[str, Any], name: str) -> str:
    value = claims.get(name) if name else ""
    return str(value) if is_subject(value) else ""


def _groups(claims: dict[str, Any], name: str) -> tuple[str, ...]:
    value = claims.get(name, []) if name else []
    listed = value if isinstance(value, list) else [value]
    if len(listed) > MOST_GROUPS or not all(is_subject(one) for one in listed):
        raise StatementError("malformed token")
    return tuple(dict.fromkeys(listed))


def _actors(claims: dict[str, Any]) -> tuple[str, ...]:
    """The chain of `act`, as far as it can be read."""
    found: list[str] = []
    actor = claims.get("act")
    while isinstance(actor, dict) and len(found) < MOST_ACTORS:
        issuer, subject = actor.get("iss"), actor.get("sub")
        name = f"{issuer}#{subject}" if is_subject(issuer) else str(subject)
        found.append(name if is_subject(subject) else "?")
        actor = actor.get("act")
    return tuple(found)


def _object(part: str) -> dict[str, Any]:
    found = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    if not isinstance(found, dict):
        raise ValueError("not an object")
    return found
