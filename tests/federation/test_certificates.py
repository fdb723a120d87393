"""Client certificates: which chains prove an agent, and what revokes them."""

import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from interlock.errors import IdentityError, SettingsError
from interlock.federation.authorities import AuthorityFiles
from interlock.federation.certificate import Proven, verify_chain
from tests.federation.authority import DAY, Authority

BOT = "spiffe://td.example/bot"


@pytest.fixture(scope="module")
def _authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def authority(_authority: Authority) -> Authority:
    """One authority for all tests, which has revoked nothing."""
    _authority.publish()
    return _authority


def verify(
    authority: Authority, made: x509.Certificate, *, crl: bool = False, now: float | None = None
) -> Proven:
    """What the front door does with a certificate."""
    files = AuthorityFiles(authority.ca, authority.crl if crl else None)
    files.load()
    assert files.current
    chain = (made.public_bytes(Encoding.DER),)
    return verify_chain(chain, files.current, time.time() if now is None else now)


def test_a_certificate_has_its_fingerprint_and_its_spiffe_id(authority: Authority) -> None:
    """The exact one comes first; without a SPIFFE ID there is the fingerprint alone."""
    _, made = authority.issue(BOT)
    kinds = [identity.kind for identity in verify(authority, made).identities]
    assert kinds == ["certificate", "spiffe"]
    _, plain = authority.issue()
    assert len(verify(authority, plain).identities) == 1


NAME = b"\x0c\x03bot"
ECDSA_SHA256 = b"\x2a\x86\x48\xce\x3d\x04\x03\x02"


def bent(authority: Authority, name: bytes, algorithm: bytes = ECDSA_SHA256) -> x509.Certificate:
    """A certificate that was changed after it was signed: its name, how it says it is signed."""
    der = authority.issue(BOT)[1].public_bytes(Encoding.DER).replace(NAME, name)
    said = der.rindex(ECDSA_SHA256)
    der = der[:said] + algorithm + der[said + len(algorithm) :]
    return x509.load_der_x509_certificate(der)


BAD: list[object] = [
    pytest.param(
        lambda a: a.issue(BOT, use=ExtendedKeyUsageOID.SERVER_AUTH)[1], id="made for servers"
    ),
    pytest.param(lambda a: a.issue(BOT, ends=-timedelta(hours=1))[1], id="expired"),
    pytest.param(lambda a: a.issue(BOT, begins=timedelta(hours=1))[1], id="not yet"),
    pytest.param(lambda a: a.issue(BOT, "spiffe://td.example/x")[1], id="two SPIFFE IDs"),
    pytest.param(lambda a: a.issue("spiffe://td.example/../x")[1], id="no SPIFFE ID"),
    pytest.param(lambda a: Authority(a.folder / "x").issue(BOT)[1], id="of another authority"),
    pytest.param(lambda a: a.root, id="the authority itself"),
    pytest.param(lambda a: bent(a, b"\x0c\x03bat"), id="another name than was signed"),
    pytest.param(
        lambda a: bent(a, b"\x28\x03bot", b"\x25" + ECDSA_SHA256[1:]), id="a name of no kind"
    ),
]


@pytest.mark.parametrize("make", BAD)
def test_refuses_a_certificate_that_does_not_hold(
    authority: Authority, make: Callable[[Authority], x509.Certificate]
) -> None:
    """Whatever it is, the words are the same."""
    with pytest.raises(IdentityError, match="client certificate is not valid here"):
        verify(authority, make(authority))


def test_a_revoked_certificate_proves_nobody(authority: Authority) -> None:
    """Another of the same authority does; without a list nothing is asked."""
    (_, gone), (_, stays) = authority.issue(BOT), authority.issue(BOT)
    authority.publish(gone)
    assert verify(authority, stays, crl=True)
    assert verify(authority, gone)
    with pytest.raises(IdentityError) as e:
        verify(authority, gone, crl=True)
    assert e.value.cause == "revoked certificate"


def test_an_old_or_foreign_list_says_nothing(authority: Authority, tmp_path: Path) -> None:
    """Then nobody is proven: what is revoked cannot be known."""
    _, made = authority.issue(BOT)
    authority.publish(ends=-timedelta(hours=1))
    with pytest.raises(IdentityError) as e:
        verify(authority, made, crl=True)
    assert e.value.cause == "no current revocation list"
    authority.crl.write_bytes(Authority(tmp_path).crl.read_bytes())
    with pytest.raises(IdentityError):
        verify(authority, made, crl=True)
    authority.publish()
    ends = verify(authority, made, crl=True).ends_at
    assert time.time() < ends <= time.time() + DAY.total_seconds()


def test_a_file_that_breaks_leaves_the_last_good_one(authority: Authority) -> None:
    """And at the start it is one line that names the setting."""
    files = AuthorityFiles(authority.ca, authority.crl)
    files.load()
    good = files.current
    authority.crl.write_text("broken")
    time.sleep(0.25)
    assert files.current is good
    with pytest.raises(SettingsError, match=r"interlock_client_crl: .*crl.pem: holds no revo"):
        AuthorityFiles(authority.ca, authority.crl).load()
    authority.publish()
    time.sleep(0.25)
    assert files.current is not good
    with pytest.raises(SettingsError, match=r"interlock_client_ca: .*nothing: No such file"):
        AuthorityFiles(authority.folder / "nothing", None).load()
    with pytest.raises(SettingsError, match="needs interlock_client_ca"):
        AuthorityFiles(None, authority.crl).load()
