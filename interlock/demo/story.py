"""The story that the demo tells: which agent does what, and how it has to end in each mode."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from interlock.model import UNIDENTIFIED, Mode


@dataclass(frozen=True, slots=True)
class Task:
    """One call to a provider's API, as an agent makes it: without any key."""

    provider: str
    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """How one call ended. `arrived` counts requests at the upstream, `outcomes` rows of the ledger.

    `masked` tells that the upstream gave the key back and the agent got asterisks in its place.
    """

    decision: str
    status: int
    why: tuple[str, ...]
    arrived: int = 0
    outcomes: int = 0
    streamed: bool = False
    upstream_saw_secret: bool = False
    agent_saw_secret: bool = False
    masked: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """Who did what, in the words of the ledger, and how it ended."""

    mode: Mode
    agent: str
    action: str
    resource: str
    ending: Ending
    decision_id: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Scene:
    """One agent with one task, and its ending in each mode."""

    agent: str
    task: Task
    action: str
    resource: str
    observe: Ending
    enforce: Ending

    def expected(self, mode: Mode) -> Result:
        ending = self.observe if mode is Mode.OBSERVE else self.enforce
        return Result(mode, self.agent, self.action, self.resource, ending)


QUESTION = {"messages": [{"role": "user", "content": "What is an interlock?"}]}
CHAT = Task("openai", "POST", "/v1/chat/completions", body={"model": "gpt-4o", **QUESTION})
STREAMED_CHAT = Task(
    "anthropic",
    "POST",
    "/v1/messages",
    headers={"anthropic-version": "2023-06-01"},
    body={"model": "claude-sonnet-4-5", "max_tokens": 64, "stream": True, **QUESTION},
)
CLEANUP = Task("openai", "DELETE", "/v1/files/file-7")

# What the policies in policies/default.cedar make of these tasks.
WENT_THROUGH = Ending(
    "allow",
    200,
    ("trusted-agents-use-models", "trusted-agents-use-keys"),
    arrived=1,
    outcomes=1,
    upstream_saw_secret=True,
    masked=True,
)
FORBIDDEN = ("deleting-is-administration",)
NOT_PERMITTED = ("no-policy",)

STORY = (
    Scene(
        "research-agent",
        CHAT,
        "chat",
        'Model::"gpt-4o"',
        observe=WENT_THROUGH,
        enforce=WENT_THROUGH,
    ),
    Scene(
        "research-agent",
        STREAMED_CHAT,
        "chat",
        'Model::"claude-sonnet-4-5"',
        observe=replace(WENT_THROUGH, streamed=True),
        enforce=replace(WENT_THROUGH, streamed=True),
    ),
    Scene(
        "cleanup-agent",
        CLEANUP,
        "delete_file",
        'Service::"openai"',
        observe=replace(WENT_THROUGH, decision="would_deny", why=FORBIDDEN),
        enforce=Ending("deny", 403, FORBIDDEN),
    ),
    Scene(
        UNIDENTIFIED.name,
        CHAT,
        "chat",
        'Model::"gpt-4o"',
        # Nobody refuses this call but the provider itself: it came without a key.
        observe=Ending("would_deny", 401, NOT_PERMITTED, arrived=1, outcomes=1),
        enforce=Ending("deny", 403, NOT_PERMITTED),
    ),
)


def difference(expected: Result, result: Result) -> str:
    """Say in one line where a result departs from the story; empty when it does not."""
    wanted, got = _flat(expected), _flat(result)
    departures = [
        f"{name} is {got[name]!r} instead of {value!r}"
        for name, value in wanted.items()
        if got[name] != value
    ]
    about = f"{expected.mode}, {expected.agent}, {expected.action} {expected.resource}: "
    return about + ", ".join(departures) if departures else ""


def _flat(result: Result) -> dict[str, Any]:
    ending = asdict(result.ending)
    return {"agent": result.agent, "action": result.action, "resource": result.resource} | ending
