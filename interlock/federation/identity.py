"""The names that systems outside give to agents and people, in one spelling each."""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

SPIFFE = "spiffe"
CERTIFICATE = "certificate"
OIDC = "oidc"

LONGEST_NAME = 2048
LONGEST_SUBJECT = 255
# A JWT (RFC 7519) in compact form; every JSON object with a first member begins like this.
_STATEMENT = re.compile(r"eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
_TRUST_DOMAIN = re.compile(r"[a-z0-9._-]{1,255}")
_SEGMENT = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]+")
_FINGERPRINT = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, order=True)
class Identity:
    """One name: a SPIFFE ID, the SHA-256 of a certificate, or `ISSUER#SUBJECT`."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


def parse_identity(kind: str, text: str) -> Identity:
    """Read a name of a kind; raises ValueError."""
    return Identity(kind, _PARSERS[kind](text))


def parse_spiffe(text: str) -> str:
    """Check a SPIFFE ID of a workload (SPIFFE-ID, 2); raises ValueError.

    There is one spelling: a host in lower case, no port, no escapes, no empty segment.
    """
    scheme, _, rest = text.partition("://")
    domain, slash, path = rest.partition("/")
    segments = path.split("/")
    if scheme != "spiffe" or len(text) > LONGEST_NAME or not _TRUST_DOMAIN.fullmatch(domain):
        raise ValueError(f"{text[:80]!r} is not like spiffe://trust-domain/path")
    if not slash or not all(_SEGMENT.fullmatch(segment) for segment in segments):
        raise ValueError(f"{text[:80]!r} has no path that a workload could have")
    return text


def trust_domain_of(spiffe: str) -> str:
    """The trust domain of a SPIFFE ID, as `spiffe://trust-domain`."""
    return "/".join(spiffe.split("/", 3)[:3])


def parse_fingerprint(text: str) -> str:
    """Read the SHA-256 of a certificate's DER, colons or not; raises ValueError."""
    plain = text.replace(":", "").lower()
    if not _FINGERPRINT.fullmatch(plain):
        raise ValueError(f"{text[:80]!r} is not a SHA-256 fingerprint of 64 hex digits")
    return plain


def parse_oidc(text: str) -> str:
    """Check `ISSUER#SUBJECT`; raises ValueError."""
    issuer, hash_, subject = text.partition("#")
    if not hash_ or urlsplit(issuer).scheme != "https":
        raise ValueError(f"{text[:80]!r} is not like https://issuer.example#subject")
    if not is_subject(subject):
        raise ValueError(f"a subject is printable, {LONGEST_SUBJECT} characters at most")
    return text


def oidc(issuer: str, subject: str) -> Identity:
    """The name of a subject at an issuer; an issuer's URL has no `#` in it."""
    return Identity(OIDC, f"{issuer}#{subject}")


def is_subject(value: object) -> bool:
    """Say whether a claim is a name (OpenID Connect Core, 2: 255 characters at most)."""
    return isinstance(value, str) and 0 < len(value) <= LONGEST_SUBJECT and value.isprintable()


def is_statement(text: str) -> bool:
    """True for what has the shape of a JWT, signed by whomever."""
    return text.startswith("eyJ") and _STATEMENT.fullmatch(text) is not None


_PARSERS = {SPIFFE: parse_spiffe, CERTIFICATE: parse_fingerprint, OIDC: parse_oidc}
