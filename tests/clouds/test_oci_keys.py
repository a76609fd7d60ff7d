"""Private keys: what is wrong with one is said, and nothing of it is shown."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import oci.signer
import pytest
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from keepstep.clouds.oci_keys import fingerprint, load_private_key, read_file
from keepstep.errors import ConfigError
from keepstep.secret import Secret

PASS_PHRASE = "pass-phrase-never-to-be-seen"


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, pass_phrase: str = "", *, pkcs8: bool = True) -> bytes:
    form = ser.PrivateFormat.PKCS8 if pkcs8 else ser.PrivateFormat.TraditionalOpenSSL
    encryption = ser.BestAvailableEncryption(pass_phrase.encode()) if pass_phrase else ser.NoEncryption()
    return key.private_bytes(ser.Encoding.PEM, form, encryption)


def public(key: rsa.RSAPrivateKey) -> bytes:
    return key.public_key().public_bytes(ser.Encoding.PEM, ser.PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize("pkcs8", [True, False])
@pytest.mark.parametrize("pass_phrase", ["", PASS_PHRASE])
@pytest.mark.parametrize("after", [b"", b"\nOCI_API_KEY\n", b"  \n\n"])
def test_every_form_that_oracle_writes(
    rsa_key: rsa.RSAPrivateKey, pkcs8: bool, pass_phrase: str, after: bytes
) -> None:
    """Both PEM forms, encrypted or not, with the label that the console and the CLI put below."""
    secret = Secret(pass_phrase) if pass_phrase else None
    loaded = load_private_key(pem(rsa_key, pass_phrase, pkcs8=pkcs8) + after, secret, name="k")
    assert loaded.private_numbers() == rsa_key.private_numbers()


def test_a_pass_phrase_that_is_not_needed(rsa_key: rsa.RSAPrivateKey) -> None:
    """A pass phrase inherited from [DEFAULT] does not harm a key that has none, as in the SDK."""
    loaded = load_private_key(pem(rsa_key), Secret("inherited"), name="k")
    assert loaded.private_numbers() == rsa_key.private_numbers()


def test_fingerprint_is_openssls(rsa_key: rsa.RSAPrivateKey, tmp_path: Path) -> None:
    """The fingerprint is what the documentation's openssl command prints."""
    file = tmp_path / "key.pem"
    file.write_bytes(pem(rsa_key))
    command = f"openssl rsa -pubout -outform DER -in {file} 2>/dev/null | openssl md5 -c"
    printed = subprocess.run(command, shell=True, capture_output=True, text=True, check=True).stdout
    assert printed.split("= ")[1].strip() == fingerprint(rsa_key.public_key())


def damaged(key: rsa.RSAPrivateKey) -> bytes:
    lines = pem(key).splitlines()
    return b"\n".join([*lines[:5], *lines[7:]])


WRONG: list[tuple[str, Callable[[rsa.RSAPrivateKey], bytes], str | None, str, str]] = [
    ("empty", lambda key: b"", None, "is empty", "check whatever wrote it"),
    ("blank", lambda key: b" \n\n", None, "is empty", "-----BEGIN"),
    ("no PEM", lambda key: b"ssh-rsa AAAA", None, "is not PEM", "-----BEGIN"),
    ("escaped", lambda key: b"sk-123\\n456", None, "is not PEM", "real line breaks"),
    ("public", public, None, "is a public one", "key.pem"),
    ("certificate", lambda key: b"-----BEGIN CERTIFICATE-----\nAA\n", None, "is a public one", "key.pem"),
    ("encrypted", lambda key: pem(key, PASS_PHRASE), None, "there is no pass phrase", "OCI_CLI_PASSPHRASE"),
    ("old form", lambda key: pem(key, PASS_PHRASE, pkcs8=False), None, "there is no pass phrase", "pass_phrase"),
    (
        "wrong",
        lambda key: pem(key, PASS_PHRASE),
        "wrong-" + PASS_PHRASE,
        "pass phrase of the private key k is wrong",
        "",
    ),
    ("wrong", lambda key: pem(key, PASS_PHRASE, pkcs8=False), "wrong-" + PASS_PHRASE, "is wrong", ""),
    ("damaged", damaged, None, "is damaged", "-----BEGIN"),
    ("curve", lambda key: pem(ec.generate_private_key(ec.SECP256R1())), None, "is not an RSA key", "RSA"),
]


@pytest.mark.parametrize(("case", "content", "pass_phrase", "message", "hint"), WRONG)
def test_wrong_keys(
    case: str,
    content: Callable[[rsa.RSAPrivateKey], bytes],
    pass_phrase: str | None,
    message: str,
    hint: str,
    rsa_key: rsa.RSAPrivateKey,
) -> None:
    """Each thing that can be wrong with a key has its own message; no part of key or pass phrase is in it."""
    given = content(rsa_key)
    with pytest.raises(ConfigError) as failed:
        load_private_key(given, Secret(pass_phrase) if pass_phrase else None, name="k")
    assert message in failed.value.message
    assert hint in (failed.value.hint or "")
    shown = f"{failed.value!r} {failed.value} {failed.value.hint} {failed.value.__cause__!r}"
    assert PASS_PHRASE not in shown
    assert not any(line.decode() in shown for line in given.splitlines()[1:-1] if line.strip())


def test_what_we_accept_the_sdk_accepts(rsa_key: rsa.RSAPrivateKey) -> None:
    """The SDK loads the same key from the same bytes."""
    content = pem(rsa_key, PASS_PHRASE) + b"OCI_API_KEY\n"
    theirs = oci.signer.load_private_key(content.strip(), PASS_PHRASE)
    assert theirs.private_numbers() == rsa_key.private_numbers()


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """A file that is absent, or no file, is named with the reason."""
    for path, reason in ((tmp_path / "none", "does not exist"), (tmp_path, "cannot be read: Is a directory")):
        with pytest.raises(ConfigError, match=f"the key {path} {reason}") as failed:
            read_file(str(path), "the key", hint="look there")
        assert failed.value.hint == "look there"
