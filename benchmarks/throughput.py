"""What a governed call costs beside one that stock mitmdump forwards, as ratios within one run.

Variants take turns, round after round, and each ratio is the median over the rounds: absolute
figures say more about the machine and its other users.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.load import Measured, Target, anew, keep_alive, post
from benchmarks.machine import about, cpu_of, tree
from benchmarks.upstream import Upstream
from broker import Secret
from interlock.demo.certificates import Certificates
from interlock.demo.front_door import FrontDoor
from interlock.installation import Installation
from interlock.model import Agent, Authority, Binding, Trust
from interlock.settings import Settings

AGENT = "bench-agent"
CHAT = b'{"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}'.ljust(600)
STOCK = "stock mitmdump"
FULL = "interlock proxy, enforce, key"

type Way = Callable[[Target, int, float], Measured]


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to a call: its target, and the processes that it keeps busy."""

    name: str
    target: Target
    pids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Figures:
    """One variant in one round: calls a second, CPU a call, latencies in milliseconds."""

    rate: float
    cpu_ms: float
    client_cpu_ms: float
    p50_ms: float
    p99_ms: float


@contextmanager
def variants(folder: Path) -> Iterator[list[Variant]]:
    """Everything that is compared, all of it running."""
    certificates = Certificates.create(folder / "tls", "localhost")
    with ExitStack() as stack:
        upstream = stack.enter_context(Upstream(certificates.chain, certificates.key))
        home = folder / "home"
        key = furnish(home, upstream.port)
        request = post(f"localhost:{upstream.port}", "/v1/chat/completions", CHAT)

        def door(name: str, *options: str, program: str, workers: int = 1) -> Variant:
            words = ["--set", f"ssl_verify_upstream_trusted_ca={certificates.ca}"]
            words += ["--set", "interlock_allow_private=localhost", "--set", "flow_detail=0"]
            if program == "interlock":
                words = [*words[:-2], "--workers", str(workers)]
            started = FrontDoor(home, *words, *options, program=program)
            stack.enter_context(started)
            port = started.ports[0]
            target = Target(
                "localhost", upstream.port, str(started.ca), request, port, f"{AGENT}:{key}"
            )
            return Variant(name, target, tree(started.process.pid))

        stock = stack.enter_context(Stock(folder, certificates.ca))
        straight = Target("localhost", upstream.port, str(certificates.ca), request)
        through = Target("localhost", upstream.port, stock.ca, request, stock.port)
        enforce = ("--set", "interlock_mode=enforce")
        yield [
            Variant("straight", straight),
            Variant(STOCK, through, tree(stock.pid)),
            door("mitmdump -s, enforce, key", *enforce, program="mitmdump"),
            door("interlock proxy, observe, key", program="interlock"),
            door(FULL, *enforce, program="interlock"),
            door("the same, 2 workers", *enforce, program="interlock", workers=2),
        ]


def furnish(home: Path, port: int) -> str:
    """A home with one trusted agent and one secret; answer the agent's key."""
    with Installation(Settings.load(home=home)) as installation:
        key = installation.registry.add(Agent(AGENT, owner="ada", trust=Trust.TRUSTED))
        bound = Authority("localhost", port)
        binding = Binding("openai-api-key", bound, "bearer", service="openai")
        installation.set_secret("openai-api-key", Secret("sk-bench-0123456789abcdef"), [binding])
    return key


class Stock(FrontDoor):
    """mitmdump as it comes, without any addon of ours."""

    def __init__(self, folder: Path, ca: Path) -> None:
        super().__init__(folder / "stock")
        (folder / "stock").mkdir()
        kept = self.command[0]
        self.command = [kept, "--set", f"confdir={folder / 'stock'}", "--set", "flow_detail=0"]
        self.command += ["--set", f"ssl_verify_upstream_trusted_ca={ca}"]
        self.command += ["--mode", f"regular@127.0.0.1:{self.ports[0]}"]

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.ports[0]

    @property
    def pid(self) -> int:
        """Its process."""
        return self.process.pid

    @property
    def ca(self) -> str:  # type: ignore[override]
        """The certificate that its clients trust."""
        return str(self.home / "mitmproxy-ca-cert.pem")

    def _serves(self) -> bool:
        return "listening at" in self.log


