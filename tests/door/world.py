"""A whole installation on real sockets: leaky upstreams, a home, agents, and both front doors."""

import asyncio
import os
import secrets
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import httpx
from hypercorn.asyncio import serve
from hypercorn.config import Config

from broker import Secret
from interlock.demo.certificates import Certificates
from interlock.demo.front_door import FrontDoor
from interlock.demo.ports import free_ports
from interlock.demo.upstream import Received, Upstream
from interlock.installation import Installation
from interlock.model import Agent, Authority, Binding, Mode, Server, Trust
from interlock.registry import Profile
from interlock.settings import Settings
from interlock.store.bindings import bind
from tests.door.patience import wait_for

OPENAI_KEY = "sk-openai-REAL-4f9a8b7c6d5e4f3a2b1c0d9e"
ANTHROPIC_KEY = "sk-ant-REAL-0a1b2c3d4e5f6a7b8c9d0e1f"
SECRETS = (OPENAI_KEY, ANTHROPIC_KEY)

CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}
MESSAGE = CHAT | {"model": "claude-sonnet-4-5", "max_tokens": 64}

TRUSTED = "research-agent"
UNVERIFIED = "intern-agent"
WRONG_KEY = "ilk_" + "0" * 43

DEFAULT_POLICIES = Path(__file__).parents[2] / "policies" / "default.cedar"
READS_ANYTHING = """
@id("trusted-agents-read-the-web")
@description("An agent that a person vouched for may read anywhere.")
permit (principal is Agent, action in Action::"read", resource is Endpoint)
when { principal.trust == "trusted" };
"""


PROVIDERS = ("openai", "anthropic")
# What a process needs that is not about us; above all none of the proxy settings of this machine.
BARE_ENVIRON = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}


