"""Nobody reads or changes anything without a proof, or beyond what their role is for."""

import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute

from interlock.api.app import ROUTERS
from interlock.api.limits import LARGEST_BODY
from interlock.api.throttle import MOST
from interlock.registry import Role
from interlock.registry.keys import API_PREFIX, new_key
from tests.api.service import Service

OPEN = {(method, path) for method in ("GET", "HEAD") for path in ("/health", "/ready")}
AGENT = "one"
# The least that a route takes beside admin; what is not here takes a viewer.
OPERATORS = {
    ("POST", "/agents/{name}/trust"),
    ("POST", "/agents/{name}/rotate"),
    ("DELETE", "/mcp-servers/{id}"),
    ("POST", "/mcp-servers/{id}/trust"),
    ("POST", "/goals"),
    ("PATCH", "/goals/{id}"),
    ("POST", "/goals/{id}/{move}"),
    ("POST", "/delegations/{id}/revoke"),
    ("POST", "/approvals/{id}/approve"),
    ("POST", "/approvals/{id}/deny"),
    ("POST", "/sessions"),
    ("POST", "/sessions/{id}/end"),
}
ADMINS = {
    ("POST", "/policies"),
    ("DELETE", "/policies/{id}"),
    ("DELETE", "/agents/{name}"),
    ("POST", "/scanners"),
    ("POST", "/delegations/keys"),
    ("POST", "/delegations/keys/{kid}/revoke"),
    ("POST", "/issuers"),
    ("DELETE", "/issuers"),
    ("POST", "/identities"),
    ("DELETE", "/identities"),
    ("GET", "/tokens"),
    ("GET", "/tokens/{name}"),
    ("POST", "/tokens"),
    ("POST", "/tokens/{name}/rotate"),
    ("DELETE", "/tokens/{name}"),
}
REGISTRARS = {
    ("POST", "/api/v1/agents/register"),
    ("POST", "/api/v1/servers/register"),
    ("POST", "/api/v1/servers/heartbeat"),
    ("POST", "/mcp-servers"),
    ("PUT", "/agents/{name}"),
    ("PUT", "/mcp-servers/{id}"),
}
INQUIRERS = {("POST", "/authorize"), ("POST", "/delegations/verify")}
ANYBODY = {("GET", "/whoami")}
LIVING = {("POST", "/api/v1/agents/heartbeat")}
READERS = {"viewer", "operator", "admin"}
WHO = [*Role, AGENT]


def routes() -> list[tuple[str, str]]:
    """Method and path of everything that is served."""
    found = [route for router in ROUTERS for route in router.routes]
    return [
        (method, route.path)
        for route in found
        if isinstance(route, APIRoute)
        for method in route.methods
    ]


def allowed(route: tuple[str, str]) -> set[str]:
    """Who may use a route, as this test understands it."""
    if route in ADMINS:
        return {"admin"}
    if route in OPERATORS:
        return {"operator", "admin"}
    if route in REGISTRARS:
        return {"operator", "admin", "scanner"}
    if route in ANYBODY:
        return set(WHO)
    if route in INQUIRERS:
        return {"operator", "admin", "service", AGENT}
    return {"operator", "admin", "scanner", AGENT} if route in LIVING else READERS


