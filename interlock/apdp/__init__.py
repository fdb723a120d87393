"""May it, and why: the decision point. Values in, a Decision out, no I/O in between."""

from interlock.apdp.decision_point import DecisionPoint
from interlock.apdp.folder import PolicyFolder
from interlock.apdp.intents import Intents, load_intents
from interlock.apdp.policies import Policies, load_policies
from interlock.apdp.standing import NOTHING_SHOWN, Standing

__all__ = [
    "NOTHING_SHOWN",
    "DecisionPoint",
    "Intents",
    "Policies",
    "PolicyFolder",
    "Standing",
    "load_intents",
    "load_policies",
]
