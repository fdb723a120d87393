"""A front door records its mode and the policies that it loads, also those that do not load."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from interlock.apdp.policies import shipped
from interlock.errors import PolicyError
from interlock.governor import Governor
from interlock.installation import Installation
from interlock.model import Mode
from interlock.settings import Settings


def started(home: Path, mode: Mode, policies: Path) -> None:
    """Open a governor and close it again."""
    with Installation(Settings.load(home=home, mode=mode, policies=policies)) as installation:
        Governor(installation)


def bodies(home: Path, kind: str) -> list[dict[str, Any]]:
    """What was recorded of a kind."""
    with Installation(Settings.load(home=home)) as installation:
        return [e["body"] for e in installation.ledger.tail(100) if e["kind"] == kind]


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    return Path(shutil.copytree(shipped(), tmp_path / "policies"))


def test_a_start_in_another_mode_is_recorded(tmp_path: Path, policies: Path) -> None:
    """Only where it differs from the start before; the first is taken for the default."""
    for mode in (Mode.OBSERVE, Mode.ENFORCE, Mode.ENFORCE, Mode.OBSERVE):
        started(tmp_path / "home", mode, policies)
    assert [(c["before"], c["after"]) for c in bodies(tmp_path / "home", "mode_change")] == [
        ("observe", "enforce"),
        ("enforce", "observe"),
    ]


def test_policies_that_do_not_load_at_the_start_are_recorded(
    tmp_path: Path, policies: Path
) -> None:
    """The error names the file; what loaded before has its digest."""
    started(tmp_path / "home", Mode.OBSERVE, policies)
    (policies / "broken.cedar").write_text("permit (")
    with pytest.raises(PolicyError):
        started(tmp_path / "home", Mode.OBSERVE, policies)
    good, bad = bodies(tmp_path / "home", "policy_load")
    assert good["policy_set"]
    assert "broken.cedar" in bad["error"]


def test_policies_that_do_not_load_later_are_recorded(tmp_path: Path, policies: Path) -> None:
    """Once, and the last good set stays in force."""
    with Installation(Settings.load(home=tmp_path / "home", policies=policies)) as installation:
        governor = Governor(installation)
        (policies / "broken.cedar").write_text("permit (")
        assert not governor.reload_policies()
        assert not governor.reload_policies()
    assert ["error" in load for load in bodies(tmp_path / "home", "policy_load")] == [False, True]
