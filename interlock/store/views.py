"""The ledger as flat tables, for any tool that reads SQLite; the fields are those of the bodies."""

from sqlite_utils import Database as Tables

_PLACE = {
    "ts": "ts",
    "time": "strftime('%Y-%m-%dT%H:%M:%fZ', ts, 'unixepoch')",
    "agent": "agent",
    "decision_id": "decision_id",
}
_REASONS = (
    "(select group_concat(json_extract(value, '$[0]'), ', ') from json_each(body, '$.reasons'))"
)
# A column that is named otherwise than the field of the body that it shows.
_SOURCES = {"reasons": _REASONS} | {
    name: f"json_extract(body, '$.{field}')"
    for name, field in {
        "user": "facts.owner",
        "host": "authority",
        "claimed_host": "host",
    }.items()
}
# By view: the kinds of event, and the columns between place and body.
VIEWS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "decisions": (
        ("decision",),
        (
            *("label", "effect", "enforced", "mode", "stage", "reasons"),
            *("action", "resource", "service", "host", "method", "path", "model"),
            *("user", "trust", "goal", "intent", "intent_category", "source_ip"),
            *("body_bytes", "body_sha256", "policy_set", "micros", "approval"),
            *("connect", "sni", "claimed_host", "query_fields", "body_fields", "arguments"),
        ),
    ),
    "outcomes": (
        ("outcome",),
        (
            *("status", "ended", "error", "millis", "bytes_up", "bytes_down"),
            *("tokens_in", "tokens_out", "cost_usd", "scrubbed", "redeemed"),
            *("dialled", "tls", "certificate"),
        ),
    ),
    "secret_accesses": (("secret_access",), ("secret", "host", "token")),
    "admin_actions": (("admin", "mode_change"), ("action", "actor", "before", "after")),
    "alerts": (
        ("alert",),
        (
            *("alert", "honeytoken", "where", "method", "host", "source_ip", "mode"),
            *("server", "tools", "changed", "shown"),
        ),
    ),
}


def create_views(tables: Tables) -> None:
    """Define every view, in place of what has its name."""
    for name, (kinds, fields) in VIEWS.items():
        columns = _PLACE | {field: _source(field) for field in fields}
        chosen = ", ".join(f'{source} as "{column}"' for column, source in columns.items())
        listed = ", ".join(f"'{kind}'" for kind in kinds)
        tables.create_view(
            name,
            f"select {chosen}, node, seq, id, body from events where kind in ({listed})",  # noqa: S608
            replace=True,
        )


def _source(field: str) -> str:
    return _SOURCES.get(field, f"json_extract(body, '$.{field}')")
