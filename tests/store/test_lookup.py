"""What a call asks of the store costs no more where there is much of everything.

Counted in steps of SQLite's machine, which no other load can move.
"""

import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from secrets import token_hex

import pytest

from broker import Secret
from interlock.errors import IdentityError
from interlock.federation.identity import parse_identity
from interlock.installation import Installation
from interlock.model import Agent, Authority, Binding, Declaration, Server, Trust
from interlock.registry import Profile
from interlock.registry.keys import new_key
from interlock.settings import Settings
from interlock.store import Database, Lookup
from interlock.store.bindings import bind

FEW, MANY = 10, 500
NOW = 4_000_000_000.0
AT = Authority("api-1.example.com", 443)
SERVED = Authority("mcp-1.example.com", 443)


@dataclass(frozen=True, slots=True)
class Crowd:
    """A home with so many of everything, and what one of them proves itself with."""

    records: Installation
    key: str
    token: str

    def change(self) -> None:
        """Change something of agents, and something of secrets."""
        now = time.time_ns()
        self.records.registry.add(Agent(f"new-{now}"))
        self.records.set_secret("moving", Secret(f"value-at-{now}"), [])

    def rows(self, ask: Callable[["Crowd"], object]) -> int:
        """How many rows one question reads right after a change."""
        self.change()
        taken = 0

        def row(cursor: sqlite3.Cursor, values: tuple[object, ...]) -> sqlite3.Row:
            nonlocal taken
            taken += 1
            return sqlite3.Row(cursor, values)

        def have(made_by: Callable[..., sqlite3.Row]) -> None:
            self.records.database.read(lambda c: setattr(c, "row_factory", made_by))

        have(row)
        try:
            ask(self)
        finally:
            have(sqlite3.Row)
        return taken

    def steps(self, ask: Callable[["Crowd"], object], *, writing: bool = False) -> int:
        """What SQLite does for one question right after a change."""
        self.change()
        taken = 0

        def step() -> None:
            nonlocal taken
            taken += 1

        database = self.records.database
        on = database.write if writing else database.read
        on(lambda connection: connection.set_progress_handler(step, 1))
        try:
            ask(self)
        finally:
            on(lambda connection: connection.set_progress_handler(None, 1))
        return taken


@pytest.fixture(scope="module")
def crowds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Crowd, Crowd]]:
    few, many = (tmp_path_factory.mktemp("home") for _ in range(2))
    with (
        Installation(Settings.load(home=few)) as one,
        Installation(Settings.load(home=many)) as two,
    ):
        yield gather(one, FEW), gather(two, MANY)


def gather(records: Installation, number: int) -> Crowd:
    """Register so many agents, with all that they may have."""

    def work(connection: sqlite3.Connection) -> None:
        for n in range(number):
            name = f"agent-{n}"
            values = [name, "", "[]", Trust.TRUSTED, "", "", "", NOW]
            connection.execute("insert into agents values (?, ?, ?, ?, ?, ?, ?, ?)", values)
            digests = [f"key {n}".encode(), name, NOW, NOW + n]
            connection.execute("insert into agent_keys values (?, ?, ?, ?, null)", digests)
            connection.execute("insert into leases values (?, ?, ?)", [name, 60.0, NOW + n])
            connection.execute(
                "insert into identities values ('oidc', ?, 'Agent', ?, ?)",
                [f"https://issuer.example#{n}", name, NOW],
            )
            run = [f"ses_{n}", f"token {n}".encode(), name, NOW, NOW + n]
            connection.execute(
                "insert into sessions (id, digest, agent, started_at, expires_at) "
                "values (?, ?, ?, ?, ?)",
                run,
            )
            server = Server(f"server-{n}", f"https://mcp-{n}.example.com/mcp")
            records.servers.register_in(connection, server, Profile(), NOW)
            records.safe.vault(connection).seal(f"key-{n}", Secret(f"value-of-{n:06}"))
            bind(connection, bound(f"key-{n}", f"api-{n}.example.com", {f"agent-{n}"}))

    records.database.write(work)
    key = records.registry.add(Agent("one", trust=Trust.TRUSTED))
    _, token = records.sessions.start("one", Declaration(), ttl=3600.0, now=NOW)
    return Crowd(records, key, token)


def bound(secret: str, host: str, agents: set[str] | None = None) -> Binding:
    """A binding of a secret to a host, perhaps for some agents only."""
    return Binding(secret, Authority(host, 443), "bearer", agents=frozenset(agents or ()))


