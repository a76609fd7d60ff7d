"""The identity on OCI for the time of a run."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import cached_property
from importlib import import_module

from keepstep.clock import Clock, SystemClock
from keepstep.clouds.oci_api_key import api_key
from keepstep.clouds.oci_config import OciSettings as OciSettings
from keepstep.clouds.oci_config import ca_bundle, read_profile
from keepstep.clouds.oci_regions import endpoint_of, region_of
from keepstep.clouds.oci_signing import SigningKey
from keepstep.clouds.renewing import Renewing
from keepstep.errors import ConfigError

_PRINCIPALS = {
    "instance_principal": "oci_instance",
    "resource_principal": "oci_resource",
    "oke_workload_identity": "oci_workload",
}
"""The module that gets it, by a function of that name."""
KINDS = ("api_key", "security_token", *_PRINCIPALS)
"""The values of ``auth`` and OCI_CLI_AUTH."""
_EARLY = timedelta(minutes=10)


class OciIdentity:
    """One identity of one of the :data:`KINDS`. Safe for many tasks and event loops."""

    def __init__(self, settings: OciSettings | None = None, *, clock: Clock | None = None) -> None:
        self.settings = settings or OciSettings()
        self._clock = clock or SystemClock()
        self._tenancy = ""
        """Of the principal, once it is known."""

    @cached_property
    def kind(self) -> str:
        """The settings' ``auth``, OCI_CLI_AUTH, or what the configuration and the environment hold.

        A profile with a session token and no user is a ``security_token``; where there is no configuration, the
        platform's OCI_RESOURCE_PRINCIPAL_VERSION makes a ``resource_principal``; else it is an ``api_key``.
        """
        if chosen := self.settings.auth or os.environ.get("OCI_CLI_AUTH"):
            if chosen not in KINDS:
                raise ConfigError(
                    f"unknown way to authenticate on OCI: {chosen}", hint=f"one of {', '.join(KINDS)}"
                )
            return chosen
        profile = read_profile(self.settings)
        if profile.get("security_token_file") and not profile.get("user"):
            return "security_token"
        if profile.absence and not profile.get("user") and os.environ.get("OCI_RESOURCE_PRINCIPAL_VERSION"):
            return "resource_principal"
        return "api_key"

    async def key(self) -> SigningKey:
        """The current key, without a thread hop while it is young.

        Raises :class:`ConfigError` or :class:`Denied`, with what to do next; :class:`Transient` for the network.
        """
        return await self._renewing.get()

    async def refresh(self, stale: SigningKey | None = None) -> SigningKey:
        """A key fetched again, after a service answered 401 to ``stale``.

        Any number of requests that were refused together cause one fetch.
        """
        return await self._renewing.renew(stale)

    async def endpoint(self, service: str, region: str | None = None) -> str:
        """Origin of ``objectstorage``, ``secrets``, ``vaults`` or ``identity``, in the identity's own region."""
        return endpoint_of(service, region or (await self.key()).region)

    @property
    def origin(self) -> str:
        """The region or address that is meant, as far as variables and files say it; else whose region it is."""
        region = read_profile(self.settings).region(self.settings)
        return os.environ.get("OCI_ENDPOINT_URL") or region or self.kind

    @property
    def ca_bundle(self) -> str | None:
        """Path of the CA bundle for OCI; None means the system's."""
        return ca_bundle(self.settings)

    @property
    def grantee(self) -> str:
        """Who a policy statement must name for this identity, as far as can be known."""
        if self.kind in ("api_key", "security_token"):
            return "group <your group>"
        if self.kind == "oke_workload_identity":
            return "any-user"
        return "dynamic-group <your dynamic group>"

    @cached_property
    def _renewing(self) -> Renewing[SigningKey]:
        what = f"the OCI {self.kind.replace('_', ' ')}"
        if self.kind == "security_token":
            from keepstep.clouds.oci_session import SessionToken

            session = SessionToken(self.settings, self._clock)
            return Renewing(
                session.fetch, what=what, early=_EARLY, is_outdated=session.is_outdated, clock=self._clock
            )
        return Renewing(self._fetch, what=what, early=_EARLY, clock=self._clock)

    def _fetch(self, force: bool) -> SigningKey:
        if module := _PRINCIPALS.get(self.kind):
            get: Callable[[OciSettings], SigningKey] = getattr(
                import_module(f"keepstep.clouds.{module}"), self.kind
            )
            return self._placed(get(self.settings))
        return api_key(read_profile(self.settings), self.settings)

    def _placed(self, key: SigningKey) -> SigningKey:
        """A principal's key, in the region that is meant; it stays in the tenancy that it began in."""
        if self._tenancy and key.tenancy != self._tenancy:
            raise ConfigError(
                f"the OCI {self.kind.replace('_', ' ')} has come to belong to another tenancy in mid-run",
                hint="start the run again if that is meant",
            )
        self._tenancy = key.tenancy
        region = self.settings.region or os.environ.get("OCI_CLI_REGION", "").strip() or key.region
        return replace(key, region=region_of(region))
