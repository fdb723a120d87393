"""`interlock policy replay`, `explain` and `suggest`, at a home in which something has happened."""

import asyncio
import time
from pathlib import Path

import pytest

from interlock.governor import Governor
from interlock.installation import Installation
from interlock.model import Authority, Mode, Request
from interlock.settings import Settings
from tests.cli.terminal import Terminal

NOTHING = 'permit (principal == Agent::"nobody", action, resource);'
CHAT = ("--agent", "research-agent", "--action", "chat", "--resource", 'Model::"gpt-4o"')


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """A folder of policies that permit an agent nobody has seen."""
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "other.cedar").write_text(NOTHING)
    return folder


def test_replay_is_silent_about_what_stays(lived_in: Terminal, other: Path) -> None:
    """Exit 0 when no answer changes; an agent or a period without calls changes nothing."""
    (other / "other.cedar").write_text(
        'permit (principal == Agent::"research-agent",action,resource);'
    )
    replay = ("policy", "replay", "--against", str(other))
    assert lived_in.does(*replay).out == "2 decisions, none would change, not replayed: 0\n"
    assert lived_in.does(*replay, "--json").out == ""
    none = "0 decisions, none would change, not replayed: 0\n"
    assert lived_in.does(*replay, "--agent", "nobody").out == none
    assert lived_in.does(*replay, "--since", "1h", "--agent", "intern-agent").out.startswith("1 ")


def test_replay_lists_what_would_change(lived_in: Terminal, other: Path) -> None:
    """Exit 1 with the call, both answers and why; the stranger is denied before and after."""
    replay = ("policy", "replay", "--against", str(other))
    answer = lived_in.run(*replay)
    assert answer.code == 1
    assert answer.err == "interlock: 1 of 2 decisions would change, not replayed: 0\n"
    call, change = answer.out.splitlines()
    assert call.endswith('research-agent chat Model::"gpt-4o"')
    assert change.strip() == (
        "allow -> deny at the policy stage: no-policy: no policy permits it; "
        'no-policy: no policy permits access_secret Secret::"openai-api-key"'
    )
    told = lived_in.run(*replay, "--json").object
    assert call.startswith(told["id"])
    assert (told["before"], told["after"], told["reasons"]) == ("allow", "deny", ["no-policy"] * 2)


def test_replay_asks_about_the_secret_of_a_refused_call(lived_in: Terminal, other: Path) -> None:
    """No row names it, so it is the one that the call would be given now."""
    with Installation(Settings.load(home=lived_in.home)) as installation:
        governor = Governor(installation)
        governor.change_mode(Mode.ENFORCE)
        asyncio.run(governor.govern(_chat("gpt-5"), installation.registry.get("intern-agent"), {}))
    text = 'permit (principal == Agent::"intern-agent", action == Action::"chat", resource);'
    (other / "other.cedar").write_text(text)
    stays = lived_in.does("policy", "replay", "--against", str(other), "--agent", "intern-agent")
    assert stays.out == "2 decisions, none would change, not replayed: 0\n"


@pytest.mark.parametrize("tool", ["replay", "explain"])
def test_policies_that_do_not_load_are_bad_input(
    lived_in: Terminal, other: Path, tool: str
) -> None:
    """Exit 2 with the place."""
    (other / "other.cedar").write_text("permit (")
    words = () if tool == "replay" else CHAT
    assert "other.cedar" in lived_in.fails(2, "policy", tool, "--against", str(other), *words)


def test_explain_a_recorded_decision(lived_in: Terminal, other: Path) -> None:
    """The stages, then each question with its policies, and what those lacked."""
    (event,) = lived_in.does("audit", "query", "--agent", "intern-agent", "--json").objects
    explain = ("policy", "explain", event["decision_id"])
    out = lived_in.does(*explain).out
    assert "passed: intern-agent is unverified" in out
    assert 'chat Model::"gpt-4o": deny' in out
    assert 'access_secret Secret::"openai-api-key": deny' in out
    assert "does not apply permit trusted-agents-use-models" in out
    assert 'false: when { (principal.trust) == "trusted" }' in out
    told = lived_in.does(*explain, "--json").object
    assert (told["recorded"], told["effect"], told["stage"]) == ("deny", "deny", "policy")
    assert [ruling["action"] for ruling in told["rulings"]] == ["chat", "access_secret"]
    against = lived_in.does(*explain, "--against", str(other)).out
    assert "no policy has a scope that fits" in against