def test_every_route_asks_for_a_proof_and_a_role(service: Service) -> None:
    """Without one 401, with too small a one 403, whatever the body is; else it is let in.

    What is let in gets an empty body, so that nothing comes of it.
    """
    service.app.state.api.throttle.failed = lambda _: 0.0
    wrong = []
    for method, path in routes():
        place = path.replace("{move}", "pause").replace("{", "").replace("}", "")
        if (method, path) in OPEN:
            assert service.ask(method, place, "").status_code == 200
            continue
        if service.ask(method, place, "").status_code != 401:
            wrong.append(f"{method} {path} without a proof")
        for who in WHO:
            status = service.ask(method, place, who).status_code
            if (status == 403) is (who in allowed((method, path))):
                wrong.append(f"{method} {path} as {who}: {status}")
    assert wrong == []
    assert len(routes()) > 40


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Authorization": "Bearer ila_" + "0" * 43}, id="a wrong token"),
        pytest.param({"Authorization": "Bearer"}, id="an empty one"),
        pytest.param({"X-API-Key": "ilk_" + "0" * 43}, id="a wrong agent key"),
        pytest.param({"X-API-Key": "x" * 5000}, id="a long one"),
        pytest.param({"Authorization": "Basic eDp5"}, id="another scheme"),
        pytest.param({"Cookie": "token=ila_x"}, id="a cookie"),
    ],
)
def test_a_proof_that_does_not_hold_is_none(shared: Service, headers: dict[str, str]) -> None:
    """One shape, one status, and no word about what was wrong."""
    answer = shared.ask("GET", "/agents", "", **headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["error"]["code"] == "unauthenticated"


@pytest.mark.parametrize("name", ["api_key", "token", "X-API-Key", "key"])
def test_a_proof_in_a_url_is_none(shared: Service, name: str) -> None:
    """Else it would stand in histories and in the logs of what is on the way."""
    answer = shared.ask("GET", f"/agents?{name}={shared.keys['admin']}", "")
    assert answer.status_code == 401


def test_a_token_ends_when_it_is_rotated_removed_or_over(service: Service) -> None:
    """At the next request, without a restart."""
    old = service.keys["viewer"]
    service.keys["viewer"] = service.post("/tokens/viewer/rotate", {})["token"]
    assert service.get("/tokens/viewer")["role"] == "viewer"
    assert service.ask("GET", "/agents", "", Authorization=f"Bearer {old}").status_code == 401
    assert service.ask("GET", "/agents", "viewer").status_code == 200
    service.ask("DELETE", "/tokens/viewer")
    assert service.ask("GET", "/agents", "viewer").status_code == 401
    made = service.post("/tokens", {"name": "brief", "role": "viewer", "ttl_s": 0.001})
    time.sleep(0.01)
    brief = f"Bearer {made['token']}"
    assert service.ask("GET", "/agents", "", Authorization=brief).status_code == 401


def test_failed_proofs_are_held_up_and_good_ones_are_not(service: Service) -> None:
    """So that nobody can lock the operators out either."""
    guesses = [f"Bearer {new_key(API_PREFIX)}" for _ in range(MOST + 2)]
    answers = [service.ask("GET", "/agents", "", Authorization=guess) for guess in guesses]
    assert [a.status_code for a in answers] == [401] * MOST + [429] * 2
    assert 0 < int(answers[-1].headers["retry-after"]) <= 60
    assert service.ask("GET", "/agents").status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param({"Host": "evil.example.com"}, 421, id="a name that was bound to loopback"),
        pytest.param({"Host": "localhost:1"}, 200, id="one of ours"),
        pytest.param({"Origin": "https://evil.example.com"}, 403, id="a page of a stranger"),
        pytest.param({"Origin": "null"}, 403, id="a page of nobody"),
        pytest.param({"Origin": "http://["}, 403, id="a page of no possible place"),
        pytest.param({"Host": "["}, 421, id="no possible name"),
    ],
)
def test_pages_in_a_browser_are_kept_out(
    shared: Service, headers: dict[str, str], status: int
) -> None:
    """Before any proof is looked at; no answer lets another origin read it."""
    answer = shared.ask("GET", "/agents", **headers)
    assert answer.status_code == status
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"


