"""The laws of a keyring."""

from pathlib import Path

import pytest
from nacl.signing import SigningKey

from broker import KeyFileError, Keyring, TokenForgedError


def test_opens_the_same_ring_again(tmp_path: Path) -> None:
    """The key is made once and found ever after."""
    first, second = (Keyring.open(tmp_path / "keys", "sct") for _ in range(2))
    assert first.kid == second.kid
    assert first.signing_key == second.signing_key
    assert [path.name for path in (tmp_path / "keys").iterdir()] == ["sct-0001.key"]


def test_each_purpose_has_its_own_key(tmp_path: Path) -> None:
    """A delegation link can never be signed by the key of tokens, or the other way round."""
    purposes = ("sct", "sctx", "delegation")
    rings = [Keyring.open(tmp_path, purpose) for purpose in purposes]
    assert len({ring.kid for ring in rings}) == 3
    assert [Keyring.open(tmp_path, purpose).kid for purpose in purposes] == [r.kid for r in rings]
    with pytest.raises(TokenForgedError):
        rings[0].verify_key(rings[1].kid)


def test_the_newest_key_signs_and_all_verify(tmp_path: Path) -> None:
    """With several keys the last one signs; tokens of the older ones still verify."""
    old = Keyring.open(tmp_path, "sct")
    seed = b"n" * 32
    (tmp_path / "sct-0002.key").write_bytes(seed)
    (tmp_path / "sct-0002.key").chmod(0o600)
    ring = Keyring.open(tmp_path, "sct")
    assert ring.signing_key == SigningKey(seed)
    assert ring.verify_key(ring.kid) == SigningKey(seed).verify_key
    assert ring.verify_key(old.kid) == old.signing_key.verify_key


@pytest.mark.parametrize("kid", ["", "0" * 16, "../sct", "é"])
def test_refuses_a_key_that_is_not_on_the_ring(keyring: Keyring, kid: str) -> None:
    """A token that names a foreign key is forged."""
    with pytest.raises(TokenForgedError):
        keyring.verify_key(kid)


def test_names_a_key_by_its_public_half(keyring: Keyring) -> None:
    """The kid is short, and the same wherever the key is."""
    assert len(keyring.kid) == 16
    assert Keyring([SigningKey(b"k" * 32)]).kid == keyring.kid
    assert Keyring([SigningKey(b"l" * 32)]).kid != keyring.kid


def test_one_unsafe_key_spoils_the_ring(tmp_path: Path) -> None:
    """An old key that others could read is refused like the newest."""
    Keyring.open(tmp_path, "sct")
    (tmp_path / "sct-0000.key").symlink_to(tmp_path / "sct-0001.key")
    with pytest.raises(KeyFileError, match="sct-0000"):
        Keyring.open(tmp_path, "sct")


@pytest.mark.parametrize("purpose", ["", "SCT", "../sct", "sct-0001", "s*", "sct\n"])
def test_refuses_a_purpose_that_is_no_word(tmp_path: Path, purpose: str) -> None:
    """A purpose becomes a file name, so it is lower-case letters."""
    with pytest.raises(ValueError, match="the purpose of a key is lower-case letters"):
        Keyring.open(tmp_path, purpose)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_ring_is_refused() -> None:
    """Without a key there is nothing to open."""
    with pytest.raises(ValueError, match="at least one key"):
        Keyring([])
