"""A governed call beside what proxies of others take for one, as ratios within one run.

Each is installed by its registry's own client into a folder of its own, and set up as near to the
same work as it can be; what it does less has a column. The exit code is 1 when one is ahead.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.bench import ENFORCE, FULL, STOCK, Bench, Variant
from benchmarks.load import keep_alive
from benchmarks.machine import about
from benchmarks.peer.gateway import litellm
from benchmarks.peer.installed import PeerMissingError
from benchmarks.peer.wire import keys_on_the_wire, sandbox_runtime, sproxy, varlock
from benchmarks.report import Goal, Grid, finish
from benchmarks.rounds import Rows, compare, grid

MANY = 16


@dataclass(frozen=True, slots=True)
class Peer:
    """What is set beside ours, and what it does and does not do for a call."""

    name: str
    start: Callable[[Bench], Variant]
    work: str


PROXIES = [
    Peer(
        "keys-on-the-wire",
        keys_on_the_wire,
        "Python, on mitmproxy: host, method and path allowed, key put in, a line of audit that is "
        "synced to disk; no proof of who calls, no policy, no scrubbing",
    ),
    Peer(
        "sproxy",
        sproxy,
        "Python, on mitmproxy: host allowed, key put in, request searched for secrets, a chained "
        "line of audit that is not synced; no proof of who calls, no policy, no scrubbing",
    ),
    Peer(
        "varlock",
        varlock,
        "Node: host allowed, key put in, answer scrubbed, a line of audit that is not synced; no "
        "proof of who calls, no policy",
    ),
    Peer(
        "@anthropic-ai/sandbox-runtime",
        sandbox_runtime,
        "Node: a second process that allows everything is asked, key put in; no proof of who "
        "calls, no policy, no record, no scrubbing",
    ),
]
GATEWAYS = [
    Peer(
        "LiteLLM proxy",
        litellm,
        "Python: its own key checked, request parsed and written anew for the provider, answer "
        "parsed, cost counted; no policy, no record without a database, no scrubbing",
    )
]


def started(peers: Sequence[Peer], bench: Bench) -> tuple[list[Variant], dict[str, str]]:
    """Those that run here, and why the others do not."""
    running, missing = [], {}
    for peer in peers:
        try:
            running.append(peer.start(bench))
        except PeerMissingError as e:
            missing[peer.name] = str(e)
    return running, missing


def run(folder: Path, rounds: int, seconds: float) -> tuple[dict[str, Rows], dict[str, str]]:
    """All comparisons by title, and the peers that do not run here with the reason."""
    tables: dict[str, Rows] = {}
    with Bench(folder) as bench:
        ours = bench.door(FULL, bench.home("home"), *ENFORCE)
        stock = bench.stock()
        proxies, missing = started(PROXIES, bench)
        gateways, absent = started(GATEWAYS, bench)
        sides = {
            "as a proxy": [ours, stock, *proxies],
            "by base URL": [ours.by_base_url(), stock.by_base_url(), *gateways],
        }
        for side, found in sides.items():
            for words, clients in ((f"{MANY} clients", MANY), ("one client", 1)):
                tables[f"{side}, {words}"] = compare(
                    found,
                    keep_alive,
                    clients,
                    rounds,
                    seconds,
                    upstream=bench.upstream.pid,
                    than=FULL,
                )
    return tables, missing | absent


def goals(tables: dict[str, Rows]) -> list[Goal]:
    """Nobody is ahead of a governed call."""
    others = [
        (f"{name}: {{}} / ours, {title}", row)
        for title, rows in tables.items()
        for name, row in rows.items()
        if name not in (FULL, STOCK)
    ]
    return [
        *(Goal(name.format("rate"), row["rate_ratio"], 1.0) for name, row in others),
        *(
            Goal(name.format("CPU of a call"), row["cpu_ms_ratio"], 1.0, at_least=True)
            for name, row in others
        ),
    ]


def grids(found: dict[str, Any]) -> list[Grid]:
    """The tables of a report."""
    known = [*PROXIES, *GATEWAYS]
    work = [(one.name, found["missing"].get(one.name, "runs here"), one.work) for one in known]
    return [
        Grid("Peers, and their work for a call", ("peer", "on this machine", "work"), work),
        *(grid(f"Peers {title}", rows) for title, rows in found["tables"].items()),
    ]


def main() -> int:
    """Measure, print, and answer 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    said = parser.parse_args()
    began = about()
    with tempfile.TemporaryDirectory() as folder:
        tables, missing = run(Path(folder), said.rounds, said.seconds)
    found = {"machine": began, "missing": missing, "tables": tables}
    return finish(grids(found), found, goals(tables), said.out)


if __name__ == "__main__":
    sys.exit(main())
