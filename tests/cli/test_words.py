"""What people type."""

import pytest

from interlock.cli.words import parse_duration, parse_secret_name


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("45s", 45), ("30m", 1800), ("8h", 28_800), ("90d", 7_776_000)],
)
def test_reads_a_duration(text: str, seconds: int) -> None:
    """A number and one of four units."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "h", "-1h", "1.5h", "1h3m", " 1h", "0s", "\u0661h"])
def test_refuses_anything_else(text: str) -> None:
    """No guessing."""
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)


def test_refuses_what_nobody_lives_to_see() -> None:
    """And says how long is too long."""
    with pytest.raises(ValueError, match="'9999999h' is longer than 36500d"):
        parse_duration("9999999h")


@pytest.mark.parametrize("text", ["", "a b", "a/b", "a\n", "é", "x" * 129])
def test_refuses_a_bad_secret_name(text: str) -> None:
    """Letters, digits and three signs, as in policies and on command lines."""
    with pytest.raises(ValueError, match="is not a secret name"):
        parse_secret_name(text)
