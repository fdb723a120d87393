"""Variants that take turns, round after round; each figure is the median over the rounds."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rich.progress import track

from benchmarks.bench import Variant
from benchmarks.load import Measured, Target
from benchmarks.machine import cpu_of
from benchmarks.report import Grid

type Way = Callable[[Target, int, float], Measured]
type Row = dict[str, float]
type Rows = dict[str, Row]

WARM_S, MOST_S = 1.0, 60.0
RATIOS = ("rate", "cpu_ms", "p50_ms", "p99_ms")


@dataclass(frozen=True, slots=True)
class Figures:
    """One variant in one round: calls a second, CPU a call, latencies in milliseconds."""

    rate: float
    cpu_ms: float
    client_cpu_ms: float
    upstream_cpu_ms: float
    p50_ms: float
    p99_ms: float


def measure(variant: Variant, way: Way, clients: int, seconds: float, upstream: int) -> Figures:
    """One variant in one round, a longer one where no call ended; `upstream` is what answers.

    Raises RuntimeError when none ends in a minute.
    """
    before, served = cpu_of(variant.pids), cpu_of([upstream])
    measured = way(variant.target, clients, seconds)
    cpu, served = cpu_of(variant.pids) - before, cpu_of([upstream]) - served
    calls, latencies = measured.calls, sorted(measured.latencies)
    if not calls:
        if seconds > MOST_S:
            raise RuntimeError(f"{variant.name}: no call ended in {seconds:.0f} s")
        return measure(variant, way, clients, 2 * seconds, upstream)
    return Figures(
        rate=calls / measured.seconds,
        cpu_ms=cpu * 1000 / calls,
        client_cpu_ms=measured.cpu * 1000 / calls,
        upstream_cpu_ms=served * 1000 / calls,
        p50_ms=latencies[len(latencies) // 2] * 1000,
        p99_ms=latencies[min(len(latencies) - 1, len(latencies) * 99 // 100)] * 1000,
    )


def compare(
    found: Sequence[Variant],
    way: Way,
    clients: int,
    rounds: int,
    seconds: float,
    *,
    upstream: int,
    than: str,
) -> Rows:
    """All variants in turn, and each as a ratio to the one named `than` in the same round."""
    for one in found:
        measure(one, way, clients, min(seconds, WARM_S), upstream)
    rows: dict[str, list[Figures]] = {one.name: [] for one in found}
    for _ in track(range(rounds), f"{len(found)} variants, {clients} clients", transient=True):
        for one in found:
            rows[one.name].append(measure(one, way, clients, seconds, upstream))
    straight = rows.get("straight")
    return {name: summary(row, rows[than], straight) for name, row in rows.items()}


def summary(
    row: Sequence[Figures], than: Sequence[Figures], straight: Sequence[Figures] | None
) -> Row:
    """Medians, ratios and how far they spread, and what is added to the latency of no proxy."""
    middle = {name: statistics.median(getattr(f, name) for f in row) for name in Figures.__slots__}
    ratios = {
        f"{name}_ratio": statistics.median(
            getattr(a, name) / (getattr(b, name) or 1) for a, b in zip(row, than, strict=True)
        )
        for name in RATIOS
    }
    each = [a.rate / b.rate for a, b in zip(row, than, strict=True)]
    own = [a.rate / middle["rate"] for a in row]
    added = {
        f"{name}_added": statistics.median(
            getattr(a, name) - getattr(b, name) for a, b in zip(row, straight, strict=True)
        )
        for name in ("p50_ms", "p99_ms")
        if straight
    }
    spread = {"least": min(each), "most": max(each), "noise": max(own) - min(own)}
    return middle | ratios | added | spread


COLUMNS = (
    "variant",
    "calls/s",
    "x",
    "spread",
    "noise",
    "CPU ms",
    "x",
    "a core",
    "p50 ms",
    "x",
    "added",
    "p99 ms",
    "x",
    "added",
    "client",
    "upstream",
)


def grid(title: str, rows: Mapping[str, Row]) -> Grid:
    """One comparison as a table."""
    return Grid(title, COLUMNS, [cells(name, row) for name, row in rows.items()])


def cells(name: str, row: Row) -> list[str]:
    """One variant as a row."""
    return [
        name,
        f"{row['rate']:.0f}",
        f"{row['rate_ratio']:.2f}",
        f"{row['least']:.2f}-{row['most']:.2f}",
        f"{row['noise']:.0%}",
        f"{row['cpu_ms']:.2f}",
        f"{row['cpu_ms_ratio']:.2f}",
        f"{1000 / row['cpu_ms']:.0f}" if row["cpu_ms"] else "",
        f"{row['p50_ms']:.2f}",
        f"{row['p50_ms_ratio']:.2f}",
        f"{row['p50_ms_added']:.2f}" if "p50_ms_added" in row else "",
        f"{row['p99_ms']:.2f}",
        f"{row['p99_ms_ratio']:.2f}",
        f"{row['p99_ms_added']:.2f}" if "p99_ms_added" in row else "",
        f"{row['client_cpu_ms']:.2f}",
        f"{row['upstream_cpu_ms']:.2f}",
    ]
