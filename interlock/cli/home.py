"""Opens the home that a command works on: to look at it, or to change it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import typer

from interlock.cli.reader import START, Reader
from interlock.errors import SettingsError
from interlock.federation import Federation
from interlock.installation import Installation
from interlock.ledger import Ledger
from interlock.registry import Pins, Registry, Servers, Sessions, Tokens
from interlock.settings import Settings
from interlock.store import Bindings, Shelf
from interlock.store.modes import Modes


@dataclass(frozen=True, slots=True)
class Records:
    """What an installation holds, for reading."""

    database: Reader
    ledger: Ledger
    registry: Registry
    servers: Servers
    sessions: Sessions
    tokens: Tokens
    pins: Pins
    bindings: Bindings
    modes: Modes
    federation: Federation

    def secrets(self) -> list[str]:
        """The names of all secrets: those that are kept here, and those that a broker has."""
        kept = self.database.read(lambda connection: Shelf(connection).names())
        return sorted({*kept, *(binding.secret for binding in self.bindings.all())})


def settings_of(context: typer.Context) -> Settings:
    """Read the settings, with `--home` on top; raises SettingsError."""
    if context.obj == "":
        raise SettingsError("--home: give a path, it is empty")
    return Settings.load(home=context.obj)


@contextmanager
def reading(settings: Settings) -> Iterator[Records]:
    """Open the records of a home that exists; raises SettingsError or StoreError."""
    require_home(settings)
    with Reader(settings.database) as database:
        ledger = Ledger(database)
        registry = Registry(database, ledger.admin)
        yield Records(
            database,
            ledger,
            registry,
            Servers(database, ledger.admin),
            Sessions(database, ledger.admin),
            Tokens(database, ledger.admin),
            Pins(database, ledger.admin),
            Bindings(database),
            Modes(database, ledger.admin),
            Federation(database, ledger.admin, registry),
        )


@contextmanager
def changing(settings: Settings, *, create: bool = False) -> Iterator[Installation]:
    """Open a home for changes; without `create` it has to exist."""
    if not create:
        require_home(settings)
    with Installation(settings) as installation:
        yield installation


def require_home(settings: Settings) -> None:
    """Raise SettingsError when there is no home, or nothing in it, yet."""
    for path in (settings.home, settings.database):
        if not path.exists():
            raise SettingsError(f"{path} does not exist: {START}")
