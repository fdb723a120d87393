"""May it, and why: the decision point. Values in, a Decision out, no I/O in between."""

from interlock.apdp.decision_point import DecisionPoint
from interlock.apdp.folder import PolicyFolder
from interlock.apdp.policies import Policies, load_policies

__all__ = ["DecisionPoint", "Policies", "PolicyFolder", "load_policies"]
