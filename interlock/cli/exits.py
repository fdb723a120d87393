"""Every ending of a command, as an exit code and at most one line on stderr.

0 fine, 1 the answer is no, 2 bad usage or bad input, 130 interrupted.
"""

import sqlite3
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup

from broker import BrokerError
from interlock.cli.nouns import Nouns
from interlock.cli.printing import complain, escape_what_the_encoding_lacks
from interlock.cli.synonyms import instead_of
from interlock.errors import InterlockError

NO = 1
BAD_INPUT = 2


class NoError(Exception):
    """The question was understood, and the answer is no."""


class Commands(TyperGroup):
    """The root of all commands; no other place turns an error into words."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings | {"commands": Nouns()})

    def main(self, args: Sequence[str] | None = None, *_: Any, **extra: Any) -> NoReturn:
        """Run a command and exit."""
        escape_what_the_encoding_lacks()
        sys.exit(self._run(args, **extra))

    def _run(self, args: Sequence[str] | None, **extra: Any) -> int:
        try:
            return int(super().main(args, **extra | {"standalone_mode": False}) or 0)
        except NoError as e:
            complain(str(e))
            return NO
        except typer.TyperException as e:
            complain(_usage(e))
        except typer.Abort:
            complain("nothing was entered, nothing was done")
        except (InterlockError, BrokerError, sqlite3.Error, OSError) as e:
            complain(str(e))
        return BAD_INPUT


def _usage(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    message = error.format_message().replace("Value error, ", "")  # pydantic's own words
    hint = f" (see {context.command_path} --help)" if context else ""
    if context and (better := instead_of(context.command_path, message)):
        hint = f" Use `{better}`."
    return " ".join(message.split()) + hint
