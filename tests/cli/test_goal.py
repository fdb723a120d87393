"""`interlock goal`."""

import time

import pytest

from tests.cli.terminal import Terminal

LIMITS = ("--max-actions", "100", "--max-tokens", "5000", "--max-cost-usd", "2.5")


def test_add_as_json(lived_in: Terminal) -> None:
    """A program gets the whole goal, and the ledger has it."""
    who = ("--title", "sum up", "--owner", "ada", "--agent", "research-agent")
    what = ("--action", "chat", "--action", "embed", "--expires", "8h")
    added = lived_in.does("goal", "add", "g1", *who, *what, *LIMITS, "--json").object
    assert added.pop("expires_at") == pytest.approx(time.time() + 8 * 3600, abs=60)
    assert added == {
        "id": "g1",
        "title": "sum up",
        "owner": "ada",
        "agents": ["research-agent"],
        "actions": ["chat", "embed"],
        "status": "Active",
        "starts_at": None,
        "max_actions": 100,
        "max_tokens": 5000,
        "max_cost_usd": 2.5,
        "used_actions": 0,
        "used_tokens": 0,
        "used_cost_usd": 0.0,
    }
    recorded = lived_in.does("audit", "tail", "-n", "1", "--json").object["body"]
    assert (recorded["action"], recorded["after"]["max_actions"]) == ("goal.add", 100)


def test_a_goal_is_the_first_thing_one_may_set(terminal: Terminal) -> None:
    """Without a home one is made; what the list shows is how each goal stands now."""
    terminal.does("goal", "add", "later", "--starts", "10m", "--expires", "8h")
    terminal.does("goal", "add", "idea", "--draft")
    listed = terminal.does("goal", "list", "--json").objects
    assert [(goal["id"], goal["status"]) for goal in listed] == [
        ("idea", "Draft"),
        ("later", "NotYet"),
    ]
    lines = terminal.does("goal", "list").out.splitlines()
    assert lines[0].split()[:4] == ["ID", "STATUS", "ACTIONS", "TOKENS"]
    assert lines[1].split()[:2] == ["idea", "Draft"]


def test_a_goal_goes_its_way(lived_in: Terminal) -> None:
    """Each step says how the goal stands; the last one is final."""
    lived_in.does("goal", "add", "g1", "--draft", "--max-actions", "1")
    for verb, status in (("activate", "Active"), ("pause", "Paused"), ("complete", "Completed")):
        moved = lived_in.does("goal", verb, "g1", "--reason", "because", "--json").object
        assert moved["status"] == status
    assert "cannot become Cancelled" in lived_in.fails(2, "goal", "cancel", "g1")
    assert "final" in lived_in.fails(2, "goal", "extend", "g1", "--max-actions", "2")
    last = lived_in.does("audit", "tail", "-n", "1", "--json").object["body"]
    assert (last["before"], last["after"], last["reason"]) == ("Paused", "Completed", "because")


def test_extend_brings_an_exhausted_goal_back(lived_in: Terminal) -> None:
    """The new total holds, and people see used and limit side by side."""
    lived_in.does("goal", "add", "g1", *LIMITS)
    lived_in.tamper("update goals set used_actions = 100")
    assert lived_in.does("goal", "show", "g1", "--json").object["status"] == "Exhausted"
    assert "g1 is Active" in lived_in.does("goal", "extend", "g1", "--max-actions", "150").out
    shown = lived_in.does("goal", "show", "g1").out
    assert "100 of 150" in shown
    assert "0 of 5000" in shown


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(("add", "a b"), "goal id", id="a bad id"),
        pytest.param(("add", "g1", "--agent", "nobody"), "'nobody'", id="an unknown agent"),
        pytest.param(("add", "g1", "--max-actions", "0"), "max actions", id="no action at all"),
        pytest.param(("add", "g1", "--max-tokens", "1e3"), "--max-tokens", id="no whole number"),
        pytest.param(("add", "g1", "--max-cost-usd", "nan"), "max cost usd", id="no number"),
        pytest.param(
            ("add", "g1", "--starts", "2h", "--expires", "1h"), "end after", id="over too early"
        ),
        pytest.param(("show", "g1"), "'g1'", id="an unknown goal"),
        pytest.param(("extend", "g1"), "say what", id="nothing to extend"),
    ],
)
def test_bad_input(lived_in: Terminal, words: tuple[str, ...], said: str) -> None:
    """One line says what is wrong, and nothing is written."""
    before = lived_in.events()
    assert said in lived_in.fails(2, "goal", *words)
    assert lived_in.events() == before
