"""Which binding serves a call: those whose conditions hold, and of them the most specific one.

The order, from the first thing that decides to the last: an exact host before a pattern; the
agent's name before its group before everyone; its open goal; the longer path, then the one with
fewer `*`; the method. Two secrets that come out equal are never chosen between.
"""

from collections.abc import Iterable

from interlock.errors import BindingError
from interlock.model import Agent, Binding, Call
from interlock.pattern import host_fits, is_pattern, path_fits, segments_of

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
    if len(fitting) == 1:
        return fitting[0][1]
    best = max(rank for rank, _ in fitting)
    first, *others = sorted((b for rank, b in fitting if rank == best), key=str)
    for other in others:
        if other.secret != first.secret:
            raise BindingError(f"{first} and {other} fit this call equally well: {ADD}")
    return first


def _rank(binding: Binding, agent: Agent, call: Call, goal: str) -> Rank | None:
    """How specific a binding is to a call; None when it does not serve it."""
    request, at = call.request, binding.authority
    exact = at.host == request.authority.host
    if at.port != request.authority.port or not (
        exact or host_fits(at.host, request.authority.host)
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
    return (exact, who, bool(binding.goals), path, bool(binding.methods))


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
    fitting = [length_of(p) for p in binding.paths if not call.doubt and path_fits(p, path)]
    return max(fitting, default=None)


def length_of(path: str) -> tuple[int, int]:
    """How specific the pattern of a path is: its segments, and those without a `*`."""
    segments = segments_of(path)
    return len(segments), sum(not is_pattern(segment) for segment in segments)
