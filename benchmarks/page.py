"""Writes the page of figures and its charts from the JSON that the other programs have written.

`python -m benchmarks.page FOLDER` reads what is there, and writes beside it.
"""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import decision, growth, ledger, peers, soak, throughput
from benchmarks.chart import Panel, svg
from benchmarks.report import Grid, goal_grid, goals_of

PAGE = "figures.md"
type Grids = Callable[[dict[str, Any]], list[Grid]]
type Charts = Callable[[dict[str, Any]], dict[str, list[Panel]]]

REPORTS: dict[str, tuple[str, Grids]] = {
    "throughput": ("A governed call, beside stock mitmdump", throughput.grids),
    "peers": ("Beside proxies of others", peers.grids),
    "growth": ("When there is more of everything", growth.grids),
    "rows": ("Ten million rows in the ledger", growth.grids),
    "soak": ("Over time", soak.grids),
    "decision": ("One decision", decision.grids),
    "capability": ("One token", decision.grids),
    "ledger": ("The ledger", ledger.grids),
}
CHARTS: dict[str, Charts] = {
    "growth": growth.charts,
    "rows": growth.charts,
    "soak": soak.charts,
}
HEAD = """# Figures

Written by `python -m benchmarks.page` from the JSON beside it; what each row is, and how to repeat
it: [benchmarks](../../benchmarks/README.md). Absolute figures say more about the machine and its
other users than about the code: read the ratios, and of those the ones of CPU time first where the
load of the machine was more than one.
"""


def main() -> int:
    """Write the page and the charts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    said = parser.parse_args()
    known = {
        name: json.loads(file.read_text())
        for name in REPORTS
        if (file := said.folder / f"{name}.json").exists()
    }
    every = [goal for found in known.values() for goal in goals_of(found)]
    parts = [HEAD, f"{goal_grid(every).markdown('##')}\n"]
    for name, found in known.items():
        title, grids = REPORTS[name]
        parts += [f"## {title}\n\n{measured_on(found)}\n"]
        parts += [f"{grid.markdown()}\n" for grid in grids(found)]
        for chart, panels in CHARTS.get(name, lambda _: {})(found).items():
            file = said.folder / f"{name}-{chart}.svg"
            file.write_text(svg(*panels))
            parts.append(f"![{chart}]({file.name})\n")
    (said.folder / PAGE).write_text("\n".join(parts))
    sys.stdout.write(f"written: {said.folder / PAGE}\n")
    return 0


def measured_on(found: dict[str, Any]) -> str:
    """The machine and how busy it was, in a line."""
    machine = found["machine"]
    before, after = (" / ".join(map(str, load)) for load in (machine["load"], found["load_after"]))
    return (
        f"Python {machine['python']}, mitmproxy {machine['mitmproxy']}, {machine['cores']} cores; "
        f"load of the machine over 1, 5 and 15 minutes {before} before and {after} after."
    )


if __name__ == "__main__":
    sys.exit(main())
