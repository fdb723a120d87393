"""Why a call may be made: goals, delegations, approvals."""

from sqlite_utils import Database as Tables

from interlock.store.schema.watching import watch


def why(tables: Tables) -> None:
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
    watch(tables, "public_keys", "revocations", "modes")


def told(tables: Tables) -> None:
    """What whoever answers an approval is told of the call."""
    if "told" not in tables.table("approvals").columns_dict:
        tables.table("approvals").add_column("told", str, not_null_default="{}")


def approvals(tables: Tables) -> None:
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
