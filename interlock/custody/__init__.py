"""Who has the secrets: this process, or a broker in a process of its own."""

from collections.abc import Callable, Sequence

from broker.remote import Client, parse_address
from interlock.custody.local import LocalCustody
from interlock.custody.remote import RemoteCustody
from interlock.errors import SettingsError
from interlock.installation import Installation
from interlock.model import Binding

type Custody = LocalCustody | RemoteCustody

__all__ = ["Custody", "LocalCustody", "RemoteCustody", "custody_of"]


def custody_of(
    installation: Installation, require_sound: Callable[[Sequence[Binding]], None]
) -> Custody:
    """The custody that the settings name; raises SettingsError or broker.KeyFileError."""
    settings = installation.settings
    if not settings.broker:
        return LocalCustody(installation)
    try:
        address = parse_address(settings.broker, settings.broker_tls)
    except ValueError as e:
        raise SettingsError(f"interlock_broker: {e}") from None
    return RemoteCustody(installation, Client(address), require_sound)
