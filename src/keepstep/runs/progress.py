"""Progress of a run: an observer that counts and passes everything on to the next one."""

from __future__ import annotations

from typing import Any, Protocol

from keepstep.runs.report import Action, Failure


class Observer(Protocol):
    """An observer of a sync; see ``keepstep.objects.account``."""

    def planned(self, objects: int, size: int) -> None: ...

    def moved(self, size: int) -> None: ...

    def did(self, action: Action) -> None: ...

    def failed(self, failure: Failure) -> None: ...

    def warned(self, text: str) -> None: ...


class Progress:
    """Counts objects and bytes, planned and done."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._planned = self._size = self._done = self._bytes = self._failed = 0

    def shown(self) -> dict[str, Any]:
        """Objects and bytes: ``planned``, ``size``, ``done``, ``bytes``, ``failed``."""
        return {
            "planned": self._planned,
            "size": self._size,
            "done": self._done,
            "bytes": self._bytes,
            "failed": self._failed,
        }

    def planned(self, objects: int, size: int) -> None:
        self._planned += objects
        self._size += size
        self._observer.planned(objects, size)

    def moved(self, size: int) -> None:
        self._bytes += size
        self._observer.moved(size)

    def did(self, action: Action) -> None:
        self._done += action.action in ("upload", "download", "copy")
        self._observer.did(action)

    def failed(self, failure: Failure) -> None:
        self._failed += 1
        self._observer.failed(failure)

    def warned(self, text: str) -> None:
        self._observer.warned(text)
