"""What happened, who is told, and the number that every change moves."""

import secrets

from sqlite_utils import Database as Tables

from interlock.store.schema.watching import watch

EVENT_VIEWS = {
    "decisions": ("decision",),
    "outcomes": ("outcome",),
    "secret_accesses": ("secret_access",),
    "admin_actions": ("admin", "mode_change"),
}


def ledger(tables: Tables) -> None:
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


def change_number(tables: Tables) -> None:
    tables.table("meta").create({"key": str, "value": str}, pk="key", if_not_exists=True)
    tables.conn.execute(
        "insert or ignore into meta values ('change', '0'), ('node', ?)", [secrets.token_hex(4)]
    )
    watch(tables, "agents", "agent_keys", "bindings", "secrets")


def secrets_number(tables: Tables) -> None:
    """What moves beside the change number when secrets or bindings change, which is seldom.

    Agents come and go, and nobody opens a secret again for that.
    """
    tables.conn.execute("insert or ignore into meta values ('secrets', '0')")
    watch(tables, "secrets", "bindings", number="secrets")


def questions(tables: Tables) -> None:
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


def alerts(tables: Tables) -> None:
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
    watch(tables, "honeytokens")
