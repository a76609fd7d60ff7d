"""Session tokens of ``oci session authenticate``: read again when they change, refreshed before they end.

Source: ``oci_cli/cli_session.py`` (``oci session refresh``), for the call and for the file.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from dataclasses import replace
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from keepstep.clock import Clock
from keepstep.clouds.http import HttpPool, Response, TooLarge
from keepstep.clouds.oci_api_key import private_key
from keepstep.clouds.oci_config import CA_SETTING, OciProfile, OciSettings, ca_bundle, read_profile
from keepstep.clouds.oci_keys import read_file
from keepstep.clouds.oci_regions import endpoint_of
from keepstep.clouds.oci_signing import SigningKey, sign
from keepstep.clouds.oci_token import expiry, token_of, write_token
from keepstep.errors import ConfigError, Error, Transient

log = logging.getLogger(__name__)

EARLY = timedelta(minutes=10)
"""Life left at which a token is refreshed."""
_TIMEOUT = 20.0
"""Seconds for the one call."""
_MOST = 256 * 1024
"""Bytes of its answer. Tokens have a few thousand."""


class SessionToken:
    """The token file of a profile, and the key next to it. For one thread at a time."""

    def __init__(self, settings: OciSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._seen: tuple[str, tuple[int, ...]] | None = None
        """Path and state of the token file when it was read."""
        self._text = ""
        """What the file held."""
        self._used = ""
        """The token that was given out."""
        self._newer: dict[str, str] = {}
        """The refreshed token by the file's, where the file cannot be written."""

    def fetch(self, force: bool) -> SigningKey:
        """The key as the files are now; a token that ends soon, or that a service refused, is refreshed first.

        Raises :class:`ConfigError` when the session is over; :class:`Transient` when a refused token cannot be
        refreshed now. Without a refusal the token serves to its end, whatever comes of the refresh.
        """
        profile = read_profile(self._settings)
        path = profile.file("security_token_file")
        self._seen = (path, _state(path))
        key, ends = self._key(profile, path)
        was_refused = force and token_of(key) == self._used
        self._used = token_of(key)
        if ends <= self._clock.now():
            raise ConfigError(
                f"the OCI session of the profile {profile.name} ended at {ends:%Y-%m-%d %H:%M:%S} UTC",
                hint=_again(profile),
            )
        if was_refused or ends - self._clock.now() <= EARLY:
            key = self._refreshed(profile, path, key, is_needed=was_refused)
        return key

    def is_outdated(self, key: SigningKey) -> bool:
        """Whether somebody has written the token file since it was read (``oci session refresh`` does)."""
        return self._seen is not None and _state(self._seen[0]) != self._seen[1]

    def _key(self, profile: OciProfile, path: str) -> tuple[SigningKey, datetime]:
        self._text = read_file(path, "the session token", hint=_again(profile)).decode(errors="replace").strip()
        token = self._newer.get(self._text, self._text)
        ends = expiry(token, path)
        tenancy, region = profile.get("tenancy"), profile.region(self._settings)
        return SigningKey(f"ST${token}", private_key(profile), tenancy, region, ends), ends

    def _refreshed(self, profile: OciProfile, path: str, key: SigningKey, *, is_needed: bool) -> SigningKey:
        try:
            token = self._exchange(profile, key)
            ends = expiry(token, "the answer to the refresh")
        except Error as exc:
            if is_needed:
                raise
            log.warning("%s; it ends at %s", exc, key.expires_at)
            return key
        try:
            write_token(path, token)
        except OSError as exc:
            log.warning("the refreshed session token is not kept in %s: %s", path, exc.strerror)
            self._newer = {self._text: token}
        self._seen, self._used = (path, _state(path)), token
        return replace(key, key_id=f"ST${token}", expires_at=ends)

    def _exchange(self, profile: OciProfile, key: SigningKey) -> str:
        """``POST /v1/authentication/refresh``, signed with the token that it replaces."""
        url = endpoint_of("auth", key.region) + "/v1/authentication/refresh"
        parts = urlsplit(url)
        body = json.dumps({"currentToken": token_of(key)}).encode()
        headers = [("host", parts.netloc), *sign("POST", parts.netloc, parts.path, body, key, self._clock.now())]
        try:
            answer = asyncio.run(_post(url, headers, body, ca_bundle(self._settings)))
        except Transient as exc:
            raise Transient(f"the OCI session could not be refreshed: {exc}", hint=exc.hint) from exc
        if answer.status == 401:
            raise ConfigError(
                f"the OCI session of the profile {profile.name} can be refreshed no more", hint=_again(profile)
            )
        if answer.status >= 300:
            raise Transient(f"the OCI session could not be refreshed: {parts.netloc} answered {answer.status}")
        try:
            token = json.loads(answer.document)["token"]
        except (ValueError, TypeError, LookupError, RecursionError):
            token = None
        if not isinstance(token, str):
            raise Transient(f"the OCI session could not be refreshed: {parts.netloc} answered without a token")
        return token


async def _post(url: str, headers: list[tuple[str, str]], body: bytes, bundle: str | None) -> Response:
    parts = urlsplit(url)
    pool = HttpPool(f"{parts.scheme}://{parts.netloc}", ca_bundle=bundle, ca_setting=CA_SETTING)
    try:
        async with asyncio.timeout(_TIMEOUT):
            given = [("accept-encoding", "identity"), *headers]
            return await pool.request("POST", parts.path, given, body, most=_MOST)
    except TooLarge as exc:
        raise Transient(f"{parts.netloc} answered with more than any token needs") from exc
    except TimeoutError as exc:
        raise Transient(f"{parts.netloc} did not answer within {_TIMEOUT:g} s") from exc
    finally:
        await pool.close()


def _again(profile: OciProfile) -> str:
    return f"run: oci session authenticate --profile-name {profile.name}"


def _state(path: str) -> tuple[int, ...]:
    try:
        found = os.stat(path)
    except OSError:
        return ()
    return (found.st_ino, found.st_size, found.st_mtime_ns)
