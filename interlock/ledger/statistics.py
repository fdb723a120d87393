"""The ledger in figures: how many calls, of whom, to where, and what they used."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

MOST = 20

_COUNTED = (
    "select {what} as name, count(*) as calls, "
    "sum(json_extract(body, '$.effect') <> 'allow') as denied "
    "from events where kind = 'decision' and ts between ? and ? "
    "group by 1 order by calls desc, name limit ?"
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


def count(rows: Callable[..., list[Any]], since: float, until: float) -> Statistics:
    """Count the decisions and outcomes between two moments (epoch seconds, both included)."""

    def by(what: str) -> tuple[Count, ...]:
        found = rows(_COUNTED.format(what=what), since, until, MOST)
        return tuple(Count(str(row["name"]), row["calls"], row["denied"]) for row in found)

    (used,) = rows(_USED, since, until)
    return Statistics(
        by("json_extract(body, '$.label')"),
        by("agent"),
        by("json_extract(body, '$.authority')"),
        dict(used),
    )
