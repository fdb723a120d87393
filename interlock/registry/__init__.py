"""Who is it: the agents, what is known about them, and the keys that prove who calls."""

from interlock.registry.leases import Lease
from interlock.registry.registry import Registry

__all__ = ["Lease", "Registry"]
