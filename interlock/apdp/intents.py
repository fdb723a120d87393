"""Does what an agent says that it is doing fit what it does? The categories are intents.toml."""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from interlock.apdp.category import Category, parse_category, words_of
from interlock.apdp.policies import shipped
from interlock.errors import PolicyError

INTENTS = "intents.toml"
# One stray keyword in a sentence does not outweigh the category that the agent declared.
CLEARLY = 2
# A key is never what an agent is about: it is for the call that needs it, which is judged itself.
KEYS = "access_secret"
# An agent says the same of many calls: so many texts, up to so many characters, are read once.
TEXTS, SHORT = 1024, 1024


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of a declared intent; `denial` and `flagged` are one line each, or empty."""

    category: str = ""
    matches: bool = False
    denial: str = ""
    flagged: str = ""


@dataclass(frozen=True, slots=True)
class Intents:
    """All categories by name, in the order of their file."""

    categories: Mapping[str, Category]
    _known: Callable[[str], Mapping[str, int]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_known", lru_cache(TEXTS)(self._read))

    def judge(
        self,
        declared_intent: str,
        declared_category: str,
        action: str,
        groups: frozenset[str],
        resource: str,
    ) -> Finding:
        """Hold what an agent declared against a call.

        `groups` are the ancestors of the action, `resource` is the entity's text. An agent that
        declares nothing, or words that say nothing to us, matches nothing and is not denied.
        """
        if not (declared_intent or declared_category):
            return Finding()
        if declared_category and declared_category not in self.categories:
            return Finding(denial=f"the intent category {declared_category[:40]!r} is unknown")
        scores = self._scores(declared_intent)
        name = declared_category or _best(scores)
        if not name:
            return Finding()
        category = self.categories[name]
        if category.mandatory and not declared_intent.strip():
            return Finding(name, denial=f"{name} needs an intent in words too")
        wrong = "" if action == KEYS else category.misfit(action, groups, resource)
        wrong = wrong or _contradiction(name, scores)
        if not wrong:
            return Finding(name, matches=True)
        return Finding(name, flagged=wrong) if category.flags else Finding(name, denial=wrong)

    def classify(self, intent: str) -> str:
        """The category that free text reads like; empty without any keyword."""
        return _best(self._scores(intent))

    def _scores(self, intent: str) -> Mapping[str, int]:
        return self._known(intent) if len(intent) <= SHORT else self._read(intent)

    def _read(self, intent: str) -> Mapping[str, int]:
        words = words_of(intent)
        return {name: category.score(words) for name, category in self.categories.items()}


def _best(scores: Mapping[str, int]) -> str:
    """The highest score's category; on a draw the one that stands first in the file."""
    best = max(scores, key=scores.__getitem__, default="")
    return best if scores.get(best) else ""


def _contradiction(declared: str, scores: Mapping[str, int]) -> str:
    """Say what the words clearly mean when that is not the declared category."""
    told = max(scores, key=scores.__getitem__)
    if scores[told] < CLEARLY or scores[told] <= scores[declared]:
        return ""
    return f"the intent reads like {told}, not like {declared}"


def load_intents(folder: Path, actions: frozenset[str]) -> Intents:
    """Read the categories of a folder, or the shipped ones when it has none.

    `actions` are those of the schema; the shipped file may speak of more than a schema of
    one's own knows. Raises PolicyError naming file, category and field.
    """
    own = folder / INTENTS
    path = own if own.is_file() else shipped() / INTENTS
    try:
        text = path.read_text("utf-8")
    except OSError as e:
        raise PolicyError(f"{path}: {e.strerror}") from None
    except UnicodeDecodeError as e:
        raise PolicyError(f"{path}: not UTF-8 at byte {e.start}") from None
    return parse_intents(str(path), text, actions if path == own else None)


def parse_intents(name: str, text: str, actions: frozenset[str] | None) -> Intents:
    """Read one file of categories; raises PolicyError naming file, category and field."""
    try:
        tables = tomllib.loads(text)
    except (ValueError, RecursionError) as e:
        raise PolicyError(f"{name}: {e}") from None
    if not tables:
        raise PolicyError(f"{name}: there is no category in this file")
    found: dict[str, Category] = {}
    for title, body in tables.items():
        try:
            found[title] = parse_category(title, body, actions)
        except ValueError as e:
            raise PolicyError(f"{name}: category {title!r}: {e}") from None
    return Intents(found)
