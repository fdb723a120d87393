"""Agents, servers and scanners over HTTP, as the documentation of the reference prints it."""

import time

import pytest

from interlock.model import Trust
from tests.api.service import Service

WEATHER = {
    "name": "weather-server",
    "url": "http://weather:8000/mcp",
    "capabilities": {"tools": [{"name": "get_weather", "description": "Weather of a place"}]},
}
FILES = {
    "name": "filesystem-server",
    "command": "npx",
    "args": ["-y", "@modelcontextprotocol/server-filesystem"],
    "env": {"ROOT": "s3cret-value"},
    "capabilities": {
        "tools": [{"name": "read_file", "input_schema": {"type": "object"}}],
        "resources": [{"name": "files", "uri": "file:///"}],
        "prompts": [],
    },
}


def scanner_headers(service: Service) -> dict[str, str]:
    """Those of the reference."""
    return {"X_Scanner_ID": "scanner", "X_API_Key": service.keys["scanner"]}


def test_an_agent_is_registered_and_its_key_calls(service: Service) -> None:
    """`POST /api/v1/agents/register` answers `api_key`, this once; nobody vouches for it."""
    body = {"name": "bot", "agent_type": "autonomous", "description": "Sums up"}
    made = service.post("/api/v1/agents/register", body, "operator")
    assert (made["trust"], made["lease"], made["lease_s"]) == ("unverified", "live", 90)
    assert made["source"] == "token:operator"
    assert service.records.registry.prove(made["api_key"], time.time()).name == "bot"
    shown = service.get("/agents/bot", "viewer")
    assert (shown["agent_type"], shown["description"]) == ("autonomous", "Sums up")
    assert shown in service.get("/agents", "viewer"), "the list tells the same"
    assert "api_key" not in shown
    assert service.ask("POST", "/api/v1/agents/register", "admin", body).status_code == 409
    assert service.ask("GET", "/agents/nobody").status_code == 404


def test_a_scanner_vouches_for_nobody(service: Service) -> None:
    """It registers, and that is all: policies go by owner and groups, of servers too."""
    for more in ({"trust": "trusted"}, {"ttl_s": None}, {"groups": ["finance"]}, {"owner": "ada"}):
        answer = service.ask("POST", "/api/v1/agents/register", "scanner", {"name": "x"} | more)
        assert answer.status_code == 403
    for more in ({"ttl_s": None}, {"groups": ["finance"]}, {"owner": "ada"}):
        answer = service.ask("POST", "/mcp-servers", "scanner", WEATHER | more)
        assert answer.status_code == 403
    assert service.get("/mcp-servers") == []
    assert [agent["name"] for agent in service.get("/agents")] == ["one", "two"]


