"""What goes to the screen: plain in pipes, never cut in the middle of an id, never a control code.

Names and values may come from an agent, so that everything that is not printable is escaped:
a terminal obeys what it is sent.
"""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

# Beside the longest id, this leaves every other column room to fold.
NARROWEST = 72
FIELD = 17
WITHOUT_LIMIT = 100_000

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def printable(value: Any) -> str:
    """Write a value on one line, with everything that a terminal could obey escaped."""
    return "".join(c if c.isprintable() else _escaped(c) for c in str(value))


def moment(seconds: Any) -> str:
    """Write epoch seconds as people read them, in UTC."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (TypeError, ValueError, OverflowError, OSError):
        return printable(seconds)


def say(*parts: Any, style: str = "") -> None:
    """Print one line for people."""
    _console().print(Text(printable(" ".join(map(str, parts))), style), soft_wrap=True)


def complain(line: str) -> None:
    """Print one line about what went wrong."""
    typer.echo(f"interlock: {printable(line)}", err=True)


def say_styled(*parts: tuple[Any, str]) -> None:
    """Print one line made of words and their styles."""
    words = ((printable(word), style) for word, style in parts)
    _console().print(Text.assemble(*words), soft_wrap=True)


def say_json(value: Mapping[str, Any]) -> None:
    """Print one object on one line, in ASCII."""
    typer.echo(json.dumps(value))


def say_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print rows under headings; the first column is never folded."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for number, column in enumerate(columns):
        table.add_column(column.upper(), no_wrap=number == 0, overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(value)) for value in row))
    _console().print(table, crop=False)


def say_fields(fields: Iterable[tuple[str, Any]]) -> None:
    """Print names and values below each other; a name that repeats is printed once."""
    last = ""
    for name, value in fields:
        say_styled((("" if name == last else name).ljust(FIELD), "bold"), (value, ""))
        last = name


def _console() -> Console:
    console = Console(highlight=False, emoji=False, markup=False)
    console.width = max(console.width, NARROWEST) if console.is_terminal else WITHOUT_LIMIT
    return console


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


def escape_what_the_encoding_lacks() -> None:
    """Escape on output what the locale cannot write, where Python would raise."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
