"""The stage: what it counts as a leaked key, and what it keeps out."""

import base64
import os
from collections.abc import Iterator

import pytest

from interlock.demo.stage import AGENTS, KEY_PREFIXES, Stage, set_up, undisturbed
from interlock.settings import Settings


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with set_up() as stage:
        yield stage


def test_has_agents_and_secrets(stage: Stage) -> None:
    """All that the story needs is registered; the unregistered agent is not."""
    with stage.installation() as installation:
        assert [agent.name for agent in installation.registry.all()] == sorted(AGENTS)
        assert sorted(installation.secrets()) == ["anthropic-api-key", "openai-api-key"]


@pytest.mark.parametrize("provider", KEY_PREFIXES)
def test_finds_a_key_in_any_spelling(stage: Stage, provider: str) -> None:
    """Encoding a key does not hide it."""
    key = stage.provider_keys[provider].encode()
    assert stage.holds_secret(b"<" + key + b">")
    assert stage.holds_secret(base64.b64encode(b"x" + key))
    assert not stage.holds_secret(key[:-1])


def test_a_mask_is_as_long_as_the_key(stage: Stage) -> None:
    """A few asterisks are no mask."""
    size = len(stage.provider_keys["openai"])
    assert stage.holds_mask(b"Bearer " + b"*" * size, "openai")
    assert not stage.holds_mask(b"*" * (size - 1), "openai")


def test_shows_no_key(stage: Stage) -> None:
    """A traceback that prints the stage prints no key."""
    keys = [*stage.provider_keys.values(), *stage.agent_keys.values()]
    assert not any(key in repr(stage) for key in keys)


def test_clears_itself_away() -> None:
    """Nothing is left, whatever happened on it."""
    with pytest.raises(KeyboardInterrupt), set_up() as stage:
        raise KeyboardInterrupt
    assert not stage.folder.exists()


@pytest.mark.parametrize("name", ["INTERLOCK_MODE", "interlock_mode", "https_proxy", "NO_PROXY"])
def test_the_users_environment_waits_outside(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A variable that would change the demo is away, and back afterwards."""
    monkeypatch.setenv(name, "rubbish")
    with undisturbed():
        assert name not in os.environ
        Settings.load()
    assert os.environ[name] == "rubbish"
