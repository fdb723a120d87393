"""What to scan and how deep: a TOML file, a preset, and what the command line says on top."""

import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from interlock.client.url import parse_api_url
from interlock.discovery.cluster import Cluster
from interlock.discovery.containers import Containers
from interlock.discovery.depth import DEFAULT_PRESET, PRESETS, Depth
from interlock.discovery.files import Files, Folders
from interlock.discovery.network import Network, Ports, parse_range
from interlock.discovery.processes import Processes
from interlock.discovery.remote import Remote, parse_api_key, parse_ca
from interlock.discovery.sighting import Scanner
from interlock.errors import SettingsError

SOURCES = ("docker", "kubernetes", "network", "files", "processes")
# The reference's names of methods, beside ours.
METHODS = {"filesystem": "files", "claude_config": "files"} | {name: name for name in SOURCES}
INTERVAL_S = 300
SHORTEST_INTERVAL_S = 1
_SCANNER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True, slots=True)
class Configuration:
    """Everything that a scan needs to know. `scanner` is the name under which it registers.

    `remote` is the registry that is told; None for that of this home.
    """

    depth: Depth = PRESETS[DEFAULT_PRESET]
    scanner: str = "discover"
    remote: Remote | None = None
    interval_s: float = INTERVAL_S
    sources: tuple[str, ...] = ("docker", "kubernetes", "files", "processes")
    explicit: bool = False
    docker_host: str = ""
    kubeconfig: str = ""
    context: str = ""
    folders: Folders = field(default_factory=Folders)
    clients: bool = True
    more: tuple[str, ...] = ()
    ranges: tuple[Network, ...] = ()
    ports: tuple[int, ...] = (3000, 8080, 9000)
    at_once: int = 200
    rate: int = 2_000

    def scanners(self) -> list[Scanner]:
        """A scanner for every source; raises SettingsError for one that lacks what it needs."""
        if "network" in self.sources and not self.ranges:
            raise SettingsError("[network] ranges: name the ranges to scan, such as 10.0.0.0/24")
        if not self.sources:
            raise SettingsError("[scanner] methods: only the network, and it is not enabled")
        known: Mapping[str, Scanner] = {
            "docker": Containers(self.depth, self.docker_host),
            "kubernetes": Cluster(self.depth, self.kubeconfig, self.context),
            "network": Ports(self.ranges, self.ports, self.at_once, self.rate),
            "files": Files(self.folders, self.clients, self.more),
            "processes": Processes(self.depth),
        }
        return [known[source] for source in self.sources]

    def narrowed(self, sources: Sequence[str]) -> "Configuration":
        """The same for these sources alone; raises ValueError for one that there is not."""
        if unknown := [name for name in sources if name not in SOURCES]:
            raise ValueError(f"there is no source {unknown[0]!r}: {', '.join(SOURCES)}")
        return replace(self, sources=tuple(dict.fromkeys(sources)), explicit=True)


@dataclass(slots=True)
class _Section:
    """One table of the file; what nobody took out of it is a mistake."""

    path: Path
    name: str
    values: dict[str, Any]
    taken: set[str] = field(default_factory=set)

    def get[T](self, key: str, kind: type[T], default: T, *more: type) -> T:
        """Take a value of a type; raises SettingsError."""
        self.taken.add(key)
        value = self.values.get(key, default)
        wrong_bool = isinstance(value, bool) and kind is not bool
        if wrong_bool or not isinstance(value, (kind, *more)):
            raise self.error(key, f"must be {_KINDS[kind]}, not {str(value)[:40]!r}")
        return value  # type: ignore[return-value]

    def texts(self, key: str, default: Sequence[str]) -> tuple[str, ...]:
        """Take a list of texts; raises SettingsError."""
        found = self.get(key, list, list(default))
        if not all(isinstance(text, str) for text in found):
            raise self.error(key, "must be a list of texts")
        return tuple(found)

    def parsed(self, key: str, parse: Callable[[str], str], default: str = "") -> str:
        """Take a text that `parse` reads; raises SettingsError."""
        try:
            return parse(self.get(key, str, default))
        except ValueError as e:
            raise self.error(key, str(e)) from None

    def number(self, key: str, default: float, low: float, high: float) -> float:
        """Take a number between two bounds; raises SettingsError."""
        value = float(self.get(key, float, default, int))
        if not low <= value <= high:
            raise self.error(key, f"must be between {low:g} and {high:g}, not {value:g}")
        return value

    def error(self, key: str, why: str) -> SettingsError:
        """A line that names file, section and key."""
        return SettingsError(f"{self.path}: [{self.name}] {key}: {why}")

    def finish(self) -> None:
        """Raise SettingsError for a key that means nothing."""
        if unknown := sorted(set(self.values) - self.taken):
            raise self.error(unknown[0], "there is no such key")


_KINDS: Mapping[type, str] = {
    str: "a text",
    list: "a list",
    bool: "true or false",
    float: "a number",
    int: "a whole number",
}
SECTIONS = ("registry", "scanner", "docker", "kubernetes", "filesystem", "network", "claude_config")


