"""What a governed call costs when there is more of everything, beside when there is little.

For each axis a front door at every size, all of them up at once and called in turn; each figure is
a ratio to the smallest within one run. The exit code is 1 when a goal is missed.
"""

import argparse
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.axes import AXES, KB, MB, Axis, change
from benchmarks.bench import Bench, Variant
from benchmarks.chart import Panel
from benchmarks.load import in_turn, keep_alive, so_many
from benchmarks.machine import about, memory_of, peak_of
from benchmarks.report import Goal, Grid, finish
from benchmarks.rounds import Figures, Row, Rows, compare, measure, summary

CLIENTS = 4
MOST = 1.5
# The bytes and the calls of one round of bodies, whichever is reached first.
ROUND_BYTES, ROUND_CALLS = 100 * MB, 100
# So many calls, so far apart, while something changes.
WATCHED, PAUSE_S = 60, 0.02


def grow(axis: Axis, sizes: Sequence[int], folder: Path, rounds: int, seconds: float) -> Rows:
    """The figures of one axis, by size."""
    started: dict[str, float] = {}
    with Bench(folder) as bench:
        variants = []
        for size in sizes:
            began = time.perf_counter()
            variants.append(axis.start(bench, size))
            started[str(size)] = time.perf_counter() - began
        first, upstream = str(sizes[0]), bench.upstream.pid
        rows = (
            bodies(variants, rounds, upstream)
            if axis.by_size
            else compare(
                variants, keep_alive, CLIENTS, rounds, seconds, upstream=upstream, than=first
            )
        )
        for one in variants:
            row = rows[one.name]
            row |= {"memory": memory_of(one.pids), "peak": peak_of(one.pids)}
            row["prepare_s"] = started[one.name]
            if axis.changes:
                row["changed_ms"] = after_a_change(bench, one, rounds)
    return rows


