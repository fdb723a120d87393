"""Where the story of one agent in a container is played: upstream, front door, daemon, person."""

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

from interlock.demo.certificates import Certificates
from interlock.demo.front_door import FrontDoor
from interlock.demo.ports import free_ports
from interlock.demo.upstream import Upstream
from interlock.errors import RegistryError
from interlock.installation import Installation
from interlock.model import Agent
from interlock.settings import Settings
from tests.cli.terminal import INTERLOCK, Terminal
from tests.discovery.engine import Engine
from tests.door.world import DEFAULT_POLICIES, READS_ANYTHING


class Stage:
    """A front door in enforce mode that also listens on the network of the engine."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self._engine = engine
        self._folder = folder
        self._stack = ExitStack()
        self.terminal = Terminal(folder / "home", {"DOCKER_HOST": engine.host})

    def __enter__(self) -> Self:
        certificates = Certificates.create(self._folder / "tls", "localhost")
        self.upstream = self._stack.enter_context(Upstream(certificates, keys={}))
        (self._folder / "policies").mkdir()
        policies = DEFAULT_POLICIES.read_text() + READS_ANYTHING
        (self._folder / "policies" / "default.cedar").write_text(policies)
        (self.port,) = free_ports(1)
        url = f"https://localhost:{self.upstream.port}"
        self._stack.enter_context(
            FrontDoor(
                self._folder / "home",
                *("--set", "interlock_mode=enforce"),
                *("--set", "interlock_allow_private=127.0.0.1,localhost"),
                *("--set", f"interlock_policies={self._folder / 'policies'}"),
                *("--set", f"ssl_verify_upstream_trusted_ca={certificates.ca}"),
                *("--mode", f"reverse:{url}@{self._engine.gateway}:{self.port}"),
            )
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @contextmanager
    def daemon(self) -> Iterator[None]:
        """`interlock discover run` as a process of its own, stopped with SIGTERM."""
        command = [INTERLOCK, "discover", "run", "--source", "docker", "--json"]
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, env=self.terminal.variables()
        ) as daemon:
            try:
                yield
            finally:
                daemon.terminate()
                assert daemon.wait(60) == 0

    def types(self, *words: str) -> None:
        """A person types a command that must succeed."""
        self.terminal.does(*words)

    def agent(self, name: str) -> Agent | None:
        """An agent of the registry; None for one that is not there."""
        with self._records() as records:
            try:
                return records.registry.get(name)
            except RegistryError:
                return None

    def events(self, agent: str) -> list[dict[str, Any]]:
        """Everything that the ledger says of an agent, oldest first."""
        with self._records() as records:
            events = records.ledger.tail(100_000)
        return [e for e in events if agent in (e["agent"], e["body"].get("agent"))]

    def labels(self, agent: str) -> set[str]:
        """The answers that the calls of an agent got."""
        return {e["body"]["label"] for e in self.events(agent) if e["kind"] == "decision"}

    @staticmethod
    def told(event: dict[str, Any]) -> str:
        """An event in a few words."""
        body = event["body"]
        said = [body.get(name) for name in ("change", "label", "action")]
        after = body.get("after") if event["kind"] == "admin" else None
        words = [event["kind"], *said[: 1 if event["kind"] == "discovery" else 2]]
        words += [body.get("action"), after] if event["kind"] == "admin" else []
        return " ".join(dict.fromkeys(str(word) for word in words if word))

    def _records(self) -> Installation:
        return Installation(Settings.load(home=self.terminal.home))
