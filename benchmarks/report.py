"""Tables of figures, for a terminal and for a page; goals, and whether they are met."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.machine import load

WIDTH = 180


@dataclass(frozen=True, slots=True)
class Grid:
    """A table; the first column is words, the others are figures."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def show(self) -> None:
        """Print it."""
        table = Table(title=self.title, title_justify="left")
        for number, column in enumerate(self.columns):
            table.add_column(column, justify="right" if number else "left", no_wrap=not number)
        for row in self.rows:
            table.add_row(*row)
        Console(width=WIDTH).print(table)

    def markdown(self, heading: str = "###") -> str:
        """The same for a page."""
        dashes = ["---", *("---:" for _ in self.columns[1:])]
        lines = [self.columns, dashes, *self.rows]
        return f"{heading} {self.title}\n\n" + "\n".join(
            "| " + " | ".join(one) + " |" for one in lines
        )


@dataclass(frozen=True, slots=True)
class Goal:
    """What was measured should be at most `limit`, or with `at_least`, at least that."""

    name: str
    measured: float
    limit: float
    at_least: bool = False

    @property
    def met(self) -> bool:
        """Whether it is."""
        return self.measured >= self.limit if self.at_least else self.measured <= self.limit


def goals_of(found: dict[str, Any]) -> list[Goal]:
    """The goals of a report that was written."""
    return [Goal(**goal) for goal in found["goals"]]


def goal_grid(goals: Sequence[Goal]) -> Grid:
    """All goals as a table."""
    rows = [
        (
            goal.name,
            f"{'at least' if goal.at_least else 'at most'} {goal.limit:.3g}",
            f"{goal.measured:.3g}",
            "met" if goal.met else "missed",
        )
        for goal in goals
    ]
    return Grid("Goals", ("goal", "limit", "measured", ""), rows)


def finish(
    grids: Sequence[Grid], figures: dict[str, Any], goals: Sequence[Goal], out: Path | None
) -> int:
    """Print everything, write it as JSON, and answer 1 when a goal is missed, else 0."""
    for one in (*grids, goal_grid(goals)):
        one.show()
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        found = {**figures, "load_after": load(), "goals": [asdict(goal) for goal in goals]}
        out.write_text(json.dumps(found, indent=1) + "\n")
        sys.stdout.write(f"written: {out}\n")
    return 0 if all(goal.met for goal in goals) else 1
