"""Refused proofs are recorded, and nobody can fill the ledger with them."""

from typing import Any

from interlock.errors import IdentityError
from interlock.ledger import Event, Knocks
from interlock.ledger.knocks import MOST_SOURCES, OTHERS

NOW = 1_700_000_000.0
WRONG = IdentityError("no", "unknown key", "research-agent")


def told(events: list[Event]) -> list[tuple[Any, int]]:
    """Source and count of each row."""
    return [(event.body["source_ip"], event.body["count"]) for event in events]


def test_the_first_is_told_at_once_and_the_rest_are_counted() -> None:
    """Two rows a minute, with when it began and when it was last tried."""
    events: list[Event] = []
    knocks = Knocks(events.append)
    for second in range(50):
        knocks.refused("192.0.2.1", WRONG, NOW + second)
    assert told(events) == [("192.0.2.1", 1)]
    knocks.tell(NOW + 60)
    knocks.tell(NOW + 120)
    assert told(events) == [("192.0.2.1", 1), ("192.0.2.1", 49)]
    assert (events[1].body["since"], events[1].body["until"]) == (NOW, NOW + 49)
    assert (events[1].agent, events[1].body["cause"]) == ("research-agent", "unknown key")


def test_many_sources_are_counted_together() -> None:
    """Whoever has a network full of addresses writes no more rows than this."""
    events: list[Event] = []
    knocks = Knocks(events.append)
    for number in range(10_000):
        knocks.refused(f"2001:db8::{number:x}", WRONG, NOW)
    knocks.tell(NOW + 60)
    assert len(events) == MOST_SOURCES + 2
    assert sum(event.body["count"] for event in events) == 10_000
    assert told(events)[-1] == (OTHERS, 10_000 - MOST_SOURCES - 1)


def test_a_minute_is_over_also_when_the_clock_was_set_back() -> None:
    """What was counted is told, whatever the clock says."""
    events: list[Event] = []
    knocks = Knocks(events.append)
    knocks.tell_when_due(NOW)
    for _ in range(3):
        knocks.refused("192.0.2.1", WRONG, NOW)
    knocks.tell_when_due(NOW + 59)
    assert len(events) == 1
    knocks.tell_when_due(NOW - 3600)
    assert told(events)[-1] == ("192.0.2.1", 2)
