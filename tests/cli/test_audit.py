"""`interlock audit`."""

import csv
import json
import shutil
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from interlock.cli.event import say_event, story
from interlock.demo.front_door import FrontDoor
from interlock.installation import Installation
from interlock.ledger import Event
from interlock.settings import Settings
from interlock.store.approvals import Approval, ask
from tests.cli.terminal import INTERLOCK, Terminal

UNLOCK_UPDATE = "drop trigger events_no_update"
UNLOCK_DELETE = "drop trigger events_no_delete"
READING = (
    ("audit", "tail"),
    ("audit", "query"),
    ("audit", "verify"),
    ("agent", "list"),
    ("secret", "list"),
    ("env", "--agent", "research-agent"),
    ("doctor",),
)


def decision(terminal: Terminal, agent: str) -> dict[str, Any]:
    """The one decision about an agent."""
    return terminal.does("audit", "query", "--agent", agent, "--json").object


def ended(terminal: Terminal) -> str:
    """The id of the one outcome."""
    events = terminal.does("audit", "tail", "--json").objects
    (found,) = [event["id"] for event in events if event["kind"] == "outcome"]
    return str(found)


def test_tail_prints_the_newest_last(lived_in: Terminal) -> None:
    """Each line opens with an id that `show` takes, whole, however narrow the pipe."""
    lines = lived_in.does("audit", "tail", "-n", "3", COLUMNS="20").out.splitlines()
    assert len(lines) == 3
    for line in lines:
        assert lived_in.does("audit", "show", line.split()[0]).out


@pytest.mark.parametrize(
    ("kind", "change", "said"),
    [
        ("discovery", {}, "a1 was shown by the MCP server files 2 new tools: add, sub"),
        (
            "alert",
            {"alert": "tool_changed", "changed": ["add"]},
            "a1 was shown tools that are not what they were: add of the MCP server files",
        ),
    ],
)
def test_what_a_server_offers_is_told(
    capsys: pytest.CaptureFixture[str], kind: str, change: dict[str, Any], said: str
) -> None:
    """Under the kinds that tell of scans and of planted keys too, in words of its own."""
    body = {"server": "files", "tools": ["add", "sub"], "shown": 2} | change
    say_event({"decision_id": "d", "ts": 0.0, "kind": kind, "agent": "a1", "body": body})
    assert capsys.readouterr().out.rstrip().endswith(said)


def test_query_selects(lived_in: Terminal) -> None:
    """By agent, by age and by answer."""
    query = ("audit", "query", "--json")
    assert len(lived_in.does(*query).objects) == 2
    assert [e["agent"] for e in lived_in.does(*query, "--decision", "would_deny").objects] == [
        "intern-agent"
    ]
    assert len(lived_in.does(*query, "--since", "1h", "--decision", "allow").objects) == 1
    assert lived_in.does(*query, "--agent", "nobody").out == ""


def test_show_tells_the_whole_story(lived_in: Terminal) -> None:
    """Who, what, why, with which secret, and how it ended; by any id that belongs to it."""
    allowed = decision(lived_in, "research-agent")
    by_decision = lived_in.does("audit", "show", allowed["decision_id"]).out
    assert lived_in.does("audit", "show", allowed["id"]).out == by_decision
    assert lived_in.does("audit", "show", ended(lived_in)).out == by_decision
    for part in (
        f"allow  {allowed['decision_id']}",
        "research-agent (trusted)",
        "on authority of  ada",
        "fields           model, messages",
        'chat Model::"',
        'access_secret Secret::"openai-api-key"',
        "sum up",
        "trusted-agents-use-models: An agent that a person vouched for",
        "openai-api-key for api.openai.com:443, token sct_",
        "200 in 12.5 ms",
        "decide 0.2, first_byte 9.0, end 12.5 ms",
        "dialled 192.0.2.1:443 TLSv1.3",
    ):
        assert part in by_decision


def test_show_tells_the_facts_and_what_was_used(lived_in: Terminal) -> None:
    """In a line each; what was estimated says so."""
    decision = {"facts": {"groups": ["lab", "night"], "stream": True, "max_tokens": 7}}
    outcome = {"tokens_in": 9, "tokens_out": 3, "cost_usd": 0.5, "estimated": True}
    event = {"agent": "a", "decision_id": "d", "id": "e", "ts": 0.0, "node": "n", "seq": 1}
    told = list(
        story(
            [
                event | {"kind": "decision", "body": decision},
                event | {"kind": "outcome", "body": outcome},
            ]
        )
    )
    assert ("facts", "groups lab+night, stream, max_tokens 7") in told
    assert ("", "used 9 tokens in, 3 out, 0.500000 USD (estimated)") in told
    (found,) = lived_in.does("audit", "query", "--agent", "research-agent", "--json").objects
    assert "secret openai-api-key" in lived_in.does("audit", "show", found["decision_id"]).out


