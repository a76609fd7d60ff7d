"""Small files that are flushed together."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from keepstep.clouds.workers import Workers
from keepstep.stores.group_commit import GroupCommit
from keepstep.stores.local_files import TemporaryFile


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "files").mkdir()
    return tmp_path / "files"


def temporary(folder: Path, name: str) -> TemporaryFile:
    file = TemporaryFile(os.open(folder, os.O_RDONLY | os.O_DIRECTORY), name, name)
    file.write(name.encode(), 0)
    file.complete(None, len(name))
    return file


@pytest.mark.parametrize("at_once", [1, 2, 3, 8])
def test_no_file_is_forgotten(folder: Path, at_once: int) -> None:
    """Also one that comes in the very moment in which all groups have ended is given its name."""

    async def scene() -> None:
        workers = Workers()
        group = GroupCommit(workers)

        async def write(writer: int) -> None:
            for number in range(150):
                name = f"{writer}-{number}"
                await group.appear(temporary(folder, name))
                for _ in range((writer + number) % 4):
                    await asyncio.sleep(0)

        async with asyncio.timeout(60):
            await asyncio.gather(*map(write, range(at_once)))
        workers.close()

    asyncio.run(scene())
    names = {f"{writer}-{number}" for writer in range(at_once) for number in range(150)}
    assert {path.name for path in folder.iterdir()} == names
    assert all(path.read_text() == path.name for path in folder.iterdir())


def test_files_that_come_as_the_last_group_ends(folder: Path) -> None:
    """Between a task's end and the loop's notice of it there are moments in which others run."""

    class Instantly(GroupCommit):
        async def _flush(self, group: list[TemporaryFile]) -> bool:
            return True

    async def scene() -> None:
        workers = Workers()
        group = Instantly(workers)

        async def write(name: str) -> None:
            await group.appear(temporary(folder, name))

        async with asyncio.timeout(30):
            for number in range(100):
                await asyncio.gather(write(f"{number}a"), write(f"{number}b"))
                for _ in range(number % 3):
                    await asyncio.sleep(0)
        workers.close()

    asyncio.run(scene())
    assert len(list(folder.iterdir())) == 200


def test_who_closes_waits_for_what_was_handed_in(folder: Path) -> None:
    """Files whose callers have gone still appear before the threads that flush them end."""

    async def scene() -> None:
        workers = Workers()
        group = GroupCommit(workers)
        for number in range(5):
            group.appear(temporary(folder, str(number))).cancel()
        async with asyncio.timeout(10):
            await group.finish()
        workers.close()

    asyncio.run(scene())
    assert sorted(path.name for path in folder.iterdir()) == [*"01234"]


def test_an_unexpected_error_reaches_everybody_who_waits(folder: Path) -> None:
    """When flushing itself fails, every file of the group fails, none stays behind, and later ones are written."""

    class Broken(GroupCommit):
        is_broken = True

        async def _flush(self, group: list[TemporaryFile]) -> bool:
            if self.is_broken:
                raise MemoryError("no room")
            return await super()._flush(group)

    async def scene() -> None:
        workers = Workers()
        group = Broken(workers)
        async with asyncio.timeout(20):
            waiting = [group.appear(temporary(folder, name)) for name in ("a", "b", "c")]
            errors = await asyncio.gather(*waiting, return_exceptions=True)
            assert [type(error) for error in errors] == [MemoryError] * 3
            assert list(folder.iterdir()) == []
            group.is_broken = False
            await group.appear(temporary(folder, "d"))
            await group.finish()
        workers.close()

    asyncio.run(scene())
    assert [path.name for path in folder.iterdir()] == ["d"]
