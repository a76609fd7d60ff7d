"""The help of ``keepstep sync`` and ``keepstep verify``, as users read it."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from keepstep.cli import sync, verify
from keepstep.cli.sync_help import SECTIONS
from keepstep.jobs.sync_options import NO_EFFECT

COMMANDS = {"sync": sync.command, "verify": verify.command}


def options(command: click.Command) -> dict[str, click.Option]:
    params = command.get_params(click.Context(command))
    return {each.name: each for each in params if isinstance(each, click.Option) and each.name}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_under_one_heading(name: str) -> None:
    """No option is lost: all but those without effect are under exactly one heading."""
    listed = " ".join(SECTIONS.values()).split()
    assert len(listed) == len(set(listed))
    shown = {option for option, each in options(COMMANDS[name]).items() if not each.hidden}
    assert shown <= set(listed)
    assert options(sync.command).keys() - set(listed) == {*NO_EFFECT, "debug"}


@pytest.mark.parametrize("name", COMMANDS)
def test_help_fits_a_terminal(name: str) -> None:
    """Examples come first, then headings; no line is longer than 80 columns, and no hidden option is named."""
    shown = CliRunner().invoke(COMMANDS[name], ["--help"], terminal_width=80).stdout
    headings = [line for line in shown.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert headings[:2] == ["Examples:", "Selecting:"] and headings[-1] == "General:"
    assert [line for line in shown.splitlines() if len(line) > 80] == []
    assert not any(option in shown.split() for option in (*NO_EFFECT.values(), "--debug"))
