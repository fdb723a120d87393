"""Where settings come from: command line, environment, `interlock.toml`, default, in this order."""

import ipaddress
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, field_validator
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from interlock.errors import SettingsError
from interlock.model import Mode

DEFAULT_HOME = "~/.interlock"

type Network = ipaddress.IPv4Network | ipaddress.IPv6Network
type AllowPrivate = tuple[frozenset[str], tuple[Network, ...]]


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that is taken from anybody before a call or a connection ends; see `Settings`."""

    header_bytes: int = 256 << 10
    header_count: int = 256
    decompression_ratio: int = 100
    message_bytes: int = 16 << 20
    message_rate: int = 200
    stream_bytes: int = 1 << 30
    control_rate: int = 1000
    max_rate: int = 2000
    max_connections: int = 1000
    header_timeout: int = 60
    body_timeout: int = 300
    idle_timeout: int = 600


_DEFAULT = Limits()


class Settings(BaseSettings):
    """Everything that can be set; the names are those of the options, without `interlock_`."""

    model_config = SettingsConfigDict(
        env_prefix="INTERLOCK_", env_ignore_empty=True, extra="forbid", frozen=True
    )

    home: Path = Path(DEFAULT_HOME)
    mode: Mode = Mode.OBSERVE
    store: str = ""
    policies: Path | None = None
    shadow: Path | None = None
    require_identity: bool = False
    allow_private: str = ""
    routes: str = ""
    parent_secret: str = ""
    secret_cache: float = Field(default=60, ge=0, le=3600)
    broker: str = ""
    broker_tls: Path | None = None
    client_ca: Path | None = None
    client_crl: Path | None = None
    header_bytes: int = Field(default=_DEFAULT.header_bytes, ge=1 << 10, le=1 << 20)
    header_count: int = Field(default=_DEFAULT.header_count, ge=16, le=10_000)
    decompression_ratio: int = Field(default=_DEFAULT.decompression_ratio, ge=1, le=1100)
    message_bytes: int = Field(default=_DEFAULT.message_bytes, ge=1 << 10, le=1 << 30)
    message_rate: int = Field(default=_DEFAULT.message_rate, ge=1, le=1_000_000)
    stream_bytes: int = Field(default=_DEFAULT.stream_bytes, ge=1 << 10, le=1 << 50)
    control_rate: int = Field(default=_DEFAULT.control_rate, ge=10, le=1_000_000)
    max_rate: int = Field(default=_DEFAULT.max_rate, ge=1, le=1_000_000)
    max_connections: int = Field(default=_DEFAULT.max_connections, ge=1, le=1_000_000)
    header_timeout: int = Field(default=_DEFAULT.header_timeout, ge=1, le=3600)
    body_timeout: int = Field(default=_DEFAULT.body_timeout, ge=1, le=86_400)
    idle_timeout: int = Field(default=_DEFAULT.idle_timeout, ge=1, le=86_400)

    @field_validator("home", "policies", "shadow", "broker_tls", "client_ca", "client_crl")
    @classmethod
    def _expand(cls, path: Path | None) -> Path | None:
        return path.expanduser().absolute() if path else path

    @field_validator("store")
    @classmethod
    def _sqlite(cls, store: str) -> str:
        if "://" in store:
            raise ValueError("this version keeps its state in SQLite: give a file path")
        return store

    @field_validator("allow_private")
    @classmethod
    def _networks(cls, text: str) -> str:
        parse_allow_private(text)
        return text

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put `interlock.toml` of the home behind the command line and the environment."""
        given = init_settings.init_kwargs  # type: ignore[attr-defined]
        toml = TomlConfigSettingsSource(settings_cls, _file(given))
        return init_settings, env_settings, toml

    @property
    def limits(self) -> Limits:
        """What of this bounds the traffic."""
        return Limits(**{each.name: getattr(self, each.name) for each in fields(Limits)})

    @property
    def is_default_home(self) -> bool:
        """True for the home of the person who runs this, false for a temporary one."""
        return self.home == Path(DEFAULT_HOME).expanduser()

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return (
            Path(self.store).expanduser().absolute() if self.store else self.home / "interlock.db"
        )

    @property
    def ca(self) -> Path:
        """The folder of the certificate authority that agents trust."""
        return self.home / "ca"

    @property
    def checkpoints(self) -> Path:
        """The folder of signed checkpoints of the ledger."""
        return self.home / "checkpoints"

    @property
    def runs(self) -> Path:
        """The folder by which front doors see which of them are alive."""
        return self.home / "run"

    @property
    def rates(self) -> Path:
        """The file in which front doors count the requests of agents together."""
        return self.home / "rates"

    @property
    def archive(self) -> Path:
        """The folder of events that were pruned from the database."""
        return self.home / "archive"

    @property
    def keys(self) -> Path:
        """The folder of signing keys and of the master key."""
        return self.home / "keys"

    @classmethod
    def load(cls, **given: Any) -> "Settings":
        """Read all sources; `given` holds what the command line says, None where it is silent.

        Raises SettingsError with one line that names the setting.
        """
        given = {name: value for name, value in given.items() if value is not None}
        try:
            return cls(**given)
        except ValidationError as e:
            raise SettingsError(_told(e.errors()[0], given)) from None
        except tomllib.TOMLDecodeError as e:
            raise SettingsError(f"{_file(given)}: {e}") from None
        except UnicodeDecodeError as e:
            raise SettingsError(f"{_file(given)}: not UTF-8 at byte {e.start}") from None
        except OSError as e:
            raise SettingsError(f"{e.filename}: {e.strerror}") from None


def parse_allow_private(text: str) -> AllowPrivate:
    """Parse the comma-separated list of hosts, addresses and CIDRs into names and networks.

    Raises ValueError for an entry that looks like an address and is none.
    """
    names: set[str] = set()
    networks: list[Network] = []
    for entry in filter(None, (part.strip() for part in text.split(","))):
        if entry[0].isdigit() or ":" in entry or "/" in entry:
            networks.append(ipaddress.ip_network(entry, strict=False))
        else:
            names.add(entry.lower().rstrip("."))
    return frozenset(names), tuple(networks)


def _file(given: Mapping[str, Any]) -> Path:
    """The settings file of the home that is meant."""
    home = given.get("home") or os.environ.get("INTERLOCK_HOME") or DEFAULT_HOME
    return Path(home).expanduser().absolute() / "interlock.toml"


def _told(problem: ErrorDetails, given: Mapping[str, Any]) -> str:
    """What is wrong with a setting, under the name by which it was given."""
    name = ".".join(map(str, problem["loc"])) or "settings"
    if name in given:
        place = f"interlock_{name}"
    elif variable := _variable(name):
        place = variable
    else:
        place = f"{_file(given)}: {name}"
    if problem["type"] == "extra_forbidden":
        near = get_close_matches(name, Settings.model_fields, n=1)
        return f"{place}: unknown setting" + "".join(f"; did you mean {one}?" for one in near)
    said = problem["msg"].removeprefix("Value error, ")
    return f"{place}: {said} (got {problem['input']!r})"


def _variable(name: str) -> str:
    """The variable that says a setting, in the case in which it stands there; else empty."""
    wanted = f"INTERLOCK_{name}".upper()
    return next((one for one, said in os.environ.items() if said and one.upper() == wanted), "")


def secure_home(home: Path) -> Path:
    """Create the home with mode 0700 when it is missing; raise SettingsError when that fails."""
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as e:
        raise SettingsError(f"interlock_home: cannot create {home}: {e.strerror}") from None
    return home