def test_show_tells_who_approved(lived_in: Terminal) -> None:
    """By name and with the reason that was given."""
    with Installation(Settings.load(home=lived_in.home)) as installation:
        waiting = Approval("apr_1", "dec_1", "a", "chat", "M", "00", 0.0, 2e9)
        body = {"approval": "apr_1", "label": "needs_approval"}
        event = Event("evt_1", 1.0, "decision", "a", "dec_1", body)
        installation.ledger.note(event, lambda c: ask(c, waiting))
        installation.ledger.flush()
        installation.approvals.decide("apr_1", approved=True, by="grace", reason="fine", now=1.0)
    assert "Approved by grace: fine" in lived_in.does("audit", "show", "dec_1").out
    (answer,) = lived_in.does("audit", "show", "dec_1", "--json").object["approvals"]
    assert (answer["decided_by"], answer["reason"]) == ("grace", "fine")
    assert (answer["approval"], answer["status"], answer["decided_at"]) == ("apr_1", "Approved", 1)


def test_show_as_json(lived_in: Terminal) -> None:
    """A program gets every event of the decision."""
    allowed = decision(lived_in, "research-agent")
    shown = lived_in.does("audit", "show", allowed["id"], "--json").object
    assert shown["decision_id"] == allowed["decision_id"]
    assert {e["kind"] for e in shown["events"]} == {"decision", "secret_access", "outcome"}


def test_what_an_agent_declared_does_not_reach_the_terminal(lived_in: Terminal) -> None:
    """An escape sequence in an intent is shown, not obeyed."""
    denied = decision(lived_in, "intern-agent")
    out = lived_in.does("audit", "show", denied["decision_id"]).out
    assert "\\x1b]0;owned\\x07" in out
    assert out.replace("\n", "").isprintable()


def test_verify_says_intact(lived_in: Terminal) -> None:
    """Exit 0, and how much was checked."""
    events = lived_in.events()
    assert f"{events} events" in lived_in.does("audit", "verify").out
    said = lived_in.does("audit", "verify", "--json").object
    assert said == {"intact": True, "events": events, "checkpoints": 0, "problem": ""}


@pytest.mark.parametrize(
    ("statements", "problem"),
    [
        pytest.param(
            (UNLOCK_UPDATE, "update events set body = replace(body, 'o', 'a') where seq = 3"),
            "seq 3: the content was changed",
            id="an edited row",
        ),
        pytest.param(
            (UNLOCK_UPDATE, "update events set agent = 'somebody' where seq = 5"),
            "seq 5: the content was changed",
            id="an edited agent",
        ),
        pytest.param(
            (UNLOCK_DELETE, "delete from events where seq = 4"),
            "seq 5: the row after seq 3 is missing",
            id="a deleted row",
        ),
        pytest.param(
            (UNLOCK_UPDATE, "update events set body = x'00' where seq = 3"),
            "seq 3: the content was changed",
            id="a row of another type",
        ),
    ],
)
def test_verify_finds_what_an_attacker_did(
    lived_in: Terminal, statements: tuple[str, ...], problem: str
) -> None:
    """Exit 1 with node, seq and what is wrong; the doctor says the same."""
    lived_in.tamper(*statements)
    line = lived_in.fails(1, "audit", "verify")
    assert problem in line
    said = lived_in.run("audit", "verify", "--json")
    assert (said.code, said.object["intact"]) == (1, False)
    assert said.object["problem"] in line
    ledger = [c for c in lived_in.run("doctor", "--json").objects if c["subject"] == "ledger"]
    assert ledger[0]["status"] == "failure"


def test_the_doctor_misses_the_checkpoints_that_verify_misses(lived_in: Terminal) -> None:
    """The ledger tells of one that is in its folder no more."""
    lived_in.does("audit", "checkpoint")
    for file in (lived_in.home / "checkpoints").glob("*.checkpoints"):
        file.unlink()
    said = lived_in.fails(1, "audit", "verify")
    assert "tells of a checkpoint that is not in" in said
    (found,) = [c for c in lived_in.run("doctor", "--json").objects if c["subject"] == "ledger"]
    assert found["status"] == "failure"
    assert found["found"] in said


