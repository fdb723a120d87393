"""Minted tokens over a live wire: the upstream sees them, the agent and its friends never."""

import base64
import gzip
import json
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode

import httpx
import pytest

from broker import Secret, forms_of
from interlock.demo.exchange import Answer, Received
from interlock.demo.front_door import FrontDoor
from interlock.demo.upstream import Upstream
from interlock.minting.route import Route
from interlock.model import Authority, Binding, Mode
from tests.door.raw import tunnelled
from tests.door.world import DEFAULT_POLICIES, TRUSTED, UNVERIFIED, World

ACCESS = ["REAL/access+token.first=0123456789", "REAL/access+token.second=0123456789"]
REFRESH = ["REAL-refresh-token-first-0123456789", "REAL-refresh-token-second-0123456789"]
IDENTITY = "REAL.id-token.0123456789"
GITHUB = "ghs_REAL0123456789abcdefghijklmnopqrst"
CLIENT = "robot:REAL-client-secret-0123456789"
HIDDEN = [*ACCESS, *REFRESH, IDENTITY, GITHUB, CLIENT.partition(":")[2]]
INSTALLATION = "/app/installations/7/access_tokens"
POLICIES = """
@id("trusted-agents-do-anything")
@description("For a test.")
permit (principal is Agent, action, resource) when { principal.trust == "trusted" };
@id("no-identity-tokens")
@description("Nobody shows who it is.")
forbid (principal, action == Action::"access_secret", resource == Secret::"minted/oauth/id_token");
"""
FORM = b"application/x-www-form-urlencoded; charset=utf-8"

ODD: dict[str, Answer] = {
    "in a coding that it is not in": Answer(
        json.dumps({"access_token": ACCESS[0]}).encode(),
        headers=((b"content-encoding", b"gzip"),),
    ),
    "in a coding that is too good": Answer(
        gzip.compress(json.dumps({"access_token": ACCESS[0], "x": "y" * 9_000_000}).encode()),
        headers=((b"content-encoding", b"gzip"),),
    ),
    "with a key twice": Answer(f'{{"access_token": "x", "access_token": "{ACCESS[0]}"}}'.encode()),
    "as a form with a field twice": Answer(
        f"access_token=x&access_token={ACCESS[0]}".encode(), FORM
    ),
    "as a form that is JSON": Answer(json.dumps({"access_token": ACCESS[0]}).encode(), FORM),
    "as a form without saying so": Answer(f"access_token={ACCESS[0]}".encode()),
    "as an event stream": Answer(
        f'data: {{"t": "{ACCESS[0]}"}}\n\n'.encode(), b"text/event-stream"
    ),
    "too large": Answer(json.dumps({"access_token": ACCESS[0], "x": "y" * 70_000}).encode()),
    "in UTF-16": Answer(json.dumps({"access_token": ACCESS[0]}).encode("utf-16")),
    "with text behind it": Answer(json.dumps({"access_token": ACCESS[0]}).encode() + b"x"),
    "as a list": Answer(json.dumps({"access_token": [ACCESS[0]]}).encode()),
    "with a line break in it": Answer(json.dumps({"access_token": f"a\n{ACCESS[0]}"}).encode()),
    "nested too deeply": Answer(b"[" * 30_000 + b"]" * 30_000),
    "as an error page": Answer(f"<h1>{ACCESS[0]}</h1>".encode(), b"text/html", status=500),
}


