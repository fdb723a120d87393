"""The stage that the story needs: a provider, a home, its secrets and agents, in one folder."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_urlsafe
from tempfile import TemporaryDirectory

from broker import Secret
from broker.forms import forms_of
from interlock.demo.certificates import Certificates
from interlock.demo.front_door import FrontDoor
from interlock.demo.heard import Heard
from interlock.demo.story import Task
from interlock.demo.upstream import Upstream
from interlock.installation import Installation
from interlock.model import Agent, Authority, Binding, Mode, Trust
from interlock.settings import Settings

AGENT_PROGRAM = Path(__file__).with_name("agent.py")
AGENTS = ("research-agent", "cleanup-agent")
# One local upstream stands in for both providers; the name by which it is called tells which.
HOSTS = {"openai": "localhost", "anthropic": "127.0.0.1"}
KEY_PREFIXES = {"openai": "sk-proj-", "anthropic": "sk-ant-api03-"}
# Requests are told apart by a header that OpenAI documents for this.
CALL_ID = "x-client-request-id"
CALL_S = 30.0


@dataclass(frozen=True, slots=True)
class Stage:
    """A provider that runs, and a home that its front doors and its ledger live in."""

    folder: Path
    certificates: Certificates
    provider_keys: dict[str, str] = field(repr=False)
    upstream: Upstream
    agent_keys: dict[str, str] = field(default_factory=dict, repr=False)

    @property
    def home(self) -> Path:
        return self.folder / "home"

    def installation(self) -> Installation:
        """Open the home, as every command does."""
        return Installation(Settings.load(home=self.home))

    def front_door(self, mode: Mode) -> FrontDoor:
        """Make the front door as the README starts it; `confdir` keeps ~/.mitmproxy out of it."""
        return FrontDoor(
            self.home,
            *("--set", f"confdir={self.home / 'ca'}"),
            *("--set", f"interlock_allow_private={','.join(HOSTS.values())}"),
            *("--set", f"ssl_verify_upstream_trusted_ca={self.certificates.ca}"),
            *(("--set", f"interlock_mode={mode}") if mode is not Mode.OBSERVE else ()),
        )

    def call(self, door: FrontDoor, agent: str, task: Task, call_id: str) -> Heard:
        """Let an agent, in a process of its own, do its task; raises RuntimeError."""
        url = f"https://{HOSTS[task.provider]}:{self.upstream.port}{task.path}"
        headers = {"content-type": "application/json", **task.headers, CALL_ID: call_id}
        key = self.agent_keys.get(agent, "")
        done = subprocess.run(
            [sys.executable, str(AGENT_PROGRAM), task.method, url]
            + [f"{name}:{value}" for name, value in headers.items()],
            input=json.dumps(task.body).encode() if task.body else b"",
            env={
                **os.environ,
                "HTTPS_PROXY": door.proxy(agent, key) if key else door.proxy(),
                "SSL_CERT_FILE": str(door.ca),
            },
            capture_output=True,
            timeout=CALL_S,
            check=False,
        )
        if done.returncode:
            *_, last = done.stderr.decode(errors="replace").splitlines() or [""]
            raise RuntimeError(f"{agent} got no answer: {last}")
        return Heard.parse(done.stdout)

    def arrived(self, call_id: str) -> list[bytes]:
        """All that reached the upstream in one call, a blob for each request."""
        return [
            b"\n".join([r.path.encode(), *(b"%s: %s" % header for header in r.headers), r.body])
            for r in self.upstream.received
            if call_id.encode() in r.values(CALL_ID.encode())
        ]

    def holds_secret(self, blob: bytes) -> bool:
        """Tell whether a provider's key is in there, in any spelling that we know of."""
        return any(
            form in blob for key in self.provider_keys.values() for form in forms_of(key.encode())
        )

    def holds_mask(self, blob: bytes, provider: str) -> bool:
        """Tell whether asterisks are in there that take the place of a provider's key."""
        return b"*" * len(self.provider_keys[provider]) in blob

    def furnish(self) -> None:
        """Register the agents, and seal the providers' keys for the local upstream."""
        with self.installation() as installation:
            for name in AGENTS:
                agent = Agent(name, owner="you", trust=Trust.TRUSTED)
                self.agent_keys[name] = installation.registry.add(agent)
            for provider in installation.catalogue:
                if key := self.provider_keys.get(provider.service):
                    binding = Binding(
                        provider.secret,
                        Authority(HOSTS[provider.service], self.upstream.port),
                        provider.recipe,
                        service=provider.service,
                    )
                    installation.set_secret(provider.secret, Secret(key), [binding])


@contextmanager
def set_up() -> Iterator[Stage]:
    """Build the stage in a temporary folder and clear it away again."""
    with undisturbed(), TemporaryDirectory(prefix="interlock-demo-") as temporary:
        folder = Path(temporary)
        certificates = Certificates.create(folder / "tls", *HOSTS.values())
        keys = {name: prefix + token_urlsafe(36) for name, prefix in KEY_PREFIXES.items()}
        with Upstream(certificates, keys=keys, leaky=True) as upstream:
            stage = Stage(folder, certificates, keys, upstream)
            stage.furnish()
            yield stage


@contextmanager
def undisturbed() -> Iterator[None]:
    """Take away what the user's environment would change: our settings, proxies, key logs."""
    foreign = {name: os.environ.pop(name) for name in list(os.environ) if _reaches_in(name)}
    try:
        yield
    finally:
        os.environ.update(foreign)


def _reaches_in(name: str) -> bool:
    upper = name.upper()
    return upper.startswith("INTERLOCK_") or upper.endswith(("_PROXY", "SSLKEYLOGFILE"))
