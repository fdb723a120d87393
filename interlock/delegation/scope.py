"""What a link of delegation allows, and when one scope lies within another."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

ANY = "*"
CLOCK_SKEW = 5.0
LONGEST_NAME = 256
MOST_NAMES = 32
DEEPEST = 99
LATEST = 253_402_300_799.0  # the end of the year 9999, the last that ISO 8601 can write
_ACTION = re.compile(r"\*|[\w.:-]+(/[\w.:-]+)*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Scope:
    """What may be done with a delegation. Each list allows any of its entries, and none is empty.

    An action is a name or a group; `execute/chat` is `chat` where it is a member of `execute`,
    which narrows a group without having to know its members. A resource is a pattern over
    the text of an entity, such as `Model::"gpt-*"`: `*` is any text, `?` any one character. Times
    are unix seconds. `depth` is how many more links may follow.
    """

    actions: tuple[str, ...]
    resources: tuple[str, ...]
    intents: tuple[str, ...]
    goals: tuple[str, ...]
    not_before: float
    expires: float
    depth: int = 0

    def __post_init__(self) -> None:
        for field in ("actions", "resources", "intents", "goals"):
            _require_names(field, getattr(self, field))
        for action in self.actions:
            if not _ACTION.fullmatch(action):
                raise ValueError(f"actions: {action[:40]!r} is neither a name nor a group")
        if not 0 <= self.not_before < self.expires <= LATEST:
            raise ValueError("a scope ends after it begins, and before the year 10000")
        if not 0 <= self.depth <= DEEPEST:
            raise ValueError(f"depth: a number from 0 to {DEEPEST}")

    def within(self, parent: "Scope") -> bool:
        """Say whether a link of this scope may follow one of the parent's."""
        return not self.excess(parent)

    def excess(self, parent: "Scope") -> tuple[str, ...]:
        """Name the claims in which this scope allows more than the parent hands on.

        When in doubt a claim is in excess. Only the root may allow every action, and each link
        lets fewer follow than the one before it.
        """
        within = {
            "actions": all(_action_within(each, parent.actions) for each in self.actions),
            "resources": all(_any_matches(parent.resources, each) for each in self.resources),
            "intents": ANY in parent.intents or {*self.intents} <= {*parent.intents},
            "goals": ANY in parent.goals or {*self.goals} <= {*parent.goals},
            "nbf": self.not_before >= parent.not_before,
            "exp": self.expires <= parent.expires,
            "depth": self.depth < parent.depth,
        }
        return tuple(claim for claim, holds in within.items() if not holds)

    def permits(
        self,
        action: str,
        groups: Collection[str],
        resource: str,
        intent_category: str,
        goal: str,
        now: float,
    ) -> bool:
        """Say whether a call is allowed: an action of these groups, on `str()` of an entity."""
        names = {action, *groups}
        return (
            self.begun(now)
            and not self.ended(now)
            and _any_holds(self.actions, names)
            and _any_matches(self.resources, resource)
            and not {ANY, intent_category}.isdisjoint(self.intents)
            and not {ANY, goal}.isdisjoint(self.goals)
        )

    def begun(self, now: float) -> bool:
        """Say whether it may be used already, a clock that runs ahead allowed for."""
        return now >= self.not_before - CLOCK_SKEW

    def ended(self, now: float) -> bool:
        """Say whether it may not be used any more."""
        return now >= self.expires


def matches(pattern: str, text: str) -> bool:
    """Say whether a pattern matches a text, or everything that another pattern matches.

    One function answers both. `*` in the text is matched by `*` alone, never by `?` or a
    letter, so whatever may stand for it stands within that `*` too; and whatever may stand
    for `?` in the text is one character, which all that matches `?` matches too.
    """
    return fnmatchcase(text, pattern.replace("[", "[[]").replace("?", "[!*]"))


def _any_matches(patterns: Sequence[str], text: str) -> bool:
    return any(matches(pattern, text) for pattern in patterns)


def _any_holds(actions: Sequence[str], names: Collection[str]) -> bool:
    return any(action == ANY or {*action.split("/")} <= {*names} for action in actions)


def _action_within(action: str, parents: Sequence[str]) -> bool:
    """The more groups an action has to be in, the narrower it is."""
    return action != ANY and _any_holds(parents, action.split("/"))


def _require_names(field: str, names: Sequence[str]) -> None:
    if not 0 < len(names) <= MOST_NAMES:
        raise ValueError(f"{field}: give 1 to {MOST_NAMES}")
    for name in names:
        if not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
            raise ValueError(f"{field}: use 1 to {LONGEST_NAME} printable characters")
