"""Secrets of an installation, sealed or kept elsewhere."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from broker import Secret, SecretUnavailableError
from broker.stores import parse_reference
from interlock.installation import Installation
from interlock.model import Authority, Binding
from interlock.settings import Settings

AT = Authority("api.example", 443)
OTHER = Authority("other.example", 443)
OLD, NEW = "value-of-yesterday", "value-of-today-0123"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Installation]:
    with Installation(Settings.load(home=tmp_path / "home", secret_cache=0)) as installation:
        yield installation


def bindings(recipe: str = "bearer") -> list[Binding]:
    return [Binding("key", AT, recipe), Binding("key", OTHER, recipe)]


def shown(home: Installation, at: Authority) -> bytes:
    scrubber = home.mask_at(at).scrubber()
    return scrubber.feed(f"{OLD}|{NEW}".encode()) + scrubber.flush()


async def test_a_sealed_value_that_was_used_stays_masked_after_its_rotation(
    home: Installation,
) -> None:
    """Wherever it was bound; and the new one is masked before anyone uses it."""
    home.set_secret("key", Secret(OLD), bindings())
    await home.fetch(bindings()[0])
    home.rotate_secret("key", Secret(NEW))
    for at in (AT, OTHER):
        assert OLD.encode() not in shown(home, at)
        assert NEW.encode() not in shown(home, at)
    home.remove_secret("key")
    assert OLD.encode() not in shown(home, AT)


async def test_a_fetched_value_that_its_recipe_cannot_carry_is_unavailable(
    home: Installation,
) -> None:
    """It is found out before a token exists, not at the wire."""
    home.set_secret("key", parse_reference("command:echo nothing-to-split"), bindings("basic"))
    with pytest.raises(SecretUnavailableError, match="user:password"):
        await home.fetch(bindings("basic")[0])


async def test_a_value_that_always_changes_is_refused_in_the_end(home: Installation) -> None:
    """Answers can be scrubbed of so many values, and what cannot be scrubbed is not used."""
    for number in range(64):
        home.set_secret("key", Secret(f"value-number-{number}"), bindings())
        await home.fetch(bindings()[0])
    home.set_secret("key", Secret("one-too-many"), bindings())
    with pytest.raises(SecretUnavailableError, match="64 values"):
        await home.fetch(bindings()[0])


def test_a_rotation_that_comes_too_late_changes_nothing(home: Installation) -> None:
    """A value does not replace a reference, nor the other way round."""
    home.set_secret("key", parse_reference("env:X"), bindings())
    with pytest.raises(SecretUnavailableError, match="try again"):
        home.rotate_secret("key", Secret(NEW))
    assert home.origin("key") == "env:X"
    home.set_secret("key", Secret(OLD), bindings())
    with pytest.raises(SecretUnavailableError, match="try again"):
        home.rotate_secret("key")
    assert home.secret("key") == Secret(OLD)
