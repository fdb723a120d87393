"""Leases: who is not heard of for so long is cut off, until it is heard of again."""

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from interlock.apdp import DecisionPoint, load_policies
from interlock.apdp.policies import shipped
from interlock.errors import RegistryError
from interlock.installation import Installation
from interlock.model import (
    Agent,
    Authority,
    Binding,
    Declaration,
    Health,
    Mode,
    Server,
    Stage,
    Trust,
)
from interlock.registry import Lease, Profile, enlist
from interlock.registry.agents import insert_agent
from interlock.registry.leases import health_of, insert_lease
from interlock.registry.profile import Seen
from interlock.settings import Settings
from interlock.store import AT_ONCE
from interlock.store.bindings import bind
from interlock.store.writer import Writer
from tests.apdp.test_decision_point import CALL

OPENAI = Authority("api.openai.com", 443)


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    with Installation(Settings.load(home=tmp_path / "home")) as installation:
        yield installation


def test_a_lapsed_agent_is_denied_and_holds_no_credential(installation: Installation) -> None:
    """At the trust stage, whatever the policies say; a heartbeat brings all of it back."""
    registry = installation.registry
    key = registry.add(Agent("one", trust=Trust.TRUSTED), lease_s=90)
    binding = Binding("k", OPENAI, "bearer")
    installation.database.write(lambda connection: bind(connection, binding))
    point = DecisionPoint(load_policies(shipped()))
    now = time.time()
    for at, lapsed in ((now + 80, False), (now + 91, True), (now + 92, False)):
        if at == now + 92:
            registry.heartbeat("one", at)
        agent = registry.prove(key, at)
        decision = point.decide(
            "d", agent, CALL, Declaration(), secret="", mode=Mode.ENFORCE, now=at
        )
        assert (agent.lapsed, decision.refused) == (lapsed, lapsed)
        assert (installation.bindings.choose(agent, CALL, "") is None) is lapsed
        if lapsed:
            assert decision.stage is Stage.TRUST
            assert decision.reasons[0].policy_id == "agent-lapsed"
            with pytest.raises(RegistryError, match="'one' is lapsed"):
                registry.require_good_standing(["one"], at)
        else:
            registry.require_good_standing(["one"], at)


@pytest.mark.parametrize(
    ("found", "lease", "health"),
    [
        pytest.param("unknown", None, "unknown", id="no lease: as it was found"),
        pytest.param("active", None, "active", id="found alive"),
        pytest.param("unknown", Lease(90, 5), "unknown", id="registered and not heard of since"),
        pytest.param("unknown", Lease(90, 60), "active", id="a heartbeat, just now"),
        pytest.param("unhealthy", Lease(90, 60), "unhealthy", id="found ill, beating"),
        pytest.param("active", Lease(90, 5), "active", id="found alive, no beat due yet"),
        pytest.param("active", Lease(60, 5), "unhealthy", id="a heartbeat is overdue"),
        pytest.param("active", Lease(30, 5), "unhealthy", id="lapsed"),
    ],
)
def test_health_goes_by_heartbeats_too(found: str, lease: Lease | None, health: str) -> None:
    """At 62 s, of what was registered at 5 s: what was found out holds unless no word comes."""
    assert health_of(Seen(Profile(), Health(found), 5.0, 5.0), lease, 62.0) == health


def test_an_agent_without_a_lease_never_lapses(installation: Installation) -> None:
    """And a heartbeat of it is refused, for nothing would come of it."""
    key = installation.registry.add(Agent("one"))
    assert not installation.registry.prove(key, 4e9).cut_off
    for name, said in (("one", "has no lease"), ("two", "there is no agent")):
        with pytest.raises(RegistryError, match=said):
            installation.registry.heartbeat(name, 4e9)


def test_a_heartbeat_does_not_lift_a_quarantine(installation: Installation) -> None:
    """Being alive is no reason to be trusted."""
    registry = installation.registry
    registry.add(Agent("one", trust=Trust.QUARANTINED), lease_s=1)
    registry.heartbeat("one", 5e9)
    assert registry.get("one", 5e9).cut_off
    assert registry.get("one", 6e9).state == "quarantined"


def test_a_heartbeat_makes_nobody_read_everything_again(installation: Installation) -> None:
    """The change number stands still, and another process sees the lease renewed all the same."""
    registry = installation.registry
    registry.add(Agent("one"), lease_s=10)
    with Installation(installation.settings) as other:
        assert other.registry.get("one", 5e9).lapsed
        change = installation.database.change
        registry.heartbeat("one", 5e9)
        assert installation.database.change == change
        assert not other.registry.get("one", 5e9).lapsed


def test_a_lapse_shows_once_to_who_looks_now_and_then(installation: Installation) -> None:
    """Between two looks, and not again."""
    registry = installation.registry
    registry.add(Agent("one"), lease_s=10)
    registry.heartbeat("one", 5e9)
    looks = [(5e9, 5e9 + 9), (5e9 + 9, 5e9 + 11), (5e9 + 11, 5e9 + 20)]
    assert [registry.lapsed_since(*look) for look in looks] == [False, True, False]


