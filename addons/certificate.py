"""Hands out the certificate (never the key) of the authority that agents have to trust."""

import logging
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, pkcs12
from mitmproxy import ctx
from mitmproxy.certs import CertStore

from interlock.settings import Settings

log = logging.getLogger(__name__)

CA_FILE = "interlock-ca.pem"
JAVA_TRUST_STORE = "interlock-ca.p12"


def export_ca(settings: Settings) -> None:
    """Write the CA certificate of the running proxy where agents and `interlock env` look."""
    store: CertStore = ctx.master.addons.get("tlsconfig").certstore
    write_certificate(store.default_ca.to_cryptography(), settings)


def create_ca(settings: Settings) -> None:
    """Create the authority in the home, as the proxy would at its first start."""
    settings.ca.mkdir(mode=0o700, parents=True, exist_ok=True)
    store = CertStore.from_store(settings.ca, "mitmproxy", 2048)
    write_certificate(store.default_ca.to_cryptography(), settings)


def write_certificate(certificate: x509.Certificate, settings: Settings) -> None:
    """Write PEM and a trust store for Java, and the PEM to `certs/` of a checkout."""
    pem = certificate.public_bytes(Encoding.PEM)
    java = pkcs12.serialize_java_truststore(
        [pkcs12.PKCS12Certificate(certificate, b"interlock")], NoEncryption()
    )
    settings.ca.mkdir(mode=0o700, parents=True, exist_ok=True)
    (settings.ca / CA_FILE).write_bytes(pem)
    (settings.ca / JAVA_TRUST_STORE).write_bytes(java)
    checkout = Path(__file__).resolve().parent.parent / "certs"
    if (checkout / "README.md").is_file() and settings.is_default_home:
        (checkout / CA_FILE).write_bytes(pem)
