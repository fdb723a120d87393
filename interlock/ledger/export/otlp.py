"""OpenTelemetry logs in the JSON encoding of OTLP 1: one request a batch of events.

The mapping of JSON is that of the OTLP specification: 64-bit integers are strings, and names are
in lowerCamelCase. In a file, a line holds one request, as the OTLP file exporter writes it.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from interlock import __version__
from interlock.ledger.export.format import (
    Event,
    Gravity,
    Message,
    gravity_of,
    message,
    summary,
)

_SEVERITY = {
    Gravity.INFORMATION: (9, "INFO"),
    Gravity.NOTICE: (10, "INFO2"),
    Gravity.WARNING: (13, "WARN"),
    Gravity.ERROR: (17, "ERROR"),
    Gravity.ALERT: (21, "FATAL"),
}
_INT64 = range(-(2**63), 2**63)
_SCOPE = {"name": "interlock.ledger", "version": __version__}


class Otlp:
    """All events of a batch in one ExportLogsServiceRequest."""

    content_type = "application/json"
    header = ""

    def messages(self, events: Sequence[Event]) -> Iterator[Message]:
        """Write one request for all events; none for none."""
        if not events:
            return
        nodes = dict.fromkeys(event["node"] for event in events)
        resources = [_resource(node, [e for e in events if e["node"] == node]) for node in nodes]
        gravest = max(events, key=gravity_of)
        yield message(gravest, json.dumps({"resourceLogs": resources}))


def _resource(node: str, events: Sequence[Event]) -> dict[str, Any]:
    attributes = {"service.name": "interlock", "service.instance.id": node}
    logs = [{"scope": _SCOPE, "logRecords": [_record(event) for event in events]}]
    return {"resource": {"attributes": _pairs(attributes)}, "scopeLogs": logs}


def _record(event: Event) -> dict[str, Any]:
    number, text = _SEVERITY[gravity_of(event)]
    nanos = str(round(event["ts"] * 1_000_000) * 1000)
    said = ("id", "kind", "seq", "agent", "decision_id", "hash", "prev")
    attributes = {f"interlock.{name}": event[name] for name in said}
    return {
        "timeUnixNano": nanos,
        "observedTimeUnixNano": nanos,
        "severityNumber": number,
        "severityText": text,
        "eventName": f"interlock.{event['kind']}",
        "body": _value(event["body"]),
        "attributes": _pairs(attributes | {"interlock.summary": summary(event)}),
    }


def _pairs(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": name, "value": _value(value)} for name, value in values.items()]


def _value(value: Any) -> dict[str, Any]:
    """Write a JSON value as an AnyValue; null is the one without content."""
    if value is None:
        return {}
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int) and value in _INT64:
        return {"intValue": str(value)}
    if isinstance(value, int | float):
        return {"doubleValue": float(value)}
    if isinstance(value, str):
        return {"stringValue": value}
    if isinstance(value, Mapping):
        return {"kvlistValue": {"values": _pairs(value)}}
    return {"arrayValue": {"values": [_value(inner) for inner in value]}}
