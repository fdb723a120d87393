"""The nouns of the command line, each loaded when it is typed: no command waits for the others."""

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

import typer
from typer.main import get_command, get_group

FILES = {"token": "api_token"}  # `token` is a module of the standard library
NOUNS = (
    *("version", "init", "doctor", "env", "run", "serve", "demo", "proxy", "web"),
    *("agent", "secret", "server", "mode", "goal", "session", "approval", "key", "identity"),
    *(
        "issuer",
        "delegation",
        "policy",
        "audit",
        "broker",
        "honeytoken",
        "webhook",
        "mint",
        "discover",
        "token",
    ),
)


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
        command.name = name
        return command

    def __iter__(self) -> Iterator[str]:
        return iter(NOUNS)

    def __len__(self) -> int:
        return len(NOUNS)
