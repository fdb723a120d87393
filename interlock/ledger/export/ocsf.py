"""OCSF (schema.ocsf.io): calls and changes as API Activity, grants as Authorize Session.

What an agent was granted, the use of a secret or an approval, and what it asks a person for, is
class 3003; every other event is class 6003. Nothing is lost: `unmapped` has the whole body.
"""

import ipaddress
import json
import re
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

VERSION = "1.5.0"
API_ACTIVITY, AUTHORIZE_SESSION = 6003, 3003
_SEVERITY = {
    Gravity.INFORMATION: 1,
    Gravity.NOTICE: 2,
    Gravity.WARNING: 3,
    Gravity.ERROR: 4,
    Gravity.ALERT: 5,
}
_ACTIVITY = {"POST": 1, "GET": 2, "HEAD": 2, "OPTIONS": 2, "PUT": 3, "PATCH": 3, "DELETE": 4}
_METHODS = frozenset(_ACTIVITY) - {"PATCH"}
_HOSTNAME = re.compile(r"(?!-)[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63}){0,10}")
_OTHER, _ASSIGN_PRIVILEGES = 99, 1
_SUCCESS, _FAILURE, _OTHER_STATUS = 1, 2, 99
_GRANTS = ("secret_access", "approval")
# What did not succeed, although no label and no error says so.
_FAILED = ("proof_refused", "alert", "gap")


class Ocsf:
    """One event of OCSF 1.5 a line."""

    content_type = "application/x-ndjson"
    header = ""

    def messages(self, events: Sequence[Event]) -> Iterator[Message]:
        """Write each event in its class."""
        for event in events:
            written = _grant(event) if _is_grant(event) else _activity(event)
            yield message(event, json.dumps(_without_empty(_common(event) | written)))


def _common(event: Event) -> dict[str, Any]:
    return {
        "time": round(event["ts"] * 1000),
        "severity_id": _SEVERITY[gravity_of(event)],
        "message": summary(event),
        "metadata": {
            "version": VERSION,
            "product": {"name": "Interlock", "vendor_name": "Interlock", "version": __version__},
            "uid": event["id"],
            "sequence": event["seq"],
            "correlation_uid": event["decision_id"],
            "event_code": event["kind"],
            "log_name": event["node"],
        },
        "actor": _actor(event),
        "src_endpoint": _source(event),
        "unmapped": {"interlock": event["body"], "hash": event["hash"], "prev": event["prev"]},
    }


def _activity(event: Event) -> dict[str, Any]:
    body = event["body"]
    host, port = host_and_port(event)
    activity = _ACTIVITY.get(body.get("method", ""), _OTHER)
    refused = body.get("label") in ("deny", "needs_approval")
    failed = refused or bool(body.get("error")) or event["kind"] in _FAILED
    return {
        "category_uid": 6,
        "class_uid": API_ACTIVITY,
        "activity_id": activity,
        "type_uid": API_ACTIVITY * 100 + activity,
        "activity_name": plain(body.get("method", "") or event["kind"]),
        "status_id": _FAILURE if failed else _SUCCESS,
        "status_code": str(body["status"]) if body.get("status") is not None else "",
        "status_detail": plain(", ".join(reasons_of(event)) or body.get("error", "")),
        "api": {
            "operation": plain(body.get("action") or event["kind"]),
            "service": {"name": plain(body.get("service", ""))},
            "request": {"uid": event["decision_id"]},
        },
        "dst_endpoint": _endpoint(host, port),
        "http_request": _request(event),
        "resources": [{"name": plain(body.get("resource", ""))}],
    }


def _request(event: Event) -> dict[str, Any]:
    """The method, if the schema has a word for it, and the path."""
    body = event["body"]
    method = body.get("method", "")
    return {
        "http_method": method if method in _METHODS else "",
        "url": {"path": plain(body.get("path", ""))},
    }


def _endpoint(host: str, port: int = 0) -> dict[str, Any]:
    """An address or a host name where it is one, as the schema asks, and else just a name."""
    try:
        return {"ip": str(ipaddress.ip_address(host)), "port": port}
    except ValueError:
        kind = "hostname" if _HOSTNAME.fullmatch(host) else "name"
        return {kind: plain(host), "port": port} if host else {}


def _is_grant(event: Event) -> bool:
    return event["kind"] in _GRANTS or _is_answer(event)


def _is_answer(event: Event) -> bool:
    """Whether a person answered a call that waits."""
    return (event["kind"], event["body"].get("action")) == ("admin", "approval.decide")


def _grant(event: Event) -> dict[str, Any]:
    body = event["body"]
    host, port = host_and_port(event)
    kind = "approval" if _is_answer(event) else event["kind"]
    what = body.get("secret") or body.get("resource") or kind
    return _granting(event) | {
        "category_uid": 3,
        "class_uid": AUTHORIZE_SESSION,
        "user": _user(event),
        "session": {"uid": body.get("token") or event["decision_id"] or body.get("decision", "")},
        "privileges": [plain(f"{kind} {what}")],
        "dst_endpoint": _endpoint(host, port),
    }


def _granting(event: Event) -> dict[str, Any]:
    """Whether it was granted: a call that waits has been granted nothing yet."""
    waits = event["kind"] == "approval"
    activity = _OTHER if waits else _ASSIGN_PRIVILEGES
    denied = _is_answer(event) and event["body"].get("after") != "Approved"
    status = _OTHER_STATUS if waits else _FAILURE if denied else _SUCCESS
    return {
        "activity_id": activity,
        "activity_name": "Waits for a person" if waits else "",
        "type_uid": AUTHORIZE_SESSION * 100 + activity,
        "status_id": status,
        "status": "Pending" if waits else "",
        "status_detail": plain(event["body"].get("reason", "")),
    }


def _actor(event: Event) -> dict[str, Any]:
    if event["agent"]:
        return {"user": _user(event), "app_name": plain(event["agent"])}
    person = event["body"].get("actor", "")
    return {"app_name": "interlock", "user": {"name": plain(person)} if person else {}}


def _user(event: Event) -> dict[str, Any]:
    agent = plain(event["agent"] or event["body"].get("agent") or "interlock")
    return {"name": agent, "type_id": _OTHER, "type": "Agent", "domain": plain(owner_of(event))}


def _source(event: Event) -> dict[str, Any]:
    return _endpoint(event["body"].get("source_ip", "")) or {"name": event["node"]}


def _without_empty(value: Any) -> Any:
    """Leave out what is not known, at every depth but in what is ours alone."""
    if not isinstance(value, dict):
        return value
    kept = {
        name: inner if name == "unmapped" else _without_empty(inner)
        for name, inner in value.items()
    }
    return {
        name: inner
        for name, inner in kept.items()
        if inner not in ("", {}, [], [{"name": ""}]) and not (name == "port" and inner == 0)
    }
