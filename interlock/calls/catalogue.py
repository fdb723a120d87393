"""The APIs that we know by name, read from one data file a provider."""

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Literal, get_args

from interlock.errors import CatalogueError

type ResourceKind = Literal["model", "service", "endpoint"]
_KEYS = {"service", "hosts", "secret", "recipe", "errors", "operations"}


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that an API offers: a method on a path, and what it is called in policies."""

    action: str
    method: str
    path: re.Pattern[str]
    resource: str


@dataclass(frozen=True, slots=True)
class Provider:
    """One API: where it lives, which secret opens it, how that travels, how errors look."""

    service: str
    hosts: tuple[str, ...]
    secret: str
    recipe: str
    errors: str
    operations: tuple[Operation, ...]

    def operation(self, method: str, path: str) -> Operation | None:
        """The operation at a path (without query), or None."""
        for operation in self.operations:
            if operation.method == method and operation.path.fullmatch(path):
                return operation
        return None


class Catalogue:
    """All providers, by service name and by host."""

    def __init__(self, providers: Iterable[Provider]) -> None:
        self._by_service = {provider.service: provider for provider in providers}
        self._by_host = {host: p for p in self._by_service.values() for host in p.hosts}

    def __iter__(self) -> Iterator[Provider]:
        return iter(self._by_service.values())

    @property
    def actions(self) -> frozenset[str]:
        """Every action that a call to one of these APIs can be."""
        return frozenset(o.action for p in self for o in p.operations)

    def named(self, service: str) -> Provider | None:
        """The provider of a service name, or None."""
        return self._by_service.get(service)

    def at(self, host: str) -> Provider | None:
        """The provider that lives at a canonical host name, or None."""
        return self._by_host.get(host)

    def of_secret(self, secret: str) -> Provider | None:
        """The provider whose secret has this name, or None."""
        return next((p for p in self._by_service.values() if p.secret == secret), None)

    @classmethod
    def shipped(cls) -> "Catalogue":
        """Read the providers that come with Interlock; raises CatalogueError."""
        folder = files("interlock.calls") / "providers"
        entries = sorted(folder.iterdir(), key=lambda entry: entry.name)
        return cls(
            parse_provider(entry.name, entry.read_text("utf-8"))
            for entry in entries
            if entry.name.endswith(".toml")
        )


def parse_provider(name: str, text: str) -> Provider:
    """Read one provider file; raises CatalogueError naming the file and the field."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as e:
        raise CatalogueError(f"{name}: {e}") from None
    if missing := _KEYS ^ data.keys():
        raise CatalogueError(f"{name}: missing or unknown field {', '.join(sorted(missing))}")
    return Provider(
        data["service"],
        tuple(data["hosts"]),
        data["secret"],
        data["recipe"],
        data["errors"],
        tuple(_operation(name, entry) for entry in data["operations"]),
    )


def _operation(name: str, entry: Mapping[str, Any]) -> Operation:
    if set(entry) != {"action", "method", "path", "resource"}:
        raise CatalogueError(f"{name}: an operation needs action, method, path, resource: {entry}")
    if entry["resource"] not in get_args(ResourceKind.__value__):
        raise CatalogueError(f"{name}: resource must be model, service or endpoint: {entry}")
    pattern = re.sub(r"\\{\w+\\}", "[^/]+", re.escape(entry["path"]))
    return Operation(entry["action"], entry["method"], re.compile(pattern), entry["resource"])
