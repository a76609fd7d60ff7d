"""Our schedules beside the real thing: Debian's crontab judges the grammar, its cron (under faketime) the times."""

from __future__ import annotations

import os
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from keepstep.schedules.schedule import parse_schedule
from tests.servers import absent

_STRICTER = ["5-1 * * * *", "* * * * fri-sun", "*-5 * * * *", "1~5 * * * *", "**/5 * * * *", "5* * * * *"]
"""Debian takes them; the first two never fire, the others mean nothing that a page documents."""
_COMMON = [
    "* * * * *",
    "*/15 * * * *",
    "1-5/2 * * * *",
    "5/2 * * * *",
    "* * * * mon-fri",
    "* * * * 5-7",
    "* * * * Sun,7",
    "* * * * monday",
    "* * * jan-MAR *",
    "60 * * * *",
    "* 24 * * *",
    "* * 0 * *",
    "* * * 13 *",
    "* * * * 8",
    "*/0 * * * *",
    "1,,2 * * * *",
    "1, * * * *",
    "*/70 * * * *",
    "*,5 * * * *",
    "01 002 * * *",
    "? * * * *",
    "L * * * *",
    "+5 * * * *",
    "-5 * * * *",
    "* * * * 0-7",
    "@hourly",
    "@HOURLY",
    "@annually",
    "@fortnightly",
    "* * * *",
]


@pytest.fixture
def crontab() -> str:
    return shutil.which("crontab") or absent("Debian's cron", "apt-get install cron")


def ours(text: str) -> bool:
    try:
        parse_schedule(text, UTC)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("text", _COMMON)
def test_the_grammar_is_crontabs(crontab: str, tmp_path: Path, text: str) -> None:
    """What crontab takes we take, what it refuses we refuse."""
    assert ours(text) is takes(crontab, tmp_path, text)


@pytest.mark.parametrize("text", _STRICTER)
def test_accidents_are_refused(crontab: str, tmp_path: Path, text: str) -> None:
    """What crontab takes though it means nothing is refused by us."""
    assert takes(crontab, tmp_path, text)
    assert not ours(text)


def takes(crontab: str, folder: Path, text: str) -> bool:
    table = folder / "table"
    table.write_text(f"{text} true\n")
    return subprocess.run([crontab, "-n", table], capture_output=True, timeout=30).returncode == 0


_LINES = [
    "* * * * *",
    "*/2 * * * *",
    "0 * * * *",
    "0 3 * * *",
    "0 2 * * *",
    "30 2 * * *",
    "59 2 * * *",
    "*/30 2 * * *",
    "30 */2 * * *",
    "1 3 * * *",
    "@hourly",
    "@daily",
    "* * * * sun",
    "* * * * 7",
    "* * * * 6",
    "* * */2 * mon",
    "* * 29 * mon",
    "* * 30 * sun",
    "* * 30 * mon",
    "* * 1-31 mar *",
    "* * 1-31 apr *",
]


@pytest.mark.parametrize(
    ("start", "why"),
    [
        ("2026-03-29 01:59:57", "the clock is put forward: what is skipped comes at once"),
        ("2026-03-30 01:59:57", "an ordinary Monday"),
    ],
)
def test_the_times_are_crons(tmp_path: Path, start: str, why: str) -> None:
    """A real cron, at a time of our choice, starts exactly the lines that are due by our reckoning."""
    cron, fake = shutil.which("cron"), _faketime()
    if not cron or os.getuid() != 0:
        absent("Debian's cron as root", "apt-get install cron libfaketime")
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode:
        absent("a mount namespace of one's own", "a plain chroot has none; a container or a machine has")
    fired = tmp_path / "fired"
    fired.mkdir()
    table = "".join(f"{line} /usr/bin/touch {fired}/{number}\n" for number, line in enumerate(_LINES))
    (tmp_path / "table").write_text(table)
    subprocess.run(
        [
            "unshare",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "bash",
            "-c",
            _PRIVATE,
            "-",
            tmp_path / "table",
            fired,
        ],
        env={"PATH": os.environ["PATH"], "TZ": "Europe/Berlin", "FAKETIME": f"@{start}", "LIBFAKETIME": fake},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=120,
    )
    began = datetime.fromisoformat(start).replace(tzinfo=ZoneInfo("Europe/Berlin")).astimezone(UTC)
    until = began + timedelta(seconds=40)
    due = {n for n, line in enumerate(_LINES) if (_next(line, began) or until) < until}
    assert {int(path.name) for path in fired.iterdir()} == due, why


def _next(line: str, moment: datetime) -> datetime | None:
    return parse_schedule(line, ZoneInfo("Europe/Berlin")).after(moment)


# cron's own folders are the namespace's; it runs until the line that is always due has fired, and a second longer
_PRIVATE = """
set -e
mount -t tmpfs tmpfs /var/spool; mount -t tmpfs tmpfs /run
mkdir -p /var/spool/cron/crontabs
install -m 600 "$1" /var/spool/cron/crontabs/root
chgrp crontab /var/spool/cron/crontabs/root
LD_PRELOAD=$LIBFAKETIME timeout 60 cron -f &
for _ in $(seq 500); do [ -e "$2/0" ] && break; sleep 0.1; done
sleep 1
"""


def _faketime() -> str:
    for path in sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1")):
        return str(path)
    return absent("libfaketime", "apt-get install faketime")
