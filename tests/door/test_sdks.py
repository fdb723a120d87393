"""The providers' own Python SDKs, unmodified, on both ways to the front door."""

import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from interlock.model import Mode
from tests.door.world import (
    ANTHROPIC_KEY,
    CHAT,
    MESSAGE,
    OPENAI_KEY,
    SECRETS,
    TRUSTED,
    UNVERIFIED,
    WRONG_KEY,
    World,
)

SAID = "You said 5 characters."
PROXY, BASE_URL = "proxy", "base URL"
PLACEHOLDER = "sk-none-of-your-business"  # what the SDK insists on where the proxy knows the agent


@dataclass(frozen=True, slots=True)
class Sdk:
    """One SDK: its module, and where the two differ."""

    module: Any
    secret: str
    request: Mapping[str, Any]
    root: str
    create: Callable[[Any], Callable[..., Any]]
    text: Callable[[Any], str]
    piece: Callable[[Any], str]

    @property
    def name(self) -> str:
        return str(self.module.__name__)

    def client(self, prefix: str = "", **options: Any) -> Any:
        """`OpenAI(...)`, `AsyncAnthropic(...)`, by prefix."""
        return getattr(self.module, prefix + {"openai": "OpenAI"}.get(self.name, "Anthropic"))(
            **options
        )

    def http(self, prefix: str = "", **options: Any) -> Any:
        """The SDK's own HTTP client, which is what its documentation says to configure."""
        return getattr(self.module, f"Default{prefix}HttpxClient")(trust_env=False, **options)


OPENAI = Sdk(
    module=openai,
    secret=OPENAI_KEY,
    request=CHAT,
    root="/v1",
    create=lambda client: client.chat.completions.create,
    text=lambda answer: answer.choices[0].message.content,
    piece=lambda chunk: chunk.choices[0].delta.content or "",
)
ANTHROPIC = Sdk(
    module=anthropic,
    secret=ANTHROPIC_KEY,
    request=MESSAGE | {"model": "claude-demo"},  # the SDK warns about models that will be retired
    root="",
    create=lambda client: client.messages.create,
    text=lambda answer: answer.content[0].text,
    piece=lambda event: event.delta.text if event.type == "content_block_delta" else "",
)


@pytest.fixture(params=[OPENAI, ANTHROPIC], ids=lambda sdk: sdk.name)
def sdk(request: pytest.FixtureRequest) -> Sdk:
    """Both SDKs."""
    found: Sdk = request.param
    return found


@pytest.fixture(params=[PROXY, BASE_URL])
def style(request: pytest.FixtureRequest) -> str:
    """Both ways to connect an agent."""
    found: str = request.param
    return found


