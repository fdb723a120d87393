"""Where attacks are tried: a victim whose key we keep, a stranger, a hostile resolver, and doors.

Whoever ends up with the canary, the victim's key, without being the victim has won.
"""

import base64
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import trustme

from broker import Secret
from interlock.demo.front_door import FrontDoor
from interlock.installation import Installation
from interlock.model import Authority, Binding, Mode
from tests.attacks.hostile import Hostile
from tests.attacks.listener import Listener
from tests.door.world import TRUSTED, UNVERIFIED, World

VICTIM, STRANGER = "victim.test", "stranger.test"
CANARY = "sk-CANARY-7c1f0a9b8d2e4f6a5b3c"
SPELLINGS = (CANARY.encode(), base64.b64encode(CANARY.encode()).rstrip(b"=")[:-1])
# A resolver in the attacker's hand, and an addon behind ours that does what a request says.
SCRIPTS = [Path(__file__).parent / name for name in ("hostile_dns.py", "late_addon.py")]

# What a head must look like that takes the canary along: read in one way only, and nothing of ours.
OURS = re.compile(rb"(?im)^(proxy-authorization|interlock-[a-z-]+):|ilk_|v4\.public\.")
ODD = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)|(?<!\r)\n|\r\n[ \t]")


class Field(World):
    """Front doors in both modes: a proxy, the victim's base URL, and that of a hostile victim."""

    hosts: ClassVar[tuple[str, ...]] = (
        *("localhost", "127.0.0.1", VICTIM, STRANGER),
        *("xn--vctim-n9e.test", "rebind.test", "own.test"),
    )

    def door(self, mode: Mode, *options: str, **more: Any) -> FrontDoor:
        """A front door whose names the attacker resolves."""
        hostile_at = f"https://{VICTIM}:{self.hostile.port}"
        more.setdefault("reverse", (f"https://{self.victim_at}", hostile_at))
        scripts = [word for script in SCRIPTS for word in ("-s", str(script))]
        return super().door(mode, *scripts, "--set", "body_size_limit=2m", *options, **more)

    def _furnish(self, installation: Installation) -> None:
        super()._furnish(installation)
        # What the doors trust, with its key, for certificates that are wrong in another way.
        self.authority = trustme.CA()
        with self.certificates.ca.open("ab") as trusted:
            trusted.write(self.authority.cert_pem.bytes())
        self.victim = self._stack.enter_context(Listener(self.certificates))
        self.stranger = self._stack.enter_context(Listener(self.certificates))
        self.plain = self._stack.enter_context(Listener())
        self.listeners: list[Listener] = [self.victim, self.stranger, self.plain]
        self.hostile = self._stack.enter_context(Hostile(self.certificates))
        self.listeners.append(self.hostile)
        self.homes: list[Listener] = [self.victim, self.hostile]
        self.base = 1  # which listener of a door is the base URL
        self.victim_at = f"{VICTIM}:{self.victim.port}"
        self.stranger_at = f"{STRANGER}:{self.stranger.port}"
        binding = Binding(
            "victim-key", Authority(VICTIM, self.victim.port), "bearer", service="openai"
        )
        again = replace(binding, authority=Authority(VICTIM, self.hostile.port))
        installation.set_secret("victim-key", Secret(CANARY), [binding, again])

    @contextmanager
    def with_listener(self, listener: Listener, *, bind: str = "") -> Iterator[Listener]:
        """One more listener for a while; `bind` is a name at which the victim's key is at home."""
        with listener:
            was = self.listeners, self.homes
            self.listeners = [*self.listeners, listener]
            try:
                if bind:
                    self.homes = [*self.homes, listener]
                    authority = Authority(bind, listener.port)
                    self.also_bind(Binding("victim-key", authority, "bearer", service="openai"))
                yield listener
            finally:
                self.listeners, self.homes = was

    @contextmanager
    def of_the_hostile(self) -> Iterator[Hostile]:
        """Have the hostile upstream stand where the victim does, for a while."""
        was = self.victim, self.victim_at, self.base
        self.victim, self.victim_at, self.base = self.hostile, f"{VICTIM}:{self.hostile.port}", 2
        try:
            yield self.hostile
        finally:
            self.victim, self.victim_at, self.base = was

    def clear(self) -> None:
        """Begin a new case."""
        self.answers: list[bytes] = []
        # Whether an attack was refused that must reach somebody; None where reaching is the attack.
        self.refused: bool | None = None
        for listener in self.listeners:
            listener.clear()
        self.upstream.clear()

    def fill(self, template: bytes, *, reverse: bool = False) -> bytes:
        """Put names, ports and the agent's proof in their places."""
        proof = f"Authorization: Bearer {self.keys[TRUSTED]}\r\n" if reverse else ""
        key, other = self.keys[TRUSTED], self.keys[UNVERIFIED]
        places = {
            b"{good}": basic(TRUSTED, key),
            b"{other}": basic(UNVERIFIED, other),
            b"{crossed}": basic(TRUSTED, other),
            b"{cut}": basic(TRUSTED, key[:-1]),
            b"{longer}": basic(TRUSTED, key + "x"),
            b"{capitals}": basic(TRUSTED.upper(), key),
            b"{victim}": self.victim_at,
            b"{stranger}": self.stranger_at,
            b"{V}": str(self.victim.port),
            b"{S}": str(self.stranger.port),
            b"{P}": str(self.plain.port),
            b"{key}": self.keys[TRUSTED],
            b"{other key}": self.keys[UNVERIFIED],
            b"{proof}": proof,
        }
        for place, value in places.items():
            template = template.replace(place, value.encode())
        return template

    @property
    def heads(self) -> list[bytes]:
        """Every request that reached anybody."""
        return [head for listener in self.listeners for head in listener.heads]

    @property
    def reached(self) -> bool:
        """True when a byte of somebody's request arrived anywhere."""
        return any(one.received for one in self.listeners) or bool(self.upstream.received)

    def leaks(self) -> list[str]:
        """Where the canary, or what belongs to us alone, came out; empty is how it must be."""
        found = []
        for answer in self.answers:
            if any(form in answer for form in SPELLINGS):
                found.append("the answer shows the key to the agent")
        for listener in self.listeners:
            if self.keys[TRUSTED].encode() in listener.received:
                found.append("an upstream got the agent's own key")
            if listener not in self.homes and any(f in listener.received for f in SPELLINGS):
                found.append(f"the listener on port {listener.port} got the key")
        for head in self.victim.heads:
            if CANARY.encode() in head and (why := ambiguous(head)):
                found.append(f"the key went along with {why}: {head!r}")
        return found


def basic(name: str, key: str) -> str:
    """What stands behind `Basic` in a proof."""
    return base64.b64encode(f"{name}:{key}".encode()).decode()


def ambiguous(head: bytes) -> str:
    """Say what in a request head two servers may read differently; empty when nothing is."""
    # That its connection ends with it is all that a request may say of that.
    lines = [line for line in head.split(b"\r\n")[1:] if line != b"connection: close"]
    names = [line.partition(b":")[0].lower() for line in lines]
    for name, most in ((b"host", 1), (b"content-length", 1), (b"authorization", 1)):
        if names.count(name) > most:
            return f"{names.count(name)} times {name.decode()}"
    if b"transfer-encoding" in names or b"connection" in names or b"trailer" in names:
        return "framing of the agent's"
    if OURS.search(head):
        return "what is ours"
    return "an odd byte" if ODD.search(head) else ""
