"""May it: asks the governor about every request and gives those that may leave their clearance."""

import logging
from collections.abc import Awaitable

from mitmproxy import http

from addons import refusals, views
from addons.clearance import Clearance
from addons.departure import depart
from addons.door import Account, Door
from addons.fail_closed import fail_closed
from addons.handshake import is_handshake
from addons.identity import prove_again
from addons.mcp import inspectors, tell
from addons.rpc import in_rpc, is_rpc
from addons.wire import request_of
from interlock.calls.usage import UsageReader
from interlock.errors import IdentityError
from interlock.model import NOWHERE, Authority
from interlock.steps import Steps
from interlock.verdict import Verdict

log = logging.getLogger(__name__)


class Gate:
    """The one place where a clearance is made; the wire lets nothing pass without one."""

    def __init__(self, door: Door) -> None:
        self._door = door

    @fail_closed
    def requestheaders(self, flow: http.HTTPFlow) -> Awaitable[None] | None:
        """Decide on a call of gRPC at its head: either side may speak first, and for hours."""
        if flow.error or not is_rpc(flow.request):
            return None
        return self._decide_at_head(flow)

    async def _decide_at_head(self, flow: http.HTTPFlow) -> None:
        flow.request.stream = not flow.response
        if flow.request.stream:
            await self._decide(flow)
        if flow.response:
            # Set on the flow, it would be sent only after all that the agent has to say.
            self._door.refused[flow] = in_rpc(flow.response)
            flow.response = None
        flow.request.stream = True

    @fail_closed
    def request(self, flow: http.HTTPFlow) -> Awaitable[None] | None:
        """Decide on any other request once its body is complete."""
        if flow.request.stream:  # of gRPC, here at its end; with no body, before it leaves
            flow.response = self._door.refused.pop(flow, flow.response)
            flow.request.trailers = None
            return None
        return self._decide(flow)

    async def _decide(self, flow: http.HTTPFlow) -> None:
        caller = self._door.callers.pop(flow.id, None)
        if flow.response or flow.error:
            return
        if caller is None or flow.is_replay:
            flow.response = refusals.plain(403, "a recorded request cannot be sent again")
            return
        if "upgrade" in flow.request.headers and not is_handshake(flow.request):
            flow.response = refusals.plain(403, "no upgrade but to a WebSocket is governed")
            return
        governor = self._door.governor
        if governor is None:
            raise RuntimeError("the governor is not open")
        steps = Steps()
        tunnel = self._door.tunnels.get(flow.client_conn.id)
        try:
            agent = prove_again(self._door, flow, caller)
        except IdentityError as e:
            flow.response = refusals.unproven(e, at_proxy=False)
            return
        steps.over("identify")
        request = request_of(flow, tunnel, caller.doubt)
        client, gone = flow.client_conn, self._door.gone
        pending = await governor.judge(
            request,
            agent,
            caller.said,
            steps,
            lambda: client.timestamp_end is not None or flow in gone,
        )
        # All that can be done beforehand is done while the disk is at it.
        decided = pending.verdict
        log.info(views.show(flow, decided))
        ready = None if decided.decision.refused else self._ready(flow, decided, steps)
        verdict = await pending.settled()
        steps.over("record")
        if verdict is not decided:
            log.info(views.show(flow, verdict))
        if verdict.decision.refused:
            unknown = caller.foreign_key and not agent.identified
            status = 421 if request.authority == NOWHERE else 401 if unknown else 403
            flow.response = refusals.refused(verdict, status=status)
            tell(self._door, flow, verdict)
            return
        if ready is None:
            raise RuntimeError("a refusal has become milder")
        self._door.clearances[flow.id], self._door.accounts[flow.id] = ready
        if flow.client_conn.timestamp_end is None:  # else its entry was forgotten, and would stay
            self._door.dialable.setdefault(flow.client_conn.id, set()).add(request.authority)

    def _ready(
        self, flow: http.HTTPFlow, verdict: Verdict, steps: Steps
    ) -> tuple[Clearance, Account]:
        """Make a request ready to leave, once, to the one authority that was judged."""
        request, judged = flow.request, verdict.call.request
        authority, body = judged.authority, judged.body
        # What was judged is what goes out, in its one spelling.
        if request.host != authority.host:
            request.host = authority.host
        request.method, request.path = judged.method, judged.path
        readable = verdict.capability or verdict.call.mcp or is_scrubbed(self._door, authority)
        depart(request, verdict, body, readable=bool(readable))
        clearance = Clearance(
            verdict,
            authority,
            judged.scheme,
            request.authority,
            request.headers.fields,
            judged.method,
            judged.path,
            body,
        )
        account = Account(
            verdict,
            flow.client_conn.id,
            steps,
            bytes_up=len(body),
            usage=UsageReader(verdict.call.service, verdict.call.model, len(body)),
            inspectors=inspectors(self._door, flow, verdict),
        )
        return clearance, account


def is_scrubbed(door: Door, authority: Authority) -> bool:
    """True for a destination whose answers are scrubbed."""
    if door.governor is None:
        return False
    records = door.governor.installation
    return bool(records.bindings.at(authority)) or records.minting.guards(authority)
