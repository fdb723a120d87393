"""Who acts, and where: agents, keys, leases, sessions, servers and tools, and what was seen."""

from sqlite_utils import Database as Tables

from interlock.store.schema.watching import watch


def registry(tables: Tables) -> None:
    tables.table("agents").create(
        {
            "name": str,
            "owner": str,
            "groups": str,
            "trust": str,
            "intent": str,
            "intent_category": str,
            "goal": str,
            "created_at": float,
        },
        pk="name",
        if_not_exists=True,
    )
    tables.table("agent_keys").create(
        {
            "digest": bytes,
            "agent": str,
            "created_at": float,
            "expires_at": float,
            "revoked_at": float,
        },
        pk="digest",
        foreign_keys=[("agent", "agents", "name")],
        if_not_exists=True,
    )


def leases(tables: Tables) -> None:
    """How long agents are good for without being heard of, and when they were.

    Which agents have one is watched. Being heard of is an update, which is not: thousands of
    agents that say that they live must not make everybody read everything again.
    """
    tables.table("leases").create(
        {"agent": str, "seconds": float, "renewed_at": float},
        pk="agent",
        not_null={"seconds", "renewed_at"},
        foreign_keys=[("agent", "agents", "name")],
        if_not_exists=True,
    )
    watch(tables, "leases", verbs=("insert", "delete"))


def servers(tables: Tables) -> None:
    """MCP servers, and what is known of them and of agents.

    That somebody was heard of is an update which is not watched, as with leases.
    """
    tables.table("servers").create(
        {
            "name": str,
            "id": str,
            "url": str,
            "owner": str,
            "groups": str,
            "trust": str,
            "scanner": str,
            "lease_s": float,
            "created_at": float,
        },
        pk="name",
        not_null={"id", "url", "owner", "groups", "trust", "scanner"},
        if_not_exists=True,
    )
    tables.table("servers").create_index(["id"], unique=True, if_not_exists=True)
    tables.table("profiles").create(
        {
            "kind": str,
            "name": str,
            "body": str,
            "health": str,
            "first_seen": float,
            "last_seen": float,
            "verified_at": float,
        },
        pk=("kind", "name"),
        not_null={"body", "health", "first_seen", "last_seen"},
        if_not_exists=True,
    )
    watch(tables, "servers")
    tables.conn.execute(
        "create trigger if not exists profiles_update_change after update of health on profiles "
        "begin update meta set value = value + 1 where key = 'change'; end"
    )


def access(tables: Tables) -> None:
    """Sessions of agents, and tokens for the API. Of both only digests are kept."""
    tables.table("sessions").create(
        {
            "id": str,
            "digest": bytes,
            "agent": str,
            "intent": str,
            "intent_category": str,
            "goal": str,
            "delegation": str,
            "started_at": float,
            "expires_at": float,
            "ended_at": float,
        },
        pk="id",
        not_null={"digest", "agent", "started_at", "expires_at"},
        foreign_keys=[("agent", "agents", "name")],
        if_not_exists=True,
    )
    tables.table("api_tokens").create(
        {
            "name": str,
            "role": str,
            "digest": bytes,
            "created_at": float,
            "expires_at": float,
        },
        pk="name",
        not_null={"role", "digest", "created_at"},
        if_not_exists=True,
    )
    watch(tables, "sessions", "api_tokens")


def tools(tables: Tables) -> None:
    """What the tools of MCP servers were when they were first seen; they go with their server."""
    tables.table("server_tools").create(
        {
            "server": str,
            "tool": str,
            "pinned": str,
            "seen": str,
            "first_seen": float,
            "changed_at": float,
        },
        pk=("server", "tool"),
        not_null={"pinned", "seen"},
        if_not_exists=True,
    )
    watch(tables, "server_tools")
    tables.conn.execute(
        "create trigger if not exists server_tools_gone after delete on servers "
        "begin delete from server_tools where server = old.name; end"
    )


def posts(tables: Tables) -> None:
    """Where MCP servers told their agents to post; gone with their server, or with its URL."""
    tables.table("server_posts").create(
        {"server": str, "path": str, "told_at": float},
        pk=("server", "path"),
        not_null={"told_at"},
        if_not_exists=True,
    )
    watch(tables, "server_posts")
    for name, event in (("gone", "delete"), ("moved", "update of url")):
        tables.conn.execute(
            f"create trigger if not exists server_posts_{name} after {event} on servers "  # noqa: S608
            "begin delete from server_posts where server = old.name; end"
        )


def discovery(tables: Tables) -> None:
    """What scanners saw, by place, and which agent an address stands for.

    That an address is still good is an update which is not watched, as with leases.
    """
    tables.table("sightings").create(
        {
            "place": str,
            "kind": str,
            "name": str,
            "body": str,
            "present": int,
            "first_seen": float,
            "last_seen": float,
        },
        pk="place",
        not_null={"kind", "name", "body", "present", "first_seen", "last_seen"},
        if_not_exists=True,
    )
    tables.table("sightings").create_index(["kind", "name"], if_not_exists=True)
    tables.table("addresses").create(
        {"ip": str, "network": str, "agent": str, "container": str, "until": float},
        pk="ip",
        not_null={"network", "agent", "container", "until"},
        if_not_exists=True,
    )
    watch(tables, "addresses", verbs=("insert", "delete"))


def sources(tables: Tables) -> None:
    """By whom agents and servers were told of, so that it is known at once how many."""
    tables.conn.execute(
        "create index if not exists profiles_source on profiles (json_extract(body, '$.source'))"
    )


def lookups(tables: Tables) -> None:
    """So that nothing that a call asks of agents is searched for, however many there are."""
    for table, *ways in (
        ("agent_keys", "agent", "expires_at"),
        ("sessions", "agent", "digest", "expires_at"),
        ("identities", "holder"),
    ):
        for column in ways:
            tables.table(table).create_index([column], if_not_exists=True)
    tables.conn.execute("create index if not exists leases_end on leases (renewed_at + seconds)")
