"""Old events leave the database for signed files, and the record stays whole."""

import asyncio
import gzip
import hashlib
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
from nacl.signing import SigningKey

from broker import Keyring, paseto
from interlock.ledger import Archive, AttestationError, Event, Ledger, Notary, Trail, Verification
from interlock.ledger import retention as module
from interlock.ledger.archive import PURPOSE
from interlock.ledger.keys import publish
from interlock.ledger.retention import HoldError, hold, prune
from interlock.store import Database

OURS = Keyring([SigningKey(bytes(range(32)))])
THEIRS = Keyring([SigningKey(b"x" * 32)])
ROWS = 100


class Home:
    """A ledger with a row a second, its checkpoints and its archive."""

    def __init__(self, folder: Path, database: Database) -> None:
        self.folder = folder
        self.ledger = Ledger(database)
        self.archive = Archive(folder / "archive")
        self.trail = Trail(folder / "checkpoints")
        for start in range(0, ROWS, 10):
            events = [Event(f"evt_{n}", float(n), "decision") for n in range(start, start + 10)]
            asyncio.run(self.ledger.decide(events))
        assert Notary(self.ledger, self.trail, lambda: OURS).attest(1e9)

    def prune(self, before: float) -> int:
        """Prune and answer how many events went."""
        seals = prune(self.ledger, self.archive, OURS, before)
        return sum(seal.last - seal.first + 1 for seal in seals)

    def verify(self) -> Verification:
        """What an auditor says."""
        return self.ledger.verify(self.trail.read(), archive=self.archive)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    monkeypatch.setattr(module, "BATCH", 17)
    with Database(tmp_path / "interlock.db") as database:
        yield Home(tmp_path, database)


def test_pruned_events_are_verified_with_the_rest(home: Home) -> None:
    """Nothing is lost: every row is read, from its file or from the database."""
    before = home.verify()
    assert home.prune(50.0) == 50
    after = home.verify()
    assert after.intact, after.problem
    pruned_events = 3  # one admin event for each file
    assert after.events == before.events + pruned_events
    assert home.ledger.first(home.ledger.nodes()[0]) == 51


def test_pruning_twice_goes_on_where_it_ended(home: Home) -> None:
    """And with everything old, the newest row stays, because the next one continues it."""
    assert home.prune(30.0) == 30
    assert home.prune(30.0) == 0
    assert home.prune(60.0) == 30
    home.prune(1e12)
    assert home.verify().intact
    asyncio.run(home.ledger.decide([Event("evt_new", 5.0, "decision")]))
    assert home.verify().intact


def test_the_guard_stands_again_after_a_prune(home: Home) -> None:
    """Rows cannot be deleted by anybody in between or afterwards."""
    home.prune(50.0)
    with pytest.raises(Exception, match="append-only"):
        home.ledger.change(lambda c: c.execute("delete from events"))


def rows_file(home: Home) -> Path:
    """The second file of the archive."""
    return next(home.folder.glob("archive/*-000000000018-*.jsonl.gz"))


def seal_anew(home: Home, data: bytes, said: bytes | dict[str, object] = b"") -> Path:
    """Put other content into the file, and sign for it, or for what is `said`, with another key."""
    path = rows_file(home)
    seal = next(one for one in home.archive.seals(home.ledger.nodes()[0]) if one.first == 18)
    path.write_bytes(data)
    publish(path.parent, THEIRS.signing_key.verify_key)
    true = asdict(seal) | {"sha256": hashlib.sha256(data).hexdigest()}
    payload = said if isinstance(said, bytes) and said else json.dumps(true | dict(said)).encode()
    token = paseto.sign(payload, THEIRS.signing_key, THEIRS.kid.encode(), PURPOSE)
    (sealed := path.with_name(path.name.replace(".jsonl.gz", ".seal"))).write_text(token)
    return sealed


def test_without_its_archive_the_record_is_not_whole(home: Home) -> None:
    """A file that is missing is named, and so is one that is no longer there at all."""
    home.prune(50.0)
    assert "seq 51: the row after seq 0 is missing" in home.ledger.verify(home.trail.read()).problem
    next(home.folder.glob("archive/*-000000000018-*.seal")).unlink()
    assert "seq 18: is not in the archive" in home.verify().problem


@pytest.mark.parametrize("name", ["jsonl.gz", "seal"])
def test_a_changed_file_is_found(home: Home, name: str) -> None:
    """A row that is edited, or a seal that is bent."""
    home.prune(50.0)
    file = next(home.folder.glob(f"archive/*-000000000018-*.{name}"))
    if name == "seal":
        file.write_text(file.read_text().replace("v4.public.e", "v4.public.f"))
    else:
        data = gzip.decompress(file.read_bytes()).replace(b"evt_20", b"evt_21")
        file.write_bytes(gzip.compress(data))
    assert str(file) in home.verify().problem