def refused(crowd: Crowd) -> None:
    """A key that nobody has."""
    with pytest.raises(IdentityError):
        crowd.records.registry.prove(new_key(), NOW, "agent-1")


SUBJECT = parse_identity("oidc", "https://issuer.example#1")


@pytest.mark.parametrize(
    "ask",
    [
        pytest.param(lambda c: c.records.registry.prove(c.key, NOW), id="whose key it is"),
        pytest.param(lambda c: c.records.registry.prove(c.token, NOW), id="whose session it is"),
        pytest.param(refused, id="a key that nobody has"),
        pytest.param(lambda c: c.records.registry.get("agent-1", NOW), id="an agent and its lease"),
        pytest.param(lambda c: c.records.registry.key_expires_at("agent-1"), id="an agent's key"),
        pytest.param(lambda c: c.records.registry.lapsed_since(0, 1), id="whether anything lapsed"),
        pytest.param(lambda c: c.records.bindings.at(AT), id="what is bound to a destination"),
        pytest.param(lambda c: c.records.bindings.of("key-1"), id="where a secret is bound"),
        pytest.param(lambda c: c.records.mask_at(AT), id="what answers are scrubbed of"),
        pytest.param(lambda c: c.records.servers.get("server-1", NOW), id="a server"),
        pytest.param(
            lambda c: c.records.federation.identities.holder(SUBJECT), id="whom a subject means"
        ),
        pytest.param(
            lambda c: c.records.federation.identities.has_subject("agent-1"),
            id="whether a subject means an agent",
        ),
    ],
)
def test_after_a_change_a_call_reads_what_it_asks_for(
    crowds: tuple[Crowd, Crowd], ask: Callable[[Crowd], object]
) -> None:
    """And nothing else, however much there is."""
    few, many = (crowd.steps(ask) for crowd in crowds)
    assert 0 < many < few + 10


def test_of_all_servers_those_of_the_destination_are_read(crowds: tuple[Crowd, Crowd]) -> None:
    """SQLite looks through the URLs of the others, and once for all calls."""

    def ask(crowd: Crowd) -> None:
        servers = crowd.records.servers
        for _ in range(2):
            assert servers.alone_at(SERVED, NOW) == servers.at(SERVED, "/mcp", NOW) is not None

    few, many = (crowd.rows(ask) for crowd in crowds)
    assert few == many


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(
            lambda c: c.records.set_secret("s", Secret("another"), [bound("s", "s.example.com")]),
            id="a secret",
        ),
        pytest.param(lambda c: c.records.registry.rotate_key("agent-2"), id="a key"),
        pytest.param(lambda c: c.records.registry.heartbeats({"one": NOW}), id="a heartbeat"),
    ],
)
def test_a_change_takes_as_long_where_there_is_much(
    crowds: tuple[Crowd, Crowd], change: Callable[[Crowd], object]
) -> None:
    """Every decision waits for the disk behind it."""
    few, many = (crowd.steps(change, writing=True) for crowd in crowds)
    assert 0 < many < 1.5 * few


def counting(database: Database) -> tuple[Lookup[int, str | None], list[int]]:
    """A look-up that finds even numbers, and which it was asked for."""
    asked: list[int] = []

    def find(number: int) -> str | None:
        asked.append(number)
        return None if number % 2 else str(number)

    return Lookup(database, find), asked


def test_what_was_found_is_kept_until_something_changes(crowds: tuple[Crowd, Crowd]) -> None:
    """What was not found is looked for again: strangers must not fill the memory with names."""
    records = crowds[0].records
    lookup, asked = counting(records.database)
    assert [lookup.get(n) for n in (2, 2, 3, 3)] == ["2", "2", None, None]
    assert asked == [2, 3, 3]
    records.registry.heartbeats({f"agent-{n}": NOW + 1 for n in range(FEW)})
    assert (lookup.get(2), asked) == ("2", [2, 3, 3])
    records.registry.add(Agent(f"one-more-{token_hex(4)}"))
    assert (lookup.get(2), asked) == ("2", [2, 3, 3, 2])


def test_no_more_is_kept_than_has_room(crowds: tuple[Crowd, Crowd]) -> None:
    """What is asked for without end is forgotten, and found again."""
    lookup, asked = counting(crowds[0].records.database)
    for number in range(0, 2 * Lookup.MOST + 2, 2):
        lookup.get(number)
    assert lookup.get(2 * Lookup.MOST) == str(2 * Lookup.MOST)
    assert len(asked) == Lookup.MOST + 1
    assert lookup.get(0) == "0"
    assert len(asked) == Lookup.MOST + 2
