"""One kind of work: which calls fit it, and the words by which it is recognised."""

import fnmatch
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_REQUIRED = ("description", "actions")
_FIELDS = (*_REQUIRED, "resources", "keywords", "justification", "on_mismatch")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_RESOURCE = re.compile(r'\w+::".+"')
_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True)
class Category:
    """A category of intents.

    `mandatory`: it has to be explained in words; `flags`: a call that does not fit is marked only.
    """

    name: str
    description: str
    actions: frozenset[str]
    resources: tuple[re.Pattern[str], ...] = ()
    keywords: re.Pattern[str] | None = None
    mandatory: bool = False
    flags: bool = False

    def score(self, words: str) -> int:
        """How often a keyword stands in a text that went through `words_of`."""
        return len(self.keywords.findall(words)) if self.keywords else 0

    def misfit(self, action: str, groups: frozenset[str], resource: str) -> str:
        """Say why a call does not fit, or nothing."""
        if not self.actions & (groups | {action}):
            return f"{self.name} does not cover the action {action}"
        if self.resources and not any(pattern.match(resource) for pattern in self.resources):
            return f"{self.name} does not cover the resource {resource[:80]!r}"
        return ""


def words_of(text: str) -> str:
    """The words of a text in lower case, one space between: `Analyze_sales!` is two."""
    return " ".join(_WORD.findall(text.lower()))


def parse_category(name: str, body: object, actions: frozenset[str] | None) -> Category:
    """Read one table of intents.toml; raises ValueError naming the field."""
    if not isinstance(body, dict):
        raise ValueError("is not a table such as [Research]")
    if not _NAME.fullmatch(name):
        raise ValueError("a name is made of letters, digits, '_' and '-'")
    if unknown := [field for field in body if field not in _FIELDS]:
        raise ValueError(f"{unknown[0]}: unknown field; known: {', '.join(_FIELDS)}")
    if missing := [field for field in _REQUIRED if field not in body]:
        raise ValueError(f"{missing[0]}: is missing")
    return Category(
        name,
        _text(body["description"], "description"),
        frozenset(_known(action, actions) for action in _texts(body, "actions")),
        tuple(_pattern(text) for text in _texts(body, "resources")),
        _any_of(_texts(body, "keywords")),
        mandatory=_chosen(body, "justification", "optional", "mandatory"),
        flags=_chosen(body, "on_mismatch", "deny", "flag"),
    )


def _text(value: object, field: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{field}: use text")
    return value


def _texts(body: Mapping[str, Any], field: str) -> list[str]:
    """The entries of a list; none when it is left out, which is not the same as empty."""
    entries = body.get(field)
    if entries is None:
        return []
    if not isinstance(entries, list) or not entries:
        raise ValueError(f"{field}: use a list of texts that is not empty")
    return [_text(entry, field) for entry in entries]


def _known(action: str, actions: frozenset[str] | None) -> str:
    if actions is not None and action not in actions:
        raise ValueError(f"actions: {action!r} is no action of the schema")
    return action


def _pattern(text: str) -> re.Pattern[str]:
    if not _RESOURCE.fullmatch(text):
        raise ValueError(f"resources: {text!r} is no pattern such as 'Model::\"gpt-*\"'")
    return re.compile(fnmatch.translate(text))


def _any_of(keywords: list[str]) -> re.Pattern[str] | None:
    """One expression for all keywords, the longest first, so that a phrase counts once."""
    if odd := [keyword for keyword in keywords if keyword != words_of(keyword)]:
        raise ValueError(f"keywords: {odd[0]!r} is not in lower-case words, one space between")
    longest_first = sorted(map(re.escape, keywords), key=len, reverse=True)
    return re.compile(rf"\b(?:{'|'.join(longest_first)})\b") if keywords else None


def _chosen(body: Mapping[str, Any], field: str, default: str, other: str) -> bool:
    """Say whether a field has its other value."""
    value = body.get(field, default)
    if value not in (default, other):
        raise ValueError(f"{field}: use {default!r} or {other!r}, not {value!r}")
    return bool(value == other)
