"""Memory is flat, in short; `make soak` takes longer over it, and looks on for minutes."""

import json
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from benchmarks import page, soak
from benchmarks.soak import MOST_GROWTH, Running, call, call_anew, growth, running
from benchmarks.watch import Sample, watch


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A front door, shared."""
    with running(tmp_path_factory.mktemp("soak")) as door:
        yield door


def test_memory_is_flat(found: Running) -> None:
    """Neither calls on one connection nor connections leave anything behind."""
    assert growth(found, call, 800) < MOST_GROWTH
    assert growth(found, call_anew, 100) < MOST_GROWTH


def test_a_look_tells_what_is_held(found: Running) -> None:
    """Each sample has calls, memory, open files, and the lag that the loop tells of itself."""
    (sample,) = watch(found.polite, found.events, found.pids, found.admin, 1.2)
    assert sample.calls > 0
    assert sample.memory_mb > 50
    assert sample.files > 10
    assert sample.worst_lag_ms >= sample.lag_ms > 0
    assert sample.p99_ms >= sample.p50_ms > 0


def test_one_look_is_beside_itself() -> None:
    """A time too short for two looks tells of no growth, and does not break."""
    goals = soak.goals_over_time([Sample(0.1, 10, 100.0, 30, 1.0, 5.0, 2.0, 9.0)])
    assert [goal.measured for goal in goals] == [1.0, 1.0]


def test_looks_over_time_are_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples become a table, a goal and a chart; memory that grows by a half misses it."""
    one = Sample(1, 10, 100.0, 30, 1.0, 5.0, 2.0, 9.0)
    samples = [replace(one, minute=n, calls=10 * n, memory_mb=90.0 + 10 * n) for n in range(1, 7)]
    found = {"machine": {"python": "3", "mitmproxy": "12", "cores": 2, "load": [1, 1, 1]}}
    found |= {"load_after": [2, 2, 2], "samples": [asdict(each) for each in samples]}
    found["goals"] = [asdict(goal) for goal in soak.goals_over_time(samples)]
    (tmp_path / "soak.json").write_text(json.dumps(found))
    monkeypatch.setattr(sys, "argv", ["page", str(tmp_path)])
    assert page.main() == 0
    text = (tmp_path / "figures.md").read_text()
    assert "over 1, 5 and 15 minutes 1 / 1 / 1 before and 2 / 2 / 2 after" in text
    assert "| memory, last fifth / first, 6 minutes | at most 1.2 | 1.4 | missed |" in text
    assert "| file descriptors, last fifth / first, 6 minutes | at most 1.2 | 1 | met |" in text
    assert "![over-time](soak-over-time.svg)" in text
    assert ET.parse(tmp_path / "soak-over-time.svg").getroot().tag.endswith("svg")  # noqa: S314 - ours
