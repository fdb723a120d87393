"""`interlock secret` with values that are kept elsewhere."""

from tests.cli.conftest import KEY
from tests.cli.terminal import Terminal

SET = ("secret", "set", "openai-api-key")


def test_a_reference_is_tried_and_stored_without_its_value(terminal: Terminal) -> None:
    """List and check show where it is, never what it is."""
    said = terminal.does(*SET, "--from", "env:OPENAI", "--json", OPENAI=KEY)
    assert said.object["from"] == "env:OPENAI"
    (listed,) = terminal.does("secret", "list", "--json").objects
    assert listed["from"] == "env:OPENAI"
    table = terminal.does("secret", "list").out + terminal.does("secret", "check", OPENAI=KEY).out
    assert table.count("env:OPENAI") == 2
    assert KEY not in table + said.out
    assert not any(KEY.encode() in bytes_ for bytes_ in terminal.snapshot().values())
    changes = [event["body"] for event in terminal.does("audit", "tail", "--json").objects]
    (change,) = [body for body in changes if body.get("action") == "secret.set"]
    assert change["after"]["from"] == "env:OPENAI"


def test_a_reference_that_does_not_work_is_not_stored(terminal: Terminal) -> None:
    """One line says why, and how to store it all the same."""
    line = terminal.fails(2, *SET, "--from", "env:OPENAI")
    assert "OPENAI is not set here" in line
    assert "--unchecked" in line
    assert terminal.events() == 0
    assert "does not read env:NAME" in terminal.fails(2, *SET, "--from", "env:A B")
    assert "--from" in terminal.fails(2, *SET, "--unchecked", stdin=b"x")
    basic = (*SET, "--recipe", "basic", "--from", "env:OPENAI")
    assert "user:password" in terminal.fails(2, *basic, OPENAI=KEY)
    terminal.does(*SET, "--from", "env:OPENAI", "--unchecked")


def test_check_says_no_when_one_fails(lived_in: Terminal) -> None:
    """With a line for each secret, whether it can be had or not."""
    lived_in.does("secret", "check")
    lived_in.does(
        *("secret", "set", "gone", "--host", "a.example"), "--from", "env:X", "--unchecked"
    )
    answer = lived_in.run("secret", "check", "--json")
    assert answer.code == 1
    first, openai = answer.objects
    assert first == {
        "name": "gone",
        "from": "env:X",
        "ok": False,
        "problem": "env: the variable X is not set here",
    }
    assert openai == {"name": "openai-api-key", "from": "", "ok": True, "problem": ""}
    assert lived_in.run("secret", "check", "openai-api-key").code == 0
    before = lived_in.events()
    assert "no secret named 'nobody'" in lived_in.fails(2, "secret", "check", "nobody")
    assert lived_in.events() == before


def test_rotate_replaces_the_value_and_keeps_the_bindings(lived_in: Terminal) -> None:
    """A sealed one takes the new value from stdin; one kept elsewhere is fetched anew."""
    before = lived_in.does("secret", "list", "--json").objects
    lived_in.does("secret", "rotate", "openai-api-key", stdin=b"sk-new-1\n")
    assert lived_in.does("secret", "list", "--json").objects == before
    assert "line break" in lived_in.fails(2, "secret", "rotate", "openai-api-key", stdin=b"a\nb\n")
    assert "no secret named" in lived_in.fails(2, "secret", "rotate", "nobody", stdin=b"x")
    lived_in.does(*SET, "--from", "command:echo sk-1")
    said = lived_in.does("secret", "rotate", "openai-api-key", "--json").object
    assert said == {"name": "openai-api-key", "rotated": True, "from": "command:echo sk-1"}


def test_without_the_master_key_nobody_can_tell_where(lived_in: Terminal) -> None:
    """The list still shows names and bindings, and makes no new key."""
    lived_in.does(*SET, "--from", "command:echo sk-1")
    (lived_in.home / "keys" / "master.key").unlink()
    (listed,) = lived_in.does("secret", "list", "--json").objects
    assert "from" not in listed
    assert not (lived_in.home / "keys" / "master.key").exists()
