"""Where news is posted: a URL, the subjects it hears of, and the secret that signs for it."""

import ipaddress
import json
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args
from urllib.parse import urlsplit

from broker import Secret, SecretUnavailableError, Vault
from interlock.alerts.outbox import TABLE, relist
from interlock.alerts.signature import new_signing_secret
from interlock.errors import AlertError
from interlock.ledger.ledger import new_id
from interlock.store import Audit, Database, Shelf

# Each has its own sender task, so this bounds how many posts are under way at once.
MOST = 32
LONGEST_URL = 2048

type Subject = Literal[
    "secret_access", "denial", "quarantine", "mode_change", "alert", "checkpoint"
]
SUBJECTS: tuple[str, ...] = get_args(Subject.__value__)
# What people want to be woken for; checkpoints are for an archive.
USUAL = tuple(subject for subject in SUBJECTS if subject != "checkpoint")


@dataclass(frozen=True, slots=True)
class Webhook:
    """One receiver, as everybody may see it: of its URL, which may hold a key, the origin."""

    id: str
    origin: str
    subjects: tuple[str, ...]
    created_at: float


@dataclass(frozen=True, slots=True)
class Address:
    """What it takes to post: the whole URL and the signing secret, both hidden."""

    url: Secret
    key: Secret


class Webhooks:
    """All webhooks. Read on the spot, because a transaction that tells one must see it."""

    def __init__(self, database: Database, audit: Audit, master_key: bytes) -> None:
        self._database = database
        self._audit = audit
        self._master_key = master_key

    def add(self, url: str, subjects: Sequence[str]) -> tuple[Webhook, Secret]:
        """Add a webhook; answer it and its signing secret, shown this once. Raises AlertError."""
        origin = parse_url(url)
        webhook = Webhook(new_id("whk"), origin, tuple(subjects), time.time())
        key = new_signing_secret()
        sealed = Secret(json.dumps([url, key.reveal().decode()]))

        def work(connection: sqlite3.Connection) -> None:
            vault = self._vault(connection)
            if len(vault.names()) >= MOST:
                raise AlertError(f"there are {MOST} webhooks already, which is the limit")
            vault.seal(webhook.id, sealed)
            connection.execute(
                "update webhooks set origin = ?, subjects = ?, updated_at = ? where name = ?",
                [origin, json.dumps(webhook.subjects), webhook.created_at, webhook.id],
            )
            relist(connection)
            after = {"origin": origin, "subjects": list(subjects)}
            self._audit(connection, "webhook.add", {"webhook": webhook.id, "after": after})

        self._database.write(work)
        return webhook, key

    def remove(self, webhook_id: str) -> None:
        """Forget a webhook and what waits for it; raises AlertError when there is none."""

        def work(connection: sqlite3.Connection) -> None:
            before = connection.execute(
                "select origin, subjects from webhooks where name = ?", [webhook_id]
            ).fetchone()
            if before is None or not self._vault(connection).remove(webhook_id):
                raise AlertError(f"there is no webhook {webhook_id!r}")
            connection.execute("delete from outbox where webhook = ?", [webhook_id])
            relist(connection)
            details = {
                "webhook": webhook_id,
                "before": {"origin": before[0], "subjects": before[1]},
            }
            self._audit(connection, "webhook.rm", details)

        self._database.write(work)

    def address(self, webhook_id: str) -> Address:
        """Where and how to post; raises AlertError."""
        try:
            opened = self._database.read(lambda c: self._vault(c).open(webhook_id))
        except SecretUnavailableError as e:
            raise AlertError(f"webhook {webhook_id!r}: {e}") from None
        url, key = json.loads(opened.reveal())
        return Address(Secret(url), Secret(key))

    def find(self, reference: str) -> str:
        """The id of a webhook, given its id or its URL; raises AlertError."""
        ids = [webhook.id for webhook in listed(self._database)]
        if reference in ids:
            return reference
        url = reference.encode()
        found = (each for each in ids if self.address(each).url.reveal() == url)
        if webhook_id := next(found, ""):
            return webhook_id
        raise AlertError("there is no webhook with this id or URL: see `interlock webhook list`")

    def _vault(self, connection: sqlite3.Connection) -> Vault:
        return Vault(Shelf(connection, TABLE), self._master_key)


def listed(database: Database) -> list[Webhook]:
    """Every webhook, oldest first, for those who only look; raises StoreError."""
    rows = database.rows("select * from webhooks order by updated_at, name")
    return [
        Webhook(row["name"], row["origin"], tuple(json.loads(row["subjects"])), row["updated_at"])
        for row in rows
    ]


def parse_url(url: str) -> str:
    """Check a URL to post to and answer its origin; raises AlertError.

    What is posted tells much of what agents do, so it goes over TLS, or not off this machine.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as e:
        raise AlertError(f"webhook URL: {e}") from None
    host = parts.hostname or ""
    if len(url) > LONGEST_URL or not url.isascii() or not url.isprintable() or " " in url:
        raise AlertError(f"webhook URL: use printable ASCII, {LONGEST_URL} characters at most")
    if not host or parts.username is not None or parts.password is not None or parts.fragment:
        raise AlertError("webhook URL: give https://HOST/PATH, without user, password or fragment")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(host)):
        raise AlertError("webhook URL: only https, or http to this machine itself (127.0.0.1)")
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}" + (f":{port}" if port else "")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