def load(path: Path | None, preset: str = "") -> Configuration:
    """Read a configuration file, on top of a preset; raises SettingsError with one line."""
    tables = _tables(path) if path else {}
    parts = {name: _Section(path or Path(), name, tables.get(name, {})) for name in SECTIONS}
    registry, scanner = parts["registry"], parts["scanner"]
    named = preset or scanner.get("preset", str, DEFAULT_PRESET)
    scanner.taken.add("preset")
    known = Configuration(
        depth=_depth(scanner, named),
        scanner=registry.parsed("agent_id", parse_scanner, "discover"),
        remote=_remote(registry),
        interval_s=scanner.number("interval", INTERVAL_S, SHORTEST_INTERVAL_S, 7 * 86400),
        docker_host=parts["docker"].get("host", str, ""),
        kubeconfig=parts["kubernetes"].get("kubeconfig", str, ""),
        context=parts["kubernetes"].get("context", str, ""),
        folders=_folders(parts["filesystem"]),
        **_clients(parts["claude_config"]),
        **_network(parts["network"]),
    )
    enabled = parts["network"].get("enabled", bool, False)
    known = _with_methods(known, scanner, network=enabled)
    for part in parts.values():
        part.finish()
    return known


def _with_methods(known: Configuration, scanner: _Section, *, network: bool) -> Configuration:
    methods = scanner.texts("methods", ())
    for method in methods:
        if method not in METHODS:
            raise scanner.error("methods", f"there is no {method[:40]!r}: {', '.join(METHODS)}")
    if methods and not {"claude_config", "files"} & set(methods):
        known = replace(known, clients=False, more=())
    if "filesystem" not in methods and "files" not in methods and methods:
        known = replace(known, folders=Folders())
    sources = [METHODS[method] for method in methods] or list(known.sources)
    # The network is looked at by whoever says so twice: a method, and enabled.
    sources = [name for name in sources if name != "network"]
    sources += ["network"] if network else []
    return replace(known, sources=tuple(dict.fromkeys(sources)), explicit=bool(methods))


def _tables(path: Path) -> dict[str, dict[str, Any]]:
    try:
        tables = tomllib.loads(path.read_text("utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as e:
        raise SettingsError(f"{path}: {e}") from None
    except OSError as e:
        raise SettingsError(f"{path}: {e.strerror}") from None
    for name, table in tables.items():
        if name not in SECTIONS or not isinstance(table, dict):
            raise SettingsError(f"{path}: [{name[:40]}]: there is no such section")
    return tables


def _depth(scanner: _Section, preset: str) -> Depth:
    chosen = PRESETS.get(preset.lower().replace(" ", "-"))
    if chosen is None:
        raise SettingsError(f"there is no preset {preset[:40]!r}: {', '.join(PRESETS)}")
    switches = {
        one.name: scanner.get(one.name, bool, getattr(chosen, one.name))
        for one in fields(Depth)
        if one.name != "threshold"
    }
    return Depth(scanner.number("threshold", chosen.threshold, 0.05, 1.0), **switches)


def parse_scanner(text: str) -> str:
    """Read the name of a scanner; raises ValueError."""
    if not _SCANNER.fullmatch(text):
        raise ValueError("use letters, digits, '.', '_' and '-', 128 at most")
    return text


def _remote(section: _Section) -> Remote | None:
    """The registry elsewhere; None when the section names none."""
    keys = ("url", "api_key", "ca")
    if not any(key in section.values for key in keys):
        section.taken.update(keys)
        return None
    for key in ("url", "agent_id", "api_key"):
        if key not in section.values:
            raise section.error(key, "a registry elsewhere needs url, agent_id and api_key")
    return Remote(
        section.parsed("url", parse_api_url),
        section.parsed("api_key", parse_api_key),
        section.parsed("ca", parse_ca),
    )


def _folders(section: _Section) -> Folders:
    plain = Folders()
    return Folders(
        section.texts("paths", ()),
        section.texts("patterns", plain.patterns),
        section.get("recursive", bool, True),
        int(section.number("max_depth", plain.max_depth, 1, 32)),
        section.get("follow_symlinks", bool, True),
    )


def _clients(section: _Section) -> dict[str, Any]:
    enabled, more = section.get("enabled", bool, True), section.texts("paths", ())
    return {"clients": enabled, "more": more if enabled else ()}


def _network(section: _Section) -> dict[str, Any]:
    allow_public = section.get("allow_public", bool, False)
    try:
        ranges = [parse_range(r, allow_public=allow_public) for r in section.texts("ranges", ())]
    except ValueError as e:
        raise section.error("ranges", str(e)) from None
    ports = section.get("ports", list, [3000, 8080, 9000])
    if not all(type(port) is int and 0 < port < 65536 for port in ports):
        raise section.error("ports", "must be whole numbers from 1 to 65535")
    return {
        "ranges": tuple(ranges),
        "ports": tuple(dict.fromkeys(ports)),
        "at_once": int(section.number("at_once", 200, 1, 2_000)),
        "rate": int(section.number("rate", 2_000, 1, 50_000)),
    }
