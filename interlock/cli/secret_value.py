"""The value of a secret: asked for or piped in, never an argument, and fit for its recipe."""

import getpass
import sys

from broker import BrokerError, Recipe, Secret, compact, parse_recipe
from broker.forms import MIN_FORM_BYTES
from broker.secret import MAX_BYTES
from interlock.errors import InterlockError
from interlock.model import Binding


class SecretInputError(InterlockError):
    """What was given for a secret cannot be one, or cannot go where it was bound."""


def parse_value(raw: bytes, recipe: Recipe) -> Secret:
    """Read what came through stdin, one line end removed; raises ValueError.

    A secret of several fields may come as a JSON file of many lines.
    """
    if recipe.fields:
        raw = compact(raw)
    line = raw.removesuffix(b"\n")
    return Secret(line.removesuffix(b"\r") if line != raw else line)


def read_secret(name: str, recipe: Recipe) -> Secret:
    """Ask for the value on a terminal, else take all of stdin; raises SecretInputError."""
    if sys.stdin is None:
        raise SecretInputError(f"{name}: there is no stdin to read the value from")
    try:
        if sys.stdin.isatty():
            return Secret(getpass.getpass(f"Value of {name}: "))
        return parse_value(sys.stdin.buffer.read(MAX_BYTES + len(b"\r\n") + 1), recipe)
    except ValueError as e:
        raise SecretInputError(f"{name}: {e}") from None


def read_key(name: str, recipe: Recipe) -> Secret:
    """Read the value of a secret that answers are scrubbed of; raises SecretInputError."""
    secret = read_secret(name, recipe)
    if len(secret.reveal()) < MIN_FORM_BYTES:
        raise SecretInputError(
            f"{name}: a secret must have {MIN_FORM_BYTES} bytes or more: "
            "a shorter one would be masked wherever an answer happens to contain it"
        )
    return secret


def try_out(binding: Binding, secret: Secret) -> None:
    """Raise SecretInputError for a secret that its recipe cannot carry."""
    try:
        parse_recipe(binding.recipe).check(secret)
    except BrokerError as e:
        raise SecretInputError(f"{binding.secret}: {e}") from None
