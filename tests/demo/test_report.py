"""What the demo prints when things go wrong; tests/demo/test_demo.py sees it when they go right."""

from dataclasses import replace

import pytest

from interlock.demo.report import show_json, show_tables
from interlock.demo.story import STORY
from interlock.ledger.verification import Verification
from interlock.model import Mode

RESULT = STORY[0].expected(Mode.OBSERVE)
BROKEN = Verification(7, problem="node n seq 3: the content was changed")


def test_a_leak_is_shouted(capsys: pytest.CaptureFixture[str]) -> None:
    """A key in the hands of an agent cannot be overlooked."""
    leaked = replace(RESULT, ending=replace(RESULT.ending, agent_saw_secret=True))
    show_tables([leaked], Verification(7))
    assert "LEAKED" in capsys.readouterr().out


def test_a_broken_ledger_is_said_and_where(capsys: pytest.CaptureFixture[str]) -> None:
    """People get the place, programs get false."""
    show_tables([RESULT], BROKEN)
    assert "BROKEN: node n seq 3" in capsys.readouterr().out
    show_json([RESULT], BROKEN)
    assert '"ledger": {"events": 7, "verified": false}' in capsys.readouterr().out