def test_a_body_has_a_largest_size(shared: Service) -> None:
    """With a length, and in chunks without one."""
    headers = {"Authorization": f"Bearer {shared.keys['admin']}"}
    headers["Content-Type"] = "application/json"
    large = b" " * (LARGEST_BODY + 1)

    def chunks() -> Any:
        yield from (large[:4096] for _ in range(len(large) // 4096 + 1))

    for body in (large, chunks()):
        answer = httpx.post(
            f"{shared.url}/goals", content=body, headers=headers, trust_env=False, timeout=20
        )
        assert answer.status_code == 413
        assert answer.json()["error"]["code"] == "too_large"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"{", id="half an object"),
        pytest.param(b'{"id": "\\ud800"}', id="half a character"),
        pytest.param(b"[" * 100_000, id="nested deep"),
        pytest.param(b'{"id": "g", "max_actions": 1e999}', id="infinity"),
        pytest.param(b'{"id": "g", "max_cost_usd": NaN}', id="no number"),
        pytest.param(b'{"id": "g", "more": 1}', id="an unknown field"),
        pytest.param(b'{"id": "../g"}', id="a path for a name"),
        pytest.param(b'{"id": "g", "title": "a\\u001b[31m"}', id="a terminal escape"),
        pytest.param(b"\xff\xfe", id="no text"),
    ],
)
def test_a_bad_body_is_refused_in_one_shape(shared: Service, body: bytes) -> None:
    """A line that names the place, never a trace."""
    headers = {"Authorization": f"Bearer {shared.keys['admin']}"}
    headers["Content-Type"] = "application/json"
    answer = httpx.post(
        f"{shared.url}/goals", content=body, headers=headers, trust_env=False, timeout=20
    )
    assert answer.status_code == 400
    assert set(answer.json()) == {"error"}
    assert "Traceback" not in answer.text
    assert shared.get("/goals") == []


@pytest.mark.parametrize(
    ("body", "kind", "said"),
    [
        pytest.param(b'{"id": "g"}', "", "body: send a JSON object, with Content", id="no type"),
        pytest.param(b"", "application/json", "body: send a JSON object, with Content", id="empty"),
        pytest.param(
            b"[]", "application/json", "body: send a JSON object, with Content", id="list"
        ),
        pytest.param(
            b'{"id":', "application/json", "body: is not JSON: Expecting value", id="half"
        ),
        pytest.param(
            b'{"id": "g", "title": "a\\n"}',
            "application/json",
            "body.title: use one line of printable text",
            id="two lines",
        ),
    ],
)
def test_a_bad_body_is_told_in_words(shared: Service, body: bytes, kind: str, said: str) -> None:
    """What to send, rather than what the parser thought of it."""
    headers = {"Authorization": f"Bearer {shared.keys['admin']}"} | {"Content-Type": kind}
    answer = httpx.post(f"{shared.url}/goals", content=body, headers=headers, trust_env=False)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith(said)


def test_who_gives_no_reason_need_send_no_body(service: Service) -> None:
    """Where nothing has to be said, a bare POST is enough."""
    service.post("/goals", {"id": "g"}, "operator")
    headers = {"Authorization": f"Bearer {service.keys['admin']}"}
    for path, field, value in (
        ("/api/v1/agents/heartbeat", "count", 0),
        ("/goals/g/pause", "status", "Paused"),
        ("/tokens/viewer/rotate", "role", "viewer"),
    ):
        answer = httpx.post(f"{service.url}{path}", headers=headers, trust_env=False)
        assert answer.json()[field] == value


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/mcp-servers?state=active", 400, "query.state: there is no such parameter; known: cap"),
        ("/ledger/decisions?effect=deny", 400, "query.effect: there is no such parameter"),
        ("/status?x", 400, "query.x: there is no such parameter; it takes none"),
        ("/nowhere", 404, "there is no such route; /openapi.json lists them"),
    ],
)
def test_what_is_not_there_is_told(shared: Service, path: str, status: int, said: str) -> None:
    """A filter that is misspelt is refused: what it lets through would be taken for filtered."""
    answer = shared.ask("GET", path, "admin")
    assert answer.status_code == status
    assert answer.json()["error"]["message"].startswith(said)


def test_what_fails_inside_is_told_to_the_log_alone(service: Service) -> None:
    """500 in the one shape; in the body not a word of why."""
    service.records.goals.all = lambda: 1 / 0  # type: ignore[method-assign]
    answer = service.ask("GET", "/goals")
    assert answer.status_code == 500
    assert answer.json()["error"]["message"] == "something failed here; the log says what"


def test_changes_are_those_of_who_made_them(service: Service, tmp_path: Path) -> None:
    """The ledger names the token, not the user that serves."""
    service.post("/goals", {"id": "g1"}, "operator")
    last = service.records.ledger.tail(1)[0]["body"]
    assert (last["action"], last["actor"]) == ("goal.add", "token:operator")
