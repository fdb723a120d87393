"""A ledger of long ago: decisions of common size, one a second, as many as are asked for."""

import itertools
from functools import partial
from typing import Any

from interlock.ledger import Event
from interlock.ledger.chain import GENESIS, canonical, row_hash
from interlock.ledger.ledger import new_id
from interlock.store import Database

AGENTS, HOSTS = 100, 20
DOMAIN = "example.com"
START = 1_700_000_000.0
# As many rows are written in one transaction, when many are.
AT_ONCE = 50_000
OUTCOME = {
    "ended": "answered",
    "status": 200,
    "millis": 840,
    "bytes_up": 600,
    "bytes_down": 900,
    "model": "gpt-4o",
    "tokens_in": 120,
    "tokens_out": 80,
    "cost_usd": 0.0011,
    "scrubbed": 0,
    "redeemed": True,
    "dialled": "192.0.2.7:443",
    "tls": "TLSv1.3",
}


def body(number: int) -> dict[str, Any]:
    """The body of a decision, as large as they are."""
    return {
        "effect": "allow",
        "label": "deny" if number % 50 == 0 else "allow",
        "enforced": True,
        "authority": f"api-{number % HOSTS}.{DOMAIN}:443",
        "action": "chat",
        "resource": 'Model::"gpt-4o"',
        "reasons": [["trusted-agents-use-models", "Agents that are trusted may use models."]],
        "body_sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "goal": f"goal-{number % 7}",
        "facts": {"owner": f"user-{number % 30}", "decided_at": START + number},
    }


def event(number: int, ts: float) -> Event:
    """One decision."""
    return Event(
        new_id("evt"), ts, "decision", f"agent-{number % AGENTS}", new_id("dec"), body(number)
    )


def fill(database: Database, rows: int) -> None:
    """Write so many events, a decision and its outcome in turn, with a whole chain.

    Indexes are made when all rows are there, which takes a fraction of the time.
    """
    database.write(lambda connection: connection.execute("pragma cache_size = -400000"))
    indexes = database.submit(without_indexes).result()
    prev = GENESIS
    for numbers in itertools.batched(range(1, rows + 1), AT_ONCE):
        values = []
        for number in numbers:
            row = (database.node, number, *past(number))
            hash_ = row_hash(prev, row)
            values.append((*row, prev, hash_))
            prev = hash_
        database.submit(partial(insert, values=values)).result()
    for statement in indexes:
        database.submit(lambda connection, sql=statement: connection.execute(sql)).result()


def without_indexes(connection: Any) -> list[str]:
    """Drop the indexes of the ledger; answer the statements that make them again."""
    found = connection.execute(
        "select name, sql from sqlite_master where type = 'index' and tbl_name = 'events' "
        "and sql is not null"
    ).fetchall()
    for name, _ in found:
        connection.execute(f'drop index "{name}"')
    return [sql for _, sql in found]


def insert(connection: Any, values: list[Any]) -> None:
    """Write rows as they are."""
    connection.executemany("insert into events values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", values)


def past(number: int) -> tuple[Any, ...]:
    """One event of long ago: its id, time, kind, agent, decision and body; one came a second."""
    call, is_outcome = divmod(number - 1, 2)
    kind, content = ("outcome", OUTCOME) if is_outcome else ("decision", body(call))
    ts = START + number
    place = (past_id("evt", number), ts, kind, f"agent-{call % AGENTS}")
    return (*place, past_id("dec", 2 * call + 1), canonical(content))


def past_id(prefix: str, number: int) -> str:
    """The id that `new_id` would have made then."""
    return f"{prefix}_{int((START + number) * 1000):012x}{number:020x}"
