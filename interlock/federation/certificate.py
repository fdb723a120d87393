"""Client certificates: a chain to an authority that was set, for clients, now, and not revoked."""

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from interlock.errors import IdentityError
from interlock.federation.identity import CERTIFICATE, SPIFFE, Identity, parse_spiffe

MOST_INTERMEDIATES = 4

# Everything by which a certificate can turn out to be none.
_BAD = (
    ValueError,
    KeyError,  # a name of a kind that ASN.1 does not have
    VerificationError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.ExtensionNotFound,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)

type Chain = tuple[bytes, ...]


class CertificateError(IdentityError):
    """A certificate proves nothing; strangers are told the same whatever it is."""

    def __init__(self, cause: str) -> None:
        super().__init__("the client certificate is not valid here", cause)


@dataclass(frozen=True, slots=True)
class Authorities:
    """What client certificates are checked with; without `lists` nothing is asked of revocation."""

    roots: tuple[x509.Certificate, ...]
    lists: tuple[x509.CertificateRevocationList, ...] = ()
    checks_revocation: bool = False


@dataclass(frozen=True, slots=True)
class Proven:
    """The names that a certificate proves, the most exact one first, and until when (epoch)."""

    identities: tuple[Identity, ...]
    ends_at: float


def verify_chain(chain: Chain, authorities: Authorities, now: float) -> Proven:
    """Verify a certificate and its intermediates, in DER, the client's own first.

    The path is checked as RFC 5280 says, with the use `clientAuth`. Raises CertificateError.
    """
    try:
        leaf, *others = (x509.load_der_x509_certificate(der) for der in chain)
        path = _path(leaf, others[:MOST_INTERMEDIATES], authorities, now)
        identities = _identities(leaf)
    except _BAD:
        raise CertificateError("bad certificate") from None
    ends = [certificate.not_valid_after_utc.timestamp() for certificate in path]
    if authorities.checks_revocation:
        ends += _revocation_ends(path, authorities, now)
    return Proven(identities, min(ends))


def _path(
    leaf: x509.Certificate, others: list[x509.Certificate], authorities: Authorities, now: float
) -> list[x509.Certificate]:
    # Of a name in the certificate nothing is asked: what it stands for is bound in the registry.
    of_leaf = ExtensionPolicy.webpki_defaults_ee()
    for extension in (x509.SubjectAlternativeName, x509.AuthorityKeyIdentifier):
        of_leaf = of_leaf.may_be_present(extension, Criticality.AGNOSTIC, None)
    of_authority = ExtensionPolicy.webpki_defaults_ca()
    builder = PolicyBuilder().store(Store(list(authorities.roots))).time(_moment(now))
    builder = builder.extension_policies(ee_policy=of_leaf, ca_policy=of_authority)
    use = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    if ExtendedKeyUsageOID.CLIENT_AUTH not in use:
        raise ValueError("not for clients")
    return builder.build_client_verifier().verify(leaf, others).chain


def _identities(leaf: x509.Certificate) -> tuple[Identity, ...]:
    """The fingerprint, and the one SPIFFE ID that an X.509-SVID has (X509-SVID, 2)."""
    own = Identity(CERTIFICATE, leaf.fingerprint(SHA256()).hex())
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return (own,)
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    if not any(uri.lower().startswith("spiffe:") for uri in uris):
        return (own,)
    (only,) = uris
    return own, Identity(SPIFFE, parse_spiffe(only))


def _revocation_ends(
    path: list[x509.Certificate], authorities: Authorities, now: float
) -> list[float]:
    """Until when the lists hold by which nothing of a path is revoked.

    The client's own certificate needs a current list of its issuer; so does every other of
    which there is one. Raises CertificateError.
    """
    ends: list[float] = []
    for certificate, issuer in pairwise(path):
        lists = [one for one in authorities.lists if one.issuer == certificate.issuer]
        if not lists and certificate is not path[0]:
            continue
        current = [one for one in lists if _holds(one, issuer, now)]
        if not current:
            raise CertificateError("no current revocation list")
        serial = certificate.serial_number
        if any(one.get_revoked_certificate_by_serial_number(serial) for one in current):
            raise CertificateError("revoked certificate")
        ends += [_next(one) for one in current]
    return ends


def _holds(one: x509.CertificateRevocationList, issuer: x509.Certificate, now: float) -> bool:
    """Say whether a list is whole, signed by its issuer, and of now.

    A critical extension may say that it is a part only (RFC 5280, 5.2).
    """
    try:
        signed = one.is_signature_valid(issuer.public_key())  # type: ignore[arg-type]
        whole = not any(extension.critical for extension in one.extensions)
    except (TypeError, *_BAD):
        return False
    return signed and whole and one.last_update_utc.timestamp() <= now < _next(one)


def _next(one: x509.CertificateRevocationList) -> float:
    return one.next_update_utc.timestamp() if one.next_update_utc else float("inf")


def _moment(now: float) -> datetime:
    return datetime.fromtimestamp(now, UTC)
