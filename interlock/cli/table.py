"""Decisions as CSV (RFC 4180), one line each, for spreadsheets."""

import csv
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from interlock.cli.printing import moment, printable

COLUMNS = (
    *("when", "decision_id", "agent", "label", "stage", "action", "resource", "service"),
    *("authority", "method", "path", "intent", "intent_category", "goal", "owner", "reasons"),
)
# What a spreadsheet would take for a formula when it opens the file.
_FORMULA = ("=", "+", "-", "@")


def say_csv(events: Iterable[Mapping[str, Any]]) -> None:
    """Print a header and one line a decision; what a spreadsheet would run is quoted."""
    out = csv.writer(sys.stdout)
    out.writerow(COLUMNS)
    for event in events:
        known = event["body"] | {
            "when": moment(event["ts"]),
            "decision_id": event["decision_id"],
            "agent": event["agent"],
            "owner": event["body"].get("facts", {}).get("owner", ""),
            "reasons": " ".join(str(policy) for policy, _ in event["body"].get("reasons", ())),
        }
        out.writerow([_harmless(known.get(column, "")) for column in COLUMNS])


def _harmless(value: object) -> str:
    text = printable(value)
    return f"'{text}" if text.startswith(_FORMULA) else text
