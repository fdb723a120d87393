"""A verdict that gets its tokens stays what it is otherwise."""

from dataclasses import fields, replace
from typing import Any

from interlock.verdict import Verdict


def test_only_its_tokens_are_new() -> None:
    """Whatever fields it has, it is what `dataclasses.replace` would make."""
    told: dict[str, Any] = {each.name: object() for each in fields(Verdict)}
    verdict = Verdict(**told)
    tokens: Any = {"capability": object(), "minted": object()}
    assert verdict.with_tokens(**tokens) == replace(verdict, **tokens)