@dataclass
class World:
    """Everything that a test of the front door needs.

    The upstream speaks both providers' APIs: as OpenAI at `localhost`, as Anthropic at
    `127.0.0.1`, each bound to its own secret.
    """

    hosts: ClassVar[tuple[str, ...]] = ("localhost", "127.0.0.1")

    folder: Path
    keys: dict[str, str] = field(default_factory=dict)
    doors: dict[Mode, FrontDoor] = field(default_factory=dict)
    modes: tuple[Mode, ...] = tuple(Mode)

    def __enter__(self) -> Self:
        self._stack = ExitStack()
        self.home = self.folder / "home"
        certificates = Certificates.create(self.folder / "tls", *self.hosts)
        self.certificates = certificates
        self.upstream = self._stack.enter_context(
            Upstream(certificates, keys={"openai": OPENAI_KEY, "anthropic": ANTHROPIC_KEY})
        )
        self.openai = f"https://localhost:{self.upstream.port}"
        self.anthropic = f"https://127.0.0.1:{self.upstream.port}"
        self.change(self._furnish)
        for mode in self.modes:
            self.doors[mode] = self._stack.enter_context(self.door(mode))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def door(self, mode: Mode, *options: str, **more: Any) -> FrontDoor:
        """A front door over this home, not started yet."""
        return FrontDoor(
            more.pop("home", self.home),
            *("--set", f"interlock_mode={mode}"),
            *("--set", "interlock_allow_private=127.0.0.1,localhost"),
            *("--set", f"ssl_verify_upstream_trusted_ca={self.certificates.ca}"),
            *options,
            reverse=more.pop("reverse", (self.openai, self.anthropic)),
            **more,
        )

    def either(self, mode: Mode, *options: str, **more: Any) -> FrontDoor:
        """A front door of one of both programs: mitmdump observes, our own enforces."""
        if mode is Mode.OBSERVE:
            return self.door(mode, *options, **more)
        return self.door(mode, *options, "--workers", "1", program="interlock", **more)

    def change[T](self, what: Callable[[Installation], T]) -> T:
        """Do something to the installation as the command line would: from another process."""
        with Installation(Settings.load(home=self.home)) as installation:
            return what(installation)

    def client(self, mode: Mode, agent: str = TRUSTED, **more: Any) -> httpx.Client:
        """An HTTP client of one agent through the proxy; an empty name gives no proof."""
        return self.through(self.doors[mode], agent, **more)

    def through(self, door: FrontDoor, agent: str = TRUSTED, **more: Any) -> httpx.Client:
        """The same through any front door over this home."""
        return httpx.Client(
            proxy=door.proxy(agent, self.keys[agent]) if agent else door.proxy(),
            verify=trusting(door.ca, **more),
            trust_env=False,
            timeout=20,
            **more,
        )

    def trust(self, mode: Mode) -> ssl.SSLContext:
        """What an agent trusts: the authority of the front door, and nothing else."""
        return ssl.create_default_context(cafile=self.doors[mode].ca)

    def base(self, mode: Mode, provider: str) -> str:
        """The base URL of a provider at the front door: its own listener, one for each."""
        return f"https://127.0.0.1:{self.doors[mode].ports[1 + PROVIDERS.index(provider)]}"

    def environ(self, mode: Mode, agent: str = TRUSTED, **more: str) -> dict[str, str]:
        """The whole environment of an agent that knows its proxy and the authority to trust."""
        door = self.doors[mode]
        known = {"HTTPS_PROXY": door.proxy(agent, self.keys[agent]), "SSL_CERT_FILE": str(door.ca)}
        return BARE_ENVIRON | known | more

    def reading(self, mode: Mode, *options: str, **more: Any) -> FrontDoor:
        """A front door, not started yet, whose policies let trusted agents read anything."""
        policies = self.folder / "policies-reading"
        policies.mkdir(exist_ok=True)
        (policies / "default.cedar").write_text(DEFAULT_POLICIES.read_text() + READS_ANYTHING)
        return self.door(mode, "--set", f"interlock_policies={policies}", *options, **more)

    def carried(self, secret: str, upstream: Upstream | None = None) -> Received:
        """The one request that reached the upstream: with the secret once, and nothing of ours."""
        (received,) = (upstream or self.upstream).received
        lines = [name + b": " + value for name, value in received.headers]
        head = b"\n".join([received.path.encode(), *lines])
        assert head.count(secret.encode()) == 1, "the real key must arrive exactly once"
        ours = [*self.keys.values(), *SECRETS, "v4.public."]
        assert [one for one in ours if one != secret and one.encode() in head + received.body] == []
        assert [line for line in lines if line.startswith((b"interlock-", b"proxy-"))] == []
        return received

    def keep(self, name: str, value: str, port: int, service: str = "") -> None:
        """Store one more secret, for `localhost:PORT` alone."""
        binding = Binding(name, Authority("localhost", port), "bearer", service=service)
        self.change(lambda installation: installation.set_secret(name, Secret(value), [binding]))

    def outcome(self, decision_id: str, within_s: float = 30) -> dict[str, Any]:
        """The body of the outcome row of a call; rows that nobody waits for come a bit later."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            found = [e["body"] for e in self.events(decision_id) if e["kind"] == "outcome"]
            if found:
                (body,) = found
                return dict(body)
            time.sleep(0.05)
        raise AssertionError(f"{decision_id} left no outcome")

    def events(self, decision_id: str) -> list[dict[str, Any]]:
        """The ledger rows of one decision."""
        return self.change(lambda installation: installation.ledger.of(decision_id))

    def count(self, table: str) -> int:
        """How many rows a table or view holds."""
        sql = f"select count(*) from {table}"  # noqa: S608 - a name from a test
        return int(self.change(lambda installation: installation.database.one(sql)[0]))

    def decisions(self) -> list[dict[str, Any]]:
        """Every decision row."""
        return self.change(lambda installation: list(installation.ledger.query()))

    def rows(self, kind: str) -> list[dict[str, Any]]:
        """Every event of a kind, oldest first."""
        events = self.change(lambda installation: installation.ledger.tail(1_000_000))
        return [event for event in events if event["kind"] == kind]

    def also_bind(self, binding: Binding) -> None:
        """Add one binding beside those that a secret has."""
        self.change(
            lambda installation: installation.database.write(
                lambda connection: bind(connection, binding)
            )
        )

    @staticmethod
    def revived(door: FrontDoor) -> FrontDoor:
        """A shared front door, begun anew when a test has ended it."""
        if door.process.poll() is not None:
            door.__exit__(None, None, None)
            door.__enter__()
        return door

    @staticmethod
    def fresh(stem: str) -> str:
        """A name that nothing has yet: a test may run again in the same world."""
        return f"{stem}-{secrets.token_hex(4)}"

    def join(self, stem: str = "agent", trust: Trust = Trust.TRUSTED, **more: Any) -> str:
        """Register a new agent and answer its name; `more` is what `Registry.add` takes."""
        name = self.fresh(stem)
        self.keys[name] = self.change(
            lambda i: i.registry.add(Agent(name, owner="ada", trust=trust), **more)
        )
        return name

    @contextmanager
    def registered(self, stem: str, url: str) -> Iterator[str]:
        """The name of a new server, trusted, that is forgotten when the block ends."""
        server = Server(self.fresh(stem), url, trust=Trust.TRUSTED)
        self.change(lambda i: i.servers.register(server, Profile(), time.time(), vouched=True))
        try:
            yield server.name
        finally:
            self.change(lambda i: i.servers.remove(server.name))

    @contextmanager
    def planted(self, value: str, name: str) -> Iterator[None]:
        """A honeytoken of this value and name, until the block ends."""
        self.change(lambda i: i.honeytokens.plant(name, Secret(value)))
        try:
            yield
        finally:
            self.change(lambda i: i.honeytokens.remove(name))

    def received(self) -> list[Received]:
        """What reached the upstream in this test."""
        return list(self.upstream.received)

    def _furnish(self, installation: Installation) -> None:
        for name, trust in ((TRUSTED, Trust.TRUSTED), (UNVERIFIED, Trust.UNVERIFIED)):
            self.keys[name] = installation.registry.add(Agent(name, owner="ada", trust=trust))
        for secret, value, host, recipe in (
            ("openai-api-key", OPENAI_KEY, "localhost", "bearer"),
            ("anthropic-api-key", ANTHROPIC_KEY, "127.0.0.1", "header:x-api-key"),
        ):
            binding = Binding(
                secret,
                Authority(host, self.upstream.port),
                recipe,
                service=secret.removesuffix("-api-key"),
            )
            installation.set_secret(secret, Secret(value), [binding])


class _Http2Context(ssl.SSLContext):
    """Offers HTTP/2 alone: of both, which httpx offers, mitmproxy takes the first."""

    def set_alpn_protocols(self, alpn_protocols: Iterable[str]) -> None:
        super().set_alpn_protocols(["h2"])


def trusting(ca: Path, http2: bool = False, **_: Any) -> ssl.SSLContext:
    """What a client of a front door trusts and, with `http2`, insists on."""
    if not http2:
        return ssl.create_default_context(cafile=ca)
    context = _Http2Context(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(ca)
    return context


class Http2Upstream(Upstream):
    """The same provider where nothing but HTTP/2 is spoken.

    With `clients`, an authority in PEM, only to whom has a certificate of it.
    """

    clients: Path | None = None

    def __enter__(self) -> Self:
        (self.port,) = free_ports(1)
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._serve, name="http2-upstream", daemon=True)
        self._thread.start()
        wait_for(self._listens)
        return self

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _serve(self) -> None:
        config = Config()
        config.bind = [f"127.0.0.1:{self.port}"]
        config.certfile = str(self._certificates.chain)
        config.keyfile = str(self._certificates.key)
        config.alpn_protocols = ["h2"]
        if self.clients:
            config.ca_certs = str(self.clients)
            config.verify_mode = ssl.CERT_REQUIRED
        config.graceful_timeout = 0.1
        config.errorlog = None
        app: Any = self.app
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(serve(app, config, shutdown_trigger=self._stop.wait))
