"""Where what was found goes: this home's registry, or one elsewhere. The same holds for both."""

import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest

from interlock.client.channel import Channel
from interlock.client.errors import ApiError, ClientError, UnreachableError
from interlock.demo.certificates import Certificates
from interlock.demo.ports import free_ports
from interlock.discovery.sighting import Finding, Kind, Sighting
from interlock.discovery.sweep import sweep
from interlock.home_inventory import HomeInventory
from interlock.installation import Installation
from interlock.inventory import Change, Entry, Inventory
from interlock.model import Health, Server, Trust
from interlock.registry import Profile
from interlock.remote_inventory import RemoteInventory
from interlock.settings import Settings
from tests.api.service import Service
from tests.cli.terminal import Terminal
from tests.discovery.test_scanners import Told

BOT = Sighting(
    "docker",
    "docker:bot",
    Kind.AGENT,
    "bot",
    framework="CrewAI",
    confidence=0.9,
    evidence=("image: crewai",),
    signals=("docker_runs_as_root",),
    findings=(Finding("raw_provider_key", "docker:bot OPENAI_API_KEY", "store it"),),
    env=("OPENAI_API_KEY",),
    labels={"team": "x"},
)
TOOLS = Sighting(
    "network",
    "network:http://10.0.0.7:80/mcp",
    Kind.SERVER,
    "tools",
    type="http",
    endpoints=("http://10.0.0.7/mcp",),
    capabilities={"tools": [{"name": "read", "input_schema": {"type": "object"}}], "models": []},
    signals=("mcp_no_tls",),
)
INTERVAL_S = 300.0


def look(inventory: Inventory, *seen: Sighting, now: float | None = None) -> dict[str, Entry]:
    """Let scanners of both sources look, carry it out, and answer it by name."""
    told = [Told(s, [one for one in seen if one.source == s]) for s in ("docker", "network")]
    found = sweep(told)
    entries = inventory.plan(found)
    inventory.apply(found, entries, time.time() if now is None else now)
    return {entry.name.partition("-")[0]: entry for entry in entries}


class InventoryContract:
    """What holds wherever the registry is; `registry` is the one that must know."""

    def test_what_was_found_is_registered_with_its_evidence(
        self, inventory: Inventory, registry: Installation
    ) -> None:
        """Unverified, in the group `discovered`, with all that was seen."""
        entries = look(inventory, BOT, TOOLS)
        assert {entry.change for entry in entries.values()} == {Change.NEW}
        agent = registry.registry.get(entries["bot"].name, time.time())
        assert (agent.trust, agent.groups) == (Trust.UNVERIFIED, ("discovered",))
        profile = registry.registry.seen(agent.name).profile
        assert (profile.framework, profile.signals) == ("CrewAI", BOT.signals)
        assert (profile.labels, profile.evidence["because"]) == (BOT.labels, ["image: crewai"])
        assert profile.evidence["findings"][0]["id"] == "raw_provider_key"
        server = registry.servers.show(entries["tools"].name)
        assert (server.server.trust, server.server.groups) == (Trust.UNVERIFIED, ("discovered",))
        assert (server.server.url, server.seen.health) == (TOOLS.endpoints[0], Health.ACTIVE)
        assert server.seen.profile.names("tools") == ["read"]
        assert server.seen.profile.signals == ("mcp_no_tls",)

    def test_what_changed_is_told_and_the_rest_is_not(
        self, inventory: Inventory, registry: Installation
    ) -> None:
        """A person's word on trust stays, whatever changes."""
        name = look(inventory, BOT, TOOLS)["bot"].name
        registry.registry.set_trust(name, Trust.QUARANTINED, "odd")
        entries = look(inventory, replace(BOT, signals=()), TOOLS)
        assert (entries["bot"].change, entries["bot"].fields) == (Change.CHANGED, ("signals",))
        assert entries["tools"].change is Change.UNCHANGED
        assert registry.registry.seen(name).profile.signals == ()
        assert registry.registry.get(name).trust is Trust.QUARANTINED

    def test_what_is_gone_is_stale_once_and_comes_back_as_it_was(
        self, inventory: Inventory, registry: Installation
    ) -> None:
        """Under its name, whatever else is called so."""
        name = look(inventory, BOT, TOOLS)["bot"].name
        assert look(inventory, TOOLS)["bot"].change is Change.STALE
        assert set(look(inventory, TOOLS)) == {"tools"}
        back = look(inventory, BOT, TOOLS)["bot"]
        assert (back.name, back.change, back.fields) == (name, Change.CHANGED, ("seen again",))
        assert len(registry.registry.all()) == len(registry.servers.all()) == 1

    def test_what_was_removed_by_hand_is_found_anew(
        self, inventory: Inventory, registry: Installation
    ) -> None:
        """At the next look: what runs is in the registry."""
        entries = look(inventory, BOT, TOOLS)
        registry.registry.remove(entries["bot"].name)
        registry.servers.remove(entries["tools"].name)
        look(inventory, BOT, TOOLS)
        assert [agent.name for agent in registry.registry.all()] == [entries["bot"].name]
        assert [one.server.name for one in registry.servers.all()] == [entries["tools"].name]


