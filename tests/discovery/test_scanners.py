"""What holds for every scanner, and for what is made of what they saw."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from interlock.discovery.configuration import SOURCES, load
from interlock.discovery.containers import Containers
from interlock.discovery.depth import PRESETS
from interlock.discovery.merge import merge
from interlock.discovery.sighting import (
    Kind,
    ScanError,
    Scanner,
    Sighting,
    Trouble,
    Watcher,
    parse_sighting,
    written,
)
from interlock.discovery.sweep import sweep
from interlock.installation import Installation
from interlock.inventory import Change
from interlock.model import Agent, Server, Trust
from interlock.registry import Profile
from tests.discovery.conftest import Look
from tests.discovery.simulated import SimulatedEngine, container

STANDARD = PRESETS["enterprise-standard"]


@dataclass
class Told:
    """A scanner that sees what it is told."""

    source: str
    sightings: Sequence[Sighting | Trouble] = ()
    error: Exception | None = None

    def scan(self) -> Iterator[Sighting | Trouble]:
        """Tell it."""
        yield from self.sightings
        if self.error:
            raise self.error


def an_agent(place: str, name: str = "agent", *marks: str, **more: object) -> Sighting:
    """An agent at a place, whose source is what the place begins with."""
    source = place.partition(":")[0]
    return Sighting(source, place, Kind.AGENT, name, marks=frozenset(marks), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("source", SOURCES)
def test_every_scanner_keeps_the_contract(source: str, tmp_path: Path) -> None:
    """It has its name, its places begin with it, what it sees survives being written down."""
    text = "[network]\nenabled = true\nranges = ['127.0.0.1/32']\nports = [1]\n"
    text += f"[docker]\nhost = 'unix://{tmp_path}/d.sock'\n[kubernetes]\nkubeconfig = '/none'\n"
    (tmp_path / "d.toml").write_text(text)
    with SimulatedEngine(tmp_path / "d.sock", [container(1)]):
        (scanner,) = load(tmp_path / "d.toml").narrowed([source]).scanners()
        checked: Scanner = scanner
        assert checked.source == source
        seen = sweep([scanner])
    assert isinstance(scanner, Watcher) == (source in ("docker", "kubernetes"))
    assert all(trouble.why.isprintable() for trouble in seen.troubles)
    assert all(trouble.place.startswith(f"{source}:") for trouble in seen.troubles)
    for found in seen.found:
        for sighting in found.sightings:
            assert sighting.place.startswith(f"{source}:")
            assert parse_sighting(written(sighting)) == replace(sighting, addresses=())


@pytest.mark.parametrize(
    "error", [ScanError("away"), RuntimeError("a bug"), RecursionError("deep")], ids=repr
)
def test_a_scanner_that_fails_blinds_nobody_and_nothing_is_lost(
    look: Look, error: Exception
) -> None:
    """The others go on; what it had seen stays, until it can look again and sees nothing."""
    docker = an_agent("docker:a", "a")
    look(Told("docker", [docker]))
    found = look(Told("docker", error=error), Told("files", [an_agent("files:b", "b")]))
    assert (found["a"].change, found["b"].change) == (Change.UNCHANGED, Change.NEW)
    assert look(Told("files"))["a"].change is Change.UNCHANGED, "nobody looked there"
    assert look(Told("docker"))["a"].change is Change.STALE


def test_what_nobody_looked_at_was_not_seen(look: Look, installation: Installation) -> None:
    """It stays, and nothing says that it was there."""
    told = Told("docker", [an_agent("docker:a", "a")])
    for scanner, now, last in ((told, 10.0, 10.0), (Told("files"), 20.0, 10.0), (told, 30.0, 30.0)):
        look(scanner, now=now)
        assert installation.registry.seen("a").last_seen == last
        scan = installation.ledger.tail(1)[0]["body"]
        assert scan["unchanged"] == (now == 30.0)


def test_a_file_that_cannot_be_read_keeps_its_servers(look: Look) -> None:
    """Trouble at a place is about what lies below it, and nothing else."""
    one, other = an_agent("files:/x#a", "a"), an_agent("files:/y#b", "b")
    look(Told("files", [one, other]))
    found = look(Told("files", [Trouble("files:/x#", "broken")]))
    assert (found["a"].change, found["b"].change) == (Change.UNCHANGED, Change.STALE)


def test_evidence_joins_and_names_do_not() -> None:
    """The same container, URL or lonely address is one thing; a name is not."""
    docker = an_agent("docker:x", "same", "container:c1", "address:10.0.0.1")
    pod = an_agent("kubernetes:x", "pod", "container:c1")
    card = an_agent("network:http://10.0.0.1:80", "card", "address:10.0.0.1")
    namesake = an_agent("docker:y", "same", "container:c2")
    found = merge([namesake, card, pod, docker])
    assert [one.sources for one in found] == [("docker", "kubernetes", "network"), ("docker",)]
    two = [an_agent(f"network:http://127.0.0.1:{n}", "s", "address:127.0.0.1") for n in (1, 2)]
    assert len(merge(two)) == 2, "an address may have many"
    assert len(merge([*two, docker, replace(docker, place="docker:z", marks=docker.marks)])) == 3


def test_a_name_is_taken_from_nobody(look: Look, installation: Installation) -> None:
    """What calls itself like a trusted agent is somebody else, and unverified."""
    installation.registry.add(Agent("research", trust=Trust.TRUSTED))
    found = look(Told("docker", [an_agent("docker:evil", "research")]))
    (name,) = found
    assert name.startswith("research-")
    assert installation.registry.get(name).trust is Trust.UNVERIFIED
    assert installation.registry.get("research").trust is Trust.TRUSTED
    for reserved in ("unidentified", "unnamed"):
        look(Told("files", [an_agent(f"files:{reserved}", reserved)]))
    assert "unidentified" not in {agent.name for agent in installation.registry.all()}


def test_trust_survives_and_what_was_revoked_stays_so(
    look: Look, installation: Installation
) -> None:
    """A scan takes no trust away and gives none."""
    agent = an_agent("docker:a", "a")
    look(Told("docker", [agent]))
    installation.registry.set_trust("a", Trust.REVOKED, "no")
    changed = look(Told("docker", [replace(agent, signals=("docker_runs_as_root",))]))["a"]
    assert (changed.change, changed.fields) == (Change.CHANGED, ("signals",))
    assert installation.registry.get("a").trust is Trust.REVOKED


def test_a_server_that_a_person_registered_is_heeded(
    look: Look, installation: Installation
) -> None:
    """One URL is one server: it keeps its name, and what the person said of it."""
    url = "http://10.0.0.7:8080/mcp"
    mine = Server("mine", url=url, owner="ada", trust=Trust.TRUSTED)
    installation.servers.register(mine, Profile(source="user:ada"), 1.0)
    seen = Sighting("network", f"network:{url}", Kind.SERVER, "evil", endpoints=(url,))
    assert set(look(Told("network", [seen]))) == {"mine"}
    (server,) = installation.servers.all()
    assert (server.server.owner, server.server.trust) == ("ada", Trust.TRUSTED)
    assert server.seen.profile.source == "user:ada"


def test_every_scan_is_in_the_ledger(look: Look, installation: Installation) -> None:
    """One event for the scan, one for each thing that changed, and the chain holds."""
    look(Told("docker", [an_agent("docker:a", "a")]), Told("files", error=ScanError("away")))
    events = installation.ledger.tail(10)
    new, scan = (event for event in events if event["kind"] == "discovery")
    assert (new["agent"], new["body"]["change"]) == ("a", "new")
    assert scan["body"]["sources"] == ["docker", "files"]
    assert (scan["body"]["new"], scan["body"]["troubles"]) == (1, ["away"])
    assert installation.ledger.verify().intact


def test_hostile_containers_do_no_harm(
    look: Look, installation: Installation, tmp_path: Path
) -> None:
    """Names and values with control codes, markup, SQL, wrong types, a megabyte: all are told."""
    hostile = "/\x1b]0;owned\x07<script>'; drop table agents; --" + "x" * 1_000_000
    env = [f"{hostile}=1", "OPENAI_API_KEY=ilk_x", "="]
    odd = [
        container(1, Name=hostile, Config={"Env": env, "Labels": {hostile: hostile}}),
        container(2, Name=None, HostConfig=None, NetworkSettings=None, Mounts=None),
        container(3, Name="/" + "." * 100, Config={"Cmd": [hostile] * 50, "Image": hostile}),
    ]
    with SimulatedEngine(tmp_path / "d.sock", odd) as engine:
        found = look(Containers(STANDARD, engine.host))
    assert len(found) == 3
    assert all(entry.change is Change.NEW for entry in found.values())
    assert all(len(name) < 80 and name.isprintable() for name in found)
    assert len(installation.registry.all()) == 3
    assert installation.database.one("select max(length(body)) from events")[0] < 20_000


def test_a_thousand_containers_take_seconds(look: Look, tmp_path: Path) -> None:
    """Under 10 s on an idle machine; the bound is for a loaded one."""
    crowd = [container(number) for number in range(1_000)]
    with SimulatedEngine(tmp_path / "d.sock", crowd) as engine:
        began = time.monotonic()
        found = look(Containers(STANDARD, engine.host))
        took = time.monotonic() - began
    assert len(found) == 1_000
    assert took < 40
