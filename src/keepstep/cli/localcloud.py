"""``keepstep localcloud``: a local OCI and a local AWS on loopback."""

from __future__ import annotations

from pathlib import Path

import click

from keepstep.errors import ConfigError
from keepstep.jobs.option_parsing import Command

EXISTING = click.Path(exists=True, path_type=Path)


@click.command(cls=Command)
@click.option(
    "--dir",
    "folder",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Folder with all data; the same DIR gives the same clouds again.",
)
@click.option(
    "--port", default=0, metavar="N", help="Port of the local OCI [default: a free port, kept across restarts]."
)
@click.option(
    "--aws-port", default=0, metavar="N", help="Port of the local AWS [default: a free port, kept across restarts]."
)
@click.option("--any-key", is_flag=True, help="Accept unknown keys; their signatures are not verified.")
@click.option(
    "--federation-ca", type=EXISTING, metavar="FILE", help="Trust instance certificates of this CA as well."
)
@click.option(
    "--bling",
    type=EXISTING,
    metavar="FOLDER",
    help="Serve the files of this folder as the bling bucket (cost reports).",
)
@click.option(
    "--policy",
    type=EXISTING,
    metavar="FILE",
    help="Allow only what these OCI policy statements allow, one per line [default: everything].",
)
@click.option("--no-aws", is_flag=True, help="Run the local OCI only.")
def command(
    folder: Path,
    port: int,
    aws_port: int,
    any_key: bool,
    federation_ca: Path | None,
    bling: Path | None,
    policy: Path | None,
    no_aws: bool,
) -> None:
    """Run a local OCI and AWS on loopback until stopped.

    Prints "ready" when both accept requests. DIR/env then sets the variables that make keepstep, the oci
    and aws commands and their SDKs use them:  . DIR/env
    """
    try:
        from keepstep_localcloud.errors import ConfigError as Unusable
        from keepstep_localcloud.serve import Settings, serve
    except ImportError as exc:
        raise ConfigError(f"localcloud needs {exc.name}", hint="pip install 'keepstep[demo]'") from exc
    settings = Settings(folder, port, aws_port, any_key, federation_ca, bling, aws=not no_aws, policy=policy)
    try:
        serve(settings, ready=lambda: click.echo("ready"))
    except Unusable as exc:
        raise ConfigError(str(exc), hint=exc.hint) from exc
