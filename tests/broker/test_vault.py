"""The laws of the embedded store."""

import base64
import traceback
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.secret import SecretBox

from broker import Pointer, Secret, SecretUnavailableError, Vault, master_key

KEY = b"m" * 32
VALUE = "sk-live-0123456789abcdef"


class DictShelf(dict[str, bytes]):
    """The smallest shelf."""

    def put(self, name: str, sealed: bytes) -> None:
        self[name] = sealed

    def remove(self, name: str) -> bool:
        return self.pop(name, None) is not None

    def names(self) -> list[str]:
        return sorted(self)


@pytest.fixture
def shelf() -> DictShelf:
    return DictShelf()


@pytest.fixture
def vault(shelf: DictShelf) -> Vault:
    return Vault(shelf, KEY)


@given(st.text(max_size=20), st.text("aZ09+/é", min_size=1))
def test_open_mirrors_seal(name: str, value: str) -> None:
    """What was sealed under a name opens under it."""
    vault = Vault(DictShelf(), KEY)
    vault.seal(name, Secret(value))
    assert vault.open(name) == Secret(value)


def test_the_latest_seal_counts(vault: Vault) -> None:
    """Sealing again replaces; removing removes, and says whether there was anything."""
    vault.seal("openai", Secret(VALUE))
    vault.seal("openai", Secret("sk-live-rotated"))
    vault.seal("anthropic", Secret(VALUE))
    assert vault.open("openai") == Secret("sk-live-rotated")
    assert vault.names() == ["anthropic", "openai"]
    assert (vault.remove("openai"), vault.remove("openai")) == (True, False)
    assert vault.names() == ["anthropic"]


def test_the_shelf_sees_no_value(vault: Vault, shelf: DictShelf) -> None:
    """Rows are plain bytes without the value, and the same value never gives the same row."""
    vault.seal("openai", Secret(VALUE))
    first = shelf["openai"]
    vault.seal("openai", Secret(VALUE))
    assert type(first) is bytes
    assert VALUE.encode() not in first
    assert shelf["openai"] != first


def test_an_absent_secret_is_unavailable(vault: Vault) -> None:
    """The error names the secret."""
    with pytest.raises(SecretUnavailableError, match=r"'openai'.*no secret of that name") as caught:
        vault.open("openai")
    assert caught.value.name == "openai"


def test_a_wrong_master_key_opens_and_damages_nothing(vault: Vault, shelf: DictShelf) -> None:
    """It says so; with the right key everything is still there."""
    vault.seal("openai", Secret(VALUE))
    with pytest.raises(SecretUnavailableError, match="another master key, or damaged"):
        Vault(shelf, b"w" * 32).open("openai")
    assert vault.open("openai") == Secret(VALUE)


@given(st.integers(0), st.integers(0, 7))
def test_any_flipped_bit_makes_a_row_unavailable(where: int, bit: int) -> None:
    """A row is whole or worth nothing."""
    shelf = DictShelf()
    vault = Vault(shelf, KEY)
    vault.seal("openai", Secret(VALUE))
    row = bytearray(shelf["openai"])
    row[where % len(row)] ^= 1 << bit
    shelf["openai"] = bytes(row)
    with pytest.raises(SecretUnavailableError):
        vault.open("openai")


@pytest.mark.parametrize("length", [0, 1, 23, 24, 39, 40, 60])
def test_a_truncated_row_is_unavailable(vault: Vault, shelf: DictShelf, length: int) -> None:
    """However little is left."""
    vault.seal("openai", Secret(VALUE))
    shelf["openai"] = shelf["openai"][:length]
    with pytest.raises(SecretUnavailableError):
        vault.open("openai")


@pytest.mark.parametrize(("name", "other"), [("openai", "anthropic"), ("openai", "open")])
def test_rows_cannot_change_places(vault: Vault, shelf: DictShelf, name: str, other: str) -> None:
    """A row that was moved to another name does not open, and no traceback shows what is in it."""
    vault.seal(name, Secret(VALUE))
    shelf[other] = shelf[name]
    with pytest.raises(SecretUnavailableError, match="sealed under another name") as caught:
        vault.open(other)
    report = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    assert VALUE not in "".join(report.format())


ROW = b"\1" + b"\0\0\0\6" + b"openai" + VALUE.encode()


def test_a_row_has_this_format(vault: Vault, shelf: DictShelf) -> None:
    """Version byte, length of the name, name, value: what is sealed today opens ever after."""
    vault.seal("openai", Secret(VALUE))
    assert SecretBox(KEY).decrypt(shelf["openai"]) == ROW
    shelf["openai"] = bytes(SecretBox(KEY).encrypt(ROW))
    assert vault.open("openai") == Secret(VALUE)


def test_another_format_does_not_open(vault: Vault, shelf: DictShelf) -> None:
    """The version byte is checked, so a later format is never misread."""
    shelf["openai"] = bytes(SecretBox(KEY).encrypt(b"\2" + ROW[1:]))
    with pytest.raises(SecretUnavailableError):
        vault.open("openai")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(("\xfb" * 32).encode("latin-1").hex(), id="hex"),
        pytest.param(("\xfb" * 32).encode("latin-1").hex().upper(), id="hex in capitals"),
        pytest.param(base64.b64encode(b"\xfb" * 32).decode(), id="base64"),
        pytest.param(base64.urlsafe_b64encode(b"\xfb" * 32).decode(), id="base64url"),
    ],
)
def test_takes_the_master_key_from_the_environment(tmp_path: Path, text: str) -> None:
    """The variable comes first, and then no file is made."""
    assert master_key(tmp_path, {"INTERLOCK_MASTER_KEY": text}) == b"\xfb" * 32
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "secret!",
        "0f" * 31,
        "0f" * 33,
        "zz" * 32,
        "é" * 32,
        "A" * 42,
        "0f" * 32 + "\n",
        "!" + "A" * 43 + "=",
    ],
)
def test_refuses_a_variable_that_is_no_key(tmp_path: Path, text: str) -> None:
    """The message names the variable and not its value; no file stands in for it."""
    with pytest.raises(ValueError, match=r"^INTERLOCK_MASTER_KEY must be") as caught:
        master_key(tmp_path, {"INTERLOCK_MASTER_KEY": text})
    assert not text or text not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_else_keeps_a_master_key_in_a_file(tmp_path: Path) -> None:
    """Without the variable, a key file is made once, with the care of every key file."""
    key = master_key(tmp_path, {})
    assert master_key(tmp_path, {}) == (tmp_path / "master.key").read_bytes() == key
    assert (tmp_path / "master.key").stat().st_mode & 0o777 == 0o600


def test_a_reference_is_kept_in_place_of_a_value(vault: Vault, shelf: DictShelf) -> None:
    """Sealed like one, told apart from one, with another version after every change."""
    vault.point("openai", "env:KEY")
    first = vault.look("openai")
    vault.point("openai", "env:KEY")
    second = vault.look("openai")
    assert isinstance(first, Pointer)
    assert isinstance(second, Pointer)
    assert (first.reference, second.reference) == ("env:KEY", "env:KEY")
    assert first.version != second.version
    assert b"env:KEY" not in shelf["openai"]
    with pytest.raises(SecretUnavailableError, match="kept in another store"):
        vault.open("openai")


def test_a_value_never_becomes_a_reference(vault: Vault) -> None:
    """Whatever it looks like."""
    vault.seal("openai", Secret("command:id"))
    assert vault.look("openai") == Secret("command:id")
