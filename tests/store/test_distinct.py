"""No two secrets for one call, and no looking at every pair to know it."""

import sys
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import replace
from itertools import permutations, product
from types import FrameType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.calls import describe
from interlock.errors import BindingError
from interlock.model import Agent, Authority, Binding, Call, Request
from interlock.pattern import hosts_overlap
from interlock.store.distinct import require_distinct
from interlock.store.fit import choose

FEW, MANY = 10, 500


def bound(secret: str, host: str, *agents: str) -> Binding:
    """A binding of a secret to a host, perhaps for some agents only."""
    return Binding(secret, Authority(host, 443), "bearer", agents=frozenset(agents))


def calls_of(work: Callable[[], object]) -> int:
    """How many functions of Python are called for it."""
    called = 0

    def call(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal called
        called += event == "call"

    before = sys.getprofile()
    sys.setprofile(call)
    try:
        work()
    finally:
        sys.setprofile(before)
    return called


@pytest.mark.parametrize(
    "each",
    [
        pytest.param(lambda n: bound(f"key-{n}", f"api-{n}.example.com"), id="hosts of their own"),
        pytest.param(
            lambda n: bound(f"key-{n}", "api.example.com", f"agent-{n}"), id="agents of their own"
        ),
        pytest.param(
            lambda n: bound(f"key-{n}", f"*.{n}.example.com"), id="a pattern for each customer"
        ),
        pytest.param(
            lambda n: replace(
                bound(f"key-{n}", "api.example.com"), paths=frozenset({f"/repos/{n}"})
            ),
            id="paths of their own",
        ),
    ],
)
def test_thousands_of_bindings_are_not_all_held_against_each_other(
    each: Callable[[int], Binding],
) -> None:
    """A start looked at every pair: half a minute for five thousand."""
    few, many = ([each(n) for n in range(number)] for number in (FEW, MANY))
    assert calls_of(lambda: require_distinct(many)) < 2 * MANY / FEW * calls_of(
        lambda: require_distinct(few)
    )


HOSTS = [
    *("*.e.com", "*-a.e.com", "b-*.e.com", "*.x.e.com", "x.*.e.com", "*y.x.e.com", "y.x*.e.com"),
    *("*.y.x.e.com", "z.*.x.e.com", "z.y.*.e.com", "*.y.w.e.com", "*.e.org", "*.x.e.org"),
]


def test_no_two_patterns_that_mean_one_host_are_missed() -> None:
    """Wherever their `*` stand, and whichever comes first."""
    for one, other in permutations(HOSTS, 2):
        with pytest.raises(BindingError) if hosts_overlap(one, other) else nullcontext():
            require_distinct([bound("a", one), bound("b", other)])


def some(*values: str) -> st.SearchStrategy[frozenset[str]]:
    """None of these, or a few of them."""
    return st.frozensets(st.sampled_from(values), max_size=2)


BINDINGS = st.builds(
    Binding,
    st.sampled_from(("s", "t", "u")),
    st.sampled_from([Authority(host, 443) for host in ("x.y.e.com", "*.y.e.com", "x.*.e.com")]),
    st.just("bearer"),
    agents=some("one", "two"),
    groups=some("lab"),
    goals=some("g"),
    methods=some("GET", "PUT"),
    paths=some("/a", "/a/b", "/*/b", "/a/*", "/"),
)
CALLERS = [Agent("one"), Agent("two", groups=("lab",)), Agent("three")]
CALLS = [
    describe(Request(method, "https", Authority(host, 443), path), None)
    for host in ("x.y.e.com", "z.y.e.com", "x.z.e.com")
    for method in ("GET", "PUT", "POST")
    for path in ("/a", "/a/b", "/a/c", "/c/b", "/c")
]


@given(st.lists(BINDINGS, min_size=2, max_size=6))
def test_what_is_let_through_leaves_no_call_undecided(bindings: list[Binding]) -> None:
    """Whoever calls, for whatever goal."""
    with suppress(BindingError):
        require_distinct(bindings)
        for caller, call, goal in product(CALLERS, CALLS, ("", "g")):
            assert undecided(bindings, caller, call, goal) == ""


def undecided(bindings: list[Binding], caller: Agent, call: Call, goal: str) -> str:
    """What keeps a call from its key; empty where nothing does."""
    try:
        choose(bindings, caller, call, goal)
    except BindingError as e:
        return str(e)
    return ""
