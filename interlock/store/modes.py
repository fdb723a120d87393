"""Modes that are stricter than the global one, for an agent, a group or a service."""

import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from interlock.model import Agent, Mode
from interlock.store.audit import Audit
from interlock.store.database import Database
from interlock.store.snapshot import Snapshot

type Scope = Literal["agent", "group", "service"]
SCOPES: tuple[str, ...] = get_args(Scope.__value__)


@dataclass(frozen=True, slots=True)
class ModeRule:
    """One mode set for one agent, group or service, and why."""

    scope: str
    name: str
    mode: Mode
    reason: str


class Modes:
    """Rolls out enforcement step by step: the strictest mode that fits a call holds."""

    def __init__(self, database: Database, audit: Audit) -> None:
        self._database = database
        self._audit = audit
        self._rules = Snapshot(database, _load)

    def all(self) -> list[ModeRule]:
        """Every rule, by scope and name."""
        return [rule for _, rule in sorted(self._rules.value.items())]

    def of(self, everywhere: Mode, agent: Agent, service: str) -> Mode:
        """The mode of one call; `everywhere` is the global one."""
        if everywhere is Mode.ENFORCE or not (rules := self._rules.value):
            return everywhere
        keys = [("agent", agent.name), ("service", service)]
        keys += [("group", group) for group in agent.groups]
        strict = any(key in rules and rules[key].mode is Mode.ENFORCE for key in keys)
        return Mode.ENFORCE if strict else everywhere

    def set(self, rule: ModeRule) -> None:
        """Set or replace one rule; the change is an event with its reason."""

        def work(connection: sqlite3.Connection) -> None:
            before = _remove(connection, rule.scope, rule.name)
            connection.execute(
                "insert into modes values (?, ?, ?, ?, ?)",
                [rule.scope, rule.name, rule.mode, rule.reason, time.time()],
            )
            self._record(connection, rule.scope, rule.name, before, rule.mode, rule.reason)

        self._database.write(work)

    def clear(self, scope: str, name: str, reason: str = "") -> bool:
        """Remove one rule; False when there was none."""

        def work(connection: sqlite3.Connection) -> bool:
            before = _remove(connection, scope, name)
            if before is not None:
                self._record(connection, scope, name, before, None, reason)
            return before is not None

        return self._database.write(work)

    def _record(
        self,
        connection: sqlite3.Connection,
        scope: str,
        name: str,
        before: str | None,
        after: str | None,
        reason: str,
    ) -> None:
        details = {"scope": scope, "name": name, "before": before, "after": after, "reason": reason}
        self._audit(connection, "mode.set", details)


def _remove(connection: sqlite3.Connection, scope: str, name: str) -> str | None:
    row = connection.execute(
        "delete from modes where scope = ? and name = ? returning mode", [scope, name]
    ).fetchone()
    return row[0] if row else None


def _load(database: Database) -> Mapping[tuple[str, str], ModeRule]:
    return {
        (row["scope"], row["name"]): ModeRule(
            row["scope"], row["name"], Mode(row["mode"]), row["reason"]
        )
        for row in database.rows("select * from modes")
    }
