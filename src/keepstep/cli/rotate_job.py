"""Selects what ``keepstep rotate`` rotates: a job of keepstep.toml, or the variables of the replaced function."""

from __future__ import annotations

import os

import click

from keepstep.cli.options import config_file
from keepstep.config import load
from keepstep.errors import ConfigError
from keepstep.jobs.environment import rotation_of
from keepstep.jobs.resolve import resolve
from keepstep.jobs.rotate import ResolvedRotation, only_rotation


def chosen_rotation(ctx: click.Context, name: str | None) -> ResolvedRotation:
    """The job of that name; without a name that of the environment, or the only configured one.

    Raises :class:`ConfigError`.
    """
    if name is None and "AWS_SECRET_ID" in os.environ:
        return rotation_of(os.environ)
    path = config_file(ctx)
    if path is None:
        raise ConfigError(
            "no rotation is configured: there is no keepstep.toml, and AWS_SECRET_ID is not set",
            hint="add a [job.JOB] of kind rotate to keepstep.toml, or set the variables of docs/rotation.md",
        )
    config = load(path)
    return resolve(config, name or only_rotation(config), "rotate")
