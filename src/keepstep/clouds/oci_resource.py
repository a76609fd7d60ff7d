"""Resource principals: the function, job or other resource that this runs in, by OCI_RESOURCE_PRINCIPAL_*.

The platform says which of the versions it speaks:

* 2.2: token and private key are given, as values or in files that the platform replaces (Functions);
* 2.1, 2.1.1, 2.1.2: a private key of the resource's own is exchanged for a token, in two steps;
* 1.1: the same two steps, signed by the instance principal of the machine;
* 3.0: a principal of one of these versions, the leaf, is exchanged for the one of its parent, and that again for as
  long as there are parents.

Source: ``oci.auth.signers.get_resource_principals_signer`` of the SDK and the classes it chooses from.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from urllib.parse import urlsplit

from keepstep.clouds.http import Response
from keepstep.clouds.oci_asking import Asker, fetched
from keepstep.clouds.oci_config import OciSettings, ca_bundle
from keepstep.clouds.oci_keys import bare, load_private_key, new_session_key, read_file
from keepstep.clouds.oci_regions import DOMAINS, endpoint_of
from keepstep.clouds.oci_signing import HeaderPair, SigningKey
from keepstep.clouds.oci_token import claims_of, session_key_of
from keepstep.errors import ConfigError, Corrupt
from keepstep.secret import Secret

_NAME = "resource principal"
_PREFIX = "OCI_RESOURCE_PRINCIPAL_"
_LEAF = "_FOR_LEAF_RESOURCE"
_BY_KEY = ("2.1", "2.1.1", "2.1.2")
_KNOWN = ("2.2", *_BY_KEY, "1.1", "3.0")
_PLATFORM = "the platform sets it in Functions, Container Instances and so on; elsewhere choose another auth"
_PATHS = {
    "1.1": "/20180711/resourcePrincipalToken/{id}",
    "2.1": "/20180711/resourcePrincipalTokenV2/{id}",
    "2.1.1": "/20180711/resourcePrincipalTokenV2/{id}",
    "2.1.2": "/20180711/resourcePrincipalTokenV212/{id}",
}
_REFUSED = (
    "check the clock of this machine (5 minutes are allowed); what the resource may do is decided later, by a "
    "dynamic group that matches it (rule: resource.compartment.id = '<compartment OCID>') and a policy such as: "
    "allow dynamic-group <name> to read objects in compartment <compartment>"
)
_MOST_PARENTS = 10


class _Variables:
    """The OCI_RESOURCE_PRINCIPAL_* of one resource."""

    def __init__(self, suffix: str = "") -> None:
        self._suffix = suffix

    def name(self, name: str) -> str:
        return f"{_PREFIX}{name}{self._suffix}"

    def get(self, name: str) -> str:
        return os.environ.get(self.name(name), "").strip()

    def require(self, name: str) -> str:
        if value := self.get(name):
            return value
        raise ConfigError(f"no {_NAME}: {self.name(name)} is not set", hint="the platform has to set it")

    def origin(self, name: str) -> str:
        return self.require(name).rstrip("/")

    def content(self, name: str, what: str) -> tuple[str, str]:
        """The value itself, or what is in the file when it is an absolute path; and how errors call it."""
        value = self.require(name)
        if not os.path.isabs(value):
            return value, self.name(name)
        text = read_file(value, what, hint=f"{self.name(name)} names it").decode(errors="replace").strip()
        return text, value

    def private_key(self) -> SigningKey:
        """The resource's own key, without a key id."""
        pem, where = self.content("PRIVATE_PEM", "the private key")
        phrase = "PRIVATE_PEM_PASSPHRASE"
        secret = Secret(self.content(phrase, "the pass phrase")[0]) if self.get(phrase) else None
        key = load_private_key(pem.encode(errors="replace"), secret, name=where, setting=self.name(phrase))
        return SigningKey("", key)


def resource_principal(settings: OciSettings) -> SigningKey:
    """The key of the resource that this runs in. Blocks, except for version 2.2, which asks nobody.

    Raises what :class:`.Asker` raises, and :class:`Corrupt` for an answer that is none.
    """
    version = os.environ.get(f"{_PREFIX}VERSION", "").strip()
    if not version:
        raise ConfigError(f"no {_NAME}: {_PREFIX}VERSION is not set", hint=_PLATFORM)
    asker = Asker(_NAME, bundle=ca_bundle(settings), refused=_REFUSED, absent=_PLATFORM)
    if version == "3.0":
        return fetched(asker, _of_parent)
    variables = _Variables()
    if version == "2.2":
        return _given(variables)
    return fetched(asker, lambda each: _leaf(each, version, variables))


async def _leaf(asker: Asker, version: str, variables: _Variables) -> SigningKey:
    if version == "2.2":
        return _given(variables)
    if version in _BY_KEY:
        return await _by_key(asker, version, variables)
    if version == "1.1":
        return await _by_instance(asker, variables)
    raise ConfigError(
        f"no {_NAME}: {variables.name('VERSION')} is {version[:20]!a}, which keepstep does not know",
        hint=f"one of {', '.join(_KNOWN)}",
    )


