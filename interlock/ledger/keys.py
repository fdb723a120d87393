"""The public keys that lie beside what they signed, one a file, in PASERK."""

from pathlib import Path

from nacl.signing import VerifyKey

from interlock.delegation import format_public_key, kid_of, parse_public_key
from interlock.errors import InterlockError
from interlock.ledger.disk import put


class AttestationError(InterlockError):
    """What was signed beside the ledger is missing or was changed; the message names the file."""


def publish(folder: Path, key: VerifyKey) -> None:
    """Put a public key into a folder, unless it is there."""
    path = folder / f"{kid_of(key)}.pub"
    if not path.exists():
        put(path, f"{format_public_key(key)}\n".encode(), mode=0o644)


def public_keys(folder: Path) -> dict[str, VerifyKey]:
    """The public keys that lie in a folder, by kid; raises AttestationError."""
    found = {}
    for path in sorted(folder.glob("*.pub")):
        try:
            key = parse_public_key(path.read_text("ascii").strip())
        except (ValueError, OSError) as e:
            raise AttestationError(f"{path}: {e}") from None
        found[kid_of(key)] = key
    return found
