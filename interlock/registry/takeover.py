"""What of a server nobody but a person may change, whatever a scanner that was broken into says."""

import sqlite3
from collections.abc import Sequence

from interlock.errors import RegistryError
from interlock.model import Server, Trust
from interlock.registry.profile import Profile
from interlock.registry.registration import Registration


def changes(before: Registration, server: Server, profile: Profile) -> list[str]:
    """The fields in which a server differs from what is registered."""
    names = ("url", "owner", "groups")
    own = [name for name in names if getattr(before.server, name) != getattr(server, name)]
    return own + before.seen.profile.changes(profile)


def require_harmless(before: Registration, changed: Sequence[str], scanner: str) -> None:
    """Raise RegistryError for the server of another, or one that a person judged and that moved."""
    name, trust = before.server.name, before.server.trust
    if scanner != before.scanner:
        raise RegistryError(f"server {name!r} was registered by another")
    moved = {"url", "command", "args"} & set(changed)
    if moved and trust is not Trust.UNVERIFIED:
        raise RegistryError(f"server {name!r} is {trust}: a person has to change its {min(moved)}")


def require_free_url(connection: sqlite3.Connection, server: Server) -> None:
    """Raise RegistryError when the URL is another's, who would be called by a newcomer's name."""
    other = connection.execute(
        "select name from servers where url = ? and url <> '' and name <> ?",
        [server.url, server.name],
    ).fetchone()
    if other:
        raise RegistryError(f"server {other['name']!r} is registered for {server.url}")
