"""Stores on this machine: our own vault, the environment, the keyring, a command."""

import os
import shlex
import sys
from pathlib import Path

import keyring.backend
import keyring.errors
import pytest

from broker import Secret, SecretUnavailableError, StoreRefusalError, Vault
from broker.stores import Fetched, Reference, Stores, parse_reference
from broker.stores.command import Command
from tests.broker.stores.contract import VALUE, StoreContract


class Shelf(dict[str, bytes]):
    """The smallest shelf."""

    def put(self, name: str, sealed: bytes) -> None:
        self[name] = sealed

    def remove(self, name: str) -> bool:
        return self.pop(name, None) is not None

    def names(self) -> list[str]:
        return sorted(self)


class TestVault(StoreContract):
    """The embedded store refuses what is no secret before it is sealed."""

    missing = "env:NOTHING"

    @pytest.fixture
    def filled(self) -> Stores:
        self.vault = Vault(Shelf(), b"m" * 32)
        return Stores({})

    def put(self, value: str) -> Reference:
        try:
            self.vault.seal("KEY", Secret(value))
        except ValueError:
            assert value != VALUE
            self.vault.remove("KEY")
        return parse_reference("env:KEY")

    def fetch(self, reference: Reference) -> Fetched:
        try:
            return Fetched(self.vault.open(reference.path))
        except SecretUnavailableError as e:
            why = e.why
        raise StoreRefusalError(why)


class TestEnvironment(StoreContract):
    missing = "env:NOTHING"

    @pytest.fixture
    def filled(self) -> Stores:
        self.environ: dict[str, str] = {"INTERLOCK_MASTER_KEY": VALUE}
        return Stores(self.environ)

    def put(self, value: str) -> Reference:
        self.environ["KEY"] = value
        return parse_reference("env:KEY")

    def test_ours_is_not_for_sale(self) -> None:
        """No reference leads to the master key."""
        with pytest.raises(ValueError, match="does not read env:NAME"):
            parse_reference("env:INTERLOCK_MASTER_KEY")


class Chain(keyring.backend.KeyringBackend):
    """A backend of the package, in memory."""

    priority = 1
    kept: dict[tuple[str, str], str]
    locked = False

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password

    def get_password(self, service: str, username: str) -> str | None:
        if self.locked:
            raise keyring.errors.KeyringLocked(VALUE)
        return self.kept.get((service, username))


class TestOsKeyring(StoreContract):
    missing = "keyring:openai/nobody"

    @pytest.fixture
    def filled(self, monkeypatch: pytest.MonkeyPatch) -> Stores:
        self.backend = Chain()
        self.backend.kept = {}
        monkeypatch.setattr("keyring.core._keyring_backend", self.backend)
        return Stores({})

    def put(self, value: str) -> Reference:
        self.backend.set_password("openai", "ada", value)
        return parse_reference("keyring:openai/ada")

    def test_a_locked_keyring_says_so(self) -> None:
        """In our words."""
        reference = self.put(VALUE)
        self.backend.locked = True
        assert self.refused(reference) == "the keyring is locked"


class TestCommand(StoreContract):
    missing = "command:false"

    @pytest.fixture
    def filled(self, tmp_path: Path) -> Stores:
        self.file = tmp_path / "a file"
        return Stores({"INTERLOCK_MASTER_KEY": "m", "PATH": "/usr/bin:/bin", "HOME": "/h"})

    def put(self, value: str) -> Reference:
        self.file.write_bytes(value.encode() + b"\n")
        return parse_reference(f"command:cat '{self.file}'")

    def python(self, code: str) -> Reference:
        return parse_reference(f"command:{sys.executable} -c {shlex.quote(code)}")

    def test_there_is_no_shell(self) -> None:
        """What a shell would obey is a word like any other."""
        fetched = self.stores.fetch(parse_reference("command:echo $HOME; id && `id` | cat"))
        assert fetched.secret.reveal() == b"$HOME; id && `id` | cat"

    def test_it_does_not_see_what_is_ours(self) -> None:
        """Above all not the master key."""
        code = "import os; print(*[k for k in os.environ if 'LOCK' in k] or ['nothing'])"
        assert self.stores.fetch(self.python(code)).secret.reveal() == b"nothing"

    def test_the_exit_status_counts(self) -> None:
        """A line from a program that failed is no secret, and what it complains of is not ours."""
        half = len(VALUE) // 2
        value = f"{VALUE[:half]!r} + {VALUE[half:]!r}"
        code = f"import sys; print({value}); sys.exit({value})"
        assert self.refused(self.python(code)) == "it ended with exit status 1"

    @pytest.mark.parametrize(
        ("code", "why"),
        [
            pytest.param("import time; time.sleep(60)", "in time", id="says nothing"),
            pytest.param("import os,time; os.close(1); time.sleep(60)", "in time", id="lives on"),
            pytest.param("while True: print('x' * 9999)", "more than", id="never ends its line"),
        ],
    )
    def test_it_is_bounded(self, code: str, why: str) -> None:
        """In time, of which there is less here, and in size."""
        with pytest.raises(StoreRefusalError, match=why):
            Command(os.environ, 1.0).fetch(self.python(code))

    def test_what_does_not_start_is_named(self) -> None:
        """So that one finds the word that is wrong."""
        why = self.refused(parse_reference("command:no-such-program x"))
        assert why == "'no-such-program' does not start: No such file or directory"
        assert "cannot be read" in self.refused(parse_reference("command:echo 'x"))
