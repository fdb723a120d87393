"""How a room below the ledger has its changes recorded: in the transaction that makes them."""

import sqlite3
from collections.abc import Callable, Mapping
from typing import Any

type Audit = Callable[[sqlite3.Connection, str, Mapping[str, Any]], None]
"""Called with the open transaction, the action such as `agent.add`, and its details."""
