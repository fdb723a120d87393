"""What agents work for: goals that end, with limits that no race can overspend."""

import json
import re
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from typing import Any

from interlock.errors import GoalClosedError, GoalError
from interlock.store.audit import Audit
from interlock.store.database import Database
from interlock.store.names import names_in

# What a limit may be at most, and what is left of none: the largest whole number that JSON keeps.
UNLIMITED = 2**53
LIMITS = ("max_actions", "max_tokens", "max_cost_usd")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class Status(StrEnum):
    """How a goal stands. A person sets the first five; the others follow from time and use."""

    DRAFT = "Draft"
    ACTIVE = "Active"
    PAUSED = "Paused"
    COMPLETED = "Completed"
    CANCELLED = "Cancelled"

    NOT_YET = "NotYet"
    EXPIRED = "Expired"
    EXHAUSTED = "Exhausted"
    FOREIGN = "Foreign"
    UNKNOWN = "Unknown"


_TRANSITIONS: Mapping[Status, frozenset[Status]] = {
    Status.DRAFT: frozenset({Status.ACTIVE, Status.CANCELLED}),
    Status.ACTIVE: frozenset({Status.PAUSED, Status.COMPLETED, Status.CANCELLED}),
    Status.PAUSED: frozenset({Status.ACTIVE, Status.COMPLETED, Status.CANCELLED}),
    Status.COMPLETED: frozenset(),
    Status.CANCELLED: frozenset(),
}


@dataclass(frozen=True, slots=True)
class Goal:
    """A purpose with an end: who may work for it, by which actions, until when, at what expense.

    Empty `agents` and `actions` mean any, a limit of None means none. Times are epoch seconds.
    """

    id: str
    title: str = ""
    owner: str = ""
    agents: frozenset[str] = frozenset()
    actions: frozenset[str] = frozenset()
    status: Status = Status.ACTIVE
    starts_at: float | None = None
    expires_at: float | None = None
    max_actions: int | None = None
    max_tokens: int | None = None
    max_cost_usd: float | None = None
    used_actions: int = 0
    used_tokens: int = 0
    used_cost_usd: float = 0.0

    def standing(self, agent: str, action: str, now: float) -> Status:
        """How it stands for one action of one agent; only Active lets it through."""
        theirs = not self.agents or agent in self.agents
        meant = not self.actions or action in self.actions
        return self.state(now) if theirs and meant else Status.FOREIGN

    def state(self, now: float) -> Status:
        """How it stands for those that it is meant for."""
        if self.status is not Status.ACTIVE:
            return self.status
        if self.starts_at is not None and now < self.starts_at:
            return Status.NOT_YET
        if self.expires_at is not None and now >= self.expires_at:
            return Status.EXPIRED
        return Status.EXHAUSTED if self._exhausted else Status.ACTIVE

    @property
    def actions_left(self) -> int:
        """How many actions its limit leaves."""
        if self.max_actions is None:
            return UNLIMITED
        return max(0, self.max_actions - self.used_actions)

    @property
    def record(self) -> dict[str, Any]:
        """The goal as JSON values."""
        lists = {"agents": sorted(self.agents), "actions": sorted(self.actions)}
        return asdict(self) | lists

    @property
    def _exhausted(self) -> bool:
        spent = (
            (self.used_actions, self.max_actions),
            (self.used_tokens, self.max_tokens),
            (self.used_cost_usd, self.max_cost_usd),
        )
        return any(limit is not None and used >= limit for used, limit in spent)


_FIELDS = tuple(field.name for field in fields(Goal))


class Goals:
    """All goals. Read row by row, not through a snapshot: their counters move with every call."""

    def __init__(self, database: Database, audit: Audit) -> None:
        self._database = database
        self._audit = audit

    def get(self, goal_id: str) -> Goal | None:
        """Answer a goal, or None; raises StoreError."""
        return self._database.read(lambda connection: _find(connection, goal_id))

    def all(self) -> list[Goal]:
        """Every goal, by id; raises StoreError."""
        return [_goal(row) for row in self._database.rows("select * from goals order by id")]

    def add(self, goal: Goal) -> None:
        """Store a new goal, a draft or active; raises GoalError."""
        _check(goal)
        if goal.status not in (Status.DRAFT, Status.ACTIVE):
            raise GoalError(f"goal {goal.id!r} cannot begin as {goal.status}")

        def work(connection: sqlite3.Connection) -> None:
            if not _insert(connection, goal):
                raise GoalError(f"there is a goal {goal.id!r} already")
            self._audit(connection, "goal.add", {"goal": goal.id, "after": goal.record})

        self._database.write(work)

    def set_status(self, goal_id: str, status: Status, reason: str = "") -> Goal:
        """Move a goal to another status and return it; raises GoalError for a move that is none.

        Completed and Cancelled are final.
        """

        def work(connection: sqlite3.Connection) -> Goal:
            before = _require(connection, goal_id)
            if status not in _TRANSITIONS[before.status]:
                raise GoalError(f"goal {goal_id!r} is {before.status} and cannot become {status}")
            connection.execute("update goals set status = ? where id = ?", [status, goal_id])
            change = {"before": before.status, "after": status, "reason": reason}
            self._audit(connection, "goal.status", {"goal": goal_id} | change)
            return replace(before, status=status)

        return self._database.write(work)

    def extend(
        self,
        goal_id: str,
        *,
        expires_at: float | None = None,
        max_actions: int | None = None,
        max_tokens: int | None = None,
        max_cost_usd: float | None = None,
    ) -> Goal:
        """Move the end or a limit further out and return the goal; raises GoalError.

        Each value replaces the one before and must be larger. An expired or exhausted goal so
        comes back to life, a completed or cancelled one does not.
        """
        asked = {
            "expires_at": expires_at,
            "max_actions": max_actions,
            "max_tokens": max_tokens,
            "max_cost_usd": max_cost_usd,
        }
        more = {name: value for name, value in asked.items() if value is not None}
        if not more:
            raise GoalError(f"say what of goal {goal_id!r} to extend: its end, or a limit")
        return self._database.write(lambda connection: self._extend(connection, goal_id, more))

    def _extend(self, connection: sqlite3.Connection, goal_id: str, more: dict[str, Any]) -> Goal:
        goal = _require(connection, goal_id)
        before = {name: getattr(goal, name) for name in more}
        _require_more(goal, before, more)
        extended = replace(goal, **more)
        _check(extended)
        connection.execute(
            "update goals set expires_at = :expires_at, max_actions = :max_actions, "
            "max_tokens = :max_tokens, max_cost_usd = :max_cost_usd where id = :id",
            extended.record,
        )
        change = {"goal": goal_id, "before": before, "after": more}
        self._audit(connection, "goal.extend", change)
        return extended


