"""What the tools of MCP servers were when they were first seen, and what they are now."""

import hashlib
import json
import sqlite3
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from interlock.errors import RegistryError
from interlock.model import Pin
from interlock.store import Audit, Database, Snapshot

MOST_TOOLS = 1024
MOST_NOTICED = 16_384
# How long a definition may take to the disk before it is sent there again.
ON_ITS_WAY_S = 5.0
# A longer definition is kept as its digest alone.
LONGEST_DEFINITION = 16_384

type Definition = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool of a server: its definition when it was pinned, and as it was last seen."""

    server: str
    name: str
    pinned: str
    seen: str
    first_seen: float
    changed_at: float | None = None

    @property
    def pin(self) -> Pin:
        """Whether it is still what was pinned."""
        return Pin.SAME if self.pinned == self.seen else Pin.CHANGED


class Pins:
    """Read through a snapshot, changed with an audit row."""

    def __init__(self, database: Database, audit: Audit) -> None:
        self._database = database
        self._audit = audit
        self._tools = Snapshot(database, _load)
        self._noticed: dict[tuple[str, str], Tool] = {}

    def tools(self, server: str) -> list[Tool]:
        """The tools that were seen at a server, by name."""
        return [tool for (name, _), tool in sorted(self._tools.value.items()) if name == server]

    def of(self, server: str, tool: str) -> Pin:
        """How a tool stands to what was pinned; one that nobody can tell changes of has changed."""
        known = self._current(server, tool)
        if known:
            return known.pin
        return Pin.UNSEEN if self._room(server) else Pin.CHANGED

    def notice(self, server: str, shown: Mapping[str, str]) -> dict[str, str]:
        """Hold against what is known what a server shows now; answer what is new of it.

        It counts from here on, before it is on disk (`see`).
        """
        if len(self._noticed) > MOST_NOTICED:
            self._noticed.clear()
        news, at, room = {}, time.time(), self._room(server)
        for name, now in shown.items():
            kept, last = self._tools.value.get((server, name)), self._noticed.get((server, name))
            on_its_way = last and last.seen == now and at - last.first_seen < ON_ITS_WAY_S
            if on_its_way or (kept and kept.seen == now and (not last or last.seen == now)):
                continue
            known = self._current(server, name)
            if known is None and (room := room - 1) < 0:
                continue
            pinned = known.pinned if known else now
            self._noticed[server, name] = Tool(server, name, pinned, now, at)
            news[name] = now
        return news

    def _room(self, server: str) -> int:
        """How many more tools of a server are kept (`see`)."""
        known = self._tools.value.keys() | self._noticed.keys()
        return max(0, MOST_TOOLS - sum(its == server for its, _ in known))

    def _current(self, server: str, tool: str) -> Tool | None:
        """A tool as it was last seen, here or by another front door."""
        known, noticed = self._tools.value.get((server, tool)), self._noticed.get((server, tool))
        if known is None and noticed and time.time() - noticed.first_seen > ON_ITS_WAY_S:
            return None  # it was not kept, or its server is gone
        return replace(known, seen=noticed.seen) if known and noticed else known or noticed

    def pin(self, server: str, tools: Iterable[str] = ()) -> list[str]:
        """Take tools as they are seen now for good, all of them when none is named.

        Answers the names of those that had changed; raises RegistryError for an unknown one.
        """
        wanted = set(tools)

        def work(connection: sqlite3.Connection) -> list[str]:
            known = {tool.name: tool for tool in _seen(connection, server)}
            if missing := sorted(wanted - known.keys()):
                raise RegistryError(f"server {server!r} has shown no tool {missing[0]!r}")
            changed = [
                name
                for name, tool in sorted(known.items())
                if tool.pin is Pin.CHANGED and (not wanted or name in wanted)
            ]
            connection.executemany(
                "update server_tools set pinned = seen, changed_at = null "
                "where server = ? and tool = ?",
                [(server, name) for name in changed],
            )
            change = {
                "before": {name: digest(known[name].pinned) for name in changed},
                "after": {name: digest(known[name].seen) for name in changed},
            }
            details = {"server": server, "tools": changed} | change
            self._audit(connection, "server.pin", details)
            return changed

        return self._database.write(work)


def see(connection: sqlite3.Connection, server: str, shown: Mapping[str, str]) -> None:
    """Keep what a server shows, in the open transaction; what is new is pinned.

    Of a server that shows names without end, no more than `MOST_TOOLS` are kept.
    """
    if not connection.execute("select 1 from servers where name = ?", [server]).fetchone():
        return
    known, now = {tool.name: tool for tool in _seen(connection, server)}, time.time()
    for name, definition in shown.items():
        before = known.get(name)
        if before is None and len(known) < MOST_TOOLS:
            known[name] = Tool(server, name, definition, definition, now)
            connection.execute(
                "insert into server_tools values (?, ?, ?, ?, ?, null)",
                [server, name, definition, definition, now],
            )
        elif before and before.seen != definition:
            connection.execute(
                "update server_tools set seen = ?, changed_at = ? where server = ? and tool = ?",
                [definition, now, server, name],
            )


def written(definition: Definition, *more: Definition) -> str:
    """The one text of a tool's definition, by which two are told apart; long ones as a digest.

    A tool that a server defines more than once is all of it together.
    """
    whole = [definition, *more] if more else definition
    text = json.dumps(whole, sort_keys=True, separators=(",", ":"))
    if len(text) <= LONGEST_DEFINITION:
        return text
    return f"sha256:{digest(text)}"


def digest(text: str) -> str:
    """SHA-256 of a definition, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def _load(database: Database) -> Mapping[tuple[str, str], Tool]:
    found = map(_tool, database.rows("select * from server_tools"))
    return {(tool.server, tool.name): tool for tool in found}


def _seen(connection: sqlite3.Connection, server: str) -> list[Tool]:
    rows = connection.execute("select * from server_tools where server = ?", [server])
    return [_tool(row) for row in rows]


def _tool(row: sqlite3.Row) -> Tool:
    return Tool(
        row["server"],
        row["tool"],
        row["pinned"],
        row["seen"],
        row["first_seen"],
        row["changed_at"],
    )
