"""Where old events lie after they left the database: compressed, signed, and still verifiable."""

import gzip
import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from broker import Keyring, TokenError, paseto
from interlock.ledger.disk import furnish, put
from interlock.ledger.keys import AttestationError, public_keys, publish

PURPOSE = b"interlock-archive-v1"
ROWS = ".jsonl.gz"
SEAL = ".seal"
COLUMNS = ("node", "seq", "id", "ts", "kind", "agent", "decision_id", "body", "prev", "hash")
_PREV, _HASH = 8, 9

type Row = Sequence[Any]


@dataclass(frozen=True, slots=True)
class Seal:
    """What is signed about one file: which rows of one chain it holds, and its digest.

    `prev` and `hash` are where its part of the chain begins and ends, in hex; `until` is the
    time of its newest row in epoch seconds.
    """

    file: str
    node: str
    first: int
    last: int
    prev: str
    hash: str
    until: float
    sha256: str


class Archive:
    """The folder of sealed files; each goes on where the one before it ended."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def store(self, rows: Sequence[Row], keyring: Keyring) -> Seal:
        """Write consecutive rows of one node durably into a file of their own; raises OSError.

        The seal is written last: a file without one does not count.
        """
        furnish(self.folder)
        publish(self.folder, keyring.signing_key.verify_key)
        node, first, last = rows[0][0], rows[0][1], rows[-1][1]
        name = _name(node, first, last)
        data = gzip.compress("".join(map(_line, rows)).encode(), mtime=0)
        seal = Seal(
            file=name + ROWS,
            node=node,
            first=first,
            last=last,
            prev=rows[0][_PREV].hex(),
            hash=rows[-1][_HASH].hex(),
            until=max(row[3] for row in rows),
            sha256=hashlib.sha256(data).hexdigest(),
        )
        payload = json.dumps(asdict(seal), sort_keys=True).encode()
        token = paseto.sign(payload, keyring.signing_key, keyring.kid.encode(), PURPOSE)
        put(self.folder / seal.file, data)
        put(self.folder / (name + SEAL), token.encode() + b"\n")
        return seal

    def seals(self, node: str) -> list[Seal]:
        """What is archived of one node, in order; raises AttestationError."""
        keys = public_keys(self.folder)
        found = []
        for path in sorted(self.folder.glob(f"{node}-*{SEAL}")):
            try:
                token = path.read_text("ascii").strip()
                key = keys.get(paseto.footer_of(token).decode("ascii", "replace"))
                if key is None:
                    raise AttestationError(f"{path}: it was signed by a key that is not known here")
                payload, _ = paseto.verify(token, key, PURPOSE)
                found.append(_seal(payload))
            except (OSError, UnicodeDecodeError, TokenError) as e:
                raise AttestationError(f"{path}: {e}") from None
            except (ValueError, TypeError):
                raise AttestationError(f"{path}: is no seal") from None
        return found

    def nodes(self) -> set[str]:
        """The nodes of which something is archived."""
        return {path.name.partition("-")[0] for path in self.folder.glob(f"*{SEAL}")}

    def rows(self, seal: Seal, having: str = "") -> Iterator[Row]:
        """The rows of one file, as the database held them; raises AttestationError.

        With `having` only those in which it stands somewhere, which is known before they are read.
        """
        path = self.folder / seal.file
        try:
            data = path.read_bytes()
        except OSError as e:
            raise AttestationError(f"{path}: {e.strerror}") from None
        if hashlib.sha256(data).hexdigest() != seal.sha256:
            raise AttestationError(f"{path}: was changed")
        try:
            lines = gzip.decompress(data).splitlines()
            rows = [_row(line) for line in lines if having.encode() in line]
        except (OSError, EOFError, zlib.error, ValueError, TypeError):
            raise AttestationError(f"{path}: does not hold the rows of a ledger") from None
        yield from rows

    def forget_from(self, node: str, seq: int) -> None:
        """Remove what a prune that was cut short left behind: rows that the database still has."""
        for seal in self.seals(node):
            if seal.last >= seq:
                (self.folder / seal.file.replace(ROWS, SEAL)).unlink()
                (self.folder / seal.file).unlink(missing_ok=True)


def _name(node: str, first: int, last: int) -> str:
    return f"{node}-{first:012d}-{last:012d}"


def _seal(payload: bytes) -> Seal:
    """Read what was signed; raises ValueError or TypeError for what we would not have signed.

    Whoever can write the folder can put a key of their own there, so a signature is not enough.
    """
    seal = Seal(**json.loads(payload))
    if seal.file != _name(seal.node, seal.first, seal.last) + ROWS:
        raise ValueError("it names another file")
    if not isinstance(seal.until, int | float):
        raise TypeError("its time is no number")
    bytes.fromhex(seal.prev + seal.hash)
    return seal


def _row(line: bytes) -> Row:
    *values, prev, hash_ = json.loads(line)
    if len(values) != _PREV:
        raise ValueError("a row of another length")
    return [*values, bytes.fromhex(prev), bytes.fromhex(hash_)]


def _line(row: Row) -> str:
    values: Iterable[Any] = [*row[:_PREV], row[_PREV].hex(), row[_HASH].hex()]
    return json.dumps(list(values), separators=(",", ":")) + "\n"
