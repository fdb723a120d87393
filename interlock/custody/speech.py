"""Bindings and grants as the JSON values that cross between a front door and a broker."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from broker import Grant
from interlock.calls.hosts import parse_destination
from interlock.model import Binding

LONGEST_NAME = 256
_LISTS = ("agents", "groups", "goals", "methods", "paths")


def said_of(binding: Binding) -> dict[str, Any]:
    """Write a binding."""
    lists = {name: sorted(getattr(binding, name)) for name in _LISTS}
    return {
        "secret": binding.secret,
        "authority": str(binding.authority),
        "recipe": binding.recipe,
        "service": binding.service,
    } | lists


def as_binding(said: Mapping[str, Any]) -> Binding:
    """Read a binding; raises ValueError, KeyError or TypeError for anything else."""
    lists = {name: frozenset(map(str, said[name])) for name in _LISTS}
    return Binding(
        str(said["secret"]),
        parse_destination(str(said["authority"])),
        str(said["recipe"]),
        service=str(said["service"]),
        **lists,
    )


def said_of_grant(grant: Grant) -> dict[str, Any]:
    """Write a grant."""
    return asdict(grant) | {"assertion": grant.assertion.hex()}


def as_grant(said: Mapping[str, Any]) -> Grant:
    """Read a grant; raises ValueError or TypeError for anything else.

    What of it goes on record is text, printable and short: the front door may have been taken
    over, and the ledger is ours.
    """
    grant = Grant(**dict(said) | {"assertion": bytes.fromhex(said["assertion"])})
    told = asdict(grant)
    if not all(isinstance(told[name], str) for name in told.keys() - {"assertion", "ttl"}):
        raise TypeError("a part of the grant is no text")
    for name in ("id", "agent", "decision_id"):
        if len(told[name]) > LONGEST_NAME or not told[name].isprintable():
            raise ValueError(f"the grant's {name} is no name")
    return grant
