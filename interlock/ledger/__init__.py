"""What happened: an append-only, hash-chained record of every decision."""

from interlock.ledger.chain import Event, verify_chain
from interlock.ledger.ledger import Ledger

__all__ = ["Event", "Ledger", "verify_chain"]