@dataclass(frozen=True, slots=True)
class Agent:
    """An agent's configuration: everything that its author would write."""

    world: World
    sdk: Sdk
    style: str
    mode: Mode

    def options(self, prefix: str = "", name: str = TRUSTED, key: str = "") -> dict[str, Any]:
        """The arguments of the SDK's client."""
        key = key or self.world.keys[name]
        trust = self.world.trust(self.mode)
        if self.style == BASE_URL:
            http = self.sdk.http(prefix, verify=trust)
            return {"base_url": self.base_url, "api_key": key, "http_client": http}
        proxy = self.world.doors[self.mode].proxy(name, key)
        http = self.sdk.http(prefix, proxy=proxy, verify=trust)
        return {"base_url": self.base_url, "api_key": PLACEHOLDER, "http_client": http}

    @property
    def base_url(self) -> str:
        """The provider itself behind a proxy, our listener without one."""
        direct: str = getattr(self.world, self.sdk.name)
        here = direct if self.style == PROXY else self.world.base(self.mode, self.sdk.name)
        return here + self.sdk.root

    def client(self, name: str = TRUSTED, key: str = "", **more: Any) -> Any:
        return self.sdk.client(**self.options("", name, key), **more)

    def async_client(self, name: str = TRUSTED, key: str = "", **more: Any) -> Any:
        return self.sdk.client("Async", **self.options("Async", name, key), **more)

    def environ(self) -> dict[str, str]:
        """The same as environment variables alone, which every SDK reads by itself."""
        prefix = self.sdk.name.upper()
        own = {f"{prefix}_BASE_URL": self.base_url, f"{prefix}_API_KEY": PLACEHOLDER}
        environ = self.world.environ(self.mode, **own)
        if self.style == BASE_URL:
            del environ["HTTPS_PROXY"]
            environ[f"{prefix}_API_KEY"] = self.world.keys[TRUSTED]
        return environ

    def assert_injected(self, shown: str) -> None:
        """The upstream got the real key once and nothing of ours; the agent got none of it."""
        received = self.world.carried(self.sdk.secret)
        slot = b"authorization" if self.sdk is OPENAI else b"x-api-key"
        (value,) = received.values(slot)
        assert value.removeprefix(b"Bearer ") == self.sdk.secret.encode()
        assert PLACEHOLDER not in str(received.headers)
        assert not [secret for secret in SECRETS if secret in shown]

    def assert_refused(self, error: Exception) -> None:
        """The message names the decision and the policy's reason; nobody was called."""
        found = re.search(r"dec_[0-9a-f]+", str(error))
        assert found, f"no decision id in {error}"
        body = self.world.events(found[0])[0]["body"]
        assert body["label"] == "deny"
        assert body["reasons"]
        for policy_id, description in body["reasons"]:
            assert policy_id in str(error)
            assert description in str(error)
        assert self.world.received() == []


@pytest.fixture
def agent(world: World, sdk: Sdk, style: str, mode: Mode) -> Agent:
    """One configured agent: 2 SDKs, 2 styles, 2 modes."""
    return Agent(world, sdk, style, mode)


@pytest.fixture
def enforced(world: World, sdk: Sdk, style: str) -> Agent:
    """The same where denials bind."""
    return Agent(world, sdk, style, Mode.ENFORCE)


def test_a_plain_call_works(agent: Agent) -> None:
    """The SDK parses the answer as if nobody stood between."""
    with agent.client() as client:
        answer = agent.sdk.create(client)(**agent.sdk.request)
    assert agent.sdk.text(answer) == SAID
    agent.assert_injected(answer.model_dump_json())


def test_a_stream_works(agent: Agent) -> None:
    """Every event arrives, in order."""
    with agent.client() as client:
        stream = agent.sdk.create(client)(**agent.sdk.request, stream=True)
        label = stream.response.headers["interlock-decision"]
        events = list(stream)
    assert label == "allow"
    assert "".join(map(agent.sdk.piece, events)) == SAID
    agent.assert_injected("".join(event.model_dump_json() for event in events))


async def test_an_async_call_works(agent: Agent) -> None:
    """The asynchronous client is another HTTP stack; the law is the same."""
    async with agent.async_client() as client:
        answer = await agent.sdk.create(client)(**agent.sdk.request)
    assert agent.sdk.text(answer) == SAID
    agent.assert_injected(answer.model_dump_json())


async def test_an_async_stream_works(agent: Agent) -> None:
    """Every event arrives, in order, asynchronously too."""
    async with agent.async_client() as client:
        stream = await agent.sdk.create(client)(**agent.sdk.request, stream=True)
        events = [event async for event in stream]
    assert "".join(map(agent.sdk.piece, events)) == SAID
    agent.assert_injected("".join(event.model_dump_json() for event in events))


def test_the_sdk_never_sees_the_key_that_an_upstream_echoes(
    world: World, sdk: Sdk, style: str
) -> None:
    """What comes back in body and headers through the SDK is masked."""
    agent = Agent(world, sdk, style, Mode.OBSERVE)
    root = agent.base_url.removesuffix("/v1")
    with agent.client() as client:
        answer = client.get(f"{root}/echo", cast_to=httpx2.Response)
    shown = str(answer.headers) + answer.text
    assert shown.count("*" * len(sdk.secret)) >= 2
    agent.assert_injected(shown)


