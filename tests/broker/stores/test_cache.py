"""The cache: one flight for each name, nothing beyond its time."""

import threading

import pytest

from broker import Secret, SecretUnavailableError
from broker.stores import Cache, Fetched, Flight
from broker.stores.cache import DEADLINE_S


class Source:
    """Counts how often it is asked; answers value 1, 2, ... when the gate is open."""

    def __init__(self) -> None:
        self.asked = self.forgotten = 0
        self.gate = threading.Event()
        self.gate.set()
        self.broken = False
        self.seconds = 100.0

    def fetch(self) -> Fetched:
        self.asked += 1
        number = self.asked
        assert self.gate.wait(30)
        if self.broken:
            raise SecretUnavailableError("n", "down")
        return Fetched(Secret(f"value {number}"), self.seconds)

    def forget(self) -> None:
        self.forgotten += 1


@pytest.fixture
def source() -> Source:
    return Source()


class Clock:
    """A time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def ask(kept: Cache, source: Source, version: bytes = b"1", name: str = "n") -> Flight:
    return kept.ask(name, version, source.fetch, source.forget)


def value(flight: Flight) -> bytes:
    return flight.future.result(30).reveal()


def test_many_that_ask_at_once_share_one_fetch(source: Source) -> None:
    """However long it takes; another name has a flight of its own."""
    kept = Cache(60)
    source.gate.clear()
    flights = [ask(kept, source) for _ in range(100)]
    other = Source()
    assert value(ask(kept, other, name="m")) == b"value 1"
    source.gate.set()
    assert {value(flight) for flight in flights} == {b"value 1"}
    assert source.asked == 1


def test_a_value_is_kept_for_its_time_only(source: Source, clock: Clock) -> None:
    """Counted from before the store was asked; what is lent for less is kept for less."""
    kept = Cache(60, clock)
    assert [value(ask(kept, source)) for _ in range(3)] == [b"value 1"] * 3
    clock.now += 61
    source.seconds = 0
    assert value(ask(kept, source)) == b"value 2"
    assert value(ask(kept, source)) == b"value 3"


def test_zero_keeps_nothing(source: Source) -> None:
    """Every call has its own fetch."""
    kept = Cache(0)
    assert [value(ask(kept, source)) for _ in range(2)] == [b"value 1", b"value 2"]


def test_nothing_stale_stands_in_for_a_store_that_is_down(source: Source, clock: Clock) -> None:
    """A failure is told to all who wait for it, is not kept, and hides no later success."""
    kept = Cache(60, clock)
    value(ask(kept, source))
    clock.now += 61
    source.broken = True
    for _ in range(2):
        with pytest.raises(SecretUnavailableError):
            value(ask(kept, source))
    source.broken = False
    assert value(ask(kept, source)) == b"value 4"


def test_another_version_is_fetched_at_once(source: Source) -> None:
    """Even while the old one is under way; its value never comes back. The store is told once."""
    kept = Cache(60)
    source.gate.clear()
    old = ask(kept, source)
    new = ask(kept, source, b"2")
    source.gate.set()
    assert (value(old), value(new)) == (b"value 1", b"value 2")
    assert value(ask(kept, source, b"2")) == b"value 2"
    assert (source.asked, source.forgotten) == (2, 1)


def test_a_change_is_noticed_after_the_value_is_gone(source: Source) -> None:
    """So that a lease that was rotated away does not come back."""
    kept = Cache(0)
    value(ask(kept, source))
    value(ask(kept, source, b"2"))
    assert source.forgotten == 1


def test_patience_ends(source: Source, clock: Clock) -> None:
    """Who joins a flight that is late waits for what is left of its time."""
    kept = Cache(60, clock)
    source.gate.clear()
    assert ask(kept, source).patience == DEADLINE_S
    clock.now += DEADLINE_S + 1
    assert ask(kept, source).patience == 0
    assert source.asked == 1
    source.gate.set()
