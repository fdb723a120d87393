"""What a Secret Capability Token (SCT) grants, and the one request that it fits."""

import hashlib
from dataclasses import dataclass

from broker.paseto import pae
from broker.quick import quick

DEFAULT_TTL = 30.0
MAX_TTL = 300.0


@quick
@dataclass(frozen=True, slots=True)
class Wire:
    """A request as it is about to leave, and whether its connection proved the authority."""

    method: str
    authority: str  # "host:port"
    path: str  # path and query, as on the wire
    body_sha256: bytes
    verified: bool  # TLS stands, and the upstream's certificate fits the authority's host

    def assertion(self) -> bytes:
        """Return the SHA-256 that stands for exactly this method, authority, path and body."""
        texts = (self.method, self.authority, self.path)
        # surrogatepass: mitmproxy keeps the odd bytes of a path as lone surrogates.
        encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
        return hashlib.sha256(pae(*encoded, self.body_sha256)).digest()


@quick
@dataclass(frozen=True, slots=True)
class Grant:
    """One decision's permission to use one secret for one request, once, for `ttl` seconds."""

    id: str
    agent: str
    action: str
    resource: str
    secret: str  # its name
    authority: str  # the only "host:port" that may see the secret
    decision_id: str
    policy_set: str
    goal: str  # "" when there is none
    assertion: bytes  # Wire.assertion() of the request
    ttl: float = DEFAULT_TTL

    def __post_init__(self) -> None:
        if not self.id:
            raise ValueError("a grant needs an id")
        if not 0 < self.ttl <= MAX_TTL:
            raise ValueError(f"a grant lives up to {MAX_TTL:g} seconds, not {self.ttl:g}")
