"""The laws of what a token grants, and of the request that it fits."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker import Grant, Wire

TEXT = st.text(st.sampled_from("aA/:?1é\udc80"), max_size=4)
WIRES = st.builds(Wire, TEXT, TEXT, TEXT, st.binary(max_size=2), st.just(True))


@given(WIRES, WIRES)
def test_an_assertion_fits_one_request(one: Wire, other: Wire) -> None:
    """Two requests that differ anywhere differ in the assertion."""
    assert (one.assertion() == other.assertion()) == (one == other)


@given(st.lists(st.integers(0, 6), min_size=2, max_size=2).map(sorted))
def test_an_assertion_knows_where_a_field_ends(cuts: list[int]) -> None:
    """The same letters, cut into fields elsewhere, are another request."""
    one, other = cuts
    moved = Wire("GETa:1"[:one], "GETa:1"[one:other], "GETa:1"[other:], bytes(32), True)
    plain = Wire("GET", "a:1", "", bytes(32), True)
    assert (moved.assertion() == plain.assertion()) == (cuts == [3, 6])


@given(st.text(st.characters(exclude_categories=())))
def test_every_path_has_an_assertion(path: str) -> None:
    """Odd bytes of a path, which mitmproxy keeps as lone surrogates, are bound like all others."""
    assert len(Wire("GET", "a.example:443", path, bytes(32), True).assertion()) == 32


def test_an_assertion_is_about_the_request_alone(wire: Wire) -> None:
    """Whether the connection is verified is asked at redemption, not guessed when issuing."""
    assert replace(wire, verified=False).assertion() == wire.assertion()


@pytest.mark.parametrize("ttl", [0, -1, 300.001, float("inf"), float("nan")])
def test_refuses_a_lifetime_out_of_range(grant: Grant, ttl: float) -> None:
    """A grant lives more than no time, and five minutes at most."""
    with pytest.raises(ValueError, match="a grant lives up to 300 seconds"):
        replace(grant, ttl=ttl)


def test_lives_30_seconds_unless_told_otherwise(grant: Grant) -> None:
    """The default is 30 s, the limit of 300 s is allowed."""
    assert grant.ttl == 30
    assert replace(grant, ttl=300).ttl == 300


def test_refuses_a_grant_without_an_id(grant: Grant) -> None:
    """Without an id nothing could be spent."""
    with pytest.raises(ValueError, match="needs an id"):
        replace(grant, id="")
