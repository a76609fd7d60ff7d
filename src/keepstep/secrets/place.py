"""One target brought in step: looked at, decided on, replaced where it differs. Blocks; runs on a thread."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from keepstep.containers.interface import Notice
from keepstep.errors import ConfigError, Error, NotFound
from keepstep.secrets.delivery import Delivery, FileAttributes, Target
from keepstep.secrets.diff import FileChange, FileDecision, Is, Observed, decide
from keepstep.secrets.files import observe, replace, sweep
from keepstep.secrets.folders import hint_for, opened
from keepstep.secrets.markers import clear, due, hand_over, set_markers
from keepstep.secrets.memory_fs import is_in_memory
from keepstep.secrets.sets import has_strays, observe_set, sweep_set, switch
from keepstep.text import printable

_CHANGES = (FileChange.CREATE, FileChange.REPLACE)


@dataclass(frozen=True, slots=True)
class Placed:
    """What was found and done."""

    decisions: list[tuple[Delivery, FileDecision]]
    """One for each delivery, in the target's order."""
    due: list[Notice]
    """Of the target's notices: those to be delivered now."""

    @property
    def changed(self) -> list[tuple[Delivery, FileDecision]]:
        return [(delivery, decision) for delivery, decision in self.decisions if decision.verdict in _CHANGES]


def place(target: Target, contents: Sequence[bytes]) -> Placed:
    """Brings the target in step with ``contents``, one for each delivery.

    When it returns the files are there with their modes and owners, or were so before; and every notice that is due
    has its marker. Raises :class:`Error`; the last files then stay, and nothing is left behind. May be repeated.
    """
    with opened(folder_of(target), _attributes_of(target), create=True) as folder, _translated(target.path):
        decisions = _decisions(target, folder, contents)
        if not any(decision.verdict in _CHANGES for _, decision in decisions):
            return Placed(decisions, due(folder, target.path, target.notices))
        _change(target, folder, contents)
        return Placed(decisions, list(target.notices))


def _change(target: Target, folder: int, contents: Sequence[bytes]) -> None:
    def before() -> None:
        set_markers(folder, target.path, target.notices)

    all_attributes = [delivery.attributes for delivery in target.deliveries]
    files = zip(_names(target), contents, all_attributes, strict=True)
    if target.folder:
        switch(folder, {name: (content, attributes) for name, content, attributes in files}, before)
        sweep_set(folder)
    else:
        [(name, content, attributes)] = files
        replace(folder, name, content, attributes, before)


def preview(target: Target, contents: Sequence[bytes]) -> Placed:
    """What :func:`place` would do; nothing is touched."""
    try:
        with opened(folder_of(target), _attributes_of(target), create=False) as folder, _translated(target.path):
            return Placed(_decisions(target, folder, contents), due(folder, target.path, target.notices))
    except NotFound:
        nothing = Observed(Is.NOTHING)
        pairs = zip(target.deliveries, contents, strict=True)
        return Placed(
            [(delivery, decide(nothing, content, delivery.attributes)) for delivery, content in pairs], []
        )


def tidy(targets: Iterable[Target]) -> None:
    """Removes what killed runs left behind and corrects pending notices, once per folder. Raises nothing."""
    of_folder: dict[str, list[Target]] = {}
    for target in targets:
        of_folder.setdefault(folder_of(target), []).append(target)
    for path, there in of_folder.items():
        with suppress(Error), opened(path, _attributes_of(there[-1]), create=False) as folder:
            sweep(folder)
            sweep_set(folder)
            hand_over(folder, {target.path: target.notices for target in there})


def is_on_disk(target: Target) -> bool:
    """True when the target's folder is known not to be in memory. Raises nothing."""
    with suppress(Error), opened(folder_of(target), _attributes_of(target), create=False) as folder:
        return is_in_memory(folder) is False
    return False


def observe_target(target: Target) -> list[Observed]:
    """What stands at each delivery's path."""
    try:
        with opened(folder_of(target), _attributes_of(target), create=False) as folder, _translated(target.path):
            return _observed(target, folder)
    except NotFound:
        return [Observed(Is.NOTHING)] * len(target.deliveries)


def still_due(target: Target) -> list[Notice]:
    """Notices that earlier runs owe, for a target that cannot be brought in step now. Raises nothing."""
    with suppress(Error), opened(folder_of(target), _attributes_of(target), create=False) as folder:
        return due(folder, target.path, target.notices)
    return []


def delivered(target: Target, notices: Sequence[Notice]) -> None:
    """Forgets what is due, once it was delivered. Raises nothing: in doubt it is delivered again."""
    with suppress(Error), opened(folder_of(target), _attributes_of(target), create=False) as folder:
        clear(folder, target.path, notices)


def _decisions(target: Target, folder: int, contents: Sequence[bytes]) -> list[tuple[Delivery, FileDecision]]:
    triples = zip(target.deliveries, _observed(target, folder), contents, strict=True)
    decisions = [(delivery, decide(found, content, delivery.attributes)) for delivery, found, content in triples]
    for delivery, decision in decisions:
        if decision.verdict is FileChange.REFUSE:
            raise ConfigError(
                f"{printable(delivery.path)}: {decision.reason}", hint="remove it, or deliver the secret elsewhere"
            )
    if target.folder and has_strays(folder, _names(target)):
        return [
            (delivery, FileDecision(FileChange.REPLACE, "the set has fewer files")) for delivery, _ in decisions
        ]
    return decisions


def _observed(target: Target, folder: int) -> list[Observed]:
    names = _names(target)
    if target.folder:
        found = observe_set(folder, names)
        return [found[name] for name in names]
    return [observe(folder, names[0])]


def folder_of(target: Target) -> str:
    """Where the target's files, or names, are."""
    return target.folder or os.path.dirname(target.path)


def _attributes_of(target: Target) -> FileAttributes:
    """The attributes that decide on folders: those of the most open file of a set."""
    return max(
        (delivery.attributes for delivery in target.deliveries), key=lambda attributes: attributes.folder_mode
    )


def _names(target: Target) -> list[str]:
    return [os.path.basename(delivery.path) for delivery in target.deliveries]


@contextmanager
def _translated(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise Error(f"{printable(path)}: {exc.strerror}", hint=hint_for(path, exc)) from exc
