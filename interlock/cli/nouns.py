"""The nouns of the command line, each loaded when it is typed: no command waits for the others."""

import inspect
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

import typer
from typer.main import get_command, get_group

FILES = {"token": "api_token"}  # `token` is a module of the standard library
PANELS = {
    "Begin": ("version", "init", "doctor", "demo"),
    "Run": ("proxy", "web", "env", "run", "serve", "token"),
    "What runs, and who it is": ("discover", "agent", "server", "session", "identity", "issuer"),
    "What it may do, and why": ("policy", "mode", "goal", "delegation", "approval"),
    "The keys it never holds": ("secret", "mint", "honeytoken", "key", "broker"),
    "What happened": ("audit", "webhook"),
}
NOUNS = {noun: panel for panel, nouns in PANELS.items() for noun in nouns}


def flowing(text: str | None) -> str | None:
    """The same paragraphs, each one line: where lines break is for the terminal to say."""
    if text is None:
        return None
    return "\n\n".join(" ".join(each.split()) for each in inspect.cleandoc(text).split("\n\n"))


class Nouns(Mapping[str, Any]):
    """Every noun by its name, in the order of the help."""

    def __getitem__(self, name: str) -> Any:
        if name not in NOUNS:
            raise KeyError(name)
        module = import_module(f"interlock.cli.{FILES.get(name, name)}")
        if hasattr(module, "app"):
            command: Any = get_group(module.app)
        else:
            alone = typer.Typer(add_completion=False)
            alone.command(name)(module.run)
            command = get_command(alone)
        command.name, command.rich_help_panel = name, NOUNS[name]
        for one in (command, *getattr(command, "commands", {}).values()):
            one.help = flowing(one.help)
        return command

    def __iter__(self) -> Iterator[str]:
        return iter(NOUNS)

    def __len__(self) -> int:
        return len(NOUNS)
