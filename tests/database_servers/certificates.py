"""A certificate authority for tests, and server certificates that are right, or wrong in one way."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Identity:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def certificate_pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def write(self, folder: Path, *, mode: int = 0o600) -> tuple[Path, Path]:
        """Files with the certificate and the key."""
        certificate, key = folder / "server.crt", folder / "server.key"
        certificate.write_bytes(self.certificate_pem)
        key.touch(mode)
        key.write_bytes(self.key_pem)
        return certificate, key


class Authority:
    """Issues certificates to servers."""

    def __init__(self, name: str = "keepstep tests") -> None:
        self._name = _named(name)

    @cached_property
    def identity(self) -> Identity:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(self._name, self._name, key)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        usage = x509.KeyUsage(
            digital_signature=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        builder = builder.add_extension(usage, critical=True)
        return Identity(builder.sign(key, hashes.SHA256()), key)

    def issue(self, *names: str) -> Identity:
        """A certificate for ``localhost``, and not for its address, or for other names."""
        names = names or ("localhost",)
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_named(names[0]), self._name, key)
        alternatives = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
        builder = builder.add_extension(alternatives, critical=False)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        return Identity(builder.sign(self.identity.key, hashes.SHA256()), key)

    def write(self, path: Path) -> Path:
        """A file with the authority's own certificate: what clients are given as ``ca``."""
        path.write_bytes(self.identity.certificate_pem)
        return path


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    begin = datetime.now(UTC) - timedelta(days=1)
    return (
        x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=30))
    )
