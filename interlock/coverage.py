"""What must hold before calls are judged: policy covers every call that a key can go out on."""

from collections.abc import Iterable

from broker import parse_recipe
from interlock.apdp import Policies
from interlock.calls import GENERIC_ACTIONS, Catalogue
from interlock.calls.hosts import parse_destination, parse_path_pattern
from interlock.calls.mcp import ACTIONS as MCP_ACTIONS
from interlock.errors import BindingError, PolicyError
from interlock.model import Binding


def require_coverage(policies: Policies, catalogue: Catalogue) -> None:
    """Raise PolicyError when there are calls that a policy set has no words for (I7)."""
    possible = {"access_secret"} | catalogue.actions | GENERIC_ACTIONS | MCP_ACTIONS
    if missing := possible - policies.action_names:
        raise PolicyError(
            f"{policies.folder}: the schema does not declare {', '.join(sorted(missing))}: "
            "such calls could not be judged"
        )


def require_sound(bindings: Iterable[Binding], catalogue: Catalogue) -> None:
    """Raise BindingError for a binding that leads to a host that policy does not cover (I7).

    What the command line refuses may still stand in the store, written by other hands.
    """
    for binding in bindings:
        try:
            parse_recipe(binding.recipe)
            if parse_destination(str(binding.authority)) != binding.authority:
                raise ValueError("the host is not in its canonical form")
            for path in binding.paths:
                parse_path_pattern(path)
            if binding.service and catalogue.named(binding.service) is None:
                raise ValueError(f"there is no provider {binding.service!r}")
        except ValueError as e:
            raise BindingError(f"{binding}: {e}") from None
