"""Containers of a real engine: recognised, judged, bound to their address, and cut off."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from interlock.discovery.container_risk import signals_of
from interlock.discovery.containers import Containers
from interlock.discovery.depth import PRESETS, Depth
from interlock.installation import Installation
from interlock.inventory import Change
from interlock.model import Trust
from interlock.patrol import Patrol
from interlock.registry import Whence
from tests.discovery.conftest import Look
from tests.discovery.engine import Engine, own_engine
from tests.discovery.stage import Stage

KEY = "sk-proj-CANARY0123456789abcdef"
STANDARD = PRESETS["enterprise-standard"]
ENOUGH_S = 30.0
# A stream says something fifty times as often.
SILENCE_S = 1.0


@pytest.fixture(scope="module")
def _engine() -> Iterator[Engine]:
    yield from own_engine()


@pytest.fixture
def engine(_engine: Engine) -> Iterator[Engine]:
    """The engine without any container."""
    yield _engine
    _engine.clear()


def scanner(engine: Engine, depth: Depth = STANDARD) -> Containers:
    """A scanner of this engine."""
    return Containers(depth, engine.host)


def until[T](what: str, holds: Callable[[], T]) -> T:
    """Wait for a condition; fail with what was waited for."""
    deadline = time.monotonic() + ENOUGH_S
    while time.monotonic() < deadline:
        if found := holds():
            return found
        time.sleep(0.05)
    raise AssertionError(f"in vain: {what}")


def test_tells_agents_from_other_containers(engine: Engine, look: Look) -> None:
    """By the names of key variables, by image and environment; a plain container is none."""
    engine.run("plain")
    engine.run("helper", env={"OPENAI_API_KEY": "ilk_" + "a" * 43})
    engine.run("worker", image="acme/crewai-worker:2", env={"CREWAI_STORAGE_DIR": "/tmp"})
    found = look(scanner(engine))
    assert set(found) == {"helper", "worker"}
    assert found["helper"].found.record["evidence"] == ["environment: OPENAI_API_KEY"]
    assert found["helper"].found.findings == (), "an agent key of ours is no raw key"
    assert found["worker"].found.record["framework"] == "CrewAI"
    assert found["worker"].found.record["confidence"] == 0.5


def test_looks_into_processes_and_packages(engine: Engine, look: Look) -> None:
    """What no image and no variable tells is told by what runs, and by what is installed."""
    engine.run(
        "quiet", "sh", "-c", "sleep 0.1; exec $X run", env={"X": "crewai"}, image="team/deep:1"
    )
    until("it runs", lambda: b"crewai" in str(engine.client.api.top("quiet")).encode())
    engine.run("packed", image="team/deep:1")
    assert look(scanner(engine, PRESETS["lightweight"])) == {}
    standard = look(scanner(engine))
    assert standard["quiet"].found.record["evidence"] == ["process: crewai"]
    assert "packed" not in standard
    deep = look(scanner(engine, PRESETS["high-security"]))
    assert deep["packed"].found.record["framework"] == "LangGraph"
    assert deep["packed"].found.record["version"] == "0.6.1"


def test_judges_how_a_container_is_confined(engine: Engine, look: Look) -> None:
    """All six signals of one that is not (made, not started: it would own us), else none."""
    agent = {"ANTHROPIC_API_KEY": "ilk_x"}
    engine.run("closed", env=agent, user="1000", read_only=True)
    opened = engine.client.containers.create(
        "team/base:1",
        "sleep",
        name="open",
        privileged=True,
        network_mode="host",
        cap_add=["SYS_ADMIN"],
        volumes={"/etc": {"bind": "/host", "mode": "ro"}},
    )
    found = look(scanner(engine))
    assert found["closed"].found.signals == ()
    facts = found["closed"].found.record["facts"]
    assert (facts["user"], facts["read_only_rootfs"]) == ("1000", True)
    assert facts["image_digest"].startswith("sha256:")
    assert sorted(signals_of(opened.attrs)) == [
        "docker_dangerous_caps",
        "docker_host_network",
        "docker_privileged_container",
        "docker_runs_as_root",
        "docker_sensitive_host_mount",
        "docker_writable_rootfs",
    ]


def test_a_value_never_leaves_the_inspection(
    engine: Engine, look: Look, installation: Installation
) -> None:
    """The finding names the variable and the way to mend it; the key is nowhere on disk."""
    command = ("sh", "-c", f"sleep 600; curl -H 'x-api-key: {KEY}' --token {KEY}")
    labels = {"note": KEY, "api_key": "CANARY-of-another-shape"}
    engine.run("leaky", *command, env={"OPENAI_API_KEY": KEY, "DB_PASSWORD": KEY}, labels=labels)
    found = look(scanner(engine))["leaky"].found
    raw, told = (next(f for f in found.findings if f.id == one) for one in
                 ("raw_provider_key", "secret_in_arguments"))  # fmt: skip
    assert "OPENAI_API_KEY" in raw.where
    assert "interlock secret set" in raw.fix
    assert "leaky" in told.where
    assert "CANARY" not in json.dumps(found.record)
    installation.ledger.flush()
    for path in Path(installation.settings.home).rglob("*"):
        assert not path.is_file() or b"CANARY" not in path.read_bytes(), path


def test_the_same_container_made_anew_is_the_same_agent(engine: Engine, look: Look) -> None:
    """It goes stale and comes back; another image under its name is somebody else."""
    agent = {"OPENAI_API_KEY": "ilk_x"}
    engine.run("helper", env=agent)
    assert look(scanner(engine))["helper"].change is Change.NEW
    engine.clear()
    assert look(scanner(engine))["helper"].change is Change.STALE
    engine.run("helper", env=agent)
    again = look(scanner(engine))["helper"]
    assert (again.change, again.fields) == (Change.CHANGED, ("seen again",))
    assert look(scanner(engine))["helper"].change is Change.UNCHANGED
    engine.clear()
    engine.run("helper", env=agent, image="team/deep:1")
    found = look(scanner(engine))
    assert found["helper"].change is Change.STALE
    (other,) = set(found) - {"helper"}
    assert other.startswith("helper-")
    assert found[other].change is Change.NEW


@pytest.fixture
def patrol(engine: Engine, installation: Installation) -> Iterator[Patrol]:
    """A daemon whose next look by itself is an hour away: what it does, events told it to."""
    patrol = Patrol(installation, [scanner(engine)], 3600)
    thread = threading.Thread(target=patrol.run, args=(lambda *_: None,))
    thread.start()
    yield patrol
    patrol.stop()
    thread.join(ENOUGH_S)
    assert not thread.is_alive()
    assert installation.database.rows("select * from addresses") == []


def test_an_address_stands_for_its_container_while_it_runs(
    engine: Engine, installation: Installation, patrol: Patrol
) -> None:
    """From the start of the container to its end, and only inside of its network."""
    container = engine.run("helper", env={"OPENAI_API_KEY": "ilk_x"})
    address, addresses = engine.address(container), installation.addresses
    here = Whence(address, engine.gateway)

    def known() -> Any:
        return addresses.agent_at(here, time.time())

    agent = until("the address stands for the agent", known)
    assert (agent.name, agent.trust, agent.groups) == ("helper", Trust.UNVERIFIED, ("discovered",))
    assert addresses.agent_at(Whence(address, "192.0.2.2"), time.time()) is None
    assert addresses.agent_at(Whence(engine.gateway, engine.gateway), time.time()) is None
    assert addresses.agent_at(here, time.time() + 60) is None, "the lease has an end"
    container.kill()
    until("the address stands for nobody", lambda: not known())


def test_an_address_that_two_containers_use_stands_for_nobody(
    engine: Engine, installation: Installation, patrol: Patrol
) -> None:
    """Whoever shares the network of an agent could call in its name."""
    agent = {"OPENAI_API_KEY": "ilk_x"}
    container = engine.run("helper", env=agent)
    guest = engine.run("guest", network=f"container:{container.id}")
    witness = engine.run("witness", env=agent)
    here = Whence(engine.address(witness), engine.gateway)
    until("others are bound", lambda: installation.addresses.agent_at(here, time.time()))
    shared = Whence(engine.address(container), engine.gateway)
    assert installation.addresses.agent_at(shared, time.time()) is None
    assert guest.id


@pytest.fixture
def stage(engine: Engine, tmp_path: Path) -> Iterator[Stage]:
    """An upstream, and a front door in enforce mode on loopback and on the agents' network."""
    with Stage(engine, tmp_path) as stage:
        yield stage


