"""Checks where secrets are written: the map, the folders and their mounts. Blocks no longer than a stat does."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from keepstep.doctor.check import Check, fail, of_error, ok, unknown
from keepstep.doctor.objects import existing
from keepstep.doctor.probe import Probe, blocking
from keepstep.errors import Error, NotFound
from keepstep.jobs.secrets import ResolvedSecrets
from keepstep.secrets.delivery import FileAttributes, Target
from keepstep.secrets.folders import opened
from keepstep.secrets.memory_fs import is_in_memory
from keepstep.secrets.place import folder_of
from keepstep.text import printable


def probes(job: ResolvedSecrets) -> Iterator[Probe]:
    plan = job.plan
    yield Probe("map", job.name, blocking(_map, job))
    for folder, targets in by_folder(plan.targets).items():
        yield Probe("folder", folder, blocking(_folder, folder, targets))
        yield Probe("tmpfs", folder, blocking(_tmpfs, folder))
    yield Probe("bind-mount", job.name, blocking(_mounts, plan.targets))


def by_folder(targets: list[Target]) -> dict[str, list[Target]]:
    found: dict[str, list[Target]] = {}
    for target in targets:
        found.setdefault(folder_of(target), []).append(target)
    return found


def _map(job: ResolvedSecrets) -> list[Check]:
    wrong = [of_error("map", mistake.where, mistake.error) for mistake in job.plan.mistakes]
    return wrong or [ok("map", job.name, f"{len(job.plan.targets)} files or sets are valid")]


def _folder(folder: str, targets: list[Target]) -> Check:
    attributes: FileAttributes = max(
        (d.attributes for t in targets for d in t.deliveries), key=lambda each: each.folder_mode
    )
    about = printable(folder)
    try:
        with opened(folder, attributes, create=False):
            pass
    except NotFound:
        above = existing(Path(folder))
        if not os.access(above, os.W_OK | os.X_OK):
            return fail(
                "folder",
                about,
                f"is missing, and this user cannot create it in {above}",
                f"install -d -m 0700 {folder}",
            )
        return ok("folder", about, "will be created when needed")
    except Error as error:
        return of_error("folder", about, error)
    if not os.access(folder, os.W_OK | os.X_OK):
        return fail("folder", about, "this user cannot write to it", "run as its owner, or as root")
    return ok("folder", about, "is writable, and nobody else can change it")


def _tmpfs(folder: str) -> Check:
    about = printable(folder)
    descriptor = os.open(existing(Path(folder)), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        answer = is_in_memory(descriptor)
    finally:
        os.close(descriptor)
    if answer is None:
        return unknown("tmpfs", about, "cannot tell which file system it is on")
    if answer:
        return ok("tmpfs", about, "is in memory")
    fix = (
        "deliver to /run/secrets, and systemctl enable --now run-secrets.mount; or "
        f"mount -t tmpfs -o mode=0700,noexec,nosuid,nodev,size=8M tmpfs {folder}"
    )
    return fail("tmpfs", about, "is on a disk, where deleted secrets can be recovered", fix)


def _mounts(targets: list[Target]) -> list[Check]:
    mounted = mount_points()
    wrong = [
        fail(
            "bind-mount",
            printable(delivery.path),
            "is a mount point of its own, so it cannot be replaced",
            f"mount the folder {printable(folder_of(target))} instead of the file",
        )
        for target in targets
        for delivery in target.deliveries
        if delivery.path in mounted
    ]
    return wrong or [ok("bind-mount", "this host", "no single file is mounted")]


def mount_points() -> set[str]:
    """Mount points as in proc(5), with octal escapes decoded."""
    try:
        lines = Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines()
    except OSError:
        return set()
    return {line.split()[4].encode("latin-1", "replace").decode("unicode_escape") for line in lines}
