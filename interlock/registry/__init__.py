"""Who and what is there: agents, the keys that prove them, and servers, as far as is known."""

from interlock.registry.addresses import Addresses, Holder, Whence
from interlock.registry.agents import require_name
from interlock.registry.enlistment import enlist, unjudged
from interlock.registry.leases import Lease
from interlock.registry.pins import Pins
from interlock.registry.profile import Profile
from interlock.registry.registration import Registration
from interlock.registry.registry import Registry
from interlock.registry.servers import Servers
from interlock.registry.sessions import Sessions
from interlock.registry.tokens import Role, Tokens

__all__ = [
    "Addresses",
    "Holder",
    "Lease",
    "Pins",
    "Profile",
    "Registration",
    "Registry",
    "Role",
    "Servers",
    "Sessions",
    "Tokens",
    "Whence",
    "enlist",
    "require_name",
    "unjudged",
]
