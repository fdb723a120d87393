"""Candidate policies that decide beside the live ones, bind nobody, and tell where they differ."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from interlock.apdp import DecisionPoint, Intents, Policies, PolicyFolder, load_policies
from interlock.model import Decision

type Ask = Callable[[DecisionPoint], Decision]


class Shadow:
    """Up to two sets: a folder of candidates, and the live set with its observed policies.

    A policy with `@effect("observe")` is left out of the live set; here it counts, so that the
    ledger shows what it would have changed.
    """

    def __init__(self, folder: Path | None) -> None:
        """Load the candidates; raises PolicyError. Without a folder there are none."""
        self._folder = PolicyFolder(folder) if folder else None
        self._candidate: DecisionPoint | None = None
        self._observed: DecisionPoint | None = None
        if self._folder:
            self._adopt(self._folder.current, self._folder.intents)

    def reload(self) -> None:
        """Take up changed files of the candidates; a broken one changes nothing."""
        if self._folder:
            self._folder.reload(self._adopt)

    def follow(self, live: Policies, intents: Intents) -> None:
        """Make the set of the live policies with the observed ones; none when there are none."""
        self._observed = None
        if live.observed:
            whole = load_policies(live.folder, observed=True)
            self._observed = DecisionPoint(whole, intents)

    def differences(self, live: Decision, ask: Ask) -> list[dict[str, Any]]:
        """What each set would have answered, where that is another answer or for other reasons."""
        others = [each for each in (self._candidate, self._observed) if each]
        if not others:
            return []
        told = (live.effect, live.stage, live.reasons)
        return [
            {
                "policy_set": other.policy_set,
                "effect": str(other.effect),
                "stage": str(other.stage),
                "reasons": [[reason.policy_id, reason.description] for reason in other.reasons],
            }
            for other in map(ask, others)
            if (other.effect, other.stage, other.reasons) != told
        ]

    def _adopt(self, policies: Policies, intents: Intents) -> None:
        self._candidate = DecisionPoint(policies, intents)