def measure(variant: Variant, way: Way, clients: int, seconds: float) -> Figures:
    """One variant in one round."""
    before = cpu_of(variant.pids)
    measured = way(variant.target, clients, seconds)
    cpu = cpu_of(variant.pids) - before
    calls = max(measured.calls, 1)
    latencies = sorted(measured.latencies) or [0.0]
    return Figures(
        rate=measured.calls / measured.seconds,
        cpu_ms=cpu * 1000 / calls,
        client_cpu_ms=measured.cpu * 1000 / calls,
        p50_ms=latencies[len(latencies) // 2] * 1000,
        p99_ms=latencies[min(len(latencies) - 1, len(latencies) * 99 // 100)] * 1000,
    )


def compare(found: Sequence[Variant], way: Way, clients: int, rounds: int, seconds: float) -> dict:
    """All variants in turn, and each as a ratio to stock mitmdump in the same round."""
    for one in found:
        measure(one, way, clients, min(seconds, 1.0))
    rows: dict[str, list[Figures]] = {one.name: [] for one in found}
    for _ in track(range(rounds), f"{way.__name__}, {clients} clients", transient=True):
        for one in found:
            rows[one.name].append(measure(one, way, clients, seconds))
    return {name: summary(row, rows[STOCK]) for name, row in rows.items()}


def summary(row: Sequence[Figures], stock: Sequence[Figures]) -> dict:
    """Medians of a variant, its ratios to stock mitmdump, and how far the ratio of rates spread."""
    middle = {name: statistics.median(getattr(f, name) for f in row) for name in Figures.__slots__}
    ratios = {
        f"{name}_ratio": statistics.median(
            getattr(a, name) / (getattr(b, name) or 1) for a, b in zip(row, stock, strict=True)
        )
        for name in ("rate", "cpu_ms", "p50_ms", "p99_ms")
    }
    each = [a.rate / b.rate for a, b in zip(row, stock, strict=True)]
    return middle | ratios | {"spread": [min(each), max(each)], "rounds": [asdict(f) for f in row]}


def show(title: str, rows: dict) -> None:
    """Print one comparison."""
    table = Table(title=title, title_justify="left")
    for column in (
        "variant",
        "calls/s",
        "x stock",
        "spread",
        "CPU ms",
        "x",
        "p50",
        "x",
        "p99",
        "x",
        "client CPU",
    ):
        table.add_column(column, justify="left" if column == "variant" else "right")
    for name, row in rows.items():
        table.add_row(
            name,
            f"{row['rate']:.0f}",
            f"{row['rate_ratio']:.2f}",
            "{:.2f}-{:.2f}".format(*row["spread"]),
            f"{row['cpu_ms']:.2f}",
            f"{row['cpu_ms_ratio']:.2f}",
            f"{row['p50_ms']:.2f}",
            f"{row['p50_ms_ratio']:.2f}",
            f"{row['p99_ms']:.2f}",
            f"{row['p99_ms_ratio']:.2f}",
            f"{row['client_cpu_ms']:.2f}",
        )
    Console(width=120).print(table)


def main() -> int:
    """Measure, print, and answer 1 when an aim is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--out", type=Path)
    said = parser.parse_args()
    results: dict = {"machine": about()}
    with tempfile.TemporaryDirectory() as folder, variants(Path(folder)) as found:
        for title, way, clients in (
            ("keep-alive, 16 clients", keep_alive, 16),
            ("keep-alive, one client", keep_alive, 1),
            ("a new connection for every call", anew, 1),
        ):
            results[title] = compare(found, way, clients, said.rounds, said.seconds)
            show(title, results[title])
    if said.out:
        said.out.write_text(json.dumps(results, indent=1) + "\n")
    full = results["keep-alive, 16 clients"][FULL]["rate_ratio"]
    alone = results["keep-alive, one client"][FULL]["p50_ms_ratio"]
    return 0 if full >= 1.5 and alone <= 0.8 else 1


if __name__ == "__main__":
    sys.exit(main())
