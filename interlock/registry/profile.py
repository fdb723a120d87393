"""What is known of an agent or a server beside who it is; nothing of it lets a call through."""

import json
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from interlock.model import Health

KINDS = ("tools", "resources", "prompts")


@dataclass(frozen=True, slots=True)
class Profile:
    """A description that somebody gave, and who: `source` is such as `user:ada` or `scanner:s1`.

    `type` is what kind of agent it is (`autonomous`), or how a server is reached (`http`,
    `stdio`). `capabilities` holds lists of `tools`, `resources` and `prompts`, each an object
    with a name and what else was told, schemas included. `env` holds names of variables, never
    values. `signals` are the ids of risks that were seen, `evidence` what they were seen by.
    """

    type: str = ""
    description: str = ""
    framework: str = ""
    version: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    capabilities: Mapping[str, Any] = field(default_factory=dict)
    endpoints: tuple[str, ...] = ()
    command: str = ""
    args: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    signals: tuple[str, ...] = ()
    evidence: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""

    @property
    def record(self) -> dict[str, Any]:
        """The profile as JSON values."""
        found: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return found

    def names(self, kind: str) -> list[str]:
        """The names of the tools, resources or prompts that it offers."""
        return [one["name"] for one in self.capabilities.get(kind, ()) if "name" in one]

    def changes(self, other: "Profile") -> list[str]:
        """The fields in which another one differs, whoever wrote it."""
        mine, theirs = self.record, other.record
        return [name for name in mine if name != "source" and mine[name] != theirs[name]]

    def told(self, fields: Iterable[str]) -> dict[str, str]:
        """What it says in these fields, as the ledger tells it: no lists, which may be long."""
        record = self.record
        return {field: record[field] for field in fields if isinstance(record[field], str)}


@dataclass(frozen=True, slots=True)
class Seen:
    """A stored profile: with how its holder was the last time that anybody looked.

    Times are epoch seconds; `verified_at` is when its health was found out, None for never.
    """

    profile: Profile = field(default_factory=Profile)
    health: Health = Health.UNKNOWN
    first_seen: float = 0.0
    last_seen: float = 0.0
    verified_at: float | None = None

    @property
    def record(self) -> dict[str, Any]:
        """Everything as one flat object of JSON values."""
        return self.profile.record | {
            "health": str(self.health),
            "first_seen": self.first_seen,
            "last_seen": self.last_seen,
            "verified_at": self.verified_at,
        }


_FIELDS = tuple(one.name for one in fields(Profile))


def write_profile(
    connection: sqlite3.Connection, kind: str, name: str, profile: Profile, now: float
) -> None:
    """Store or replace the profile of a holder that was seen now, in the caller's transaction."""
    connection.execute(
        "insert into profiles (kind, name, body, health, first_seen, last_seen) "
        "values (:kind, :name, :body, 'unknown', :now, :now) on conflict (kind, name) do update "
        "set body = excluded.body, last_seen = excluded.last_seen",
        {"kind": kind, "name": name, "body": json.dumps(asdict(profile)), "now": now},
    )


def write_health(
    connection: sqlite3.Connection, kind: str, name: str, health: Health, now: float
) -> bool:
    """Note how a holder was found; True when that is news."""
    before = connection.execute(
        "select health from profiles where kind = ? and name = ?", [kind, name]
    ).fetchone()
    connection.execute(
        "update profiles set verified_at = ? where kind = ? and name = ?", [now, kind, name]
    )
    if before is None or before["health"] == health:
        return False
    connection.execute(
        "update profiles set health = ? where kind = ? and name = ?", [health, kind, name]
    )
    return True


def touch(connection: sqlite3.Connection, kind: str, beats: Mapping[str, float]) -> int:
    """Note when these holders were heard of, and answer how many of them there are."""
    changed = connection.executemany(
        "update profiles set last_seen = max(last_seen, ?) where kind = ? and name = ?",
        ((now, kind, name) for name, now in beats.items()),
    )
    return changed.rowcount


def forget(connection: sqlite3.Connection, kind: str, name: str) -> None:
    """Delete the profile of a holder, in the caller's transaction."""
    connection.execute("delete from profiles where kind = ? and name = ?", [kind, name])


def with_calls(connection: sqlite3.Connection, agent: str, seen: Seen) -> Seen:
    """The same, seen last at the newest call of that agent when that is later."""
    row = connection.execute(
        "select ts from events where agent = ? and kind = 'decision' order by ts desc limit 1",
        [agent],
    ).fetchone()
    return replace(seen, last_seen=max(seen.last_seen, row["ts"])) if row else seen


def read_profiles(connection: sqlite3.Connection, kind: str) -> dict[str, Seen]:
    """Every stored profile of a kind, by its holder's name."""
    rows = connection.execute("select * from profiles where kind = ?", [kind])
    return {row["name"]: _seen(row) for row in rows}


def names_told_by(
    connection: sqlite3.Connection, kind: str, source: str, among: Iterable[str]
) -> set[str]:
    """Those of these holders whose profile comes from a source."""
    rows = connection.execute(
        "select name from profiles where kind = ? and name in (select value from json_each(?)) "
        "and json_extract(body, '$.source') = ?",
        [kind, json.dumps(list(among)), source],
    )
    return {row["name"] for row in rows}


def count_told_by(connection: sqlite3.Connection, *sources: str) -> int:
    """How many holders of any kind have their profile from one of these sources."""
    row = connection.execute(
        "select count(*) from profiles "
        "where json_extract(body, '$.source') in (select value from json_each(?))",
        [json.dumps(sources)],
    ).fetchone()
    return int(row[0])


def read_profile(connection: sqlite3.Connection, kind: str, name: str) -> Seen:
    """The profile of one holder; an empty one where nothing is known."""
    row = connection.execute(
        "select * from profiles where kind = ? and name = ?", [kind, name]
    ).fetchone()
    return _seen(row) if row else Seen()


def _seen(row: sqlite3.Row) -> Seen:
    body = json.loads(row["body"])
    known = {name: body[name] for name in _FIELDS if name in body}
    for name in ("endpoints", "args", "env", "signals"):
        known[name] = tuple(known.get(name, ()))
    times = (row["first_seen"], row["last_seen"], row["verified_at"])
    return Seen(Profile(**known), Health(row["health"]), *times)
