"""What is meant for us is taken off a head, wherever it stands, and nothing else is."""

from hypothesis import given
from hypothesis import strategies as st
from mitmproxy import http

from addons.offer import KEY_SLOTS, take_offer

SLOTS = [slot.encode() for slot in KEY_SLOTS]
NAMES = st.sampled_from(
    [
        *(b"Accept", b"Proxy-Authorization", b"Interlock-Goal", b"interlock-goal"),
        *(b"Interlock-Odd", b"Authorization", *SLOTS),
    ]
)
VALUES = st.sampled_from([b"", b"mine1", b"Bearer mine1", b"mine2", b"Bearer theirs", b"basic x y"])


@given(st.lists(st.tuples(NAMES, VALUES), max_size=7).map(tuple))
def test_a_head_gives_what_is_ours_and_keeps_the_rest(
    fields: tuple[tuple[bytes, bytes], ...],
) -> None:
    """Looked at field by field, in the order in which they stand."""
    headers = http.Headers(fields)
    offer = take_offer(headers, lambda value: value.startswith("mine"))
    named = [(name.lower(), value) for name, value in fields]
    told = [(n, v) for n, v in named if n.startswith((b"interlock-", b"proxy-authorization"))]
    keys = [
        (slot, value)
        for slot in SLOTS
        for name, value in named
        if name == slot and value.removeprefix(b"Bearer ").startswith(b"mine")
    ]
    assert [(n.lower(), v) for n, v in headers.fields] == [
        each for each in named if each not in told and each not in keys
    ]
    assert offer.shown == [v.decode() for n, v in told if n == b"proxy-authorization"]
    assert offer.declared == {
        n.decode(): [v.decode() for m, v in told if m == n]
        for n, _ in told
        if n != b"proxy-authorization"
    }
    assert offer.key == (keys[0][1].removeprefix(b"Bearer ").decode() if keys else None)
    assert offer.foreign is (any(n in SLOTS for n, _ in named) and not keys)