class TokenServer(Upstream):
    """Hands out tokens: an OAuth token endpoint, GitHub's, and answers that are hard to read."""

    def _answer(self, request: Received) -> Answer:
        path = request.path.partition("?")[0]
        if path == INSTALLATION:
            ends = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
            answer = {"token": GITHUB, "expires_at": ends, "permissions": {"issues": "read"}}
            return Answer.json(answer, (b"x-token", GITHUB.encode()), status=201)
        if path == "/token/gzip":
            packed = gzip.compress(json.dumps({"access_token": ACCESS[0]}).encode())
            return Answer(packed, headers=((b"content-encoding", b"gzip"),))
        if path == "/token/form":
            form = {"access_token": ACCESS[0], "expires_in": "28800", "scope": "repo,gist"}
            return Answer(urlencode(form).encode(), FORM)
        if path.startswith("/token/odd/"):
            return list(ODD.values())[int(path.rpartition("/")[2])]
        if path.startswith("/token"):
            return self._grant(parse_qs(request.body.decode()))
        return mirrored(request)

    def _grant(self, form: dict[str, list[str]]) -> Answer:
        """Each refresh token is good for one more pair; a code is for the first."""
        if form["grant_type"] == ["short"]:
            return Answer.json({"access_token": ACCESS[0], "expires_in": 1})
        known = {"authorization_code": 0, "refresh_token": 1}
        step = known[form["grant_type"][0]]
        if step and form["refresh_token"] != [REFRESH[0]]:
            return Answer.json({"error": "invalid_grant"}, status=400)
        answer = {"access_token": ACCESS[step], "refresh_token": REFRESH[step], "expires_in": 3600}
        more = {"id_token": IDENTITY, "scope": "a b", "raw": ACCESS[step]}
        return Answer.json(answer | more, (b"content-md5", b"AAAA"))


class Api(Upstream):
    """Gives back what came."""

    def _answer(self, request: Received) -> Answer:
        return mirrored(request)


def mirrored(request: Received) -> Answer:
    told = [[n.decode(), v.decode("latin-1")] for n, v in request.headers]
    return Answer.json({"path": request.path, "headers": told, "body": request.body.decode()})


@dataclass
class Stage:
    """Two front doors that write down all they can, and upstreams that mint, take and mirror."""

    world: World
    doors: dict[Mode, FrontDoor]
    tokens: TokenServer
    api: Api
    other: Api
    shown: list[bytes] = field(default_factory=list)

    def client(self, mode: Mode, agent: str = TRUSTED, **more: Any) -> httpx.Client:
        """A client of an agent through the proxy; an empty name gives no proof."""
        door = self.doors[mode]
        proxy = door.proxy(agent, self.world.keys[agent]) if agent else door.proxy()
        return self._client(door, proxy=proxy, **more)

    def _client(self, door: FrontDoor, **more: Any) -> httpx.Client:
        trust = ssl.create_default_context(cafile=door.ca)
        return httpx.Client(verify=trust, trust_env=False, timeout=20, **more)

    def base(self, mode: Mode, agent: str = TRUSTED) -> httpx.Client:
        """A client of base URLs, whose own key has a slot that no token of it needs."""
        key = {"x-api-key": self.world.keys[agent]}
        return self._client(self.doors[mode], headers=key)

    def url(self, mode: Mode, index: int) -> str:
        return f"https://127.0.0.1:{self.doors[mode].ports[1 + index]}"

    def sent(self, answer: httpx.Response, status: int = 200) -> Any:
        """The body of an answer, which is kept for the search at the end."""
        self.shown.append(str(answer.headers).encode() + answer.content)
        assert answer.status_code == status, answer.text
        return answer.json()

    def login(self, mode: Mode, agent: str = TRUSTED) -> dict[str, str]:
        """What an agent gets for its code."""
        with self.client(mode, agent) as client:
            form = {"grant_type": "authorization_code", "code": "c"}
            return dict(self.sent(client.post(f"{self.tokens.url}/token", data=form)))

    def clear(self) -> None:
        for upstream in (self.tokens, self.api, self.other):
            upstream.clear()


