"""What a governed call costs beside one that stock mitmdump forwards, as ratios within one run.

Variants take turns, round after round, and each ratio is the median over the rounds: absolute
figures say more about the machine and its other users.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.bench import ENFORCE, EVENTS_PATH, FULL, STOCK, Bench, Variant
from benchmarks.frames import multiplexed
from benchmarks.load import anew, keep_alive
from benchmarks.machine import about
from benchmarks.report import Goal, Grid, finish
from benchmarks.rounds import Rows, Way, compare, grid

SCRIPT = "mitmdump -s, enforce, key"
OBSERVE = "interlock proxy, observe, key"
TWO = "the same, 2 workers"
MANY = 16
KEPT, ALONE = "keep-alive, 16 clients", "keep-alive, one client"
ANEW, EVENTS = "a new connection for every call", "answers of 40 events (SSE), 16 clients"
FRAMES, BASE = "HTTP/2, 16 calls on two connections", "by base URL, 16 clients"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Variants that are asked in one way."""

    way: Way
    clients: int
    variants: Sequence[Variant]


@contextmanager
def comparisons(folder: Path) -> Iterator[tuple[dict[str, Comparison], int]]:
    """Everything that is compared, all of it running, and the process of the upstream."""
    with Bench(folder) as bench:
        home = bench.home("home")
        straight, stock = bench.straight(), bench.stock()
        script = bench.door(SCRIPT, home, *ENFORCE, program="mitmdump")
        observe = bench.door(OBSERVE, home)
        full = bench.door(FULL, home, *ENFORCE)
        two = bench.door(TWO, home, *ENFORCE, workers=2)
        every = (straight, stock, script, observe, full, two)
        events = [one.asking(bench.with_key(EVENTS_PATH)) for one in (straight, stock)]
        events += [one.asking(bench.ask(EVENTS_PATH)) for one in (script, full)]
        by_base = [straight, *(one.by_base_url() for one in (stock, script, full, two))]
        yield (
            {
                KEPT: Comparison(keep_alive, MANY, every),
                ALONE: Comparison(keep_alive, 1, every),
                ANEW: Comparison(anew, 1, every),
                EVENTS: Comparison(keep_alive, MANY, events),
                FRAMES: Comparison(multiplexed, MANY, [one.framed(bench) for one in every]),
                BASE: Comparison(keep_alive, MANY, by_base),
            },
            bench.upstream.pid,
        )


def goals(tables: dict[str, Rows]) -> list[Goal]:
    """What was aimed at (ratios to stock mitmdump in the same run)."""
    kept, alone = tables[KEPT], tables[ALONE]
    return [
        Goal(f"{FULL}: rate / stock, 16 clients", kept[FULL]["rate_ratio"], 1.5, at_least=True),
        Goal(f"{SCRIPT}: rate / stock, 16 clients", kept[SCRIPT]["rate_ratio"], 0.8, at_least=True),
        Goal(f"{FULL}: p50 / stock, one client", alone[FULL]["p50_ms_ratio"], 0.8),
        Goal(f"{FULL}: p99 / stock, one client", alone[FULL]["p99_ms_ratio"], 0.8),
        Goal("2 workers / 1: CPU of a call", kept[TWO]["cpu_ms"] / kept[FULL]["cpu_ms"], 1.1),
    ]


def grids(found: dict[str, Any]) -> list[Grid]:
    """The tables of a report."""
    return [grid(title, rows) for title, rows in found["tables"].items()]


def main() -> int:
    """Measure, print, and answer 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    said = parser.parse_args()
    tables: dict[str, Rows] = {}
    found: dict[str, Any] = {"machine": about(), "tables": tables}
    with tempfile.TemporaryDirectory() as folder, comparisons(Path(folder)) as (known, upstream):
        for title, one in known.items():
            tables[title] = compare(
                one.variants,
                one.way,
                one.clients,
                said.rounds,
                said.seconds,
                upstream=upstream,
                than=STOCK,
            )
    return finish(grids(found), found, goals(tables), said.out)


if __name__ == "__main__":
    sys.exit(main())
