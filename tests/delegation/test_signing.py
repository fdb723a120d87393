"""The laws of handing on: offline, with one's own key, and never more than one has."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from interlock.delegation import (
    ANY,
    AttenuationError,
    BrokenError,
    DepthError,
    ExpiredError,
    Link,
    MalformedError,
    PublicKey,
    Scope,
    SignerError,
    attenuate,
    grant,
    kid_of,
    read_chain,
    verify,
)
from interlock.model import Entity
from tests.delegation.cast import ADA, GRANTED, HANDED_ON, KEY, KEYS, NOW, ROOT, A, B, narrower

AGENTS = [Entity("Agent", f"agent-{n}") for n in range(12)]
PAIRS = [SigningKey(bytes([n]) * 32) for n in range(12)]
KNOWN = KEYS | {
    kid_of(key.verify_key): PublicKey(agent, key.verify_key)
    for agent, key in zip(AGENTS, PAIRS, strict=True)
}

WIDE = Scope(("*",), ("*", "N"), ("*",), ("*",), 0, 9, 8)
some = st.integers(0, 3)
asks = st.fixed_dictionaries(
    {},
    optional={
        "actions": st.sampled_from(
            [("*",), ("execute", "read"), ("execute",), ("execute/chat",), ("chat", "execute")]
        ),
        "resources": st.lists(
            st.sampled_from(["*", "M*", "Ma*", "M?", "Ma", "*a", "M*a*"]), min_size=1, max_size=2
        ).map(tuple),
        "intents": st.sampled_from([("*",), ("R", "D"), ("R",)]),
        "goals": st.sampled_from([("*",), ("g", "h"), ("g",)]),
        "not_before": some.map(float),
        "expires": some.map(lambda n: n + 5.0),
        "depth": st.integers(0, 8),
    },
)
calls = st.tuples(
    st.sampled_from(["chat", "embed", "execute", "http_get"]),
    st.sampled_from([(), ("execute",), ("read",), ("execute", "read")]),
    st.sampled_from(["", "M", "Ma", "Mb", "Ma*", "Mba?", "N", "*", "?"]),
    st.sampled_from(["", "R", "D", "*"]),
    st.sampled_from(["", "g", "h", "*"]),
    st.sampled_from([-6, -5, 0, 1.5, 4.5, 5, 7, 9]),
)


def asked_for(asks: list[dict[str, Any]]) -> tuple[Link, ...]:
    """The chain that comes of asking again and again, where too much is refused."""
    chain, number = grant(KEY[ADA], ADA, AGENTS[0], WIDE, 0), 0
    for ask in asks:
        parent = read_chain(chain)[-1].scope
        named = ("execute", "read") if ANY in parent.actions else parent.actions
        inherited = {"depth": max(parent.depth - 1, 0), "actions": named}
        scope = replace(parent, **inherited | ask)
        try:
            chain = attenuate(chain, PAIRS[number], AGENTS[number + 1], scope, 0)
        except (AttenuationError, DepthError):
            continue
        number += 1
    return verify(chain, KNOWN, (), agent=AGENTS[number].id, now=4.5).links


@given(st.lists(asks, max_size=12), st.lists(calls, min_size=50, max_size=50))
def test_no_chain_yields_what_a_link_before_it_lacked(
    asks: list[dict[str, Any]], calls: list[tuple[Any, ...]]
) -> None:
    """Whatever agents ask for, each call that the end permits, every link permits."""
    links = asked_for(asks)
    for call in calls:
        permitted = [link.scope.permits(*call) for link in links]
        assert permitted == sorted(permitted, reverse=True)


def test_a_chain_grows_to_nine_links_and_no_further() -> None:
    """Eight may follow the root; the ninth would be one too many."""
    chain, scope = grant(KEY[ADA], ADA, AGENTS[0], ROOT, NOW), ROOT
    for number in range(8):
        scope = narrower(scope)
        chain = attenuate(chain, PAIRS[number], AGENTS[number + 1], scope, NOW)
    assert verify(chain, KNOWN, (), agent="agent-8", now=NOW).depth == 9
    with pytest.raises(DepthError, match="link 10"):
        attenuate(chain, PAIRS[8], AGENTS[9], scope, NOW)


def test_the_limit_holds_whatever_the_root_says() -> None:
    """A person may not allow more than the limit, an agent not go beyond it."""
    deep = replace(ROOT, depth=9)
    with pytest.raises(DepthError, match="link 1"):
        grant(KEY[ADA], ADA, A, deep, NOW)
    chain = grant(KEY[ADA], ADA, A, deep, NOW, limit=9)
    with pytest.raises(DepthError, match="link 2"):
        attenuate(chain, KEY[A], B, ROOT, NOW, limit=0)


def test_refuses_what_nobody_would_accept() -> None:
    """The errors are those that verifying would raise."""
    last = replace(ROOT, depth=0)
    with pytest.raises(AttenuationError, match=r"link 2: .* actions, exp"):
        attenuate(GRANTED, KEY[A], B, narrower(ROOT, actions=("delete",), expires=NOW + 9e6), NOW)
    with pytest.raises(BrokenError, match="cyclic"):
        attenuate(HANDED_ON, KEY[B], A, narrower(narrower(ROOT)), NOW)
    with pytest.raises(BrokenError, match="no agent"):
        attenuate(GRANTED, KEY[A], ADA, narrower(ROOT), NOW)
    with pytest.raises(BrokenError, match="no user"):
        grant(KEY[A], A, B, ROOT, NOW)
    with pytest.raises(DepthError, match="lets no other follow"):
        attenuate(grant(KEY[ADA], ADA, A, last, NOW), KEY[A], B, last, NOW)
    with pytest.raises(ExpiredError, match="link 1"):
        grant(KEY[ADA], ADA, A, ROOT, NOW + 3600)
    with pytest.raises(ExpiredError, match="link 2"):
        attenuate(GRANTED, KEY[A], B, narrower(ROOT), NOW + 3600)
    with pytest.raises(MalformedError, match="link 1"):
        attenuate("nothing", KEY[A], B, ROOT, NOW)


def test_a_chain_too_long_for_its_header_is_not_made() -> None:
    """16 KiB is what verifying reads."""
    scope = replace(ROOT, goals=tuple(f"{n:0250}" for n in range(32)))
    chain = grant(KEY[ADA], ADA, A, scope, NOW)
    with pytest.raises(MalformedError, match="16384"):
        attenuate(chain, KEY[A], B, narrower(scope), NOW)


def test_another_agents_link_is_signed_in_vain() -> None:
    """Offline nobody can tell whose key it is; the one who verifies can."""
    chain = attenuate(GRANTED, KEY[B], B, narrower(ROOT), NOW)
    with pytest.raises(SignerError, match=r'starts at Agent::"a", and Agent::"b" signed it'):
        verify(chain, KEYS, (), agent="b", now=NOW)
