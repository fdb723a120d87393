"""The tables of what is taken from identity systems outside."""

from sqlite_utils import Database as Tables

from interlock.store.schema.watching import watch


def federation(tables: Tables) -> None:
    """Issuers whose tokens are taken, and the names outside that agents and people have."""
    tables.table("issuers").create(
        {
            "url": str,
            "audience": str,
            "jwks": str,
            "agent_claim": str,
            "group_claim": str,
            "algorithms": str,
            "max_age_s": float,
            "auto_register": int,
            "ca": str,
            "created_at": float,
        },
        pk="url",
        not_null={"audience", "algorithms", "max_age_s", "auto_register"},
        if_not_exists=True,
    )
    tables.table("identities").create(
        {"kind": str, "name": str, "type": str, "holder": str, "created_at": float},
        pk=("kind", "name"),
        not_null={"type", "holder"},
        if_not_exists=True,
    )
    watch(tables, "issuers", "identities")
    tables.conn.execute(
        "create trigger if not exists identities_gone after delete on agents begin "
        "delete from identities where type = 'Agent' and holder = old.name; end"
    )


def crowds(tables: Tables) -> None:
    """How many agents an issuer may register before a person looks at them."""
    if "most_agents" not in tables.table("issuers").columns_dict:
        tables.table("issuers").add_column("most_agents", int, not_null_default=1000)
