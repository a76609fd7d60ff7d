"""A configured job goes before a file or folder of the same name, for every command that takes either."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.inprocess import keepstep

WORDS = [
    ["secrets", "apply", "app-secrets"],
    ["secrets", "drift", "app-secrets"],
    ["exec", "--map", "app-secrets", "--", "keepstep-is-no-program-of-this-name"],
    ["doctor", "app-secrets"],
]


@pytest.mark.parametrize("words", WORDS, ids=" ".join)
@pytest.mark.parametrize("kind", ["file", "folder"])
@pytest.mark.parametrize("name", ["app-secrets", "app-secrets.csv"])
def test_a_job_goes_before_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], kind: str, name: str
) -> None:
    """What lies in the working folder is not taken for the job's map."""
    (tmp_path / "map.csv").write_text("# nothing\n")
    if kind == "folder":
        (tmp_path / name).mkdir()
    else:
        (tmp_path / name).write_text("this is no line of a map\n")
    config = tmp_path / "etc/keepstep.toml"
    config.parent.mkdir()
    config.write_text(
        f'[state]\nurl = "sqlite:///{tmp_path}/state/state.db"\n'
        f'[dashboard]\nlisten = "127.0.0.1:1"\n[job."{name}"]\nkind = "secrets"\nmap = "{tmp_path}/map.csv"\n'
    )
    monkeypatch.chdir(tmp_path)
    ran = keepstep("--config", str(config), *[name if word == "app-secrets" else word for word in words])
    assert ran.code == (127 if "exec" in words else 0), ran.err
    assert "this is no line" not in f"{ran.out}{ran.err}" and "line 1" not in ran.err


def test_a_path_is_a_map(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``./name`` names the file."""
    config = tmp_path / "keepstep.toml"
    config.write_text(
        f'[state]\nurl = "sqlite:///{tmp_path}/state.db"\n[job.app]\nkind = "secrets"\nmap = "/none/map.csv"\n'
    )
    (tmp_path / "app").write_text("# nothing\n")
    monkeypatch.chdir(tmp_path)
    assert keepstep("--config", str(config), "secrets", "apply", "./app").code == 0
    assert keepstep("--config", str(config), "secrets", "apply", "app").code == 5
