"""The laws of scopes: what they permit, and when one lies within another."""

from dataclasses import replace
from fnmatch import fnmatchcase
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.delegation import Scope
from interlock.delegation.scope import matches
from tests.delegation.cast import NOW, ROOT, narrower

GPT = 'Model::"gpt-5"'
patterns = st.text("ab*?[]!", max_size=7)
texts = st.text("ab*?[]!\n", max_size=9)


def permits(scope: Scope, **changed: Any) -> bool:
    call = {"action": "chat", "groups": ("execute",), "resource": GPT, "now": NOW}
    return scope.permits(**call | {"intent_category": "Research", "goal": "g1"} | changed)


@pytest.mark.parametrize(
    ("changed", "permitted"),
    [
        pytest.param({}, True, id="all of it fits"),
        pytest.param({"action": "execute", "groups": ()}, True, id="the group itself"),
        pytest.param({"groups": ()}, False, id="an action of no group"),
        pytest.param({"action": "http_post", "groups": ("write",)}, False, id="another group"),
        pytest.param({"resource": 'Endpoint::"a.example"'}, True, id="a resource by name"),
        pytest.param({"resource": 'Endpoint::"b.example"'}, False, id="another resource"),
        pytest.param({"resource": 'model::"gpt-5"'}, False, id="another case"),
        pytest.param({"intent_category": ""}, False, id="no intent"),
        pytest.param({"intent_category": "*"}, False, id="an intent that calls itself any"),
        pytest.param({"goal": ""}, True, id="any goal is no goal too"),
        pytest.param({"now": NOW - 6}, False, id="too early"),
        pytest.param({"now": NOW - 4}, True, id="a clock that runs ahead"),
        pytest.param({"now": NOW + 3600}, False, id="too late, to the second"),
    ],
)
def test_permits_what_fits_in_every_respect(changed: dict[str, Any], permitted: bool) -> None:
    """One thing that does not fit is enough."""
    assert permits(ROOT, **changed) is permitted


def test_a_group_narrows_to_an_action_without_knowing_its_members() -> None:
    """`execute/chat` lies within `execute`, and is nothing where chat is not in that group."""
    chat = narrower(ROOT, actions=("execute/chat",))
    assert chat.within(ROOT)
    assert permits(chat)
    assert not permits(chat, action="embed")
    assert not permits(chat, groups=("read",))
    assert not narrower(ROOT, actions=("chat",)).within(ROOT)


@pytest.mark.parametrize(
    ("changed", "excess"),
    [
        pytest.param({}, (), id="the same, one link on"),
        pytest.param({"actions": ("read",)}, (), id="fewer actions"),
        pytest.param({"actions": ("read", "write")}, ("actions",), id="an action more"),
        pytest.param({"actions": ("*",)}, ("actions",), id="every action"),
        pytest.param({"resources": ('Model::"gpt-5*"',)}, (), id="a longer prefix"),
        pytest.param({"resources": (GPT,)}, (), id="one of a pattern"),
        pytest.param({"resources": ('Model::"gpt*"',)}, ("resources",), id="a shorter prefix"),
        pytest.param({"resources": ("*",)}, ("resources",), id="every resource"),
        pytest.param({"resources": ('Model::"gpt?*"',)}, ("resources",), id="not sure: refused"),
        pytest.param({"intents": ("Research",)}, (), id="fewer intents"),
        pytest.param({"intents": ("*",)}, ("intents",), id="every intent"),
        pytest.param({"goals": ("g1",)}, (), id="one goal of all"),
        pytest.param({"not_before": NOW - 1}, ("nbf",), id="earlier"),
        pytest.param({"expires": NOW + 3601}, ("exp",), id="later"),
        pytest.param({"depth": 8}, ("depth",), id="as deep as its parent"),
        pytest.param(
            {"goals": ("g1",), "intents": ("X",), "depth": 9}, ("intents", "depth"), id="2"
        ),
    ],
)
def test_names_the_claims_in_excess(changed: dict[str, Any], excess: tuple[str, ...]) -> None:
    """A child allows nothing more, in any claim."""
    child = replace(narrower(ROOT), **changed)
    assert child.excess(ROOT) == excess
    assert child.within(ROOT) is (not excess)


def test_every_action_is_for_the_root_alone() -> None:
    """Below a root that allows all, actions are named."""
    everything = replace(ROOT, actions=("*",))
    assert not narrower(everything).within(everything)
    assert narrower(everything, actions=("chat", "delete")).within(everything)


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"actions": ()}, id="no action"),
        pytest.param({"resources": ("",)}, id="an empty resource"),
        pytest.param({"goals": ("g\n",)}, id="a line break"),
        pytest.param({"intents": ("\ud800",)}, id="a lone surrogate"),
        pytest.param({"resources": ("x" * 257,)}, id="an endless pattern"),
        pytest.param({"goals": ("g",) * 33}, id="endless goals"),
        pytest.param({"actions": ("chat/",)}, id="an action that ends in a stroke"),
        pytest.param({"actions": ("ch*",)}, id="a pattern for an action"),
        pytest.param({"expires": NOW}, id="no time at all"),
        pytest.param({"expires": float("nan")}, id="a time that is no number"),
        pytest.param({"expires": float("inf")}, id="for ever"),
        pytest.param({"not_before": -1.0}, id="before time"),
        pytest.param({"depth": -1}, id="a depth below nothing"),
        pytest.param({"depth": 100}, id="a bottomless depth"),
    ],
)
def test_refuses_a_scope_that_says_nothing_clear(changed: dict[str, Any]) -> None:
    """Empty is not everything, and a typing error is not a permission."""
    with pytest.raises(ValueError, match=r"."):
        replace(ROOT, **changed)


@given(patterns, patterns, texts)
def test_what_a_pattern_within_another_matches_the_other_matches(
    wide: str, narrow: str, text: str
) -> None:
    """The one law that attenuation rests on."""
    lies_within = matches(wide, narrow) and matches(narrow, text)
    assert matches(wide, text) or not lies_within


def test_the_law_holds_for_all_short_patterns() -> None:
    """Every pair of patterns, on every text that could tell them apart."""
    short = ["".join(letters) for n in range(4) for letters in product("a*?", repeat=n)]
    matched = {p: {t for t in short if matches(p, t.replace("?", "b"))} for p in short}
    for wide, narrow in product(short, repeat=2):
        if matches(wide, narrow):
            assert matched[narrow] <= matched[wide]


@given(st.text("ab*", max_size=9), st.lists(st.text("ab*?[]!\n", max_size=4), min_size=9))
def test_a_pattern_lies_within_any_that_it_was_made_of(narrow: str, parts: list[str]) -> None:
    """Whatever is put in the place of a star gives a narrower pattern."""
    filled = "".join(parts.pop() if c == "*" else c for c in narrow)
    assert matches(narrow, filled)


@given(st.text("ab*?", max_size=9), st.text("ab?\n", max_size=9))
def test_matches_like_fnmatch(pattern: str, text: str) -> None:
    """The patterns are those of a shell, brackets aside."""
    assert matches(pattern, text) == fnmatchcase(text, pattern)


def test_brackets_are_letters() -> None:
    """Resources have brackets in them, such as IPv6 addresses."""
    assert matches('Endpoint::"[::1]:8443"', 'Endpoint::"[::1]:8443"')
    assert not matches("[ab]", "a")


def test_a_pattern_cannot_stop_the_clock() -> None:
    """An agent writes patterns too: matching takes no exponential time."""
    assert not matches("*a" * 120, "a" * 119 + "b" * 50_000)
