"""The three parts of an SCT as bytes: claims, footer and implicit assertion."""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from json.encoder import encode_basestring_ascii as _quote

from broker.capability import Grant
from broker.errors import TokenExpiredError, TokenMalformedError
from broker.paseto import pae
from broker.quick import quick

PURPOSE = b"interlock-sct-v1"
CLOCK_SKEW = 5.0

_NAMES = {
    "iss",
    "sub",
    "jti",
    "iat",
    "nbf",
    "exp",
    "act",
    "res",
    "sec",
    "aud",
    "dec",
    "pol",
    "goal",
}
# A footer is read before anything is verified, hence by a pattern and not by a JSON parser.
_FOOTER = re.compile(rb'\{"kid":"([0-9a-f]{1,64})"\}')


@quick
@dataclass(frozen=True, slots=True)
class Claims:
    """What redeeming reads in a token: its id, its authority, and its time in unix seconds."""

    id: str
    authority: str
    not_before: float
    expires: float

    def require_current(self, now: float) -> None:
        """Raise TokenExpiredError unless the token is valid at `now`, clock skew allowed for."""
        if now >= self.expires + CLOCK_SKEW:
            raise TokenExpiredError("expired", self.id)
        if now < self.not_before - CLOCK_SKEW:
            raise TokenExpiredError("not valid yet", self.id)


def encode_claims(grant: Grant, issuer: str, now: float) -> bytes:
    """Return the payload of a token; times are ISO 8601 (PASETO, 04-Claims.md)."""
    issued = _text_of(now)
    return (
        f'{{"iss":{_quote(issuer)},"sub":{_quote(grant.agent)},"jti":{_quote(grant.id)},'
        f'"iat":"{issued}","nbf":"{issued}","exp":"{_text_of(now + grant.ttl)}",'
        f'"act":{_quote(grant.action)},"res":{_quote(grant.resource)},'
        f'"sec":{_quote(grant.secret)},"aud":{_quote(grant.authority)},'
        f'"dec":{_quote(grant.decision_id)},"pol":{_quote(grant.policy_set)},'
        f'"goal":{_quote(grant.goal)}}}'
    ).encode()


def decode_claims(payload: bytes) -> Claims:
    """Return the claims of a verified payload; raises TokenMalformedError for any but an SCT's."""
    try:
        claims = json.loads(payload)
    except ValueError as error:
        raise TokenMalformedError("the token's payload is not JSON") from error
    if not isinstance(claims, dict) or claims.keys() != _NAMES:
        raise TokenMalformedError("the token does not carry the claims of an SCT")
    if set(map(type, claims.values())) != {str}:
        raise TokenMalformedError("the token has a claim that is not text")
    return Claims(claims["jti"], claims["aud"], _time_of(claims["nbf"]), _time_of(claims["exp"]))


def encode_footer(kid: str) -> bytes:
    """Return the footer that names the signing key."""
    return b'{"kid":"%s"}' % kid.encode()


def decode_footer(footer: bytes) -> str:
    """Return the kid of an unverified footer; raises TokenMalformedError when it has none."""
    match = _FOOTER.fullmatch(footer)
    if match is None:
        raise TokenMalformedError("the token's footer does not name a key")
    return match[1].decode()


def encode_implicit(assertion: bytes) -> bytes:
    """Return what an SCT signs besides itself: its purpose, and the request it belongs to."""
    return pae(PURPOSE, assertion)


def _text_of(moment: float) -> str:
    second, micros = divmod(round(moment * 1e6), 1_000_000)
    return f"{_clock_at(second)}.{micros:06}+00:00"


@lru_cache(64)
def _clock_at(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _time_of(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise TokenMalformedError("the token has a time that is not ISO 8601") from error
    if moment.tzinfo is None:
        raise TokenMalformedError("the token has a time without a zone")
    return moment.timestamp()
