"""The help of ``keepstep sync`` and ``keepstep verify``: examples first, then options under headings."""

from __future__ import annotations

from typing import Any

import click

from keepstep.jobs.option_parsing import OrderedFilters

SECTIONS = {
    "Selecting": "exclude include follow_symlinks no_overwrite ignore_glacier_warnings force_glacier_transfer",
    "Comparing": "compare size_only exact_timestamps explain dryrun",
    "Deleting": "delete max_delete allow_empty_source trash",
    "Local files": "case_conflict escape_keys chmod chown",
    "Object properties": "content_type no_guess_mime_type cache_control content_disposition content_encoding"
    " content_language expires metadata copy_props metadata_directive acl grants website_redirect storage_class",
    "Encryption and checksums": "sse sse_kms_key_id sse_c sse_c_key sse_c_copy_source sse_c_copy_source_key"
    " checksum_algorithm checksum_mode",
    "Requests and identities": "jobs bandwidth page_size request_payer profile region source_region endpoint_url"
    " ca_bundle no_sign_request no_verify_ssl cli_read_timeout cli_connect_timeout",
    "Cost reports": "full_every overlap",
    "Output": "as_json quiet verbose only_show_errors no_progress progress_frequency progress_multiline",
    "General": "config help",
}
"""Headings, and the parameters under each in the order of the help. Those of no effect are hidden."""


class SyncCommand(OrderedFilters):
    """A command whose help has examples, and one section for each heading that has options."""

    def __init__(self, *args: Any, examples: str, **rest: Any) -> None:
        super().__init__(*args, **rest)
        self._examples = examples

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Examples"):
            for line in self._examples.strip().splitlines():
                formatter.write(f"{'':{formatter.current_indent}}{line.strip()}\n")
        options = {each.name: each for each in self.get_params(ctx)}
        for heading, names in SECTIONS.items():
            found = [options[name].get_help_record(ctx) for name in names.split() if name in options]
            records = [record for record in found if record]
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)
