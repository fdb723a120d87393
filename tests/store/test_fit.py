"""No two secrets for one call, and no looking at every pair to know it."""

import sys
from collections.abc import Callable
from contextlib import nullcontext
from itertools import permutations
from types import FrameType

import pytest

from interlock.errors import BindingError
from interlock.model import Authority, Binding
from interlock.pattern import hosts_overlap
from interlock.store.fit import require_distinct

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
