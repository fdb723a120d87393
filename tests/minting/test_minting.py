"""Tokens are sealed to one agent, one route and one end, and are gone when they should be."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from interlock.errors import MintError
from interlock.governor import Governor
from interlock.installation import Installation
from interlock.minting.minting import Use
from interlock.minting.placeholder import placeholders_in
from interlock.minting.route import Route
from interlock.model import Agent, Authority, Request, Trust
from interlock.settings import Settings
from interlock.store.minted import MOST

LOGIN = Authority("login.example.com", 443)
API = Authority("api.example.com", 443)
ADA = Agent("ada-agent", trust=Trust.TRUSTED)
TOKEN = "REAL-token-0123456789"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Installation]:
    with Installation(Settings.load(home=tmp_path / "home")) as installation:
        installation.registry.add(ADA)
        installation.minting.add(Route("login", LOGIN, "/token", hosts=(API,)))
        yield installation


def minted(home: Installation, token: str = TOKEN, life: float = 60) -> str:
    """The placeholder of a new token."""
    route = home.minting.routes["login"]
    body = f'{{"access_token": "{token}", "expires_in": {life}}}'.encode()
    taken = home.minting.take(ADA, route, "dec_1", body, time.time())
    assert taken.kept
    taken.kept.result(10)
    (placeholder,) = placeholders_in(taken.body)
    return placeholder


def shown(home: Installation, placeholder: str, agent: Agent = ADA) -> Use | None:
    request = Request("GET", "https", API, "/", offered=(("authorization", placeholder),))
    return home.minting.use(agent, request, time.time())


def change(home: Installation, sql: str) -> None:
    home.database.write(lambda connection: connection.execute(sql))


@pytest.mark.parametrize(
    "sql",
    [
        pytest.param("update minted set agent = 'eve-agent'", id="another agent"),
        pytest.param("update minted set ends = ends + 1000", id="a later end"),
        pytest.param("update minted set field = 'refresh_token'", id="another field"),
        pytest.param("update minted set sealed = zeroblob(60)", id="other bytes"),
    ],
)
def test_a_row_that_was_bent_does_not_open(home: Installation, sql: str) -> None:
    """Who can write to the database can take a token away, not give it to anybody."""
    placeholder = minted(home)
    change(home, sql)
    for agent in (ADA, Agent("eve-agent")):
        with pytest.raises(MintError, match="no token of yours"):
            shown(home, placeholder, agent)


def test_the_value_is_nowhere_in_the_database(home: Installation) -> None:
    """Nor is the placeholder."""
    placeholder = minted(home)
    stored = b"".join(p.read_bytes() for p in home.settings.home.glob("interlock.db*"))
    assert TOKEN.encode() not in stored
    assert placeholder.encode() not in stored


@pytest.mark.parametrize("gone", ["agent", "route"])
def test_a_token_goes_with_its_agent_and_with_its_route(home: Installation, gone: str) -> None:
    """Whoever is registered under that name next does not inherit it."""
    placeholder = minted(home)
    assert shown(home, placeholder)
    if gone == "agent":
        home.registry.remove(ADA.name)
        home.registry.add(ADA)
    else:
        home.minting.remove("login")
        home.minting.add(Route("login", LOGIN, "/token", hosts=(API,)))
    with pytest.raises(MintError):
        shown(home, placeholder)


def test_an_agent_that_is_cut_off_uses_nothing(home: Installation) -> None:
    """Its token is good, and it is not."""
    placeholder = minted(home)
    with pytest.raises(MintError, match="cut off"):
        shown(home, placeholder, Agent(ADA.name, trust=Trust.QUARANTINED))


def test_the_oldest_make_way(home: Installation) -> None:
    """What one agent can have kept is bounded."""
    placeholders = [minted(home, f"REAL-token-{n:010}") for n in range(MOST + 2)]
    assert home.database.one("select count(*) from minted")[0] == MOST
    with pytest.raises(MintError):
        shown(home, placeholders[1])
    assert shown(home, placeholders[2])


def test_answers_are_scrubbed_of_it_where_it_may_go(home: Installation) -> None:
    """At the host of the route and at the hosts that it serves, and nowhere else."""
    minted(home)
    for authority in (LOGIN, API):
        scrubber = home.minting.mask_at(authority).scrubber()
        assert TOKEN.encode() not in scrubber.feed(f"a{TOKEN}b".encode()) + scrubber.flush()
    assert not home.minting.mask_at(Authority("other.example.com", 443))


@pytest.mark.parametrize(
    "sql",
    [
        pytest.param("""update mint_routes set hosts = '["*:443"]'""", id="every host"),
        pytest.param("""update mint_routes set hosts = '[]'""", id="no host"),
        pytest.param("update mint_routes set path = '/../x'", id="no path"),
        pytest.param("update mint_routes set fields = '7'", id="no list"),
    ],
)
def test_a_route_that_is_not_sound_keeps_the_front_door_shut(home: Installation, sql: str) -> None:
    """One line that names it (I7)."""
    change(home, sql)
    with pytest.raises(MintError, match="'login'"):
        Governor(home)
