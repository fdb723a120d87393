"""On whose authority: signed links from a user to an agent, each no wider than the one before.

A library of its own: an agent hands on a part of what it may do with nothing but its key.

    scope = replace(read_chain(chain)[-1].scope, actions=("chat",), depth=0)
    handed_on = attenuate(chain, my_key, Entity("Agent", "helper"), scope, time.time())
"""

from broker import kid_of
from interlock.delegation.chain import DEFAULT_LIMIT, LONGEST, Chain, read_chain, verify
from interlock.delegation.errors import (
    AttenuationError,
    BrokenError,
    DelegationError,
    DepthError,
    ExpiredError,
    ForgedError,
    MalformedError,
    RevokedError,
    SignerError,
)
from interlock.delegation.holder import (
    PublicKey,
    format_public_key,
    parse_holder,
    parse_public_key,
)
from interlock.delegation.link import Link, parse_link_id
from interlock.delegation.scope import ANY, Scope
from interlock.delegation.signing import attenuate, grant

__all__ = [
    "ANY",
    "DEFAULT_LIMIT",
    "LONGEST",
    "AttenuationError",
    "BrokenError",
    "Chain",
    "DelegationError",
    "DepthError",
    "ExpiredError",
    "ForgedError",
    "Link",
    "MalformedError",
    "PublicKey",
    "RevokedError",
    "Scope",
    "SignerError",
    "attenuate",
    "format_public_key",
    "grant",
    "kid_of",
    "parse_holder",
    "parse_link_id",
    "parse_public_key",
    "read_chain",
    "verify",
]
