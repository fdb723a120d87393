"""Where state lives: one SQLite file, read by many, written by one thread per process."""

from interlock.store.audit import Audit
from interlock.store.bindings import Bindings
from interlock.store.database import Database
from interlock.store.shelf import Shelf
from interlock.store.snapshot import SECRETS, Lookup, Snapshot
from interlock.store.writer import AT_ONCE

__all__ = ["AT_ONCE", "SECRETS", "Audit", "Bindings", "Database", "Lookup", "Shelf", "Snapshot"]
