"""The connection blob follows the credential, and never goes back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from keepstep.errors import Conflict, ExitCode
from keepstep.rotation.blob import build, keep_on_aws, keep_on_oci
from keepstep.rotation.credential import Credential
from keepstep.secret import Secret
from keepstep.testing.staging import MemoryLabels, MemoryRevisions
from keepstep.vaults.interface import SecretValue
from tests.rotation.memory import MemoryScene
from tests.rotation.null_watcher import Silence

Keep = Callable[..., Coroutine[Any, Any, bool]]


def blob_of(gen: int) -> Secret:
    return build(Credential(gen, "app", Secret(f"password-{gen}")), ())


def backend(cloud: str, gen: int) -> tuple[Any, Keep]:
    if cloud == "aws":
        labels = MemoryLabels()
        labels.create("blob", blob_of(gen).reveal())
        return labels, keep_on_aws
    revisions = MemoryRevisions()
    revisions.put("blob", blob_of(gen).reveal())
    return revisions, keep_on_oci


async def yes() -> bool:
    return True


async def no() -> bool:
    return False


def gen_in(vault: Any) -> int:
    return int(json.loads(asyncio.run(vault.get("blob")).content.reveal())["gen"])


@pytest.mark.parametrize("cloud", ["aws", "oci"])
@pytest.mark.parametrize(
    ("there", "wanted", "is_current", "after"),
    [(5, 6, yes, 6), (6, 6, yes, 6), (6, 5, no, 6), (6, 1, yes, 1)],
    ids=["newer", "the same", "a stale worker", "a credential that was made again"],
)
def test_a_blob_never_goes_back(cloud: str, there: int, wanted: int, is_current: Any, after: int) -> None:
    """A worker with an old view leaves a newer blob alone; only a credential that really is older is followed."""
    vault, keep = backend(cloud, there)
    asyncio.run(keep(vault, "blob", blob_of(wanted), is_current))
    assert gen_in(vault) == after


@pytest.mark.parametrize("cloud", ["aws", "oci"])
def test_a_blob_that_is_written_in_between(cloud: str) -> None:
    """Between a worker's read and its write another one brings a newer blob: the write is refused."""
    vault, keep = backend(cloud, 5)
    read = vault.get
    looked: list[bool] = []

    async def get(name: str, *which: Any) -> SecretValue:
        value: SecretValue = await read(name, *which)
        if not looked:
            looked.append(True)
            await keep(vault, "blob", blob_of(7), yes)
        return value

    vault.get = get
    with pytest.raises(Conflict):
        asyncio.run(keep(vault, "blob", blob_of(6), yes))
    assert gen_in(vault) == 7


@pytest.mark.parametrize("label", ["AWSPENDING", "AWSCURRENT"])
def test_a_version_that_is_not_json(label: str) -> None:
    """It is named by its stage, and for a pending one the hint says how to take the label off."""
    scene = MemoryScene()
    asyncio.run(scene.labels.put("aws", "v2", Secret("plain text"), label))
    heard = Silence()
    assert scene.tick(watcher=heard).exit_code is ExitCode.MISCONFIGURED
    assert f"the {label.removeprefix('AWS')} version of aws is not a JSON object" in heard.text
    assert ("--version-stage AWSPENDING" in heard.text) == (label == "AWSPENDING")
    assert "plain text" not in heard.text
