"""Starts workers, listens to what they say, and holds the ledger against it."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from interlock.ledger import Ledger
from interlock.store import Database

ROOT = Path(__file__).parents[2]
# `make faults` tries more often, and for longer.
ROUNDS = int(os.environ.get("INTERLOCK_FAULT_ROUNDS", "5"))
# A front door takes seconds to start.
DOOR_ROUNDS = int(os.environ.get("INTERLOCK_FAULT_ROUNDS", "1"))
LOCKED_S = float(os.environ.get("INTERLOCK_FAULT_SECONDS", "2"))

type Worker = subprocess.Popen[str]


@contextmanager
def working(
    file: Path,
    callers: int = 8,
    calls: int = 1_000_000,
    *,
    under: Sequence[str] = (),
    environ: Mapping[str, str] = {},
) -> Iterator[Worker]:
    """A worker, under another program if need be; it is gone when the block ends."""
    module = [sys.executable, "-m", "tests.faults.worker", str(file), str(callers), str(calls)]
    variables = os.environ | {"PYTHONPATH": str(ROOT)} | environ
    with subprocess.Popen(
        [*under, *module], cwd=ROOT, env=variables, stdout=subprocess.PIPE, text=True
    ) as worker:
        try:
            yield worker
        finally:
            worker.kill()


def heard(worker: Worker, most: int = sys.maxsize) -> list[tuple[str, str]]:
    """What a worker says from now on: verbs and ids. A line that was cut short is not one."""
    assert worker.stdout
    lines: list[tuple[str, str]] = []
    while len(lines) < most and (line := worker.stdout.readline()).endswith("\n"):
        verb, id_ = line.split()
        lines.append((verb, id_))
    return lines


def left(said: Sequence[tuple[str, str]]) -> set[str]:
    """The calls that left."""
    return {id_ for verb, id_ in said if verb == "left"}


def events(file: Path) -> list[dict[str, Any]]:
    """The whole ledger, whose file and chain must be sound."""
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("pragma integrity_check").fetchone() == ("ok",)
    with Database(file) as database:
        ledger = Ledger(database)
        verification = ledger.verify()
        assert verification.intact, verification.problem
        return ledger.tail(10_000_000)


def decided(file: Path) -> set[str]:
    """The decisions that the ledger has."""
    return {event["decision_id"] for event in events(file) if event["kind"] == "decision"}
