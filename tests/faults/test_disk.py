"""A disk that is full, fails or may not be written: nothing leaves unrecorded, and it passes."""

import shutil
import subprocess
from pathlib import Path

import pytest

from interlock.errors import LedgerUnavailableError, StoreError
from interlock.ledger import Event, Ledger
from interlock.store import Database
from tests.faults.workers import events, heard, left, working

MOST = 1_500


async def decide(ledger: Ledger, number: int) -> bool:
    """Record a decision of some size; False when the call must not leave."""
    body = {"effect": "allow", "padding": "x" * 2_000}
    try:
        await ledger.decide([Event(f"evt_{number}", 1.0, "decision", "a", f"dec_{number}", body)])
    except LedgerUnavailableError:
        return False
    return True


FAULTS = [
    pytest.param("fsync,fdatasync", "EIO", 30, id="a disk that cannot sync"),
    pytest.param("pwrite64", "EROFS", 150, id="a file that may only be read from now on"),
]


async def test_a_full_disk_refuses_and_a_freed_one_goes_on(small_disk: Path) -> None:
    """Without a restart; what the full disk did not take is told by a gap."""
    file, ballast = small_disk / "interlock.db", small_disk / "ballast"
    ballast.write_bytes(bytes(1 << 20))
    with Database(file) as database:
        ledger = Ledger(database)
        fitted = [number for number in range(MOST) if await decide(ledger, number)][:MOST]
        assert 0 < len(fitted) < MOST
        ballast.unlink()
        assert await decide(ledger, MOST)
    recorded = events(file)
    ids = {event["decision_id"] for event in recorded}
    assert {f"dec_{number}" for number in (*fitted, MOST)} <= ids
    gaps = [event["body"]["writes"] for event in recorded if event["kind"] == "gap"]
    assert sum(gaps) == MOST - len(fitted)


@pytest.mark.skipif(not shutil.which("strace"), reason="needs strace: apt install strace")
@pytest.mark.parametrize(("calls", "error", "first"), FAULTS)
def test_a_disk_that_fails_refuses_and_goes_on(
    tmp_path: Path, calls: str, error: str, first: int
) -> None:
    """While running: the calls are refused, the next ones leave, the chain is whole."""
    file = tmp_path / "interlock.db"
    Database(file).close()
    fault = f"inject={calls}:error={error}:when={first}..{first + 4}"
    under = ("strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={calls}", "-e", fault)
    with working(file, callers=1, calls=60, under=under) as worker:
        said = heard(worker)
        assert worker.wait(60) == 0
    verbs = [verb for verb, _ in said]
    assert verbs.count("refused") >= 1
    assert verbs[-1] == "left"
    recorded = events(file)
    assert left(said) <= {event["decision_id"] for event in recorded}
    assert "gap" in {event["kind"] for event in recorded}


def test_a_file_that_may_only_be_read_is_named(small_disk: Path, tmp_path: Path) -> None:
    """One line, before anything is decided."""
    Database(small_disk / "interlock.db").close()
    command = ["mount", "-o", "remount,ro", str(small_disk)]
    subprocess.run(command, check=True)
    with pytest.raises(StoreError, match=r"small/interlock\.db: cannot open the database"):
        Database(small_disk / "interlock.db")