def test_a_scanner_fills_no_registry(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Agents and servers count together; what it registered already it may tell of as before."""
    monkeypatch.setattr("interlock.api.agents.MOST_FOUND", 2)
    service.post("/api/v1/agents/register", {"name": "a"}, "scanner")
    service.post("/mcp-servers", WEATHER, "scanner")
    for path, body in (("/api/v1/agents/register", {"name": "b"}), ("/mcp-servers", FILES)):
        refused = service.ask("POST", path, "scanner", body)
        assert refused.status_code == 409
        assert "has registered 2 agents and servers" in refused.json()["error"]["message"]
    service.post("/mcp-servers", WEATHER | {"version": "2"}, "scanner")
    service.post("/api/v1/agents/register", {"name": "b"}, "operator")


def test_a_scanner_keeps_nobody_alive_but_whom_it_registered(service: Service) -> None:
    """Else one that is taken over would bring back every agent that has lapsed."""
    registry = service.records.registry
    for name, who in (("mine", "scanner"), ("theirs", "operator")):
        service.post("/api/v1/agents/register", {"name": name, "ttl_s": 5}, who)
    registry.heartbeats({"mine": 0.0, "theirs": 0.0})
    before = registry.lease("theirs")
    beat = {"names": ["mine", "theirs", "one"]}
    assert service.post("/api/v1/agents/heartbeat", beat, "scanner") == {"count": 1}
    service.app.state.api.flush()
    assert registry.lease("theirs") == before
    assert service.post("/api/v1/agents/heartbeat", beat, "operator") == {"count": 3}


def test_an_agent_is_described_anew_by_who_registered_it(service: Service) -> None:
    """Or by an operator; who it is, how far it is trusted and who told of it first stay."""
    made = service.post("/api/v1/agents/register", {"name": "bot"}, "scanner")
    assert made["groups"] == ["discovered"]
    said = {"framework": "CrewAI", "signals": ["docker_runs_as_root"], "evidence": {"why": "x"}}
    for who in ("scanner", "operator", "scanner"):
        answer = service.ask("PUT", "/agents/bot", who, said)
        assert answer.status_code == 200, answer.text
    shown = service.get("/agents/bot")
    assert {name: shown[name] for name in said} == said
    assert (shown["source"], shown["trust"]) == ("token:scanner", "unverified")
    assert service.ask("PUT", "/agents/one", "scanner", said).status_code == 403
    assert service.ask("PUT", "/agents/nobody", "scanner", said).status_code == 404
    assert service.ask("PUT", "/agents/bot", "scanner", {"trust": "trusted"}).status_code == 400


def test_trust_moves_by_the_table_and_the_front_door_knows(service: Service) -> None:
    """With a reason; what is not in the table is a conflict."""
    moved = service.post("/agents/one/trust", {"trust": "revoked", "reason": "leaked"}, "operator")
    assert moved["state"] == "revoked"
    assert service.records.registry.get("one").trust is Trust.REVOKED
    again = service.ask("POST", "/agents/one/trust", "operator", {"trust": "trusted"})
    assert again.status_code == 409
    assert "cannot become trusted" in again.json()["error"]["message"]


def test_a_server_is_registered_and_lives_by_heartbeats(service: Service) -> None:
    """With `X-Scanner-ID` and `X-API-Key`, and nothing else."""
    service.keys[""] = ""
    headers = scanner_headers(service)
    answer = service.ask("POST", "/api/v1/servers/register", "", WEATHER, **headers)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert (made["scanner_id"], made["lease"]) == ("scanner", "live")
    assert made["status"] == "unknown", "nobody heard of it since"
    beat = service.ask(
        "POST", "/api/v1/servers/heartbeat", "", {"server_id": made["id"]}, **headers
    )
    assert beat.json() == {"count": 1}
    before = service.records.servers.show(made["id"]).seen.last_seen
    service.app.state.api.flush()
    assert service.records.servers.show(made["id"]).seen.last_seen > before
    alive = service.get("/mcp-servers?status=active", "viewer")
    assert [one["id"] for one in alive] == [made["id"]]
    assert (made["last_verified"], alive[0]["last_verified"]) == (None, alive[0]["last_seen"])
    wrong = headers | {"X_Scanner_ID": "another"}
    assert service.ask("POST", "/mcp-servers", "", WEATHER, **wrong).status_code == 401


def test_servers_are_listed_by_status_capability_and_scanner(service: Service) -> None:
    """`GET /mcp-servers` with the filters of the reference; values of variables are not kept."""
    service.post("/mcp-servers", WEATHER | {"status": "active"}, "scanner")
    service.post("/mcp-servers", FILES, "operator")
    wanted = {
        "": ["filesystem-server", "weather-server"],
        "?status=active": ["weather-server"],
        "?status=unknown": ["filesystem-server"],
        "?capability=read_file": ["filesystem-server"],
        "?capability=tools": ["filesystem-server", "weather-server"],
        "?scanner_id=scanner": ["weather-server"],
    }
    for query, names in wanted.items():
        assert [one["name"] for one in service.get(f"/mcp-servers{query}", "viewer")] == names
    assert service.ask("GET", "/mcp-servers?status=odd").status_code == 400
    shown = service.get("/mcp-servers/filesystem-server")
    assert shown["env"] == ["ROOT"]
    assert shown["capabilities"] == FILES["capabilities"]
    assert "s3cret-value" not in "".join(
        service.records.database.read(lambda connection: list(connection.iterdump()))
    )


def test_a_scanner_changes_only_what_it_found(service: Service) -> None:
    """Neither another's, nor the address of what a person vouched for."""
    mine = service.post("/mcp-servers", WEATHER, "scanner")
    theirs = service.post("/mcp-servers", FILES, "operator")
    assert service.ask("PUT", f"/mcp-servers/{theirs['id']}", "scanner", FILES).status_code == 403
    assert service.ask("POST", "/mcp-servers", "scanner", FILES).status_code == 409
    service.post(f"/mcp-servers/{mine['id']}/trust", {"trust": "trusted"})
    moved = WEATHER | {"url": "http://evil:8000/mcp"}
    assert service.ask("PUT", f"/mcp-servers/{mine['id']}", "scanner", moved).status_code == 409
    assert service.get(f"/mcp-servers/{mine['id']}")["url"] == WEATHER["url"]
    said = {"owner": "ada", "groups": ["finance"]}
    place = f"/mcp-servers/{mine['id']}"
    assert service.ask("PUT", place, "scanner", WEATHER | said).status_code == 403
    assert service.ask("PUT", place, "operator", WEATHER | said).status_code == 200
    changed = service.ask("PUT", place, "scanner", WEATHER | {"version": "2"}).json()
    kept = {name: changed[name] for name in said}
    assert (changed["version"], kept) == ("2", said), "what a person said of it stays"
    assert service.ask("DELETE", f"/mcp-servers/{mine['id']}").status_code == 200
    assert service.ask("GET", f"/mcp-servers/{mine['id']}").status_code == 404


def test_scanners_are_registered_by_an_admin(service: Service) -> None:
    """Their key is told once and works with their id."""
    made = service.post("/scanners", {"id": "scanner-001"})
    headers = {"X_Scanner_ID": "scanner-001", "X_API_Key": made["api_key"]}
    assert service.ask("POST", "/mcp-servers", "", WEATHER, **headers).status_code == 201
    assert service.get("/scanners/scanner-001")["servers"] == 1
    assert [one["id"] for one in service.get("/scanners")] == ["scanner", "scanner-001"]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"url": "ftp://x"}, id="another scheme"),
        pytest.param({"url": "http://u:p@x"}, id="a password in the URL"),
        pytest.param({"url": "", "command": ""}, id="nowhere"),
        pytest.param({"name": "a b"}, id="a name with a blank"),
        pytest.param({"capabilities": {"tools": [{"description": "x"}]}}, id="a tool without name"),
        pytest.param({"capabilities": {"spells": []}}, id="another kind"),
    ],
)
def test_a_bad_server_is_refused(shared: Service, change: dict[str, object]) -> None:
    """With one line, and nothing is stored."""
    assert shared.ask("POST", "/mcp-servers", "admin", WEATHER | change).status_code == 400
    assert shared.get("/mcp-servers") == []


def test_an_agent_renews_its_own_lease_and_no_other(service: Service) -> None:
    """Batched: it is on disk within a second, and one write serves all that wait."""
    key = service.post("/api/v1/agents/register", {"name": "bot", "ttl_s": 5})["api_key"]
    service.keys["bot"] = key
    registry = service.records.registry
    registry.heartbeats({"bot": 0.0})
    before = registry.lease("bot")
    assert service.post("/api/v1/agents/heartbeat", {}, "bot") == {"count": 1}
    assert (
        service.ask("POST", "/api/v1/agents/heartbeat", "bot", {"names": ["one"]}).status_code
        == 403
    )
    service.app.state.api.flush()
    after = registry.lease("bot")
    assert before
    assert after
    assert after.renewed_at > before.renewed_at