def test_a_row_that_cannot_be_read_says_what_to_do(lived_in: Terminal) -> None:
    """A tampered body is no traceback."""
    lived_in.tamper(UNLOCK_UPDATE, "update events set body = '[1]' where seq = 3")
    assert "run `interlock audit verify`" in lived_in.run("audit", "tail").err
    assert lived_in.run("audit", "tail").code == 2


@pytest.mark.parametrize("words", [pytest.param(words, id=" ".join(words)) for words in READING])
def test_reading_changes_nothing(lived_in: Terminal, words: tuple[str, ...]) -> None:
    """Not a byte, not a file."""
    before = lived_in.snapshot()
    lived_in.does(*words)
    assert lived_in.snapshot() == before


@pytest.mark.parametrize("words", [pytest.param(words, id=" ".join(words)) for words in READING])
def test_reading_creates_no_home(terminal: Terminal, words: tuple[str, ...]) -> None:
    """What is not there is reported, not made."""
    answer = terminal.run(*words)
    assert answer.code == (1 if words == ("doctor",) else 2)
    assert "run `interlock init`, or start the front door" in answer.out + answer.err
    assert not terminal.home.exists()


def test_follow_prints_what_happens_next(lived_in: Terminal) -> None:
    """New events appear as they are written; Ctrl-C ends it without a word."""
    command = [INTERLOCK, "audit", "tail", "-n", "1", "--follow", "--json"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env=lived_in.variables(), **pipes) as process:
        first = json.loads(process.stdout.readline())
        lived_in.does("agent", "trust", "intern-agent")
        second = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert second["seq"] > first["seq"]
    assert second["body"]["action"] == "agent.trust"
    assert (process.returncode, err) == (130, b"")


@pytest.mark.slow
def test_works_beside_a_running_front_door(lived_in: Terminal) -> None:
    """Reading and changing do not wait for the proxy to end."""
    with FrontDoor(lived_in.home, environ={"HOME": str(lived_in.home.parent)}):
        for words in READING:
            lived_in.does(*words)
        lived_in.does("agent", "trust", "intern-agent")
    lived_in.does("audit", "verify")


def test_verify_holds_the_ledger_against_a_copy_of_the_checkpoints(
    lived_in: Terminal, tmp_path: Path
) -> None:
    """With the tail cut off and the home's own checkpoints gone, the copy still knows."""
    lived_in.does("audit", "checkpoint")
    copy = tmp_path / "elsewhere"
    shutil.copytree(lived_in.home / "checkpoints", copy)
    assert lived_in.does("audit", "verify", "--checkpoints", str(copy)).out
    shutil.rmtree(lived_in.home / "checkpoints")
    with closing(sqlite3.connect(lived_in.home / "interlock.db")) as connection, connection:
        (guard,) = connection.execute(
            "select sql from sqlite_master where name = 'events_no_delete'"
        ).fetchone()
        connection.execute(UNLOCK_DELETE)
        connection.execute("delete from events where seq > 3")
        connection.execute(guard)
    assert lived_in.does("audit", "verify").out
    said = lived_in.fails(1, "audit", "verify", "--checkpoints", str(copy))
    assert "its tail was cut off, or an older file was put back" in said


def test_verify_can_look_at_a_part(lived_in: Terminal) -> None:
    """By dates or ages; what lies outside is not read."""
    verify = ("audit", "verify", "--json")
    assert lived_in.does(*verify, "--from", "1h").object["events"] > 0
    assert lived_in.does(*verify, "--to", "2001-01-01").object["events"] == 0
    assert "not like" in lived_in.fails(2, *verify, "--from", "yesterday")


@pytest.mark.parametrize(
    ("command", "first", "last"),
    [
        ("verify", "--from", "--to"),
        ("query", "--since", "--until"),
        ("stats", "--since", "--until"),
    ],
)
def test_a_time_that_ends_before_it_begins_is_a_mistake(
    lived_in: Terminal, command: str, first: str, last: str
) -> None:
    """Nothing lies between, so nothing found there would be an answer, least of all `intact`."""
    said = lived_in.fails(2, "audit", command, first, "1h", last, "2h")
    assert f"{first} is later than {last}" in said


def test_verify_needs_the_checkpoints_that_were_named(lived_in: Terminal, tmp_path: Path) -> None:
    """A folder without any is a mistake, not an intact ledger."""
    said = lived_in.fails(2, "audit", "verify", "--checkpoints", str(tmp_path / "nothing"))
    assert "there are no checkpoints in" in said


