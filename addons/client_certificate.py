"""Mutual TLS: shows a client certificate on connections of calls that were cleared for it.

A connection belongs to one certificate, or to none, from before it is dialled; a call that was
granted another is never put on it.
"""

from typing import Any, cast

from mitmproxy import connection, ctx, tls
from mitmproxy.net import tls as net_tls
from OpenSSL import SSL, crypto

from addons.clearance import Clearance, Refused
from addons.door import Door, Shown
from broker.recipes.client_certificate import ClientCertificate


def granted_to(clearance: Clearance | None) -> Shown | None:
    """The certificate that a cleared call was granted, None for none."""
    capability = clearance.verdict.capability if clearance else None
    if capability is None or capability.certificate is None:
        return None
    return Shown(capability.binding.secret, capability.certificate)


def is_fit(door: Door, server: connection.Server, wanted: Shown | None) -> bool:
    """Say whether a call may be put on a connection, as far as certificates go."""
    return _fits(door.certificates.get(server), wanted)


def require_fit(door: Door, server: connection.Server, clearance: Clearance) -> None:
    """Raise Refused for a connection with another certificate than the call was granted."""
    wanted = granted_to(clearance)
    shown = door.certificates.get(server) if door.certificates else None
    if not _fits(shown, wanted) or (shown and not shown.ready):
        raise Refused("the connection does not show the client certificate of this call")


def _fits(shown: Shown | None, wanted: Shown | None) -> bool:
    return wanted is None if shown is None else shown.same_as(wanted)


def show(door: Door, data: tls.TlsData) -> None:
    """Put the certificate on a connection when its TLS begins; it is never on disk.

    Whatever fails here leaves the connection unfit, so that no call goes out on it.
    """
    shown = door.certificates.get(cast(connection.Server, data.conn))
    if shown is None or data.ssl_conn is None:
        return
    chain, key = ClientCertificate().identity(shown.secret)
    context = _context()
    context.use_certificate(crypto.X509.from_cryptography(chain[0]))
    for issuer in chain[1:]:
        context.add_extra_chain_cert(crypto.X509.from_cryptography(issuer))
    context.use_privatekey(crypto.PKey.from_cryptography_key(cast(Any, key)))
    data.ssl_conn.set_context(context)
    shown.ready = True


def _context() -> SSL.Context:
    """A context of one's own with the options of all; mitmproxy's are shared by connections."""
    options = ctx.options
    make = net_tls.create_proxy_server_context.__wrapped__
    context = make(
        method=net_tls.Method.TLS_CLIENT_METHOD,
        min_version=net_tls.Version[options.tls_version_server_min],
        max_version=net_tls.Version[options.tls_version_server_max],
        cipher_list=None,
        ecdh_curve=net_tls.get_curve(options.tls_ecdh_curve_server),
        verify=net_tls.Verify.VERIFY_PEER,
        ca_path=options.ssl_verify_upstream_trusted_confdir,
        ca_pemfile=options.ssl_verify_upstream_trusted_ca,
        client_cert=None,
        legacy_server_connect=False,
    )
    # Some servers ask for the certificate of a request only when it is there (RFC 8446, 4.6.2).
    SSL._lib.SSL_CTX_set_post_handshake_auth(context._context, 1)  # type: ignore[attr-defined]
    return context
