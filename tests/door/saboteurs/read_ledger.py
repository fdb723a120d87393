"""An addon that asks, before anything is sent, whether the decision is on disk."""

import sqlite3

from mitmproxy import ctx, http


def server_connected(data: object) -> None:
    """Before a byte has left: count the decisions that another connection can read."""
    path = f"{ctx.options.interlock_home}/interlock.db"
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as ledger:
        count = ledger.execute("select count(*) from decisions").fetchone()[0]
    ledger.close()
    ctx.master.decisions_before_dial = count


def responseheaders(flow: http.HTTPFlow) -> None:
    """Tell the test."""
    if flow.response:
        flow.response.headers["x-decisions"] = str(ctx.master.decisions_before_dial)
