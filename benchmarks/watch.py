"""Looks at a front door again and again while it is called: memory, files, loop lag, latency."""

import re
import statistics
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.chart import Panel
from benchmarks.load import Target, in_turn
from benchmarks.machine import files_of, memory_of
from benchmarks.report import Goal, Grid

MB = 1 << 20
EVERY_S = 10.0
# In each window: calls at this pace on one connection, and so many on connections of their own.
PACE_S, ANEW = 0.02, 10
MOST_GROWTH = 1.2
PARTS = 5
LAG = "interlock_loop_lag_seconds"


@dataclass(frozen=True, slots=True)
class Sample:
    """What was found at the end of a window, `minute` after the begin."""

    minute: float
    calls: int
    memory_mb: float
    files: int
    lag_ms: float
    worst_lag_ms: float
    p50_ms: float
    p99_ms: float


class Lag:
    """The loop lag that a front door tells of itself, since it was asked last."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/metrics"
        self._before = self._ask()

    def since(self) -> tuple[float, float]:
        """Mean and worst in milliseconds; the worst is the upper bound of its bucket."""
        before, now = self._before, self._ask()
        self._before = now
        more = {name: now[name] - before.get(name, 0.0) for name in now}
        counts = sorted((float(le), more[le]) for le in more if le not in ("sum", "count"))
        worst = next((le for le, count in counts if count >= more["count"]), 0.0)
        return more["sum"] / (more["count"] or 1) * 1000, worst * 1000

    def _ask(self) -> dict[str, float]:
        with urllib.request.urlopen(self._url, timeout=30) as answer:  # noqa: S310 - ours
            text = answer.read().decode()
        found = re.findall(rf'^{LAG}_(?:bucket{{le="([^"]+)"}}|(sum|count)) (\S+)$', text, re.M)
        return {le or name: float(value) for le, name, value in found}


def watch(
    target: Target, events: Target, pids: Sequence[int], admin: int, seconds: float
) -> Iterator[Sample]:
    """Call at a steady pace; yield a sample for each window. `events` is answered by a stream."""
    lag, began, calls = Lag(admin), time.monotonic(), 0
    window = min(EVERY_S, seconds)
    while time.monotonic() - began < seconds:
        until = time.monotonic() + window
        latencies = [one for _ in range(ANEW) for one in in_turn(target, 1)]
        latencies += list(in_turn(events, ANEW, PACE_S))
        # On one connection of its own, for what is left of the window.
        left = max(1, round((until - time.monotonic()) / PACE_S))
        for took in in_turn(target, left, PACE_S):
            latencies.append(took)
            if time.monotonic() > until:
                break
        calls += len(latencies)
        latencies.sort()
        mean, worst = lag.since()
        yield Sample(
            minute=(time.monotonic() - began) / 60,
            calls=calls,
            memory_mb=memory_of(pids) / MB,
            files=files_of(pids),
            lag_ms=mean,
            worst_lag_ms=worst,
            p50_ms=latencies[len(latencies) // 2] * 1000,
            p99_ms=latencies[len(latencies) * 99 // 100] * 1000,
        )


def grid(samples: Sequence[Sample]) -> Grid:
    """A row for each fifth of the time, medians but for the worst lag."""
    columns = ("until minute", "calls", "memory MB", "files", "loop lag ms", "worst", "p50", "p99")
    rows = []
    for part in _parts(samples):
        lag, p50, p99 = (_median(part, name) for name in ("lag_ms", "p50_ms", "p99_ms"))
        rows.append(
            [
                f"{part[-1].minute:.1f}",
                f"{part[-1].calls:,}",
                f"{_median(part, 'memory_mb'):.0f}",
                f"{_median(part, 'files'):.0f}",
                f"{lag:.2f}",
                f"{max(one.worst_lag_ms for one in part):.0f}",
                f"{p50:.1f}",
                f"{p99:.1f}",
            ]
        )
    return Grid(f"{samples[-1].minute:.0f} minutes", columns, rows)


def goals(samples: Sequence[Sample]) -> list[Goal]:
    """Nothing grows: the last fifth of the time beside the first."""
    parts = _parts(samples)
    first, last = parts[0], parts[-1]
    return [
        Goal(
            f"{words}, last fifth / first, {samples[-1].minute:.0f} minutes",
            _median(last, name) / _median(first, name),
            MOST_GROWTH,
        )
        for words, name in (("memory", "memory_mb"), ("file descriptors", "files"))
    ]


def panels(samples: Sequence[Sample]) -> list[Panel]:
    """What was found over time, drawn."""
    minutes = [one.minute for one in samples]

    def panel(title: str, unit: str, **lines: str) -> Panel:
        drawn = {
            words.replace("_", " "): [float(getattr(one, name)) for one in samples]
            for words, name in lines.items()
        }
        return Panel(title, "minutes", unit, minutes, drawn)

    return [
        panel("Memory of all processes", "MB", memory="memory_mb"),
        panel("Open file descriptors", "", files="files"),
        panel("Loop lag", "ms", mean="lag_ms", worst="worst_lag_ms"),
        panel("Latency of a call", "ms", p50="p50_ms", p99="p99_ms"),
    ]


def _parts(samples: Sequence[Sample]) -> list[Sequence[Sample]]:
    size = max(1, len(samples) // PARTS)
    return [samples[at : at + size] for at in range(0, size * min(PARTS, len(samples)), size)]


def _median(samples: Sequence[Sample], name: str) -> float:
    return statistics.median(getattr(one, name) for one in samples)
