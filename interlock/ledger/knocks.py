"""Records refused proofs of identity in a bounded number of rows, however many there are."""

from collections.abc import Callable
from dataclasses import dataclass

from interlock.errors import IdentityError
from interlock.ledger.chain import Event
from interlock.ledger.ledger import new_id

KIND = "proof_refused"
EVERY_S = 60.0
# As many sources are told apart within a minute; those beyond are counted together.
MOST_SOURCES = 64
OTHERS = "others"


@dataclass(slots=True)
class _Count:
    since: float
    until: float
    more: int = 0


class Knocks:
    """Tells of each source at once, and once a minute how often it has tried since.

    So a guesser who tries a million keys fills neither the disk nor the record of everybody
    else. What was offered is never recorded, nor a name that is not an agent's.
    """

    def __init__(self, note: Callable[[Event], object]) -> None:
        self._note = note
        self._counts: dict[tuple[str, str, str], _Count] = {}
        self._told_at = 0.0

    def refused(self, source: str, error: IdentityError, now: float) -> None:
        """Count a refusal of a source, an IP address; `now` is in epoch seconds."""
        key = (source, error.cause, error.agent)
        if key not in self._counts and len(self._counts) >= MOST_SOURCES:
            key = (OTHERS, "", "")
        if count := self._counts.get(key):
            count.more, count.until = count.more + 1, now
            return
        self._counts[key] = _Count(now, now)
        self._tell(key, 1, now, now)

    def tell_when_due(self, now: float) -> None:
        """Tell of what was only counted, if a minute is over."""
        if not 0 <= now - self._told_at < EVERY_S:
            self.tell(now)

    def tell(self, now: float) -> None:
        """Tell of what was only counted, and begin anew."""
        self._told_at = now
        counts, self._counts = self._counts, {}
        for key, count in counts.items():
            if count.more:
                self._tell(key, count.more, count.since, count.until)

    def _tell(self, key: tuple[str, str, str], count: int, since: float, until: float) -> None:
        source, cause, agent = key
        body = {"source_ip": source, "cause": cause, "count": count, "since": since}
        self._note(Event(new_id("prf"), until, KIND, agent, body=body | {"until": until}))
