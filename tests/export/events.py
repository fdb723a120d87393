"""Events as the ledger answers them: one of each kind, some of them hostile."""

from typing import Any

HOSTILE = 'a|b\\c=d\nInjected: x\r\n<110>1 - - - - - forged\u2028\x1b]0;x\x07,"=cmd()\0 CEF:0|evil|'

DECISION = {
    "effect": "deny",
    "label": "would_deny",
    "enforced": False,
    "mode": "observe",
    "stage": "policy",
    "reasons": [["no-policy", "no policy permits it"]],
    "policy_set": "5b9286f7eb5e0ea9",
    "micros": 512,
    "service": "openai",
    "action": "chat",
    "resource": 'Model::"gpt-4o"',
    "method": "POST",
    "authority": "api.openai.com:443",
    "path": "/v1/chat/completions",
    "body_bytes": 35,
    "model": "gpt-4o",
    "intent": "sum up",
    "goal": "q3",
    "source_ip": "192.0.2.7",
    "facts": {"owner": "ada", "groups": ["lab"], "max_tokens": 2**70},
}
OUTCOME = {
    "status": 200,
    "error": "",
    "millis": 12.5,
    "bytes_up": 35,
    "bytes_down": 99,
    "tokens_in": 9,
    "tokens_out": 3,
    "cost_usd": 0.5,
    "dialled": "192.0.2.1:443",
}
ANSWER = {
    "action": "approval.decide",
    "actor": "ada",
    "approval": "apr_1",
    "decision": "dec_1",
    "agent": "research-agent",
    "resource": "M",
    "by": "ada",
    "before": "Pending",
    "reason": "once",
}
BODIES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("decision", DECISION),
    ("decision", DECISION | {"effect": "allow", "label": "allow", "method": "GET"}),
    ("secret_access", {"secret": "k", "authority": "[::1]:8443", "token": "sct_1"}),
    ("outcome", OUTCOME),
    ("outcome", OUTCOME | {"status": None, "error": "the agent went away"}),
    ("approval", {"approval": "apr_1", "action": "chat", "resource": "M"}),
    ("admin", {"action": "agent.add", "actor": "ada", "before": None, "after": {"x": [1, None]}}),
    ("mode_change", {"before": "observe", "after": "enforce"}),
    ("policy_load", {"policy_set": "5b92", "policies": 4}),
    ("checkpoint", {"heads": {"n1": 4}, "digest": "ab"}),
    ("gap", {"since": 1.0, "until": 2.0, "writes": 3}),
    ("alert", {"alert": "honeytoken", "method": "GET", "authority": "h:443"}),
    ("decision", {name: HOSTILE for name in (*DECISION, *OUTCOME) if name != "facts"}),
    ("secret_access", {"secret": HOSTILE, "authority": HOSTILE, "token": HOSTILE}),
    ("admin", {"action": HOSTILE, "actor": HOSTILE, HOSTILE: HOSTILE}),
    ("something_new", {}),
    ("admin", ANSWER | {"after": "Approved"}),
    ("admin", ANSWER | {"after": "Denied"}),
    ("proof_refused", {"cause": "unknown key", "source_ip": "192.0.2.7", "count": 3}),
    ("policy_load", {"error": "a.cedar:1: a word too many"}),
    ("decision", DECISION | {"label": "needs_approval"}),
)


def event(number: int, kind: str, body: dict[str, Any]) -> dict[str, Any]:
    """One event; nobody acts in what the machine does itself."""
    calls = kind in ("decision", "secret_access", "outcome", "approval", "alert")
    agent = HOSTILE if HOSTILE in body.values() else "research-agent"
    return {
        "node": "52c74e9f",
        "seq": number,
        "id": f"evt_{number}",
        "ts": 1_700_000_000.25 + number,
        "kind": kind,
        "agent": agent if calls else "",
        "decision_id": f"dec_{number}" if calls else "",
        "body": body,
        "prev": "00" * 32,
        "hash": f"{number:064x}",
    }


EVENTS = [event(number, *each) for number, each in enumerate(BODIES, start=1)]
EVENTS[12]["body"] |= {"reasons": [[HOSTILE, HOSTILE]], "facts": {"owner": HOSTILE}}
EVENTS[12]["body"] |= {"status": 403}
