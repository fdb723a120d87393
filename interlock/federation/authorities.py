"""The files of client authorities and their revocation lists, read again when they change."""

import logging
import re
import time
from pathlib import Path

from cryptography import x509

from interlock.errors import SettingsError
from interlock.federation.certificate import Authorities

log = logging.getLogger(__name__)

# So often a file is looked at, in seconds: a revocation has to be seen within one.
LOOK_EVERY_S = 0.2
MOST_BYTES = 32 << 20
_LIST = re.compile(rb"-----BEGIN X509 CRL-----.+?-----END X509 CRL-----", re.DOTALL)

type _Stamp = tuple[tuple[int, int, int], ...]


class AuthorityFiles:
    """What client certificates are checked with now. A file that breaks leaves the last good."""

    def __init__(self, ca: Path | None, crl: Path | None) -> None:
        """Nothing is read yet."""
        self._ca, self._crl = ca, crl
        self._stamp: _Stamp = ()
        self._looked_at = float("-inf")
        self._current: Authorities | None = None

    def load(self) -> None:
        """Read the files; raises SettingsError that names the setting and the file."""
        if self._crl and not self._ca:
            raise SettingsError("interlock_client_crl: needs interlock_client_ca beside it")
        if self._ca:
            stamp = self._stamped()
            self._current, self._stamp = self._read(self._ca), stamp

    @property
    def current(self) -> Authorities | None:
        """What holds now; None where no authority was set."""
        now = time.monotonic()
        if self._ca and now - self._looked_at >= LOOK_EVERY_S:
            self._looked_at = now
            self._look(self._ca)
        return self._current

    def _look(self, ca: Path) -> None:
        try:
            stamp = self._stamped()
            if stamp != self._stamp:
                self._stamp = stamp
                self._current = self._read(ca)
        except SettingsError as e:
            log.error("client authorities NOT loaded, the last good ones stay in force: %s", e)

    def _stamped(self) -> _Stamp:
        found = []
        for name, path in (("ca", self._ca), ("crl", self._crl)):
            if path:
                try:
                    stat = path.stat()
                except OSError as e:
                    raise _error(name, path, e.strerror or "cannot be read") from None
                found.append((stat.st_mtime_ns, stat.st_size, stat.st_ino))
        return tuple(found)

    def _read(self, ca: Path) -> Authorities:
        try:
            roots = tuple(x509.load_pem_x509_certificates(_bytes("ca", ca)))
        except ValueError:
            raise _error("ca", ca, "holds no certificate in PEM") from None
        if self._crl is None:
            return Authorities(roots)
        return Authorities(roots, _lists(self._crl), checks_revocation=True)


def _lists(path: Path) -> tuple[x509.CertificateRevocationList, ...]:
    blocks = _LIST.findall(_bytes("crl", path))
    try:
        lists = tuple(map(x509.load_pem_x509_crl, blocks))
    except ValueError:
        lists = ()
    if not lists:
        raise _error("crl", path, "holds no revocation list in PEM")
    return lists


def _bytes(name: str, path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            found = file.read(MOST_BYTES + 1)
    except OSError as e:
        raise _error(name, path, e.strerror or "cannot be read") from None
    if len(found) > MOST_BYTES:
        raise _error(name, path, f"is larger than {MOST_BYTES} bytes")
    return found


def _error(name: str, path: Path, why: str) -> SettingsError:
    return SettingsError(f"interlock_client_{name}: {path}: {why}")
