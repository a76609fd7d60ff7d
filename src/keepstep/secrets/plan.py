"""From a map and settings to targets: merged, checked against each other, owners looked up."""

from __future__ import annotations

import grp
import pwd
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from keepstep.containers.interface import RELOAD, RESTART, Kind, Notice
from keepstep.containers.signals import signal_name
from keepstep.errors import ConfigError, Error
from keepstep.secrets.content import Whole
from keepstep.secrets.delivery import Content, Delivery, FileAttributes, Target, path_of
from keepstep.secrets.map import Map, MapRow, Mistake
from keepstep.secrets.recipes import RECIPES
from keepstep.secrets.settings import Notify, SecretFile, SecretSet, SetFile
from keepstep.secrets.templates import Template
from keepstep.text import printable
from keepstep.vaults.address import parse


@dataclass
class Plan:
    """What a job is to bring in step, and what of it could not be understood."""

    targets: list[Target] = field(default_factory=list)
    mistakes: list[Mistake] = field(default_factory=list)
    _taken: dict[str, int] = field(default_factory=dict)
    """Which target has a path."""

    def attempt(self, where: str, make: Callable[[], Iterable[Target]]) -> None:
        """Adds what ``make`` gives, or notes what is wrong with it."""
        try:
            for target in make():
                self._add(target)
        except ValueError as exc:
            self.mistakes.append(Mistake(where, ConfigError(str(exc))))
        except Error as exc:
            self.mistakes.append(Mistake(where, exc))

    def _add(self, target: Target) -> None:
        paths = {target.path, *(delivery.path for delivery in target.deliveries)}
        if taken := next((path for path in sorted(paths) if path in self._taken), None):
            other = self.targets[self._taken[taken]]
            if other.deliveries != target.deliveries or other.folder or target.folder:
                raise ConfigError(f"{printable(taken)} is delivered to already, with something else")
            both = dict.fromkeys((*other.notices, *target.notices))
            self.targets[self._taken[taken]] = replace(other, notices=tuple(both))
            return
        self._taken.update(dict.fromkeys(paths, len(self.targets)))
        self.targets.append(target)


def make_plan(map_: Map | None = None, files: Sequence[SecretFile] = (), sets: Sequence[SecretSet] = ()) -> Plan:
    """Mistakes do not stop what is right. Of two that want the same path with something else the first one has it.

    Lines of a map that say the same of a path, but name different containers, are one target.
    """
    map_ = map_ or Map()
    plan = Plan(mistakes=list(map_.mistakes))
    for row in map_.rows:
        plan.attempt(f"{map_.name} line {row.line}", partial(_of_row, row))
    for number, file in enumerate(files, 1):
        plan.attempt(f"file {number}", partial(_of_file, file))
    for number, group in enumerate(sets, 1):
        plan.attempt(f"set {number}", partial(_of_set, group))
    return plan


def _of_row(row: MapRow) -> list[Target]:
    delivery = Delivery(path=row.path, content=Whole(row.address), attributes=row.attributes)
    return [Target(deliveries=(delivery,), notices=(row.notice,) if row.notice else ())]


def _of_file(file: SecretFile) -> list[Target]:
    content, attributes, notices = _content_of(file), _attributes_of(file), _notices_of(file.notify)
    return [
        Target(deliveries=(Delivery(path=path_of(path), content=content, attributes=attributes),), notices=notices)
        for path in file.path
    ]


def _of_set(group: SecretSet) -> list[Target]:
    folder = path_of(group.path)
    deliveries = []
    for file in group.file:
        if "/" in file.name:
            raise ConfigError(f"{printable(file.name)} is not a file name", hint="the folder is the set's path")
        path = path_of(f"{folder}/{file.name}")
        deliveries.append(Delivery(path=path, content=_content_of(file), attributes=_attributes_of(file)))
    if len({delivery.path for delivery in deliveries}) < len(deliveries):
        raise ConfigError(f"the set {printable(folder)} has the same name twice")
    return [Target(deliveries=tuple(deliveries), notices=_notices_of(group.notify), folder=folder)]


def _content_of(file: SecretFile | SetFile) -> Content:
    if file.secret is not None:
        return Whole(parse(file.secret), file.encoding)
    secrets = {name: parse(address) for name, address in file.secrets.items()}
    if file.template is not None:
        return Template(file.template, secrets)
    path = Path(file.template_file or "")
    try:
        return Template(path.read_text(encoding="utf-8"), secrets, str(path))
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(
            f"cannot read the template {path}: {getattr(exc, 'strerror', 'it is not UTF-8')}"
        ) from exc


def _attributes_of(file: SecretFile | SetFile) -> FileAttributes:
    uid = _number_of(file.owner, lambda name: pwd.getpwnam(name).pw_uid, "user")
    gid = _number_of(file.group, lambda name: grp.getgrnam(name).gr_gid, "group")
    return FileAttributes(file.mode, uid, gid)


def _number_of(name: str | None, look_up: Callable[[str], int], what: str) -> int | None:
    if name is None or name.isdecimal():
        return None if name is None else int(name)
    try:
        return look_up(name)
    except KeyError:
        raise ConfigError(f"there is no {what} {name} on this machine") from None


def _notices_of(wanted: Sequence[Notify]) -> tuple[Notice, ...]:
    return tuple(dict.fromkeys(notice for each in wanted if (notice := _notice_of(each))))


def _notice_of(wanted: Notify) -> Notice | None:
    whom = next((kind, given) for kind in Kind if (given := getattr(wanted, kind.value)))
    if wanted.restart:
        return Notice(*whom, RESTART)
    if wanted.signal:
        return Notice(*whom, signal_name(wanted.signal))
    what = RECIPES[wanted.recipe].what if wanted.recipe else RELOAD
    return Notice(*whom, what) if what else None
