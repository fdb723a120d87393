"""`keyring:SERVICE/USER`: the keyring of the operating system, by the package `keyring`."""

import re
from collections.abc import Mapping
from typing import ClassVar

from broker.errors import StoreRefusalError
from broker.secret import Secret
from broker.stores.reference import Reference
from broker.stores.store import Fetched, Store, fetched, secret_or_why


class OsKeyring(Store):
    """Ask macOS Keychain, Windows Credential Locker, Secret Service, or what else is set up."""

    name: ClassVar = "keyring"
    form: ClassVar = "keyring:SERVICE/USER"
    pattern: ClassVar = re.compile(r"(?P<path>.*[^/])/(?P<field>[^/]+)")
    needs: ClassVar = "`pip install 'interlock[keyring]'`, and a keyring that is unlocked"

    def __init__(self, environ: Mapping[str, str]) -> None:
        pass

    def fetch(self, reference: Reference) -> Fetched:
        try:
            import keyring
            from keyring.errors import KeyringError, KeyringLocked, NoKeyringError
        except ImportError:
            raise StoreRefusalError("run: pip install 'interlock[keyring]'") from None
        try:
            found = _found(keyring.get_password(reference.path, reference.field))
        except NoKeyringError:
            raise StoreRefusalError("this machine has no keyring that can be used") from None
        except KeyringLocked:
            raise StoreRefusalError("the keyring is locked") from None
        except KeyringError as e:
            raise StoreRefusalError(f"the keyring failed: {type(e).__name__}") from None
        return fetched(found)

    def forget(self, reference: Reference) -> None:
        """Keep nothing, so forget nothing."""

    def close(self) -> None:
        """Hold nothing."""


def _found(value: str | None) -> Secret | str:
    return "there is no such password" if value is None else secret_or_why(value)
