"""What happened: an append-only, hash-chained record of every decision, attested from outside."""

from interlock.ledger.archive import Archive
from interlock.ledger.chain import Event
from interlock.ledger.checkpoint import Checkpoint
from interlock.ledger.keys import AttestationError
from interlock.ledger.knocks import Knocks
from interlock.ledger.ledger import Ledger
from interlock.ledger.notary import Notary
from interlock.ledger.question import Question
from interlock.ledger.trail import Trail
from interlock.ledger.verification import Span, Verification

__all__ = [
    "Archive",
    "AttestationError",
    "Checkpoint",
    "Event",
    "Knocks",
    "Ledger",
    "Notary",
    "Question",
    "Span",
    "Trail",
    "Verification",
]
