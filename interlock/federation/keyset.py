"""The public keys of an issuer, as its JWKS (RFC 7517) tells them; what cannot be used is out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MOST_KEYS = 100
LEAST_RSA_BITS = 2048
# Which kinds of keys each algorithm is made with (RFC 7518, 3.1; RFC 8037, 3.1).
_KINDS = {"RS": ("RSA",), "PS": ("RSA",), "ES": ("EC",), "Ed": ("OKP",)}
_CURVES = {
    **{"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"},
    **{"Ed25519": "Ed25519", "EdDSA": "Ed25519"},
}
_USES = (None, "sig", "jwt-svid")


@dataclass(frozen=True, slots=True)
class PublicJwk:
    """One key: `material` are its public members alone."""

    kid: str
    kind: str
    algorithm: str
    curve: str
    material: tuple[tuple[str, str], ...]

    def fits(self, algorithm: str) -> bool:
        """Say whether it may have signed by this algorithm: each key is for its own kind."""
        if self.kind not in _KINDS.get(algorithm[:2], ()) or self.algorithm not in ("", algorithm):
            return False
        return _CURVES.get(algorithm, self.curve) == self.curve


@dataclass(frozen=True, slots=True)
class Keyset:
    """All usable keys of an issuer."""

    keys: tuple[PublicJwk, ...]

    def select(self, kid: str | None, algorithm: str) -> PublicJwk | None:
        """The one key that a token may be signed with; None when there is none, or several.

        A token without a `kid` is taken from an issuer that has one such key.
        """
        named = [key for key in self.keys if kid is None or key.kid == kid]
        fit = [key for key in named if key.fits(algorithm)]
        return fit[0] if len(fit) == 1 else None

    def knows(self, kid: str | None) -> bool:
        """Say whether a key of this name is there."""
        return any(kid in (None, key.kid) for key in self.keys)


def parse_keyset(document: Mapping[str, Any]) -> Keyset:
    """Read a JWKS; raises ValueError for one without a usable key.

    A key of an unknown kind is passed over (RFC 7517, 5); so are shared secrets, which a
    document that everybody can read cannot hold.
    """
    listed = document.get("keys")
    if not isinstance(listed, list) or len(listed) > MOST_KEYS:
        raise ValueError(f"it has no list of up to {MOST_KEYS} keys")
    keys = tuple(key for each in listed if isinstance(each, dict) and (key := _key(each)))
    if not keys:
        raise ValueError("it has no key that can be used")
    return Keyset(keys)


_MEMBERS = {"RSA": ("n", "e"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x")}


def _key(told: Mapping[str, Any]) -> PublicJwk | None:
    kind = told.get("kty")
    if not isinstance(kind, str) or kind not in _MEMBERS or told.get("use") not in _USES:
        return None
    said = [told.get("kid", ""), told.get("alg", ""), *(told.get(m) for m in _MEMBERS[kind])]
    texts = [value for value in said if isinstance(value, str)]
    if len(texts) != len(said):
        return None
    kid, algorithm, *values = texts
    material = dict(zip(_MEMBERS[kind], values, strict=True))
    if kind == "RSA" and len(material["n"]) * 6 < LEAST_RSA_BITS:
        return None
    return PublicJwk(kid, kind, algorithm, material.get("crv", ""), tuple(material.items()))
