"""How every process notices that something has changed."""

from sqlite_utils import Database as Tables


def watch(
    tables: Tables,
    *names: str,
    verbs: tuple[str, ...] = ("insert", "update", "delete"),
    number: str = "change",
) -> None:
    """Let a change to these tables move a number, by which every process notices it."""
    for table in names:
        for verb in verbs:
            tables.conn.execute(
                f"create trigger if not exists {table}_{verb}_{number} after {verb} on {table} "  # noqa: S608
                f"begin update meta set value = value + 1 where key = '{number}'; end"
            )
