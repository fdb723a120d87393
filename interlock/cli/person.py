"""Who sits at this machine, as a token of the organisation's identity provider says."""

import asyncio
import getpass
import os
import sqlite3
import sys
import time

from interlock.cli.home import changing
from interlock.cli.key import read_stdin
from interlock.delegation import Link
from interlock.errors import InterlockError
from interlock.federation.statement import LONGEST
from interlock.model import Entity
from interlock.settings import Settings

VARIABLE = "INTERLOCK_ID_TOKEN"


class PersonError(InterlockError):
    """Nobody is proven by what was given; the token itself is never told."""


def person_of_token(settings: Settings) -> Entity:
    """The user to whose identity a token was made out; raises PersonError."""
    text = os.environ.get(VARIABLE) or _ask()
    if not text:
        raise PersonError(f"--as-me: give the token in {VARIABLE}, at the prompt or on stdin")
    with changing(settings) as home:
        person = home.federation.person(text, time.time())
        try:
            return asyncio.run(person)
        except InterlockError as e:
            cause = getattr(e, "cause", str(e))
            raise PersonError(f"--as-me: the token proves no person here: {cause}") from None


def record_grant(settings: Settings, link: Link) -> None:
    """Record that a token, and not only a key, has rooted a delegation."""
    details = {"link": link.id, "from": str(link.from_), "to": str(link.to), "by": "token"}

    def work(connection: sqlite3.Connection) -> None:
        home.ledger.admin(connection, "delegation.grant", details)

    with changing(settings) as home:
        home.database.write(work)


def _ask() -> str:
    if sys.stdin is not None and sys.stdin.isatty():
        return getpass.getpass("Token: ").strip()
    return read_stdin(LONGEST + 2)
