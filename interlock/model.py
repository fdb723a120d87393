"""The frozen values that the rooms hand each other; no I/O, no behaviour beyond reading them."""

from dataclasses import dataclass, field
from enum import StrEnum

from broker.quick import quick

# How the goal of a call stands that names none.
NO_GOAL = "None"


class Mode(StrEnum):
    """What a denial does: `observe` records it and lets the call go on, `enforce` refuses it."""

    OBSERVE = "observe"
    ENFORCE = "enforce"


class Trust(StrEnum):
    """How far an agent is vouched for."""

    UNVERIFIED = "unverified"
    TRUSTED = "trusted"
    QUARANTINED = "quarantined"
    REVOKED = "revoked"


CUT_OFF = (Trust.QUARANTINED, Trust.REVOKED)


class Health(StrEnum):
    """Whether an agent or a server was found to work, the last time that anybody looked."""

    ACTIVE = "active"
    UNHEALTHY = "unhealthy"
    UNKNOWN = "unknown"


class Effect(StrEnum):
    """The answer of a decision."""

    ALLOW = "allow"
    DENY = "deny"
    NEEDS_APPROVAL = "needs_approval"


class Stage(StrEnum):
    """The step of the decision that settled it."""

    IDENTITY = "identity"
    TRUST = "trust"
    INTENT = "intent"
    GOAL = "goal"
    DELEGATION = "delegation"
    POLICY = "policy"
    APPROVAL = "approval"


@dataclass(frozen=True, slots=True)
class Authority:
    """The one host and port that policy judges, the wire dials and a secret is bound to.

    `host` is canonical: lower case, A-label, no trailing dot. `str()` is always `host:port`.
    """

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def short(self) -> str:
        """The way people write it: without the port of https."""
        return str(self).removesuffix(":443")


# Where a request goes that names no destination of ours: nowhere (RFC 6761, 6.4).
NOWHERE = Authority("nowhere.invalid", 443)


@quick
@dataclass(frozen=True, slots=True)
class Declaration:
    """Why the agent says that it calls. A claim: it narrows what is allowed, never widens it."""

    intent: str = ""
    intent_category: str = ""
    goal: str = ""
    delegation: str = ""
    approval: str = ""


NOTHING_SAID = Declaration()


@dataclass(frozen=True, slots=True)
class Agent:
    """Who calls: what the registry knows about the caller, and the defaults it declared there.

    `lapsed` says that it has a lease and was not heard of for as long. `session` is the id of
    the session by which it proved who it is, and `pinned` what it can declare nothing against.
    `proof` is the name by which a system outside proved it, empty for a key of ours; `actors`
    are who acted for whom, as that system claims, the last one first.
    """

    name: str
    owner: str = ""
    groups: tuple[str, ...] = ()
    trust: Trust = Trust.UNVERIFIED
    intent: str = ""
    intent_category: str = ""
    goal: str = ""
    lapsed: bool = False
    session: str = ""
    pinned: Declaration = NOTHING_SAID
    proof: str = ""
    actors: tuple[str, ...] = ()

    def __hash__(self) -> int:
        return hash(self.name)

    @property
    def identified(self) -> bool:
        """False for a caller that gave no proof of who it is."""
        return self.name != UNIDENTIFIED.name

    @property
    def cut_off(self) -> bool:
        """True when no policy may let this agent through."""
        return self.lapsed or self.trust in CUT_OFF

    @property
    def state(self) -> str:
        """How it stands, in a word: its trust, or `lapsed` when that alone cuts it off."""
        return "lapsed" if self.lapsed and self.trust not in CUT_OFF else str(self.trust)


UNIDENTIFIED = Agent("unidentified")


@dataclass(frozen=True, slots=True)
class Server:
    """An MCP server as policies see it; of one that nobody registered only the name is known.

    `url` is where it is reached, in canonical form; empty for one that is started by a command.
    `posts` are the paths that it told its agents to post to (the older transport, HTTP with SSE).
    """

    name: str
    url: str = ""
    owner: str = ""
    groups: tuple[str, ...] = ()
    trust: Trust = Trust.UNVERIFIED
    health: Health = Health.UNKNOWN
    lapsed: bool = False
    posts: tuple[str, ...] = ()

    @property
    def cut_off(self) -> bool:
        """True when no policy may let a call reach it."""
        return self.lapsed or self.trust in CUT_OFF

    @property
    def state(self) -> str:
        """How it stands, in a word: its trust, or `lapsed` when that alone cuts it off."""
        return "lapsed" if self.lapsed and self.trust not in CUT_OFF else str(self.trust)


@quick
@dataclass(frozen=True, slots=True)
class Evidence:
    """What the agent claimed about the destination, kept beside the authority that was judged."""

    connect: str = ""
    sni: str = ""
    host: str = ""


