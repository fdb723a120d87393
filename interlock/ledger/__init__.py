"""What happened: an append-only, hash-chained record of every decision, attested from outside."""

from interlock.ledger.chain import Event
from interlock.ledger.checkpoint import Checkpoint, CheckpointError
from interlock.ledger.ledger import Ledger
from interlock.ledger.notary import Notary
from interlock.ledger.question import Question
from interlock.ledger.trail import Trail
from interlock.ledger.verification import Span, Verification

__all__ = [
    "Checkpoint",
    "CheckpointError",
    "Event",
    "Ledger",
    "Notary",
    "Question",
    "Span",
    "Trail",
    "Verification",
]
