"""A whole installation on real sockets: leaky upstreams, a home, agents, and both front doors."""

import ssl
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx

from broker import Secret
from interlock.demo.certificates import Certificates
from interlock.demo.front_door import FrontDoor
from interlock.demo.upstream import Received, Upstream
from interlock.installation import Installation
from interlock.model import Agent, Authority, Binding, Mode, Trust
from interlock.settings import Settings

OPENAI_KEY = "sk-openai-REAL-4f9a8b7c6d5e4f3a2b1c0d9e"
ANTHROPIC_KEY = "sk-ant-REAL-0a1b2c3d4e5f6a7b8c9d0e1f"
SECRETS = (OPENAI_KEY, ANTHROPIC_KEY)

CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}
MESSAGE = CHAT | {"model": "claude-sonnet-4-5", "max_tokens": 64}

TRUSTED = "research-agent"
UNVERIFIED = "intern-agent"


@dataclass
class World:
    """Everything that a test of the front door needs.

    The upstream speaks both providers' APIs: as OpenAI at `localhost`, as Anthropic at
    `127.0.0.1`, each bound to its own secret.
    """

    folder: Path
    keys: dict[str, str] = field(default_factory=dict)
    doors: dict[Mode, FrontDoor] = field(default_factory=dict)

    def __enter__(self) -> Self:
        self._stack = ExitStack()
        self.home = self.folder / "home"
        certificates = Certificates.create(self.folder / "tls", "localhost", "127.0.0.1")
        self.certificates = certificates
        self.upstream = self._stack.enter_context(
            Upstream(certificates, keys={"openai": OPENAI_KEY, "anthropic": ANTHROPIC_KEY})
        )
        self.openai = f"https://localhost:{self.upstream.port}"
        self.anthropic = f"https://127.0.0.1:{self.upstream.port}"
        self.change(self._furnish)
        for mode in Mode:
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

    def change[T](self, what: Callable[[Installation], T]) -> T:
        """Do something to the installation as the command line would: from another process."""
        with Installation(Settings.load(home=self.home)) as installation:
            return what(installation)

    def client(self, mode: Mode, agent: str = TRUSTED, **more: Any) -> httpx.Client:
        """An HTTP client of one agent through the proxy; an empty name gives no proof."""
        door = self.doors[mode]
        return httpx.Client(
            proxy=door.proxy(agent, self.keys[agent]) if agent else door.proxy(),
            verify=self.trust(mode),
            trust_env=False,
            timeout=20,
            **more,
        )

    def trust(self, mode: Mode) -> ssl.SSLContext:
        """What an agent trusts: the authority of the front door, and nothing else."""
        return ssl.create_default_context(cafile=self.doors[mode].ca)

    def events(self, decision_id: str) -> list[dict[str, Any]]:
        """The ledger rows of one decision."""
        return self.change(lambda installation: installation.ledger.of(decision_id))

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
