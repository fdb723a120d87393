"""Waiting as long as a busy machine may take, and no longer than a quick one does."""

import time
from collections.abc import Callable, Iterator

import httpx

PATIENT_S = 30.0
# A stream of the tests runs for 20 seconds, when nothing cuts it.
CUT_S = 15.0


def wait_for(true: Callable[[], object], seconds: float = PATIENT_S) -> None:
    """Wait until `true()` is."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def assert_cut(events: Iterator[bytes], within_s: float = CUT_S) -> float:
    """Read on until the stream breaks off, and answer after how many seconds it did.

    One that ends by itself, or is late even for a busy machine, fails the test.
    """
    began = time.monotonic()
    try:
        for _ in events:
            assert time.monotonic() < began + within_s, "the stream runs on"
    except httpx.HTTPError:
        return time.monotonic() - began
    raise AssertionError("the stream ended by itself")
