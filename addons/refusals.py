"""Answers that we give ourselves, in the error shape that the agent's SDK expects."""

import json
from dataclasses import replace
from typing import Any

from mitmproxy import http

from interlock.calls import rpc
from interlock.errors import IdentityError
from interlock.model import Decision, Effect, Reason
from interlock.plan import MINTED_UNAVAILABLE
from interlock.verdict import Verdict

DECISION_HEADER = "Interlock-Decision"
DECISION_ID_HEADER = "Interlock-Decision-Id"
# By what they tell, as the body of a refusal calls it.
HEADERS = {"decision": DECISION_HEADER, "decision_id": DECISION_ID_HEADER}

type Shape = dict[str, Any]


def refused(verdict: Verdict, *, status: int = 403) -> http.Response:
    """403 with the decision id and the reasons. 503 for what is no denial but a failure.

    401 for a placeholder that is not good (any more), at which clients refresh their token.
    """
    decision = verdict.decision
    failure = any(reason.policy_id in _FAILURES for reason in decision.reasons)
    if any(reason.policy_id == MINTED_UNAVAILABLE for reason in decision.reasons):
        status = 401
    status = 503 if failure else status
    if verdict.call.mcp:
        response = _of_mcp(verdict, status)
    else:
        shape = verdict.provider.errors if verdict.provider else ""
        response = _response(status, shape, _message(verdict), _details(verdict))
    response.headers[DECISION_HEADER] = decision.label
    response.headers[DECISION_ID_HEADER] = decision.id
    return response


def _message(verdict: Verdict) -> str:
    decision, call = verdict.decision, verdict.call
    waiting = decision.effect is Effect.NEEDS_APPROVAL
    verb = "needs approval for" if waiting else "may not"
    return (
        f"Interlock: {verdict.agent.name} {verb} {call.action} {call.resource}: "
        f"{replace(decision, reasons=_told(decision)).why} (decision {decision.id})"
    )


def _details(verdict: Verdict) -> Shape:
    decision = verdict.decision
    details: Shape = {
        "decision": decision.label,
        "decision_id": decision.id,
        "stage": decision.stage,
        "reasons": [
            {"policy_id": reason.policy_id, "description": reason.description}
            for reason in _told(decision)
        ],
    }
    return details | ({"approval": verdict.approval} if verdict.approval else {})


def _told(decision: Decision) -> tuple[Reason, ...]:
    """The reasons as an agent may know them: where stores and files are is for operators."""
    return tuple(
        replace(reason, description=reason.description.partition(": ")[0])
        if reason.policy_id in _FAILURES
        else reason
        for reason in decision.reasons
    )


def _of_mcp(verdict: Verdict, status: int) -> http.Response:
    """A JSON-RPC error to each message. To a request it comes with 200, which clients read.

    The MCP transport lets them give up on any other status before they look at the body.
    """
    parts = [one for one in (verdict, *verdict.beside) if one.call.mcp]
    told = [rpc.error(one.call.mcp, _message(one), _details(one)) for one in parts if one.call.mcp]
    asks = any(answer["id"] is not None for answer in told)
    readable = 200 if asks and status == 403 else status
    return _json(
        readable, rpc.errors(told, batch=verdict.call.request.body.lstrip().startswith(b"["))
    )


def unproven(error: IdentityError, *, at_proxy: bool, shape: str = "") -> http.Response:
    """407 to a client of the proxy, 401 to a client of a base URL."""
    response = _response(407 if at_proxy else 401, shape, f"Interlock: {error}", {})
    challenge = "Proxy-Authenticate" if at_proxy else "WWW-Authenticate"
    response.headers[challenge] = f'{"Basic" if at_proxy else "Bearer"} realm="interlock"'
    return response


def could_not_decide(flow: http.HTTPFlow) -> http.Response:
    """503: something of ours is broken, so the answer is no. Details stay in our log."""
    return _response(503, "", "Interlock could not decide on this call, so it is refused", {})


def broken_off(flow: http.HTTPFlow, error: str, *, status: int = 502) -> http.Response:
    """502: the call was cleared but did not come through; the message says where it ended."""
    told = {
        name: flow.metadata[f"interlock_{name}"]
        for name in HEADERS
        if f"interlock_{name}" in flow.metadata
    }
    response = _response(status, flow.metadata.get("interlock_errors", ""), error, told)
    for name, value in told.items():
        response.headers[HEADERS[name]] = value
    return response


def plain(status: int, message: str, shape: str = "") -> http.Response:
    """A refusal that needs no decision, such as a proxy mode that we do not serve."""
    return _response(status, shape, f"Interlock: {message}", {})


def message_of(response: http.Response) -> str:
    """What a refusal of ours says, whatever its shape."""
    body = json.loads(response.content or b"{}")
    return str(body.get("error", body).get("message", ""))


# What broke is told, such as which secret; the cause, behind a colon, is in the ledger and the log.
_FAILURES = ("ledger_unavailable", "secret_unavailable")
_OPENAI_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    429: "rate_limit_error",
    503: "server_error",
}
_GOOGLE_STATUS = {401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 429: "RESOURCE_EXHAUSTED"}
_ANTHROPIC_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    429: "rate_limit_error",
}


def _response(status: int, shape: str, message: str, details: Shape) -> http.Response:
    body = _body(status, shape, message)
    if details:
        body["interlock"] = details
    return _json(status, body)


def _json(status: int, body: Any) -> http.Response:
    return http.Response.make(
        status,
        json.dumps(body),
        {"Content-Type": "application/json", "Cache-Control": "no-store"},
    )


def _body(status: int, shape: str, message: str) -> Shape:
    if shape == "openai":
        kind = _OPENAI_TYPES.get(status, "invalid_request_error")
        code = "interlock_denied" if status == 403 else "interlock_refused"
        return {"error": {"message": message, "type": kind, "param": None, "code": code}}
    if shape == "anthropic":
        kind = _ANTHROPIC_TYPES.get(status, "api_error")
        return {"type": "error", "error": {"type": kind, "message": message}}
    if shape == "google":
        state = _GOOGLE_STATUS.get(status, "UNAVAILABLE")
        return {"error": {"code": status, "message": message, "status": state}}
    if shape == "message":
        return {"message": message}
    return {"error": {"type": "interlock_refused", "message": message}}
