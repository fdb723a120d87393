"""The laws of PASETO v4.public, and the official test vectors."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from nacl.signing import SigningKey, VerifyKey

from broker.errors import TokenError, TokenForgedError, TokenMalformedError
from broker.paseto import footer_of, pae, sign, verify

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "paseto-v4.json").read_text())[
    "tests"
]
PUBLIC = [v for v in VECTORS if v["name"].startswith("4-S-")]
LOCAL = [v for v in VECTORS if not v["token"].startswith("v4.public.")]
FAILING = [v for v in VECTORS if v["expect-fail"]]
PUBLISHED_KEY = VerifyKey(bytes.fromhex(PUBLIC[0]["public-key"]))

KEY = SigningKey(b"k" * 32)
TOKEN = sign(b"payload", KEY, b"footer", b"implicit")
Vector = dict[str, Any]


def named(vectors: list[Vector]) -> list[Any]:
    return [pytest.param(vector, id=vector["name"]) for vector in vectors]


@pytest.mark.parametrize("vector", named(PUBLIC))
def test_agrees_with_the_official_vectors(vector: Vector) -> None:
    """Signing gives the published token, verifying gives the published payload and footer."""
    key = SigningKey(bytes.fromhex(vector["secret-key-seed"]))
    payload, footer = vector["payload"].encode(), vector["footer"].encode()
    implicit = vector["implicit-assertion"].encode()
    assert key.verify_key == PUBLISHED_KEY
    assert sign(payload, key, footer, implicit) == vector["token"]
    assert verify(vector["token"], PUBLISHED_KEY, implicit) == (payload, footer)
    assert footer_of(vector["token"]) == footer


@pytest.mark.parametrize("vector", named(FAILING))
def test_refuses_the_vectors_that_must_fail(vector: Vector) -> None:
    """What the specification says must fail, fails."""
    with pytest.raises(TokenError):
        verify(vector["token"], PUBLISHED_KEY, vector["implicit-assertion"].encode())


@pytest.mark.parametrize("vector", named(LOCAL))
def test_refuses_other_versions_and_purposes(vector: Vector) -> None:
    """A token that is not v4.public is malformed, whatever else is right about it."""
    for read in (footer_of, lambda token: verify(token, PUBLISHED_KEY)):
        with pytest.raises(TokenMalformedError):
            read(vector["token"])


def test_covers_every_vector() -> None:
    """No vector of the file is left out."""
    names = {vector["name"] for vector in (*PUBLIC, *LOCAL, *FAILING)}
    assert names == {vector["name"] for vector in VECTORS}


@given(st.binary(), st.binary(), st.binary())
def test_gives_back_what_was_signed(payload: bytes, footer: bytes, implicit: bytes) -> None:
    """Verify mirrors sign for every payload, footer and implicit assertion."""
    token = sign(payload, KEY, footer, implicit)
    assert verify(token, KEY.verify_key, implicit) == (payload, footer)
    assert footer_of(token) == footer


@given(st.integers(0, len(TOKEN) - 1), st.integers(0, 6))
def test_refuses_any_flipped_bit(index: int, bit: int) -> None:
    """One bit of the text changed, and the token is worthless."""
    flipped = chr(ord(TOKEN[index]) ^ 1 << bit)
    with pytest.raises(TokenError):
        verify(TOKEN[:index] + flipped + TOKEN[index + 1 :], KEY.verify_key, b"implicit")


@given(st.integers(0, len(TOKEN) - 1))
def test_refuses_any_truncation(length: int) -> None:
    """No beginning of a token is a token."""
    with pytest.raises(TokenError):
        verify(TOKEN[:length], KEY.verify_key, b"implicit")


@given(st.text(min_size=1), st.booleans())
def test_refuses_anything_added(text: str, behind: bool) -> None:
    """Text before or behind a token spoils it, with a footer and without."""
    for token in (TOKEN, sign(b"payload", KEY, implicit=b"implicit")):
        with pytest.raises(TokenError):
            verify(token + text if behind else text + token, KEY.verify_key, b"implicit")


@given(st.binary())
def test_refuses_a_swapped_footer(footer: bytes) -> None:
    """The footer is signed, although anybody can read it."""
    assume(footer != b"footer")
    body = TOKEN.rpartition(".")[0]
    swapped = f"{body}.{sign(b'', KEY, footer).rpartition('.')[2]}" if footer else body
    with pytest.raises(TokenForgedError):
        verify(swapped, KEY.verify_key, b"implicit")


@given(st.binary(min_size=32, max_size=32))
def test_refuses_a_wrong_key(seed: bytes) -> None:
    """Only the key that signed verifies."""
    assume(seed != bytes(KEY))
    with pytest.raises(TokenForgedError):
        verify(TOKEN, SigningKey(seed).verify_key, b"implicit")


@given(st.binary())
def test_refuses_another_implicit_assertion(implicit: bytes) -> None:
    """What both sides must know anyway is part of what was signed."""
    assume(implicit != b"implicit")
    with pytest.raises(TokenForgedError):
        verify(TOKEN, KEY.verify_key, implicit)


BARE = sign(b"payload", KEY)  # 71 bytes, so its last character holds four bits that must be zero


@pytest.mark.parametrize(
    "token",
    [
        pytest.param("", id="nothing"),
        pytest.param("v4.public.", id="only a header"),
        pytest.param(BARE.removeprefix("v4.public."), id="no header"),
        pytest.param("v4.public.AAAA", id="no room for a signature"),
        pytest.param(BARE.replace("v4", "V4"), id="header in capitals"),
        pytest.param(BARE.replace("v4", "v3"), id="another version"),
        pytest.param(BARE + "=", id="padding"),
        pytest.param(BARE + ".", id="an empty footer"),
        pytest.param(TOKEN + ".AAAA", id="a part too many"),
        pytest.param(BARE[:-1] + chr(ord(BARE[-1]) + 1), id="trailing bits that are not zero"),
        pytest.param(BARE[:20] + "\n" + BARE[20:], id="a line break"),
        pytest.param(BARE[:20] + "+" + BARE[20:], id="the other base64 alphabet"),
        pytest.param(BARE[:20] + "*" + BARE[20:], id="a character of no alphabet"),
        pytest.param(BARE[:20] + "é" + BARE[20:], id="not ASCII"),
        pytest.param(BARE[:20] + "\ud800" + BARE[20:], id="a lone surrogate"),
    ],
)
def test_accepts_one_spelling_only(token: str) -> None:
    """Whatever is not canonical is malformed, even where a lenient decoder would read the same."""
    with pytest.raises(TokenMalformedError):
        verify(token, KEY.verify_key)


@pytest.mark.parametrize(
    ("pieces", "encoded"),
    [
        pytest.param([], b"\0" * 8, id="nothing"),
        pytest.param([b""], b"\1" + b"\0" * 15, id="one empty piece"),
        pytest.param([b"test"], b"\1" + b"\0" * 7 + b"\4" + b"\0" * 7 + b"test", id="one piece"),
    ],
)
def test_encodes_pieces_as_the_specification_shows(pieces: list[bytes], encoded: bytes) -> None:
    """The examples of Common.md."""
    assert pae(*pieces) == encoded


@given(st.lists(st.binary(max_size=9)), st.lists(st.binary(max_size=9)))
def test_no_two_lists_are_encoded_alike(one: list[bytes], other: list[bytes]) -> None:
    """Moving bytes from one piece to the next changes the encoding."""
    assert (pae(*one) == pae(*other)) == (one == other)
