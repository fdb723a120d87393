"""The ledger in figures: how many calls, of whom, to where, and what they used."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from interlock.ledger.question import Rows

MOST = 20

# Every row is read once: each reading of its body costs more than all else.
_COUNTED = (
    "select json_extract(body, '$.label') as label, agent, "
    "json_extract(body, '$.authority') as host, count(*) as calls, "
    "sum(json_extract(body, '$.effect') <> 'allow') as denied "
    "from events where kind = 'decision' and ts between ? and ? group by 1, 2, 3"
)
_USED = (
    "select count(*) as outcomes, "
    "coalesce(sum(json_extract(body, '$.tokens_in')), 0) as tokens_in, "
    "coalesce(sum(json_extract(body, '$.tokens_out')), 0) as tokens_out, "
    "coalesce(sum(json_extract(body, '$.cost_usd')), 0.0) as cost_usd, "
    "coalesce(sum(json_extract(body, '$.scrubbed')), 0) as scrubbed "
    "from events where kind = 'outcome' and ts between ? and ?"
)


@dataclass(frozen=True, slots=True)
class Count:
    """How often something occurs, and how often it was denied, or would have been."""

    name: str
    calls: int
    denied: int


@dataclass(frozen=True, slots=True)
class Statistics:
    """A stretch of time in figures; the lists hold the most frequent, at most MOST of them."""

    labels: tuple[Count, ...]
    agents: tuple[Count, ...]
    hosts: tuple[Count, ...]
    used: dict[str, float]


def count(sources: Iterable[Rows], since: float, until: float) -> Statistics:
    """Count the decisions and outcomes between two moments (epoch seconds, both included).

    Each of the sources has rows that no other has.
    """
    found: list[Any] = []
    used: dict[str, float] = {}
    for rows in sources:
        found += rows(_COUNTED, since, until)
        (sums,) = rows(_USED, since, until)
        used = {name: used.get(name, 0) + sums[name] for name in sums.keys()}  # noqa: SIM118
    return Statistics(_by("label", found), _by("agent", found), _by("host", found), used)


def _by(what: str, rows: Iterable[Any]) -> tuple[Count, ...]:
    """Add up what has the same label, agent or host."""
    calls, denied = Counter[str](), Counter[str]()
    for row in rows:
        name = str(row[what])
        calls[name] += row["calls"]
        denied[name] += row["denied"]
    most = sorted(calls, key=lambda name: (-calls[name], name))[:MOST]
    return tuple(Count(name, calls[name], denied[name]) for name in most)
