"""``keepstep demo``: a sync on this machine only, with the commands that a user would type."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from keepstep.errors import ConfigError, Error
from keepstep.jobs.option_parsing import Command

if TYPE_CHECKING:
    from keepstep_localcloud.server import LocalCloud

DAYS = 31
BUCKET = "finops"


@click.command(cls=Command)
@click.option(
    "--dir",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Folder of the local clouds [default: ~/.cache/keepstep/demo].",
)
def command(folder: Path | None) -> None:
    """Sync cost reports from a local OCI to a local S3; needs no account, no Docker and no root.

    Starts both clouds, fills bling with a month of generated FOCUS reports, and runs keepstep sync on them.
    """
    folder = _emptied((folder or _default_folder()).absolute())
    reports = folder / "reports"
    try:
        from keepstep_localcloud import errors, server
    except ImportError as exc:
        raise ConfigError(f"the demo needs {exc.name}", hint="pip install 'keepstep[demo]'") from exc
    reports.mkdir()
    started = time.monotonic()
    _tell(f"starting a local OCI and a local AWS on loopback, with data in {folder}")
    try:
        with server.LocalCloud(folder, "--bling", str(reports), aws=True) as cloud:
            demo = _play(cloud, reports)
    except errors.ConfigError as exc:
        raise ConfigError(str(exc), hint=exc.hint) from exc
    _tell(f"done in {time.monotonic() - started:.0f} s. Next steps:")
    click.echo(_NEXT.format(folder=folder, source=demo.source, target=demo.target))


_NEXT = """
  keepstep localcloud --dir {folder} &      start the same clouds again, with their data
  . {folder}/env                            set the shell variables for them
  keepstep sync '{source}' {target}
  aws s3 ls --recursive {target}            any AWS or OCI tool works with them
  keepstep sync --help                      all options

Real clouds need the same command, with an API key in ~/.oci/config, AWS credentials, and your own bucket.
docs/cost-reports.md has the policy statements and the troubleshooting.
"""


@dataclass
class _Demo:
    """Runs keepstep as its user would, in the local clouds' environment."""

    variables: dict[str, str]
    source: str
    target: str

    def sync(self, what: str) -> None:
        _tell(what)
        _show_command("keepstep", "sync", self.source, self.target)
        self._run("sync", self.source, self.target)

    def sync_again(self, what: str) -> None:
        _tell(what)
        _show_command("keepstep", "sync", self.source, self.target, "--json")
        report = self._report()
        counts = report["counts"]
        click.echo(f"  {counts.get('copy', 0)} copied, {counts.get('unchanged', 0)} unchanged")

    def wait_for(self, count: int) -> None:
        """Waits until the bling bucket lists its folder's files."""
        for _ in range(100):
            if self._report("--dryrun", "--full-every", "0s")["counts"].get("source_keys") == count:
                return
            time.sleep(0.2)
        raise Error(f"the local OCI does not list {count} reports")

    def make_bucket(self) -> None:
        import boto3

        client: Any = boto3.client(
            "s3",
            endpoint_url=self.variables["AWS_ENDPOINT_URL"],
            region_name=self.variables["AWS_DEFAULT_REGION"],
            aws_access_key_id=self.variables["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.variables["AWS_SECRET_ACCESS_KEY"],
        )
        client.create_bucket(Bucket=BUCKET)

    def show(self) -> None:
        """The newest objects, as S3 lists them."""
        _tell("S3 now has them under the same names, for example:")
        report = self._report("--explain")
        for action in report["actions"][-3:]:
            click.echo(f"  {action['target']}  {action['size']} bytes")

    def _report(self, *options: str) -> dict[str, Any]:
        result = self._run("sync", self.source, self.target, "--json", *options, capture_output=True)
        report: dict[str, Any] = json.loads(result.stdout)
        return report

    def _run(self, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-P", "-m", "keepstep", *words]
        result = subprocess.run(command, env=self._environment(), text=True, check=False, **options)
        if result.returncode:
            click.echo(result.stderr or "", err=True, nl=False)
            raise Error(f"keepstep {words[0]} ended with {result.returncode}")
        return result

    def _environment(self) -> dict[str, str]:
        """An environment without the user's own clouds, which the demo must not touch."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "OCI_"))}
        return kept | self.variables


def _play(cloud: LocalCloud, reports: Path) -> _Demo:
    """The whole journey; the clouds serve, and nothing is in them yet."""
    from keepstep_localcloud.focus import write_reports

    demo = _Demo(cloud.env, f"oci://{cloud.tenancy}@bling/", f"s3://{BUCKET}/oci/")
    now = datetime.now(UTC)
    day = timedelta(days=1)
    count = write_reports(reports, tenancy=cloud.tenancy, end=now - day, days=DAYS)
    _tell(f"Oracle publishes {count} cost reports of {DAYS} days into the bling namespace (generated, FOCUS 1.0)")
    demo.make_bucket()
    demo.wait_for(count)
    demo.sync("syncing them to S3:")
    demo.sync_again("a second run finds nothing to do:")
    more = write_reports(reports, tenancy=cloud.tenancy, end=now, days=1)
    _tell(f"a day later there are {more} more reports")
    demo.wait_for(count + more)
    demo.sync_again("only the new ones are copied:")
    demo.show()
    return demo


def _emptied(folder: Path) -> Path:
    """A new folder, or that of an earlier demo, emptied."""
    marker = folder / ".keepstep-demo"
    if folder.exists() and any(folder.iterdir()):
        if not marker.exists():
            raise ConfigError(f"{folder} is not empty", hint="choose a folder that does not exist yet")
        shutil.rmtree(folder)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    marker.touch()
    return folder


def _default_folder() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "keepstep" / "demo"


def _tell(text: str) -> None:
    click.secho(f"\n* {text}", bold=True)


def _show_command(*words: str) -> None:
    click.echo("  $ " + " ".join(f"'{word}'" if "@" in word else word for word in words))
