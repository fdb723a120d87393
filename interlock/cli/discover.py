"""`interlock discover`: what runs on this machine, in its containers, clusters and networks."""

import logging
import os
import signal
import ssl
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from interlock.cli.exits import NoError
from interlock.cli.home import changing, settings_of
from interlock.cli.printing import Json, complain, say, say_json, say_table
from interlock.client.channel import Channel
from interlock.discovery.configuration import SOURCES, Configuration, load
from interlock.discovery.depth import PRESETS
from interlock.discovery.sighting import Scanner
from interlock.discovery.sweep import Sweep, sweep
from interlock.errors import SettingsError
from interlock.home_inventory import HomeInventory
from interlock.installation import Installation
from interlock.inventory import Change, Entry, Inventory, looked_at
from interlock.patrol import Patrol
from interlock.remote_inventory import RemoteInventory
from interlock.settings import Settings

app = typer.Typer(help="Discovery: find agents and MCP servers, and put them into the registry.")

File = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="What to scan, in TOML (docs/discovery.md)."),
]
Preset = Annotated[
    str,
    typer.Option(metavar="NAME", help=f"How deep to look: {', '.join(PRESETS)}."),
]
Source = Annotated[
    list[str] | None,
    typer.Option(
        metavar="SOURCES",
        help=f"Only these, separated by commas: {', '.join(SOURCES)}; repeatable.",
    ),
]


@app.command()
def scan(
    context: typer.Context,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would change, and change nothing.")
    ] = False,
    source: Source = None,
    config: File = None,
    preset: Preset = "",
    as_json: Json = False,
) -> None:
    """Look once: print what is new, changed, unchanged and stale, and register it.

    Exit code 1 when a whole source could not be looked at; what the others found counts.
    """
    known = _configuration(config, preset, source)
    scanners = _scanners(known)
    with _home(settings_of(context), dry_run=dry_run) as home:
        inventory = _inventory(home, known)
        seen = sweep(scanners)
        entries = inventory.plan(seen)
        if not dry_run:
            inventory.apply(seen, entries, time.time())
    _say(seen, entries, as_json=as_json, dry_run=dry_run)
    if failed := [survey.source for survey in seen.surveys if survey.failed]:
        raise NoError(f"not looked at: {', '.join(failed)}")


@app.command()
def run(
    context: typer.Context,
    source: Source = None,
    config: File = None,
    preset: Preset = "",
    interval: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", min=1, help="Between two looks, in place of the file's."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Keep looking, every 300 seconds and whenever Docker or Kubernetes tell of a change.

    While it runs, calls that come from a container that was found are known by its address.
    Ends at SIGTERM or Ctrl-C.
    """
    known = _configuration(config, preset, source)
    with changing(settings_of(context), create=True) as home:
        known = replace(known, interval_s=interval or known.interval_s)
        patrol = Patrol(home, _scanners(known), known.interval_s, _inventory(home, known))
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: patrol.stop())
        logging.basicConfig(format="interlock: %(message)s", level=logging.WARNING)
        patrol.run(lambda seen, entries: _report(seen, entries, as_json=as_json))
    if not as_json:
        say("discovery has stopped")


@contextmanager
def _home(settings: Settings, *, dry_run: bool) -> Iterator[Installation]:
    """The home to compare with; where there is none, a dry run has an empty one for itself."""
    if not dry_run or settings.database.exists():
        with changing(settings, create=True) as home:
            yield home
        return
    with (
        tempfile.TemporaryDirectory(prefix="interlock-") as folder,
        changing(Settings.load(home=Path(folder) / "home", store=""), create=True) as home,
    ):
        yield home


def _configuration(config: Path | None, preset: str, source: list[str] | None) -> Configuration:
    known = load(config, preset)
    if not source:
        return known
    try:
        return known.narrowed([name.strip() for one in source for name in one.split(",")])
    except ValueError as e:
        raise typer.BadParameter(str(e)) from None


def _inventory(home: Installation, known: Configuration) -> Inventory:
    """Where what is found goes: to the registry of this home, or to one elsewhere."""
    remote = known.remote
    if remote is None:
        return HomeInventory(home, known.scanner)
    trust = ssl.create_default_context()
    if remote.ca:
        try:
            trust.load_verify_locations(remote.ca)
        except OSError as e:
            raise SettingsError(f"[registry] ca: {remote.ca}: {e.strerror or e}") from None
    headers = {"X-Scanner-ID": known.scanner, "X-API-Key": remote.api_key}
    return RemoteInventory(
        home, Channel(remote.url, headers, trust), known.scanner, known.interval_s
    )


def _scanners(known: Configuration) -> list[Scanner]:
    """All that was asked for; where nobody asked, what this machine has."""
    present = known.scanners()
    return present if known.explicit else [s for s in present if _is_here(s.source)]


def _is_here(source: str) -> bool:
    if source == "docker":
        return "DOCKER_HOST" in os.environ or Path("/var/run/docker.sock").exists()
    if source == "kubernetes":
        inside = "KUBERNETES_SERVICE_HOST" in os.environ
        return inside or "KUBECONFIG" in os.environ or Path("~/.kube/config").expanduser().exists()
    return True


def _say(seen: Sweep, entries: Sequence[Entry], *, as_json: bool, dry_run: bool) -> None:
    for trouble in seen.troubles:
        complain(trouble.why)
    entries = looked_at(seen, entries)
    if as_json:
        for entry in entries:
            say_json(entry.record)
        return
    if entries:
        say_table(
            ("name", "change", "kind", "framework", "sure", "seen by", "risks and findings"),
            (_row(entry) for entry in entries),
        )
    for entry in entries:
        for finding in entry.found.findings if entry.change is not Change.STALE else ():
            say(f"{entry.name}: {finding.id}: {finding.where}: {finding.fix}")
    say(_counted(entries) + (" (dry run: nothing was changed)" if dry_run else ""))


def _report(seen: Sweep, entries: Sequence[Entry], *, as_json: bool) -> None:
    """One look of the daemon: what is news, and nothing else."""
    for trouble in seen.troubles:
        complain(trouble.why)
    for entry in entries:
        if entry.change is Change.UNCHANGED:
            continue
        if as_json:
            say_json(entry.record)
        else:
            say(f"{entry.change} {entry.kind} {entry.name}", *_row(entry)[3:])


def _row(entry: Entry) -> tuple[str, ...]:
    record = entry.found.record
    what = str(entry.change)
    if entry.fields:
        what += f": {', '.join(entry.fields)}"
    told = [*record["signals"], *(finding["id"] for finding in record["findings"])]
    return (
        entry.name,
        what,
        str(entry.kind),
        record["framework"] or "-",
        f"{record['confidence']:.2f}",
        ", ".join(record["sources"]),
        ", ".join(dict.fromkeys(told)) or "-",
    )


def _counted(entries: Sequence[Entry]) -> str:
    counts = {change: sum(e.change is change for e in entries) for change in Change}
    return ", ".join(f"{count} {change}" for change, count in counts.items())
