"""What stays flat: memory over many calls and many connections, and an agent beside a greedy one.

Each figure is a ratio within one run; the exit code is 1 when an aim is missed.
"""

import argparse
import contextlib
import multiprocessing
import ssl
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.bench import ENFORCE, EVENTS_PATH, Bench
from benchmarks.chart import Panel
from benchmarks.load import Target, connect, in_turn
from benchmarks.machine import about, listens, memory_of
from benchmarks.report import Goal, Grid, finish
from benchmarks.watch import MOST_GROWTH, Sample, panels, watch
from benchmarks.watch import goals as goals_over_time
from benchmarks.watch import grid as grid_over_time
from interlock.demo.ports import free_ports
from interlock.installation import Installation
from interlock.model import Agent, Trust
from interlock.settings import Settings

GREEDY = "greedy-agent"
# Of all calls, those that fill caches and pools before anything is compared.
WARM = 0.2
MOST_SLOWER = 2.0
# What an agent may ask for a second while another, which calls at a steady pace, is measured.
FULL_RATE = 50
UNBOUNDED = 1_000_000
EVERY_S = 0.05
POLITE_CALLS = 200


@dataclass(frozen=True, slots=True)
class Running:
    """A front door in enforce mode: where two agents send calls, and its processes.

    `events` is the polite agent's call that a stream answers; `admin` is the port of /metrics.
    """

    polite: Target
    greedy: Target
    events: Target
    pids: tuple[int, ...]
    admin: int


@contextmanager
def running(folder: Path, rate: int = UNBOUNDED) -> Iterator[Running]:
    """Everything that is needed, on this machine; `rate` is what an agent may ask for a second."""
    with Bench(folder) as bench:
        home = bench.home("home")
        with Installation(Settings.load(home=home.folder)) as installation:
            other = installation.registry.add(Agent(GREEDY, owner="ada", trust=Trust.TRUSTED))
        (admin,) = free_ports(1)
        words = [*ENFORCE, "--set", f"interlock_max_rate={rate}", "--admin-port", str(admin)]
        door = bench.door("soak", home, *words)
        while not listens(admin):
            time.sleep(0.05)
        yield Running(
            polite=door.target,
            greedy=replace(door.target, credentials=f"{GREEDY}:{other}"),
            events=door.asking(bench.ask(EVENTS_PATH)).target,
            pids=door.pids,
            admin=admin,
        )


def growth(found: Running, run: Callable[[Target, int], None], times: int) -> float:
    """How many times the memory grows from the end of the warm-up to the end of `times` runs."""
    warm = max(1, int(times * WARM))
    run(found.polite, warm)
    begin = memory_of(found.pids)
    run(found.polite, times - warm)
    return memory_of(found.pids) / begin


def call(target: Target, times: int) -> None:
    """So many calls on one connection."""
    for _ in in_turn(target, times):
        pass


def call_anew(target: Target, times: int) -> None:
    """So many calls, each on a connection of its own."""
    for _ in range(times):
        call(target, 1)


def slower(found: Running, rounds: int) -> float:
    """How many times longer the p99 of a polite agent is beside one that never pauses."""
    ratios = []
    for _ in range(rounds):
        alone = p99(found.polite)
        # A process of its own, so that it does not take the time of who measures.
        noise = multiprocessing.get_context("spawn").Process(target=ask_on, args=(found.greedy,))
        noise.start()
        time.sleep(2.0)
        try:
            ratios.append(p99(found.polite) / alone)
        finally:
            noise.kill()
            noise.join()
    return statistics.median(ratios)


def p99(target: Target) -> float:
    """The 99th percentile of calls that come at a steady pace, in seconds."""
    latencies = sorted(in_turn(target, POLITE_CALLS, EVERY_S))
    return latencies[len(latencies) * 99 // 100]


def ask_on(target: Target) -> None:
    """Send requests without a pause, whatever the answers say."""
    trust = ssl.create_default_context(cafile=target.ca)
    with contextlib.closing(connect(target, trust)) as sock:
        while True:
            sock.sendall(target.request)
            sock.recv(65536)


def measure(folder: Path, calls: int, connections: int, rounds: int) -> list[Goal]:
    """All figures that are about a number of calls."""
    folder.mkdir()
    with running(folder) as found:
        grown = {
            f"{calls:,} calls on one connection": growth(found, call, calls),
            f"{connections:,} connections": growth(found, call_anew, connections),
        }
    with tempfile.TemporaryDirectory() as other, running(Path(other), FULL_RATE) as found:
        waited = slower(found, rounds)
    return [
        *(
            Goal(f"memory over {what}, end / first fifth", value, MOST_GROWTH)
            for what, value in grown.items()
        ),
        Goal("p99 beside an agent at full rate / alone", waited, MOST_SLOWER),
    ]


def over_time(folder: Path, minutes: float) -> list[Sample]:
    """What is found while it is called for so long."""
    folder.mkdir()
    samples = []
    with running(folder) as found:
        looks = watch(found.polite, found.events, found.pids, found.admin, minutes * 60)
        for sample in looks:
            samples.append(sample)
            # Half an hour without a word would look like a program that hangs.
            sys.stderr.write(f"{sample}\n")
    return samples


def grids(found: dict[str, Any]) -> list[Grid]:
    """The tables of a report."""
    samples = [Sample(**one) for one in found["samples"]]
    return [grid_over_time(samples)] if samples else []


def charts(found: dict[str, Any]) -> dict[str, list[Panel]]:
    """What was found over time, drawn."""
    samples = [Sample(**one) for one in found["samples"]]
    return {"over-time": panels(samples)} if samples else {}


def main() -> int:
    """Measure, print, and answer 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=50_000, help="0: leave this part out")
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=0.0, help="look on for so long, too")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    said = parser.parse_args()
    found: dict[str, Any] = {"machine": about(), "samples": []}
    goals: list[Goal] = []
    with tempfile.TemporaryDirectory() as folder:
        if said.calls:
            goals += measure(Path(folder) / "calls", said.calls, said.connections, said.rounds)
        if said.minutes:
            samples = over_time(Path(folder) / "time", said.minutes)
            found["samples"] = [asdict(one) for one in samples]
            goals += goals_over_time(samples)
    return finish(grids(found), found, goals, said.out)


if __name__ == "__main__":
    sys.exit(main())
