"""The APIs that we know by name, read from one data file a provider."""

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Literal, get_args

from interlock.calls.hosts import parse_destination
from interlock.errors import CatalogueError
from interlock.pattern import host_fits, is_pattern

type ResourceKind = Literal["model", "service", "endpoint"]
type BodyShape = Literal["openai", "google", "bedrock"]
type ErrorShape = Literal["openai", "anthropic", "google", "message", "plain"]
_KEYS = {"service", "hosts", "secret", "recipe", "errors", "operations"}
_MAY = {"like", "bases", "body"}


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that an API offers: a method on a path, and what it is called in policies."""

    action: str
    method: str
    path: re.Pattern[str]
    resource: str
    stream: bool = False

    def model(self, path: str) -> str:
        """The model that a path names, empty where the body does."""
        found = self.path.fullmatch(path) if "model" in self.path.groupindex else None
        return (found["model"] or "") if found else ""


@dataclass(frozen=True, slots=True)
class Provider:
    """One API: where it lives, which secret opens it, how that travels, how errors look."""

    service: str
    hosts: tuple[str, ...]
    secret: str
    recipe: str
    errors: str
    operations: tuple[Operation, ...]
    body: str = "openai"

    def operation(self, method: str, path: str) -> Operation | None:
        """The operation at a path (decoded, without query), or None."""
        for operation in self.operations:
            if operation.method == method and operation.path.fullmatch(path):
                return operation
        return None


class Catalogue:
    """All providers, by service name and by host."""

    def __init__(self, providers: Iterable[Provider]) -> None:
        self._by_service: dict[str, Provider] = {}
        self._by_host: dict[str, Provider] = {}
        self._by_secret: dict[str, Provider] = {}
        for provider in providers:
            _claim(self._by_service, provider.service, provider)
            _claim(self._by_secret, provider.secret, provider)
            for host in provider.hosts:
                _claim(self._by_host, host, provider)
        self._patterns = {h: p for h, p in self._by_host.items() if is_pattern(h)}

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
        if found := self._by_host.get(host):
            return found
        return next((p for h, p in self._patterns.items() if host_fits(h, host)), None)

    def of_secret(self, secret: str) -> Provider | None:
        """The provider whose secret has this name, or None."""
        return self._by_secret.get(secret)

    @classmethod
    def shipped(cls) -> "Catalogue":
        """Read the providers that come with Interlock; raises CatalogueError."""
        folder = files("interlock.calls") / "providers"
        entries = sorted(folder.iterdir(), key=lambda entry: entry.name)
        return cls(
            parse_providers(
                {e.name: e.read_text("utf-8") for e in entries if e.name.endswith(".toml")}
            )
        )


def _claim(taken: dict[str, Provider], key: str, provider: Provider) -> None:
    other = taken.setdefault(key, provider)
    if other is not provider:
        raise CatalogueError(f"{other.service} and {provider.service} both claim {key!r}")


def parse_providers(texts: Mapping[str, str]) -> list[Provider]:
    """Read provider files by name; raises CatalogueError naming the file and the field.

    A file that says `like` offers the operations of that other one too, each under its own
    `bases` in the place of /v1.
    """
    files_ = {name: _fields(name, text) for name, text in texts.items()}
    by_service = {data["service"]: data for data in files_.values()}
    return [_provider(name, data, by_service) for name, data in files_.items()]


def _fields(name: str, text: str) -> dict[str, Any]:
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as e:
        raise CatalogueError(f"{name}: {e}") from None
    if odd := (_KEYS - data.keys()) | (data.keys() - _KEYS - _MAY):
        raise CatalogueError(f"{name}: missing or unknown field {', '.join(sorted(odd))}")
    if data["errors"] not in get_args(ErrorShape.__value__):
        raise CatalogueError(f"{name}: errors: {data['errors']!r} is no shape that we know")
    if data.get("body", "openai") not in get_args(BodyShape.__value__):
        raise CatalogueError(f"{name}: body: {data['body']!r} is no shape that we know")
    return data


def _provider(
    name: str, data: Mapping[str, Any], by_service: Mapping[str, Mapping[str, Any]]
) -> Provider:
    try:
        hosts = tuple(parse_destination(host).host for host in data["hosts"])
    except ValueError as e:
        raise CatalogueError(f"{name}: hosts: {e}") from None
    entries = list(data["operations"])
    if like := data.get("like"):
        if like not in by_service:
            raise CatalogueError(f"{name}: like: there is no provider {like!r}")
        entries += [
            entry | {"path": base + entry["path"].removeprefix("/v1")}
            for base in data.get("bases", ["/v1"])
            for entry in by_service[like]["operations"]
        ]
    return Provider(
        data["service"],
        hosts,
        data["secret"],
        data["recipe"],
        data["errors"],
        tuple(_operation(name, entry) for entry in entries),
        data.get("body", "openai"),
    )


def _operation(name: str, entry: Mapping[str, Any]) -> Operation:
    if set(entry) - {"stream"} != {"action", "method", "path", "resource"}:
        raise CatalogueError(f"{name}: an operation needs action, method, path, resource: {entry}")
    if entry["resource"] not in get_args(ResourceKind.__value__):
        raise CatalogueError(f"{name}: resource must be model, service or endpoint: {entry}")
    pattern = re.escape(entry["path"]).replace(r"\{model\}", "(?P<model>[^/]+)")
    pattern = re.sub(r"\\{\w+\\}", "[^/]+", pattern)
    stream = bool(entry.get("stream", False))
    return Operation(
        entry["action"], entry["method"], re.compile(pattern), entry["resource"], stream
    )
