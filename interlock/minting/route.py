"""A route on which an upstream hands out tokens, declared by a person or known by name."""

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import unquote

from interlock.calls.hosts import parse_destination, parse_path_pattern
from interlock.errors import MintError
from interlock.model import Authority
from interlock.pattern import host_fits, path_fits

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_FIELD = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,62}")
_METHOD = re.compile(r"[A-Z][A-Z-]{0,31}")
_HEADER = re.compile(r"[a-z][a-z0-9-]{0,62}")
FIELDS = ("access_token", "refresh_token", "id_token")
HEADERS = ("authorization",)


@dataclass(frozen=True, slots=True)
class Route:
    """Where tokens are handed out, in which JSON fields, and where each may then be used.

    In one of `headers` towards `hosts`; in query or body only on a route of `authority`, for that
    is where a token is refreshed, exchanged or revoked. Raises MintError for what is not sound.
    """

    name: str
    authority: Authority
    path: str
    method: str = "POST"
    fields: tuple[str, ...] = FIELDS
    hosts: tuple[Authority, ...] = ()
    headers: tuple[str, ...] = HEADERS

    def __post_init__(self) -> None:
        try:
            _require(self)
        except ValueError as e:
            raise MintError(f"route {self.name[:64]!r}: {e}") from None

    def fits(self, authority: Authority, method: str, path: str) -> bool:
        """Say whether a call may be handed a token here; `path` is as on the wire.

        Read as widely as a server might: escapes decoded, in any case, and all paths below too.
        """
        plain = unquote(path.partition("?")[0]).casefold()
        return (
            authority == self.authority
            and method == self.method
            and path_fits(self.path.casefold(), plain)
        )

    def reaches(self, authority: Authority) -> bool:
        """Say whether what is minted here may go there."""
        return authority == self.authority or self.serves(authority)

    def serves(self, authority: Authority) -> bool:
        """Say whether what is minted here may go there in a header."""
        return any(
            host.port == authority.port and host_fits(host.host, authority.host)
            for host in self.hosts
        )


def _require(route: Route) -> None:
    """Raise ValueError for a part that could mean more than it says."""
    if not _NAME.fullmatch(route.name):
        raise ValueError("its name must be lower-case letters, digits, '.', '_' and '-'")
    if "*" in route.authority.host:
        raise ValueError("it is on one host, without a '*'")
    for host in (route.authority, *route.hosts):
        if parse_destination(str(host)) != host:
            raise ValueError(f"the host {host} is not in its canonical form")
    if parse_path_pattern(route.path) != route.path:
        raise ValueError("the path is not in its canonical form")
    if not _METHOD.fullmatch(route.method):
        raise ValueError(f"{route.method[:40]!r} is not a method such as POST")
    for what, pattern, values in (
        ("field", _FIELD, route.fields),
        ("header", _HEADER, route.headers),
    ):
        if not values:
            raise ValueError(f"it names no {what}")
        for value in values:
            if not pattern.fullmatch(value):
                raise ValueError(f"{value[:64]!r} is not the name of a {what}")
    if not route.hosts:
        raise ValueError("it names no host that a token may go to")


def parse_presets(text: str) -> dict[str, Route]:
    """Read routes by name from TOML; raises MintError or KeyError."""
    return {name: _preset(name, data) for name, data in tomllib.loads(text).items()}


def _preset(name: str, data: Mapping[str, Any]) -> Route:
    return Route(
        name,
        parse_destination(data["host"]),
        data["path"],
        fields=tuple(data.get("fields", FIELDS)),
        hosts=_hosts(data["to"]),
        headers=tuple(data.get("headers", HEADERS)),
    )


def _hosts(texts: Iterable[str]) -> tuple[Authority, ...]:
    return tuple(map(parse_destination, texts))


@cache
def presets() -> Mapping[str, Route]:
    """The routes that come with Interlock, by name."""
    return parse_presets((files("interlock.minting") / "presets.toml").read_text("utf-8"))
