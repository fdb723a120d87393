"""`interlock secret` where values are kept elsewhere: try, rotate, and say where they are."""

import os
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import typer

from broker import (
    BrokerError,
    Pointer,
    Secret,
    SecretUnavailableError,
    StoreRefusalError,
    Vault,
    master_key,
    parse_recipe,
)
from broker.stores import Reference, Stores
from broker.vault import MASTER_KEY_VARIABLE
from interlock.cli.exits import NO
from interlock.cli.home import Records, changing, settings_of
from interlock.cli.printing import Json, say, say_json, say_table
from interlock.cli.words import parse_secret_name, typed
from interlock.errors import StoreError
from interlock.installation import Installation
from interlock.settings import Settings
from interlock.store import Shelf

SEALED = "sealed here"

Name = Annotated[
    str | None,
    typer.Argument(
        metavar="NAME", parser=typed(parse_secret_name), help="One secret. Default: all of them."
    ),
]


def check(context: typer.Context, name: Name = None, as_json: Json = False) -> None:
    """Try to have secrets, wherever they are kept, and say what is wrong with each.

    It looks from here: the front door may have another environment. Exit code 1 if any fails.
    """
    with changing(settings_of(context)) as home:
        names = home.secrets()
        if name is not None:
            if name not in names:
                raise StoreError(f"there is no secret named {name!r}")
            names = [name]
        found = [(each, home.origin(each), _problem(home, each)) for each in names]
        home.database.write(lambda c: home.ledger.admin(c, "secret.check", {"secrets": names}))
    if as_json:
        for each, origin, problem in found:
            say_json({"name": each, "from": origin, "ok": not problem, "problem": problem})
    else:
        rows = ((each, origin or SEALED, problem or "ok") for each, origin, problem in found)
        say_table(("name", "from", "result"), rows)
    if any(problem for *_, problem in found):
        raise typer.Exit(NO)


def fetched(reference: Reference) -> Secret:
    """Fetch a reference to see whether it works; raises SecretUnavailableError."""
    stores = Stores(os.environ)
    try:
        return stores.fetch(reference).secret
    except StoreRefusalError as e:
        why = f"{e.why}; --unchecked stores the reference all the same"
        raise SecretUnavailableError(reference.text, why) from None
    finally:
        stores.close()


def origins(settings: Settings, records: Records, names: Iterable[str]) -> dict[str, str]:
    """Where the secrets are that are kept elsewhere; without a master key nobody can tell."""
    if settings.broker:
        return dict.fromkeys(names, f"broker:{settings.broker}")
    if MASTER_KEY_VARIABLE not in os.environ and not (settings.keys / "master.key").exists():
        return {}
    try:
        key = master_key(settings.keys, os.environ)
    except (BrokerError, ValueError):
        return {}

    def look(connection: sqlite3.Connection) -> dict[str, str]:
        vault = Vault(Shelf(connection), key)
        kept = {name: _look(vault, name) for name in names}
        return {name: p.reference for name, p in kept.items() if isinstance(p, Pointer)}

    return records.database.read(look)


def public(origin: str) -> dict[str, Any]:
    """What JSON says of where a secret is kept: nothing for one that is sealed here."""
    return {"from": origin} if origin else {}


def told(name: str, reference: str, as_json: bool) -> None:
    """Say that a secret was rotated."""
    if as_json:
        say_json({"name": name, "rotated": True} | public(reference))
    elif reference:
        say(f"Secret {name} will be fetched anew from {reference}.")
    else:
        say(f"Secret {name} has its new value; where it is bound is as before.")


def _look(vault: Vault, name: str) -> Secret | Pointer | None:
    try:
        return vault.look(name)
    except SecretUnavailableError:
        return None


def _problem(home: Installation, name: str) -> str:
    try:
        secret = home.secret(name)
        _try_recipes(home, name, secret)
    except SecretUnavailableError as e:
        return e.why
    except BrokerError as e:
        return str(e)
    return ""


def _try_recipes(home: Installation, name: str, secret: Secret) -> None:
    recipes: Sequence[str] = [b.recipe for b in home.bindings.all() if b.secret == name]
    for recipe in dict.fromkeys(recipes):
        parse_recipe(recipe).check(secret)
