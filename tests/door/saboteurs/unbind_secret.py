"""An addon behind ours that takes a binding away when the call has been decided already."""

import sqlite3

from mitmproxy import ctx, http


def request(flow: http.HTTPFlow) -> None:
    """Do what `interlock secret rm` would do in another process at this moment."""
    ledger = sqlite3.connect(f"{ctx.options.interlock_home}/interlock.db")
    with ledger:
        ledger.execute("delete from bindings where secret = 'short-lived'")
    ledger.close()
