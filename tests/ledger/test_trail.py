"""Checkpoints: what is signed, where it lies, and what survives a crash or a full disk."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from nacl.signing import SigningKey

from broker import Keyring, paseto
from interlock.ledger import AttestationError, Event, Ledger, Notary, Trail
from interlock.ledger.checkpoint import Checkpoint, Head, sign_checkpoint, verify_checkpoint
from interlock.ledger.notary import LONGEST_S, MOST_EVENTS
from interlock.store import Database

OURS = Keyring([SigningKey(bytes(range(32)))])
KEYS = {OURS.kid: OURS.signing_key.verify_key}
HEADS = {"n": Head(7, "ab")}
NOW = 1_700_000_000.0


def test_a_checkpoint_comes_back_as_it_was_signed() -> None:
    """sign and verify mirror each other."""
    checkpoint = Checkpoint(NOW, HEADS, "before")
    assert verify_checkpoint(sign_checkpoint(checkpoint, OURS), KEYS) == checkpoint


def test_a_token_of_another_purpose_is_no_checkpoint() -> None:
    """A capability token or a delegation, signed by the very same key, does not pass."""
    payload = json.dumps({"ts": 1.0, "heads": {}, "previous": ""}).encode()
    other = paseto.sign(payload, OURS.signing_key, OURS.kid.encode(), b"interlock-sct-v1")
    with pytest.raises(AttestationError):
        verify_checkpoint(other, KEYS)


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b"{", id="no JSON"),
        pytest.param(b"[]", id="no object"),
        pytest.param(b"{}", id="nothing"),
        pytest.param(b'{"ts": 1, "previous": "", "heads": []}', id="a list of heads"),
        pytest.param(b'{"ts": 1, "previous": "", "heads": {"n": {"seq": 1}}}', id="no hash"),
        pytest.param(
            b'{"ts": 1, "previous": "", "heads": {"n": {"seq": "1", "hash": ""}}}',
            id="a text for a number",
        ),
        pytest.param(b'{"ts": "now", "previous": "", "heads": {}}', id="a text for a time"),
    ],
)
def test_what_was_signed_and_is_no_checkpoint_is_named(tmp_path: Path, payload: bytes) -> None:
    """Whoever can write the folder can sign anything with a key of their own: file and line."""
    trail = Trail(tmp_path)
    trail.write(HEADS, OURS, NOW)
    (file,) = tmp_path.glob("*.checkpoints")
    purpose = b"interlock-checkpoint-v1"
    file.write_text(f"{paseto.sign(payload, OURS.signing_key, OURS.kid.encode(), purpose)}\n")
    with pytest.raises(
        AttestationError, match=r"\.checkpoints:1: what was signed is no checkpoint"
    ):
        list(trail.read())


def test_lines_are_chained_over_days_and_clocks(tmp_path: Path) -> None:
    """A new day is a new file; a clock that goes back changes nothing of the order."""
    trail = Trail(tmp_path)
    for now in (NOW, NOW + 60, NOW + 86_400, NOW + 30):
        trail.write(HEADS, OURS, now)
    assert [c.ts - NOW for c in trail.read()] == [0.0, 60.0, 86_400.0, 30.0]
    assert len(list(tmp_path.glob("*.checkpoints"))) == 2


def test_a_line_that_a_copy_has_twice_is_read_once(tmp_path: Path) -> None:
    """What is posted comes at least once; one that comes again later than that is out of place."""
    trail = Trail(tmp_path)
    for now in (NOW, NOW + 60, NOW + 120):
        trail.write(HEADS, OURS, now)
    (file,) = tmp_path.glob("*.checkpoints")
    first, second, third = file.read_text().splitlines(keepends=True)
    file.write_text("".join([first, first, second, second, second, third]))
    assert [c.ts - NOW for c in trail.read()] == [0.0, 60.0, 120.0]
    file.write_text("".join([first, second, first, third]))
    with pytest.raises(AttestationError, match=":3: the checkpoint before it is missing"):
        list(trail.read())


def test_half_a_line_does_not_count_and_does_not_stay(tmp_path: Path) -> None:
    """What a crash left of a line is not read, and makes room for the next."""
    trail = Trail(tmp_path)
    trail.write(HEADS, OURS, NOW)
    (file,) = tmp_path.glob("*.checkpoints")
    with file.open("a") as torn:
        torn.write("v4.public.hal")
    assert len(list(trail.read())) == 1
    trail.write(HEADS, OURS, NOW + 1)
    assert len(list(trail.read())) == 2


def test_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    """Folder 0700, files 0600: names of nodes and times are nobody else's business."""
    folder = tmp_path / "checkpoints"
    Trail(folder).write(HEADS, OURS, NOW)
    (file,) = folder.glob("*.checkpoints")
    assert (folder.stat().st_mode & 0o777, file.stat().st_mode & 0o777) == (0o700, 0o600)


