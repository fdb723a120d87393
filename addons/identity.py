"""Who calls: proves the agent by key or address, and takes our own headers off the request."""

import base64
import binascii
import ipaddress
import time
from collections.abc import Callable
from functools import partial

from mitmproxy import connection, http

from addons import refusals
from addons.destination import knows_proxy
from addons.door import Caller, Door, Origin, Proof, Tunnel
from addons.fail_closed import fail_closed
from addons.proofs import is_proof, prepare
from addons.wire import authority_of
from interlock.delegation import LONGEST as LONGEST_CHAIN
from interlock.errors import IdentityError
from interlock.federation import is_statement
from interlock.model import UNIDENTIFIED, Agent
from interlock.registry import Whence

# Where SDKs put a provider's key, and so where an agent's key arrives in base-URL mode.
KEY_SLOTS = ("authorization", "x-api-key", "api-key", "x-goog-api-key")
# Another slot, of those who can set no header (OpenAI's `openai-insecure-api-key.KEY`).
SUBPROTOCOLS = "sec-websocket-protocol"
DECLARATIONS = {
    "interlock-intent": "intent",
    "interlock-intent-category": "intent_category",
    "interlock-goal": "goal",
    "interlock-delegation": "delegation",
    "interlock-approval": "approval",
}
LONGEST_DECLARATION = 1024
_MALFORMED = "Proxy-Authorization must be Basic with agent name and key, or Bearer with a token"

# Says whether a value in a key slot is meant for us.
type Ours = Callable[[str], bool]


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
            await prepare(self._door, tunnel.proof)
            tunnel.who = self._prove(flow, tunnel.proof)
        except IdentityError as e:
            self._knocked(flow, e)
            flow.response = refusals.unproven(e, at_proxy=True)
            return
        except ValueError as e:
            flow.response = refusals.plain(400, f"CONNECT: {e}")
            return
        self._door.tunnels[flow.client_conn.id] = tunnel

    @fail_closed
    async def requestheaders(self, flow: http.HTTPFlow) -> None:
        """Prove the caller of this request and strip what only we are meant to read."""
        headers, ours = flow.request.headers, partial(is_proof, self._door)
        if flow.error or flow.response:
            take_proof_off(headers, ours)
            return
        shape = shape_of(self._door, flow)
        tunnel = self._door.tunnels.get(flow.client_conn.id)
        try:
            proof, foreign = proof_in(headers, tunnel, ours)
            await prepare(self._door, proof)
            who = self._prove(flow, proof)
        except IdentityError as e:
            self._knocked(flow, e)
            at_proxy = tunnel is None and knows_proxy(flow.client_conn)
            flow.response = refusals.unproven(e, at_proxy=at_proxy, shape=shape)
            return
        finally:
            take_proof_off(headers, ours)
        said, doubt = _take_declarations(headers)
        theirs = foreign and not knows_proxy(flow.client_conn)
        self._door.callers[flow.id] = Caller(proof, said, doubt, theirs, who)

    def client_disconnected(self, client: connection.Client) -> None:
        """Forget what the connection said."""
        self._door.tunnels.pop(client.id, None)
        self._door.dialable.pop(client.id, None)
        self._door.proofs.pop(client.id, None)

    def _prove(self, flow: http.HTTPFlow, proof: Proof | None) -> str:
        """Remember what proves the caller, to end the connection with it; answer who it is.

        Raises IdentityError.
        """
        agent = agent_of(self._door, flow, proof)
        whence = whence_of(flow.client_conn)
        if not agent.identified:
            return f"at {whence.peer}"
        shown = self._door.presented.get(flow.client_conn.id)
        proven = proof or shown or Origin(whence, agent.name)
        self._door.proofs.setdefault(flow.client_conn.id, {})[proven] = agent.name
        return agent.name

    def _knocked(self, flow: http.HTTPFlow, error: IdentityError) -> None:
        """Have a refused proof recorded."""
        if self._door.governor and flow.client_conn.peername:
            source = flow.client_conn.peername[0]
            self._door.governor.knocks.refused(source, error, time.time())


def shape_of(door: Door, flow: http.HTTPFlow) -> str:
    """The shape in which the SDK of a destination expects errors."""
    provider = door.governor.provider_at(authority_of(flow)) if door.governor else None
    return provider.errors if provider else ""


