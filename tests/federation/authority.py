"""An authority for client certificates: issues, revokes, and publishes its list."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = timedelta(days=1)


@dataclass
class Authority:
    """A root; `folder` takes what it issues, as PEM files."""

    folder: Path
    name: str = "clients"
    key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        use = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        builder = self._builder(self.name, self.key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(True, 1), critical=True)
        self.root = builder.add_extension(use, critical=True).sign(self.key, hashes.SHA256())
        self.ca = self.folder / f"{self.name}-ca.pem"
        self.ca.write_bytes(self.root.public_bytes(serialization.Encoding.PEM))
        self.crl = self.folder / f"{self.name}-crl.pem"
        self.publish()

    def issue(
        self,
        *uris: str,
        use: x509.ObjectIdentifier = ExtendedKeyUsageOID.CLIENT_AUTH,
        begins: timedelta = -DAY,
        ends: timedelta = DAY,
    ) -> tuple[Path, x509.Certificate]:
        """A certificate with these URI names, and the file with it and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder("bot", key.public_key(), begins, ends)
        builder = builder.add_extension(x509.ExtendedKeyUsage([use]), critical=False)
        if uris:
            names = [x509.UniformResourceIdentifier(uri) for uri in uris]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        made = builder.sign(self.key, hashes.SHA256())
        file = self.folder / f"{made.serial_number}.pem"
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + made.public_bytes(serialization.Encoding.PEM)
        )
        return file, made

    def publish(self, *revoked: x509.Certificate, ends: timedelta = DAY) -> None:
        """Write the list of what is revoked."""
        now = datetime.now(UTC)
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.root.subject)
        builder = builder.last_update(now - 2 * DAY).next_update(now + ends)
        for certificate in revoked:
            one = x509.RevokedCertificateBuilder().serial_number(certificate.serial_number)
            builder = builder.add_revoked_certificate(one.revocation_date(now).build())
        made = builder.sign(self.key, hashes.SHA256())
        new = self.crl.with_suffix(".new")
        new.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        new.replace(self.crl)

    def _builder(
        self,
        name: str,
        public: ec.EllipticCurvePublicKey,
        begins: timedelta = -DAY,
        ends: timedelta = DAY,
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        own = x509.SubjectKeyIdentifier.from_public_key(self.key.public_key())
        authority = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)
        issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.name)])
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(issuer)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + begins)
            .not_valid_after(now + ends)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(authority, critical=False)
        )
