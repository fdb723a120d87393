"""policies/README.md shows what its commands print, for the files that it has people write."""

import re
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from interlock.cli import app

POLICIES = Path(__file__).resolve().parent.parent / "policies"
PAGE = (POLICIES / "README.md").read_text()
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
WIDER = '["Research", "DataAnalysis"].contains(context.intent_category)'


def block(kind: str, having: str) -> str:
    """The one block of a language that has these words."""
    found = re.findall(rf"^```{kind}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    (text,) = [each for each in found if having in each]
    return str(text)


def printed(*words: str) -> str:
    """What a command prints, as a block shows it."""
    done = CliRunner().invoke(app, words)
    return "\n".join(line.rstrip() for line in done.output.splitlines())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a reader has made by the time of the first check."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "my-policies"
    (folder / "cases").mkdir(parents=True)
    shutil.copy(POLICIES / "default.cedar", folder)
    (folder / "research.cedar").write_text(block("cedar", "research-reads-arxiv"))
    (folder / "cases" / "research.yaml").write_text(block("yaml", "the lab reads arXiv"))
    return folder


def test_counts_the_policies_of_a_new_installation() -> None:
    """One more is told of."""
    count = (POLICIES / "default.cedar").read_text().count("\n@id(")
    assert f"`default.cedar` has {NUMBERS[count]} policies" in PAGE


def test_shows_what_a_check_says(folder: Path) -> None:
    """Of a folder that is in order, and of one with two mistakes."""
    assert printed("policy", "check", "my-policies") in block("console", "POLICY  ")
    right = (folder / "research.cedar").read_text()
    wrong = right.replace("intent_category", "intent_catgory")
    broken = f"{wrong}{'\n' * 7}permit (principal, action resource);\n"
    (folder / "research.cedar").write_text(broken)
    assert printed("policy", "check", "my-policies") in block("console", "intent_catgory")


def test_shows_what_the_cases_say(folder: Path) -> None:
    """As long as all are as expected."""
    assert printed("policy", "test", "my-policies") in block("console", "4 cases")


def test_shows_what_a_change_changes(folder: Path) -> None:
    """In the policy that the page has people write last."""
    shutil.copytree(folder, folder.parent / "before")
    text = (folder / "research.cedar").read_text()
    assert WIDER in PAGE
    wider = text.replace('context.intent_category == "Research"', WIDER)
    (folder / "research.cedar").write_text(wider)
    assert printed("policy", "diff", "before", "my-policies") in block("console", "policy diff")
