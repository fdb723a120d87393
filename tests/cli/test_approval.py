"""`interlock approval`."""

import getpass
import time
from dataclasses import replace
from functools import partial

import pytest

from interlock.store import Database
from interlock.store.approvals import Approval, ask
from tests.cli.terminal import Terminal

NOW = time.time()
WAITING = Approval(
    "apr_1",
    "dec_1",
    "research-agent",
    "chat",
    'Model::"gpt-4o"',
    "ab12",
    asked_at=NOW,
    expires_at=NOW + 3600,
    told={
        "method": "POST",
        "authority": "api.openai.com",
        "path": "/v1/chat/completions",
        "intent": "say hello",
        "reasons": [["a-person-looks", "Somebody reads it first."]],
    },
)


@pytest.fixture
def asked(lived_in: Terminal) -> Terminal:
    """A home in which one call waits, and one has waited too long."""
    with Database(lived_in.home / "interlock.db") as database:
        for approval in (WAITING, replace(WAITING, id="apr_0", asked_at=1.0, expires_at=2.0)):
            database.write(partial(ask, approval=approval))
    return lived_in


def test_list_shows_what_waits(asked: Terminal) -> None:
    """A program gets every field; what can no longer be answered is there with --all."""
    waiting = asked.does("approval", "list", "--json").object
    assert waiting == WAITING.record
    everything = asked.does("approval", "list", "--all", "--json").objects
    assert [(each["id"], each["status"]) for each in everything] == [
        ("apr_0", "Expired"),
        ("apr_1", "Pending"),
    ]
    lines = asked.does("approval", "list").out.splitlines()
    assert lines[0].split()[:4] == ["ID", "STATUS", "AGENT", "ACTION"]
    assert lines[1].split()[:4] == ["apr_1", "Pending", "research-agent", "chat"]
    assert "POST /v1/chat/completions" in lines[1]
    assert len(lines) == 2


@pytest.mark.parametrize(
    ("verb", "status"),
    [pytest.param("approve", "Approved", id="yes"), pytest.param("deny", "Denied", id="no")],
)
def test_an_answer_is_final_and_recorded(asked: Terminal, verb: str, status: str) -> None:
    """Who said it and why stand in the ledger, and nobody says otherwise later."""
    answer = asked.does("approval", verb, "apr_1", "--reason", "because", "--json").object
    assert (answer["status"], answer["decided_by"]) == (status, getpass.getuser())
    assert asked.does("approval", "list", "--json").objects == []
    assert asked.does("approval", "show", "apr_1", "--json").object == answer
    for again in ("approve", "deny"):
        assert f"is {status}" in asked.fails(2, "approval", again, "apr_1")
    last = asked.does("audit", "tail", "-n", "1", "--json").object["body"]
    assert (last["action"], last["by"]) == ("approval.decide", getpass.getuser())
    assert (last["before"], last["after"], last["reason"]) == ("Pending", status, "because")


def test_people_read_what_they_permitted(asked: Terminal) -> None:
    """One line says what was answered, the page of it everything."""
    said = asked.does("approval", "approve", "apr_1", "--reason", "fine").out
    assert said == 'Approval apr_1 is Approved: research-agent, chat on Model::"gpt-4o".\n'
    shown = asked.does("approval", "show", "apr_1").out
    fields = dict(line.split(maxsplit=1) for line in shown.splitlines())
    assert (fields["status"], fields["request"], fields["reason"]) == ("Approved", "ab12", "fine")
    assert fields["spent"].strip() == "-"
    assert fields["call"] == "POST api.openai.com/v1/chat/completions"
    assert fields["intent"] == "say hello"
    assert "  a-person-looks: Somebody reads it first.\n" in shown


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(("list",), id="list"),
        pytest.param(("show", "apr_1"), id="show"),
        pytest.param(("deny", "apr_1"), id="deny"),
    ],
)
def test_what_an_agent_wrote_is_escaped(asked: Terminal, words: tuple[str, ...]) -> None:
    """A terminal obeys what it is sent, and the resource is the agent's word."""
    asked.tamper("update approvals set resource = 'x' || char(27) || '[2J' || char(10) || 'y'")
    out = asked.does("approval", *words).out
    assert "x\\x1b[2J\\ny" in out
    assert "\x1b" not in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(("approve", "apr_9"), "'apr_9'", id="an unknown approval"),
        pytest.param(("show", "apr_9"), "'apr_9'", id="nothing to show"),
        pytest.param(("show", "a\x1b[2Jb"), "\\x1b", id="an id with an escape"),
        pytest.param(("approve", "apr_0"), "Expired", id="too late for a yes"),
        pytest.param(("deny", "apr_0"), "Expired", id="too late for a no"),
        pytest.param(("approve", "apr_1", "--reason", "a\nb"), "one line", id="two lines of why"),
        pytest.param(("approve",), "ID", id="no approval at all"),
    ],
)
def test_bad_input(asked: Terminal, words: tuple[str, ...], said: str) -> None:
    """One line says what is wrong, and nothing is written."""
    before = asked.events()
    assert said in asked.fails(2, "approval", *words)
    assert asked.events() == before


def test_a_home_that_does_not_exist(terminal: Terminal) -> None:
    """There is nothing to answer, so nothing is created for it."""
    assert "run `interlock init`" in terminal.fails(2, "approval", "approve", "apr_1")
    assert not terminal.home.exists()
