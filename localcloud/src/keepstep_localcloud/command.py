"""``keepstep-localcloud``: a local OCI and a local AWS on loopback, until it is stopped."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from keepstep_localcloud.errors import ConfigError

NAME = "keepstep-localcloud"
MISCONFIGURED = 5
"""The exit code for a setting, a file or a port that cannot be used; a command line that is wrong ends with 2."""


def main(words: Sequence[str] | None = None) -> int:
    """Serves until SIGTERM or SIGINT, and returns the exit code."""
    options = parser().parse_args(words)
    # Only now: --help and --version answer at once.
    from keepstep_localcloud.serve import Settings, serve

    settings = Settings(
        options.dir,
        options.port,
        options.aws_port,
        options.any_key,
        options.federation_ca,
        options.bling,
        aws=not options.no_aws,
        policy=options.policy,
    )
    try:
        serve(settings, ready=lambda: print("ready", flush=True))  # noqa: T201
    except ConfigError as exc:
        return _fail(str(exc), exc.hint)
    except OSError as exc:
        if not exc.filename:
            raise
        return _fail(f"cannot use {exc.filename}: {exc.strerror}", "choose another --dir")
    return 0


def parser() -> argparse.ArgumentParser:
    """The options; ``keepstep localcloud`` has the same."""
    made = argparse.ArgumentParser(
        prog=NAME,
        description='A local OCI and AWS on loopback until stopped. Prints "ready" when both serve. DIR/env then '
        "has the variables that make the oci and aws commands and their SDKs use them:  . DIR/env",
        allow_abbrev=False,
    )
    made.add_argument(
        "--dir",
        required=True,
        type=_folder,
        metavar="DIR",
        help="Folder with all data; the same DIR gives the same clouds again.",
    )
    made.add_argument(
        "--port",
        default=0,
        type=int,
        metavar="N",
        help="Port of the local OCI [default: a free port, kept across restarts].",
    )
    made.add_argument(
        "--aws-port",
        default=0,
        type=int,
        metavar="N",
        help="Port of the local AWS [default: a free port, kept across restarts].",
    )
    made.add_argument(
        "--any-key",
        action="store_true",
        help="Accept unknown keys; their signatures are not verified.",
    )
    made.add_argument(
        "--federation-ca", type=_existing, metavar="FILE", help="Trust instance certificates of this CA as well."
    )
    made.add_argument(
        "--bling",
        type=_existing,
        metavar="FOLDER",
        help="Serve the files of this folder as the bling bucket (cost reports).",
    )
    made.add_argument(
        "--policy",
        type=_existing,
        metavar="FILE",
        help="Allow only what these OCI policy statements allow, one per line [default: everything].",
    )
    made.add_argument("--no-aws", action="store_true", help="Run the local OCI only.")
    made.add_argument("--version", action="version", version=f"%(prog)s {version(NAME)}")
    return made


def _existing(word: str) -> Path:
    path = Path(word)
    if not path.exists():
        raise argparse.ArgumentTypeError(f"{word!r} does not exist")
    return path


def _folder(word: str) -> Path:
    path = Path(word)
    if path.exists() and not path.is_dir():
        raise argparse.ArgumentTypeError(f"{word!r} is a file")
    return path


def _fail(message: str, hint: str | None) -> int:
    print(f"error: {message}", file=sys.stderr)  # noqa: T201
    if hint:
        print(f"hint: {hint}", file=sys.stderr)  # noqa: T201
    return MISCONFIGURED
