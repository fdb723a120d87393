"""A chain of delegation, from a user to the agent that calls, verified link by link."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from broker import TokenError, TokenForgedError
from interlock.delegation.errors import (
    AttenuationError,
    BrokenError,
    DepthError,
    ExpiredError,
    ForgedError,
    MalformedError,
    RevokedError,
    SignerError,
)
from interlock.delegation.holder import AGENT, USER, PublicKey
from interlock.delegation.link import Link, read_unverified, unverified_kid, verify_link
from interlock.delegation.scope import Scope
from interlock.model import Entity

SEPARATOR = "~"
LONGEST = 16 * 1024
DEFAULT_LIMIT = 8


@dataclass(frozen=True, slots=True)
class Chain:
    """A verified chain: who lets whom do what, and what is left of it for the agent that calls."""

    links: tuple[Link, ...]

    @property
    def depth(self) -> int:
        """The number of links; 1 for an agent that acts for a user without another between."""
        return len(self.links)

    @property
    def delegated_by(self) -> Entity:
        """The user on whose authority it all happens."""
        return self.links[0].from_

    @property
    def actors(self) -> tuple[Entity, ...]:
        """The user and then every agent, in order; the last one calls."""
        return (self.delegated_by, *(link.to for link in self.links))

    @property
    def scope(self) -> Scope:
        """What the agent that calls may do: the last scope, which is the narrowest."""
        return self.links[-1].scope

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of all links, by which each can be revoked."""
        return tuple(link.id for link in self.links)


def verify(
    chain: str,
    keys: Mapping[str, PublicKey],
    revoked: Collection[str],
    *,
    agent: str,
    now: float,
    limit: int = DEFAULT_LIMIT,
) -> Chain:
    """Return the chain that lets `agent`, the one that calls, act at `now` (unix seconds).

    `keys` are the registered ones by kid, `revoked` the ids of links that were taken back;
    `limit` is how many links may follow the root. Raises one of DelegationErrors for the first
    link that fails.
    """
    links: list[Link] = []
    for parent, token in pairwise(["", *split(chain, limit)]):
        number = len(links) + 1
        link = _genuine(number, token, parent, keys)
        require_follows(link, links)
        _require_in_force(number, link, revoked, now)
        links.append(link)
    if links[-1].to != Entity(AGENT, agent):
        raise BrokenError(len(links), f"it ends at {links[-1].to}, not at the agent that calls")
    return Chain(tuple(links))


def read_chain(chain: str) -> tuple[Link, ...]:
    """Return what the links say, unverified; raises MalformedError."""
    links: list[Link] = []
    for token in split(chain):
        try:
            links.append(read_unverified(token))
        except (TokenError, ValueError) as error:
            raise MalformedError(len(links) + 1, str(error)) from error
    return tuple(links)


def split(chain: str, limit: int | None = None) -> list[str]:
    """Return the tokens of a chain; raises MalformedError or DepthError."""
    if len(chain) > LONGEST:
        raise MalformedError(0, f"chains are at most {LONGEST} characters long")
    tokens = chain.split(SEPARATOR)
    if limit is not None and len(tokens) > limit + 1:
        raise DepthError(limit + 2, f"no more than {limit} links may follow the first")
    return tokens


def require_follows(link: Link, before: Sequence[Link]) -> None:
    """Raise unless a link fits behind those before it: BrokenError, DepthError, AttenuationError.

    It is what `attenuate` keeps to and `verify` insists on.
    """
    number = len(before) + 1
    if link.to.type != AGENT:
        raise BrokenError(number, f"it leads to {link.to}, which is no agent")
    if not before:
        if link.from_.type != USER:
            raise BrokenError(number, f"it starts at {link.from_}, which is no user")
        return
    parent = before[-1]
    if link.from_ != parent.to:
        raise BrokenError(number, f"it starts at {link.from_}, the one before ends at {parent.to}")
    if any(link.to == each.to for each in before):
        raise BrokenError(number, f"it leads back to {link.to}: the chain is cyclic")
    if not parent.scope.depth:
        raise DepthError(number, "the one before it lets no other follow")
    if excess := link.scope.excess(parent.scope):
        raise AttenuationError(number, f"it is wider than the one before in {', '.join(excess)}")


def _genuine(number: int, token: str, parent: str, keys: Mapping[str, PublicKey]) -> Link:
    """Return the link, proven to be signed by whom it starts from."""
    try:
        signer = keys.get(unverified_kid(token))
        if signer is None:
            raise SignerError(number, "its key is not registered")
        link = verify_link(token, signer.key, parent)
    except TokenForgedError as error:
        raise ForgedError(number, "its signature does not fit here") from error
    except (TokenError, ValueError) as error:
        raise MalformedError(number, str(error)) from error
    if signer.holder != link.from_:
        raise SignerError(number, f"it starts at {link.from_}, and {signer.holder} signed it")
    if signer.revoked_at is not None:
        raise SignerError(number, f"the key {link.kid} that signed it has been revoked")
    return link


def _require_in_force(number: int, link: Link, revoked: Collection[str], now: float) -> None:
    if link.id in revoked:
        raise RevokedError(number, f"{link.id} has been revoked")
    if not link.scope.begun(now):
        raise ExpiredError(number, "it is not valid yet")
    if link.scope.ended(now):
        raise ExpiredError(number, "it has expired")
