"""Finds files with secrets that other users of this machine can read, as the OCI CLI and ssh do for theirs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from keepstep.clouds.oci_config import OciSettings, read_profile
from keepstep.config import Config
from keepstep.doctor.check import Check, ok, warn
from keepstep.doctor.probe import Probe, blocking
from keepstep.jobs.settings import CloudSettings
from keepstep.trust import exposure


def probes(config: Config, oci: Iterable[CloudSettings]) -> Iterator[Probe]:
    """``oci`` are the settings of the jobs that use OCI."""
    yield Probe("exposed", "keepstep.toml", blocking(_configuration, config))
    for settings in oci:
        if settings.oci_auth in (None, "api_key"):
            given = OciSettings(
                auth=settings.oci_auth, profile=settings.oci_profile, config_file=settings.oci_config_file
            )
            yield Probe("exposed", "OCI configuration", blocking(_oci, given), is_needed=False)


def _configuration(config: Config) -> Check:
    if config.exposure:
        return _found("keepstep.toml", config.exposure)
    return ok("exposed", "keepstep.toml", "contains no secrets that others can read")


def _oci(settings: OciSettings) -> list[Check]:
    profile = read_profile(settings)
    places = {profile.path: "the OCI configuration"}
    if key := profile.get("key_file"):
        places[str(Path(key).expanduser())] = "the private key"
    found = [(path, why) for path, what in places.items() if (why := exposure(Path(path), what))]
    if not found:
        return [ok("exposed", profile.path, "only this user can read it and its key")]
    return [_found(path, why) for path, why in found]


def _found(about: str, why: str) -> Check:
    what, _, fix = why.partition(": ")
    return warn("exposed", about, what, fix)
