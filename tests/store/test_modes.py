"""The strictest mode that fits a call holds."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from interlock.installation import Installation
from interlock.model import Agent, Mode
from interlock.settings import Settings
from interlock.store.modes import ModeRule

AGENT = Agent("one", groups=("team",))


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    with Installation(Settings.load(home=tmp_path / "home")) as installation:
        yield installation


@pytest.mark.parametrize(
    ("everywhere", "rule", "holds"),
    [
        pytest.param(Mode.OBSERVE, None, Mode.OBSERVE, id="nothing set"),
        pytest.param(Mode.OBSERVE, ("agent", "one", Mode.ENFORCE), Mode.ENFORCE, id="this agent"),
        pytest.param(Mode.OBSERVE, ("agent", "two", Mode.ENFORCE), Mode.OBSERVE, id="another"),
        pytest.param(Mode.OBSERVE, ("group", "team", Mode.ENFORCE), Mode.ENFORCE, id="its group"),
        pytest.param(
            Mode.OBSERVE, ("service", "openai", Mode.ENFORCE), Mode.ENFORCE, id="this service"
        ),
        pytest.param(
            Mode.ENFORCE, ("agent", "one", Mode.OBSERVE), Mode.ENFORCE, id="never more lenient"
        ),
    ],
)
def test_the_stricter_mode_wins(
    installation: Installation,
    everywhere: Mode,
    rule: tuple[str, str, Mode] | None,
    holds: Mode,
) -> None:
    """A rule can make a call stricter than the global mode, never more lenient."""
    if rule:
        installation.modes.set(ModeRule(*rule, reason="trial"))
    assert installation.modes.of(everywhere, AGENT, "openai") is holds


def test_every_change_is_an_event_with_its_reason(installation: Installation) -> None:
    """Before and after stand in the ledger."""
    installation.modes.set(ModeRule("agent", "one", Mode.ENFORCE, "trial"))
    installation.modes.set(ModeRule("agent", "one", Mode.OBSERVE, "too strict"))
    assert installation.modes.clear("agent", "one", "done")
    assert not installation.modes.clear("agent", "one")
    bodies = [event["body"] for event in installation.ledger.tail(5)]
    assert [(b["before"], b["after"], b["reason"]) for b in bodies] == [
        (None, "enforce", "trial"),
        ("enforce", "observe", "too strict"),
        ("observe", None, "done"),
    ]
