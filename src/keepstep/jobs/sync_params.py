"""The options of ``keepstep sync``, typed; parsed from a command line or from a job's ``params``."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, Self

from keepstep.errors import ConfigError, Misuse

if TYPE_CHECKING:
    from keepstep.objects.guard import Cap
    from keepstep.secret import Secret


@dataclass(frozen=True, kw_only=True)
class SyncParams:
    """Each option under its own name; None or empty if not given."""

    filters: Sequence[tuple[bool, str]] = ()
    """``--exclude`` and ``--include`` in order: whether the rule includes, and its pattern."""
    delete: bool = False
    dryrun: bool = False
    size_only: bool = False
    exact_timestamps: bool = False
    no_overwrite: bool = False
    follow_symlinks: bool = True
    case_conflict: str = "ignore"
    compare: str = "aws"
    explain: bool = False
    max_delete: Cap | None = None
    allow_empty_source: bool = False
    full_every: timedelta | None = None
    overlap: timedelta | None = None
    escape_keys: bool = False
    trash: str | None = None
    bandwidth: int | None = None
    """Bytes per second."""
    chmod: str | None = None
    chown: str | None = None
    jobs: int | None = None

    content_type: str | None = None
    no_guess_mime_type: bool = False
    cache_control: str | None = None
    content_disposition: str | None = None
    content_encoding: str | None = None
    content_language: str | None = None
    expires: str | None = None
    metadata: tuple[tuple[str, str], ...] | None = None
    copy_props: Literal["none", "metadata-directive", "default"] | None = None
    metadata_directive: Literal["COPY", "REPLACE"] | None = None
    acl: str | None = None
    grants: Sequence[tuple[str, str]] = ()
    website_redirect: str | None = None
    storage_class: str | None = None

    sse: str | None = None
    sse_kms_key_id: str | None = None
    sse_c: str | None = None
    sse_c_key: Secret | None = field(default=None, repr=False)
    sse_c_copy_source: str | None = None
    sse_c_copy_source_key: Secret | None = field(default=None, repr=False)

    request_payer: str | None = None
    checksum_algorithm: str | None = None
    checksum_mode: str | None = None
    page_size: int | None = None
    ignore_glacier_warnings: bool = False
    force_glacier_transfer: bool = False

    profile: str | None = None
    region: str | None = None
    source_region: str | None = None
    endpoint_url: str | None = None
    ca_bundle: str | None = None
    no_sign_request: bool = False
    no_verify_ssl: bool = False
    cli_read_timeout: int | None = None
    """Seconds; 0 is no limit."""
    cli_connect_timeout: int | None = None
    """Likewise."""

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Self:
        """Converts the options of a command line, omitting those for the terminal."""
        return cls(**{each.name: options[each.name] for each in fields(cls)})


def read_options(params: str, *, called: str) -> dict[str, Any]:
    """A job's ``params`` as the options that they are, those for the terminal among them; none of them is checked.

    Raises :class:`ConfigError` that names them ``called`` if they are not options of ``keepstep sync``.
    """
    try:
        words = shlex.split(params)
        if asks := sorted({"-h", "--help"} & {*words}):
            raise Misuse(f"{asks[0]} is for the command line")
        return _parsed(words)
    except ValueError as exc:
        why = str(exc)
    except Misuse as exc:
        why = exc.message
    from keepstep.jobs.option_parsing import lowered

    hint = "write them as on the command line: keepstep sync --help"
    raise ConfigError(f"{called}: {lowered(why)}", hint=hint)


def _parsed(words: list[str]) -> dict[str, Any]:
    """Parses words. Raises :class:`Misuse`."""
    # click and the option types are imported only if there are words to parse.
    import click

    from keepstep.jobs.option_parsing import OrderedFilters, global_options
    from keepstep.jobs.sync_options import sync_options

    @click.command(cls=OrderedFilters)
    @sync_options
    @global_options
    def command() -> None:
        """Is never called: the command only parses words."""

    try:
        options = command.make_context("params", words).params
    except click.UsageError as exc:
        raise Misuse(exc.format_message()) from None
    if options["config"] is not None:
        raise Misuse("--config is for the command line")
    return options