def test_several_calls_of_one_client_each_get_the_key(agent: Agent) -> None:
    """A kept-alive connection neither loses nor doubles the credential."""
    with agent.client() as client:
        for _ in range(3):
            agent.world.upstream.clear()
            agent.assert_injected(agent.sdk.create(client)(**agent.sdk.request).model_dump_json())


def test_environment_variables_alone_are_enough(enforced: Agent) -> None:
    """A real user's agent: a process of its own that knows two or three variables."""
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPTS[enforced.sdk.name]],
        env=enforced.environ(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == SAID
    enforced.assert_injected(done.stdout + done.stderr)


_SCRIPTS = {
    "openai": """
import openai
messages = [{"role": "user", "content": "hello"}]
ask = {"model": "gpt-4o", "messages": messages}
for chunk in openai.OpenAI().chat.completions.create(**ask, stream=True):
    print(chunk.choices[0].delta.content or "", end="")
""",
    "anthropic": """
import anthropic
messages = [{"role": "user", "content": "hello"}]
ask = {"model": "claude-demo", "max_tokens": 64, "messages": messages}
with anthropic.Anthropic().messages.stream(**ask) as stream:
    for text in stream.text_stream:
        print(text, end="")
""",
}


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
def test_a_denied_call_raises_permission_denied(enforced: Agent, streamed: bool) -> None:
    """The SDK's own error carries the decision id and the reason; the upstream got nothing."""
    with (
        enforced.client(UNVERIFIED) as client,
        pytest.raises(enforced.sdk.module.PermissionDeniedError) as caught,
    ):
        enforced.sdk.create(client)(**enforced.sdk.request, stream=streamed)
    enforced.assert_refused(caught.value)


async def test_a_denied_async_call_raises_permission_denied(enforced: Agent) -> None:
    """The asynchronous client raises the same."""
    async with enforced.async_client(UNVERIFIED) as client:
        with pytest.raises(enforced.sdk.module.PermissionDeniedError) as caught:
            await enforced.sdk.create(client)(**enforced.sdk.request)
    enforced.assert_refused(caught.value)


def test_a_wrong_key_at_a_base_url_raises_authentication_error(
    world: World, sdk: Sdk, mode: Mode
) -> None:
    """401 in the provider's shape, in both modes; the upstream received nothing."""
    agent = Agent(world, sdk, BASE_URL, mode)
    with (
        agent.client(key=WRONG_KEY) as client,
        pytest.raises(sdk.module.AuthenticationError, match="Interlock"),
    ):
        sdk.create(client)(**sdk.request)
    assert world.received() == []


def test_a_wrong_key_at_the_proxy_is_a_407(world: World, sdk: Sdk, mode: Mode) -> None:
    """The tunnel is refused, in both modes, before anything is dialled."""
    agent = Agent(world, sdk, PROXY, mode)
    with (
        agent.client(key=WRONG_KEY, max_retries=0) as client,
        pytest.raises(sdk.module.APIConnectionError) as caught,
    ):
        sdk.create(client)(**sdk.request)
    assert "407" in str(caught.value.__cause__)
    assert world.received() == []


def test_a_key_of_somebody_else_at_a_base_url_is_refused(world: World, sdk: Sdk) -> None:
    """In enforce mode a provider's key is no proof: 401, and it is not passed on either."""
    agent = Agent(world, sdk, BASE_URL, Mode.ENFORCE)
    with (
        agent.client(key=PLACEHOLDER) as client,
        pytest.raises(sdk.module.AuthenticationError, match="dec_"),
    ):
        sdk.create(client)(**sdk.request)
    assert world.received() == []
