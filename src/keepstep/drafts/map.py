"""From a map.csv of oci-secretsync."""

from __future__ import annotations

from pathlib import Path

from keepstep.drafts.draft import Draft
from keepstep.errors import ConfigError
from keepstep.secrets.map import first_of, read_map

JOB = "secrets"


def draft_of_map(path: Path) -> Draft:
    """One job that delivers what the map says, at the times of oci-secretsync's timer.

    Raises :class:`ConfigError` for a map that cannot be read, and for one with lines that make no sense.
    """
    found = read_map(path)
    if found.mistakes:
        raise first_of(found.mistakes)
    if not found.rows:
        raise ConfigError(f"{path} names no secret", hint="each line is: ocid,path,mode,container,signal")
    draft = Draft(str(path))
    vaults = {row.address.cloud for row in found.rows}
    told = sum(row.notice is not None for row in found.rows)
    count = "1 secret" if len(found.rows) == 1 else f"{len(found.rows)} secrets"
    if "oci" in vaults:
        draft.example(
            "On a machine of OCI the instance principal is used where nothing else is said, as oci-secretsync did.",
            ["[identity.oci]", 'auth = "instance_principal"'],
        )
    draft.table(
        "job", JOB, comment=f"{count} into files; {told} of them with a signal to a container (docs/secrets.md)."
    )
    draft.set("kind", "secrets")
    draft.set("map", str(path.absolute()), "read again by every run", called="--from-map")
    draft.set("schedule", "0 */6 * * *", "OnUnitActiveSec=6h")
    draft.set("jitter", "5m", "RandomizedDelaySec=5m")
    draft.set("startup", True, "files in memory are gone after a boot")
    draft.off('max_stale = "24h"  # while a vault is away a file may be this old')
    draft.steps.append(
        "Disable the old timer, so that one of them delivers: systemctl disable --now oci-secretsync.timer"
    )
    return draft
