"""The front door as a process: what happens when it does not start, or is not waited for."""

import signal
from pathlib import Path

import pytest

from interlock.demo.front_door import FrontDoor

pytestmark = pytest.mark.slow


def test_a_start_that_fails_raises_with_the_log(tmp_path: Path) -> None:
    """Whoever opens the door reads why it stays shut."""
    options = ("--set", f"confdir={tmp_path / 'ca'}", "--set", "interlock_mode=nonsense")
    door = FrontDoor(tmp_path / "home", *options)
    with pytest.raises(RuntimeError, match=r"(?s)did not start:.*interlock_mode: "), door:
        pass
    assert door.process.returncode not in (None, 0)


def test_an_interrupted_start_leaves_no_process(tmp_path: Path) -> None:
    """Ctrl-C while the door opens shuts it."""
    door = FrontDoor(tmp_path / "home", "--set", f"confdir={tmp_path / 'ca'}")
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(KeyboardInterrupt), door:
            pass
    finally:
        signal.signal(signal.SIGALRM, before)
    assert door.process.returncode is not None
