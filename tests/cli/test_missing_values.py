"""A value that is missing is a mistake; it is never made up from the word that happens to follow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from keepstep.cli import COMMANDS, main
from keepstep.jobs.option_parsing import OptionalValue, ValuesChecked
from tests.cli.inprocess import keepstep


def _commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    ctx = click.Context(group)
    yield path, group
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from _commands(command, (*path, name))
        else:
            yield (*path, name), command


def _options() -> Iterator[tuple[tuple[str, ...], str]]:
    for path, command in _commands(main):
        for option in command.params:
            if isinstance(option, click.Option) and not (option.is_flag or option.count):
                yield from ((path, name) for name in option.opts if not isinstance(option, OptionalValue))


OPTIONS = list(_options())


def test_every_command_checks_its_values() -> None:
    """No command is left out, also none that is added later."""
    assert {path[0] for path, _ in _commands(main) if path} == set(COMMANDS)
    assert [path for path, command in _commands(main) if not isinstance(command, ValuesChecked)] == []


@pytest.mark.parametrize(("path", "name"), OPTIONS, ids=[" ".join((*path, name)) for path, name in OPTIONS])
def test_an_option_is_no_value(path: tuple[str, ...], name: str) -> None:
    """Nothing, empty text and another option are no values: exit 2, and the option is named."""
    for rest in ([], [""], ["--help"], ["-h"], ["--", "x"], [f"{name}=x", "x"], ["--no-such-option"]):
        ran = keepstep(*path, name, *rest)
        assert (ran.code, ran.out) == (2, ""), (rest, ran)
        assert f"error: {name} needs a value" in ran.err, (rest, ran.err)
    assert f"error: {name} needs a value" in keepstep(*path, f"{name}=").err


@pytest.mark.parametrize("name", ["--exclude", "--include", "--trash", "--max-delete", "--profile", "--grants"])
@pytest.mark.parametrize("behind", [True, False], ids=["behind", "before"])
def test_a_dry_run_stays_one(tmp_path: Path, name: str, behind: bool) -> None:
    """An option whose value was an unset variable does not swallow --dryrun: nothing is deleted."""
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a").touch()
    (tmp_path / "dst").mkdir()
    (tmp_path / "dst" / "old").touch()
    places = [str(tmp_path / "src"), str(tmp_path / "dst")]
    options = ["--delete", "--max-delete=100%", name, "--dryrun"]
    ran = keepstep("sync", *(places + options if behind else options + places))
    assert ran.code == 2
    assert f"{name} needs a value, and --dryrun is an option" in ran.err
    assert (tmp_path / "dst" / "old").exists()
    assert not (tmp_path / "dst" / "a").exists()


def test_a_value_may_look_like_an_option(tmp_path: Path) -> None:
    """With an equals sign every text is a value; a single dash that is no option of ours needs none."""
    (tmp_path / "src").mkdir()
    for name in ("--x", "--dryrun", "-y", "b"):
        (tmp_path / "src" / name).touch()
    patterns = ["--exclude=--x", "--exclude=--dryrun", "--exclude", "-y"]
    assert keepstep("sync", str(tmp_path / "src"), str(tmp_path / "dst"), *patterns).code == 0
    assert [path.name for path in (tmp_path / "dst").iterdir()] == ["b"]


@pytest.mark.parametrize("params", ["--delete --exclude --dryrun", "--delete --exclude", "--exclude '' --delete"])
def test_params_of_a_job(tmp_path: Path, params: str) -> None:
    """The same holds for the params of a job, which is then not run."""
    (tmp_path / "src").mkdir()
    (tmp_path / "dst").mkdir()
    (tmp_path / "dst" / "old").touch()
    file = tmp_path / "keepstep.toml"
    file.write_text(
        f'[job.x]\nkind = "sync"\nsource = "{tmp_path}/src"\ntarget = "{tmp_path}/dst"\nparams = "{params}"\n'
    )
    ran = keepstep("--config", str(file), "sync", "x")
    assert ran.code == 5
    assert "job.x.params: --exclude needs a value" in ran.err
    assert (tmp_path / "dst" / "old").exists()
