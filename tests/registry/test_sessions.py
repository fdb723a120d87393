"""Sessions: a token of its own proves the agent, and pins what it declares."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from interlock.declaration import declare
from interlock.errors import GoalError, IdentityError, RegistryError
from interlock.installation import Installation
from interlock.model import Agent, Declaration, Trust
from interlock.settings import Settings

NOW = 4_000_000_000.0
PINNED = Declaration(intent="sum up", intent_category="Research")


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    with Installation(Settings.load(home=tmp_path / "home")) as installation:
        installation.registry.add(Agent("one", intent="registered", goal="of-old"))
        yield installation


def test_its_token_proves_the_agent_until_it_ends(installation: Installation) -> None:
    """By time, and by hand at once; for this agent's name only."""
    registry = installation.registry
    session, token = installation.sessions.start("one", PINNED, ttl=60, now=NOW)
    assert token.startswith("ils_")
    assert registry.prove(token, NOW, "one").session == session.id
    for at, name in ((NOW, "two"), (NOW + 60, "one")):
        with pytest.raises(IdentityError):
            registry.prove(token, at, name)
    assert installation.sessions.end(session.id, NOW + 1).state(NOW + 1) == "ended"
    with pytest.raises(IdentityError):
        registry.prove(token, NOW + 1)
    with pytest.raises(RegistryError, match="no open session"):
        installation.sessions.end(session.id, NOW + 2)


def test_what_it_pins_holds_against_every_header(installation: Installation) -> None:
    """What it leaves open, the agent may say."""
    _, token = installation.sessions.start("one", PINNED, ttl=60, now=NOW)
    agent = installation.registry.prove(token, NOW)
    said = {"intent": "delete all", "intent_category": "Administration", "goal": "g2"}
    assert declare(agent, said) == Declaration("sum up", "Research", "g2")
    assert declare(agent, {}) == Declaration("sum up", "Research", "of-old")


def test_the_token_is_nowhere_in_the_store(installation: Installation) -> None:
    """Nor in the ledger, which tells of start and end."""
    session, token = installation.sessions.start("one", PINNED, ttl=60, now=NOW)
    installation.sessions.end(session.id, NOW, "done")
    dump = "".join(installation.database.read(lambda connection: list(connection.iterdump())))
    assert token not in dump
    actions = [row["body"]["action"] for row in installation.ledger.tail(2)]
    assert actions == ["session.start", "session.end"]


def test_rotating_the_key_of_an_agent_ends_its_sessions(installation: Installation) -> None:
    """Whoever had the key could have had them."""
    _, token = installation.sessions.start("one", PINNED, ttl=60, now=NOW)
    installation.registry.rotate_key("one")
    with pytest.raises(IdentityError):
        installation.registry.prove(token, NOW)


def test_removing_an_agent_removes_its_sessions(installation: Installation) -> None:
    """The next of that name does not inherit them."""
    _, token = installation.sessions.start("one", PINNED, ttl=60, now=NOW)
    installation.registry.remove("one")
    installation.registry.add(Agent("one"))
    with pytest.raises(IdentityError):
        installation.registry.prove(token, NOW)


def test_a_session_that_could_let_nothing_through_is_not_started(
    installation: Installation,
) -> None:
    """An unknown agent, one that is cut off, an unknown goal."""
    start = installation.start_session
    with pytest.raises(RegistryError, match="no agent named 'two'"):
        start("two", PINNED, ttl=60, now=NOW)
    with pytest.raises(GoalError, match="no goal 'g9'"):
        start("one", Declaration(goal="g9"), ttl=60, now=NOW)
    installation.registry.set_trust("one", Trust.QUARANTINED)
    with pytest.raises(RegistryError, match="is quarantined"):
        start("one", PINNED, ttl=60, now=NOW)
    assert installation.sessions.all() == []


def test_the_end_of_a_session_shows_to_who_looks_now_and_then(installation: Installation) -> None:
    """Nothing in the store changes when its time is up."""
    installation.sessions.start("one", PINNED, ttl=60, now=NOW)
    looks = [(NOW, NOW + 59), (NOW + 59, NOW + 61), (NOW + 61, NOW + 99)]
    assert [installation.registry.lapsed_since(*look) for look in looks] == [False, True, False]
