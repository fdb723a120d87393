"""What the addons of one front door share: the governor, and the calls that are under way."""

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from mitmproxy import connection, http

from addons.clearance import Clearance
from addons.ending import Ending
from addons.stage import Stage
from broker import Secret
from broker.quick import quick
from interlock.calls.usage import UsageReader
from interlock.governor import Governor
from interlock.model import Agent, Authority, Evidence
from interlock.rates import Rates
from interlock.registry import Whence
from interlock.settings import AllowPrivate, Limits
from interlock.steps import Steps
from interlock.store.database import FRESH_S
from interlock.verdict import Verdict

# An agent's name, None where only the key was given, and the key, or a token from outside.
type Proof = tuple[str | None, str]


@dataclass(frozen=True, slots=True)
class Origin:
    """The weakest proof: where a connection comes from, and the agent that is known to be there."""

    whence: Whence
    agent: str


@dataclass(frozen=True, slots=True)
class Presented:
    """A client certificate with its chain, in DER, of which the client has the private key."""

    chain: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Claimed:
    """Where a request goes, what it claims about that, and which of it is not so; empty for none.

    `claims` are what all of it was read from.
    """

    claims: tuple[Any, ...]
    authority: Authority
    evidence: Evidence
    mismatch: str


@dataclass(slots=True)
class Tunnel:
    """What one client connection said at CONNECT: whom it wants, and who it is.

    `who` is whose connections and requests are counted together: an agent, or an address.
    `claimed` is what its last request claimed.
    """

    target: Authority | None = None
    proof: Proof | None = field(default=None, repr=False)
    who: str = ""
    claimed: Claimed | None = None


@quick
@dataclass(frozen=True, slots=True)
class Proven:
    """Who was proven, at which change of the store and when, on the monotonic clock.

    `proof` is by what, and `until` when that ends by itself, in epoch seconds; 0 for a moment.
    """

    agent: Agent
    change: int
    at: float
    until: float = 0.0
    proof: Proof | None = field(default=None, repr=False)

    def holds(self, change: int, now: float) -> bool:
        """Say whether nothing has changed, and no more time passed than a change may take to hold.

        Longer than that, what ends by the time that it had may have ended.
        """
        return change == self.change and now - self.at < FRESH_S

    def proves(self, proof: Proof | None, change: int, now: float) -> bool:
        """Say whether a proof, shown again at `now` (epoch seconds), proves the same again."""
        return change == self.change and now < self.until and proof == self.proof


@quick
@dataclass(frozen=True, slots=True)
class Caller:
    """The proof of who sent a request, what it declared, whether it offered a foreign key.

    `who` is as in a tunnel. `doubt` says what is wrong with the declaration; empty when nothing is.
    """

    proof: Proof | None
    proven: Proven
    who: str
    said: dict[str, str]
    doubt: str
    foreign_key: bool


@dataclass(slots=True)
class Shown:
    """The client certificate of one connection, and whether it was put on it."""

    name: str
    secret: Secret = field(repr=False)
    ready: bool = False

    def same_as(self, other: "Shown | None") -> bool:
        """Say whether a call was granted this very certificate."""
        return other is not None and self.name == other.name and self.secret == other.secret


@dataclass(slots=True)
class Account:
    """What became of one cleared call, filled in while it runs.

    A `lasting` call may run for hours, and is cut off when what it rests on is taken away; `ended`
    says why we ended it. `inspectors` see its answer decoded, before it is scrubbed, and may
    change or refuse it. `spellings` are the codings of what was scrubbed; `ending` is None while
    nothing but the end of the flow itself will say how it ended.
    """

    verdict: Verdict
    client: str
    steps: Steps
    bytes_up: int = 0
    bytes_down: int = 0
    scrubbed: int = 0
    spellings: set[str] = field(default_factory=set)
    messages_up: int = 0
    messages_down: int = 0
    redeemed: bool = False
    lasting: bool = False
    ended: str = ""
    usage: UsageReader | None = None
    inspectors: list[Stage] = field(default_factory=list)
    ending: Ending | None = None


@dataclass(frozen=True, slots=True)
class Listening:
    """An event stream on which an agent gets the answers to what it posts to `target`.

    So it is with the older transport of MCP, where each POST is only acknowledged.
    """

    flow: http.HTTPFlow
    agent: str
    authority: Authority
    target: str


class Door:
    """Shared state. Every map is keyed by a connection's or a flow's id and cleaned at its end."""

    def __init__(self) -> None:
        self.governor: Governor | None = None
        self.require_identity = True
        self.private: AllowPrivate = (frozenset(), ())
        self.limits = Limits()
        self.rates: Rates | None = None
        self.routes: Mapping[str, Authority] = {}
        self.parent_secret_name = ""
        self.parent_secret: Secret | None = None
        self.tunnels: dict[str, Tunnel] = {}
        self.proven: dict[str, Proven] = {}
        self.proofs: dict[str, dict[Proof | Origin | Presented, str]] = {}
        self.presented: dict[str, Presented] = {}
        self.callers: dict[str, Caller] = {}
        self.clearances: dict[str, Clearance] = {}
        self.accounts: dict[str, Account] = {}
        # Whose agent waits no longer; a hook that is under way still does not hear of it.
        self.gone: WeakSet[http.HTTPFlow] = WeakSet()
        self.refused: WeakKeyDictionary[http.HTTPFlow, http.Response] = WeakKeyDictionary()
        self.begun: dict[str, float] = {}
        self.dialable: dict[str, set[Authority]] = {}
        self.streams: dict[str, Listening] = {}
        self.mints: dict[str, Future[None]] = {}
        self.certificates: WeakKeyDictionary[connection.Server, Shown] = WeakKeyDictionary()
