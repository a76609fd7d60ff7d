"""Parses options: keeps their order where it matters, and refuses missing values."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def config_option(command: F) -> F:
    """Repeats ``--config``, so that it may also follow the subcommand."""
    return click.option(
        "--config",
        type=click.Path(),
        help="Configuration file [default: ./keepstep.toml, then /etc/keepstep/keepstep.toml].",
    )(command)


def global_options(command: F) -> F:
    """Repeats the global options, so that they may also follow the subcommand."""
    command = config_option(command)
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print the run report as one JSON document."),
        click.option("--quiet", is_flag=True, help="Print errors only."),
        click.option("--verbose", is_flag=True, help="Print more detail."),
        click.option("--no-progress", is_flag=True, help="Hide the progress bar."),
    ):
        command = option(command)
    return command


def lowered(message: str) -> str:
    """Converts a sentence of click's to the style of error messages."""
    return (message[:1].lower() + message[1:]).rstrip(".")


class OptionalValue(click.Option):
    """An option whose value may be omitted, because it has a default value."""

    def __init__(self, words: Sequence[str], value: str, **rest: Any) -> None:
        super().__init__(words, is_flag=False, flag_value=value, **rest)


class ValuesChecked:
    """A command or group whose options accept neither another option nor an empty string as their value.

    ``--exclude $UNSET --dryrun`` leaves ``--exclude`` without its value: with the next word in its place a dry run
    would become a real one. A value that looks like an option is written ``--exclude=--x``.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        _check_values(ctx.command, args, ctx)
        return super().parse_args(ctx, args)  # type: ignore[misc, no-any-return]


class Command(ValuesChecked, click.Command):
    """The base class of every command."""


def _check_values(command: click.Command, args: Sequence[str], ctx: click.Context) -> None:
    """Raises :class:`click.UsageError` for an option without a value."""
    options = [each for each in command.get_params(ctx) if isinstance(each, click.Option)]
    ours = {name for option in options for name in (*option.opts, *option.secondary_opts)}
    takers = {name: option for option in options if _takes_value(option) for name in option.opts}
    words = deque(args)
    while words:
        word = words.popleft()
        name, equals, value = word.partition("=")
        if word == "--" or not (word.startswith("-") or ctx.allow_interspersed_args):
            return
        if name not in takers:
            continue
        if equals:
            _check_value(name, value, set(), ctx)
        elif not isinstance(takers[name], OptionalValue):
            _check_value(name, words.popleft() if words else None, ours, ctx)


def _check_value(name: str, value: str | None, ours: Collection[str], ctx: click.Context) -> None:
    if value is None or (ours and value == "--"):
        raise click.UsageError(f"{name} needs a value", ctx)
    if not value:
        raise click.UsageError(f"{name} needs a value, and this one is empty (is a variable not set?)", ctx)
    if ours and (value.startswith("--") or value.partition("=")[0] in ours):
        raise click.UsageError(
            f"{name} needs a value, and {value} is an option; if it is the value, write {name}={value}", ctx
        )


def _takes_value(option: click.Option) -> bool:
    return not (option.is_flag or option.count)


class OrderedFilters(Command):
    """A command with ``--exclude`` and ``--include``, whose order matters: click would lose it.

    Their values arrive together, in the order of the command line, as the parameter ``filters``: a list of
    ``(is_include, pattern)``. ``--grants`` takes all words up to the next option.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        _check_values(self, args, ctx)
        filters: list[tuple[bool, str]] = []
        with_value = self._names_with_value()
        rest: list[str] = []
        words = deque(args)
        while words:
            word = words.popleft()
            name, equals, value = word.partition("=")
            if word == "--":
                rest += [word, *words]
                break
            if name in ("--exclude", "--include"):
                filters.append((name == "--include", value if equals else words.popleft()))
            elif word == "--grants":  # needs at least one: its value has been checked
                rest += (f"--grants={grant}" for grant in _up_to_option(words))
            else:
                rest.append(word)
                if not equals and word in with_value and words:
                    rest.append(words.popleft())
        remaining = click.Command.parse_args(self, ctx, rest)
        ctx.params["filters"] = filters
        return remaining

    def _names_with_value(self) -> set[str]:
        options = [option for option in self.params if isinstance(option, click.Option)]
        takers = [o for o in options if _takes_value(o) and not isinstance(o, OptionalValue)]
        return {name for option in takers for name in option.opts}


def _up_to_option(words: deque[str]) -> list[str]:
    found = []
    while words and not words[0].startswith("-"):
        found.append(words.popleft())
    return found
