"""What every configured job has, whatever its kind: a name, identities, a schedule, limits."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from keepstep.jobs.kinds import KINDS
from keepstep.jobs.settings import CloudSettings, settings_of

if TYPE_CHECKING:
    from keepstep.config import Config, RotateJob, SecretsJob, SyncJob
    from keepstep.monitoring.conditions import Watch
    from keepstep.schedules.schedule import Schedule
    from keepstep.schedules.scheduler import Timing
    from keepstep.vaults.address import SecretAddress

PARAMS_NAME = "KEEPSTEP_PARAMS_NAME"
"""Variable that tells a run what its user calls the job's ``params``."""


@dataclass(frozen=True, kw_only=True)
class ResolvedJob(ABC):
    """One job and the meaning of its settings, the same for all callers.

    Accessing an invalid setting raises :class:`ConfigError`; the others still work.
    """

    name: str
    job: SyncJob | SecretsJob | RotateJob
    """The job as configured."""
    config: Config
    is_recorded: bool = True
    """False if its runs are not recorded: jobs from variables, and bare maps."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Variable names of the settings, by key."""

    @property
    @abstractmethod
    def settings(self) -> CloudSettings:
        """The identities that it uses."""

    @property
    @abstractmethod
    def clouds(self) -> set[str]:
        """The clouds that it uses: ``aws``, ``oci`` or both."""

    @abstractmethod
    def secrets(self) -> Iterator[SecretAddress]:
        """The secrets that it names, in order. An invalid setting is skipped: :meth:`check` reports it."""

    @abstractmethod
    def check(self) -> None:
        """Raises :class:`Error` for what a run would refuse. Makes no request."""

    @property
    def kind(self) -> str:
        return self.job.kind

    @property
    def words(self) -> tuple[str, ...]:
        """The subcommand that runs it."""
        return KINDS[self.kind].words

    @cached_property
    def identities(self) -> CloudSettings:
        """Its own identities, or those of the file."""
        return settings_of(self.job.identity or self.config.identity)

    @cached_property
    def schedule(self) -> Schedule | None:
        """Its schedule; None if it runs only on demand."""
        from keepstep.schedules.schedule import parse_schedule, zone_of

        if self.job.schedule is None:
            return None
        return parse_schedule(self.job.schedule, zone_of(self.job.timezone) if self.job.timezone else None)

    @property
    def timing(self) -> Timing:
        """Its timing for a scheduler."""
        from keepstep.schedules.scheduler import Timing

        return Timing(
            kind=self.kind,
            schedule=self.schedule,
            jitter=self.job.jitter or timedelta(0),
            makes_up=self.job.missed == "once",
            at_startup=self.job.startup,
        )

    @property
    def watch(self) -> Watch:
        """Its limits for alerts."""
        from keepstep.monitoring.conditions import Watch

        return Watch(
            job=self.name,
            kind=self.kind,
            schedule=self.schedule,
            success_within=self.job.success_within,
            stale_after=getattr(self.job, "stale_after", None),
            pending_after=self.config.alerts.pending_after,
            has_audit=bool(getattr(self.job, "audit", None)),
        )

    def called(self, key: str) -> str:
        """The user's name of a setting."""
        if key == "params" and (name := os.environ.get(PARAMS_NAME)):
            return name
        return self.variables.get(key, f"job.{self.name}.{key}")
