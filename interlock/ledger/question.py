"""The questions that people ask of the ledger, answered from its indexes, a page at a time."""

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass

PAGE = 1_000

type Rows = Callable[..., list[sqlite3.Row]]

# Where the values stand that are not columns.
_FIELDS = {"goal": "goal", "user": "facts.owner", "label": "label", "host": "authority"}


@dataclass(frozen=True, slots=True)
class Question:
    """Which decisions are wanted; what is empty does not matter.

    `decision` is a label, so that what did not bind is told apart. `host` is `host:port`, `user`
    the owner of the agent. `since` and `until` are epoch seconds, both included.
    """

    agent: str = ""
    decision: str = ""
    host: str = ""
    goal: str = ""
    user: str = ""
    since: float = 0.0
    until: float = float("inf")


def ask(rows: Rows, question: Question) -> Iterator[sqlite3.Row]:
    """Yield the decisions that fit, oldest first, however many there are.

    Page by page, each from where the one before ended: no answer is held in memory whole, and
    what is written meanwhile is told once.
    """
    where, values = _where(question)
    after: tuple[float, int] = (question.since, 0)
    while page := rows(
        "select rowid as place, * from events where kind = 'decision' and ts <= ? "  # noqa: S608
        f"and (ts, rowid) > (?, ?) {where} order by ts, rowid limit {PAGE}",
        *(question.until, *after, *values),
    ):
        yield from page
        after = (page[-1]["ts"], page[-1]["place"])


def _where(question: Question) -> tuple[str, list[str]]:
    """The conditions; the first is spelled as its index is (store/migrations.py), so it is used.

    The others are kept from theirs by a plus, because SQLite would guess which is the best.
    """
    asked = {
        "agent": question.agent,
        "goal": question.goal,
        "user": question.user,
        "label": question.decision,
        "host": question.host,
    }
    given = {name: value for name, value in asked.items() if value}
    terms = [_term(name, plus="+" if number else "") for number, name in enumerate(given)]
    return " ".join(f"and {term}" for term in terms), list(given.values())


def _term(name: str, plus: str) -> str:
    if name == "agent":
        return f"{plus}agent = ?"
    value = f"{plus}json_extract(body, '$.{_FIELDS[name]}')"
    return f"{value} = ? and {value} <> ''"
