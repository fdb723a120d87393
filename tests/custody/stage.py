"""A broker's home, a front door's home, and the three ways in which one has the other's secrets."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trustme

from broker import Secret, Wire
from broker.remote import Address, serve
from interlock.custody import RemoteCustody
from interlock.custody.service import Service
from interlock.governor import Governor
from interlock.installation import Installation
from interlock.model import Agent, Authority, Binding, Mode, Request, Trust
from interlock.settings import Settings
from interlock.verdict import Verdict

NAME = "openai-api-key"
KEY = "sk-REAL-7f3b9c1d5e2a4f60"
OPENAI = Authority("api.openai.com", 443)
BOUND = Binding(NAME, OPENAI, "bearer", service="openai")
BODY = b'{"model": "gpt-4o", "messages": []}'
PATH = "/v1/chat/completions"
WIRE = Wire("POST", str(OPENAI), PATH, hashlib.sha256(BODY).digest(), verified=True)
WAYS = ("local", "socket", "tls")
CLIENT = "door.example"


@dataclass
class Stage:
    """`broker` has the secrets; `door` governs, in another home unless the way is local."""

    broker: Installation
    door: Installation
    governor: Governor

    async def look(self) -> None:
        """Take up the broker's bindings, as the front door does twice a second."""
        if isinstance(self.governor.custody, RemoteCustody):
            await self.governor.custody.look()

    async def call(self, authority: Authority = OPENAI) -> Verdict:
        """Govern one chat of a trusted agent."""
        agent = self.door.registry.get("research-agent")
        request = Request("POST", "https", authority, PATH, BODY, "application/json")
        return await self.governor.govern(request, agent, {})

    def redeem(self, verdict: Verdict, wire: Wire = WIRE) -> Secret:
        """Redeem the token of a call at the wire."""
        assert verdict.capability
        token = verdict.capability.token
        return self.governor.redeem(verdict, verdict.capability, token, wire)


@asynccontextmanager
async def staged(way: str, folder: Path, mode: Mode = Mode.OBSERVE) -> AsyncIterator[Stage]:
    """Both homes, and a broker that serves over real sockets where the way is not local."""
    with Installation(Settings.load(home=folder / "broker", mode=mode)) as broker:
        broker.set_secret(NAME, Secret(KEY), [BOUND])
        if way == "local":
            broker.registry.add(Agent("research-agent", owner="ada", trust=Trust.TRUSTED))
            yield Stage(broker, broker, Governor(broker))
            return
        address = listening(way, folder)
        async with serve(address, Service(broker).answer, clients=[CLIENT]) as port:
            at = str(address) if way == "socket" else f"tls://localhost:{port}"
            with door(folder, at, mode) as installation:
                governor = Governor(installation)
                stage = Stage(broker, installation, governor)
                await stage.look()
                yield stage
                governor.custody.close()


def door(folder: Path, broker: str, mode: Mode = Mode.OBSERVE) -> Installation:
    """The front door's home, with an agent in it."""
    tls = folder / "client" if broker.startswith("tls") else None
    settings = Settings.load(home=folder / "door", broker=broker, broker_tls=tls, mode=mode)
    installation = Installation(settings)
    installation.registry.add(Agent("research-agent", owner="ada", trust=Trust.TRUSTED))
    return installation


def listening(way: str, folder: Path) -> Address:
    """Where the broker listens."""
    if way == "socket":
        return Address(folder / "broker.sock")
    authority = trustme.CA()
    for side, name in (("server", "localhost"), ("client", CLIENT)):
        prove(folder / side, authority, name)
    return Address(None, "127.0.0.1", 0, folder / "server")


def prove(folder: Path, authority: trustme.CA, name: str) -> None:
    """Write what one side of mutual TLS proves by, and what it believes."""
    folder.mkdir()
    own = authority.issue_cert(name)
    authority.cert_pem.write_to_path(folder / "ca.pem")
    own.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    own.private_key_pem.write_to_path(folder / "key.pem")
    (folder / "key.pem").chmod(0o600)
