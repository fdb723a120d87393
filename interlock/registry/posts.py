"""Where MCP servers of the older transport (HTTP with SSE) have told their agents to post.

https://modelcontextprotocol.io/specification/2024-11-05/basic/transports
"""

import sqlite3
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace

from interlock.model import Server
from interlock.store import Audit, Database, Snapshot

# Of a server that tells each session another path, the newest are kept.
MOST_POSTS = 64
LONGEST_PATH = 1024


class Posts:
    """Read through a snapshot; what is heard counts here before it is on disk."""

    def __init__(self, database: Database, audit: Audit) -> None:
        self._database = database
        self._audit = audit
        self._paths = Snapshot(database, _load)
        self._heard: set[tuple[str, str]] = set()

    def known(self, server: Server) -> Server:
        """The server with the paths that it told; raises StoreError."""
        kept = self._paths.value.get(server.name, ())
        heard = (path for name, path in tuple(self._heard) if name == server.name)
        posts = tuple(dict.fromkeys((*kept, *heard)))
        return replace(server, posts=posts) if posts else server

    def hear(self, server: Server, path: str) -> None:
        """Keep a path that a server tells, without waiting for the disk."""
        if path in self.known(server).posts or len(path) > LONGEST_PATH:
            return
        heard = server.name, path
        self._heard.add(heard)
        done = self._database.submit(lambda c: self._keep(c, server, path))
        done.add_done_callback(lambda _: self._heard.discard(heard))

    def _keep(self, connection: sqlite3.Connection, server: Server, path: str) -> None:
        """Unless the server is gone, or has moved."""
        here = "select 1 from servers where name = ? and url = ?"
        if not connection.execute(here, [server.name, server.url]).fetchone():
            return
        connection.execute(
            "insert or replace into server_posts values (?, ?, ?)",
            [server.name, path, time.time()],
        )
        connection.execute(
            "delete from server_posts where server = ? and path not in (select path "
            "from server_posts where server = ? order by told_at desc limit ?)",
            [server.name, server.name, MOST_POSTS],
        )
        self._audit(connection, "server.posts", {"server": server.name, "after": {"path": path}})


def _load(database: Database) -> Mapping[str, tuple[str, ...]]:
    found: defaultdict[str, list[str]] = defaultdict(list)
    for row in database.rows("select server, path from server_posts"):
        found[row["server"]].append(row["path"])
    return {server: tuple(paths) for server, paths in found.items()}
