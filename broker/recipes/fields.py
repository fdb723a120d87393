"""Secrets of several parts: a JSON object of texts, kept on one line."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from broker.errors import RecipeError
from broker.forms import MIN_FORM_BYTES
from broker.secret import Secret


def fields_of(recipe: str, secret: Secret, needed: tuple[str, ...]) -> Mapping[str, str]:
    """The parts of a secret; raises RecipeError that names what is missing, never a value."""
    # Numbers are taken for texts, because ids are often written without quotes.
    data = _parsed(secret.reveal())
    if data is None:
        what = f" with {', '.join(needed)}" if needed else ""
        raise RecipeError(recipe, f"the secret must be a JSON object{what}")
    fields = {name: str(value) for name, value in data.items() if isinstance(value, str | int)}
    if missing := [name for name in needed if not fields.get(name)]:
        raise RecipeError(recipe, f"the secret has no {', '.join(missing)}")
    return fields


def compact(raw: bytes) -> bytes:
    """Put a JSON object on one line; anything else comes back as it is."""
    data = _parsed(raw)
    return raw if data is None else json.dumps(data, separators=(",", ":")).encode()


def parts_of(fields: Mapping[str, str], *names: str) -> Iterator[bytes]:
    """The parts that open doors by themselves, as far as masking them spares innocent text."""
    for name in names:
        if len(value := fields.get(name, "").encode()) >= MIN_FORM_BYTES:
            yield value


def _parsed(raw: bytes) -> dict[str, Any] | None:
    try:
        data = json.loads(raw.decode())
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None
