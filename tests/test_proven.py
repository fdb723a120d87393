"""Who was proven at the head of a call is so again behind its body, unless both came at once."""

import pytest

from addons.door import Proof, Proven
from interlock.model import Agent
from interlock.store.database import FRESH_S


@pytest.mark.parametrize(
    ("change", "later", "holds"),
    [
        pytest.param(7, 0.0, True, id="at once"),
        pytest.param(7, FRESH_S / 2, True, id="before a change by another process would hold"),
        pytest.param(8, 0.0, False, id="something has changed"),
        pytest.param(7, 2 * FRESH_S, False, id="something may have changed, or ended by its time"),
    ],
)
def test_it_holds_while_nothing_can_have_happened(change: int, later: float, holds: bool) -> None:
    """For as long as the store itself is not asked again, and for no change at all."""
    proven = Proven(Agent("a"), 7, at=100.0)
    assert proven.holds(change, 100.0 + later) is holds


PROOF = ("a", "ilk_key")


@pytest.mark.parametrize(
    ("proof", "change", "now", "proves"),
    [
        pytest.param(PROOF, 7, 1e9, True, id="the same, before its time is over"),
        pytest.param(PROOF, 7, 2e9, False, id="its time is over"),
        pytest.param(PROOF, 8, 1e9, False, id="something has changed"),
        pytest.param(("b", "ilk_key"), 7, 1e9, False, id="under another name"),
        pytest.param(("a", "ilk_other"), 7, 1e9, False, id="another key"),
        pytest.param(None, 7, 1e9, False, id="nothing is shown"),
    ],
)
def test_a_proof_proves_the_same_again(
    proof: Proof | None, change: int, now: float, proves: bool
) -> None:
    """On its connection, while nothing has changed and it has not ended."""
    proven = Proven(Agent("a"), 7, at=100.0, until=2e9, proof=PROOF)
    assert proven.proves(proof, change, now) is proves
    assert not Proven(Agent("a"), 7, at=100.0).proves(None, 7, now)
