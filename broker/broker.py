"""Issue capability tokens and redeem them: each for one request, and at most once.

The right to redeem lives in the memory of the process that issued the token, nowhere else. So a
token that comes back, turns up in another process, or outlives a restart is worthless.
"""

import hashlib
import heapq
import os
import threading
from dataclasses import dataclass

from broker import paseto
from broker.capability import Grant, Wire
from broker.claims import (
    CLOCK_SKEW,
    Claims,
    decode_claims,
    decode_footer,
    encode_claims,
    encode_footer,
    encode_implicit,
)
from broker.errors import TokenReplayedError, TokenScopeError
from broker.keyring import Keyring
from broker.secret import Secret


@dataclass(slots=True)
class _Issued:
    """What was signed here, so that the very same need be neither verified nor read.

    `secret` is what it redeems in `process`, and None from when it is spent.
    """

    kid: str
    assertion: bytes
    payload: bytes
    claims: Claims
    process: int
    secret: Secret | None


class Broker:
    """Exchange tokens for secrets; safe to share between threads."""

    def __init__(self, keyring: Keyring, *, issuer: str = "interlock") -> None:
        self._keyring = keyring
        self._issuer = issuer
        self._lock = threading.Lock()
        self._rights: dict[str, _Issued] = {}  # also those that are spent: their ids are taken
        self._issued: dict[bytes, _Issued] = {}  # by what stands for the token, not the token
        self._ends: list[tuple[float, str, bytes]] = []

    def issue(self, grant: Grant, secret: Secret, now: float) -> str:
        """Return a token that redeems `secret` once, for the request that `grant` was made for.

        Raises ValueError when a token with the grant's id was issued before and may still live.
        """
        payload = encode_claims(grant, self._issuer, now)
        kid, key = self._keyring.signer
        footer = encode_footer(kid)
        token = paseto.sign(payload, key, footer, encode_implicit(grant.assertion))
        digest = _digest(token)
        ends = now + grant.ttl
        claims = Claims(grant.id, grant.authority, now, ends)
        issued = _Issued(kid, grant.assertion, payload, claims, os.getpid(), secret)
        with self._lock:
            self._forget(now)
            if grant.id in self._rights:
                raise ValueError(f"a token with the id {grant.id!r} was issued before")
            self._rights[grant.id] = self._issued[digest] = issued
            heapq.heappush(self._ends, (ends + CLOCK_SKEW, grant.id, digest))
        return token

    def redeem(self, token: str, wire: Wire, now: float) -> Secret:
        """Return the secret of a token shown with `wire` at `now`, or raise one of TokenErrors.

        A genuine token is spent by showing it, whatever comes of it; others change nothing.
        """
        payload, claims = self._read(token, wire)
        taken = self._take(claims.id, now)
        claims.require_current(now)
        if taken is None:
            raise TokenReplayedError("used before, or not issued here", claims.id)
        if not wire.verified:
            raise TokenScopeError("the upstream's certificate is not verified", claims.id)
        if claims.authority != wire.authority:
            raise TokenScopeError("it is bound to another authority", claims.id)
        granted, secret = taken
        if payload != granted:
            raise TokenScopeError("its claims differ from what was granted", claims.id)
        return secret

    def _read(self, token: str, wire: Wire) -> tuple[bytes, Claims]:
        """The payload and claims of a genuine token for this request, or raise one of TokenErrors.

        Signing is deterministic (RFC 8032, 5.1.6): the text that was signed here for the same
        request, by a key that still holds, would verify.
        """
        assertion = wire.assertion()
        issued = self._issued.get(_digest(token))
        if issued and issued.assertion == assertion:
            self._keyring.verify_key(issued.kid)
            return issued.payload, issued.claims
        signed, footer = paseto.split(token)
        key = self._keyring.verify_key(decode_footer(footer))
        payload = paseto.verify_parts(signed, footer, key, encode_implicit(assertion))
        return payload, decode_claims(payload)

    def _take(self, token_id: str, now: float) -> tuple[bytes, Secret] | None:
        """The payload that was signed under an id, and its secret; both once, and only here."""
        with self._lock:
            self._forget(now)
            issued = self._rights.get(token_id)
            if issued is None or issued.process != os.getpid():  # a fork copies memory, not rights
                return None
            secret, issued.secret = issued.secret, None
            return None if secret is None else (issued.payload, secret)

    def _forget(self, now: float) -> None:
        while self._ends and self._ends[0][0] < now:
            _, token_id, digest = heapq.heappop(self._ends)
            del self._rights[token_id], self._issued[digest]


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
