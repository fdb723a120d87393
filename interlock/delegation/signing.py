"""Signs links: the first by a user, every other by the agent that hands on, offline."""

import secrets

from nacl.signing import SigningKey

from broker import kid_of
from interlock.delegation.chain import (
    DEFAULT_LIMIT,
    LONGEST,
    SEPARATOR,
    read_chain,
    require_follows,
    split,
)
from interlock.delegation.errors import DepthError, ExpiredError, MalformedError
from interlock.delegation.link import Link, sign_link
from interlock.delegation.scope import Scope
from interlock.model import Entity


def grant(
    signing_key: SigningKey,
    from_: Entity,
    to: Entity,
    scope: Scope,
    now: float,
    *,
    limit: int = DEFAULT_LIMIT,
) -> str:
    """Return a chain of one link, by which the user `from_` lets the agent `to` act.

    `signing_key` has to be registered as the user's, or nobody will accept the chain. Raises
    DepthError for a scope that lets more than `limit` links follow, ExpiredError for one that
    has ended, BrokenError unless it leads from a user to an agent.
    """
    if scope.depth > limit:
        raise DepthError(1, f"no more than {limit} links may follow it")
    link = _link(signing_key, from_, to, scope)
    require_follows(link, ())
    _require_time(1, scope, now)
    return sign_link(link, signing_key, parent="")


def attenuate(
    chain: str,
    signing_key: SigningKey,
    to: Entity,
    scope: Scope,
    now: float,
    *,
    limit: int = DEFAULT_LIMIT,
) -> str:
    """Return `chain` with one more link, by which its last agent lets the agent `to` act.

    Needs nothing but the last agent's own key. Raises AttenuationError for a scope that is wider
    than the last link's in any claim, DepthError when no link may follow, ExpiredError for a
    scope that has ended, BrokenError for an agent that is in the chain already, and
    MalformedError for a text that is no chain, or when the chain gets too long.
    """
    before = read_chain(chain)
    if len(before) > limit:
        raise DepthError(len(before) + 1, f"no more than {limit} links may follow the first")
    link = _link(signing_key, before[-1].to, to, scope)
    require_follows(link, before)
    _require_time(len(before) + 1, scope, now)
    longer = chain + SEPARATOR + sign_link(link, signing_key, split(chain)[-1])
    if len(longer) > LONGEST:
        raise MalformedError(0, f"chains are at most {LONGEST} characters long")
    return longer


def _link(signing_key: SigningKey, from_: Entity, to: Entity, scope: Scope) -> Link:
    link_id = f"dlg_{secrets.token_hex(10)}"
    return Link(link_id, from_, to, scope, kid_of(signing_key.verify_key))


def _require_time(number: int, scope: Scope, now: float) -> None:
    if scope.ended(now):
        raise ExpiredError(number, "it would have expired already")
