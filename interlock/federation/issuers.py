"""The issuers that were added, by URL."""

import json
import sqlite3
import time
from collections.abc import Mapping

from interlock.errors import RegistryError
from interlock.federation.issuer import Issuer
from interlock.store import Audit, Database, Snapshot


class Issuers:
    """Read through a snapshot, changed with an audit row."""

    def __init__(self, database: Database, audit: Audit) -> None:
        self._database = database
        self._audit = audit
        self._known = Snapshot(database, _load)

    def all(self) -> Mapping[str, Issuer]:
        """Every issuer by its URL."""
        return self._known.value

    def add(self, issuer: Issuer) -> None:
        """Take an issuer's word from now on; raises RegistryError when it is there already."""

        def work(connection: sqlite3.Connection) -> None:
            added = connection.execute(
                "insert or ignore into issuers values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    issuer.url,
                    issuer.audience,
                    issuer.jwks,
                    issuer.agent_claim,
                    issuer.group_claim,
                    json.dumps(list(issuer.algorithms)),
                    issuer.max_age_s,
                    issuer.auto_register,
                    issuer.ca,
                    time.time(),
                    issuer.most_agents,
                ],
            )
            if added.rowcount != 1:
                raise RegistryError(f"issuer {issuer.url!r} is there already")
            details = {"issuer": issuer.url, "after": issuer.record}
            self._audit(connection, "issuer.add", details)

        self._database.write(work)

    def remove(self, url: str) -> None:
        """Take its word no longer: all that rests on it ends at once. Raises RegistryError."""

        def work(connection: sqlite3.Connection) -> None:
            gone = connection.execute("delete from issuers where url = ? returning *", [url])
            if (row := gone.fetchone()) is None:
                raise RegistryError(f"there is no issuer {url[:200]!r}")
            details = {"issuer": url, "before": _issuer(row).record}
            self._audit(connection, "issuer.rm", details)

        self._database.write(work)


def _load(database: Database) -> Mapping[str, Issuer]:
    rows = database.rows("select * from issuers order by url")
    return {row["url"]: _issuer(row) for row in rows}


def _issuer(row: sqlite3.Row) -> Issuer:
    return Issuer(
        row["url"],
        row["audience"],
        row["jwks"],
        row["agent_claim"],
        row["group_claim"],
        tuple(json.loads(row["algorithms"])),
        row["max_age_s"],
        bool(row["auto_register"]),
        row["ca"],
        row["most_agents"],
    )