@pytest.mark.parametrize("kept", [0, 1, 16])
def test_an_archive_that_lost_rows_and_was_sealed_anew_is_found(home: Home, kept: int) -> None:
    """By a key that was put beside it: the seal says where its rows end, and they do not."""
    home.prune(50.0)
    data = gzip.decompress(rows_file(home).read_bytes()).splitlines(keepends=True)[:kept]
    seal_anew(home, gzip.compress(b"".join(data)))
    found = home.verify()
    assert f"seq {18 + kept}: is not in " in found.problem
    assert not home.ledger.verify(archive=home.archive).intact


def edit(lines: list[bytes], dice: random.Random) -> None:
    place = dice.randrange(len(lines))
    lines[place] = lines[place].replace(b'"decision"', b'"decisi0n"')


def delete(lines: list[bytes], dice: random.Random) -> None:
    del lines[dice.randrange(len(lines))]


def swap(lines: list[bytes], dice: random.Random) -> None:
    one, other = dice.sample(range(len(lines)), 2)
    lines[one], lines[other] = lines[other], lines[one]


def double(lines: list[bytes], dice: random.Random) -> None:
    place = dice.randrange(len(lines))
    lines.insert(place, lines[place])


@pytest.mark.parametrize("attack", [edit, delete, swap, double])
def test_finds_what_was_done_to_archived_rows(
    home: Home, attack: Callable[[list[bytes], random.Random], None]
) -> None:
    """Sixty times at random places, each sealed anew; node and number are named each time."""
    home.prune(50.0)
    whole = rows_file(home).read_bytes()
    for seed in range(60):
        lines = gzip.decompress(whole).splitlines(keepends=True)
        attack(lines, random.Random(seed))
        seal_anew(home, gzip.compress(b"".join(lines), 1))
        assert " seq " in home.verify().problem, f"seed {seed}"
    seal_anew(home, whole)
    assert home.verify().intact


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"not compressed", id="no gzip"),
        pytest.param(gzip.compress(b"x" * 99)[:-9], id="cut off"),
        pytest.param(gzip.compress(b"hello\n"), id="no JSON"),
        pytest.param(gzip.compress(b"{}\n"), id="no list"),
        pytest.param(gzip.compress(b'[1, "", ""]\n'), id="a short row"),
        pytest.param(gzip.compress(b'[1, 2, 3, 4, 5, 6, 7, 8, 9, "zz"]\n'), id="no hash"),
    ],
)
def test_a_sealed_file_of_something_else_is_named(home: Home, data: bytes) -> None:
    """Whoever signed it: one line, and no traceback."""
    home.prune(50.0)
    seal_anew(home, data)
    assert f"{rows_file(home)}: does not hold the rows of a ledger" in home.verify().problem


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(b"{", id="no JSON"),
        pytest.param(b"[]", id="no object"),
        pytest.param(b"{}", id="nothing"),
        pytest.param({"file": "../../keys/master.key"}, id="another file"),
        pytest.param({"first": "1"}, id="a text for a number"),
        pytest.param({"hash": 7}, id="a number for a hash"),
        pytest.param({"until": "soon"}, id="a text for a time"),
    ],
)
def test_a_signed_seal_of_something_else_is_named(
    home: Home, said: bytes | dict[str, object]
) -> None:
    """Nothing that it says is taken up, least of all the name of a file to remove."""
    home.prune(50.0)
    path = seal_anew(home, rows_file(home).read_bytes(), said)
    assert f"{path}: is no seal" in home.verify().problem
    with pytest.raises(AttestationError, match="is no seal"):
        home.prune(60.0)


def test_a_prune_that_was_cut_short_is_run_again(home: Home) -> None:
    """A file whose rows are still in the database is no file yet; the next prune replaces it."""
    node = home.ledger.nodes()[0]
    rows = home.ledger.rows(
        "select node, seq, id, ts, kind, agent, decision_id, body, prev, hash "
        "from events where node = ? and seq <= 9 order by seq",
        node,
    )
    home.archive.store([tuple(row) for row in rows], OURS)
    assert home.verify().intact
    assert home.prune(50.0) == 50
    assert home.verify().intact


def test_a_legal_hold_stops_pruning(home: Home) -> None:
    """Until it is released; both are recorded with their reason."""
    hold(home.ledger, "case 7")
    with pytest.raises(HoldError, match="case 7"):
        home.prune(50.0)
    assert not list(home.folder.glob("archive/*.gz"))
    hold(home.ledger, "")
    assert home.prune(50.0) == 50
    changes = [e["body"] for e in home.ledger.tail(200) if e["body"].get("action") == "ledger.hold"]
    assert [(c["before"], c["after"]) for c in changes] == [("", "case 7"), ("case 7", "")]
