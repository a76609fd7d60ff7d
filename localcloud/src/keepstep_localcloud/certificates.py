"""The certificates that an instance proves itself with: a root, an intermediate and a leaf, made and checked.

Source: ``oci.auth.auth_utils`` (the tenancy stands in the leaf's subject as ``opc-tenant:`` or ``opc-identity:``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

VALIDITY = timedelta(days=3650)


def make_chain(leaf_key: RSAPublicKey, units: Sequence[str]) -> tuple[bytes, bytes, bytes]:
    """Root, intermediate and leaf, each as PEM. ``units`` become the organizational units of the leaf's subject.

    The keys of root and intermediate are thrown away: nothing else is ever to be issued.
    """
    root_key, middle_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root_name, middle_name = _name("localcloud root"), _name("localcloud PKISVC Identity Intermediate")
    leaf_name = _name("localcloud instance", units)
    root = _issue(root_name, root_key.public_key(), root_name, root_key, is_ca=True)
    middle = _issue(middle_name, middle_key.public_key(), root_name, root_key, is_ca=True)
    leaf = _issue(leaf_name, leaf_key, middle_name, middle_key, is_ca=False)
    return _pem(root), _pem(middle), _pem(leaf)


def _name(common: str, units: Sequence[str] = ()) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit) for unit in units]
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common), *attributes])


def _issue(
    subject: x509.Name,
    key: RSAPublicKey | ec.EllipticCurvePublicKey,
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePrivateKey,
    *,
    is_ca: bool,
) -> x509.Certificate:
    begin = datetime.now(UTC) - timedelta(days=1)
    builder = x509.CertificateBuilder(issuer_name=issuer, subject_name=subject, public_key=key)
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(begin).not_valid_after(begin + VALIDITY)
    builder = builder.add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
    return builder.sign(issuer_key, hashes.SHA256())


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def is_trusted(
    leaf: x509.Certificate,
    intermediates: Iterable[x509.Certificate],
    roots: Iterable[x509.Certificate],
    now: datetime,
) -> bool:
    """Whether an unbroken chain of valid certificates leads from the leaf to one of the roots."""
    current, rest, anchors = leaf, list(intermediates), list(roots)
    while _is_valid(current, now):
        if any(_issued(root, current) and _is_valid(root, now) for root in anchors):
            return True
        issuer = next((one for one in rest if _issued(one, current)), None)
        if issuer is None:
            return False
        rest.remove(issuer)
        current = issuer
    return False


def _is_valid(certificate: x509.Certificate, now: datetime) -> bool:
    return certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc


def _issued(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        is_ca = issuer.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        certificate.verify_directly_issued_by(issuer)
    except (x509.ExtensionNotFound, InvalidSignature, ValueError, TypeError):
        return False
    return is_ca


def subject_facts(leaf: x509.Certificate) -> dict[str, str]:
    """The ``opc-name:value`` pairs in the subject, such as ``{"opc-tenant": "ocid1.tenancy...", ...}``."""
    values = (str(attribute.value) for attribute in leaf.subject)
    return dict(value.split(":", 1) for value in values if value.startswith("opc-") and ":" in value)
