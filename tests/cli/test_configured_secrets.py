"""Whatever field of the configuration holds a secret, and whatever mistake is in it: it is written nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.inprocess import keepstep

SECRET = "hunter2Zq9"

FIELDS: dict[str, list[str]] = {
    "state.url": [
        '"postgre://u:{}@127.0.0.1:1/d"',
        '"postgresql://u:{}@127.0.0.1:1/d"',
        '"postgresql://u:{}%Se@127.0.0.1:1/d"',
        '"postgresql://u:{}@x@127.0.0.1:1/d"',
        '"postgresql://u:{}/x@127.0.0.1:1/d"',
        '"postgresql://u:{}#x@127.0.0.1:1/d"',
        '"postgresql://u:{}@127.0.0.1:1/d?nonsense={}"',
        '"postgresql://127.0.0.1:1/d?user=u&password={}"',
        '"postgresql://u@127.0.0.1:1/d?password={}&connect_timeout=x"',
        '"mysql://u:{}@h/d"',
        '"host=127.0.0.1 password={}"',
        '["postgresql://u:{}@h/d"]',
        '{ password = "{}" }',
        '"sqlite://{}"',
    ],
    "alerts.urls": [
        '["slack://{}/B/C"]',
        '["mailto:u:{}@127.0.0.1"]',
        '["mailtos://u:{}@127.0.0.1:1?to=a@b.example"]',
        '["https://{}@127.0.0.1:1/"]',
        '["json://127.0.0.1:1/?token={}"]',
        '["json://u:{}@127.0.0.1:1/{}"]',
        '["{}"]',
        '["{}://h"]',
        '"slack://{}"',
        '[{{ url = ["{}"] }}]',
        '[{{ "{}" = "x" }}]',
        '[{{ name = "{}\\u0001", url = "x" }}]',
        '[["{}"]]',
        '{{ "{}" = 1 }}',
    ],
    "dashboard.token": ['"{}"', '["{}-and-some-more"]', '{{ x = "{}" }}', '"{}-and-some-more"'],
    "job.j.params": ['"--sse-c-key {} --sse-c AES256"', '"--sse-c-copy-source-key {} --nonsense"'],
}
"""By key, TOML with a place for the secret; most of it is wrong."""

CASES = [(key, text) for key, texts in FIELDS.items() for text in texts]


def configured(folder: Path, key: str, text: str) -> Path:
    table, _, name = key.rpartition(".")
    value = text.replace("{{", "\x01").replace("}}", "\x02").replace("{}", SECRET)
    value = value.replace("\x01", "{").replace("\x02", "}")
    tables: dict[str, list[str]] = {
        "state": [f'url = "sqlite:///{folder}/state/state.db"'],
        "dashboard": ['listen = "127.0.0.1:1"'],
        "alerts": [],
        "job.j": ['kind = "sync"', f'source = "{folder}/none"', f'target = "{folder}/out"'],
    }
    tables[table] = [line for line in tables[table] if not line.startswith(f"{name} ")] + [f"{name} = {value}"]
    path = folder / "keepstep.toml"
    path.write_text("\n".join(f"[{name}]\n" + "\n".join(lines) for name, lines in tables.items()))
    path.chmod(0o600)
    return path


@pytest.mark.parametrize(("key", "text"), CASES)
def test_no_secret_is_shown(tmp_path: Path, key: str, text: str) -> None:
    """By check, doctor, status, a run and its alert; on stdout, stderr, in reports and in the state."""
    config = configured(tmp_path, key, text)
    for words in (["config", "check"], ["doctor", "--json"], ["status"], ["sync", "j"], ["status", "j", "--json"]):
        ran = keepstep("--config", str(config), *words)
        said = f"{ran.out}{ran.err}"
        assert SECRET not in said, words
        assert "Traceback" not in said
        assert ran.code in (0, 1, 2, 5)
    for path in tmp_path.rglob("*"):
        if path.is_file() and path != config:
            assert SECRET.encode() not in path.read_bytes(), path


def test_a_file_that_is_no_toml_is_not_quoted(tmp_path: Path) -> None:
    """A syntax error beside a secret is told by its place alone."""
    twice = f'"{SECRET}" = 1\n"{SECRET}" = 2'
    wrong = (f'[dashboard]\ntoken = "{SECRET}', f"[alerts]\nurls = [{SECRET}]", SECRET, twice)
    for number, text in enumerate(wrong):
        path = tmp_path / f"{number}.toml"
        path.write_text(text)
        ran = keepstep("--config", str(path), "config", "check")
        assert ran.code == 5 and SECRET not in ran.err and "not TOML" in ran.err
