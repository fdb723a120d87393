"""`interlock identity`: which names of systems outside stand for an agent or a person."""

from pathlib import Path
from typing import Annotated

import typer
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from interlock.cli.home import changing, reading, settings_of
from interlock.cli.key import Holder
from interlock.cli.printing import Json, say, say_json, say_table
from interlock.errors import InterlockError
from interlock.federation import Identity, parse_identity
from interlock.model import Entity

app = typer.Typer(help="Identities: names outside (SPIFFE, OIDC, certificates) of agents, people.")


class IdentityInputError(InterlockError):
    """A name was not given, or is none."""


Spiffe = Annotated[
    str, typer.Option(metavar="URI", help="A SPIFFE ID: of a certificate's URI, or a JWT-SVID.")
]
Certificate = Annotated[
    str,
    typer.Option(metavar="SHA256", help="A client certificate: its fingerprint, or a PEM file."),
]
Oidc = Annotated[str, typer.Option(metavar="ISSUER#SUBJECT", help="A subject of an issuer.")]


@app.command()
def add(
    context: typer.Context,
    holder: Holder,
    spiffe: Spiffe = "",
    certificate: Certificate = "",
    oidc: Oidc = "",
    as_json: Json = False,
) -> None:
    """Let one name stand for an agent or a person."""
    identity = _one(spiffe, certificate, oidc)
    with changing(settings_of(context)) as home:
        home.federation.identities.add(identity, holder)
    if as_json:
        say_json(_record(identity, holder))
        return
    say(f"{identity} is {holder}, from the next call on.")


@app.command("list")
def list_(context: typer.Context, as_json: Json = False) -> None:
    """List the names, and who stands behind them."""
    with reading(settings_of(context)) as records:
        known = records.federation.identities.all()
    if as_json:
        for identity, holder in known.items():
            say_json(_record(identity, holder))
        return
    columns = ("kind", "name", "holder")
    say_table(columns, ((each.kind, each.name, str(holder)) for each, holder in known.items()))


@app.command()
def rm(
    context: typer.Context,
    spiffe: Spiffe = "",
    certificate: Certificate = "",
    oidc: Oidc = "",
    as_json: Json = False,
) -> None:
    """Let a name stand for nobody; connections that rest on it end at once."""
    identity = _one(spiffe, certificate, oidc)
    with changing(settings_of(context)) as home:
        home.federation.identities.remove(identity)
    if as_json:
        say_json({"kind": identity.kind, "name": identity.name, "removed": True})
        return
    say(f"{identity} stands for nobody any more.")


def _one(spiffe: str, certificate: str, oidc: str) -> Identity:
    given = {"spiffe": spiffe, "certificate": _fingerprint(certificate), "oidc": oidc}
    said = [(kind, text) for kind, text in given.items() if text]
    if len(said) != 1:
        raise IdentityInputError("give one of --spiffe, --certificate and --oidc")
    ((kind, text),) = said
    try:
        return parse_identity(kind, text)
    except ValueError as e:
        raise IdentityInputError(f"--{kind}: {e}") from None


def _fingerprint(certificate: str) -> str:
    """The fingerprint that was given, or that of the certificate in the file of that name."""
    if not certificate.endswith((".pem", ".crt", ".cer")):
        return certificate
    try:
        found = x509.load_pem_x509_certificate(Path(certificate).read_bytes())
    except OSError as e:
        raise IdentityInputError(f"--certificate: {certificate}: {e.strerror}") from None
    except ValueError:
        raise IdentityInputError(f"--certificate: {certificate} holds no PEM certificate") from None
    return found.fingerprint(SHA256()).hex()


def _record(identity: Identity, holder: Entity) -> dict[str, str]:
    return {"kind": identity.kind, "name": identity.name, "holder": str(holder)}
