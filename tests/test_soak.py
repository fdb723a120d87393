"""Memory is flat, in short; `make soak` takes longer over it."""

from pathlib import Path

from benchmarks.soak import MOST_GROWTH, call, call_anew, growth, running


def test_memory_is_flat(tmp_path: Path) -> None:
    """Neither calls on one connection nor connections leave anything behind."""
    with running(tmp_path) as found:
        assert growth(found, call, 800) < MOST_GROWTH
        assert growth(found, call_anew, 100) < MOST_GROWTH
