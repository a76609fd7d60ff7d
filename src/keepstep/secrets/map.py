"""``map.csv``: one secret a line, ``ocid,path,mode,container,signal``.

Lines that are blank or begin with ``#`` are skipped; fields may be quoted; lines may end in CRLF, the last one
in nothing. Mode, container and signal may be left out: 0600, and nobody is notified. The first column is any
address of a secret; the signal is a name or number, or ``restart``; the container is a name, or
``label:KEY=VALUE``.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from keepstep.containers.interface import RESTART, Kind, Notice
from keepstep.containers.signals import signal_name
from keepstep.errors import ConfigError, Error
from keepstep.secrets.delivery import FileAttributes, mode_of, path_of
from keepstep.trust import trusted
from keepstep.vaults.address import SecretAddress, parse

DEFAULT_PATHS = (Path("/etc/oci-secretsync/map.csv"), Path("/etc/keepstep/map.csv"))
_COLUMNS = 5
_PADDED = re.compile(r'"[ \t]+(,|$)')
"""White space behind a quoted field, which the csv module takes for a part of it."""


@dataclass(frozen=True, slots=True)
class MapRow:
    """One line that makes sense."""

    line: int
    address: SecretAddress
    path: str
    attributes: FileAttributes
    notice: Notice | None = None


@dataclass(frozen=True, slots=True)
class Mistake:
    """Something that could not be understood; the rest goes on without it."""

    where: str
    error: Error


def first_of(mistakes: Sequence[Mistake], *, within: str = "") -> ConfigError:
    """The error for all of them, of which there is at least one: the first, and how many more there are."""
    first = mistakes[0]
    more = f" (and {len(mistakes) - 1} more)" if len(mistakes) > 1 else ""
    return ConfigError(f"{within}{first.where}: {first.error.message}{more}", hint=first.error.hint)


@dataclass
class Map:
    """What a map file says."""

    name: str = "map"
    rows: list[MapRow] = field(default_factory=list)
    mistakes: list[Mistake] = field(default_factory=list)


def find_map() -> Path:
    """The first of the default files that exists. Raises :class:`ConfigError`."""
    found = next((path for path in DEFAULT_PATHS if os.path.exists(path)), None)
    if found is None:
        raise ConfigError(f"there is no map file: neither {' nor '.join(map(str, DEFAULT_PATHS))}", hint=_FORMAT)
    return trusted(found, hint=f"name it, if you trust it: keepstep secrets apply {found}")


def read_map(path: Path) -> Map:
    """Raises :class:`ConfigError` when the file cannot be read at all."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise ConfigError(f"there is no map file {path}", hint=_FORMAT) from None
    except OSError as exc:
        raise ConfigError(f"cannot read the map file {path}: {exc.strerror}") from exc
    return parse_map(content, str(path))


def parse_map(content: bytes, name: str = "map") -> Map:
    """Bad lines are named with their number, and do not stop the good ones."""
    found = Map(name)
    text = content.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
    for number, line in enumerate(text.split("\n"), 1):
        line = line.removesuffix("\r")
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            found.rows.append(_row(number, line))
        except (ValueError, csv.Error) as exc:
            found.mistakes.append(Mistake(f"{name} line {number}", ConfigError(str(exc), hint=_FORMAT)))
        except Error as exc:
            found.mistakes.append(Mistake(f"{name} line {number}", exc))
    return found


_FORMAT = "each line is: ocid,path,mode,container,signal"


def _row(number: int, line: str) -> MapRow:
    line = _PADDED.sub(r'"\1', line)
    fields = [field.strip() for field in next(csv.reader([line], strict=True, skipinitialspace=True))]
    if not 2 <= len(fields) <= _COLUMNS:
        raise ValueError(f"{len(fields)} fields, where there must be 2 to {_COLUMNS}")
    address, path, mode, container, signal = fields + [""] * (_COLUMNS - len(fields))
    return MapRow(
        number, parse(address), path_of(path), FileAttributes(mode_of(mode or "0600")), notice_of(container, signal)
    )


def notice_of(container: str, signal: str) -> Notice | None:
    """None unless both are given, as in the map's oldest form. Raises ``ValueError``."""
    if not container or not signal:
        return None
    what = RESTART if signal.lower() == RESTART else signal_name(signal)
    if container.startswith("label:"):
        return Notice(Kind.LABEL, container.removeprefix("label:"), what)
    return Notice(Kind.CONTAINER, container, what)
