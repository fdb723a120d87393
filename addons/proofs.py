"""Proofs from outside: client certificates and JWTs, taken where the agent itself speaks to us."""

import time
from collections.abc import Awaitable

from cryptography.hazmat.primitives.serialization import Encoding
from mitmproxy import connection, tls
from mitmproxy.net.tls import Verify, accept_all
from OpenSSL import SSL

from addons.door import Door, Presented, Proof
from interlock.federation import is_statement
from interlock.registry.keys import is_ours


class Proofs:
    """Keeps the certificate that was shown on the connection between agent and front door.

    That is TLS to the proxy itself, or to a base URL. What is shown inside a tunnel is meant for
    the upstream, and proves nothing to us.
    """

    def __init__(self, door: Door) -> None:
        self._door = door

    def tls_established_client(self, data: tls.TlsData) -> None:
        """Keep what was shown."""
        certificates = data.conn.certificate_list
        if certificates and data.conn.id not in self._door.tunnels:
            chain = (each.to_cryptography().public_bytes(Encoding.DER) for each in certificates)
            self._door.presented[data.conn.id] = Presented(tuple(chain))

    def client_disconnected(self, client: connection.Client) -> None:
        """Forget it."""
        self._door.presented.pop(client.id, None)


def ask(door: Door, data: tls.TlsData) -> None:
    """Ask for a certificate, without insisting, once mitmproxy has set a connection up.

    The handshake proves possession, everything else is ours to verify. A session that is resumed
    would bring no chain along, so none is.
    """
    governor = door.governor
    if governor is None or data.ssl_conn is None or data.conn.id in door.tunnels:
        return
    if governor.installation.federation.asks_for_certificates:
        data.ssl_conn.set_verify(Verify.VERIFY_PEER.value, accept_all)
        data.ssl_conn.set_options(SSL.OP_NO_TICKET)
        data.ssl_conn.get_context().set_session_cache_mode(SSL.SESS_CACHE_OFF)


def prepare(door: Door, proof: Proof | None) -> Awaitable[None] | None:
    """What a token has to wait for, a bounded time, to be looked at: the keys of its issuer.

    None for any other proof. Awaited, it may raise IdentityError.
    """
    if proof and door.governor and is_statement(proof[1]):
        return door.governor.installation.federation.prepare(proof[1], time.time())
    return None


def is_proof(door: Door, value: str) -> bool:
    """True for a key of ours, and for what says that it is a token for us: good or not."""
    if is_ours(value) or door.governor is None:
        return is_ours(value)
    return door.governor.installation.federation.is_for_us(value)


def is_from_outside(proof: object) -> bool:
    """True for a proof that can end without any change in the store."""
    return isinstance(proof, Presented) or (isinstance(proof, tuple) and is_statement(proof[1]))
