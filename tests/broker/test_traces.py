"""Values that were in use stay masked."""

import pytest

from broker import Secret, Traces
from broker.traces import KEPT_S, MOST

OLD, NEW = Secret("value-of-yesterday"), Secret("value-of-today-0123")
PLACE = "api.example:443"


def reveal(secret: Secret) -> tuple[bytes, ...]:
    return (secret.reveal(),)


def shown(traces: Traces, now: float, place: str = PLACE) -> bytes:
    """What a stream with both values looks like behind the mask."""
    scrubber = traces.at(place, now).scrubber()
    return scrubber.feed(OLD.reveal() + b"|" + NEW.reveal()) + scrubber.flush()


def test_the_present_value_is_masked_for_good() -> None:
    """At its own place, and nowhere else."""
    traces = Traces()
    assert not traces.at(PLACE, 0)
    traces.note(PLACE, "a", OLD, reveal, 0)
    assert OLD.reveal() not in shown(traces, 1e9)
    assert OLD.reveal() in shown(traces, 0, "other.example:443")


def test_a_replaced_value_is_masked_for_a_while() -> None:
    """At least ten minutes; then only the new one is."""
    assert KEPT_S >= 600
    traces = Traces()
    traces.note(PLACE, "a", OLD, reveal, 0)
    traces.note(PLACE, "a", NEW, reveal, 100)
    assert OLD.reveal() not in shown(traces, 100 + KEPT_S - 1)
    after = shown(traces, 100 + KEPT_S + 1)
    assert OLD.reveal() in after
    assert NEW.reveal() not in after


def test_the_same_values_are_one_mask_until_one_of_them_ends() -> None:
    """Thousands of sources are put together once, not for every answer."""
    traces = Traces()
    traces.note(PLACE, "a", OLD, reveal, 0)
    first = traces.at(PLACE, 1)
    assert traces.at(PLACE, 2) is first
    traces.note(PLACE, "b", OLD, reveal, 3)
    traces.note(PLACE, "a", NEW, reveal, 4)
    both = traces.at(PLACE, 5)
    assert both is traces.at(PLACE, 4 + KEPT_S - 1)
    assert both.forms.keys() > first.forms.keys()
    assert traces.at(PLACE, 4 + KEPT_S).forms == both.forms, "source b has the old one still"


def test_a_value_that_comes_back_is_the_present_one() -> None:
    """And the other one is the one that goes."""
    traces = Traces()
    for now, secret in enumerate((OLD, NEW, OLD)):
        traces.note(PLACE, "a", secret, reveal, now)
    assert OLD.reveal() not in shown(traces, 1e9)
    assert NEW.reveal() in shown(traces, 1e9)


def test_there_is_a_bound_and_it_refuses() -> None:
    """What cannot be scrubbed is not handed out; later there is room again."""
    traces = Traces()
    for number in range(MOST):
        traces.note(PLACE, "a", Secret(f"value {number}"), reveal, number)
    with pytest.raises(ValueError, match="64 values within 15 minutes"):
        traces.note(PLACE, "a", NEW, reveal, MOST)
    traces.note(PLACE, "b", NEW, reveal, MOST)
    traces.note(PLACE, "a", NEW, reveal, MOST + KEPT_S)
