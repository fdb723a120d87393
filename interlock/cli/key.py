"""`interlock key`: what signs delegations, tokens and checkpoints. Private halves stay in files."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from nacl.signing import SigningKey, VerifyKey

from broker.keyfile import load_key
from interlock.cli import rotation
from interlock.cli.home import changing, reading, settings_of
from interlock.cli.printing import Json, moment, say, say_json, say_table
from interlock.cli.words import parse_text, typed
from interlock.delegation import PublicKey, format_public_key, parse_holder, parse_public_key
from interlock.errors import InterlockError
from interlock.installation import Installation
from interlock.model import Entity
from interlock.settings import Settings
from interlock.store.delegations import Delegations

app = typer.Typer(help="Keys: what delegations, tokens and checkpoints are signed with.")
app.command()(rotation.rotate)

LONGEST_PUBLIC_KEY = 200


class KeyInputError(InterlockError):
    """A key was not given, or cannot be used."""


def parse_word(text: str) -> Entity:
    """Read `user:ada` or `agent:x`; raises ValueError."""
    kind, _, name = text.partition(":")
    if kind not in ("user", "agent"):
        raise ValueError(f"{text[:80]!r} is neither user:NAME nor agent:NAME")
    return parse_holder(f'{kind.capitalize()}::"{name}"')


Holder = Annotated[
    Entity,
    typer.Argument(
        metavar="HOLDER", parser=typed(parse_word), help="Whose key: user:NAME or agent:NAME."
    ),
]


@app.command()
def new(
    context: typer.Context,
    holder: Holder,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Where the private key goes; default: keys/holders in the home."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a key pair: the private half into a file of mode 0600, the public one registered."""
    settings = settings_of(context)
    file = (out or key_file(settings, holder)).absolute()
    with changing(settings, create=True) as home:
        _require_known(home, holder)
        if file.exists() or file.is_symlink():
            raise KeyInputError(f"{file} exists already: give another --out")
        public = SigningKey(load_key(file)).verify_key
        kid = Delegations(home.database, home.ledger.admin).add_key(holder, public)
    text = format_public_key(public)
    if as_json:
        say_json({"kid": kid, "holder": str(holder), "public": text, "file": str(file)})
        return
    say(f"Key {kid} may sign for {holder}. Its private half is in {file}, its public one is:")
    say(text)


@app.command()
def add(
    context: typer.Context,
    holder: Holder,
    public: Annotated[
        str, typer.Option(metavar="FILE", help="A file with the public key; - for stdin.")
    ],
    as_json: Json = False,
) -> None:
    """Register the public half of a pair that was made elsewhere, as k4.public.TEXT."""
    key = _read_public_key(public)
    with changing(settings_of(context), create=True) as home:
        _require_known(home, holder)
        kid = Delegations(home.database, home.ledger.admin).add_key(holder, key)
    if as_json:
        say_json({"kid": kid, "holder": str(holder), "public": format_public_key(key)})
        return
    say(f"Key {kid} may sign for {holder}.")


@app.command("list")
def list_(context: typer.Context, as_json: Json = False) -> None:
    """List the public halves of all keys: what each signs, whose it is, and how it stands."""
    settings = settings_of(context)
    with reading(settings) as records:
        keys = Delegations(records.database, records.ledger.admin).keys
    listed = [*rotation.own_keys(settings), *(_public(kid, key) for kid, key in keys.items())]
    if as_json:
        for key in listed:
            say_json(key)
        return
    columns = ("kid", "purpose", "whose", "state", "public key")
    say_table(columns, (_row(key) for key in listed))


@app.command()
def revoke(
    context: typer.Context,
    kid: Annotated[str, typer.Argument(metavar="KID", help="The name of the key.")],
    reason: Annotated[
        str, typer.Option(metavar="TEXT", parser=typed(parse_text), help="Why, for the ledger.")
    ] = "",
    as_json: Json = False,
) -> None:
    """End a key for good, and with it every delegation that it signed."""
    with changing(settings_of(context)) as home:
        Delegations(home.database, home.ledger.admin).revoke_key(kid, reason)
    if as_json:
        say_json({"kid": kid, "revoked": True})
        return
    say(f"Key {kid} is revoked, and every delegation that it signed.")


def key_file(settings: Settings, holder: Entity) -> Path:
    """Where the private key of a holder is kept unless somebody chose another place."""
    return settings.keys / "holders" / f"{holder.type.lower()}-{holder.id}.key"


def read_signing_key(file: Path) -> SigningKey:
    """Read a private key; raises KeyInputError or broker.KeyFileError."""
    if not file.exists():
        raise KeyInputError(f"{file} does not exist: run `interlock key new`, or give --key")
    return SigningKey(load_key(file.absolute()))


def read_stdin(most: int) -> str:
    """Read a short text of at most `most` bytes; raises KeyInputError."""
    if sys.stdin is None:
        raise KeyInputError("there is no stdin to read from")
    return sys.stdin.buffer.read(most).decode("utf-8", "replace").strip()


def _require_known(home: Installation, holder: Entity) -> None:
    """Raise RegistryError for an agent that is not registered; users are kept elsewhere."""
    if holder.type == "Agent":
        home.registry.get(holder.id)


def _read_public_key(file: str) -> VerifyKey:
    try:
        if file == "-":
            return parse_public_key(read_stdin(LONGEST_PUBLIC_KEY))
        with Path(file).open("rb") as opened:
            return parse_public_key(opened.read(LONGEST_PUBLIC_KEY).decode().strip())
    except ValueError as e:
        raise KeyInputError(f"--public: {e}") from None


def _public(kid: str, key: PublicKey) -> dict[str, Any]:
    return {
        "kid": kid,
        "purpose": "delegation",
        "state": "signs" if key.revoked_at is None else "revoked",
        "holder": str(key.holder),
        "public": format_public_key(key.key),
        "until": None,
        "revoked_at": key.revoked_at,
    }


def _row(key: Mapping[str, Any]) -> tuple[str, ...]:
    state = key["state"]
    if since := key.get("revoked_at"):
        state += f" {moment(since)}"
    if until := key.get("until"):
        state += f" until {moment(until)}" if state == "verifies" else f" {moment(until)}"
    return key["kid"], key["purpose"], key["holder"] or "-", state, key["public"]
