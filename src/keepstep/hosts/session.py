"""Describes the AWS identity of a run and its expiry, to debug roles. Never shows a key."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from keepstep.clouds.aws_errors import translated
from keepstep.errors import Error
from keepstep.jobs.assembly import Assembly
from keepstep.jobs.settings import CloudSettings


def session_lines(settings: CloudSettings) -> Iterator[str]:
    """Lines that describe the session, or say why there is none and what to do."""
    try:
        yield from asyncio.run(_session(settings))
    except Error as exc:
        yield f"session: none: {exc.message}"
        if exc.hint:
            yield f"hint: {exc.hint}"


async def _session(settings: CloudSettings) -> list[str]:
    identity = Assembly(settings).aws
    credentials = await identity.credentials()
    session = await identity.botocore_session()

    def ask() -> str:
        with translated("default", role=settings.role_arn[-1] if settings.role_arn else ""):
            sts = session.create_client("sts", region_name=identity.config.region or "us-east-1")
            arn: str = sts.get_caller_identity()["Arn"]
            return arn

    lines = [f"session: {await asyncio.to_thread(ask)}"]
    if credentials:
        until = credentials.expires_at
        lines.append(
            f"session: credentials by {credentials.method}, " + (f"until {until}" if until else "no expiry")
        )
    return lines