@quick
@dataclass(frozen=True, slots=True)
class Request:
    """One request as it stands on the wire, free of any proxy's types.

    `protocol` is what is spoken over HTTP: `websocket` for the opening handshake of one, `grpc`
    for a call of which only the head was read, else empty.
    `mcp_headers` are those that repeat what stands in a body of that protocol, in lower case.
    `offered` are the placeholders of minted tokens in headers, each with its header's name.
    """

    method: str
    scheme: str
    authority: Authority
    path: str
    body: bytes = b""
    content_type: str = ""
    content_encoding: str = ""
    mcp_headers: tuple[tuple[str, str], ...] = ()
    source_ip: str = ""
    evidence: Evidence = Evidence()
    doubt: str = ""
    protocol: str = ""
    offered: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Entity:
    """A Cedar entity id; `str()` is the form that people write in a policy."""

    type: str
    id: str

    def __str__(self) -> str:
        escaped = self.id.replace("\\", "\\\\").replace('"', '\\"')
        return f'{self.type}::"{escaped}"'


class Pin(StrEnum):
    """How a tool stands to what it was when it was first seen, or when a person last looked."""

    UNSEEN = "unseen"
    SAME = "same"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Message:
    """One JSON-RPC message of the Model Context Protocol (MCP), or what goes around them.

    `server` is the name of a registered server, else the host. `id` is None for what expects no
    answer: a notification, an answer of the agent, a request without a body. `tool` is the name
    of the tool that is called, empty for any other message.
    """

    server: str
    method: str
    id: str | int | float | None = None
    tool: str = ""
    pin: Pin = Pin.UNSEEN


@quick
@dataclass(frozen=True, slots=True)
class Call:
    """What the agent is about to do, in the vocabulary of the policies.

    `doubt` is empty, or says why what was read here may not be what the upstream will read.
    `server` is the registered server that it goes to, None for any other destination. `mcp` is
    None for what is no message of that protocol; of several messages in one body, the others
    are the `batch` of the first.
    """

    service: str
    action: str
    resource: Entity
    request: Request
    body_sha256: bytes
    model: str = ""
    stream: bool = False
    tools: tuple[str, ...] = ()
    max_tokens: int = 0
    doubt: str = ""
    server: Server | None = None
    mcp: Message | None = None
    batch: tuple["Call", ...] = ()


@dataclass(frozen=True, slots=True)
class Reason:
    """One policy, or one of our own rules, that settled a decision."""

    policy_id: str
    description: str = ""

    def __str__(self) -> str:
        return f"{self.policy_id}: {self.description}" if self.description else self.policy_id


@dataclass(frozen=True, slots=True)
class Why:
    """What policies are told about the reason of a call.

    `broken` says why a chain of delegation does not hold; it may also be `too_narrow` for the call.
    """

    intent_category: str = ""
    intent_matches: bool = False
    goal_status: str = NO_GOAL
    goal_actions_left: int = 0
    delegation_depth: int = 0
    delegated_by: str = ""
    actors: tuple[str, ...] = ()
    broken: str = ""
    too_narrow: bool = False

    @property
    def delegation_valid(self) -> bool:
        """True for a verified chain."""
        return self.delegation_depth > 0


@quick
@dataclass(frozen=True, slots=True)
class Decision:
    """The answer to: may this agent make this call, now, for this reason?

    `enforced` says whether the answer binds: in observe mode a denial is recorded only.
    `micros` is the time that deciding took, in microseconds. `quarantine` is the policy that
    takes the agent's trust away by a denial that binds; empty for none. `secret` is the one that
    was asked about too, `at` when (epoch seconds). `told` is None when no reason was looked at.
    """

    id: str
    effect: Effect
    enforced: bool
    mode: Mode
    stage: Stage
    reasons: tuple[Reason, ...] = ()
    policy_set: str = ""
    considered: int = 0
    applicable: int = 0
    micros: int = 0
    quarantine: str = ""
    secret: str = ""
    at: float = 0.0
    told: Why | None = None

    @property
    def refused(self) -> bool:
        """True when the call must not leave."""
        return self.enforced and self.effect is not Effect.ALLOW

    @property
    def label(self) -> str:
        """The word in the `Interlock-Decision` header."""
        if self.effect is Effect.ALLOW or self.enforced:
            return str(self.effect)
        return "would_deny"

    @property
    def why(self) -> str:
        """One line for people."""
        return "; ".join(map(str, self.reasons)) or "no policy permits it"


@dataclass(frozen=True, slots=True)
class Binding:
    """Where one secret may go, for what calls, and how it is put on a request.

    The host of `authority` may be a pattern (`interlock.pattern`). An empty condition holds for
    every call. `agents` and `groups` are one condition, who: empty, it holds for every identified
    agent. `service` is the catalogue's name of the API that the host speaks, empty for an API
    that the catalogue does not know.
    """

    secret: str
    authority: Authority
    recipe: str
    agents: frozenset[str] = field(default_factory=frozenset)
    service: str = ""
    groups: frozenset[str] = field(default_factory=frozenset)
    goals: frozenset[str] = field(default_factory=frozenset)
    methods: frozenset[str] = field(default_factory=frozenset)
    paths: frozenset[str] = field(default_factory=frozenset)

    def __hash__(self) -> int:
        return hash(self.secret)

    def __str__(self) -> str:
        conditions = ("agents", "groups", "goals", "methods", "paths")
        said = [
            f"{name} {'|'.join(sorted(v))}" for name in conditions if (v := getattr(self, name))
        ]
        return f"{self.secret} at {self.authority.short} ({', '.join(said) or 'every call'})"
