"""Attests the ledger: every thousand events, every minute, and at the end of a process."""

import logging
from collections.abc import Callable, Mapping

from broker import BrokerError, Keyring
from interlock.errors import StoreError
from interlock.ledger.chain import Event
from interlock.ledger.checkpoint import Head, digest_of
from interlock.ledger.ledger import Ledger, new_id
from interlock.ledger.trail import Trail

log = logging.getLogger(__name__)

MOST_EVENTS = 1_000
LONGEST_S = 60.0
KIND = "checkpoint"


class Notary:
    """Signs where the chains end, whenever something has happened since it last did."""

    def __init__(self, ledger: Ledger, trail: Trail, keyring: Callable[[], Keyring]) -> None:
        """`keyring` is asked at each signature: keys are made when needed, and may be rotated."""
        self._ledger = ledger
        self._trail = trail
        self._keyring = keyring
        self._attested = 0
        self._at = 0.0

    def attest_when_due(self, now: float) -> bool:
        """Attest if enough time has passed, or enough has happened; True when it did."""
        seq, kind = self._ledger.newest()
        if kind in ("", KIND):
            self._at = now
            return False
        # A clock that was set back must not put it off.
        if seq - self._attested < MOST_EVENTS and 0 <= now - self._at < LONGEST_S:
            return False
        return self.attest(now)

    def attest(self, now: float) -> bool:
        """Attest what is on disk now; False when there is nothing new, or it cannot be done.

        A failure is logged and tried again when next due; no call ever waits for a checkpoint.
        """
        try:
            return self.sign(now)
        except (OSError, StoreError, BrokerError) as e:
            log.error("no checkpoint of the ledger could be made: %s", e)
            return False

    def sign(self, now: float) -> bool:
        """Attest what is on disk now; False when there is nothing new.

        Raises OSError, StoreError or BrokerError when it cannot be done.
        """
        self._ledger.flush()
        if self._ledger.newest()[1] in ("", KIND):
            return False
        heads = self._ledger.heads()
        line = self._trail.write(heads, self._keyring(), now)
        event = _event(heads, line, now)
        self._ledger.change(lambda connection: self._ledger.append(connection, [event]))
        self._attested, self._at = self._ledger.newest()[0], now
        return True


def _event(heads: Mapping[str, Head], line: str, now: float) -> Event:
    """The row that joins the chains: what the checkpoint says, and which line it is."""
    said = {node: head.seq for node, head in heads.items()}
    body = {"heads": said, "digest": digest_of(line), "line": line}
    return Event(new_id("chk"), now, KIND, body=body)