def test_processes_that_write_at_once_keep_one_chain(tmp_path: Path) -> None:
    """Four processes, twenty lines each: eighty lines, each naming the one before it."""
    script = (
        "import sys; from pathlib import Path; from tests.ledger.test_trail import *\n"
        "for n in range(20): Trail(Path(sys.argv[1])).write(HEADS, OURS, NOW + n)"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    environ = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    for process in [subprocess.Popen(command, env=environ) for _ in range(4)]:
        assert process.wait(60) == 0
    assert len(list(Trail(tmp_path).read())) == 80


def happen(ledger: Ledger, count: int) -> None:
    """Let some things happen."""
    events = [Event(f"evt_{os.urandom(8).hex()}", NOW, "decision") for _ in range(count)]
    asyncio.run(ledger.decide(events))


def test_a_checkpoint_is_due_after_a_minute_or_a_thousand_events(tmp_path: Path) -> None:
    """And never when nothing has happened, however long that is."""
    with Database(tmp_path / "interlock.db") as database:
        ledger = Ledger(database)
        notary = Notary(ledger, Trail(tmp_path / "checkpoints"), lambda: OURS)
        assert not notary.attest_when_due(NOW)
        happen(ledger, 1)
        assert not notary.attest_when_due(NOW + LONGEST_S - 1)
        assert notary.attest_when_due(NOW + LONGEST_S)
        assert not notary.attest_when_due(NOW + 10 * LONGEST_S)
        happen(ledger, MOST_EVENTS - 1)
        assert not notary.attest_when_due(NOW + 10 * LONGEST_S + 1)
        happen(ledger, 1)
        assert notary.attest_when_due(NOW + 10 * LONGEST_S + 1)


def test_a_folder_that_cannot_be_written_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said in the log, and the next checkpoint covers what this one would have."""
    (tmp_path / "checkpoints").write_text("in the way")
    with Database(tmp_path / "interlock.db") as database:
        ledger = Ledger(database)
        notary = Notary(ledger, Trail(tmp_path / "checkpoints"), lambda: OURS)
        happen(ledger, 3)
        assert not notary.attest(NOW)
        assert "no checkpoint of the ledger could be made" in caplog.text
        (tmp_path / "checkpoints").unlink()
        assert notary.attest(NOW + 1)
        assert ledger.verify(Trail(tmp_path / "checkpoints").read()).intact


def attested(folder: Path, times: int) -> None:
    """Write some events, each attested."""
    with Database(folder / "interlock.db") as database:
        ledger = Ledger(database)
        notary = Notary(ledger, Trail(folder / "checkpoints"), lambda: OURS)
        for number in range(times):
            asyncio.run(ledger.decide([Event(f"evt_{number}", NOW, "decision")]))
            assert notary.attest(NOW + number)


def without(folder: Path, kept: slice) -> None:
    """Keep a part of the lines of the trail, without a trace of the rest."""
    (file,) = (folder / "checkpoints").glob("*.checkpoints")
    file.write_text("".join(file.read_text().splitlines(keepends=True)[kept]))


def found(folder: Path) -> str:
    """What is wrong with a ledger and its own trail."""
    trail = Trail(folder / "checkpoints")
    with Database(folder / "interlock.db") as database:
        return Ledger(database).verify(trail.read(), trail=trail).problem


def test_a_last_line_that_was_deleted_is_missed(tmp_path: Path) -> None:
    """The lines alone do not show it; the ledger remembers, also when others follow."""
    attested(tmp_path, 3)
    assert found(tmp_path) == ""
    without(tmp_path, slice(-1))
    assert "seq 6: tells of a checkpoint that is not in" in found(tmp_path)
    attested(tmp_path, 1)
    assert "seq 6: tells of a checkpoint that is not in" in found(tmp_path)


def test_a_trail_that_is_gone_is_missed(tmp_path: Path) -> None:
    """All of it."""
    attested(tmp_path, 2)
    without(tmp_path, slice(0))
    assert "seq 2: tells of a checkpoint that is not in" in found(tmp_path)


def test_old_files_may_be_moved_away(tmp_path: Path) -> None:
    """What is older than the first line that is left is not missed."""
    attested(tmp_path, 3)
    without(tmp_path, slice(1, None))
    assert found(tmp_path) == ""


def test_a_clock_that_was_set_back_puts_no_checkpoint_off(tmp_path: Path) -> None:
    """An hour without one would be an hour that could be cut off."""
    with Database(tmp_path / "interlock.db") as database:
        ledger = Ledger(database)
        notary = Notary(ledger, Trail(tmp_path / "checkpoints"), lambda: OURS)
        for number, now in enumerate((NOW, NOW - 3600)):
            asyncio.run(ledger.decide([Event(f"evt_{number}", now, "decision")]))
            assert notary.attest_when_due(now)
