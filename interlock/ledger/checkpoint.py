"""A signed statement of how far the ledger had come at a moment, to be kept outside of it.

The chain shows every change but one: rows cut off at its end leave a shorter chain that is
intact. Held against a checkpoint that somebody keeps elsewhere, that shows too.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from nacl.signing import VerifyKey

from broker import Keyring, TokenError, paseto
from interlock.ledger.keys import AttestationError

PURPOSE = b"interlock-checkpoint-v1"
FIRST = ""


@dataclass(frozen=True, slots=True)
class Head:
    """The last row of one node's chain: its number, and its hash in hex."""

    seq: int
    hash: str


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where every chain ended at `ts` (epoch seconds); `previous` is the digest of the one before.

    The first has no predecessor, and the text FIRST in its place.
    """

    ts: float
    heads: Mapping[str, Head] = field(default_factory=dict)
    previous: str = FIRST


def sign_checkpoint(checkpoint: Checkpoint, keyring: Keyring) -> str:
    """Return the checkpoint as one line of text, a PASETO v4.public token."""
    payload = json.dumps(asdict(checkpoint), sort_keys=True, separators=(",", ":")).encode()
    return paseto.sign(payload, keyring.signing_key, keyring.kid.encode(), PURPOSE)


def verify_checkpoint(line: str, keys: Mapping[str, VerifyKey]) -> Checkpoint:
    """Return the checkpoint that one of `keys` (by kid) signed; raises AttestationError."""
    try:
        key = keys.get(paseto.footer_of(line).decode("ascii", "replace"))
        if key is None:
            raise AttestationError("it was signed by a key that is not known here")
        payload, _ = paseto.verify(line, key, PURPOSE)
    except TokenError as e:
        raise AttestationError(str(e)) from None
    try:
        return _checkpoint(payload)
    except (ValueError, TypeError, KeyError, AttributeError):
        raise AttestationError("what was signed is no checkpoint") from None


def _checkpoint(payload: bytes) -> Checkpoint:
    """Read what was signed; a key that somebody put into the folder may sign anything."""
    said = json.loads(payload)
    heads = {node: _head(head) for node, head in said["heads"].items()}
    return Checkpoint(float(said["ts"]), heads, str(said["previous"]))


def _head(said: Any) -> Head:
    if not isinstance(said["seq"], int):
        raise TypeError("the place of a row is a whole number")
    return Head(said["seq"], str(said["hash"]))


def digest_of(line: str) -> str:
    """Return what the next checkpoint says of this one."""
    return hashlib.sha256(line.encode()).hexdigest()
