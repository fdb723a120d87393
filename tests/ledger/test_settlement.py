"""Every call has an outcome, whatever became of the process that let it leave."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from interlock.ledger import Event, Ledger
from interlock.ledger.settlement import settle
from interlock.store import Database
from interlock.store.run import Run, is_alive

NOW = 1_700_000_000.0
SLEEPER = """
import sys, time
from pathlib import Path
from interlock.store.run import Run
run = Run(Path(sys.argv[1]))
print(run.id, flush=True)
time.sleep(60)
"""


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Database(tmp_path / "interlock.db") as database:
        yield Ledger(database)


def decided(ledger: Ledger, number: int, run: str, **body: Any) -> str:
    """Record a decision of a run and return its id."""
    id_ = f"dec_{number}"
    said = {"run": run, "effect": "allow", "enforced": True} | body
    event = Event(f"evt_{number}", NOW + number, "decision", "a", id_, said)
    asyncio.run(ledger.decide([event]))
    return id_


def outcomes(ledger: Ledger, decision: str) -> list[Any]:
    """How a call ended, as often as it did."""
    return [e["body"].get("ended") for e in ledger.of(decision) if e["kind"] == "outcome"]


@pytest.fixture
def killed(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The id of a run in another process, and the process."""
    environ = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", SLEEPER, str(tmp_path / "run")]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        yield process.stdout.readline().strip(), process
        process.kill()


def test_a_run_is_alive_until_it_is_killed(
    tmp_path: Path, killed: tuple[str, subprocess.Popen[str]]
) -> None:
    """SIGKILL leaves the file behind, but not the lock."""
    run, process = killed
    assert is_alive(tmp_path / "run", run)
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    assert (tmp_path / "run" / run).exists()
    assert not is_alive(tmp_path / "run", run)
    assert not (tmp_path / "run" / run).exists()


def test_calls_of_a_killed_process_are_unknown_once(
    ledger: Ledger, tmp_path: Path, killed: tuple[str, subprocess.Popen[str]]
) -> None:
    """While it lives they stay open; afterwards each gets one outcome, and no second."""
    run, process = killed
    alive = partial(is_alive, tmp_path / "run")
    decision = decided(ledger, 1, run)
    assert settle(ledger, alive, NOW + 10) == 0
    assert outcomes(ledger, decision) == []
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    assert settle(ledger, alive, NOW + 20) == 1
    assert settle(ledger, alive, NOW + 30) == 0
    assert outcomes(ledger, decision) == ["unknown"]


def test_what_never_left_has_no_outcome(ledger: Ledger) -> None:
    """A refusal is the end of its call; a denial that does not bind is not."""
    refused = decided(ledger, 1, "x", effect="deny")
    observed = decided(ledger, 2, "x", effect="deny", enforced=False)
    assert settle(ledger, lambda _: False, NOW + 10) == 1
    assert (outcomes(ledger, refused), outcomes(ledger, observed)) == ([], ["unknown"])


def test_what_ended_is_left_alone(ledger: Ledger) -> None:
    """One outcome a call."""
    decision = decided(ledger, 1, "x")
    ledger.note(Event("evt_o", NOW, "outcome", "a", decision, {"ended": "answered"}))
    ledger.flush()
    assert settle(ledger, lambda _: False, NOW + 10) == 0
    assert outcomes(ledger, decision) == ["answered"]


def test_looks_no_further_back_than_the_oldest_open_call(ledger: Ledger) -> None:
    """A call that is still open the first time is found the second time."""
    early, late = decided(ledger, 1, "alive"), decided(ledger, 2, "dead")
    assert settle(ledger, lambda run: run == "alive", NOW + 10) == 1
    assert settle(ledger, lambda _: False, NOW + 20) == 1
    assert (outcomes(ledger, early), outcomes(ledger, late)) == (["unknown"], ["unknown"])


def test_a_run_that_ends_leaves_nothing(tmp_path: Path) -> None:
    """The file goes with it; a second run has another id."""
    with Run(tmp_path / "run") as one, Run(tmp_path / "run") as other:
        assert one.id != other.id
        assert is_alive(tmp_path / "run", one.id)
    assert list((tmp_path / "run").iterdir()) == []
