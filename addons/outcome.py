"""What became of it: one outcome row for every call that was cleared to leave."""

import time

from mitmproxy import http

from addons.door import Account, Door
from interlock.ledger import Event
from interlock.ledger.ledger import new_id


class Outcome:
    """Closes the account of a call, however it ends."""

    def __init__(self, door: Door) -> None:
        self._door = door

    async def response(self, flow: http.HTTPFlow) -> None:
        """The answer is complete."""
        self._close(flow, "")

    async def error(self, flow: http.HTTPFlow) -> None:
        """The call broke off: refused at the wire, upstream gone, agent gone, or killed."""
        self._close(flow, flow.error.msg if flow.error else "unknown error")

    def _close(self, flow: http.HTTPFlow, error: str) -> None:
        self._door.callers.pop(flow.id, None)
        self._door.clearances.pop(flow.id, None)
        account = self._door.accounts.pop(flow.id, None)
        if account and self._door.governor:
            self._door.governor.installation.ledger.note(_event(flow, account, error))


def _event(flow: http.HTTPFlow, account: Account, error: str) -> Event:
    now = time.time()
    server = flow.server_conn
    body = {
        "status": flow.response.status_code if flow.response else None,
        "error": error[:500],
        "bytes_up": account.bytes_up,
        "bytes_down": account.bytes_down,
        "scrubbed": account.scrubbed,
        "redeemed": account.redeemed,
        "millis": round((now - account.started) * 1000, 3),
        "dialled": f"{server.peername[0]}:{server.peername[1]}" if server.peername else "",
        "tls": server.tls_version or "",
        "certificate": (
            server.certificate_list[0].fingerprint().hex() if server.certificate_list else ""
        ),
    }
    verdict = account.verdict
    return Event(new_id("evt"), now, "outcome", verdict.agent.name, verdict.decision.id, body)