def test_checkpoint_is_made_once_for_what_happened(lived_in: Terminal) -> None:
    """A second one would say nothing new. In a list it says how far it reaches, and no more."""
    assert lived_in.does("audit", "checkpoint", "--json").object["made"]
    assert not lived_in.does("audit", "checkpoint", "--json").object["made"]
    line = lived_in.does("audit", "tail", "-n", "1").out
    assert " checkpoint " in line
    assert " up to " in line
    assert len(line) < 120
    assert lived_in.does("audit", "verify").out.endswith(" and 1 checkpoint agrees.\n")


def test_a_checkpoint_that_cannot_be_made_is_no_peace(lived_in: Terminal) -> None:
    """Something has happened, and it is not attested: exit 2 and one line that names the folder."""
    folder = lived_in.home / "checkpoints"
    folder.write_text("in the way")
    assert str(folder) in lived_in.fails(2, "audit", "checkpoint")
    folder.unlink()
    assert lived_in.does("audit", "checkpoint", "--json").object["made"]


def test_query_asks_by_host_goal_and_user(lived_in: Terminal) -> None:
    """A host without a port means that of https."""
    query = ("audit", "query", "--json")
    assert len(lived_in.does(*query, "--host", "api.openai.com").objects) == 2
    assert lived_in.does(*query, "--host", "api.openai.com:8443").out == ""
    assert lived_in.does(*query, "--goal", "none").out == ""
    assert lived_in.does(*query, "--until", "2001-01-01").out == ""


def test_query_prints_csv_that_no_spreadsheet_runs(lived_in: Terminal) -> None:
    """One line a decision under a header; a name that begins like a formula is text."""
    out = lived_in.does("audit", "query", "--csv").out
    header, *lines = csv.reader(out.splitlines())
    assert header[:4] == ["time", "decision_id", "agent", "label"]
    assert {line[2] for line in lines} == {"research-agent", "intern-agent"}
    assert "--json or --csv" in lived_in.fails(2, "audit", "query", "--csv", "--json")


def test_stats_counts(lived_in: Terminal) -> None:
    """Decisions by label, agent and host, and what was used."""
    said = lived_in.does("audit", "stats", "--json").object
    assert {count["name"]: count["calls"] for count in said["labels"]} == {
        "allow": 1,
        "would_deny": 1,
    }
    assert "api.openai.com:443" in lived_in.does("audit", "stats").out


def test_prune_and_hold(lived_in: Terminal) -> None:
    """What is old goes into files that `verify` reads; a hold says no with exit 1."""
    held = lived_in.does("audit", "hold", "--reason", "case 7", "--json").object
    assert held == {"held": True, "reason": "case 7"}
    assert "case 7" in lived_in.fails(1, "audit", "prune", "--keep", "1s")
    for nothing in ("", "  "):
        assert "say why" in lived_in.fails(2, "audit", "hold", "--reason", nothing)
    lived_in.does("audit", "hold", "--release")
    events = lived_in.events()
    assert "no legal hold" in lived_in.does("audit", "hold", "--release").out
    assert lived_in.events() == events
    before = lived_in.does("audit", "verify", "--json").object["events"]
    told = _told_of(lived_in)
    time.sleep(1.1)
    assert lived_in.does("audit", "prune", "--keep", "1s", "--json").object["events"] > 0
    assert _told_of(lived_in, "--pruned") == told
    assert lived_in.does("audit", "verify", "--json").object["events"] >= before
    assert lived_in.does("audit", "prune", "--keep", "90d", "--json").object["events"] == 0
    archive = lived_in.home / "archive"
    assert f"the database, nor {archive}, has no" in lived_in.fails(2, "audit", "show", "dec_0")
    forgotten = lived_in.does("audit", "query")
    assert not forgotten.out
    assert "--pruned reads them too" in forgotten.err
    archive.rename(lived_in.home / "moved")
    assert _told_of(lived_in, "--archive", str(lived_in.home / "moved")) == told
    said = lived_in.fails(1, "audit", "verify")
    assert f"the row after seq 0 is missing, also from {archive}" in said
    assert lived_in.does("audit", "verify", "--archive", str(lived_in.home / "moved")).out


def _told_of(terminal: Terminal, *where: str) -> list[Any]:
    """What the ledger answers to the questions that take the archive along."""
    decisions = terminal.does("audit", "query", *where, "--json").objects
    assert len(decisions) == 2
    archive = where if "--archive" in where else ()
    stories = [
        terminal.does("audit", "show", decision["decision_id"], *archive, "--json").object
        for decision in decisions
    ]
    assert any(event["kind"] == "outcome" for story in stories for event in story["events"])
    return [decisions, stories, terminal.does("audit", "stats", *where, "--json").object]
