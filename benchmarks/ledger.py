"""What the ledger costs: durable decisions a second, beside stock mitmdump, and among many rows.

Ratios within one run, as in decision.py; the times of the questions are for this machine.
"""

import argparse
import asyncio
import contextlib
import itertools
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.machine import about, cpu_of
from benchmarks.past import DOMAIN, START, event, fill, past_id
from benchmarks.report import Goal, Grid, finish
from interlock.demo.ports import free_ports
from interlock.ledger import Event, Ledger, Question, Span
from interlock.ledger.ledger import new_id
from interlock.model import Mode
from interlock.store import Database
from tests.door.world import CHAT, World

SECONDS, ROUNDS = 5.0, 5
FEW = 1_000
MILLION, HOUR_S, DAY_S = 1_000_000, 3_600.0, 86_400.0
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 600\r\n\r\n" + b"x" * 600
REQUEST = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 600\r\n\r\n" + b"x" * 600


async def decide(ledger: Ledger) -> None:
    """One call: its decision with a token that is spent, then its outcome."""
    now = time.time()
    one = event(int(now * 1e6), now)
    await ledger.decide([one], tokens=[new_id("sct")], expires_at=now + 30)
    ended = {"ended": "answered", "status": 200}
    ledger.note(Event(new_id("evt"), now, "outcome", one.agent, one.decision_id, ended))


async def rate(ledger: Ledger, in_flight: int, seconds: float) -> dict[str, float]:
    """Decisions a second with so many at once, their latency, and CPU time of each."""
    times: list[float] = []
    until = time.perf_counter() + seconds

    async def caller() -> None:
        while (began := time.perf_counter()) < until:
            await decide(ledger)
            times.append(time.perf_counter() - began)

    cpu = time.process_time()
    await asyncio.gather(*(caller() for _ in range(in_flight)))
    cpu = time.process_time() - cpu
    cuts = statistics.quantiles(times, n=100)
    micros = {"p50": cuts[49] * 1e6, "p99": cuts[98] * 1e6, "cpu": cpu / len(times) * 1e6}
    return {"per_second": len(times) / seconds} | micros


@contextmanager
def stock() -> Iterator[tuple[int, int]]:
    """A mitmdump without any addon of ours in front of the upstream; the ports of both."""
    upstream, proxy = free_ports(2)
    command = [str(Path(sys.executable).parent / "mitmdump"), "-q"]
    command += ["--mode", f"reverse:http://127.0.0.1:{upstream}@127.0.0.1:{proxy}"]
    server = [sys.executable, "-m", "benchmarks.ledger", "--upstream", str(upstream)]
    with (
        subprocess.Popen(server) as one,  # noqa: S603 - both are our own
        subprocess.Popen(command) as other,  # noqa: S603
    ):
        try:
            yield proxy, upstream
        finally:
            other.terminate()
            one.terminate()


async def upstream(port: int) -> None:
    """Answer every request."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            while await reader.readuntil(b"\r\n\r\n"):
                await reader.readexactly(600)
                writer.write(ANSWER)
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", port) as server:
        await server.serve_forever()


async def forwarded(ports: tuple[int, int], seconds: float, clients: int = 16) -> float:
    """Requests a second that come back through a proxy."""
    done = 0
    until = 0.0

    async def client() -> None:
        nonlocal done
        reader, writer = await connected(ports[0])
        while time.perf_counter() < until:
            writer.write(REQUEST)
            await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(600)
            done += 1
        writer.close()

    for port in ports:
        _, probe = await connected(port)
        probe.close()
    until = time.perf_counter() + seconds
    await asyncio.gather(*(client() for _ in range(clients)))
    return done / seconds


async def connected(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection, as soon as somebody listens."""
    for _ in range(600):
        try:
            return await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.1)
    raise TimeoutError(f"nobody listens on {port}")


def beside(
    ledger: Ledger, ports: tuple[int, int], seconds: float, rounds: int
) -> tuple[dict[str, dict[str, float]], float, float]:
    """Rates by how many are in flight, those of stock, and the ratio at eight, all medians.

    In turns of `seconds` over all rounds: what else the machine does meets each of them alike.
    """
    turn = seconds / rounds
    taken: dict[str, list[dict[str, float]]] = {"1": [], "8": [], "64": []}
    through = []
    for _ in range(rounds):
        for n, found in taken.items():
            found.append(asyncio.run(rate(ledger, int(n), turn)))
        through.append(asyncio.run(forwarded(ports, turn)))
    rates = {n: {key: _median(found, key) for key in found[0]} for n, found in taken.items()}
    pairs = zip(taken["8"], through, strict=True)
    ratio = statistics.median(ours["per_second"] / theirs for ours, theirs in pairs)
    return rates, statistics.median(through), ratio


def _median(found: list[dict[str, float]], key: str) -> float:
    return statistics.median(one[key] for one in found)


def governed(folder: Path, calls: int) -> float:
    """Microseconds of CPU time that the front door spends on a governed call."""
    with World(folder) as world, world.client(Mode.OBSERVE) as client:
        pid = world.doors[Mode.OBSERVE].process.pid
        url = f"{world.openai}/v1/chat/completions"
        for _ in range(20):
            client.post(url, json=CHAT)
        before = cpu_of([pid])
        for _ in range(calls):
            client.post(url, json=CHAT)
        return (cpu_of([pid]) - before) / calls * 1e6


