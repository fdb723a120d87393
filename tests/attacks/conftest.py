"""One field for all attacks; each case is judged by what reached whom, and counted."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.attacks.field import CANARY, Field
from tests.door.conftest import mode as mode

WORDS = ("refused", "harmless", "leaked")
PROPERTY = "attack"
TALLY: pytest.StashKey[dict[str, Counter[str]]] = pytest.StashKey()


@pytest.fixture(scope="session")
def _field(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Field]:
    with Field(tmp_path_factory.mktemp("field")) as field:
        yield field
        for door in field.doors.values():
            assert CANARY not in door.log


@pytest.fixture
def field(_field: Field, record_property: Any) -> Iterator[Field]:
    """The field, empty; afterwards nobody but the victim may have got anything out of it."""
    _field.clear()
    yield _field
    leaks = _field.leaks()
    refused = not _field.reached if _field.refused is None else _field.refused
    record_property(PROPERTY, "leaked" if leaks else "refused" if refused else "harmless")
    assert leaks == []


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where the report goes as JSON."""
    parser.addoption("--report", metavar="FILE", help="write the counts of attacks as JSON")


def pytest_configure(config: pytest.Config) -> None:
    """Nothing was tried yet."""
    config.stash[TALLY] = {}
    config.pluginmanager.register(Reporter(config.stash[TALLY]), "attacks")


class Reporter:
    """Counts what came of the cases of each group, over all processes of a run."""

    def __init__(self, tally: dict[str, Counter[str]]) -> None:
        self._tally = tally

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count a case when it is over."""
        if report.when == "teardown":
            group = Path(report.location[0]).stem.removeprefix("test_")
            for name, outcome in report.user_properties:
                if name == PROPERTY:
                    self._tally.setdefault(group, Counter())[str(outcome)] += 1

    def pytest_terminal_summary(self, terminalreporter: Any, config: pytest.Config) -> None:
        """Print the counts, a group a line."""
        if not self._tally:
            return
        rows = {group: _row(counts) for group, counts in sorted(self._tally.items())}
        rows["all"] = _row(sum(self._tally.values(), Counter()))
        terminalreporter.section("attacks")
        terminalreporter.line(f"{'group':<14}" + "".join(f"{word:>10}" for word in rows["all"]))
        for group, row in rows.items():
            terminalreporter.line(f"{group:<14}" + "".join(f"{n:>10}" for n in row.values()))
        if file := config.getoption("--report", None):
            Path(file).write_text(json.dumps(rows, indent=2) + "\n")


def _row(counts: Counter[str]) -> dict[str, int]:
    return {"cases": counts.total(), **{word: counts[word] for word in WORDS}}
