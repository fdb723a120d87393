"""What goes to the screen."""

import pytest

from interlock.cli.printing import moment, printable, say_table

ID = "dec_0123456789abcdef0123"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        pytest.param("plain", "plain", id="text"),
        pytest.param("\x1b[2J", "\\x1b[2J", id="clear the screen"),
        pytest.param("a\nb\rc", "a\\nb\\rc", id="a second line"),
        pytest.param("\u202eevil", "\\u202eevil", id="text that runs backwards"),
        pytest.param("\x9b31m", "\\x9b31m", id="an escape of eight bits"),
        pytest.param("\udcff", "\\udcff", id="a byte that is no text"),
        pytest.param("[red]x[/red] :boom:", "[red]x[/red] :boom:", id="markup"),
    ],
)
def test_escapes_what_a_terminal_obeys(said: str, shown: str) -> None:
    """Whatever an agent says stays text on one line."""
    assert printable(said) == shown


@pytest.mark.parametrize("columns", ["20", "40", "80"])
def test_never_folds_an_id(
    columns: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a narrow terminal everything else gives way."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", columns)
    say_table(("id", "why", "who"), [(ID, "because " * 20, "a" * 128)])
    assert ID in capsys.readouterr().out


def test_a_time_that_is_none_is_shown_as_it_is() -> None:
    """A row that somebody changed does not break the list."""
    assert moment(0) == "1970-01-01T00:00:00Z"
    assert moment("\x1b") == "\\x1b"
    assert moment(1e300) == "1e+300"
