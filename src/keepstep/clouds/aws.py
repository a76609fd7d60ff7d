"""The identity on AWS for the time of a run."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from keepstep.clock import Clock
from keepstep.clouds.aws_chain import AwsSettings as AwsSettings
from keepstep.clouds.aws_chain import credentials_of, open_session, profile_of
from keepstep.clouds.aws_config import AwsConfig
from keepstep.clouds.aws_errors import translated
from keepstep.clouds.aws_profile import AwsProfile
from keepstep.clouds.renewing import Renewing
from keepstep.clouds.sigv4 import AwsCredentials
from keepstep.secret import Secret

_EARLY = timedelta(minutes=15)
"""botocore's advisory refresh window; asking it any earlier changes nothing."""


class AwsIdentity:
    """One identity. Safe for many tasks and event loops; botocore is loaded when it is needed.

    Credentials come from botocore's own chain, in its order: environment, profile (``source_profile``,
    ``credential_process``, SSO, web identity), container, instance metadata; then the roles of the settings. Access
    keys that stand in variables or in the profile itself are taken from there without it.
    """

    def __init__(self, settings: AwsSettings | None = None, *, clock: Clock | None = None) -> None:
        self.settings = settings or AwsSettings()
        self.config = AwsConfig(self.settings)
        self._renewing = Renewing(self._resolve, what="AWS credentials", early=_EARLY, clock=clock)
        self._session: Any = None
        self._source: Any = None
        self._current: AwsCredentials | None = None

    async def credentials(self) -> AwsCredentials | None:
        """Current credentials, without a thread hop while they are young; None when requests are not signed.

        Raises :class:`ConfigError` or :class:`Denied`, with what to do next; :class:`Transient` for the network.
        """
        return None if self.settings.no_sign_request else await self._renewing.get()

    async def refresh(self, stale: AwsCredentials | None = None) -> AwsCredentials | None:
        """Resolves everything again, after a service refused ``stale`` as expired or unknown.

        Any number of requests that were refused together cause one resolution.
        """
        return None if self.settings.no_sign_request else await self._renewing.renew(stale)

    async def botocore_session(self) -> Any:
        """For boto3's clients: a session with these credentials, which refresh themselves there as well."""
        if self.settings.no_sign_request:
            return open_session(self.settings)
        await self._renewing.get()
        if self._session is None:
            self._session = await asyncio.to_thread(self._open)
        return self._session

    def _open(self) -> Any:
        session = open_session(self.settings)
        self._source = credentials_of(session, self.settings)
        return session

    def _resolve(self, force: bool) -> AwsCredentials:
        if force:
            self._session = self._source = None
        found = self._plain(anew=force) or self._of_chain()
        if force or self._current is None or found != self._current:
            self._current = found
        return self._current

    def _plain(self, *, anew: bool) -> AwsCredentials | None:
        """Keys that need no chain of sources, and no botocore. ``anew``: files may have changed."""
        if self.settings.role_arn:
            return None
        profile = AwsProfile(self.settings.profile) if anew else self.config.profile
        return profile.plain_credentials()

    def _of_chain(self) -> AwsCredentials:
        if self._source is None:
            self._session = self._open()
        with translated(profile_of(self._session)):
            frozen = self._source.get_frozen_credentials()
        return AwsCredentials(
            access_key=frozen.access_key,
            secret_key=Secret(frozen.secret_key),
            token=Secret(frozen.token) if frozen.token else None,
            # botocore has no public name for it
            expires_at=getattr(self._source, "_expiry_time", None),
            method=self._source.method,
        )
