"""``keepstep init``: writes a commented keepstep.toml."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from keepstep.cli.options import merge_globals
from keepstep.config import Config, load
from keepstep.drafts.draft import Draft
from keepstep.errors import ConfigError, Error, Misuse, Refused, unwritable
from keepstep.jobs.option_parsing import Command, global_options
from keepstep.text import printable

_SOURCES = ("from_env", "from_map", "from_tfvars", "from_rclone")
_FILE = click.Path(path_type=Path)
_DEFAULT = "keepstep.toml"


@click.command(cls=Command, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--from-env", is_flag=True, help="From the variables of the sync container or the rotation worker.")
@click.option("--from-map", type=_FILE, metavar="MAP", help="From a map.csv of oci-secretsync.")
@click.option(
    "--from-tfvars", type=_FILE, metavar="FILE", help="From the terraform.tfvars of a cost-report machine."
)
@click.option(
    "--from-rclone", type=_FILE, metavar="FILE", help="From the s3 and oracleobjectstorage remotes of rclone.conf."
)
@click.option(
    "--sync",
    "syncs",
    nargs=2,
    multiple=True,
    metavar="SOURCE TARGET",
    help="With --from-rclone: a job for these places, as for rclone (remote:bucket/path). May be given again.",
)
@click.option("--output", metavar="FILE", help="Where it goes, ./keepstep.toml by default; - is stdout.")
@global_options
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> None:
    """Writes a keepstep.toml with comments, from answers at a terminal or from what another tool was set up with.

    No secret is copied into it, and a file that exists is never overwritten. What it writes passes keepstep config
    check; keepstep doctor then says what is left to do.
    """
    options = merge_globals(ctx, options)
    given = [name for name in _SOURCES if options[name]]
    if len(given) > 1:
        words = " and ".join("--" + name.replace("_", "-") for name in given)
        raise Misuse(
            f"{words}: a file has one origin", hint="write one after the other, each with its own --output"
        )
    if options["syncs"] and not options["from_rclone"]:
        raise Misuse("--sync belongs to --from-rclone", hint="without it, see the questions: keepstep init")
    if any(word.startswith("-") for sync in options["syncs"] for word in sync):
        raise Misuse("--sync needs two values, a source and a target", hint="write it as remote:bucket/path")
    output = options["output"] or options["config"] or (ctx.find_root().obj or {}).get("config") or _DEFAULT
    if output == "-" and options["as_json"]:
        raise Misuse("--json and --output - both want stdout", hint="leave one of them out")
    if output != "-":
        _check_absent(Path(output))
    draft = _draft(given, options)
    text = draft.text
    config = _checked(text, draft, "stdout" if output == "-" else output)
    if output == "-":
        click.echo(text, nl=False)
    else:
        _write(Path(output), text)
    if options["as_json"]:
        click.echo(json.dumps(_document(draft, config, output), indent=1))
    elif not options["quiet"]:
        _tell(draft, config, output)


def _document(draft: Draft, config: Config, output: str) -> dict[str, Any]:
    jobs = [{"name": name, "kind": job.kind} for name, job in config.job.items()]
    return {
        "version": 1,
        "kind": "init",
        "path": output,
        "jobs": jobs,
        "left_to_do": draft.steps,
        "ignored": draft.ignored,
    }


def _draft(given: Sequence[str], options: dict[str, Any]) -> Draft:
    match given:
        case ["from_env"]:
            from keepstep.drafts.variables import draft_of_variables

            return draft_of_variables(os.environ)
        case ["from_map"]:
            from keepstep.drafts.map import draft_of_map

            return draft_of_map(options["from_map"])
        case ["from_tfvars"]:
            from keepstep.drafts.cost_reports import draft_of_tfvars

            return draft_of_tfvars(options["from_tfvars"])
        case ["from_rclone"]:
            from keepstep.drafts.rclone import draft_of_rclone

            return draft_of_rclone(options["from_rclone"], options["syncs"])
    if not sys.stdin.isatty() or not sys.stderr.isatty():
        raise Misuse(
            "there is no terminal to ask questions at",
            hint="name an origin: --from-env, --from-map MAP, --from-tfvars FILE or --from-rclone FILE",
        )
    from keepstep.drafts.questions import draft_of_answers

    return draft_of_answers(_ask)


def _ask(question: str, why: str, default: str, check: Any) -> str:
    """On stderr, so that the file may go to stdout. The end of the input ends the command; nothing is written."""
    click.echo(f"\n{question}\n  {why}", err=True)
    while True:
        click.echo(f"  [{printable(default)}]: ", nl=False, err=True)
        line = sys.stdin.readline()
        if not line:
            raise KeyboardInterrupt
        answer = line.strip() or default
        try:
            check(answer)
        except Error as error:
            click.echo(f"  {printable(error.message)}" + (f"; {error.hint}" if error.hint else ""), err=True)
        except ValueError as error:
            click.echo(f"  {printable(str(error))}", err=True)
        else:
            return answer


def _check_absent(path: Path) -> None:
    """Raises :class:`Refused` for whatever is there, a link that leads nowhere too."""
    if os.path.lexists(path):
        raise Refused(
            f"{path} exists, and is not overwritten",
            hint=f"name another file with --output, or move it: mv {path} {path}.old",
        )


def _checked(text: str, draft: Draft, called: str) -> Config:
    """The file as ``keepstep config check`` reads it. Raises :class:`ConfigError` in the words of its origin."""
    from keepstep.cli.config_check import mistakes_of

    descriptor = os.memfd_create("keepstep.toml", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
        path = f"/dev/fd/{descriptor}"
        try:
            config = load(Path(path))
            for mistake in mistakes_of(config):
                raise mistake
        except Error as error:
            message = error.message.removeprefix(f"{path}: ").replace(path, called)
            for key, name in draft.called.items():
                message = message.replace(key, name)
            raise type(error)(message, hint=error.hint) from None
        return config
    finally:
        os.close(descriptor)


def _write(path: Path, text: str) -> None:
    """The whole file under its name, with mode 0600, or nothing. Raises :class:`Error`."""
    temporary = ""
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        _name(temporary, path)
    except FileExistsError:
        _check_absent(path)
        raise
    except FileNotFoundError:
        raise ConfigError(
            f"the folder {path.parent} does not exist", hint=f"make it: mkdir -p {path.parent}"
        ) from None
    except OSError as exc:
        if known := unwritable(exc):
            raise known from exc
        raise ConfigError(f"cannot write {path}: {exc.strerror}", hint="name another file with --output") from exc
    finally:
        if temporary:
            with suppress(OSError):
                os.unlink(temporary)


def _name(temporary: str, path: Path) -> None:
    """Gives the file its name, if nothing has it. Raises ``OSError``."""
    try:
        os.link(temporary, path, follow_symlinks=False)
    except FileExistsError:
        raise
    except OSError:  # of a file system without hard links: the name is taken first, and then replaced
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        os.replace(temporary, path)


def _tell(draft: Draft, config: Config, output: str) -> None:
    """What was left out, what is left to do, and the next command."""
    for text in draft.ignored:
        click.echo(f"warning: not taken over: {printable(text)}", err=True)
    to_stderr = output == "-"
    if not to_stderr:
        jobs = ", ".join(f"{name} ({job.kind})" for name, job in config.job.items())
        click.echo(printable(f"{output}: written; jobs: {jobs or 'none yet'}"))
    if draft.steps:
        click.echo("left to do:", err=to_stderr)
    for step in draft.steps:
        click.echo(f"  - {printable(step)}", err=to_stderr)
    where = "" if output == _DEFAULT else f" --config {'FILE' if to_stderr else output}"
    click.echo(printable(f"next: keepstep doctor{where}   says what is missing"), err=to_stderr)
