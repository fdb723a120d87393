"""The schema, as numbered steps that each run once and may be run again without harm."""

import secrets
import sqlite3
from collections.abc import Callable
from functools import cache

from sqlite_utils import Database as Tables

from interlock.store.views import create_views

EVENT_VIEWS = {
    "decisions": ("decision",),
    "outcomes": ("outcome",),
    "secret_accesses": ("secret_access",),
    "admin_actions": ("admin", "mode_change"),
}


def _registry(tables: Tables) -> None:
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


def _secrets(tables: Tables) -> None:
    tables.table("secrets").create(
        {"name": str, "sealed": bytes, "updated_at": float}, pk="name", if_not_exists=True
    )
    tables.table("bindings").create(
        {
            "secret": str,
            "host": str,
            "port": int,
            "recipe": str,
            "agents": str,
            "service": str,
        },
        pk=("secret", "host", "port"),
        if_not_exists=True,
    )
    tables.table("spent_tokens").create(
        {"id": str, "expires_at": float}, pk="id", if_not_exists=True
    )
    tables.table("spent_tokens").create_index(["expires_at"], if_not_exists=True)


def _ledger(tables: Tables) -> None:
    tables.table("events").create(
        {
            "node": str,
            "seq": int,
            "id": str,
            "ts": float,
            "kind": str,
            "agent": str,
            "decision_id": str,
            "body": str,
            "prev": bytes,
            "hash": bytes,
        },
        pk=("node", "seq"),
        not_null={"node", "seq", "id", "ts", "kind", "body", "prev", "hash"},
        if_not_exists=True,
    )
    tables.table("events").create_index(["decision_id"], if_not_exists=True)
    tables.table("events").create_index(["ts"], if_not_exists=True)
    for name, kinds in EVENT_VIEWS.items():
        listed = ", ".join(f"'{kind}'" for kind in kinds)
        tables.create_view(
            name,
            f"select seq, ts, agent, decision_id, body from events where kind in ({listed})",  # noqa: S608
            replace=True,
        )
    for verb in ("update", "delete"):
        tables.conn.execute(
            f"create trigger if not exists events_no_{verb} before {verb} on events "
            "begin select raise(abort, 'the ledger is append-only'); end"
        )


def _change_number(tables: Tables) -> None:
    tables.table("meta").create({"key": str, "value": str}, pk="key", if_not_exists=True)
    tables.conn.execute(
        "insert or ignore into meta values ('change', '0'), ('node', ?)", [secrets.token_hex(4)]
    )
    _watch(tables, "agents", "agent_keys", "bindings", "secrets")


def _why(tables: Tables) -> None:
    """What decisions look at beside policy: goals, keys that sign delegations, modes."""
    tables.table("goals").create(
        {
            "id": str,
            "title": str,
            "owner": str,
            "agents": str,
            "actions": str,
            "status": str,
            "starts_at": float,
            "expires_at": float,
            "max_actions": int,
            "max_tokens": int,
            "max_cost_usd": float,
            "used_actions": int,
            "used_tokens": int,
            "used_cost_usd": float,
            "created_at": float,
        },
        pk="id",
        if_not_exists=True,
    )
    tables.table("public_keys").create(
        {"kid": str, "holder": str, "public": bytes, "created_at": float, "revoked_at": float},
        pk="kid",
        if_not_exists=True,
    )
    tables.table("revocations").create(
        {"id": str, "revoked_at": float, "reason": str}, pk="id", if_not_exists=True
    )
    tables.table("modes").create(
        {"scope": str, "name": str, "mode": str, "reason": str, "set_at": float},
        pk=("scope", "name"),
        if_not_exists=True,
    )
    _watch(tables, "public_keys", "revocations", "modes")


def _approvals(tables: Tables) -> None:
    """What waits for a person. Nobody reads it through a snapshot, so it is not watched."""
    tables.table("approvals").create(
        {
            "id": str,
            "decision_id": str,
            "agent": str,
            "action": str,
            "resource": str,
            "request_digest": str,
            "asked_at": float,
            "expires_at": float,
            "status": str,
            "decided_by": str,
            "reason": str,
            "decided_at": float,
            "spent_at": float,
        },
        pk="id",
        not_null={"agent", "action", "resource", "request_digest", "expires_at", "status"},
        if_not_exists=True,
    )
    tables.table("approvals").create_index(["status", "expires_at"], if_not_exists=True)
    tables.table("approvals").create_index(["asked_at"], if_not_exists=True)


def _questions(tables: Tables) -> None:
    """Indexes for what people ask of the ledger; each is in the order of time within a value."""
    connection = tables.conn
    connection.execute("create index if not exists events_by_agent on events (agent, ts)")
    for name, field in {
        "label": "label",
        "host": "authority",
        "goal": "goal",
        "user": "facts.owner",
    }.items():
        value = f"json_extract(body, '$.{field}')"
        connection.execute(
            f"create index if not exists events_by_{name} on events ({value}, ts) "
            f"where kind = 'decision' and {value} <> ''"
        )


