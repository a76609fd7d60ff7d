"""``keepstep spend``: the cost of both clouds, from synced FOCUS reports."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import click

from keepstep.cli.options import config_file, merge_globals
from keepstep.cli.running import run
from keepstep.clock import SystemClock
from keepstep.config import Config, load
from keepstep.errors import ConfigError, Error, ExitCode, Misuse, NotFound
from keepstep.focus.places import Place, place_named, places_of
from keepstep.focus.reading import read_reports, reports_since
from keepstep.focus.reports import Cost
from keepstep.focus.summary import COLUMNS, Column, Days, Summary, last_month, last_of_month, summary, this_month
from keepstep.jobs.option_parsing import Command, global_options
from keepstep.text import shown

_HELP = {"help_option_names": ["-h", "--help"]}
_DAY = re.compile(r"(\d{4})-(\d\d)(?:-(\d\d))?")


def _day(ctx: click.Context, option: click.Parameter, text: str | None) -> date | None:
    """A day, or the first or last day of a month."""
    if text is None:
        return None
    try:
        found = _DAY.fullmatch(text)
        if not found:
            raise ValueError
        day = date(int(found[1]), int(found[2]), int(found[3] or 1))
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a day; write it as 2026-11-30 or 2026-11", ctx, option) from None
    return last_of_month(day) if option.name == "until" and not found[3] else day


def _columns(ctx: click.Context, option: click.Parameter, texts: Sequence[str]) -> tuple[Column, ...]:
    words = [word for text in texts for word in text.split(",")]
    found = tuple(column for word in dict.fromkeys(words) for column in COLUMNS if column == word)
    if unknown := [word for word in words if word not in COLUMNS]:
        raise click.BadParameter(f"{unknown[0]!r} is none of {', '.join(COLUMNS)}", ctx, option)
    return found or ("day",)


@click.command(cls=Command, context_settings=_HELP)
@click.argument("sources", metavar="[SOURCE]...", nargs=-1)
@click.option("--from", "first", metavar="DAY", callback=_day, help="First day, for example 2026-11-01 or 2026-11.")
@click.option("--until", metavar="DAY", callback=_day, help="Last day; 2026-11 means the last day of the month.")
@click.option(
    "--by",
    metavar="WHAT",
    multiple=True,
    callback=_columns,
    help="Columns to sum by, such as day,service: day, service, account, cloud [default: day].",
)
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV with full precision.")
@global_options
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> None:
    """Sum up the FOCUS cost reports at SOURCE: a folder, s3:// or oci:// address, or the name of a sync job.

    Without SOURCE it reads where the jobs of keepstep.toml put OCI's cost reports, or what [dashboard] spend names.
    Without days it shows this month, compared with the same days of the month before. Currencies are never added.
    Exits with 1 if a report is damaged, and names it; exits with 5 if there is nothing to show.
    """
    options = merge_globals(ctx, options)
    if options["as_csv"] and options["as_json"]:
        raise Misuse("--csv and --json exclude each other", hint="omit one of them")
    path = config_file(ctx)
    config = load(path) if path else Config()
    today = SystemClock().now().date()
    days, is_said = _range(options["first"], options["until"], today)
    since = (days if is_said else last_month(today)).month_before.first
    books = run(_read(_places(config, options["sources"], is_configured=path is not None), since))
    for error in books.failures:
        _say(error)
    if not any(cost.day in days for cost in books.costs) and not is_said:
        earlier = last_month(today)
        if any(cost.day in earlier for cost in books.costs):
            days = earlier
            _note("there are no charges of this month yet; showing the month before", quiet=options["quiet"])
    if not any(cost.day in days for cost in books.costs):
        raise _nothing(books, days)
    found = summary(books.costs, days, options["by"], today)
    _write(found, books, options)
    sys.exit(ExitCode.FAILED if books.failures else ExitCode.DONE)


def _range(first: date | None, until: date | None, today: date) -> tuple[Days, bool]:
    """The selected days, and whether they were given."""
    if first is None and until is None:
        return this_month(today), False
    last = until or (today if first and first <= today else last_of_month(first or today))
    days = Days(first or last.replace(day=1), last)
    if days.first > days.last:
        raise Misuse(f"--from {days.first} is after --until {days.last}", hint="give the earlier day to --from")
    if (days.last - days.first).days > 3660 or days.first.year < 2:
        raise Misuse("--from and --until are more than ten years apart", hint="give fewer days")
    return days, True


def _places(config: Config, sources: Sequence[str], *, is_configured: bool) -> list[Place]:
    if sources:
        return [place_named(config, text) for text in sources]
    if places := places_of(config):
        return places
    where = "no job of keepstep.toml fetches cost reports" if is_configured else "there is no keepstep.toml"
    hint = "name the place of the reports: keepstep spend s3://finops/oci/, or a folder; or set [dashboard] spend"
    raise ConfigError(where, hint=hint)


@dataclass
class _Books:
    """The charges that were read."""

    costs: list[Cost] = field(default_factory=list)
    sources: list[dict[str, Any]] = field(default_factory=list)
    failures: list[Error] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    """Addresses of reports, so that none counts twice if places overlap."""
    others: int = 0
    """Files that are not FOCUS reports."""

    @property
    def reports(self) -> int:
        return sum(source["reports"] for source in self.sources)


async def _read(places: Sequence[Place], since: date) -> _Books:
    """Reads all places. Raises :class:`Error` if none can be read."""
    books = _Books()
    faults = []
    for place in places:
        try:
            await _read_place(place, since, books)
        except Error as error:
            faults.append(type(error)(f"{place.name}: {error.message}", hint=error.hint))
    if faults and len(faults) == len(places):
        raise faults[0]
    books.failures += faults
    return books


async def _read_place(place: Place, since: date, books: _Books) -> None:
    store = place.open()
    source: dict[str, Any] = {"name": place.name, "address": str(store.address), "reports": 0}
    try:
        entries = await reports_since(store, since, place.only)
        new = [entry for entry in entries if store.address.of(entry.key) not in books.seen]
        books.sources.append(source)
        async for entry, result in read_reports(store, new):
            address = store.address.of(entry.key)
            books.seen.add(address)
            if isinstance(result, Error):
                books.failures.append(Error(f"{address}: {result.message}", hint=result.hint))
            elif result is None:
                books.others += 1
            else:
                source["reports"] += 1
                books.costs += result
    finally:
        await store.close()


def _nothing(books: _Books, days: Days) -> Error:
    """The error if there is nothing to show."""
    where = ", ".join(source["address"] for source in books.sources)
    if not books.reports:
        other = f", and {books.others} other files" if books.others else ""
        hint = "reports are .csv, .csv.gz or .parquet with FOCUS columns; keepstep sync fetches OCI's"
        return NotFound(f"there are no FOCUS reports{other} of these days at {where}", hint=hint)
    known = sorted({cost.day for cost in books.costs})
    hint = "reports arrive a day or two late"
    if known:
        hint += f"; there are charges from {known[0]} to {known[-1]}: --from {known[0]} --until {known[-1]}"
    return NotFound(f"there are no charges from {days.first} to {days.last} in the reports at {where}", hint=hint)


def _write(found: Summary, books: _Books, options: dict[str, Any]) -> None:
    from keepstep.cli.spend_output import csv_lines, document, table

    if options["as_json"]:
        click.echo(json.dumps(document(found, books.sources, books.failures, options["by"]), indent=1))
        return
    for line in csv_lines(found) if options["as_csv"] else table(found, books.reports):
        click.echo(line)


def _say(error: Error) -> None:
    from keepstep.cli import say

    say(error)


def _note(text: str, *, quiet: bool) -> None:
    if not quiet:
        click.echo(f"note: {shown(text)}", err=True)