def bodies(variants: Sequence[Variant], rounds: int, upstream: int) -> Rows:
    """Sizes in turn; what each call takes more than one of the smallest size, by megabyte."""
    taken: dict[str, list[Figures]] = {one.name: [] for one in variants}
    for number in range(rounds + 1):
        for one in variants:
            times = max(1, min(ROUND_CALLS, ROUND_BYTES // int(one.name)))
            figures = measure(one, so_many(times), 1, 0.0, upstream)
            if number:
                taken[one.name].append(figures)
    first = taken[variants[0].name]
    rows = {name: summary(row, first, None) for name, row in taken.items()}
    least = int(variants[0].name)
    for name, row in rows.items():
        for figure in ("cpu_ms", "p50_ms"):
            more = row[figure] - rows[variants[0].name][figure]
            row[f"{figure}_per_mb"] = (
                more / ((int(name) - least) / MB) if int(name) > least else 0.0
            )
    return rows


def after_a_change(bench: Bench, variant: Variant, rounds: int) -> float:
    """Milliseconds of the slowest call while the store changes; median over rounds."""
    slowest = []
    for _ in range(rounds):
        told = threading.Thread(target=change, args=[bench.folder / f"home-{variant.name}"])
        calls = in_turn(variant.target, WATCHED, PAUSE_S)
        next(calls)
        told.start()
        slowest.append(max(calls) * 1000)
        told.join()
    return statistics.median(slowest)


def goals_of_axis(axis: Axis, rows: Rows) -> list[Goal]:
    """The largest beside the smallest; of bodies, a megabyte of the largest beside one of 1 MB."""
    if not axis.by_size:
        last = list(rows.values())[-1]
        return [
            Goal(f"{axis.name}: CPU of a call, most / fewest", last["cpu_ms_ratio"], MOST),
            Goal(f"{axis.name}: median latency, most / fewest", last["p50_ms_ratio"], MOST),
        ]
    each = [row for name, row in rows.items() if int(name) >= MB]
    if len(each) < 2:
        return []
    return [
        Goal(
            f"{axis.name}: {words} of a megabyte, largest / 1 MB",
            each[-1][figure] / each[0][figure],
            MOST,
        )
        for words, figure in (("CPU", "cpu_ms_per_mb"), ("time", "p50_ms_per_mb"))
    ]


def grid(name: str, rows: Rows) -> Grid:
    """One axis as a table."""
    figures = {
        "calls/s": "{rate:,.0f}",
        "CPU ms": "{cpu_ms:.2f}",
        "CPU x": "{cpu_ms_ratio:.2f}",
        "p50 ms": "{p50_ms:.2f}",
        "p50 x": "{p50_ms_ratio:.2f}",
        "p99 ms": "{p99_ms:.2f}",
        "noise": "{noise:.0%}",
    }
    some = next(iter(rows.values()))
    if "cpu_ms_per_mb" in some:
        figures |= {"CPU ms/MB": "{cpu_ms_per_mb:.2f}", "p50 ms/MB": "{p50_ms_per_mb:.2f}"}
    if "changed_ms" in some:
        figures["after a change ms"] = "{changed_ms:.0f}"
    figures |= {
        "ready after s": "{prepare_s:.1f}",
        "memory MB": "{mb:,.0f}",
        "peak MB": "{peak_mb:,.0f}",
    }
    cells = [
        [f"{int(size):,}", *(text.format(**_megabytes(row)) for text in figures.values())]
        for size, row in rows.items()
    ]
    return Grid(f"Growth: {name}", (name, *figures), cells)


def _megabytes(row: Row) -> dict[str, float]:
    return row | {"mb": row["memory"] / MB, "peak_mb": row["peak"] / MB}


def grids(found: dict[str, Any]) -> list[Grid]:
    """The tables of a report."""
    return [grid(name, rows) for name, rows in found["axes"].items()]


def charts(found: dict[str, Any]) -> dict[str, list[Panel]]:
    """A drawing of each axis."""
    return {name.replace(" ", "-"): panels(name, rows) for name, rows in found["axes"].items()}


def panels(name: str, rows: Rows) -> list[Panel]:
    """CPU and latency beside the smallest size, or of a megabyte beside one of 1 MB; memory."""
    lines = {"CPU of a call": "cpu_ms_ratio", "median latency": "p50_ms_ratio"}
    title, sizes, unit = f"Growth: {name}, beside the smallest", list(rows), 1
    if any("cpu_ms_per_mb" in row for row in rows.values()):
        title = f"Growth: {name}, a megabyte beside one of a call of 1 MB"
        lines = {"CPU of a megabyte": "cpu_ms_per_mb", "time of a megabyte": "p50_ms_per_mb"}
        sizes, unit = [size for size in rows if int(size) >= MB], KB
    xs = [int(size) / unit for size in sizes]
    ratios = {
        words: [rows[size][figure] / (rows[sizes[0]][figure] or 1.0) for size in sizes]
        for words, figure in lines.items()
    }
    memory = {
        "peak": [row["peak"] / MB for row in rows.values()],
        "after": [row["memory"] / MB for row in rows.values()],
    }
    every = [int(size) / unit for size in rows]
    label = f"{name}, KB" if unit == KB else name
    drawn = [
        Panel(title, label, "times", xs, ratios, logarithmic=True, limit=MOST),
        Panel("Memory of its processes", label, "MB", every, memory, logarithmic=True),
    ]
    if "changed_ms" in rows[sizes[0]]:
        slowest = {"slowest call": [row["changed_ms"] for row in rows.values()]}
        title = "While something changes in the store"
        drawn.append(Panel(title, label, "ms", every, slowest, logarithmic=True))
    return drawn


def main() -> int:
    """Measure, print, and answer 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    names = [axis.name for axis in AXES]
    parser.add_argument("--axis", action="append", choices=names, help="only this one")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--most", type=int, help="leave larger sizes out")
    parser.add_argument("--rows", type=int, help="a last size of the ledger")
    parser.add_argument("--folder", type=Path, help="where homes are made (default: temporary)")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    said = parser.parse_args()
    found: dict[str, Any] = {"machine": about(), "axes": {}}
    goals: list[Goal] = []
    for axis in AXES:
        if said.axis and axis.name not in said.axis:
            continue
        sizes = [size for size in axis.sizes if said.most is None or size <= said.most]
        if said.rows and axis.name == "ledger rows":
            sizes = [*(size for size in sizes if size < said.rows), said.rows]
        with tempfile.TemporaryDirectory(dir=said.folder) as folder:
            rows = grow(axis, sizes, Path(folder), said.rounds, said.seconds)
        found["axes"][axis.name] = rows
        goals += goals_of_axis(axis, rows)
    return finish(grids(found), found, goals, said.out)


if __name__ == "__main__":
    sys.exit(main())
