"""API keys: a user's own RSA key, named in the configuration, checked before any request is made with it."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from keepstep.clouds.oci_config import OciProfile, OciSettings, is_silenced
from keepstep.clouds.oci_keys import fingerprint, load_private_key, read_file
from keepstep.clouds.oci_signing import SigningKey
from keepstep.errors import ConfigError
from keepstep.secret import Secret
from keepstep.trust import warn_of_exposure


def api_key(profile: OciProfile, settings: OciSettings) -> SigningKey:
    """The key of the profile. Raises :class:`ConfigError` for everything that is missing or wrong in it."""
    tenancy, user = profile.ocid("tenancy"), profile.ocid("user")
    key = private_key(profile)
    actual, stated = fingerprint(key.public_key()), profile.require("fingerprint").lower()
    if actual != stated:
        raise ConfigError(
            f"the fingerprint {stated} of the profile {profile.name} is not that of its private key, {actual}",
            hint="name the key that was uploaded with that fingerprint, or upload this one's public key "
            "(User settings, API keys) and write its fingerprint into the profile",
        )
    return SigningKey(f"{tenancy}/{user}/{actual}", key, tenancy=tenancy, region=profile.region(settings))


def private_key(profile: OciProfile) -> RSAPrivateKey:
    """``key_content`` or else ``key_file``, with ``pass_phrase`` where it is encrypted."""
    pass_phrase = Secret(profile.get("pass_phrase")) if profile.get("pass_phrase") else None
    if content := profile.get("key_content"):
        return load_private_key(content.encode(), pass_phrase, name="in key_content")
    path = profile.file("key_file")
    if not is_silenced():
        warn_of_exposure(path, "the private key")
    pem = read_file(path, "the private key", hint=f"key_file in the profile {profile.name} names it")
    return load_private_key(pem, pass_phrase, name=path)