def test_what_was_pruned_is_explained_and_not_silently_left_out(
    lived_in: Terminal, other: Path
) -> None:
    """A decision is found in the archive; whoever asks about all is told that some lie there."""
    (event,) = lived_in.does("audit", "query", "--agent", "intern-agent", "--json").objects
    explain = ("policy", "explain", event["decision_id"])
    before = lived_in.does(*explain).out
    time.sleep(1.1)
    lived_in.does("audit", "prune", "--keep", "1s")
    assert lived_in.does(*explain).out == before
    hint = f"older events were pruned into {lived_in.home / 'archive'}, and are left out"
    assert hint in lived_in.does("policy", "replay", "--against", str(other)).err
    assert hint in lived_in.run("policy", "suggest", "--agent", "intern-agent").err
    assert not lived_in.does("policy", "replay", "--against", str(other), "--since", "1s").err


def test_explain_of_what_is_no_decision(lived_in: Terminal) -> None:
    """An administrative event has none; an outcome leads to its decision."""
    told = lived_in.does("audit", "tail", "--json").objects
    events = {event["kind"]: event["id"] for event in told}
    assert "is not of a decision" in lived_in.fails(2, "policy", "explain", events["admin"])
    assert "recorded" in lived_in.does("policy", "explain", events["outcome"]).out


def test_explain_a_call_that_nobody_made(lived_in: Terminal) -> None:
    """By what the registry says of the agent; an unknown one is a stranger."""
    out = lived_in.does("policy", "explain", *CHAT, "--secret", "openai-api-key").out
    assert "counts permit trusted-agents-use-models" in out
    assert "counts permit trusted-agents-use-keys" in out
    told = lived_in.does("policy", "explain", *CHAT, "--intent-category", "Fun", "--json").object
    assert (told["effect"], told["stage"], told["rulings"]) == ("deny", "intent", [])
    stranger = lived_in.does("policy", "explain", "--agent", "stranger", *CHAT[2:]).out
    assert "passed: stranger is unverified" in stranger


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param((), "give an ID", id="nothing"),
        pytest.param(("dec_1", *CHAT), "give an ID", id="both"),
        pytest.param(("dec_1",), "no decision or event 'dec_1'", id="an unknown id"),
        pytest.param((*CHAT[:-1], "gpt-4o"), "is not TYPE", id="a resource without a type"),
        pytest.param((*CHAT[:3], "fly", *CHAT[4:]), "no action", id="an unknown action"),
    ],
)
def test_explain_bad_input(lived_in: Terminal, words: tuple[str, ...], said: str) -> None:
    """Exit 2, one line."""
    assert said in lived_in.fails(2, "policy", "explain", *words)


def test_explain_tells_how_the_records_stood(lived_in: Terminal) -> None:
    """A goal that was refused is told as it stood then, with every stage before and behind."""
    with Installation(Settings.load(home=lived_in.home)) as installation:
        agent = installation.registry.get("research-agent")
        verdict = asyncio.run(Governor(installation).govern(_chat("gpt-4o"), agent, {"goal": "g"}))
    out = lived_in.does("policy", "explain", verdict.decision.id).out
    assert "deny at the goal stage: goal-not-active: the goal 'g' is Unknown" in out
    assert "DENIED: goal-not-active" in out
    assert "not asked" in out
    told = lived_in.does("policy", "explain", verdict.decision.id, "--json").object
    assert [step["passed"] for step in told["steps"]] == [True, True, False, None, None, None]
    assert (told["recorded_stage"], told["approximate"]) == ("goal", False)


def test_suggest_passes_check_and_replay(lived_in: Terminal, other: Path) -> None:
    """What comes out is loaded by the front door, and permits what the agent did."""
    out = lived_in.does("policy", "suggest", "--agent", "intern-agent", "--since", "7d").out
    (other / "other.cedar").write_text(out)
    checked = lived_in.does("policy", "check", str(other), "--json").object
    assert [policy["id"] for policy in checked["policies"]] == [
        "intern-agent-access_secret-openai-api-key",
        "intern-agent-chat-gpt-4o",
    ]
    replay = ("policy", "replay", "--against", str(other), "--json")
    changes = lived_in.run(*replay).objects
    assert [(c["agent"], c["before"], c["after"]) for c in changes] == [
        ("research-agent", "allow", "deny"),
        ("intern-agent", "deny", "allow"),
    ]
    told = lived_in.does("policy", "suggest", "--agent", "intern-agent", "--json").objects
    assert [policy["times"] for policy in told] == [1, 1]
    assert "".join(policy["text"] + "\n" for policy in told) == out


def test_nothing_seen_is_nothing_suggested(lived_in: Terminal) -> None:
    """Exit 1: a file without policies would not load."""
    assert "no call of 'ghost'" in lived_in.fails(1, "policy", "suggest", "--agent", "ghost")


def _chat(model: str) -> Request:
    body = f'{{"model": "{model}", "messages": []}}'.encode()
    at = Authority("api.openai.com", 443)
    return Request("POST", "https", at, "/v1/chat/completions", body, "application/json")
