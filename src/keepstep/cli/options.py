"""Options that several commands share, and those whose order on the command line matters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

_GLOBAL = ("as_json", "quiet", "verbose", "no_progress")


def global_options(command: F) -> F:
    """The global flags once more, so that they may stand behind the subcommand too."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout: the run report."),
        click.option("--quiet", is_flag=True, help="Says nothing but errors."),
        click.option("--verbose", is_flag=True, help="Says more."),
        click.option("--no-progress", is_flag=True, help="No progress bar."),
    ):
        command = option(command)
    return command


def merge_globals(ctx: click.Context, options: dict[str, Any]) -> dict[str, Any]:
    """The subcommand's options, each global flag set when it stood on either side of the subcommand."""
    given = ctx.find_root().obj or {}
    return options | {name: bool(options.get(name) or given.get(name)) for name in _GLOBAL}


class OrderedFilters(click.Command):
    """A command with ``--exclude`` and ``--include``, whose order decides: click alone would lose it.

    Their values arrive together, in the order of the command line, as the parameter ``filters``: a list of
    ``(is_include, pattern)``.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        filters: list[tuple[bool, str]] = []
        with_value = {
            name
            for option in self.params
            if isinstance(option, click.Option) and not option.is_flag and not option.count
            for name in option.opts
        }
        rest: list[str] = []
        words = iter(args)
        for word in words:
            name, equals, value = word.partition("=")
            if word == "--":
                rest += [word, *words]
            elif name in ("--exclude", "--include"):
                if not equals:
                    value = next(words, "")
                filters.append((name == "--include", value))
            else:
                rest.append(word)
                if not equals and word in with_value:
                    rest += [following for following in [next(words, None)] if following is not None]
        remaining = super().parse_args(ctx, rest)
        ctx.params["filters"] = filters
        return remaining
