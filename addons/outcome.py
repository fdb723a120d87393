"""What became of it: one outcome row for every call that was cleared to leave."""

import asyncio
from typing import Any

from mitmproxy import connection, http
from mitmproxy.proxy.server_hooks import ServerConnectionHookData

from addons.door import Account, Door
from addons.ending import Ending, ending_of
from interlock.model import Authority

# How long mitmproxy may take to end the calls of an agent that has gone.
GRACE_S = 2.0


# With what a WebSocket ends that nothing went wrong with (RFC 6455, 7.4.1).
FAREWELLS = (1000, 1001, 1005)


class Outcome:
    """Closes the account of a call, however it ends."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._upstreams: dict[str, dict[str, str]] = {}  # connection -> what is known of it

    def client_disconnected(self, client: connection.Client) -> None:
        """The agent is gone; a call of it that mitmproxy gives up silently ends here."""
        asyncio.get_running_loop().call_later(GRACE_S, self._close_all, client.id)

    def server_disconnected(self, data: ServerConnectionHookData) -> None:
        """Forget a connection to an upstream."""
        self._upstreams.pop(data.server.id, None)

    def done(self) -> None:
        """The front door stops: whatever is under way ends with it."""
        self._close_all(None)

    def _close_all(self, client_id: str | None) -> None:
        """Close what is open of one client, or of all."""
        for flow_id, account in list(self._door.accounts.items()):
            if client_id in (None, account.client):
                self._forget(flow_id)
                if client_id:
                    self._note(account, Ending.AGENT_GONE, "the agent went away", _UNSEEN)
                else:
                    self._note(account, Ending.STOPPED, "the front door stopped", _UNSEEN)

    def response(self, flow: http.HTTPFlow) -> None:
        """The answer is complete, unless it opens a WebSocket."""
        if not flow.websocket:
            self._close(flow, Ending.ANSWERED, "")

    def websocket_end(self, flow: http.HTTPFlow) -> None:
        """A WebSocket has ended."""
        talk = flow.websocket
        if talk is None or talk.close_code in FAREWELLS:
            self._close(flow, Ending.ANSWERED, "")
            return
        gone = Ending.AGENT_GONE if talk.closed_by_client else Ending.UPSTREAM_GONE
        self._close(flow, gone, f"the WebSocket ended with code {talk.close_code}")

    def error(self, flow: http.HTTPFlow) -> None:
        """The call broke off: refused at the wire, upstream gone, agent gone, or killed."""
        error = flow.error.msg if flow.error else "unknown error"
        self._close(flow, ending_of(error), error)

    def _close(self, flow: http.HTTPFlow, ending: Ending, error: str) -> None:
        if account := self._forget(flow.id):
            if account.ended:
                ending, error = account.ending or Ending.REFUSED, account.ended
            self._note(account, ending, error, self._seen(flow))

    def _forget(self, flow_id: str) -> Account | None:
        self._door.callers.pop(flow_id, None)
        self._door.clearances.pop(flow_id, None)
        self._door.streams.pop(flow_id, None)
        return self._door.accounts.pop(flow_id, None)

    def _seen(self, flow: http.HTTPFlow) -> dict[str, Any]:
        """What the wire saw of the upstream; of a connection that stands it is worked out once."""
        server = flow.server_conn
        known = self._upstreams.get(server.id)
        if known is None:
            known = _told(server)
            if server.connected and server.tls_established:
                self._upstreams[server.id] = known
        return {"status": flow.response.status_code if flow.response else None, **known}

    def _note(self, account: Account, ending: Ending, error: str, seen: dict[str, Any]) -> None:
        if self._door.governor:
            usage = account.usage.usage() if account.usage else None
            body = _outcome(account, account.ending or ending, error[:500], seen)
            self._door.governor.close(account.verdict, body, usage)


_UNSEEN: dict[str, Any] = {"status": None, "dialled": "", "tls": "", "certificate": ""}


def _told(server: connection.Server) -> dict[str, str]:
    """Where a call went, and the SHA-256 of the certificate there; empty for what is not known."""
    shown = server.certificate_list
    return {
        "dialled": _dialled(server),
        "tls": server.tls_version or "",
        "certificate": shown[0].fingerprint().hex() if shown else "",
    }


def _dialled(server: connection.Server) -> str:
    """The address that was dialled; behind a parent proxy nobody here knows it."""
    if server.via:
        return f"via {Authority(*server.via[1])}" if server.tls_established else ""
    return f"{server.peername[0]}:{server.peername[1]}" if server.peername else ""


def _outcome(account: Account, ending: Ending, error: str, seen: dict[str, Any]) -> dict[str, Any]:
    account.steps.over("end")
    micros = account.steps.micros
    return {
        "ended": ending,
        "model": account.verdict.call.model,
        **seen,
        "bytes_up": account.bytes_up,
        "bytes_down": account.bytes_down,
        "scrubbed": account.scrubbed,
        "scrubbed_forms": sorted(account.spellings),
        "redeemed": account.redeemed,
        **_messages(account),
        **_called(account),
        "millis": micros["end"] / 1000,
        "micros": micros,
        "error": error,
    }


def _messages(account: Account) -> dict[str, int]:
    """How many went either way; nothing for a call that is none of messages."""
    if not account.lasting:
        return {}
    return {"messages_up": account.messages_up, "messages_down": account.messages_down}


def _called(account: Account) -> dict[str, Any]:
    """The tools that a model called, by name; what they are called with is nobody's business."""
    called = account.usage.called if account.usage else None
    if called is None or not (called.names or called.cut):
        return {}
    return {"tools_called": list(called.names)} | ({"tools_called_cut": True} if called.cut else {})
