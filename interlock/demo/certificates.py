"""A throw-away CA and one server certificate, on disk where only its owner reads the key."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import trustme


@dataclass(frozen=True, slots=True)
class Certificates:
    """Paths of PEM files: the CA to trust, the server's certificate chain and its private key."""

    ca: Path
    chain: Path
    key: Path

    @classmethod
    def create(cls, directory: Path, *hosts: str) -> Self:
        """Write a new CA and a certificate for `hosts` (names or IP addresses) into `directory`.

        Raises ValueError when no host is given.
        """
        authority = trustme.CA()
        server = authority.issue_cert(*hosts)
        directory.mkdir(parents=True, exist_ok=True)
        made = cls(directory / "ca.pem", directory / "server.pem", directory / "server-key.pem")
        authority.cert_pem.write_to_path(made.ca)
        made.chain.write_bytes(b"".join(blob.bytes() for blob in server.cert_chain_pems))
        _write_private(made.key, server.private_key_pem.bytes())
        return made


def _write_private(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)
    path.touch(mode=0o600, exist_ok=False)
    path.write_bytes(content)
