"""How trust moves: a small table for agents and servers alike. Revoked is final."""

from collections.abc import Mapping

from interlock.errors import RegistryError
from interlock.model import Trust

TRANSITIONS: Mapping[Trust, frozenset[Trust]] = {
    Trust.UNVERIFIED: frozenset({Trust.TRUSTED, Trust.QUARANTINED, Trust.REVOKED}),
    Trust.TRUSTED: frozenset({Trust.QUARANTINED, Trust.REVOKED}),
    Trust.QUARANTINED: frozenset({Trust.TRUSTED, Trust.REVOKED}),
    Trust.REVOKED: frozenset(),
}
# Who was judged is kept: forgotten, what was cut off could come back as something new.
FORGETTABLE = Trust.UNVERIFIED


def require_move(who: str, before: Trust, after: Trust) -> None:
    """Raise RegistryError for a move that is not in the table; nothing is unverified again."""
    if after not in TRANSITIONS[before]:
        raise RegistryError(f"{who} is {before} and cannot become {after}")
