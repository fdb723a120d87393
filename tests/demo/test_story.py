"""The story, and the line that says where a result departs from it."""

from dataclasses import replace

import pytest

from interlock.demo.story import STORY, Scene, difference
from interlock.model import Mode

SCENE = STORY[0]


@pytest.mark.parametrize("scene", STORY, ids=lambda scene: f"{scene.agent} {scene.resource}")
@pytest.mark.parametrize("mode", list(Mode))
def test_no_agent_is_ever_expected_to_see_a_key(scene: Scene, mode: Mode) -> None:
    """What the upstream sends back is masked, and what never left is never seen."""
    ending = scene.expected(mode).ending
    assert not ending.agent_saw_secret
    assert ending.masked == ending.upstream_saw_secret


def test_what_is_refused_arrives_nowhere() -> None:
    """A denial in enforce mode is one that the upstream never hears of."""
    denied = [scene.enforce for scene in STORY if scene.enforce.decision == "deny"]
    assert denied
    assert {(e.status, e.arrived, e.outcomes, e.upstream_saw_secret) for e in denied} == {
        (403, 0, 0, False)
    }


def test_the_decision_id_makes_no_difference() -> None:
    """Every run has its own ids."""
    expected = SCENE.expected(Mode.ENFORCE)
    assert difference(expected, replace(expected, decision_id="dec_1")) == ""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param({"status": 403}, "status is 403 instead of 200", id="another status"),
        pytest.param({"arrived": 2}, "arrived is 2 instead of 1", id="sent twice"),
        pytest.param({"outcomes": 0}, "outcomes is 0 instead of 1", id="no outcome in the ledger"),
        pytest.param({"agent_saw_secret": True}, "agent_saw_secret is True", id="a leak"),
    ],
)
def test_a_departure_is_named(change: dict[str, int], words: str) -> None:
    """One line names the call, what came and what should have come."""
    expected = SCENE.expected(Mode.ENFORCE)
    departed = replace(expected, ending=replace(expected.ending, **change))
    line = difference(expected, departed)
    assert line.startswith('enforce, research-agent, chat Model::"gpt-4o": ')
    assert words in line
