"""Who calls: proves the agent by key or address, and takes our own headers off the request."""

import ipaddress
import time
from collections.abc import Awaitable
from functools import partial

from mitmproxy import connection, http

from addons import refusals
from addons.destination import knows_proxy
from addons.door import Caller, Door, Origin, Proof, Proven, Tunnel
from addons.fail_closed import fail_closed
from addons.offer import Offer, take_offer, take_proof
from addons.proofs import is_proof, prepare
from addons.wire import authority_of
from interlock.errors import IdentityError
from interlock.governor import Governor
from interlock.model import UNIDENTIFIED, Agent
from interlock.registry import Whence


class Identity:
    """Identifies at CONNECT, and again at each request, so that a revoked key ends at once."""

    def __init__(self, door: Door) -> None:
        self._door = door

    @fail_closed
    async def http_connect(self, flow: http.HTTPFlow) -> None:
        """Refuse a bad proof, or one that is required and missing, before any look-up."""
        tunnel = Tunnel()
        try:
            tunnel.target = authority_of(flow)
            _require_no_body(flow.request.headers)
            tunnel.proof = take_proof(flow.request.headers)
            if waits := prepare(self._door, tunnel.proof):
                await waits
            tunnel.who = _counted(flow, self._prove(flow, tunnel.proof).agent)
        except IdentityError as e:
            self._knocked(flow, e)
            flow.response = refusals.unproven(e, at_proxy=True)
            return
        except ValueError as e:
            flow.response = refusals.plain(400, f"CONNECT: {e}")
            return
        self._door.tunnels[flow.client_conn.id] = tunnel

    @fail_closed
    def requestheaders(self, flow: http.HTTPFlow) -> Awaitable[None] | None:
        """Prove the caller of this request and strip what only we are meant to read."""
        offer = take_offer(flow.request.headers, partial(is_proof, self._door))
        if flow.error or flow.response:
            return None
        try:
            proof = offer.proof(self._door.tunnels.get(flow.client_conn.id))
            if waits := prepare(self._door, proof):
                return self._identify_later(flow, offer, proof, waits)
            self._identify(flow, offer, proof)
        except IdentityError as e:
            self._turn_away(flow, e)
        return None

    async def _identify_later(
        self, flow: http.HTTPFlow, offer: Offer, proof: Proof | None, waits: Awaitable[None]
    ) -> None:
        try:
            await waits
            self._identify(flow, offer, proof)
        except IdentityError as e:
            self._turn_away(flow, e)

    def _identify(self, flow: http.HTTPFlow, offer: Offer, proof: Proof | None) -> None:
        """Note who sent a request, and what it declares; raises IdentityError."""
        proven = self._prove(flow, proof)
        said, doubt = offer.declaration()
        theirs = offer.foreign and not knows_proxy(flow.client_conn)
        who = _counted(flow, proven.agent)
        self._door.callers[flow.id] = Caller(proof, proven, who, said, doubt, theirs)

    def _turn_away(self, flow: http.HTTPFlow, error: IdentityError) -> None:
        """Refuse a request whose sender did not prove who it is."""
        self._knocked(flow, error)
        at_proxy = flow.client_conn.id not in self._door.tunnels and knows_proxy(flow.client_conn)
        shape = shape_of(self._door, flow)
        flow.response = refusals.unproven(error, at_proxy=at_proxy, shape=shape)

    def client_disconnected(self, client: connection.Client) -> None:
        """Forget what the connection said."""
        self._door.tunnels.pop(client.id, None)
        self._door.dialable.pop(client.id, None)
        self._door.proofs.pop(client.id, None)
        self._door.proven.pop(client.id, None)

    def _prove(self, flow: http.HTTPFlow, proof: Proof | None) -> Proven:
        """Remember what proves the caller, to end the connection with it; answer who it is.

        A key is looked up once a connection, for as long as nothing changes. Raises IdentityError.
        """
        client = flow.client_conn
        known, change = self._door.proven.get(client.id), _change(self._door)
        if known and known.proves(proof, change, time.time()):
            return Proven(known.agent, change, time.monotonic())
        proven = self._door.proven[client.id] = prove(self._door, flow, proof)
        agent = proven.agent
        if agent.identified:
            shown = proof or self._door.presented.get(client.id)
            by = shown or Origin(whence_of(client), agent.name)
            self._door.proofs.setdefault(client.id, {})[by] = agent.name
        return proven

    def _knocked(self, flow: http.HTTPFlow, error: IdentityError) -> None:
        """Have a refused proof recorded."""
        if self._door.governor and flow.client_conn.peername:
            source = flow.client_conn.peername[0]
            self._door.governor.knocks.refused(source, error, time.time())


def shape_of(door: Door, flow: http.HTTPFlow) -> str:
    """The shape in which the SDK of a destination expects errors."""
    provider = door.governor.provider_at(authority_of(flow)) if door.governor else None
    return provider.errors if provider else ""


def prove(door: Door, flow: http.HTTPFlow, proof: Proof | None) -> Proven:
    """Prove who sent a request; raises IdentityError."""
    change, now = _change(door), time.monotonic()  # before: what changes meanwhile is noticed
    if proof is None:
        return Proven(agent_of(door, flow, proof), change, now)
    name, key = proof
    agent, until = _governor(door).identify_until(key, name)
    return Proven(agent, change, now, until, proof)


def prove_again(door: Door, flow: http.HTTPFlow, caller: Caller) -> Agent:
    """Prove it once more when the body is there; raises IdentityError.

    An upload may take longer than the trust in its sender lasts. What came at once does not.
    """
    if caller.proven.holds(_change(door), time.monotonic()):
        return caller.proven.agent
    return agent_of(door, flow, caller.proof)


def agent_of(door: Door, flow: http.HTTPFlow, proof: Proof | None) -> Agent:
    """The agent that a proof proves; without one, that of the client certificate or the address.

    Raises IdentityError when a proof is wrong, or required and missing.
    """
    governor = _governor(door)
    if proof is not None:
        name, key = proof
        return governor.identify(key, name)
    if shown := door.presented.get(flow.client_conn.id):
        return governor.installation.federation.prove_chain(shown.chain, time.time())
    whence = whence_of(flow.client_conn)
    if found := governor.installation.addresses.agent_at(whence, time.time()):
        return found
    if door.require_identity or not _on_loopback(flow.client_conn):
        raise IdentityError("this front door requires an agent key", "missing key")
    return UNIDENTIFIED


def _change(door: Door) -> int:
    return _governor(door).installation.database.change


def _governor(door: Door) -> Governor:
    if door.governor is None:
        raise RuntimeError("the governor is not open")
    return door.governor


def _counted(flow: http.HTTPFlow, agent: Agent) -> str:
    """As whose connections and requests it counts: an agent's, or an address's."""
    return agent.name if agent.identified else f"at {flow.client_conn.peername[0]}"


def whence_of(client: connection.Client) -> Whence:
    """Both ends of a connection, as the system tells them."""
    return Whence(client.peername[0], client.sockname[0])


def _on_loopback(client: connection.Client) -> bool:
    """True when the caller reached us over loopback, whatever else the listener is bound to."""
    address = ipaddress.ip_address(client.sockname[0].partition("%")[0])
    inner = getattr(address, "ipv4_mapped", None)
    return (inner or address).is_loopback


def _require_no_body(headers: http.Headers) -> None:
    """Raise ValueError for a CONNECT with content, which nothing is made for (RFC 9110, 9.3.6)."""
    for name in ("content-length", "transfer-encoding"):
        if headers.get(name, "0").strip() != "0":
            raise ValueError(f"it has a body ({name})")
