"""CEF, the Common Event Format of ArcSight (revision 25): one line an event, for syslog.

Names come from agents. In the header a backslash and a pipe are escaped, in the extension a
backslash and an equals sign; whatever is not printable is written as an escape before that, so
that no value can end a line, a field or a message.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from interlock import __version__
from interlock.ledger.export.format import (
    Event,
    Gravity,
    Message,
    gravity_of,
    host_and_port,
    message,
    owner_of,
    plain,
    reasons_of,
    summary,
)

_SEVERITY = {
    Gravity.INFORMATION: 2,
    Gravity.NOTICE: 4,
    Gravity.WARNING: 6,
    Gravity.ERROR: 8,
    Gravity.ALERT: 10,
}
_LONGEST_NAME = 512


class Cef:
    """One CEF line an event."""

    content_type = "text/plain; charset=utf-8"
    header = ""

    def messages(self, events: Sequence[Event]) -> Iterator[Message]:
        """Write each event as a line."""
        for event in events:
            header = (
                *("CEF:0", "Interlock", "Interlock", _header(__version__), _header(_class(event))),
                *(_header(plain(summary(event), _LONGEST_NAME)), _SEVERITY[gravity_of(event)]),
            )
            fields = " ".join(f"{name}={_extension(v)}" for name, v in _fields(event))
            yield message(event, "|".join(map(str, header)) + "|" + fields)


def _class(event: Event) -> str:
    label = event["body"].get("label")
    return plain(f"{event['kind']}:{label}" if label else event["kind"])


def _fields(event: Event) -> Iterator[tuple[str, Any]]:
    """Yield what is known, by the names of the CEF dictionary."""
    body = event["body"]
    host, port = host_and_port(event)
    known = {
        "rt": round(event["ts"] * 1000),
        "externalId": event["id"],
        "deviceExternalId": event["node"],
        "cat": event["kind"],
        "act": body.get("label") or body.get("action", ""),
        "suser": event["agent"] or body.get("actor", ""),
        "src": body.get("source_ip", ""),
        "dhost": host,
        "dpt": port,
        "requestMethod": body.get("method", ""),
        "request": body.get("path", ""),
        "app": body.get("service", ""),
        "outcome": "" if body.get("status") is None else body["status"],
        "reason": ", ".join(reasons_of(event)) or body.get("error", ""),
        "in": body.get("bytes_down", ""),
        "out": body.get("bytes_up", ""),
        "sntdom": owner_of(event),
    }
    custom = {
        "decision": event["decision_id"],
        "resource": body.get("resource") or body.get("secret", ""),
        "goal": body.get("goal", ""),
        "intent": body.get("intent", ""),
        "hash": event["hash"],
        "action": body.get("action", ""),
    }
    yield from ((name, value) for name, value in known.items() if value not in ("", 0))
    for number, (label, value) in enumerate(custom.items(), start=1):
        if value:
            yield f"cs{number}", value
            yield f"cs{number}Label", label
    yield "cn1", event["seq"]
    yield "cn1Label", "seq"


def _header(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|")


def _extension(value: Any) -> str:
    return plain(value).replace("\\", "\\\\").replace("=", "\\=")
