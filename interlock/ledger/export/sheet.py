"""CSV (RFC 4180) for spreadsheets: the fields that people ask for, and the whole body."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from interlock.ledger.export.format import (
    Event,
    Message,
    message,
    moment,
    owner_of,
    plain,
    reasons_of,
)

COLUMNS = (
    *("time", "decision_id", "agent", "label", "kind", "stage", "action", "resource", "service"),
    *("host", "method", "path", "model", "intent", "intent_category", "goal", "user", "reasons"),
    *("status", "error", "millis", "tokens_in", "tokens_out", "cost_usd", "secret", "actor"),
    *("node", "seq", "id", "body"),
)
# What a spreadsheet would take for a formula when it opens the file.
_FORMULA = ("=", "+", "-", "@")
LONGEST_BODY = 32_000  # characters; a cell of a spreadsheet holds 32,767


class Sheet:
    """One line an event under a header; what a spreadsheet would run is quoted."""

    content_type = "text/csv"

    @property
    def header(self) -> str:
        """The names of the columns."""
        return _row(COLUMNS)

    def messages(self, events: Sequence[Event]) -> Iterator[Message]:
        """Write each event as a row."""
        for event in events:
            known = _known(event)
            yield message(event, _row(_harmless(known.get(column)) for column in COLUMNS))


def _known(event: Event) -> dict[str, Any]:
    body = event["body"]
    return {
        **body,
        "time": moment(event["ts"]),
        **{name: event[name] for name in ("decision_id", "agent", "kind", "node", "seq", "id")},
        "host": body.get("authority", ""),
        "user": owner_of(event),
        "reasons": " ".join(reasons_of(event)),
        "body": json.dumps(body, sort_keys=True),
    }


def _harmless(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, int | float):
        return str(value)
    text = plain(value if isinstance(value, str) else json.dumps(value), LONGEST_BODY)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _row(values: Iterable[str]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow(values)
    return out.getvalue()
