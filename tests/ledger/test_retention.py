"""Old events leave the database for signed files, and the record stays whole."""

import asyncio
import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest
from nacl.signing import SigningKey

from broker import Keyring
from interlock.ledger import Archive, Event, Ledger, Notary, Trail, Verification
from interlock.ledger import retention as module
from interlock.ledger.retention import HoldError, hold, prune
from interlock.store import Database

OURS = Keyring([SigningKey(bytes(range(32)))])
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
