"""A clock that is set back an hour: rows keep the order in which they came to be."""

from itertools import pairwise
from pathlib import Path

import pytest

from tests.faults.workers import decided, events, heard, left, working

LIBRARY = next(iter(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")), None)


@pytest.mark.skipif(LIBRARY is None, reason="needs libfaketime: apt install faketime")
def test_a_clock_that_is_set_back_breaks_nothing(tmp_path: Path) -> None:
    """The chain is whole, every call that left is there, and the newest row is the newest."""
    file, clock = tmp_path / "interlock.db", tmp_path / "clock"
    clock.write_text("+0")
    fake = {
        "LD_PRELOAD": str(LIBRARY),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    with working(file, callers=2, environ=fake) as worker:
        said = heard(worker, 40)
        clock.write_text("-1h")
        said += heard(worker, 100)
        worker.terminate()
        said += heard(worker)
    assert left(said) <= decided(file)
    rows = events(file)
    assert [row["seq"] for row in rows] == sorted(row["seq"] for row in rows)
    assert any(3500 < one["ts"] - two["ts"] < 3700 for one, two in pairwise(rows))
