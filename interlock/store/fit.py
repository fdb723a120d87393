"""Which binding serves a call: those whose conditions hold, and of them the most specific one.

The order, from the first thing that decides to the last: an exact host before a pattern; the
agent's name before its group before everyone; its open goal; the longer path, then the one with
fewer `*`; the method. Two secrets that come out equal are never chosen between.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable
from itertools import chain, combinations, product

from interlock.errors import BindingError
from interlock.model import Agent, Binding, Call
from interlock.pattern import (
    host_fits,
    hosts_overlap,
    is_pattern,
    path_fits,
    paths_overlap,
    segments_of,
)

type Rank = tuple[bool, int, bool, tuple[int, int], bool]
ADD = "add --agent, --group, --goal, --path or --method to one of them"


def choose(bindings: Iterable[Binding], agent: Agent, call: Call, goal: str) -> Binding | None:
    """The binding that serves a call, None when none does; raises BindingError for a tie.

    `bindings` are those of the call's destination. `goal` is the id of a goal that is open for
    this agent and action, never a mere claim.
    """
    fitting = [(rank, b) for b in bindings if (rank := _rank(b, agent, call, goal))]
    if not fitting:
        return None
    best = max(rank for rank, _ in fitting)
    first, *others = sorted((b for rank, b in fitting if rank == best), key=str)
    for other in others:
        if other.secret != first.secret:
            raise BindingError(f"{first} and {other} fit this call equally well: {ADD}")
    return first


def require_distinct(bindings: Iterable[Binding]) -> None:
    """Raise BindingError when one call could fit two secrets equally well.

    Two different groups are no overlap: an agent in both is refused when it calls.
    """
    here: defaultdict[Hashable, list[Binding]] = defaultdict(list)
    below: defaultdict[Hashable, list[Binding]] = defaultdict(list)
    for binding in bindings:
        place, *above = _places(binding)
        for asked in _asked(binding):
            here[place, asked].append(binding)
            for each in above:
                below[each, asked].append(binding)
    for cell, some in here.items():
        for one, other in chain(combinations(some, 2), product(some, below.get(cell, ()))):
            if one.secret != other.secret and _tie(one, other):
                raise BindingError(f"{one} and {other} overlap: {ADD}")


def _rank(binding: Binding, agent: Agent, call: Call, goal: str) -> Rank | None:
    """How specific a binding is to a call; None when it does not serve it."""
    request = call.request
    host = binding.authority.host
    if binding.authority.port != request.authority.port or not host_fits(
        host, request.authority.host
    ):
        return None
    who = _who(binding, agent)
    if who is None or (binding.goals and goal not in binding.goals):
        return None
    if binding.methods and request.method not in binding.methods:
        return None
    path = _path(binding, call)
    if path is None:
        return None
    return (not is_pattern(host), who, bool(binding.goals), path, bool(binding.methods))


def _who(binding: Binding, agent: Agent) -> int | None:
    if agent.name in binding.agents:
        return 2
    if not binding.groups.isdisjoint(agent.groups):
        return 1
    return None if binding.agents or binding.groups else 0


def _path(binding: Binding, call: Call) -> tuple[int, int] | None:
    """The longest path that fits; none does for a call of which it is not sure what it reads."""
    if not binding.paths:
        return (0, 0)
    path = call.request.path.partition("?")[0]
    fitting = [_length(p) for p in binding.paths if not call.doubt and path_fits(p, path)]
    return max(fitting, default=None)


def _length(path: str) -> tuple[int, int]:
    segments = segments_of(path)
    return len(segments), sum(not is_pattern(segment) for segment in segments)


def _places(binding: Binding) -> list[Hashable]:
    """The host of a binding; for a pattern, what follows its `*`, then every end of that.

    Two patterns mean no host together unless what follows one `*` is an end of what follows the
    other. So of thousands of bindings only few have to be held against each other.
    """
    host, port = binding.authority.host, binding.authority.port
    if not is_pattern(host):
        return [(host, port)]
    fixed = host.partition("*")[2].split(".")[1:]
    return [(*fixed[n:], host.count("."), port) for n in range(len(fixed) - 1)]


def _asked(binding: Binding) -> Iterable[Hashable]:
    """Who calls, for which goal, with which method: two that tie have one of these in common."""
    who = [("agent", name) for name in binding.agents]
    who += [("group", name) for name in binding.groups]
    return product(who or [("", "")], binding.goals or [""], binding.methods or [""])


def _tie(one: Binding, other: Binding) -> bool:
    """Say whether some call fits both, each as well as the other, as far as places tell."""
    hosts = one.authority.host, other.authority.host
    return hosts_overlap(*hosts) and _paths_tie(one, other)


def _paths_tie(one: Binding, other: Binding) -> bool:
    if not (one.paths and other.paths):
        return one.paths == other.paths
    return any(
        _length(path) == _length(path_) and paths_overlap(path, path_)
        for path, path_ in product(one.paths, other.paths)
    )