@pytest.fixture(scope="module")
def _stage(_world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("minted")
    (folder / "policies").mkdir()
    (folder / "policies" / "test.cedar").write_text(POLICIES + DEFAULT_POLICIES.read_text())
    with ExitStack() as stack:
        made = (TokenServer, Api, Api)
        tokens, api, other = (stack.enter_context(kind(_world.certificates)) for kind in made)
        declare(_world, tokens, api)
        doors = {}
        for mode in Mode:
            words = ("-w", str(folder / mode), "-v", "--set", "flow_detail=4")
            words += ("--set", "termlog_verbosity=debug")
            words += ("--set", f"interlock_policies={folder / 'policies'}")
            door = _world.door(mode, *words, reverse=(tokens.url, api.url))
            doors[mode] = stack.enter_context(door)
        stage = Stage(_world, doors, tokens, api, other)
        yield stage
        search(stage, folder)


def declare(world: World, tokens: Upstream, api: Upstream) -> None:
    """Declare both routes, and bind the client's secret to the token endpoint alone."""
    hosts = (Authority("localhost", api.port),)
    at = Authority("localhost", tokens.port)
    routes = [
        Route("oauth", at, "/token", hosts=hosts),
        Route("github", at, "/app/installations/*/access_tokens", fields=("token",), hosts=hosts),
    ]
    client = Binding("client", at, "basic", paths=frozenset({"/token/confidential"}))

    def work(i: Any) -> None:
        for route in routes:
            i.minting.add(route)
        i.set_secret("client", Secret(CLIENT), [client])

    world.change(work)


def search(stage: Stage, folder: Path) -> None:
    """Whatever was handed out and used: no place shows any part of a token."""
    time.sleep(0.5)
    home = stage.world.home
    places = {"agent": b"".join(stage.shown)}
    places |= {"database": b"".join(p.read_bytes() for p in home.glob("interlock.db*"))}
    for mode, door in stage.doors.items():
        places |= {f"flows {mode}": (folder / mode).read_bytes(), f"log {mode}": door.log.encode()}
        assert b"ilm_" in places[f"flows {mode}"]
    found = [
        (place, hidden)
        for place, content in places.items()
        for hidden in HIDDEN
        if any(form in content for form in forms_of(hidden.encode()))
    ]
    assert found == []


@pytest.fixture
def stage(_stage: Stage) -> Stage:
    _stage.clear()
    return _stage


def authorization(received: Received) -> str:
    (value,) = received.values(b"authorization")
    return value.decode()


def test_a_token_endpoint_hands_out_placeholders(stage: Stage, mode: Mode) -> None:
    """Every field that may hold a token does; the rest is as it was, and what repeats is masked."""
    answer = stage.login(mode)
    tokens = [answer.pop(name) for name in ("access_token", "refresh_token", "id_token")]
    assert all(token.startswith("ilm_") and len(token) == 47 for token in tokens)
    assert len(set(tokens)) == 3
    assert answer == {"expires_in": 3600, "scope": "a b", "raw": "*" * len(ACCESS[0])}


def test_the_placeholder_works_in_the_next_call(stage: Stage, mode: Mode) -> None:
    """The upstream sees the token where the placeholder stood; the echo is masked."""
    token = stage.login(mode)["access_token"]
    with stage.client(mode) as client:
        for _ in range(2):
            answer = client.get(f"{stage.api.url}/me", headers={"Authorization": f"Bearer {token}"})
            assert ["authorization", "Bearer " + "*" * len(ACCESS[0])] in stage.sent(answer)[
                "headers"
            ]
    assert [authorization(each) for each in stage.api.received] == [f"Bearer {ACCESS[0]}"] * 2
    (access,) = [
        e
        for e in stage.world.events(answer.headers["interlock-decision-id"])
        if e["kind"] == "secret_access"
    ]
    assert access["body"]["secret"] == "minted/oauth/access_token"
    assert access["body"]["minted"].startswith("mnt_")


def test_a_refresh_request_carries_both_tokens_and_the_client_secret(
    stage: Stage, mode: Mode
) -> None:
    """A placeholder in the form, and a stored secret for the client, each by its own access."""
    token = stage.login(mode)["refresh_token"]
    stage.tokens.clear()
    form = {"grant_type": "refresh_token", "refresh_token": token}
    with stage.client(mode) as client:
        answer = client.post(f"{stage.tokens.url}/token/confidential", data=form)
    new = stage.sent(answer)
    (received,) = stage.tokens.received
    assert parse_qs(received.body.decode())["refresh_token"] == [REFRESH[0]]
    assert authorization(received) == f"Basic {base64.b64encode(CLIENT.encode()).decode()}"
    assert new["access_token"].startswith("ilm_")
    assert new["refresh_token"] not in ("", token)
    events = stage.world.events(answer.headers["interlock-decision-id"])
    named = {e["body"]["secret"] for e in events if e["kind"] == "secret_access"}
    assert named == {"client", "minted/oauth/refresh_token"}
    with stage.client(mode) as client:
        bearer = {"Authorization": f"Bearer {new['access_token']}"}
        stage.sent(client.get(f"{stage.api.url}/me", headers=bearer))
    assert authorization(stage.api.received[0]) == f"Bearer {ACCESS[1]}"


def test_a_coded_answer_is_decoded_first(stage: Stage, mode: Mode) -> None:
    """Although nobody asked for one."""
    with stage.client(mode) as client:
        answer = stage.sent(client.post(f"{stage.tokens.url}/token/gzip"))
    assert answer["access_token"].startswith("ilm_")


def test_an_answer_that_is_a_form(stage: Stage) -> None:
    """As GitHub's OAuth endpoint answers whoever does not ask for JSON."""
    with stage.client(Mode.ENFORCE) as client:
        answer = client.post(f"{stage.tokens.url}/token/form")
        stage.shown.append(str(answer.headers).encode() + answer.content)
        form = {name: value for name, (value,) in parse_qs(answer.text).items()}
        token = form.pop("access_token")
        assert token.startswith("ilm_")
        assert form == {"expires_in": "28800", "scope": "repo,gist"}
        bearer = {"Authorization": f"token {token}"}
        stage.sent(client.get(f"{stage.api.url}/user", headers=bearer))
    assert authorization(stage.api.received[-1]) == f"token {ACCESS[0]}"


def test_base_urls(stage: Stage, mode: Mode) -> None:
    """The same through listeners, where the agent's own key is in a slot of its own."""
    with stage.base(mode) as client:
        answer = client.post(stage.url(mode, 0) + INSTALLATION)
        token = stage.sent(answer, 201)["token"]
        assert token.startswith("ilm_")
        assert answer.headers["x-token"] == "*" * len(GITHUB)
        bearer = {"Authorization": f"token {token}"}
        stage.sent(client.get(stage.url(mode, 1) + "/repos", headers=bearer))
    (received,) = stage.api.received
    assert authorization(received) == f"token {GITHUB}"
    assert not received.values(b"x-api-key")


def test_git_sends_it_as_a_password(stage: Stage, mode: Mode) -> None:
    """Inside Basic the pair is encoded anew."""
    with stage.client(mode) as client:
        token = stage.sent(client.post(stage.tokens.url + INSTALLATION), 201)["token"]
        stage.sent(client.get(f"{stage.api.url}/git", auth=("x-access-token", token)))
    expected = base64.b64encode(f"x-access-token:{GITHUB}".encode()).decode()
    assert authorization(stage.api.received[0]) == f"Basic {expected}"


def refused(stage: Stage, answer: httpx.Response) -> str:
    told = stage.sent(answer, 401)
    reasons = told["interlock"]["reasons"]
    assert [reason["policy_id"] for reason in reasons] == ["minted_unavailable"]
    return str(reasons[0]["description"])


def test_another_agent_gets_nowhere_with_it(stage: Stage, mode: Mode) -> None:
    """Nor does a caller without a name; nobody learns more than that it is not theirs."""
    token = stage.login(mode)["access_token"]
    bearer = {"Authorization": f"Bearer {token}"}
    told = set()
    for agent in (UNVERIFIED, ""):
        with stage.client(mode, agent) as client:
            told.add(refused(stage, client.get(f"{stage.api.url}/me", headers=bearer)))
    unknown = {"Authorization": "Bearer ilm_" + "A" * 43}
    with stage.client(mode) as client:
        told.add(refused(stage, client.get(f"{stage.api.url}/me", headers=unknown)))
    assert len(told) == 1
    assert stage.api.received == []


def test_another_host_never_sees_it(stage: Stage, mode: Mode) -> None:
    """In a header the call does not leave; in a body the placeholder is only a text."""
    token = stage.login(mode)["access_token"]
    with stage.client(mode) as client:
        bearer = {"Authorization": f"Bearer {token}"}
        refused(stage, client.get(f"{stage.other.url}/me", headers=bearer))
        refused(stage, client.get(f"{stage.api.url}/me", headers={"X-Note": token}))
        assert stage.other.received == stage.api.received == []
        stage.sent(client.post(f"{stage.other.url}/chat?q={token}", json={"text": token}))
        stage.sent(client.post(f"{stage.api.url}/gists?q={token}", json={"text": token}))
    for upstream in (stage.other, stage.api):
        (received,) = upstream.received
        assert received.path.endswith(token)
        assert json.loads(received.body) == {"text": token}


def test_policy_is_asked_for_the_token_itself(stage: Stage) -> None:
    """A forbid on its `Secret` denies the use of it, and nothing arrives."""
    token = stage.login(Mode.ENFORCE)["id_token"]
    with stage.client(Mode.ENFORCE) as client:
        bearer = {"Authorization": f"Bearer {token}"}
        told = stage.sent(client.get(f"{stage.api.url}/me", headers=bearer), 403)
    assert told["interlock"]["reasons"][0]["policy_id"] == "no-identity-tokens"
    assert stage.api.received == []


def test_who_cannot_own_a_token_is_handed_none(stage: Stage, mode: Mode) -> None:
    """A caller without proof does not even reach the endpoint."""
    with stage.client(mode, "") as client:
        refused(stage, client.post(stage.tokens.url + INSTALLATION))
    assert stage.tokens.received == []


@pytest.mark.parametrize("path", ["//token", "/%74oken", "/x/../token", "/token;x"])
def test_a_path_that_may_be_the_route_does_not_leave(stage: Stage, mode: Mode, path: str) -> None:
    """A server might hand out a token there, which we would not look for."""
    answer = tunnelled(stage.world, mode, f"localhost:{stage.tokens.port}", path=path)
    assert b" 401 " in answer.split(b"\r\n")[0]
    assert b"minted_unavailable" in answer
    assert stage.tokens.received == []


@pytest.mark.parametrize("index", range(len(ODD)), ids=ODD)
def test_an_answer_that_cannot_be_read_is_refused(stage: Stage, mode: Mode, index: int) -> None:
    """502 in our words; the token in it reaches nobody, and the connection stays usable."""
    with stage.client(mode) as client:
        told = stage.sent(client.post(f"{stage.tokens.url}/token/odd/{index}"), 502)
        assert "the answer may hand out a token, and" in str(told)
    assert len(stage.tokens.received) == 1


def test_an_expired_token_is_refused_and_forgotten(stage: Stage) -> None:
    """401, at which clients refresh; the next that is minted clears it away."""
    with stage.client(Mode.ENFORCE) as client:
        answer = client.post(f"{stage.tokens.url}/token", data={"grant_type": "short"})
        token = stage.sent(answer)["access_token"]
        before = stage.world.count("minted")
        time.sleep(1.1)
        bearer = {"Authorization": f"Bearer {token}"}
        refused(stage, client.get(f"{stage.api.url}/me", headers=bearer))
        stage.sent(client.post(stage.tokens.url + INSTALLATION), 201)
    assert stage.world.count("minted") <= before
    assert stage.api.received == []
