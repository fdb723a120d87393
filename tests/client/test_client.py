"""The Python client against the real API, and its headers on real clients' requests."""

import asyncio
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
from nacl.signing import SigningKey

from broker.keyfile import load_key
from interlock import Client, declare, declared
from interlock.client import ApiError, ClientError, UnreachableError
from interlock.delegation import AttenuationError, Scope, grant
from interlock.model import Entity
from interlock.store.goals import Goal
from tests.api.service import Service

PAGE = Path(__file__).parents[2] / "docs" / "client.md"
TOOL = 'Tool::"search"'
POLICY = (
    '@id("tools") permit (principal is Agent, action == Action::"call_tool", resource is Tool);'
)
SCOPE = Scope(("*",), ("*",), ("*",), ("*",), 0.0, 4_000_000_000.0, depth=3)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("served")
    (folder / "policies").mkdir()
    (folder / "policies" / "tools.cedar").write_text(POLICY)
    with Service(folder / "home", {"policies": folder / "policies"}) as service:
        yield service


@pytest.fixture
def client(served: Service) -> Iterator[Client]:
    with Client(served.url, served.keys["one"]) as client:
        yield client


@pytest.mark.parametrize(
    ("url", "key", "said"),
    [
        pytest.param("http://registry.example:9080", "ilk_x", "use https", id="in the clear"),
        pytest.param("registry.example:9080", "ilk_x", "is not like https", id="without a scheme"),
        pytest.param("https://u:p@registry.example", "ilk_x", "without user", id="with a user"),
        pytest.param("http://[::1", "ilk_x", "URL of the API", id="half an address"),
        pytest.param("", "ilk_x\r\nX-Y: z", "what no key holds", id="a key of two lines"),
        pytest.param("", "schl\u00fcssel", "what no key holds", id="a key that is none"),
        pytest.param("", "", "INTERLOCK_AGENT_KEY", id="no key"),
    ],
)
def test_a_key_goes_nowhere_that_it_could_be_read(
    monkeypatch: pytest.MonkeyPatch, url: str, key: str, said: str
) -> None:
    """One line, before anything is sent, and without the key; to this machine it may be plain."""
    monkeypatch.delenv("INTERLOCK_AGENT_KEY", raising=False)
    monkeypatch.delenv("INTERLOCK_API_URL", raising=False)
    with pytest.raises(ClientError, match=said) as e:
        Client(url, key)
    assert not key or key not in str(e.value)
    with Client("http://registry.example:9080", "ilk_x", unsafe_plain_http=True) as told:
        assert told.url == "http://registry.example:9080"


def test_an_agent_is_registered_and_lives(served: Service) -> None:
    """A few lines; the lease is renewed in the background."""
    token, name = served.keys["scanner"], f"bot-{time.monotonic_ns()}"
    with Client.register(name, token=token, url=served.url, agent_type="autonomous") as bot:
        registry = served.records.registry
        assert registry.prove(bot.key, time.time()).name == name == bot.name
        registry.heartbeats({name: 0.0})
        before = registry.lease(name)
        with bot.heartbeat(0.05):
            deadline = time.monotonic() + 20
            while registry.lease(name) == before:
                assert time.monotonic() < deadline
                time.sleep(0.02)


def test_asking_answers_alike_in_both_ways(client: Client) -> None:
    """Sync and async, with policy and reason."""
    for answer in (
        client.authorize("call_tool", TOOL),
        asyncio.run(client.authorize_async("call_tool", TOOL)),
    ):
        assert answer.allowed
        assert answer.reasons == (("tools", ""),)
        assert not answer.enforced
    assert not client.authorize("chat", 'Model::"m"').allowed


def test_what_is_declared_goes_along(client: Client, served: Service) -> None:
    """A goal that nobody set denies; an inner block changes what it names."""
    served.records.goals.add(Goal(f"g-{time.monotonic_ns()}"))
    goal = served.records.goals.all()[-1].id
    with declare(goal="nothing"):
        assert client.authorize("call_tool", TOOL).reasons[0][0] == "goal-not-active"
        with declare(goal=goal):
            assert client.authorize("call_tool", TOOL).allowed
        assert not client.authorize("call_tool", TOOL).allowed