def spend(
    connection: sqlite3.Connection, goal_id: str, agent: str, action: str, now: float
) -> None:
    """Count one action against a goal in the caller's transaction; raise GoalClosedError.

    The row count of one conditional update decides, because check-then-update loses the race
    between processes. Its conditions are those of `Goal.standing`.
    """
    spent = connection.execute(
        "update goals set used_actions = used_actions + 1 where id = :id and status = 'Active' "
        "and (starts_at is null or starts_at <= :now) "
        "and (expires_at is null or expires_at > :now) "
        "and (max_actions is null or used_actions < max_actions) "
        "and (max_tokens is null or used_tokens < max_tokens) "
        "and (max_cost_usd is null or used_cost_usd < max_cost_usd) "
        "and (agents = '[]' or :agent in (select value from json_each(agents))) "
        "and (actions = '[]' or :action in (select value from json_each(actions)))",
        {"id": goal_id, "agent": agent, "action": action, "now": now},
    )
    if spent.rowcount != 1:
        goal = _find(connection, goal_id)
        raise GoalClosedError(goal.standing(agent, action, now) if goal else Status.UNKNOWN)


def settle(
    connection: sqlite3.Connection, goal_id: str, tokens: int, cost_usd: float | None
) -> None:
    """Add what the outcome of a call used, in the caller's transaction; None is no known cost."""
    connection.execute(
        "update goals set used_tokens = min(used_tokens + ?, ?), "
        "used_cost_usd = used_cost_usd + ? where id = ?",
        [tokens, UNLIMITED, cost_usd or 0.0, goal_id],
    )


def _insert(connection: sqlite3.Connection, goal: Goal) -> bool:
    """Store a goal of which nothing is used; False when the id is taken."""
    row = goal.record
    row |= {name: json.dumps(row[name]) for name in ("agents", "actions")}
    added = connection.execute(
        "insert or ignore into goals (id, title, owner, agents, actions, status, "
        "starts_at, expires_at, max_actions, max_tokens, max_cost_usd, "
        "used_actions, used_tokens, used_cost_usd, created_at) values "
        "(:id, :title, :owner, :agents, :actions, :status, :starts_at, :expires_at, "
        ":max_actions, :max_tokens, :max_cost_usd, 0, 0, 0.0, :created_at)",
        row | {"created_at": time.time()},
    )
    return added.rowcount == 1


def _check(goal: Goal) -> None:
    if not _ID.fullmatch(goal.id):
        raise GoalError(
            f"goal id {goal.id[:64]!r}: use letters, digits, '.', '_' and '-', 128 at most"
        )
    if goal.expires_at is not None and not (goal.starts_at or 0) < goal.expires_at <= UNLIMITED:
        raise GoalError(f"goal {goal.id!r} must end after it starts")
    for name in LIMITS:
        limit = getattr(goal, name)
        if limit is not None and not 0 < limit <= UNLIMITED:
            raise GoalError(f"{_words(name)} must be more than 0 and at most 2^53, not {limit}")


def _require_more(goal: Goal, before: Mapping[str, Any], more: Mapping[str, Any]) -> None:
    """Raise GoalError unless every value lies beyond the one that it replaces."""
    if not _TRANSITIONS[goal.status]:
        raise GoalError(f"goal {goal.id!r} is {goal.status}, which is final")
    for name, value in more.items():
        if before[name] is None:
            raise GoalError(f"goal {goal.id!r} has no {_words(name)}: there is nothing to extend")
        if not value > before[name]:
            raise GoalError(f"{_words(name)} of goal {goal.id!r} can only grow; say the new total")


def _words(name: str) -> str:
    return name.replace("_", " ")


def _require(connection: sqlite3.Connection, goal_id: str) -> Goal:
    if goal := _find(connection, goal_id):
        return goal
    raise GoalError(f"there is no goal {goal_id!r}")


def _find(connection: sqlite3.Connection, goal_id: str) -> Goal | None:
    row = connection.execute("select * from goals where id = ?", [goal_id]).fetchone()
    return _goal(row) if row else None


def _goal(row: sqlite3.Row) -> Goal:
    values = {name: row[name] for name in _FIELDS}
    names = {name: names_in(row[name]) for name in ("agents", "actions")}
    return Goal(**values | names | {"status": Status(row["status"])})
