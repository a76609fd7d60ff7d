"""Who exists in the local OCI: one tenancy with a user, an instance and a function, made once and kept.

Everything lies under one folder, so the same folder is the same tenancy. The folder appears whole or not at all.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
import shutil
import string
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from keepstep_localcloud.certificates import make_chain

REGION, REGION_KEY = "us-ashburn-1", "iad"
KEYS = ("api_key", "token_key", "session_key", "function_key", "instance_key")
"""Private keys: the user's, the token issuer's, the CLI session's, the function's, the instance's (of its leaf)."""


@dataclass(frozen=True)
class Facts:
    """The names of what exists."""

    tenancy: str
    user: str
    instance: str
    function: str
    compartment: str
    namespace: str
    """The tenancy's Object Storage namespace."""
    region: str
    """The home region."""

    @classmethod
    def invented(cls) -> Facts:
        """New names of the right shape."""
        letters = string.ascii_lowercase + string.digits
        return cls(
            tenancy=new_ocid("tenancy"),
            user=new_ocid("user"),
            instance=new_ocid("instance", REGION_KEY),
            function=new_ocid("fnfunc", REGION),
            compartment=new_ocid("compartment"),
            namespace="ax" + "".join(secrets.choice(letters) for _ in range(10)),
            region=REGION,
        )


def new_ocid(kind: str, region: str = "") -> str:
    """An identifier such as ``ocid1.user.oc1..aaaaaaaa...``."""
    unique = base64.b32encode(secrets.token_bytes(35)).decode().lower()[:52]
    return f"ocid1.{kind}.oc1.{region}.aaaaaaaa{unique}"


class Identity:
    """The tenancy under ``folder``, made when the folder is not there yet."""

    def __init__(self, folder: Path) -> None:
        if not folder.exists():
            _make(folder)
        self.folder = folder
        self.facts = Facts(**json.loads((folder / "facts.json").read_text()))

    def key_file(self, name: str) -> Path:
        """The PEM file of one of :data:`KEYS`."""
        return self.folder / f"{name}.pem"

    def key(self, name: str) -> rsa.RSAPrivateKey:
        """One of :data:`KEYS`."""
        pem = self.key_file(name).read_bytes()
        # Checking that the primes are prime takes 0.1 s a key, and these are our own.
        key = serialization.load_pem_private_key(pem, None, unsafe_skip_rsa_key_validation=True)
        assert isinstance(key, rsa.RSAPrivateKey)
        return key

    def certificate(self, name: str) -> bytes:
        """``root``, ``intermediate`` or ``leaf``, as PEM."""
        return (self.folder / f"{name}.crt").read_bytes()

    @cached_property
    def fingerprint(self) -> str:
        """The API key's: MD5 of the DER public key in colon hex ("Required Keys and OCIDs")."""
        return hashlib.md5(public_der(self.key("api_key")), usedforsecurity=False).digest().hex(":")


def public_der(key: rsa.RSAPrivateKey) -> bytes:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.DER, form)


def _make(folder: Path) -> None:
    new = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(mode=0o700, parents=True)
    facts = Facts.invented()
    keys = {name: rsa.generate_private_key(public_exponent=65537, key_size=2048) for name in KEYS}
    for name, key in keys.items():
        write_private(new / f"{name}.pem", _private_pem(key))
    chain = make_chain(keys["instance_key"].public_key(), _subject(facts))
    for name, certificate in zip(("root", "intermediate", "leaf"), chain, strict=True):
        write_private(new / f"{name}.crt", certificate)
    write_private(new / "facts.json", json.dumps(asdict(facts), indent=1).encode())
    new.rename(folder)


def _subject(facts: Facts) -> list[str]:
    return [
        "opc-certtype:instance",
        f"opc-compartment:{facts.compartment}",
        f"opc-instance:{facts.instance}",
        f"opc-tenant:{facts.tenancy}",
    ]


def _private_pem(key: rsa.RSAPrivateKey) -> bytes:
    # The SDKs read both PEM forms; oci's own documentation shows this one.
    form = serialization.PrivateFormat.TraditionalOpenSSL
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def write_private(path: Path, content: bytes) -> None:
    """Puts a file in place whole, readable by its owner alone from its first moment."""
    new = path.with_name(f"{path.name}.new")
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
    new.replace(path)
