"""Servers: registered by people and scanners, moved between trust states, cut off for calls."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from interlock.apdp import DecisionPoint, Intents, load_policies
from interlock.apdp.authorize import authorize, read_question
from interlock.errors import RegistryError
from interlock.governor import Governor
from interlock.installation import Installation
from interlock.model import (
    Agent,
    Authority,
    Call,
    Declaration,
    Effect,
    Entity,
    Health,
    Mode,
    Request,
    Server,
    Stage,
    Trust,
)
from interlock.registry import Profile
from interlock.settings import Settings

FILES = Server("files", "https://mcp.example.com:8443/files")
HERE = Authority("mcp.example.com", 8443)
TOOLS = {"tools": [{"name": "read_file", "input_schema": {"type": "object"}}]}
PROFILE = Profile(type="http", capabilities=TOOLS, source="scanner:s1")
NOW = 4_000_000_000.0


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    with Installation(Settings.load(home=tmp_path / "home")) as installation:
        yield installation


def test_what_was_registered_is_known_in_every_process(installation: Installation) -> None:
    """By name and by id, with schemas, source and times."""
    added, changed = installation.servers.register(FILES, PROFILE, NOW, lease_s=90)
    assert changed == ["new"]
    with Installation(installation.settings) as other:
        assert other.servers.show("files") == other.servers.show(added.id) == added
        assert other.servers.all() == [added]
    record = added.record(NOW)
    assert record["capabilities"] == TOOLS
    assert record["trust"] == "unverified"
    assert record["health"] == "unknown"
    assert (record["first_seen"], record["lapses_at"]) == (NOW, NOW + 90)


def test_no_server_is_called_like_the_id_of_another(installation: Installation) -> None:
    """Else who trusts the one that was meant would trust the other."""
    meant, _ = installation.servers.register(FILES, PROFILE, NOW)
    other = Server(meant.id, "https://evil.example.com/mcp")
    with pytest.raises(RegistryError, match="not srv_"):
        installation.servers.register(other, PROFILE, NOW)


def test_what_a_person_said_of_a_server_outlives_the_next_scan(installation: Installation) -> None:
    """Owner and groups stay, the scan is no refusal, and what it saw is taken up."""
    servers = installation.servers
    servers.register(FILES, PROFILE, NOW, scanner="s1")
    said = replace(FILES, owner="ada", groups=("finance",))
    servers.register(said, PROFILE, NOW, vouched=True)
    servers.set_trust("files", Trust.TRUSTED)
    found, changed = servers.register(FILES, replace(PROFILE, version="2"), NOW, scanner="s1")
    assert changed == ["version"]
    assert (found.server.owner, found.server.groups) == ("ada", ("finance",))


def test_registering_again_takes_up_what_is_new_and_leaves_trust(
    installation: Installation,
) -> None:
    """And says what changed; the same again is no event."""
    servers = installation.servers
    servers.register(FILES, PROFILE, NOW)
    servers.set_trust("files", Trust.TRUSTED, "checked")
    more = replace(PROFILE, version="2", labels={"team": "lab"})
    found, changed = servers.register(FILES, more, NOW + 5)
    assert sorted(changed) == ["labels", "version"]
    assert found.server.trust is Trust.TRUSTED
    assert (found.seen.first_seen, found.seen.last_seen) == (NOW, NOW + 5)
    assert servers.register(FILES, more, NOW + 6)[1] == []
    actions = [row["body"]["action"] for row in installation.ledger.tail(9)]
    assert actions == ["server.add", "server.trust", "server.change"]


@pytest.mark.parametrize("trust", [Trust.TRUSTED, Trust.QUARANTINED, Trust.REVOKED], ids=str)
def test_a_scanner_does_not_move_a_server_that_a_person_judged(
    installation: Installation, trust: Trust
) -> None:
    """Else its trust, or its way out of quarantine, would be for another address."""
    servers = installation.servers
    servers.register(FILES, PROFILE, NOW)
    servers.set_trust("files", trust)
    moved = replace(FILES, url="https://evil.example.com")
    with pytest.raises(RegistryError, match="a person has to change its url"):
        servers.register(moved, PROFILE, NOW)
    with pytest.raises(RegistryError, match="was registered by another"):
        servers.register(FILES, PROFILE, NOW, scanner="s2")
    assert servers.get("files").url == FILES.url
    servers.register(moved, PROFILE, NOW, vouched=True)
    assert servers.get("files").url == moved.url


def test_the_health_of_a_server_is_an_event_when_it_changes(installation: Installation) -> None:
    """And every process sees it."""
    installation.servers.register(FILES, PROFILE, NOW)
    with Installation(installation.settings) as other:
        assert other.servers.get("files").health is Health.UNKNOWN
        for at in (1, 2):
            installation.servers.set_health("files", Health.UNHEALTHY, NOW + at)
        assert other.servers.get("files").health is Health.UNHEALTHY
    assert installation.servers.show("files").seen.verified_at == NOW + 2
    actions = [row["body"]["action"] for row in installation.ledger.tail(9)]
    assert actions == ["server.add", "server.health"]


def test_a_lease_lapses_and_a_heartbeat_brings_it_back(installation: Installation) -> None:
    """Without anybody reading everything again, and without an event."""
    servers = installation.servers
    servers.register(FILES, PROFILE, NOW, lease_s=90)
    change = installation.database.change
    assert [servers.get("files", NOW + at).lapsed for at in (89, 90)] == [False, True]
    assert servers.heartbeats({"files": NOW + 90, "nobody": NOW + 90}) == 1
    assert not servers.get("files", NOW + 91).cut_off
    assert installation.database.change == change


@pytest.mark.parametrize(
    ("url", "path", "found"),
    [
        pytest.param("https://mcp.example.com:8443/files", "/files", True, id="the endpoint"),
        pytest.param("https://mcp.example.com:8443/files", "/files/x?y", True, id="below it"),
        pytest.param("https://mcp.example.com:8443/files", "/files2", False, id="a longer name"),
        pytest.param("https://mcp.example.com:8443", "/any", True, id="all of a host"),
        pytest.param("https://mcp.example.com/files", "/files", False, id="another port"),
        pytest.param("", "/files", False, id="a server without a URL"),
    ],
)
def test_a_request_finds_the_server_that_it_goes_to(
    installation: Installation, url: str, path: str, found: bool
) -> None:
    """By host, port and path."""
    installation.servers.register(replace(FILES, url=url), PROFILE, NOW)
    assert (installation.servers.at(HERE, path, NOW) is not None) is found


@pytest.mark.parametrize(
    ("path", "trust", "name"),
    [
        pytest.param("/files", Trust.TRUSTED, "files", id="at the same URL"),
        pytest.param("/files/x", Trust.UNVERIFIED, "files", id="below it, judged by nobody"),
        pytest.param("/files/x", Trust.TRUSTED, "a-newcomer", id="below it, vouched for"),
    ],
)
def test_a_newcomer_does_not_open_what_is_cut_off(
    installation: Installation, path: str, trust: Trust, name: str
) -> None:
    """Whoever registers it, under whatever name."""
    servers = installation.servers
    servers.register(FILES, PROFILE, NOW)
    servers.set_trust(FILES.name, Trust.REVOKED)
    newcomer = Server("a-newcomer", f"https://{HERE}{path}", trust=trust)
    servers.register(newcomer, PROFILE, NOW, vouched=True)
    found = servers.at(HERE, path, NOW)
    assert found is not None
    assert found.name == name


def test_a_message_is_for_who_is_there_or_who_is_alone(installation: Installation) -> None:
    """Asked in one go of every call: the server at its path, or beside it the only one there."""
    servers = installation.servers
    assert servers.near(HERE, "/mcp", NOW) == (None, None)
    servers.register(FILES, PROFILE, NOW)
    path = FILES.url.removeprefix(f"https://{HERE.short}")
    here = servers.at(HERE, path, NOW)
    assert here is not None
    assert servers.near(HERE, path, NOW) == (here, here)
    assert servers.near(HERE, "/elsewhere", NOW) == (None, here)
    servers.register(Server("other", f"https://{HERE.short}/other"), PROFILE, NOW)
    assert servers.near(HERE, "/elsewhere", NOW) == (None, None)


@pytest.mark.parametrize("host", ["example.com", "https", "s", "mcp"])
def test_a_host_that_stands_in_every_url_costs_no_more(
    installation: Installation, host: str
) -> None:
    """Any agent may name it, each time at another port: no server is looked at for that."""
    for number in range(20):
        url = f"https://mcp{number}.example.com/s"
        installation.servers.register(Server(f"s{number}", url), PROFILE, NOW)
    asked: list[str] = []
    installation.servers.at(HERE, "/", NOW)
    installation.database._reader.set_trace_callback(asked.append)
    assert installation.servers.at(Authority(host, 443), "/s", NOW) is None
    assert len(asked) <= 2


@pytest.mark.parametrize(
    ("url", "at"),
    [
        pytest.param("https://[2001:db8::1]:8443/x", Authority("2001:db8::1", 8443), id="IPv6"),
        pytest.param("https://[2001:db8::1]", Authority("2001:db8::1", 443), id="IPv6, no port"),
        pytest.param("http://localhost", Authority("localhost", 80), id="neither port nor path"),
    ],
)
def test_a_server_is_found_by_its_host(installation: Installation, url: str, at: Authority) -> None:
    """However its URL is written."""
    installation.servers.register(Server("here", url), PROFILE, NOW)
    found = installation.servers.at(at, "/x", NOW)
    assert found is not None
    assert found.name == "here"


def test_a_call_to_a_server_that_is_cut_off_is_denied(installation: Installation) -> None:
    """At the trust stage, whatever the policies say, and the ledger knows how it stood."""
    agent = Agent("one", trust=Trust.TRUSTED)
    installation.registry.add(agent)
    installation.servers.register(FILES, PROFILE, NOW)
    governor = Governor(installation)
    request = Request("POST", "https", HERE, "/files", b"{}", "application/json")
    before = asyncio.run(governor.govern(request, agent, {}))
    assert before.decision.stage is Stage.POLICY
    assert before.call.server == FILES
    installation.servers.set_trust("files", Trust.QUARANTINED, "odd tools")
    after = asyncio.run(governor.govern(request, agent, {}))
    assert after.decision.stage is Stage.TRUST
    assert after.decision.reasons[0].policy_id == "server-quarantined"
    facts = [e["body"]["facts"]["server"]["trust"] for e in installation.ledger.query()]
    assert facts == ["unverified", "quarantined"]


POLICIES = """
@id("trusted") permit (principal, action == Action::"call_tool", resource is McpServer)
when { resource.trust == "trusted" && resource.url like "https://mcp.example.com:8443/*" };
@id("no-lab") forbid (principal, action, resource in Group::"lab");
"""


def test_policies_see_what_the_registry_says_of_a_server(tmp_path: Path) -> None:
    """Trust, health, owner and address as attributes, groups as parents."""
    (tmp_path / "a.cedar").write_text(POLICIES)
    policies = load_policies(tmp_path)
    body = {"principal": 'Agent::"a"', "action": "call_tool", "resource": 'McpServer::"files"'}
    point = DecisionPoint(policies)
    trusted = replace(FILES, trust=Trust.TRUSTED)
    for server, effect in (
        (None, Effect.DENY),
        (FILES, Effect.DENY),
        (trusted, Effect.ALLOW),
        (replace(trusted, groups=("lab",)), Effect.DENY),
        (replace(trusted, lapsed=True), Effect.DENY),
    ):
        asked = read_question(body)
        ruling = authorize(
            asked, policies, Intents({}), None, mode=Mode.ENFORCE, now=NOW, server=server
        )
        call = Call(
            "mcp.example.com:8443",
            "call_tool",
            Entity("McpServer", "files"),
            Request("POST", "https", HERE, "/files"),
            b"",
            server=server,
        )
        decision = point.decide(
            "d", Agent("a"), call, Declaration(), secret="", mode=Mode.ENFORCE, now=NOW
        )
        assert (ruling.effect, decision.effect) == (effect, effect)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("", id="empty"),
        pytest.param("a b", id="a space"),
        pytest.param("x" * 129, id="too long"),
        pytest.param("a\x1b[31m", id="a terminal escape"),
        pytest.param('a"; drop table servers', id="SQL"),
    ],
)
def test_a_bad_name_is_refused(installation: Installation, name: str) -> None:
    """Names go into policies and terminals, so they are plain."""
    with pytest.raises(RegistryError, match="server name"):
        installation.servers.register(Server(name), PROFILE, time.time())
    assert installation.servers.all() == []