def agent_of(door: Door, flow: http.HTTPFlow, proof: Proof | None) -> Agent:
    """The agent that a proof proves; without one, that of the client certificate or the address.

    Raises IdentityError when a proof is wrong, or required and missing.
    """
    governor = door.governor
    if governor is None:
        raise RuntimeError("the governor is not open")
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


def take_proof(headers: http.Headers) -> Proof | None:
    """Take `Proxy-Authorization` off, Basic (RFC 7617) or Bearer (RFC 6750); None without it.

    It is off whatever comes of it, because what stays on a flow is shown and logged. Raises
    IdentityError for anything that is not one well-formed value.
    """
    values = headers.get_all("proxy-authorization")
    headers.pop("proxy-authorization", None)
    if not values:
        return None
    scheme, _, encoded = values[0].partition(" ")
    if len(values) == 1 and scheme.lower() == "bearer" and is_statement(encoded.strip()):
        return None, encoded.strip()
    try:
        if len(values) > 1 or scheme.lower() != "basic":
            raise ValueError("not one Basic value")
        name, colon, key = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
        if not colon:
            raise ValueError("no colon")
    except (ValueError, binascii.Error):
        raise IdentityError(_MALFORMED) from None
    return name, key


def proof_in(headers: http.Headers, tunnel: Tunnel | None, ours: Ours) -> tuple[Proof | None, bool]:
    """The proof of who sent a request, and whether it came with a key that is none of ours.

    Takes `Proxy-Authorization` off; raises IdentityError as `take_proof` does.
    """
    offered = take_proof(headers)
    proof = (tunnel and tunnel.proof) or offered
    slot_key, foreign = _slot_key(headers, ours)
    return proof or (slot_key and (None, slot_key)) or None, foreign


def _slot_key(headers: http.Headers, ours: Ours) -> tuple[str | None, bool]:
    """The first key of ours in a key slot, and whether there is a key of another kind."""
    foreign = False
    for slot in KEY_SLOTS:
        for value in headers.get_all(slot):
            key = _bare(slot, value)
            if ours(key):
                return key, False
            foreign = True
    keys = (key for word in _spoken(headers) for key in _in_word(word) if ours(key))
    return next(keys, None), foreign


def _take_declarations(headers: http.Headers) -> tuple[dict[str, str], str]:
    """Take the `Interlock-*` headers off, and say what is wrong with them, if anything."""
    said: dict[str, str] = {}
    doubt = ""
    for name in {name.lower() for name in headers if name.lower().startswith("interlock-")}:
        values = headers.get_all(name)
        del headers[name]
        longest = LONGEST_CHAIN if name == "interlock-delegation" else LONGEST_DECLARATION
        if len(values) > 1 or len(values[0]) > longest or not values[0].isprintable():
            doubt = f"bad_declaration: {name} must be one printable value of {longest} characters"
        elif short := DECLARATIONS.get(name):
            said[short] = values[0]
    return said, doubt


def take_proof_off(headers: http.Headers, ours: Ours) -> None:
    """Take off whatever proves an agent to us; it is nobody else's business."""
    headers.pop("proxy-authorization", None)
    for slot in KEY_SLOTS:
        values = headers.get_all(slot)
        kept = [value for value in values if not ours(_bare(slot, value))]
        if len(kept) != len(values):
            headers.set_all(slot, kept)
    words = _spoken(headers)
    kept = [word for word in words if not any(map(ours, _in_word(word)))]
    if len(kept) != len(words):
        headers.set_all(SUBPROTOCOLS, [", ".join(kept)] if kept else [])


def _spoken(headers: http.Headers) -> list[str]:
    """The subprotocols that a WebSocket offers (RFC 6455, 11.3.4)."""
    if SUBPROTOCOLS not in headers:
        return []
    values = headers.get_all(SUBPROTOCOLS)
    return [word.strip() for value in values for word in value.split(",")]


def _in_word(word: str) -> tuple[str, str, str]:
    """What may be a key in a subprotocol, where browsers have to put it: `a-name.KEY`."""
    return word, word.partition(".")[2], word.rpartition(".")[2]


def _bare(slot: str, value: str) -> str:
    """The credential in a slot: behind the scheme, where there is one."""
    words = value.split(maxsplit=1)
    return words[-1].strip() if words else ""
