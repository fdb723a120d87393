"""What every format of an export promises, and the words that several of them need."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any, Protocol

type Event = Mapping[str, Any]

# What an agent chose may be long, and receivers have limits (CEF: 1023 for most fields).
LONGEST_VALUE = 1023


class Gravity(IntEnum):
    """How much an event matters."""

    INFORMATION = 0
    NOTICE = 1
    WARNING = 2
    ERROR = 3
    ALERT = 4


@dataclass(frozen=True, slots=True)
class Message:
    """One line for a receiver, without its end; `ts` is in epoch seconds, `kind` an event's."""

    text: str
    ts: float
    kind: str
    gravity: Gravity


class Format(Protocol):
    """Writes events; the same events always become the same text."""

    @property
    def content_type(self) -> str:
        """The media type of several lines."""

    @property
    def header(self) -> str:
        """The line before the first; empty for none."""

    def messages(self, events: Sequence[Event]) -> Iterator[Message]:
        """Write events of the ledger, as `Ledger.after` answers them, each on one line."""


def message(event: Event, text: str) -> Message:
    """A line about one event."""
    return Message(text, event["ts"], event["kind"], gravity_of(event))


def gravity_of(event: Event) -> Gravity:
    """How much an event matters: alerts, then what failed, then what was or would be denied."""
    if event["kind"] == "alert":
        return Gravity.ALERT
    if event["kind"] == "gap" or (event["kind"] == "policy_load" and "error" in event["body"]):
        return Gravity.ERROR
    if event["kind"] == "proof_refused":
        return Gravity.WARNING
    label = event["body"].get("label")
    known = {
        "deny": Gravity.WARNING,
        "would_deny": Gravity.NOTICE,
        "needs_approval": Gravity.NOTICE,
    }
    return known.get(label, Gravity.INFORMATION)


def summary(event: Event) -> str:
    """An event in a few words: what it is, of whom, about what."""
    body = event["body"]
    said = (
        body.get("label", ""),
        event["agent"],
        body.get("action", ""),
        body.get("resource") or body.get("secret", ""),
        "" if body.get("status") is None else f"answered {body['status']}",
    )
    return " ".join((event["kind"], *(plain(part) for part in said if part)))


def reasons_of(event: Event) -> list[str]:
    """The ids of the policies or rules that settled a decision, or what is wrong with a proof."""
    reasons = [str(reason[0]) for reason in event["body"].get("reasons", ()) if reason]
    return reasons or [str(cause) for cause in [event["body"].get("cause")] if cause]


def owner_of(event: Event) -> str:
    """The person who answers for the agent."""
    return str(event["body"].get("facts", {}).get("owner", ""))


def host_and_port(event: Event) -> tuple[str, int]:
    """The destination of a call; empty and 0 when the event has none."""
    host, _, port = str(event["body"].get("authority", "")).rpartition(":")
    return host.strip("[]"), int(port) if port.isdecimal() else 0


def plain(value: Any, longest: int = LONGEST_VALUE) -> str:
    """A value as bounded text in which nothing is left that a terminal or parser could obey."""
    text = "".join(c if c.isprintable() else _escaped(c) for c in str(value)[:longest])
    return text[:longest]


def moment(ts: float) -> str:
    """Epoch seconds in UTC with microseconds (RFC 3339)."""
    return datetime.fromtimestamp(ts, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()
