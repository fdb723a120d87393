"""`interlock key rotate` and `list`: keys of this installation."""

import os
from pathlib import Path

import pytest

from tests.cli.terminal import Terminal


def own(terminal: Terminal, purpose: str) -> list[tuple[str, str]]:
    """What is listed of one purpose: kid and state, oldest first."""
    listed = terminal.does("key", "list", "--json").objects
    return [(key["kid"], key["state"]) for key in listed if key["purpose"] == purpose]


@pytest.mark.parametrize("purpose", ["sct", "checkpoint"])
def test_a_rotation_retires_the_key_and_is_recorded(lived_in: Terminal, purpose: str) -> None:
    """The new key signs, the one before verifies for a while, and the ledger names both."""
    first = lived_in.does("key", "rotate", purpose, "--json").object
    told = lived_in.does("key", "rotate", purpose).out
    listed = own(lived_in, purpose)
    assert [state for _, state in listed] == ["verifies", "verifies", "signs"]
    assert [kid for kid, _ in listed][:2] == [first["before"], first["kid"]]
    end = "until 2" if purpose == "sct" else "on what it has signed."
    assert told.startswith(f"Key {listed[2][0]} signs now. Key {first['kid']} verifies {end}")
    assert f"{first['kid']}  {purpose}" in lived_in.does("key", "list").out
    (event,) = lived_in.does("audit", "tail", "-n", "1", "--json").objects
    assert event["kind"] == "admin"
    about = {name: event["body"][name] for name in ("action", "purpose", "before", "after")}
    assert about == {
        "action": "key.rotate",
        "purpose": purpose,
        "before": first["kid"],
        "after": listed[2][0],
    }


def test_checkpoints_of_a_retired_key_hold(lived_in: Terminal) -> None:
    """Their public half lies beside them, so that the private one may go."""
    lived_in.does("audit", "checkpoint")
    lived_in.does("key", "rotate", "checkpoint")
    lived_in.does("audit", "checkpoint")
    (lived_in.home / "keys" / "checkpoint-0001.key").unlink()
    lived_in.does("audit", "verify")


def test_a_key_that_ended_is_listed_with_its_end(lived_in: Terminal) -> None:
    """Until a front door removes it. Checkpoints have no such end: what was signed verifies on."""
    for purpose in ("sct", "checkpoint"):
        lived_in.does("key", "rotate", purpose)
        newest = lived_in.home / "keys" / f"{purpose}-0002.key"
        os.utime(newest, (0, 0))
    lines = [line.split() for line in lived_in.does("key", "list").out.splitlines()]
    states = [(purpose, " ".join(state)) for _, purpose, _, *state, _ in lines[1:]]
    assert states == [
        ("sct", "ended 1970-01-01T00:05:10Z"),
        ("sct", "signs"),
        ("checkpoint", "verifies"),
        ("checkpoint", "signs"),
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(("master",), "PURPOSE", id="a purpose that has no keyring"),
        pytest.param((), "PURPOSE", id="no purpose"),
    ],
)
def test_what_cannot_be_rotated(lived_in: Terminal, words: tuple[str, ...], said: str) -> None:
    """One line, and no key is made."""
    before = lived_in.snapshot()
    assert said in lived_in.fails(2, "key", "rotate", *words)
    assert lived_in.snapshot() == before


def test_a_key_that_others_can_read_stops_a_rotation(lived_in: Terminal) -> None:
    """The line names the file and the chmod; nothing is made and nothing recorded."""
    file = lived_in.home / "keys" / "sct-0001.key"
    file.chmod(0o640)
    before, events = sorted(map(str, Path(file.parent).iterdir())), lived_in.events()
    line = lived_in.fails(2, "key", "rotate", "sct")
    assert str(file) in line
    assert "chmod 600" in line
    assert sorted(map(str, Path(file.parent).iterdir())) == before
    assert lived_in.events() == events