def test_nothing_that_fails_is_taken_for_yes(served: Service) -> None:
    """No API, a wrong key, something else that answers: each raises."""
    with Client("http://127.0.0.1:1", "ilk_x") as nowhere, pytest.raises(UnreachableError):
        nowhere.authorize("call_tool", TOOL, principal='Agent::"one"')
    with Client(served.url, "ilk_" + "0" * 43) as wrong, pytest.raises(ApiError) as refused:
        wrong.authorize("call_tool", TOOL)
    assert (refused.value.status, refused.value.code) == (401, "unauthenticated")
    with Client(served.url, served.keys["one"]) as one, pytest.raises(ApiError, match="itself"):
        one.authorize("call_tool", TOOL, principal='Agent::"two"')


def test_a_client_without_a_key_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what to set, and shows no key of its own."""
    monkeypatch.delenv("INTERLOCK_AGENT_KEY", raising=False)
    with pytest.raises(ClientError, match="INTERLOCK_AGENT_KEY"):
        Client()
    monkeypatch.setenv("INTERLOCK_AGENT_KEY", "ilk_secret")
    with Client() as client:
        assert "ilk_secret" not in repr(client)


def test_the_reason_is_on_the_requests_of_httpx_and_requests(served: Service) -> None:
    """Inside the block, and nowhere else; the request is otherwise as it was."""
    seen: list[dict[str, str]] = []

    def note(message: Any, *_: Any, **__: Any) -> None:
        headers = getattr(message, "request", message).headers
        seen.append({k.lower(): v for k, v in headers.items() if k.lower().startswith("inter")})

    with (
        httpx.Client(auth=declared, trust_env=False, timeout=20) as sync,
        requests.Session() as session,
    ):
        session.auth, session.trust_env = declared, False
        for _ in range(2):
            with declare(intent="sum up"), declare(goal="g1"):
                note(sync.get(f"{served.url}/health"))
                note(session.get(f"{served.url}/health"))
        note(sync.get(f"{served.url}/health"))
        note(session.get(f"{served.url}/health"))
    both = {"interlock-intent": "sum up", "interlock-goal": "g1"}
    assert seen == [both] * 4 + [{}] * 2


def test_tasks_do_not_see_each_others_reason(served: Service) -> None:
    """Each block holds for its own task."""

    async def one(intent: str) -> str:
        async with httpx.AsyncClient(auth=declared, trust_env=False, timeout=20) as http:
            with declare(intent=intent):
                await asyncio.sleep(0.01)
                answer = await http.get(f"{served.url}/health")
        return answer.request.headers["interlock-intent"]

    async def many() -> list[str]:
        return await asyncio.gather(*(one(f"i{n}") for n in range(8)))

    assert asyncio.run(many()) == [f"i{n}" for n in range(8)]


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "caf\xe9", "a\x00"])
def test_a_reason_is_one_line_of_ascii(value: str) -> None:
    """No header can be smuggled in by an intent."""
    with pytest.raises(ValueError, match="intent: "), declare(intent=value):
        pass


def test_a_part_of_a_delegation_is_handed_on(served: Service, tmp_path: Path) -> None:
    """Offline, never more than there is."""
    key, own = SigningKey.generate(), tmp_path / "one.key"
    registry, delegations = served.records.registry, served.records.delegations
    delegations.add_key(Entity("User", "ada"), key.verify_key)
    delegations.add_key(Entity("Agent", "one"), SigningKey(load_key(own)).verify_key)
    chain = grant(key, Entity("User", "ada"), Entity("Agent", "one"), SCOPE, 1.0)
    part = Client.attenuate(chain, own, "two", actions=["execute/call_tool"], expires_s=60)
    assert registry.get("two")
    found = served.records.verify_delegation("two", part, time.time())
    assert found.scope.actions == ("execute/call_tool",)
    with Client(served.url, served.keys["two"]) as two, declare(delegation=part):
        assert two.authorize("call_tool", TOOL).allowed
        assert two.authorize("chat", 'Model::"m"').reasons[0][0] == "delegation-too-narrow"
    with pytest.raises(AttenuationError):
        Client.attenuate(chain, own, "two", actions=["*"])
    with pytest.raises(ClientError, match="does not exist"):
        Client.attenuate(chain, tmp_path / "no.key", "two", actions=["chat"])


def test_the_example_of_the_page_runs(served: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is printed."""
    monkeypatch.setenv("INTERLOCK_API_URL", served.url)
    monkeypatch.setenv("INTERLOCK_AGENT_KEY", served.keys["one"])
    if served.records.goals.get("q3-report") is None:
        served.records.goals.add(Goal("q3-report"))
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    told: dict[str, Any] = {}
    exec(example, told)  # noqa: S102 - our own page
    told["search"].close()
    told["client"].close()
    assert told["answer"].allowed
