"""What people say of an agent or a server beside who it is: the options, and what they mean."""

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from interlock.cli.words import parse_text, typed
from interlock.errors import RegistryError
from interlock.registry import Profile
from interlock.registry.profile import KINDS

LARGEST_FILE = 1 << 20


def text(words: str, metavar: str = "TEXT") -> Any:
    """An option of one line of text."""
    return typer.Option(metavar=metavar, parser=typed(parse_text), help=words)


Type = Annotated[
    str | None,
    typer.Option(
        "--type", metavar="TYPE", parser=typed(parse_text), help="What it is, such as autonomous."
    ),
]
Description = Annotated[str | None, text("What it is for.")]
Framework = Annotated[str | None, text("What it is made with, such as CrewAI.", "NAME")]
Version = Annotated[str | None, text("Its version.", "VERSION")]
Label = Annotated[list[str] | None, text("A label; repeatable.", "KEY=VALUE")]
Capabilities = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="JSON with lists of tools, resources and prompts."),
]


def described(
    before: Profile,
    *,
    label: Iterable[str] | None,
    capabilities: Path | None,
    **texts: str | None,
) -> Profile:
    """A profile with what was given in place of what it had; raises RegistryError."""
    given: dict[str, Any] = {name: said for name, said in texts.items() if said is not None}
    if label:
        given["labels"] = labels_of(label)
    if capabilities:
        given["capabilities"] = read_capabilities(capabilities)
    return replace(before, **given)


def labels_of(words: Iterable[str]) -> dict[str, str]:
    """Read labels like KEY=VALUE; raises RegistryError."""
    pairs = [word.partition("=") for word in words]
    if wrong := [pair[0] for pair in pairs if not pair[0] or not pair[1]]:
        raise RegistryError(f"--label: {wrong[0][:40]!r} is not KEY=VALUE")
    return {key: value for key, _, value in pairs}


def read_capabilities(path: Path) -> dict[str, Any]:
    """Read a file of capabilities; raises RegistryError that names it and the field."""
    try:
        with path.open("rb") as opened:
            found = json.loads(opened.read(LARGEST_FILE + 1)[: LARGEST_FILE + 1])
    except OSError as e:
        raise RegistryError(f"{path}: {e.strerror}") from None
    except (ValueError, RecursionError):
        raise RegistryError(f"{path}: is not JSON of at most 1 MiB") from None
    if not isinstance(found, dict) or (unknown := found.keys() - set(KINDS)):
        odd = f", not {min(unknown)[:40]!r}" if isinstance(found, dict) else ""
        raise RegistryError(f"{path}: use an object with {', '.join(KINDS)}{odd}")
    for kind, entries in found.items():
        named = isinstance(entries, list) and all(
            isinstance(one, dict) and isinstance(one.get("name"), str) for one in entries
        )
        if not named:
            raise RegistryError(f"{path}: {kind}: use a list of objects that have a name")
    return found


def plain(value: Any) -> Any:
    """A value as a person reads it."""
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "-"
    return json.dumps(value) if isinstance(value, dict) and value else value or "-"
