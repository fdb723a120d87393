"""What comparisons run on: an upstream that answers at once, a home, and front doors over both."""

from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import mkdtemp
from typing import Self

from benchmarks.load import Target, post
from benchmarks.machine import tree
from benchmarks.upstream import KEY, Upstream
from broker import Secret
from interlock.demo.certificates import Certificates
from interlock.demo.front_door import FrontDoor
from interlock.installation import Installation
from interlock.model import Agent, Authority, Binding, Trust
from interlock.settings import Settings

AGENT = "bench-agent"
SECRET = "openai-api-key"  # noqa: S105 - the name of one
CHAT_PATH, EVENTS_PATH = "/v1/chat/completions", "/v1/responses"
CHAT = b'{"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}'.ljust(600)
HOST = "localhost"
STOCK = "stock mitmdump"
FULL = "interlock proxy, enforce, key"
ENFORCE = ("--set", "interlock_mode=enforce")


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to a call: its target, and the processes that it keeps busy.

    `base` is the same way by base URL, where there is one.
    """

    name: str
    target: Target
    pids: tuple[int, ...] = ()
    base: Target | None = None

    def framed(self, bench: "Bench") -> Self:
        """The same way to the upstream that speaks HTTP/2."""
        port, other = str(self.target.port).encode(), bench.upstream.framed_port
        asked = self.target.request.replace(b":" + port, b":" + str(other).encode(), 1)
        return replace(self, target=replace(self.target, port=other, request=asked))

    def asking(self, request: bytes) -> Self:
        """The same way, for another request."""
        return replace(self, target=replace(self.target, request=request))

    def by_base_url(self) -> Self:
        """The same processes, asked as if they were the provider."""
        if self.base is None:
            raise ValueError(f"{self.name} has no listener for base URLs")
        return replace(self, target=self.base)


@dataclass(frozen=True, slots=True)
class Home:
    """A home that has one trusted agent with this key, and one secret for the upstream."""

    folder: Path
    key: str


class Bench:
    """Everything stays up until the context ends."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stack = ExitStack()

    def __enter__(self) -> Self:
        self.certificates = Certificates.create(self.folder / "tls", HOST)
        upstream = Upstream(self.certificates.chain, self.certificates.key)
        self.upstream = self.stack.enter_context(upstream)
        self.chat = self.ask(CHAT_PATH)
        self.url = f"https://{HOST}:{self.upstream.port}"
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()

    def ask(self, path: str, body: bytes = CHAT, **headers: str) -> bytes:
        """A POST to the upstream."""
        return post(f"{HOST}:{self.upstream.port}", path, body, **headers)

    def with_key(self, path: str = CHAT_PATH) -> bytes:
        """The same from whoever has the key."""
        return self.ask(path, Authorization=f"Bearer {KEY}")

    def home(self, name: str) -> Home:
        """Furnish a new home, or one that has rows in its ledger already."""
        folder = self.folder / name
        return Home(folder, furnish(folder, self.upstream.port, self.upstream.framed_port))

    def straight(self) -> Variant:
        """No proxy."""
        target = Target(HOST, self.upstream.port, str(self.certificates.ca), self.with_key())
        return Variant("straight", target)

    def stock(self) -> Variant:
        """Start mitmdump as it comes, without any addon of ours."""
        stock = self.stack.enter_context(Stock(self.folder, self.certificates.ca, self.url))
        through = replace(self._target(stock, stock.ca), request=self.with_key())
        base = replace(through, proxy=0, port=stock.ports[1])
        return Variant(STOCK, through, tree(stock.process.pid), base)

    def door(
        self, name: str, home: Home, *options: str, program: str = "interlock", workers: int = 1
    ) -> Variant:
        """Start a front door of ours over a home."""
        words = ["--set", f"ssl_verify_upstream_trusted_ca={self.certificates.ca}"]
        words += ["--set", f"interlock_allow_private={HOST}"]
        words += (
            ["--workers", str(workers)] if program == "interlock" else ["--set", "flow_detail=0"]
        )
        started = FrontDoor(home.folder, *words, *options, program=program, reverse=[self.url])
        self.stack.enter_context(started)
        target = replace(self._target(started, str(started.ca)), credentials=f"{AGENT}:{home.key}")
        asked = self.ask(CHAT_PATH, Authorization=f"Bearer {home.key}")
        base = replace(target, proxy=0, port=started.ports[1], request=asked, credentials="")
        return Variant(name, target, tree(started.process.pid), base)

    def _target(self, door: FrontDoor, ca: str) -> Target:
        return Target(HOST, self.upstream.port, ca, self.chat, door.ports[0])


class Stock(FrontDoor):
    """mitmdump as it comes: a proxy, and by base URL in front of one upstream."""

    def __init__(self, folder: Path, trusted: Path, upstream: str) -> None:
        home = Path(mkdtemp(prefix="stock-", dir=folder))
        super().__init__(home, reverse=[upstream])
        program, listeners = self.command[0], self.command[-4:]
        self.command = [program, "--set", f"confdir={home}", "--set", "flow_detail=0"]
        self.command += ["--set", f"ssl_verify_upstream_trusted_ca={trusted}", *listeners]

    @property
    def ca(self) -> str:  # type: ignore[override]
        """The certificate that its clients trust."""
        return str(self.home / "mitmproxy-ca-cert.pem")

    def _serves(self) -> bool:
        return self.log.count("listening at") == len(self.ports)


def furnish(home: Path, *ports: int) -> str:
    """A home with one trusted agent and one secret for these ports; answer the agent's key."""
    with Installation(Settings.load(home=home)) as installation:
        key = installation.registry.add(Agent(AGENT, owner="ada", trust=Trust.TRUSTED))
        bound = [Authority(HOST, port) for port in ports]
        bindings = [Binding(SECRET, each, "bearer", service="openai") for each in bound]
        installation.set_secret(SECRET, Secret(KEY), bindings)
    return key