def _given(variables: _Variables) -> SigningKey:
    """Version 2.2."""
    token, where = variables.content("RPST", "the session token")
    if (claims := claims_of(token)) is None:
        raise ConfigError(f"{where} holds no session token", hint="a token has three parts with dots between")
    key = variables.private_key().private_key
    return SigningKey(f"ST${token}", key, claims.tenancy, variables.get("REGION"), claims.ends)


async def _by_key(asker: Asker, version: str, variables: _Variables) -> SigningKey:
    """Versions 2.1, 2.1.1 and 2.1.2."""
    resource = variables.require("RESOURCE_ID")
    tenancy = variables.get("TENANCY_ID") if version == "2.1" else variables.require("TENANCY_ID")
    own = variables.private_key().private_key
    who = resource if version == "2.1" else f"{tenancy}/{resource}"
    signer = SigningKey(f"resource/v{version}/{_harmless(who)}", own)
    headers: list[HeaderPair] = []
    path = _PATHS[version]
    if version == "2.1.2":
        path = variables.get("RPT_PATH").removesuffix("{}").removesuffix("/") or path.removesuffix("/{id}")
        path += "/{id}"
        if context := variables.get("SECURITY_CONTEXT"):
            headers = [("security-context", context)]
    url = variables.origin("RPT_ENDPOINT") + path.replace("{id}", resource)
    session = SigningKey("", own, tenancy, variables.get("REGION"))
    key, _ = await _exchanged(asker, url, variables.origin("RPST_ENDPOINT"), signer, session, headers)
    return key


async def _by_instance(asker: Asker, variables: _Variables) -> SigningKey:
    """Version 1.1."""
    from keepstep.clouds.oci_instance import Metadata, federated

    instance = await federated(asker)
    path = variables.get("RPT_PATH") or _PATHS["1.1"]
    resource = variables.get("RPT_ID") or (await Metadata(asker).instance() if "{id}" in path else "")
    url = variables.origin("RPT_ENDPOINT") + path.replace("{id}", resource)
    service = variables.get("RPST_ENDPOINT").rstrip("/") or endpoint_of("auth", instance.region)
    session = SigningKey("", new_session_key(), instance.tenancy, instance.region)
    key, _ = await _exchanged(asker, url, service, instance, session)
    return key


async def _of_parent(asker: Asker) -> SigningKey:
    """Version 3.0."""
    leaf = _Variables(_LEAF)
    service = _Variables("_FOR_PARENT_RESOURCE").origin("RPST_ENDPOINT")
    url = _Variables("_FOR_PARENT_RESOURCE").require("RPT_URL")
    key = await _leaf(asker, leaf.require("VERSION"), leaf)
    seen: set[str] = set()
    while url:
        if url in seen or len(seen) >= _MOST_PARENTS:
            raise ConfigError(f"no {_NAME}: its parents form a circle, or are more than {_MOST_PARENTS}")
        seen.add(url)
        key, response = await _exchanged(asker, url, service, key, key)
        url = _checked(response.headers.get("opc-parent-rpt-url", ""), url)
    return key


async def _exchanged(
    asker: Asker,
    url: str,
    service: str,
    signer: SigningKey,
    session: SigningKey,
    headers: Sequence[HeaderPair] = (),
) -> tuple[SigningKey, Response]:
    """A resource's token from ``url``, exchanged at ``service`` for one that is bound to the key of ``session``."""
    first, response = await asker.document("GET", url, signer, headers=headers)
    tokens = {name: first.text(name) for name in ("resourcePrincipalToken", "servicePrincipalSessionToken")}
    body = {**tokens, "sessionPublicKey": bare(session.private_key.public_key())}
    where = f"{service}/v1/resourcePrincipalSessionToken"
    second, _ = await asker.document("POST", where, signer, body, hidden=tokens.values())
    key = session_key_of(second, session.private_key, asker.name, region=session.region, tenancy=session.tenancy)
    return key, response


def _checked(url: str, before: str) -> str:
    """Where the next parent is, from an answer: at the same place as the one before, or at OCI's own addresses."""
    if not url:
        return ""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        host = ""
    if host and (parts.scheme, parts.netloc) == urlsplit(before)[:2]:
        return url
    domains = {*DOMAINS.values(), os.environ.get("OCI_DEFAULT_REALM") or "oraclecloud.com"}
    if host and parts.scheme == "https" and any(host.endswith(f".{domain}") for domain in domains):
        return url
    raise Corrupt(f"the {_NAME}: the answer leads to a parent that is not at an address of OCI's")


def _harmless(text: str) -> str:
    """A part of a key id, which stands in quotes."""
    if '"' in text:
        raise ConfigError(f"no {_NAME}: {_PREFIX}RESOURCE_ID or TENANCY_ID has a quotation mark in it")
    return text
