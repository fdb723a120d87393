"""An issuer of JWTs whose word about agents and people is taken, and for what."""

import ssl
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from interlock.federation.identity import LONGEST_NAME, parse_spiffe

# Signatures with a public key alone (RFC 7518, RFC 8037): with `none` or a shared secret, whoever
# can read what we verify with could write what we believe.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "ES512", "Ed25519", "EdDSA")
MAX_AGE_S = 86400.0


@dataclass(frozen=True, slots=True)
class Issuer:
    """What is taken from an issuer.

    `url` is its `iss`, or `spiffe://trust-domain` for one that signs JWT-SVIDs. Its tokens have
    to be for `audience`. `jwks` is where its keys are; empty: where its discovery document says.
    `agent_claim` names the claim that is the name of an agent; empty: only bound identities
    count. The values of `group_claim` are groups beside those of the registration. `max_age_s`
    is how old a token may be, in seconds; `ca` the authorities for its TLS, in PEM, empty for
    those of the system. With `auto_register` unknown agents are registered, unverified.
    """

    url: str
    audience: str
    jwks: str = ""
    agent_claim: str = ""
    group_claim: str = ""
    algorithms: tuple[str, ...] = ALGORITHMS
    max_age_s: float = MAX_AGE_S
    auto_register: bool = False
    ca: str = ""

    @property
    def is_spiffe(self) -> bool:
        """True for a trust domain, whose tokens are JWT-SVIDs."""
        return self.url.startswith("spiffe://")

    @property
    def record(self) -> dict[str, Any]:
        """The issuer as JSON values."""
        names = ("url", "audience", "jwks", "agent_claim", "group_claim")
        found: dict[str, Any] = {name: getattr(self, name) for name in names}
        found |= {"algorithms": list(self.algorithms), "max_age_s": self.max_age_s}
        return found | {"auto_register": self.auto_register, "ca": bool(self.ca)}


def parse_issuer(issuer: Issuer) -> Issuer:
    """Answer an issuer that can be used; raises ValueError that names the field."""
    if issuer.is_spiffe:
        parse_spiffe(f"{issuer.url}/any")
        if not issuer.jwks or issuer.agent_claim or issuer.auto_register:
            raise ValueError(
                "a trust domain needs --jwks, and its agents are bound by `interlock identity add`"
            )
    else:
        _require_https("URL", issuer.url)
    if issuer.jwks:
        _require_https("--jwks", issuer.jwks)
    if not issuer.audience:
        raise ValueError("--audience: say for whom its tokens have to be")
    if issuer.auto_register and not issuer.agent_claim:
        raise ValueError("--auto-register needs --agent-claim, the claim that names an agent")
    if unknown := set(issuer.algorithms) - set(ALGORITHMS):
        raise ValueError(f"--algorithm {min(unknown)[:20]!r}: use {', '.join(ALGORITHMS)}")
    if issuer.ca:
        try:
            ssl.create_default_context(cadata=issuer.ca)
        except (ssl.SSLError, ValueError):
            raise ValueError("--ca: the file holds no certificate in PEM") from None
    return issuer


def _require_https(name: str, url: str) -> None:
    parts = urlsplit(url)
    odd = parts.fragment or "#" in url or parts.username is not None or not url.isprintable()
    if parts.scheme != "https" or not parts.hostname or odd or len(url) > LONGEST_NAME:
        raise ValueError(f"{name} {url[:80]!r}: use https://HOST/PATH, without user or fragment")
