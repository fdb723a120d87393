"""What is it: a request becomes a call, in the words that policies are written in."""

from interlock.calls.authority import parse_authority
from interlock.calls.catalogue import Catalogue, Provider
from interlock.calls.describe import GENERIC_ACTIONS, describe

__all__ = ["GENERIC_ACTIONS", "Catalogue", "Provider", "describe", "parse_authority"]
