"""A link of delegation, as programs and as people read it."""

from collections.abc import Sequence
from typing import Any

from interlock.cli.printing import moment
from interlock.delegation import Link, Scope


def public_link(link: Link) -> dict[str, Any]:
    """A link as JSON values."""
    who = {"id": link.id, "from": str(link.from_), "to": str(link.to), "kid": link.kid}
    return who | public_scope(link.scope)


def public_scope(scope: Scope) -> dict[str, Any]:
    """A scope as JSON values; times are unix seconds."""
    return {
        "actions": list(scope.actions),
        "resources": list(scope.resources),
        "intents": list(scope.intents),
        "goals": list(scope.goals),
        "not_before": scope.not_before,
        "expires_at": scope.expires,
        "depth": scope.depth,
    }


def link_fields(link: Link) -> list[tuple[str, Any]]:
    """A link as names and values, one entry of a list a line."""
    scope = link.scope
    return [
        ("  id", link.id),
        ("  key", link.kid),
        *_each("  actions", scope.actions),
        *_each("  resources", scope.resources),
        *_each("  intents", scope.intents),
        *_each("  goals", scope.goals),
        ("  from", moment(scope.not_before)),
        ("  until", moment(scope.expires)),
        ("  may follow", scope.depth),
    ]


def _each(name: str, values: Sequence[str]) -> list[tuple[str, Any]]:
    return [(name, value) for value in values]