async def one_more(few: Ledger, many: Ledger, rounds: int) -> tuple[float, float]:
    """Microseconds for one more decision in each, taking turns."""
    times: dict[int, list[float]] = {0: [], 1: []}
    for which, ledger in itertools.islice(itertools.cycle(enumerate((few, many))), 2 * rounds):
        began = time.perf_counter()
        await decide(ledger)
        times[which].append(time.perf_counter() - began)
    return statistics.median(times[0]) * 1e6, statistics.median(times[1]) * 1e6


def questions(ledger: Ledger, rows: int) -> dict[str, float]:
    """Seconds for what people ask; of a query, the first hundred answers."""
    end = START + rows
    hour, day = end - HOUR_S, end - DAY_S
    middle = rows // 4 * 2 + 1
    host = f"api-3.{DOMAIN}:443"
    queries = {
        "everything": Question(),
        "an hour": Question(since=hour),
        "an agent": Question(agent="agent-7"),
        "an agent's last hour": Question(agent="agent-7", since=hour),
        "denials of an hour": Question(decision="deny", since=hour),
        "a host": Question(host=host),
        "a goal": Question(goal="goal-3"),
        "a user": Question(user="user-3"),
        "a user at a host": Question(user="user-3", host=host),
    }
    asked: dict[str, Callable[[], object]] = {
        "tail": lambda: ledger.tail(20),
        "show by decision id": lambda: ledger.of(past_id("dec", middle)),
        "show by event id": lambda: ledger.of(past_id("evt", middle)),
        **{
            f"query: {name}": partial(first, ledger, 100, question)
            for name, question in queries.items()
        },
        "stats of an hour": lambda: ledger.statistics(hour, end),
        "stats of a day": lambda: ledger.statistics(day, end),
        "verify the oldest million": lambda: ledger.verify(span=Span(0.0, START + MILLION)),
    }
    return {name: _seconds(ask) for name, ask in asked.items()}


def first(ledger: Ledger, count: int, question: Question) -> list[Any]:
    """The first answers to a question."""
    return list(itertools.islice(ledger.query(question), count))


def _seconds(what: Callable[[], object]) -> float:
    began = time.perf_counter()
    what()
    return time.perf_counter() - began


def main() -> int:
    """Measure and print; 0 when every aim is met, else 1."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000, help="how many rows are many")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="how often all take turns")
    parser.add_argument("--ledger", type=Path, help="keep the many rows in this file, or find them")
    parser.add_argument("--calls", type=int, default=300, help="governed calls to measure")
    parser.add_argument("--out", type=Path, help="write the figures as JSON to this file")
    parser.add_argument("--upstream", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.upstream:
        asyncio.run(upstream(chosen.upstream))
        return 0
    began = about()
    with tempfile.TemporaryDirectory() as name:
        found = measure(Path(name), chosen.rows, chosen.calls, chosen.ledger, chosen.rounds)
    found["machine"] = began
    return finish(grids(found), found, goals(found), chosen.out)


def goals(found: dict[str, Any]) -> list[Goal]:
    """What was aimed at, and what came out."""
    more = found["one_more_micros"]
    return [
        Goal(
            "decisions a second, 8 in flight / stock's requests",
            found["eight_to_stock"],
            5,
            at_least=True,
        ),
        Goal(
            "one more decision among many rows / among a thousand", more["many"] / more["few"], 1.2
        ),
    ]


def grids(found: dict[str, Any]) -> list[Grid]:
    """The tables of a report."""
    rates = [
        [
            n,
            f"{one['per_second']:,.0f}",
            *(f"{one[name] / 1000:.2f}" for name in ("p50", "p99", "cpu")),
        ]
        for n, one in found["rates"].items()
    ]
    more, rows = found["one_more_micros"], found["rows"]
    share = found["rates"]["1"]["cpu"] / found["governed_call_cpu_micros"]
    told = [
        ("stock mitmdump, requests a second", f"{found['stock_per_second']:,.0f}"),
        ("CPU ms of a governed call", f"{found['governed_call_cpu_micros'] / 1000:.2f}"),
        ("of that, the ledger", f"{share:.0%}"),
        ("one more decision among a thousand rows, us", f"{more['few']:.0f}"),
        (f"one more decision among {rows:,} rows, us", f"{more['many']:.0f}"),
        ("size of the file, MB", f"{found['bytes'] / 1e6:,.0f}"),
        *((name, f"{took * 1000:.1f} ms") for name, took in found["question_seconds"].items()),
    ]
    columns = ("in flight", "decisions/s", "p50 ms", "p99 ms", "CPU ms")
    return [
        Grid("Ledger: durable decisions", columns, rates),
        Grid(f"Ledger of {rows:,} rows", ("", "measured"), told),
    ]


def measure(folder: Path, rows: int, calls: int, kept: Path | None, rounds: int) -> dict[str, Any]:
    """All figures."""
    file = kept or folder / "many.db"
    with Database(folder / "few.db") as few, Database(file) as many:
        small, large = Ledger(few), Ledger(many)
        with stock() as ports:
            rates, through, ratio = beside(small, ports, SECONDS, rounds)
        call = governed(folder / "world", calls)
        filled = 0.0 if large.newest()[0] else _seconds(lambda: fill(many, rows))
        with Database(folder / "thousand.db") as fresh:
            fill(fresh, FEW)
            thousand, more = asyncio.run(one_more(Ledger(fresh), large, 500))
        return {
            "rates": rates,
            "stock_per_second": through,
            "eight_to_stock": ratio,
            "governed_call_cpu_micros": call,
            "rows": rows,
            "fill_seconds": filled,
            "bytes": file.stat().st_size,
            "one_more_micros": {"few": thousand, "many": more},
            "question_seconds": questions(large, rows),
        }


if __name__ == "__main__":
    sys.exit(main())
