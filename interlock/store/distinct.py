"""No two secrets that a call could not choose between, found without a look at every pair."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from itertools import combinations, product

from interlock.errors import BindingError
from interlock.model import Binding
from interlock.pattern import hosts_overlap, is_pattern, paths_overlap, segments_of
from interlock.store.fit import ADD, length_of

type Pairs = Iterator[tuple[Binding, Binding]]


def require_distinct(bindings: Iterable[Binding]) -> None:
    """Raise BindingError when one call could fit two secrets equally well.

    Two different groups are no overlap: an agent in both is refused when it calls.
    """
    for one, other in _near(bindings):
        if one.secret != other.secret and _tie(one, other):
            raise BindingError(f"{one} and {other} overlap: {ADD}")


def _near(bindings: Iterable[Binding]) -> Pairs:
    """Every two that could tie, and few others."""
    here: defaultdict[Hashable, list[Binding]] = defaultdict(list)
    below: defaultdict[Hashable, list[Binding]] = defaultdict(list)
    for binding in bindings:
        place, *above = _places(binding)
        here[place].append(binding)
        for each in above:
            below[each].append(binding)
    for place, some in here.items():
        yield from _pairs(some, (_who, _goals, _methods, _lengths))
        yield from product(some, below.get(place, ()))


def _pairs(some: list[Binding], ways: Sequence[Callable[[Binding], Iterable[Hashable]]]) -> Pairs:
    """Every two that have something in common, whichever way they are looked at."""
    if len(some) < 2 or not ways:
        yield from combinations(some, 2)
        return
    alike: defaultdict[Hashable, list[Binding]] = defaultdict(list)
    for binding in some:
        for each in ways[0](binding):
            alike[each].append(binding)
    for part in alike.values():
        yield from _pairs(part, ways[1:])


def _places(binding: Binding) -> list[Hashable]:
    """The host of a binding; for a pattern, what follows its `*`, then every end of that.

    Two patterns mean no host together unless what follows one `*` is an end of what follows the
    other.
    """
    host, port = binding.authority.host, binding.authority.port
    if not is_pattern(host):
        return [(host, port)]
    fixed = host.partition("*")[2].split(".")[1:]
    return [(*fixed[n:], host.count("."), port) for n in range(len(fixed) - 1)]


def _who(binding: Binding) -> Iterable[Hashable]:
    named = [("agent", name) for name in binding.agents]
    return named + [("group", name) for name in binding.groups] or ["everyone"]


def _goals(binding: Binding) -> Iterable[Hashable]:
    return binding.goals or [""]


def _methods(binding: Binding) -> Iterable[Hashable]:
    return binding.methods or [""]


def _paths(binding: Binding) -> Iterable[str]:
    """No path means every path, as `/` does."""
    return binding.paths or ["/"]


def _lengths(binding: Binding) -> Iterable[Hashable]:
    """A plain path ties with itself alone: what is as long has no `*` either."""
    for path in _paths(binding):
        yield length_of(path) if is_pattern(path) else (*segments_of(path),)


def _tie(one: Binding, other: Binding) -> bool:
    """Say whether some call fits both, each as well as the other."""
    return (
        _hosts_tie(one, other)
        and _tied(_who(one), _who(other))
        and _tied(_goals(one), _goals(other))
        and _tied(_methods(one), _methods(other))
        and _paths_tie(one, other)
    )


def _hosts_tie(one: Binding, other: Binding) -> bool:
    (host, host_) = one.authority.host, other.authority.host
    same_port = one.authority.port == other.authority.port
    return same_port and is_pattern(host) is is_pattern(host_) and hosts_overlap(host, host_)


def _paths_tie(one: Binding, other: Binding) -> bool:
    return any(
        length_of(path) == length_of(path_) and paths_overlap(path, path_)
        for path, path_ in product(_paths(one), _paths(other))
    )


def _tied(one: Iterable[Hashable], other: Iterable[Hashable]) -> bool:
    return not set(one).isdisjoint(other)
