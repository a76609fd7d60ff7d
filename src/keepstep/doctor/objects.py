"""Checks what a sync needs of its source and target."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

from keepstep.doctor import costs
from keepstep.doctor.buckets import Bucket, bucket_of
from keepstep.doctor.check import Check, fail, ok, unknown
from keepstep.doctor.context import ProbeContext
from keepstep.doctor.policy import Grant, simulated
from keepstep.doctor.probe import Probe, blocking
from keepstep.jobs.sync import ResolvedSync
from keepstep.stores.address import Address


def probes(context: ProbeContext, job: ResolvedSync) -> Iterator[Probe]:
    source, target = job.source, job.target
    yield from _side(context, job, source, "source")
    yield from _side(context, job, target, "target")
    if job.trash:
        yield from _written(context, job, job.trash, "trash-write")
    if job.params.delete and target.kind != "local":
        yield Probe("target-delete", str(target), lambda: _delete(context, job, target), after="target-list")
    if job.is_of_cost_reports:
        oci = context.assembly(job.settings).oci
        yield Probe("region", source.bucket, lambda: costs.home_region(oci, source.bucket))
        ask = lambda: costs.newest(context, job, source)  # noqa: E731
        yield Probe("cost-reports", str(source), ask, after="source-list")


def _side(context: ProbeContext, job: ResolvedSync, address: Address, side: str) -> Iterator[Probe]:
    if address.kind == "local":
        look = _local_source if side == "source" else _local_target
        name = "source-list" if side == "source" else "target-write"
        yield Probe(name, address.path, blocking(look, address.path))
        return
    is_target = side == "target"
    with_bucket = _asking(context, job, address, is_target=is_target)
    yield Probe(f"{side}-list", str(address), lambda: with_bucket(lambda bucket: _list(bucket, side, address)))
    if is_target:
        yield from _written(context, job, address, "target-write", after="target-list")
    else:
        ask = lambda: with_bucket(lambda bucket: _read(bucket, address))  # noqa: E731
        yield Probe("source-read", str(address), ask, after="source-list")


def _written(
    context: ProbeContext, job: ResolvedSync, address: Address, name: str, *, after: str = ""
) -> Iterator[Probe]:
    if address.kind == "local":
        yield Probe(name, address.path, blocking(_local_target, address.path))
        return
    with_bucket = _asking(context, job, address, is_target=True)
    yield Probe(name, str(address), lambda: with_bucket(lambda bucket: write(bucket, name, address)), after=after)


def _asking(
    context: ProbeContext, job: ResolvedSync, address: Address, *, is_target: bool
) -> Callable[[Callable[[Bucket], Awaitable[Check]]], Awaitable[Check]]:
    async def ask(question: Callable[[Bucket], Awaitable[Check]]) -> Check:
        assembly = context.assembly(job.settings)
        bucket = bucket_of(assembly, address, job.transfer, is_target=is_target)
        try:
            return await question(bucket)
        finally:
            await bucket.close()

    return ask


async def _list(bucket: Bucket, side: str, address: Address) -> Check:
    first = await bucket.first()
    return ok(f"{side}-list", str(address), "can be listed" + ("" if first else "; it is empty"))


async def _read(bucket: Bucket, address: Address) -> Check:
    first = await bucket.first()
    if first is None:
        return unknown("source-read", str(address), "there is no object to read yet")
    await bucket.read(first)
    return ok("source-read", str(address), "its first object can be read")


async def write(bucket: Bucket, name: str, address: Address) -> Check:
    """Whether the bucket would accept an object."""
    await bucket.try_write()
    return ok(name, str(address), "would accept an object (it refused only an upload that does not exist)")


async def _delete(context: ProbeContext, job: ResolvedSync, target: Address) -> Check:
    assembly = context.assembly(job.settings)
    bucket = bucket_of(assembly, target, job.transfer, is_target=True)
    try:
        if await bucket.try_delete():
            return ok("target-delete", str(target), "would let an object be deleted")
    finally:
        await bucket.close()
    grant = Grant("s3:DeleteObject", f"arn:aws:s3:::{target.bucket}/{target.prefix}*")
    return await simulated("target-delete", str(target), assembly.aws, [grant])


def _local_source(path: str) -> Check:
    name = "source-list"
    folder = Path(path)
    if not folder.is_dir():
        return fail(name, path, "this folder does not exist", f"mkdir -p {path}, or correct the job's source")
    if not os.access(folder, os.R_OK | os.X_OK):
        return fail(name, path, "this user cannot read it", f"chmod o+rx {path}, or run as its owner")
    return ok(name, path, "can be listed")


def _local_target(path: str) -> Check:
    name = "target-write"
    there = existing(Path(path).absolute())
    if not there.is_dir():
        return fail(name, path, f"{there} is not a folder", "name a folder as the job's target")
    if not os.access(there, os.W_OK | os.X_OK):
        return fail(
            name,
            path,
            f"this user cannot write to {there}",
            f"change the owner to the user that runs keepstep: {there}",
        )
    return ok(name, path, "can be written" if there == Path(path).absolute() else "will be created when needed")


def existing(path: Path) -> Path:
    """The path, or the nearest folder above it that exists."""
    while not os.path.exists(path):
        path = path.parent
    return path
