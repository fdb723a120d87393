"""`interlock honeytoken`."""

import pytest

from interlock.installation import Installation
from interlock.settings import Settings
from tests.cli.conftest import KEY
from tests.cli.terminal import Terminal


@pytest.mark.parametrize(
    ("kind", "prefix"),
    [
        pytest.param("openai", "sk-proj-", id="openai"),
        pytest.param("anthropic", "sk-ant-api03-", id="anthropic"),
        pytest.param("github", "ghp_", id="github"),
        pytest.param("aws", "AKIA", id="aws"),
        pytest.param("stripe", "sk_live_", id="stripe"),
    ],
)
def test_makes_a_key_and_shows_it_once(terminal: Terminal, kind: str, prefix: str) -> None:
    """On an empty machine too; afterwards it is neither listed, recorded nor in a file."""
    made = terminal.does("honeytoken", "add", "env-file", "--like", kind, "--json").object
    value = made["value"]
    assert value.startswith(prefix)
    with Installation(Settings.load(home=terminal.home)) as installation:
        assert installation.honeytokens.detector.find([value.encode()]) == "env-file"
    shown = terminal.does("honeytoken", "list").out + terminal.does("audit", "tail").out
    assert "env-file" in shown
    assert value not in shown
    assert not any(value.encode() in content for content in terminal.snapshot().values())


def test_people_see_the_value_on_a_line_of_its_own(terminal: Terminal) -> None:
    """So that it can be copied."""
    lines = terminal.does("honeytoken", "add", "wiki").out.split("\n")
    assert any(line.strip().startswith("sk-proj-") for line in lines)


def test_watches_for_a_value_that_is_planted_already(terminal: Terminal) -> None:
    """What came in does not come out."""
    value = "ghp_Kq3v9ZtLw2mXr8bNc5yHs7dJf4gPa1eUoT6i"
    words = ("honeytoken", "add", "wiki", "--value-from-stdin")
    assert value not in terminal.does(*words, stdin=value.encode() + b"\n").out
    assert [each["name"] for each in terminal.does("honeytoken", "list", "--json").objects] == [
        "wiki"
    ]
    assert "planted already" in terminal.fails(2, *words, stdin=b"x" * 20)
    terminal.does("honeytoken", "rm", "wiki")
    assert "no honeytoken" in terminal.fails(2, "honeytoken", "rm", "wiki")


def test_refuses_what_somebody_needs(lived_in: Terminal) -> None:
    """A stored secret is no trap; nothing is written."""
    before = lived_in.events()
    words = ("honeytoken", "add", "x", "--value-from-stdin")
    assert "that of secret" in lived_in.fails(2, *words, stdin=KEY.encode())
    assert "16 to 512" in lived_in.fails(2, *words, stdin=b"short")
    assert "must not be empty" in lived_in.fails(2, *words)
    assert lived_in.events() == before
