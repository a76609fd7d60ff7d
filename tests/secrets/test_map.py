"""``map.csv``, line by line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepstep.containers.interface import Kind, Notice
from keepstep.errors import ConfigError
from keepstep.secrets import map as map_module
from keepstep.secrets.map import Map, find_map, parse_map, read_map

OCID = "ocid1.vaultsecret.oc1..aaaa...dbpass"
OTHER = "ocid1.vaultsecret.oc1.iad.bbbb"


def test_the_first_descriptions_example() -> None:
    """The example that the old script's description gives is read as it is meant."""
    text = f"""# ocid,path,mode,container,signal
{OCID},/run/secrets/db_password,0600,myapp,HUP
{OTHER},/run/secrets/smtp_password,0600,mailrelay,USR1
{OTHER},/run/secrets/my_api_key,0400,,
"""
    found = parse_map(text.encode())
    assert not found.mistakes
    assert [(row.path, row.attributes.mode, row.notice) for row in found.rows] == [
        ("/run/secrets/db_password", 0o600, Notice(Kind.CONTAINER, "myapp", "SIGHUP")),
        ("/run/secrets/smtp_password", 0o600, Notice(Kind.CONTAINER, "mailrelay", "SIGUSR1")),
        ("/run/secrets/my_api_key", 0o400, None),
    ]


@pytest.mark.parametrize(
    ("line", "mode", "notice"),
    [
        (f"{OCID},/run/x", 0o600, None),
        (f"{OCID},/run/x,", 0o600, None),
        (f"{OCID},/run/x,640", 0o640, None),
        (f"{OCID},/run/x,,web,HUP", 0o600, Notice(Kind.CONTAINER, "web", "SIGHUP")),
        (f"{OCID},/run/x,0600,web,", 0o600, None),
        (f"{OCID},/run/x,0600,,HUP", 0o600, None),
        (f"{OCID},/run/x,0600,web", 0o600, None),
        (f'"{OCID}" , "/run/x" ,"0600", "web","HUP"', 0o600, Notice(Kind.CONTAINER, "web", "SIGHUP")),
        (f"  {OCID} , /run/x , 0600 , web , 1 ", 0o600, Notice(Kind.CONTAINER, "web", "SIGHUP")),
        (f"{OCID},/run//./x,0600,web,restart", 0o600, Notice(Kind.CONTAINER, "web", "restart")),
        (f"{OCID},/run/x,0600,label:tier=web,SIGUSR1", 0o600, Notice(Kind.LABEL, "tier=web", "SIGUSR1")),
        (f"{OCID},/run/x,0600,web,HUP\r", 0o600, Notice(Kind.CONTAINER, "web", "SIGHUP")),
    ],
)
def test_good_lines(line: str, mode: int, notice: Notice | None) -> None:
    """Columns may be left out, quoted and padded; lines may end in CRLF or at the end of the file."""
    found = parse_map(line.encode())
    assert not found.mistakes
    [row] = found.rows
    assert (row.path, row.attributes.mode, row.notice) == ("/run/x", mode, notice)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("hunter2,/run/x", "not the address"),
        (OCID, "1 fields"),
        (f"{OCID},/run/x,0600,web,HUP,more", "6 fields"),
        (f"{OCID},run/x", "absolute"),
        (f"{OCID},/run/../etc/shadow", ".."),
        (f"{OCID},/run/", "absolute"),
        (f"{OCID},", "absolute"),
        (f"{OCID},/run/x\0y", "NUL"),
        (f"{OCID},/run/..data", "reserved for keepstep's own"),
        (f"{OCID},/run/x,rw", "is not a file mode"),
        (f"{OCID},/run/x,4755", "is not a file mode"),
        (f"{OCID},/run/x,0688", "is not a file mode"),
        (f"{OCID},/run/x,0600,web,BOGUS", "is not a signal"),
        (f'"{OCID},/run/x', "unexpected end"),
        (f'"{OCID}"x,/run/x', "expected after"),
    ],
)
def test_bad_lines_are_named_and_stop_nobody(line: str, says: str) -> None:
    """A line that makes no sense is named with its number, and the lines around it are done."""
    found = parse_map(f"{OCID},/run/a\n\n{line}\n{OTHER},/run/b\n".encode(), "m.csv")
    assert [row.path for row in found.rows] == ["/run/a", "/run/b"]
    [mistake] = found.mistakes
    assert mistake.where == "m.csv line 3"
    assert says in mistake.error.message
    assert mistake.error.hint
    assert "hunter2" not in mistake.error.message


@pytest.mark.parametrize("text", ["", "\n", "# x\n", "   \t\n", "  # indented\r\n", "\ufeff# with a mark\n"])
def test_nothing_to_do(text: str) -> None:
    """Blank lines and comments, indented or not, are not lines."""
    assert parse_map(text.encode()) == Map()


def test_a_byte_order_mark_and_bytes_that_are_no_text() -> None:
    """Editors' marks are skipped; a path may have any bytes but NUL."""
    found = parse_map(b"\xef\xbb\xbf" + OCID.encode() + b",/run/caf\xe9\n")
    assert [row.path.encode("utf-8", "surrogateescape") for row in found.rows] == [b"/run/caf\xe9"]


@given(st.binary(max_size=200) | st.text(alphabet=f'{OCID},/"#\r\n run0123456789HUP', max_size=300).map(str.encode))
def test_any_bytes_are_read(content: bytes) -> None:
    """Whatever a file holds, each of its lines is a row, a mistake or nothing; no other error comes of it."""
    found = parse_map(content)
    assert len(found.rows) + len(found.mistakes) <= content.count(b"\n") + 1
    assert all(row.path.startswith("/") and "/../" not in row.path for row in found.rows)


def test_the_default_maps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old place goes before the new one; where there is neither, both are named."""
    old, new = tmp_path / "old.csv", tmp_path / "new.csv"
    monkeypatch.setattr(map_module, "DEFAULT_PATHS", (old, new))
    with pytest.raises(ConfigError, match=r"neither .*old\.csv nor .*new\.csv"):
        find_map()
    new.touch()
    assert find_map() == new
    old.touch()
    assert find_map() == old


def test_a_map_that_cannot_be_read(tmp_path: Path) -> None:
    """A missing map, and a folder in its place, are the user's to fix."""
    with pytest.raises(ConfigError, match="no map file"):
        read_map(tmp_path / "x.csv")
    with pytest.raises(ConfigError, match="cannot read"):
        read_map(tmp_path)