class TestHomeInventory(InventoryContract):
    """The registry of this home."""

    @pytest.fixture
    def registry(self, installation: Installation) -> Installation:
        """This home."""
        return installation

    @pytest.fixture
    def inventory(self, installation: Installation) -> Inventory:
        """What goes into it."""
        return HomeInventory(installation)


@pytest.fixture(scope="module")
def _service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A registry elsewhere, reached by TLS."""
    folder = tmp_path_factory.mktemp("elsewhere")
    certificates = Certificates.create(folder / "tls", "localhost")
    with Service(folder / "home", certificates=certificates) as service:
        for name in ("one", "two"):
            service.records.registry.remove(name)
        yield service


@pytest.fixture
def service(_service: Service) -> Iterator[Service]:
    """The same, empty."""
    yield _service
    for agent in _service.records.registry.all():
        _service.records.registry.remove(agent.name)
    for found in _service.records.servers.all():
        _service.records.servers.remove(found.id)


type Reach = Callable[..., RemoteInventory]


@pytest.fixture
def reach(installation: Installation, service: Service) -> Iterator[Reach]:
    """Make what is reported to the service under the name of a scanner."""
    channels: list[Channel] = []

    def made(
        home: Installation = installation, scanner: str = "scanner", **more: Any
    ) -> RemoteInventory:
        headers = {"X-Scanner-ID": scanner, "X-API-Key": service.keys[scanner]}
        assert service.certificates
        trust = ssl.create_default_context(cafile=service.certificates.ca)
        options = {"url": service.url, "headers": headers, "verify": trust} | more
        channels.append(Channel(**options))
        return RemoteInventory(home, channels[-1], scanner, INTERVAL_S)

    yield made
    for channel in channels:
        channel.close()


class TestRemoteInventory(InventoryContract):
    """A registry elsewhere."""

    @pytest.fixture
    def registry(self, service: Service) -> Installation:
        """That of the service."""
        return service.records

    @pytest.fixture
    def inventory(self, reach: Reach) -> Inventory:
        """What is reported to it, and remembered in the home of the scanner."""
        return reach()

    def test_a_look_is_a_heartbeat_and_what_is_gone_lapses(
        self, inventory: Inventory, service: Service
    ) -> None:
        """The lease is three looks long; only what is seen is heard of."""
        name = look(inventory, BOT, TOOLS)["bot"].name
        registry = service.records.registry
        lease = registry.lease(name)
        assert lease
        assert lease.seconds == 3 * INTERVAL_S
        look(inventory, BOT, TOOLS)
        service.app.state.api.flush()
        renewed = registry.lease(name)
        assert renewed
        assert renewed.renewed_at > lease.renewed_at
        look(inventory, TOOLS)
        service.app.state.api.flush()
        assert registry.lease(name) == renewed
        assert registry.get(name, renewed.ends_at).cut_off

    def test_a_registry_that_is_down_loses_nothing(self, reach: Reach) -> None:
        """It is said, and the next look reports what this one could not."""
        (port,) = free_ports(1)
        away = reach(url=f"https://localhost:{port}")
        for _ in range(2):
            with pytest.raises(UnreachableError, match=f"{port} does not answer"):
                look(away, BOT, TOOLS)
        entries = look(reach(), BOT, TOOLS)
        assert {entry.change for entry in entries.values()} == {Change.NEW}
        with pytest.raises(UnreachableError):
            look(away, replace(BOT, signals=()))
        again = look(reach(), replace(BOT, signals=()))
        assert (again["bot"].change, again["tools"].change) == (Change.CHANGED, Change.STALE)

    @pytest.mark.parametrize(
        ("more", "error"),
        [
            pytest.param({"verify": True}, UnreachableError, id="a certificate of a stranger"),
            pytest.param({"headers": {"X-API-Key": "ila_x"}}, ApiError, id="a wrong key"),
            pytest.param({"scanner": "viewer"}, ClientError, id="the key of who only reads"),
        ],
    )
    def test_who_does_not_prove_himself_is_told_nothing(
        self,
        installation: Installation,
        service: Service,
        reach: Reach,
        more: dict[str, Any],
        error: type[Exception],
    ) -> None:
        """Neither side takes the other for what it is not; nothing is registered or remembered."""
        with pytest.raises(error):
            look(reach(**more), BOT)
        assert service.records.registry.all() == []
        assert installation.database.rows("select * from sightings") == []

    def test_hosts_have_agents_of_their_own(
        self, service: Service, reach: Reach, tmp_path: Path
    ) -> None:
        """The same name on two machines is two agents; one that lost its home finds its own."""
        other = f"other-{token_hex(4)}"
        service.keys[other] = service.post("/scanners", {"id": other})["api_key"]
        mine = look(reach(), BOT)["bot"].name
        with Installation(Settings.load(home=tmp_path / "other")) as home:
            theirs = look(reach(home, other), BOT)["bot"].name
        with Installation(Settings.load(home=tmp_path / "anew")) as home:
            assert look(reach(home), BOT)["bot"].name == mine
        assert {agent.name for agent in service.records.registry.all()} == {mine, theirs}

    def test_the_server_of_another_is_not_taken_over(
        self, inventory: Inventory, service: Service, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Nobody gets a second name for a URL, by which a quarantine would be gone around."""
        known = Server("known", TOOLS.endpoints[0], trust=Trust.QUARANTINED)
        service.records.servers.register(known, Profile(), time.time(), vouched=True)
        look(inventory, BOT, TOOLS)
        assert [one.server.name for one in service.records.servers.all()] == ["known"]
        assert "'known' is registered for" in caplog.text
        assert len(service.records.registry.all()) == 1, "the others are reported"

    def test_a_scan_with_a_configuration_reports_there(
        self, service: Service, tmp_path: Path
    ) -> None:
        """Typed: `[registry]` with url, agent_id, api_key, and the authority of its certificate."""
        (tmp_path / ".cursor").mkdir()
        text = '{"mcpServers": {"github": {"command": "npx", "args": ["x"]}}}'
        (tmp_path / ".cursor" / "mcp.json").write_text(text)
        assert service.certificates
        (tmp_path / "d.toml").write_text(
            f"[registry]\nurl = '{service.url}'\nagent_id = 'scanner'\n"
            f"api_key = '${{SCANNER_KEY}}'\nca = '{service.certificates.ca}'\n"
        )
        terminal = Terminal(tmp_path / "home", {"SCANNER_KEY": service.keys["scanner"]})
        words = ("discover", "scan", "--source", "files", "--config", str(tmp_path / "d.toml"))
        assert "1 new" in terminal.does(*words).out
        (server,) = service.get("/mcp-servers?scanner_id=scanner")
        assert (server["command"], server["trust"]) == ("npx", "unverified")
