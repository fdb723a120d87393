"""The laws of holders and of the text of their public keys."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from broker import Keyring
from interlock.delegation import format_public_key, kid_of, parse_holder, parse_public_key

KEY = SigningKey(b"k" * 32)
TEXT = format_public_key(KEY.verify_key)


@pytest.mark.parametrize("text", ['User::"ada"', 'User::"ada@lab.example"', 'Agent::"a-1_b.c"'])
def test_a_holder_is_written_as_in_a_policy(text: str) -> None:
    """Parsing mirrors str()."""
    assert str(parse_holder(text)) == text


@pytest.mark.parametrize(
    "text",
    ["", "ada", 'Group::"g"', 'User::"a b"', 'User::"a\\""', 'User::"a"\n', 'User::"../a"'],
)
def test_refuses_any_other_text(text: str) -> None:
    """Names are plain: they become file names, and words in a terminal."""
    with pytest.raises(ValueError, match="neither"):
        parse_holder(text)


@given(st.binary(min_size=32, max_size=32))
def test_the_text_of_a_key_mirrors_the_key(seed: bytes) -> None:
    """What one machine prints, another reads."""
    key = SigningKey(seed).verify_key
    assert parse_public_key(format_public_key(key)) == key
    assert kid_of(key) == Keyring([SigningKey(seed)]).kid


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param(TEXT.removeprefix("k4.public."), id="no header"),
        pytest.param(TEXT.replace("public", "secret"), id="a private key"),
        pytest.param(TEXT + "=", id="padding"),
        pytest.param(TEXT[:-1], id="a character less"),
        pytest.param(TEXT[:-1] + chr(ord(TEXT[-1]) + 1), id="trailing bits that are not zero"),
        pytest.param("k4.public.é", id="not ASCII"),
    ],
)
def test_refuses_any_other_spelling(text: str) -> None:
    """One key, one text."""
    with pytest.raises(ValueError, match=r"k4\.public\."):
        parse_public_key(text)
