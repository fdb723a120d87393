"""`interlock audit export`: the ledger for a SIEM, a collector or a spreadsheet."""

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

import typer
from rich.console import Console
from rich.progress import Progress

from interlock.cli.home import reading, settings_of
from interlock.cli.past import Folder
from interlock.cli.printing import Json, complain, say, say_json
from interlock.cli.words import parse_moment, typed
from interlock.client.url import is_loopback
from interlock.ledger import Archive
from interlock.ledger.export import (
    FORMATS,
    Cursor,
    Destination,
    Export,
    ExportError,
    Format,
    Source,
)
from interlock.ledger.export.address import SCREEN, open_destination, parse_destination
from interlock.ledger.export.cursor import parse_cursor, use_of
from interlock.ledger.kinds import KINDS

FOLLOW_S = 0.25
LONGEST_PAUSE_S = 60.0
# With fewer a bar would be gone before it is seen.
MANY = 5_000
_HEADER = re.compile(r"([A-Za-z0-9-]+)=([A-Za-z_][A-Za-z0-9_]*)")


def export(
    context: typer.Context,
    format_: Annotated[
        Literal["jsonl", "csv", "ocsf", "otlp", "cef"],
        typer.Option("--format", help="How events are written."),
    ] = "jsonl",
    to: Annotated[
        str,
        typer.Option(
            metavar="DESTINATION",
            parser=typed(parse_destination),
            help="`-` for the screen, a path, `https://...`, or "
            "`syslog+tls://HOST:PORT` (or `+tcp`, `+udp`).",
        ),
    ] = SCREEN,
    cursor: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            parser=typed(parse_cursor),
            help="Go on after what was acknowledged the last time under this name.",
        ),
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait for more.")] = False,
    since: Annotated[
        float | None,
        typer.Option(
            metavar="WHEN", parser=typed(parse_moment), help="Only from here on: an age or a date."
        ),
    ] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option(metavar="KIND", help="Only events of this kind; may be repeated."),
    ] = None,
    header: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VARIABLE",
            help="A header of each post, its value from this environment variable.",
        ),
    ] = None,
    ca: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Certificates to trust in place of all.")
    ] = None,
    archive: Folder = None,
    as_json: Json = False,
) -> None:
    """Write the ledger for other systems, pruned events included; in batches, each acknowledged."""
    if as_json and to == SCREEN:
        raise typer.BadParameter("--json tells how it went: give --to too")
    if unknown := set(kind or ()) - KINDS.keys():
        raise typer.BadParameter(f"--kind: {min(unknown)[:40]!r} is no kind of event")
    settings = settings_of(context)
    written = FORMATS[format_]()
    headers = dict(map(_header, header or ()))
    if headers:
        _require_private(to)
    with reading(settings) as records:
        source = Source(
            records.ledger,
            Archive(archive or settings.archive),
            frozenset(kind or ()),
            since or 0.0,
        )
        use = use_of(format_, to)
        kept = Cursor(settings.home / "exports", cursor, use) if cursor else Cursor()
        with kept, _opened(to, written, bool(cursor), headers, ca) as destination:
            job = Export(source, written, destination, kept)
            count = sum(_forever(job) if follow else _shown(job, to))
    if as_json:
        say_json({"events": count, "format": format_, "to": to, "cursor": cursor or ""})
    elif to != SCREEN:
        say(f"{count} events went to {to}.")


def _require_private(to: str) -> None:
    """Refuse a destination that has no headers, or on the way to which others could read them."""
    url = urlsplit(to)
    if url.scheme not in ("http", "https"):
        raise typer.BadParameter("--header goes with a destination that is posted to, https://...")
    if url.scheme == "http" and not is_loopback(url.hostname or ""):
        raise typer.BadParameter("--header: others could read it on the way: use https://")


def _header(text: str) -> tuple[str, str]:
    found = _HEADER.fullmatch(text)
    if not found:
        raise typer.BadParameter(f"--header: {text[:40]!r} is not like Authorization=VARIABLE")
    value = os.environ.get(found[2], "")
    if not value.isprintable() or not value:
        raise typer.BadParameter(f"--header: the variable {found[2]} is empty or not one line")
    return found[1], value


@contextmanager
def _opened(
    to: str, written: Format, goes_on: bool, headers: dict[str, str], ca: Path | None
) -> Iterator[Destination]:
    destination = open_destination(to, written, goes_on=goes_on, headers=headers, ca=ca)
    try:
        yield destination
    finally:
        destination.close()


def _shown(job: Export, to: str) -> Iterator[int]:
    """Run once, with a bar on stderr when that is a terminal and there is much to do."""
    console = Console(stderr=True)
    left = job.source.left(job.cursor.positions)
    if to == SCREEN or left < MANY or not console.is_terminal:
        yield from (sent for _, sent in job.run())
        return
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("exporting", total=left)
        for passed, sent in job.run():
            progress.advance(task, passed)
            yield sent


def _forever(job: Export) -> Iterator[int]:
    """Run again and again; what cannot be delivered now is tried again, ever more slowly."""
    pause = FOLLOW_S
    while True:
        try:
            for _, sent in job.run():
                yield sent
                pause = FOLLOW_S
        except ExportError as e:
            if not e.passing:
                raise
            if pause == FOLLOW_S:
                complain(f"{e}: trying again")
            pause = min(pause * 2, LONGEST_PAUSE_S)
        time.sleep(pause)
