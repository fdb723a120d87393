"""Who types a verb that a noun does not have is told the one that it has."""

import pytest

from interlock.cli.nouns import Nouns
from interlock.cli.synonyms import _INSTEAD
from tests.cli.terminal import Terminal


@pytest.mark.parametrize("typed", _INSTEAD)
def test_what_is_offered_exists_and_what_is_not_does_not(typed: str) -> None:
    """Else the hint sends people to another dead end, or is never seen."""
    noun, verb = typed.split()
    commands = Nouns()[noun].commands
    assert _INSTEAD[typed] in commands
    assert verb not in commands


def test_the_refusal_says_what_to_type(terminal: Terminal) -> None:
    """One line; where nothing comes close, where to look."""
    said = terminal.fails(2, "session", "rm", "ses_1")
    assert said == "interlock: No such command 'rm'. Use `interlock session end`."
    assert "(see interlock session --help)" in terminal.fails(2, "session", "ponder")
