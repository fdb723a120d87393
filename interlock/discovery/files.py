"""Finds MCP servers in the configurations of the programs that use them, and in folders."""

import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from interlock.discovery.plain import (
    hide,
    is_secret,
    plain_arguments,
    plain_names,
    public_url,
)
from interlock.discovery.sighting import Finding, Kind, Sighting, Trouble
from interlock.discovery.words import clean, digest, name_of
from interlock.discovery.written import begin, expand, read

SOURCE = "files"
PATTERNS = ("*.json", "*.toml", "mcp.config.*", "mcp-*.yaml", "server.config")
SUFFIXES = (".json", ".toml", ".yaml", ".yml", ".config")
# Under these keys, whatever the file is called, a folder's file lists servers.
KEYS = ("mcpServers", "mcp_servers", "context_servers")
MOST_FILES = 20_000
_SKIPPED = frozenset({".git", "node_modules", ".venv", "__pycache__", "site-packages"})


@dataclass(frozen=True, slots=True)
class Client:
    """A program that speaks MCP: where it keeps its servers, and under which keys."""

    name: str
    key: tuple[str, ...]
    paths: tuple[str, ...]
    project: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Folders:
    """Folders of files that may define MCP servers."""

    paths: Sequence[str] = ()
    patterns: Sequence[str] = PATTERNS
    recursive: bool = True
    max_depth: int = 3
    follow_symlinks: bool = True


@dataclass(frozen=True, slots=True)
class Files:
    """The known configurations of a person, `more` of Claude Desktop's form, and folders."""

    folders: Folders = field(default_factory=Folders)
    clients: bool = True
    more: Sequence[str] = ()
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    home: Path = field(default_factory=Path.home)
    source: str = SOURCE

    def scan(self) -> Iterator[Sighting | Trouble]:
        """Read every file once, whichever way leads to it."""
        yield from self._missing()
        read_already: set[tuple[Path, Client | None]] = set()
        for path, client in self._candidates():
            real = path.resolve()
            if (real, client) in read_already or not path.is_file():
                continue
            read_already.add((real, client))
            yield from _read(path, client)

    def _missing(self) -> Iterator[Trouble]:
        """The folders that are named and not there: a name misspelt, or what was found is gone."""
        for text in self.folders.paths:
            if not any(path.is_dir() for path in self._paths(text)):
                why = f"[filesystem] paths: {clean(text, 200)}: there is no such folder"
                yield Trouble(f"{SOURCE}:{text}#", why)

    def _candidates(self) -> Iterator[tuple[Path, Client | None]]:
        if self.clients:
            for client in known_clients():
                yield from ((path, client) for text in client.paths for path in self._paths(text))
        desktop = known_clients()[0]
        yield from ((path, desktop) for text in self.more for path in self._paths(text))
        for text in self.folders.paths:
            for folder in self._paths(text):
                yield from _in_folder(folder, self.folders)

    def _paths(self, text: str) -> Iterator[Path]:
        path = expand(text, self.environ, self.home)
        if path is None:
            return
        if "*" not in str(path):
            yield path
        else:
            yield from sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor))))[:100]


@cache
def known_clients() -> tuple[Client, ...]:
    """The programs of `clients.toml`."""
    known = tomllib.loads(files("interlock.discovery").joinpath("clients.toml").read_text("utf-8"))
    return tuple(
        Client(
            one["name"],
            tuple(one["key"].split(".")),
            tuple(one["paths"]),
            tuple(one.get("project", ())),
        )
        for one in known["client"]
    )


def _in_folder(top: Path, how: Folders) -> Iterator[tuple[Path, Client | None]]:
    """The files of a folder, breadth first; a folder is visited once, links or not."""
    visited: set[Path] = set()
    waiting, count = [(top, 1)], 0
    while waiting:
        folder, depth = waiting.pop(0)
        real = folder.resolve()
        if real in visited or not folder.is_dir():
            continue
        visited.add(real)
        for client in known_clients():
            yield from ((folder / name, client) for name in client.project)
        for entry in _entries(folder):
            linked = entry.is_symlink()
            if linked and not how.follow_symlinks:
                continue
            if entry.is_dir():
                if how.recursive and depth < how.max_depth and entry.name not in _SKIPPED:
                    waiting.append((entry, depth + 1))
            elif any(fnmatch(entry.name, pattern) for pattern in how.patterns):
                count += 1
                if count > MOST_FILES:
                    return
                yield entry, None


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _read(path: Path, client: Client | None) -> Iterator[Sighting | Trouble]:
    place = f"{SOURCE}:{path}"
    try:
        content = read(path)
    except (ValueError, OSError) as e:
        reason = e.strerror if isinstance(e, OSError) else clean(e, 120)
        if client or _speaks_of_mcp(path):
            yield Trouble(f"{place}#", f"{path}: cannot be read: {reason}")
        return
    for name, server in _servers(content, client):
        yield _sighting(path, client, name, server)


def _speaks_of_mcp(path: Path) -> bool:
    try:
        beginning = begin(path, 200_000)
        return any(key.encode() in beginning for key in KEYS)
    except OSError:
        return False


