"""The throw-away authority of the demo and of the tests."""

import stat
from pathlib import Path

import pytest

from interlock.demo.certificates import Certificates


def test_only_the_owner_reads_the_key(certificates: Certificates) -> None:
    """A private key is nobody else's to read."""
    assert stat.S_IMODE(certificates.key.stat().st_mode) == 0o600


def test_a_certificate_needs_a_host(tmp_path: Path) -> None:
    """A certificate for nobody is a mistake."""
    with pytest.raises(ValueError, match="identity"):
        Certificates.create(tmp_path)
