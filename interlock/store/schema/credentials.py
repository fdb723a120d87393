"""What is kept and where it may go: secrets, bindings, minted tokens."""

from sqlite_utils import Database as Tables

from interlock.store.schema.watching import watch


def secrets(tables: Tables) -> None:
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


def conditions(tables: Tables) -> None:
    """What a binding asks of a call beside its agent; an empty list asks nothing."""
    known = tables.table("bindings").columns_dict
    for name in ("groups", "goals", "methods", "paths"):
        if name not in known:
            tables.table("bindings").add_column(name, str, not_null_default="[]")


def destinations(tables: Tables) -> None:
    """So that what is bound to a destination is not searched for, however much is bound."""
    tables.conn.execute("create index if not exists bindings_at on bindings (host, port)")
    tables.conn.execute(
        "create index if not exists bindings_patterns on bindings (port, host) "
        "where instr(host, '*') > 0"
    )


def minting(tables: Tables) -> None:
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
    watch(tables, "mint_routes", "minted")