def test_coming_back_is_recorded_and_living_on_is_not(installation: Installation) -> None:
    """The ledger tells how long an agent was away."""
    registry = installation.registry
    registry.add(Agent("one"), lease_s=10)
    for now in (5e9, 5e9 + 5, 5e9 + 30):
        registry.heartbeat("one", now)
    rows = [row["body"] for row in installation.ledger.tail(9)]
    assert [row["action"] for row in rows] == ["agent.add", "agent.back", "agent.back"]
    assert rows[0]["after"]["lease_s"] == 10
    assert rows[2]["lapsed_at"] == 5e9 + 15


def test_a_lease_is_live_then_stale_then_lapsed() -> None:
    """Stale when two thirds are over, because a heartbeat belongs in every third."""
    lease = Lease(90, 5e9)
    states = [lease.state(5e9 + at) for at in (0, 59, 60, 89, 90)]
    assert states == ["live", "live", "stale", "stale", "lapsed"]


def test_heartbeats_of_many_are_one_transaction(installation: Installation) -> None:
    """Who comes back is recorded; a stranger, and one without a lease, is passed over."""
    registry = installation.registry
    for name in ("one", "two"):
        registry.add(Agent(name), lease_s=10)
    registry.add(Agent("three"))
    registry.heartbeats({"one": 5e9, "two": 5e9, "three": 5e9, "nobody": 5e9})
    assert [registry.get(name, 5e9 + 9).lapsed for name in ("one", "two")] == [False, False]
    back = [row["body"]["agent"] for row in installation.ledger.tail(9) if "lapsed_at" in str(row)]
    assert sorted(back) == ["one", "two"]


@pytest.mark.parametrize("trust", list(Trust), ids=str)
def test_who_lapsed_long_ago_is_forgotten_unless_it_was_judged(
    installation: Installation, trust: Trust
) -> None:
    """Else a name that was cut off could come back as a new one; agents and servers alike."""
    now = time.time()
    installation.registry.add(Agent("one", trust=trust), lease_s=10)
    installation.registry.add(Agent("lasting", trust=trust))
    server = Server("files", "https://mcp.example.com", trust=trust)
    installation.servers.register(server, Profile(), now, lease_s=10)
    for at, gone in ((now + 60, False), (now + 200, trust is Trust.UNVERIFIED)):
        assert installation.registry.sweep(at, 100) == (["one"] if gone else [])
        assert installation.servers.sweep(at, 100) == (["files"] if gone else [])
    assert installation.registry.get("lasting")


def test_a_crowd_is_forgotten_some_at_a_time(installation: Installation) -> None:
    """Decisions wait behind each transaction; thousands in one of them were refused."""
    crowd, judged = [f"agent-{n:04}" for n in range(2 * AT_ONCE + 1)], []

    def work(connection: sqlite3.Connection) -> None:
        for name in crowd:
            trust = Trust.QUARANTINED if name.endswith("00") else Trust.UNVERIFIED
            insert_agent(connection, Agent(name, trust=trust), 0.0)
            insert_lease(connection, name, 10, 0.0)
            if trust is Trust.QUARANTINED:
                judged.append(name)
            server = Server(name, f"https://{name}.example.com", trust=trust)
            installation.servers.register_in(connection, server, Profile(), 0.0, lease_s=10)

    installation.database.write(work)
    for registry in (installation.registry, installation.servers):
        before = Writer.commits
        assert sorted(registry.sweep(100.0, 0.0)) == sorted(set(crowd) - set(judged))
        assert Writer.commits - before > 2
    assert [agent.name for agent in installation.registry.all()] == judged


def test_removing_an_agent_removes_its_lease(installation: Installation) -> None:
    """The next of that name begins anew."""
    installation.registry.add(Agent("one"), lease_s=10)
    installation.registry.remove("one")
    installation.registry.add(Agent("one"))
    assert not installation.registry.get("one", 6e9).lapsed


def test_heartbeats_of_thousands_are_one_write_that_nobody_has_to_read(
    installation: Installation,
) -> None:
    """5,000 take some 60 ms on an idle machine; the bound is for a loaded one.

    No row of the ledger, and no front door reads its agents again because of it.
    """
    names = [f"agent-{number}" for number in range(5_000)]

    def enter(connection: sqlite3.Connection) -> None:
        for name in names:
            enlist(connection, Agent(name), Profile(), 1_000.0)
            insert_lease(connection, name, 90.0, 1_000.0)

    installation.database.write(enter)
    registry, before = installation.registry, installation.ledger.newest()
    change, began = installation.database.change, time.monotonic()
    registry.heartbeats(dict.fromkeys(names, 1_080.0))
    assert time.monotonic() - began < 5
    assert installation.database.change == change
    assert installation.ledger.newest() == before
    assert not registry.get("agent-4999", 1_169.0).lapsed
    assert registry.get("agent-4999", 1_171.0).lapsed