def _alerts(tables: Tables) -> None:
    """Planted keys, and the news for webhooks. Only the first are read through a snapshot."""
    sealed = {"name": str, "sealed": bytes, "updated_at": float}
    tables.table("honeytokens").create(sealed, pk="name", if_not_exists=True)
    tables.table("webhooks").create(
        sealed | {"origin": str, "subjects": str}, pk="name", if_not_exists=True
    )
    tables.table("outbox").create(
        {
            "seq": int,
            "webhook": str,
            "event": str,
            "subject": str,
            "body": str,
            "created_at": float,
            "state": str,
            "attempts": int,
            "due_at": float,
            "answer": str,
            "settled_at": float,
        },
        pk="seq",
        not_null={"webhook", "event", "body", "state", "attempts", "due_at"},
        if_not_exists=True,
    )
    tables.table("outbox").create_index(["webhook", "state", "seq"], if_not_exists=True)
    tables.table("outbox").create_index(["state", "settled_at"], if_not_exists=True)
    tables.table("turns").create(
        {"name": str, "holder": str, "until": float}, pk="name", if_not_exists=True
    )
    tables.create_view(
        "alerts",
        "select seq, ts, agent, decision_id, body from events where kind = 'alert'",
        replace=True,
    )
    _watch(tables, "honeytokens")


def _leases(tables: Tables) -> None:
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
    _watch(tables, "leases", verbs=("insert", "delete"))


def _conditions(tables: Tables) -> None:
    """What a binding asks of a call beside its agent; an empty list asks nothing."""
    known = tables.table("bindings").columns_dict
    for name in ("groups", "goals", "methods", "paths"):
        if name not in known:
            tables.table("bindings").add_column(name, str, not_null_default="[]")


def _servers(tables: Tables) -> None:
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
    _watch(tables, "servers")
    tables.conn.execute(
        "create trigger if not exists profiles_update_change after update of health on profiles "
        "begin update meta set value = value + 1 where key = 'change'; end"
    )


def _access(tables: Tables) -> None:
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
    _watch(tables, "sessions", "api_tokens")


def _tools(tables: Tables) -> None:
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
    _watch(tables, "server_tools")
    tables.conn.execute(
        "create trigger if not exists server_tools_gone after delete on servers "
        "begin delete from server_tools where server = old.name; end"
    )


def _minting(tables: Tables) -> None:
    """Where upstreams hand out tokens, and the tokens, sealed, that were kept for agents."""
    tables.table("mint_routes").create(
        dict.fromkeys(("name", "host", "method", "path", "fields", "hosts", "headers"), str),
        pk="name",
        if_not_exists=True,
    )
    tables.table("minted").create(
        {
            "digest": str,
            "agent": str,
            "route": str,
            "field": str,
            "made_at": float,
            "ends": float,
            "sealed": bytes,
        },
        pk="digest",
        not_null={"agent", "route", "field", "made_at", "ends", "sealed"},
        if_not_exists=True,
    )
    _watch(tables, "mint_routes", "minted")


def _discovery(tables: Tables) -> None:
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
    _watch(tables, "addresses", verbs=("insert", "delete"))


def _watch(
    tables: Tables, *names: str, verbs: tuple[str, ...] = ("insert", "update", "delete")
) -> None:
    """Let a change to these tables move the change number, by which every process notices it."""
    for table in names:
        for verb in verbs:
            tables.conn.execute(
                f"create trigger if not exists {table}_{verb}_change after {verb} on {table} "  # noqa: S608
                "begin update meta set value = value + 1 where key = 'change'; end"
            )


STEPS: tuple[Callable[[Tables], None], ...] = (
    _registry,
    _secrets,
    _ledger,
    _change_number,
    _why,
    _approvals,
    _questions,
    _alerts,
    _leases,
    _conditions,
    _servers,
    _access,
    _tools,
    create_views,
    _minting,
    _discovery,
)


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the schema up to date inside one transaction; several processes may race for it.

    Raises sqlite3.Error. A database of a newer version raises ValueError and is left alone.
    """
    if _version(connection) == len(STEPS):
        return
    connection.execute("begin immediate")
    try:
        done = _version(connection)
        if done > len(STEPS):
            raise ValueError(f"it was written by a newer version (schema {done}, not {len(STEPS)})")
        tables = Tables(connection)
        for step in STEPS[done:]:
            step(tables)
        connection.execute(f"pragma user_version = {len(STEPS)}")
        connection.execute("commit")
    except BaseException:
        connection.execute("rollback")
        raise


def _version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("pragma user_version").fetchone()[0]
    return version


def guards_of(connection: sqlite3.Connection) -> dict[str, str]:
    """The triggers and views of a database by kind and name, as they are defined there."""
    return {
        f"{kind} {name}": sql
        for kind, name, sql in connection.execute(
            "select type, name, sql from sqlite_master where type in ('trigger', 'view')"
        )
    }


@cache
def guards_wanted() -> dict[str, str]:
    """The triggers and views that a database of this version has."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        migrate(connection)
        return guards_of(connection)
    finally:
        connection.close()
