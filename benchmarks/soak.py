"""What stays flat: memory over many calls and many connections, and an agent beside a greedy one.

Each figure is a ratio within one run; the exit code is 1 when an aim is missed.
"""

import argparse
import contextlib
import json
import multiprocessing
import ssl
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.load import Target, connect, in_turn, post
from benchmarks.machine import about, memory_of, tree
from benchmarks.throughput import AGENT, CHAT, furnish
from benchmarks.upstream import Upstream
from interlock.demo.certificates import Certificates
from interlock.demo.front_door import FrontDoor
from interlock.installation import Installation
from interlock.model import Agent, Trust
from interlock.settings import Settings

GREEDY = "greedy-agent"
# Of all calls, those that fill caches and pools before anything is compared.
WARM = 0.2
MOST_GROWTH = 1.2
MOST_SLOWER = 2.0
# What an agent may ask for a second while another, which calls at a steady pace, is measured.
FULL_RATE = 50
UNBOUNDED = 1_000_000
EVERY_S = 0.05
POLITE_CALLS = 200


@dataclass(frozen=True, slots=True)
class Running:
    """A front door in enforce mode: where two agents send calls, and its processes."""

    polite: Target
    greedy: Target
    pids: tuple[int, ...]


@contextmanager
def running(folder: Path, rate: int = UNBOUNDED) -> Iterator[Running]:
    """Everything that is needed, on this machine; `rate` is what an agent may ask for a second."""
    certificates = Certificates.create(folder / "tls", "localhost")
    with Upstream(certificates.chain, certificates.key) as upstream:
        home = folder / "home"
        key = furnish(home, upstream.port)
        with Installation(Settings.load(home=home)) as installation:
            other = installation.registry.add(Agent(GREEDY, owner="ada", trust=Trust.TRUSTED))
        words = [f"--set=ssl_verify_upstream_trusted_ca={certificates.ca}", "--enforce"]
        words += ["--set=interlock_allow_private=localhost", f"--set=interlock_max_rate={rate}"]
        with FrontDoor(home, *words, program="interlock") as door:
            request = post(f"localhost:{upstream.port}", "/v1/chat/completions", CHAT)
            proxy, ca = door.ports[0], str(door.ca)
            polite = Target("localhost", upstream.port, ca, request, proxy, f"{AGENT}:{key}")
            greedy = replace(polite, credentials=f"{GREEDY}:{other}")
            yield Running(polite, greedy, tree(door.process.pid))


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


def measure(folder: Path, calls: int, connections: int, rounds: int) -> dict[str, float]:
    """All figures, by what they are."""
    with running(folder / "memory") as found:
        on_one = growth(found, call, calls)
        on_many = growth(found, call_anew, connections)
    with running(folder / "fair", FULL_RATE) as found:
        waited = slower(found, rounds)
    return {
        "memory over calls on one connection": on_one,
        "memory over connections": on_many,
        "p99 beside an agent at full rate": waited,
    }


def main() -> int:
    """Measure, print, and answer 1 when an aim is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=50_000)
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder), chosen.calls, chosen.connections, chosen.rounds)
    for name, figure in figures.items():
        sys.stdout.write(f"{name}: {figure:.2f} times\n")
    if chosen.out:
        chosen.out.write_text(json.dumps({"machine": about(), **figures}, indent=2) + "\n")
    *grown, waited = figures.values()
    return int(max(grown) > MOST_GROWTH or waited > MOST_SLOWER)


if __name__ == "__main__":
    sys.exit(main())