def test_an_agent_is_found_attributed_and_cut_off(engine: Engine, stage: Stage) -> None:
    """From the start of its container to the end of its stream, and the ledger tells it all."""
    ticks = f"http://{engine.gateway}:{stage.port}/ticks?count=100000&interval=20"
    loop = f"while true; do wget -q -O- '{ticks}'; sleep 0.2; done"
    with stage.daemon():
        container = engine.run("crew", "sh", "-c", loop, env={"OPENAI_API_KEY": KEY})
        found = until("it is in the registry", lambda: stage.agent("crew"))
        assert found.trust is Trust.UNVERIFIED
        until("its calls are attributed, and denied", lambda: stage.labels("crew") == {"deny"})
        assert stage.upstream.received == []
        stage.types("agent", "trust", "crew", "--reason", "ours")
        until("its stream runs", lambda: len(container.logs(stderr=False)) > 1_000)
        stage.types("agent", "quarantine", "crew", "--reason", "suspicious")

        def silent() -> bool:
            heard = container.logs(stderr=False)
            time.sleep(SILENCE_S)
            return container.logs(stderr=False) == heard

        until("its stream has ended", silent)
    story = [stage.told(event) for event in stage.events("crew")]
    kinds = list(dict.fromkeys(story))
    assert kinds[0] == "discovery new"
    for one in ("decision deny", "admin agent.trust trusted", "decision allow", "outcome"):
        assert one in kinds
    assert kinds.index("decision allow") < kinds.index("admin agent.trust quarantined")
    (new,) = (e["body"] for e in stage.events("crew") if stage.told(e) == "discovery new")
    assert {"docker_runs_as_root", "docker_writable_rootfs"} <= set(new["signals"])
    assert "CANARY" not in json.dumps(stage.events("crew"))
