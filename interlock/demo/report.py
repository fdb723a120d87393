"""How the demo shows what happened: tables for people, one JSON object for programs."""

import json
import sys
from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from interlock.demo.story import Ending, Result
from interlock.ledger.verification import Verification
from interlock.model import Mode

TITLES = {
    Mode.OBSERVE: "observe mode: every decision is recorded, nothing is refused",
    Mode.ENFORCE: "enforce mode: what is not authorised is refused with 403",
}
# Stacked, so that a terminal of 80 columns shows it whole.
COLUMNS = (
    "agent: action,\nresource",
    "decision, status,\nwhy",
    "key at\nupstream",
    "key at\nagent",
)
COLORS = {"allow": "green", "would_deny": "yellow", "deny": "red"}
LEGEND = "The upstream sends every key back; masked: the agent got asterisks instead."


def show_json(results: Sequence[Result], ledger: Verification) -> None:
    """Write the whole story as one object in one line."""
    calls = [_call(result) for result in results]
    story = {"calls": calls, "ledger": {"events": ledger.events, "verified": ledger.intact}}
    sys.stdout.write(json.dumps(story) + "\n")


def show_tables(results: Sequence[Result], ledger: Verification) -> None:
    """Print a table for each mode, whether the ledger holds, and what to do next."""
    console = Console(highlight=False, markup=False, soft_wrap=True)
    for mode in Mode:
        console.print(_table(TITLES[mode], [r for r in results if r.mode is mode]))
    state = "its hash chain is intact" if ledger.intact else f"BROKEN: {ledger.problem}"
    console.print(LEGEND)
    console.print(f"The ledger holds {ledger.events} events; {state}.\n")
    console.print("Next: interlock secret set openai-api-key; interlock agent add NAME")
    console.print("Then: interlock proxy; interlock env --agent NAME")


def _call(result: Result) -> dict[str, Any]:
    ending = result.ending
    return {
        "mode": result.mode,
        "agent": result.agent,
        "action": result.action,
        "resource": result.resource,
        "decision": ending.decision,
        "status": ending.status,
        "decision_id": result.decision_id,
        "upstream_saw_secret": ending.upstream_saw_secret,
        "agent_saw_secret": ending.agent_saw_secret,
    }


def _table(title: str, results: Sequence[Result]) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in COLUMNS:
        table.add_column(column, overflow="fold")
    for result in results:
        ending = result.ending
        streamed = " (SSE)" if ending.streamed else ""
        decision = Text(ending.decision, COLORS.get(ending.decision, ""))
        table.add_row(
            f"{result.agent}: {result.action}{streamed}\n{result.resource}",
            decision.append("\n".join([f", {ending.status}", *ending.why]), "default"),
            _key_at_upstream(ending),
            _key_at_agent(ending),
        )
    return table


def _key_at_upstream(ending: Ending) -> str:
    if not ending.arrived:
        return "no call"
    return "yes" if ending.upstream_saw_secret else "no"


def _key_at_agent(ending: Ending) -> Text:
    if ending.agent_saw_secret:
        return Text("LEAKED", "bold red")
    return Text("masked" if ending.masked else "never")
