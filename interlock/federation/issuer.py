"""An issuer of JWTs whose word about agents and people is taken, and for what."""

import ssl
from dataclasses import dataclass
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

from interlock.federation.identity import LONGEST_NAME, parse_spiffe

# Signatures with a public key alone (RFC 7518, RFC 8037): with `none` or a shared secret, whoever
# can read what we verify with could write what we believe.
Algorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "ES512", "Ed25519", "EdDSA"
]
ALGORITHMS: tuple[Algorithm, ...] = get_args(Algorithm)
MAX_AGE_S = 86400.0


# So many agents it may register that no person has looked at.
MOST_AGENTS = 1000


class FieldError(ValueError):
    """A field of an issuer is no good: which, and what to do."""

    def __init__(self, field: str, why: str) -> None:
        super().__init__(f"{field}: {why}")
        self.field = field
        self.why = why


@dataclass(frozen=True, slots=True)
class Issuer:
    """What is taken from an issuer.

    `url` is its `iss`, or `spiffe://trust-domain` for one that signs JWT-SVIDs. Its tokens have
    to be for `audience`. `jwks` is where its keys are; empty: where its discovery document says.
    `agent_claim` names the claim that is the name of an agent; empty: only bound identities
    count. The values of `group_claim` are groups beside those of the registration. `max_age_s`
    is how old a token may be, in seconds; `ca` the authorities for its TLS, in PEM, empty for
    those of the system. With `auto_register` unknown agents are registered, unverified, while
    there are fewer than `most_agents` of its agents that nobody has vouched for or cut off.
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
    most_agents: int = MOST_AGENTS

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
        found |= {"auto_register": self.auto_register, "most_agents": self.most_agents}
        return found | {"ca": bool(self.ca)}


def parse_issuer(issuer: Issuer) -> Issuer:
    """Answer an issuer that can be used; raises FieldError."""
    if issuer.is_spiffe:
        _require_domain(issuer)
    else:
        _require_https("url", issuer.url)
    if issuer.jwks:
        _require_https("jwks", issuer.jwks)
    if not issuer.audience:
        raise FieldError("audience", "say for whom its tokens have to be")
    if issuer.auto_register and not issuer.agent_claim:
        raise FieldError("agent_claim", "to register agents, name the claim that is their name")
    if unknown := set(issuer.algorithms) - set(ALGORITHMS):
        raise FieldError("algorithm", f"{min(unknown)[:20]!r}: use {', '.join(ALGORITHMS)}")
    if issuer.ca:
        try:
            ssl.create_default_context(cadata=issuer.ca)
        except (ssl.SSLError, ValueError):
            raise FieldError("ca", "it holds no certificate in PEM") from None
    return issuer


def _require_domain(issuer: Issuer) -> None:
    try:
        parse_spiffe(f"{issuer.url}/any")
    except ValueError as e:
        raise FieldError("url", str(e)) from None
    if not issuer.jwks:
        raise FieldError("jwks", "say where the keys of a trust domain are")
    if issuer.agent_claim or issuer.auto_register:
        why = "the agents of a trust domain are bound, by `interlock identity add`"
        raise FieldError("agent_claim", why)


def _require_https(field: str, url: str) -> None:
    try:
        parts = urlsplit(url)
        sound = parts.scheme == "https" and parts.hostname and parts.port != 0
        odd = "@" in parts.netloc or "#" in url or not url.isprintable()
    except ValueError:  # half an IPv6 address, or a port that is none
        sound, odd = False, True
    if not sound or odd or len(url) > LONGEST_NAME:
        raise FieldError(field, f"{url[:80]!r}: use https://HOST/PATH, without user or fragment")
