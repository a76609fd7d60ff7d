"""Instance principals: the compute instance that this runs on, by the certificate in its metadata.

Source: "Calling Services from an Instance" and "Getting Instance Metadata" of the OCI documentation, and
``oci.auth.signers.InstancePrincipalsSecurityTokenSigner`` of the SDK, whose requests the tests compare with.
"""

from __future__ import annotations

import asyncio
import base64
import os
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import Encoding

from keepstep.clouds.oci_asking import Asker, PrincipalSource, fetched
from keepstep.clouds.oci_config import OciSettings, ca_bundle
from keepstep.clouds.oci_keys import bare, load_private_key, new_session_key
from keepstep.clouds.oci_regions import endpoint_of, is_region, region_of
from keepstep.clouds.oci_signing import SigningKey
from keepstep.clouds.oci_token import session_key_of
from keepstep.errors import ConfigError, Transient

NAME = "instance principal"
_IPV4, _IPV6 = "169.254.169.254", "fd00:c1::a9fe:a9fe"
_ON_OCI_ONLY = (
    "instance principals exist on OCI compute instances only; elsewhere use an API key (oci setup config). "
    "On an instance the metadata service may be out of reach inside a container"
)
_REFUSED = (
    "check the clock of this machine (5 minutes are allowed) and the region; what it may do is decided later, "
    "by a dynamic group that matches it (rule: instance.compartment.id = '<compartment OCID>') and a policy such "
    "as: allow dynamic-group <name> to read objects in compartment <compartment>"
)
_PAUSES = (0.5, 1.0)
"""Seconds before certificate and key are read again because one of them had just been replaced."""
_OCID = re.compile(r"[\w.:-]{1,255}", re.ASCII)


@dataclass(frozen=True, slots=True)
class _Leaf:
    """What the instance proves itself with."""

    certificate: str
    """DER in base64."""
    fingerprint: str
    tenancy: str
    private_key: RSAPrivateKey = field(repr=False)


def instance_principal(settings: OciSettings) -> SigningKey:
    """A token for this instance, and the session key that it is bound to, both new. Blocks.

    The federation endpoint is the one of the instance's region, or OCI_CLI_FEDERATION_ENDPOINT. Raises what
    :class:`.Asker` raises, and :class:`Corrupt` for an answer that is none.
    """
    return fetched(asker(settings), federated)


def asker(settings: OciSettings, name: str = NAME) -> Asker:
    return Asker(name, bundle=ca_bundle(settings), refused=_REFUSED, absent=_ON_OCI_ONLY)


async def federated(asker: Asker) -> SigningKey:
    """As :func:`instance_principal`, within an event loop; its region is the instance's own."""
    metadata = Metadata(asker)
    leaf = await _leaf(metadata)
    intermediates = _certificates(await metadata.get("identity/intermediate.pem"), "intermediate.pem")
    region = await metadata.region()
    session = new_session_key()
    body = {
        "certificate": leaf.certificate,
        "publicKey": bare(session.public_key()),
        "intermediateCertificates": [_bare(each) for each in intermediates],
    }
    signer = SigningKey(f"{leaf.tenancy}/fed-x509/{leaf.fingerprint}", leaf.private_key)
    url = os.environ.get("OCI_CLI_FEDERATION_ENDPOINT") or endpoint_of("auth", region) + "/v1/x509"
    answer, _ = await asker.document("POST", url, signer, body, is_host_signed=False)
    return session_key_of(answer, session, asker.name, region=region, tenancy=leaf.tenancy)


class Metadata:
    """The instance metadata service, version 2, which hands out a private key: never asked through a proxy."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker
        self._base = _metadata_base()

    async def get(self, path: str) -> bytes:
        """One fact, without the blanks around it."""
        headers = [("authorization", "Bearer Oracle")]
        response = await self._asker.ask(
            "GET", f"{self._base}/{path}", lambda: headers, place=PrincipalSource.METADATA
        )
        return bytes(response.body).strip()

    async def region(self) -> str:
        """Full name. It becomes part of the host that the instance proves itself to."""
        text = (await self.get("instance/region")).decode("utf-8", "replace")
        region = region_of(text)
        if not is_region(region):
            raise ConfigError(
                f"the metadata service names a region that is none: {region[:80]!a}",
                hint="a region that keepstep does not know is described in OCI_REGION_METADATA",
            )
        return region

    async def instance(self) -> str:
        """OCID of the instance."""
        return _ocid((await self.get("instance/id")).decode("utf-8", "replace").lower(), "an instance's OCID")


def _metadata_base() -> str:
    if given := os.environ.get("OCI_METADATA_BASE_URL", "").strip():
        return given.rstrip("/")
    return f"http://{_IPV4}/opc/v2" if _has_route(_IPV4) else f"http://[{_IPV6}]/opc/v2"


def _has_route(address: str) -> bool:
    """Whether the kernel would know where to send a packet; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((address, 80))
        except OSError:
            return False
    return True


async def _leaf(metadata: Metadata) -> _Leaf:
    """Certificate and private key. They are replaced together, but are read one after the other."""
    for pause in (*_PAUSES, None):
        certificate = _certificates(await metadata.get("identity/cert.pem"), "cert.pem")[0]
        pem = await metadata.get("identity/key.pem")
        private_key = load_private_key(pem, None, name="of the instance (identity/key.pem)")
        if _public_key(certificate) == private_key.public_key():
            return _Leaf(_bare(certificate), _fingerprint(certificate), _tenancy(certificate), private_key)
        if pause is not None:
            await asyncio.sleep(pause)
    raise Transient("cannot get the instance principal: its certificate and its private key do not belong together")


def _certificates(pem: bytes, name: str) -> list[x509.Certificate]:
    try:
        if found := x509.load_pem_x509_certificates(pem):
            return found
    except ValueError:
        pass
    raise ConfigError(f"no instance principal: identity/{name} of the metadata service is not a certificate")


def _public_key(certificate: x509.Certificate) -> object:
    try:
        return certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return None


def _fingerprint(certificate: x509.Certificate) -> str:
    """SHA-1, by which the service finds the certificate in the request; the signature is what proves anything."""
    return certificate.fingerprint(SHA1()).hex(":").upper()  # noqa: S303


def _bare(certificate: x509.Certificate) -> str:
    return base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()


def _tenancy(certificate: x509.Certificate) -> str:
    for prefix, value in _facts(certificate):
        if prefix in ("opc-tenant", "opc-identity"):
            return _ocid(value, "a tenancy's OCID")
    raise ConfigError("no instance principal: the instance's certificate names no tenancy", hint=_ON_OCI_ONLY)


def _facts(certificate: x509.Certificate) -> Iterator[tuple[str, str]]:
    """The ``opc-name:value`` pairs in the subject."""
    try:
        values = [attribute.value for attribute in certificate.subject]
    except ValueError:
        return
    for value in values:
        if isinstance(value, str) and ":" in value:
            yield value.partition(":")[0], value.partition(":")[2]


def _ocid(text: str, what: str) -> str:
    if not _OCID.fullmatch(text):
        raise ConfigError(f"no instance principal: what the metadata service gives is not {what}: {text[:80]!a}")
    return text
