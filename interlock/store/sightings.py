"""What scanners saw the last time, by place."""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One place: what stood there, under which name it is registered, and whether it still does."""

    place: str
    kind: str
    name: str
    body: str
    present: bool


def rows(connection: sqlite3.Connection) -> list[Row]:
    """Every place at which anything was ever seen."""
    found = connection.execute(
        "select place, kind, name, body, present from sightings order by place"
    )
    return [Row(place, kind, name, body, bool(here)) for place, kind, name, body, here in found]


def keep(connection: sqlite3.Connection, row: Row, now: float) -> None:
    """Store what stands at a place now, in the caller's transaction."""
    connection.execute(
        "insert into sightings values (:place, :kind, :name, :body, 1, :now, :now) "
        "on conflict (place) do update set kind = :kind, name = :name, body = :body, "
        "present = 1, last_seen = :now",
        {"place": row.place, "kind": row.kind, "name": row.name, "body": row.body, "now": now},
    )


def seen(connection: sqlite3.Connection, places: Iterable[str], now: float) -> None:
    """Note that what stands at these places is still there."""
    connection.executemany(
        "update sightings set last_seen = ?, present = 1 where place = ?",
        ((now, place) for place in places),
    )


def gone(connection: sqlite3.Connection, places: Iterable[str]) -> None:
    """Note that these places are empty."""
    connection.executemany(
        "update sightings set present = 0 where place = ?", ((place,) for place in places)
    )


def vanished(
    connection: sqlite3.Connection, before: float, among: Sequence[str] | None = None
) -> list[tuple[str, str]]:
    """Kind and name of what no scanner has seen since it went stale, which is so long ago.

    Of all, or of what has these names. Left out is what has a key, or was registered by anybody
    but a scanner.
    """
    found = connection.execute(
        "select kind, name from sightings left join profiles using (kind, name) "
        "where not exists (select 1 from agent_keys where kind = 'agent' and agent = name) "
        "and not exists (select 1 from servers "
        "where kind = 'server' and servers.name = sightings.name and scanner = '') "
        "and (:all or name in (select value from json_each(:among))) "
        "group by kind, name "
        "having max(present) = 0 and max(coalesce(verified_at, sightings.last_seen)) <= :before",
        {"before": before, "all": among is None, "among": json.dumps(among or ())},
    )
    return [(kind, name) for kind, name in found]


def forget(connection: sqlite3.Connection, kind: str, name: str) -> None:
    """Forget where something was seen, unless it is in the registry still.

    What was cut off must be known by its places when it comes back.
    """
    connection.execute(
        "delete from sightings where kind = :kind and name = :name "
        "and not exists (select 1 from agents where :kind = 'agent' and agents.name = :name) "
        "and not exists (select 1 from servers where :kind = 'server' and servers.name = :name)",
        {"kind": kind, "name": name},
    )
