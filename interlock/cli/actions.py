"""Actions as a command names them: what the schema has no word for lets nobody do anything."""

from collections.abc import Iterable

from interlock.settings import Settings


def require_actions(settings: Settings, names: Iterable[str]) -> None:
    """Raise PolicyError for what is neither an action nor a group of them."""
    wanted = list(names)
    if not wanted:
        return
    # Nobody waits for the policies who names no action.
    from interlock.cli.policy import load_as_front_door

    known = load_as_front_door(settings.policies).current
    for name in wanted:
        known.require_action(name)
