"""SIGKILL at any moment: what has left is a part of what is recorded."""

import random
import signal
import time
from pathlib import Path

from tests.faults.workers import ROUNDS, decided, heard, left, working


def test_what_left_before_a_kill_is_recorded(tmp_path: Path) -> None:
    """Two processes on one file, eight callers each, killed at a random moment, again and again."""
    file, dice, gone = tmp_path / "interlock.db", random.Random(), set[str]()
    for _ in range(ROUNDS):
        with working(file) as one, working(file) as other:
            gone |= left(heard(one, 20)) | left(heard(other, 20))
            for worker in (one, other):
                time.sleep(dice.uniform(0.0, 0.2))
                worker.send_signal(signal.SIGKILL)
                gone |= left(heard(worker))
        assert gone <= decided(file)
    assert len(gone) >= 40 * ROUNDS
