"""A source whose links are not followed: none is read, also none that took a file's place after it was listed."""

from __future__ import annotations

from pathlib import Path

import pytest

from keepstep.cli.running import run
from keepstep.errors import Error
from keepstep.stores.address import Address
from keepstep.stores.local import LocalStore


def test_a_link_that_takes_a_files_place_is_not_read(tmp_path: Path) -> None:
    """What was listed as a file and is a link by now is an error, and what it leads to is not read."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "secret").write_text("secret")
    (folder / "file").write_text("harmless")

    async def main() -> None:
        store = LocalStore(Address("local", path=str(folder)), follow=False)
        [entry] = [page.entry(n) async for page in store.list() for n in range(len(page))]
        (folder / "file").unlink()
        (folder / "file").symlink_to(tmp_path / "secret")
        try:
            with pytest.raises(Error, match="file"):
                await store.open(entry, 100)
        finally:
            await store.close()

    run(main())


@pytest.mark.parametrize("writable", [False, True], ids=["source", "target"])
@pytest.mark.parametrize("replaced", ["folder", "folder/a", "folder/a/b"])
def test_a_link_that_takes_a_folders_place_is_not_followed(tmp_path: Path, replaced: str, writable: bool) -> None:
    """A folder on the way, or the root itself, that is a link by now leads nowhere: nothing behind it is read."""
    (tmp_path / "folder/a/b").mkdir(parents=True)
    (tmp_path / "folder/a/b/file").write_text("listed")
    for depth in ("", "a", "a/b"):
        (tmp_path / "secret" / depth / "b").mkdir(parents=True, exist_ok=True)
    for way in ("file", "b/file", "a/b/file"):
        (tmp_path / "secret" / way).write_text("secret")

    async def main() -> None:
        store = LocalStore(Address("local", path=str(tmp_path / "folder")), follow=False, writable=writable)
        [entry] = [page.entry(n) async for page in store.list() for n in range(len(page))]
        (tmp_path / replaced).rename(tmp_path / "aside")
        (tmp_path / replaced).symlink_to(tmp_path / "secret")
        try:
            source = await store.open(entry, 100)
            assert source.first == b"listed", "the folder that was listed, wherever it is now"
        except Error as exc:
            assert "link" in exc.message
        finally:
            await store.close()

    run(main())
