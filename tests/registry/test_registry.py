"""Agents: proven by a key, moved between trust states by a small table."""

import math
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from interlock.errors import IdentityError, RegistryError
from interlock.installation import Installation
from interlock.ledger import Event
from interlock.model import Agent, Declaration, Trust
from interlock.registry import Profile
from interlock.registry.keys import new_key, well_formed
from interlock.settings import Settings

NOW = 4_000_000_000.0
ALLOWED = {
    (Trust.UNVERIFIED, Trust.TRUSTED),
    (Trust.UNVERIFIED, Trust.QUARANTINED),
    (Trust.UNVERIFIED, Trust.REVOKED),
    (Trust.TRUSTED, Trust.QUARANTINED),
    (Trust.TRUSTED, Trust.REVOKED),
    (Trust.QUARANTINED, Trust.TRUSTED),
    (Trust.QUARANTINED, Trust.REVOKED),
}


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    with Installation(Settings.load(home=tmp_path / "home")) as installation:
        yield installation


def test_a_key_proves_its_agent_and_no_other(installation: Installation) -> None:
    """With the right name, or without one; never with another's."""
    registry = installation.registry
    key = registry.add(Agent("one", groups=("team",)))
    registry.add(Agent("two"))
    assert registry.prove(key, NOW).groups == ("team",)
    assert registry.prove(key, NOW, "one").name == "one"
    with pytest.raises(IdentityError):
        registry.prove(key, NOW, "two")


def test_a_proof_says_until_when_it_holds(installation: Installation) -> None:
    """Until its own end, if it has one; what lapses when nothing is heard may at any moment."""
    registry, now = installation.registry, time.time()
    lasting = registry.add(Agent("lasting"))
    ending = registry.add(Agent("ending"), ttl=60.0)
    leased = registry.add(Agent("leased"), ttl=60.0, lease_s=30.0)
    session, token = installation.sessions.start("lasting", Declaration(), ttl=20.0, now=now)
    assert registry.prove_until(lasting, now)[1] == math.inf
    assert now + 59.0 < registry.prove_until(ending, now)[1] < now + 61.0
    assert registry.prove_until(leased, now)[1] == 0.0
    assert registry.prove_until(token, now)[1] == session.expires_at


def test_every_wrong_proof_is_told_the_same(installation: Installation) -> None:
    """Unknown agent, wrong key, expired key, revoked key: one sentence for all."""
    registry = installation.registry
    old = registry.add(Agent("one"), ttl=1.0)
    registry.add(Agent("two"))
    rotated = registry.rotate_key("two")
    registry.rotate_key("two")
    said = set()
    for key, name in ((old, "one"), (new_key(), "one"), (rotated, "two"), (new_key(), "nobody")):
        with pytest.raises(IdentityError) as refused:
            registry.prove(key, NOW, name)
        said.add(str(refused.value))
    assert len(said) == 1


def test_the_key_is_nowhere_in_the_store(installation: Installation) -> None:
    """Only its digest is."""
    key = installation.registry.add(Agent("one"))
    dump = "".join(
        str(tuple(row)) for row in installation.database.rows("select * from agent_keys")
    )
    assert well_formed(key)
    assert key not in dump


@pytest.mark.parametrize("before", list(Trust), ids=str)
@pytest.mark.parametrize("after", list(Trust), ids=str)
def test_trust_moves_by_the_table(installation: Installation, before: Trust, after: Trust) -> None:
    """Revoked is final, nothing becomes unverified again, and no move is a move to itself."""
    registry = installation.registry
    registry.add(Agent("one", trust=before))
    if (before, after) in ALLOWED:
        registry.set_trust("one", after, "because")
        assert registry.get("one").trust is after
    else:
        with pytest.raises(RegistryError, match="cannot become"):
            registry.set_trust("one", after)
        assert registry.get("one").trust is before


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("", id="empty"),
        pytest.param("unidentified", id="the name of nobody"),
        pytest.param("a b", id="a space"),
        pytest.param("a:b", id="a colon, which ends a name in Basic"),
        pytest.param("../x", id="a path"),
        pytest.param("x" * 129, id="too long"),
        pytest.param("a\x1b[31m", id="a terminal escape"),
        pytest.param("\u0430gent", id="a Cyrillic letter"),
    ],
)
def test_a_bad_name_is_refused(installation: Installation, name: str) -> None:
    """Names go into URLs, policies and terminals, so they are plain."""
    with pytest.raises(RegistryError):
        installation.registry.add(Agent(name))
    assert installation.registry.all() == []


def test_every_change_is_recorded_with_what_was_before(installation: Installation) -> None:
    """The admin rows tell the whole life of an agent, and never its key."""
    registry = installation.registry
    key = registry.add(Agent("one", owner="ada"))
    registry.set_trust("one", Trust.QUARANTINED, "odd traffic")
    other = registry.rotate_key("one")
    registry.remove("one")
    rows = installation.ledger.tail(10)
    assert [row["body"]["action"] for row in rows] == [
        "agent.add",
        "agent.trust",
        "agent.rotate",
        "agent.rm",
    ]
    assert rows[1]["body"]["before"] == "unverified"
    assert rows[1]["body"]["reason"] == "odd traffic"
    assert not any(secret in str(rows) for secret in (key, other))


def test_adding_twice_is_refused_and_changes_nothing(installation: Installation) -> None:
    """The first key goes on working."""
    registry = installation.registry
    key = registry.add(Agent("one"))
    with pytest.raises(RegistryError, match="registered already"):
        registry.add(Agent("one", trust=Trust.TRUSTED))
    assert registry.prove(key, NOW).trust is Trust.UNVERIFIED


def test_an_agent_is_seen_when_it_calls(installation: Installation) -> None:
    """Whoever registered it; what others do about it is no call of it."""
    registry, ledger = installation.registry, installation.ledger
    registry.add(Agent("one"), profile=Profile())
    first = registry.seen("one").last_seen
    for kind, at in (("decision", first + 60), ("decision", first - 60), ("question", first + 90)):
        event = Event(f"e{at}", at, kind, "one")
        ledger.change(lambda connection, event=event: ledger.append(connection, [event]))
    assert registry.seen("one").last_seen == first + 60
    assert registry.details()[1]["one"].last_seen == first + 60
    assert registry.seen("one").first_seen == first
