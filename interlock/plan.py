"""What one call would take along, or why it may leave in neither mode."""

from dataclasses import dataclass

from broker.quick import quick
from interlock.errors import BindingError, MintError
from interlock.installation import Installation
from interlock.minting.minting import Use
from interlock.minting.route import Route
from interlock.model import NOWHERE, Agent, Binding, Call, Reason

MINTED_UNAVAILABLE = "minted_unavailable"
AMBIGUOUS = "ambiguous_binding"


@quick
@dataclass(frozen=True, slots=True)
class Plan:
    """A stored secret, a minted token, both or nothing.

    `route` is where the answer may hand out tokens. `objection` says why the call may not leave.
    """

    binding: Binding | None = None
    use: Use | None = None
    route: Route | None = None
    objection: Reason | None = None

    @property
    def secrets(self) -> tuple[str, ...]:
        """The names of the secrets that the call needs access to."""
        stored = (self.binding.secret,) if self.binding else ()
        return (*stored, self.use.minted.secret) if self.use else stored


CHANGED = Plan(
    objection=Reason(AMBIGUOUS, "where the secret may go has changed while the call waited")
)

MISDIRECTED = Reason(
    "authority_mismatch",
    "SNI and Host must be one and the same name, and one that this listener serves "
    "(interlock_routes)",
)


def plan_for(records: Installation, agent: Agent, call: Call, goal: str, now: float) -> Plan:
    """Say what a call would take along; `goal` is open for this agent and action, or empty."""
    if call.request.authority == NOWHERE:
        return Plan(objection=MISDIRECTED)
    try:
        route, use = records.minting.part_in(agent, call, now)
        # What the agent shows in a header stands where the stored secret would.
        shown = use is not None and use.recipe.place == "header"
        binding = None if shown else records.bindings.choose(agent, call, goal)
    except MintError as e:
        return Plan(objection=Reason(MINTED_UNAVAILABLE, str(e)))
    except BindingError as e:
        return Plan(objection=Reason(AMBIGUOUS, str(e)))
    return Plan(binding, use, route)
