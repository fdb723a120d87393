"""May it: asks the governor about every request and gives those that may leave their clearance."""

import logging

from mitmproxy import http

from addons import handshake, refusals, views
from addons.clearance import Clearance
from addons.door import Account, Door
from addons.fail_closed import fail_closed
from addons.identity import KEY_SLOTS, agent_of
from addons.mcp import inspectors, tell
from addons.rpc import in_rpc, is_rpc
from addons.wire import request_of
from broker import carrier
from broker.recipes.client_certificate import CERTIFICATE_SLOT
from broker.recipes.standin import MINTED_SLOT
from interlock.calls.usage import UsageReader
from interlock.errors import IdentityError
from interlock.model import NOWHERE, Authority
from interlock.steps import Steps
from interlock.verdict import Capability, Verdict

log = logging.getLogger(__name__)

# Headers of ours, for a token whose credential goes into no key slot as a whole.
OWN_SLOTS = (MINTED_SLOT, CERTIFICATE_SLOT)


class Gate:
    """The one place where a clearance is made; the wire lets nothing pass without one."""

    def __init__(self, door: Door) -> None:
        self._door = door

    @fail_closed
    async def requestheaders(self, flow: http.HTTPFlow) -> None:
        """Decide on a call of gRPC at its head: either side may speak first, and for hours."""
        if flow.error or not is_rpc(flow.request):
            return
        flow.request.stream = not flow.response
        if flow.request.stream:
            await self._decide(flow)
        if flow.response:
            # Set on the flow, it would be sent only after all that the agent has to say.
            self._door.refused[flow] = in_rpc(flow.response)
            flow.response = None
        flow.request.stream = True

    @fail_closed
    async def request(self, flow: http.HTTPFlow) -> None:
        """Decide on any other request once its body is complete."""
        if flow.request.stream:  # of gRPC, here at its end; with no body, before it leaves
            flow.response = self._door.refused.pop(flow, flow.response)
            flow.request.trailers = None
            return
        await self._decide(flow)

    async def _decide(self, flow: http.HTTPFlow) -> None:
        caller = self._door.callers.pop(flow.id, None)
        if flow.response or flow.error:
            return
        if caller is None or flow.is_replay:
            flow.response = refusals.plain(403, "a recorded request cannot be sent again")
            return
        if "upgrade" in flow.request.headers and not handshake.is_handshake(flow.request):
            flow.response = refusals.plain(403, "no upgrade but to a WebSocket is governed")
            return
        governor = self._door.governor
        if governor is None:
            raise RuntimeError("the governor is not open")
        steps = Steps()
        tunnel = self._door.tunnels.get(flow.client_conn.id)
        try:
            # Again, because an upload may have taken longer than the trust in its sender lasted.
            agent = agent_of(self._door, flow, caller.proof)
        except IdentityError as e:
            flow.response = refusals.unproven(e, at_proxy=False)
            return
        steps.over("identify")
        request = request_of(flow, tunnel, caller.doubt)
        verdict = await governor.govern(request, agent, caller.said, steps)
        log.info("%s", views.show(flow, verdict))
        if verdict.decision.refused:
            unknown = caller.foreign_key and not agent.identified
            status = 421 if request.authority == NOWHERE else 401 if unknown else 403
            flow.response = refusals.refused(verdict, status=status)
            tell(self._door, flow, verdict)
            return
        self._clear(flow, verdict, request.body)
        self._door.accounts[flow.id] = Account(
            verdict,
            flow.client_conn.id,
            steps,
            bytes_up=len(request.body),
            usage=UsageReader(verdict.call.service, verdict.call.model, len(request.body)),
            inspectors=inspectors(self._door, flow, verdict),
        )

    def _clear(self, flow: http.HTTPFlow, verdict: Verdict, body: bytes) -> None:
        """Let the request leave once, to the one authority that was judged."""
        request = flow.request
        authority = verdict.call.request.authority
        if request.host != authority.host:
            request.host = authority.host
        # What was judged is what goes out, in its one spelling.
        judged = verdict.call.request
        request.method, request.path = judged.method, judged.path
        frame(request, body)
        if verdict.call.mcp or governor_guards(self._door, authority):
            ask_readable(request.headers)
        for capability in verdict.capabilities:
            carry(request.headers, capability)
        match verdict.call.request.protocol:
            case "websocket":
                handshake.plain(request.headers)
            case "grpc":
                request.headers["te"] = "trailers"
                request.headers["grpc-accept-encoding"] = "identity"
        self._door.dialable.setdefault(flow.client_conn.id, set()).add(authority)
        self._door.clearances[flow.id] = Clearance(
            verdict,
            authority,
            request.scheme,
            (request.authority, tuple(request.headers.get_all("host"))),
            request.method,
            request.path,
            body,
        )


def frame(request: http.Request, body: bytes) -> None:
    """Give the request the one framing that no two parsers read differently (RFC 9112, 6).

    The body is complete here, so its length is known. HTTP/2 needs no length and HTTP/1.1 does:
    forwarded without one, a body would be read as the next request, which nobody judged.
    """
    request.headers.pop("transfer-encoding", None)
    request.headers.pop("trailer", None)
    if request.stream or not (body or request.method in ("POST", "PUT", "PATCH")):
        request.headers.pop("content-length", None)
    elif request.headers.get_all("content-length") != [str(len(body))]:
        request.headers["content-length"] = str(len(body))
    request.trailers = None
    # We have answered it, and an interim answer of the upstream would be taken for the final one.
    request.headers.pop("expect", None)
    if not request.is_http2:
        request.authority = ""


def governor_guards(door: Door, authority: Authority) -> bool:
    """True for a destination whose answers are scrubbed."""
    if door.governor is None:
        return False
    records = door.governor.installation
    return bool(records.bindings.at(authority)) or records.minting.guards(authority)


def ask_readable(headers: http.Headers) -> None:
    """Ask for a whole answer in no coding: what cannot be read cannot be scrubbed."""
    for name in ("te", "range", "if-range"):
        headers.pop(name, None)
    headers["accept-encoding"] = "identity"


def carry(headers: http.Headers, capability: Capability) -> None:
    """Put the token where the credential will be, in place of every copy that the agent sent.

    The placeholder of a minted token stays where it is: its place is where the token will go. So
    does what an agent sends beside a client certificate, which is no header.
    """
    slot = capability.recipe.slot
    gone = ("connection",) if slot in OWN_SLOTS else (*KEY_SLOTS, "connection")
    headers.fields = tuple(
        field
        for field in headers.fields
        if field[0].lower().replace(b"_", b"-").decode("latin-1") not in gone
    )
    headers[slot] = carrier(slot, capability.token)