def _servers(
    content: Mapping[str, Any], client: Client | None
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every server that a file defines: in the list of its program, or the file is one itself."""
    keys = [client.key] if client else [(key,) for key in KEYS]
    tables = [_within(content, key) for key in keys]
    projects = content.get("projects")  # Claude Code keeps those of every folder in one file
    if client and client.name == "Claude Code" and isinstance(projects, dict):
        tables += [_within(one, client.key) for one in projects.values() if isinstance(one, dict)]
    for table in tables:
        for name, server in table.items():
            if isinstance(server, dict) and (_command(server)[0] or _url(server)):
                yield str(name), server
    if client is None and isinstance(content.get("name"), str) and _command(content)[0]:
        yield content["name"], content


def _within(content: Mapping[str, Any], key: Sequence[str]) -> Mapping[str, Any]:
    """The table under a key; written with dots in one, or nested."""
    found: Any = content.get(".".join(key))
    if found is None:
        found = content
        for part in key:
            found = found.get(part) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def _command(server: Mapping[str, Any]) -> tuple[str, list[str]]:
    command: Any = server.get("command") or server.get("cmd") or ""
    args: Any = server.get("args") or []
    if isinstance(command, dict):  # Zed's form of before
        command, args = command.get("path") or "", command.get("args") or []
    if isinstance(command, list):
        command, args = (command[0] if command else ""), command[1:]
    words = [str(word) for word in args] if isinstance(args, list) else []
    return (command if isinstance(command, str) else ""), words


def _url(server: Mapping[str, Any]) -> str:
    for name in ("url", "httpUrl", "serverUrl", "uri"):
        if isinstance(server.get(name), str) and "://" in server[name]:
            return str(server[name])
    return ""


def _texts(server: Mapping[str, Any], *names: str) -> dict[str, str]:
    """The entries of the first table of these names, those that are texts."""
    tables = (server[name] for name in names if isinstance(server.get(name), dict))
    found: Mapping[str, Any] = next(iter(tables), {})
    return {str(k): v for k, v in found.items() if isinstance(v, str)}


def _sighting(path: Path, client: Client | None, name: str, server: Mapping[str, Any]) -> Sighting:
    command, args = _command(server)
    url = public_url(_url(server))
    env = _texts(server, "env", "envs")
    disabled = bool(server.get("disabled")) or server.get("enabled") is False
    same = f"url:{url}" if url else f"command:{digest(command, *hide(args))}"
    owner = client.name if client else "a definition file"
    return Sighting(
        source=SOURCE,
        place=f"{SOURCE}:{path}#{clean(name, 128)}",
        kind=Kind.SERVER,
        name=name_of(name),
        type="http" if url else "stdio",
        framework="MCP",
        evidence=(clean(f"configured for {owner} in {path}"),),
        signals=tuple(_signals(url, command, args)),
        findings=tuple(_findings(path, clean(name, 64), server, env, args)),
        marks=frozenset({same}),
        endpoints=(clean(url, 500),) if url else (),
        capabilities=_capabilities(server),
        command=clean(command),
        args=tuple(clean(word) for word in hide(args[:32])),
        env=tuple(sorted(clean(variable, 128) for variable in env)),
        facts={"configured_for": [owner]} | ({"disabled": True} if disabled else {}),
    )


def _signals(url: str, command: str, args: Sequence[str]) -> Iterator[str]:
    if url.startswith("http:") and not url.startswith(("http://127.", "http://localhost")):
        yield "mcp_no_tls"
    words = [Path(command).name, *args]
    fetches = words[0] in ("npx", "uvx", "bunx", "pipx") or words[:2] == ["docker", "run"]
    if fetches and not any(_is_pinned(word) for word in args):
        yield "mcp_unpinned_package"


def _is_pinned(word: str) -> bool:
    """True for a package with its version, or an image with its digest or tag."""
    name, at, version = word.rpartition("@")
    return "==" in word or "@sha256:" in word or bool(at and name and version[:1].isdigit())


def _findings(
    path: Path, name: str, server: Mapping[str, Any], env: Mapping[str, str], args: Sequence[str]
) -> Iterator[Finding]:
    where = f"of server {name} in {clean(path)}"
    for variable in plain_names(env):
        yield Finding("plain_secret", f"variable {clean(variable, 128)} {where}", MEND)
    for header in plain_names(_texts(server, "headers", "http_headers", "requestHeaders")):
        yield Finding("plain_secret", f"header {clean(header, 128)} {where}", MEND)
    token = server.get("bearer_token") or server.get("apiKey") or server.get("api_key")
    if isinstance(token, str) and is_secret("token", token):
        yield Finding("plain_secret", f"key {where}", MEND)
    if plain_arguments(args) or public_url(_url(server)) != _url(server).rstrip("#"):
        yield Finding("plain_secret", f"arguments or URL {where}", MEND)


MEND = (
    "refer to a variable (${NAME}) in place of the value, or store it with `interlock secret set` "
    "and let the front door put it in; then revoke this one"
)


def _capabilities(server: Mapping[str, Any]) -> dict[str, Any]:
    said = server.get("capabilities")
    if not isinstance(said, dict):
        return {}
    found: dict[str, Any] = {}
    for kind in ("tools", "resources", "prompts"):
        if isinstance(entries := said.get(kind), list):
            names = (e.get("name") if isinstance(e, dict) else e for e in entries[:1000])
            found[kind] = [{"name": clean(name, 128)} for name in names if isinstance(name, str)]
    return found
