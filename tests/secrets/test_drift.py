"""Which file holds which version."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from pathlib import Path

import pytest

from keepstep.errors import NotFound, Transient
from keepstep.secrets.ages import Ages
from keepstep.secrets.drift import Drift, DriftState, FileState, Fingerprints
from keepstep.secrets.map import parse_map
from keepstep.secrets.plan import make_plan
from keepstep.secrets.settings import SecretFile
from keepstep.vaults.interface import Stage
from tests.secrets.worlds import World


@pytest.fixture
def world(root: Path) -> World:
    world = World(root)
    world.vault.put("a", "S3cr3t-1")
    return world


def drift(world: World, *lines: str, key: bytes | None = None, file: SecretFile | None = None) -> list[FileState]:
    plan = make_plan(parse_map("\n".join(lines).encode()), [file] if file else [])

    async def work() -> list[FileState]:
        return await Drift(plan, {"aws-sm": world.vault}, Fingerprints(key), Ages(world.ages_path)).files()

    return asyncio.run(work())


def test_states(world: World) -> None:
    """In step, behind, ahead, something else, missing: each with the versions, none with a value."""
    line = world.line("a")
    path = world.root / "a"
    [state] = drift(world, line)
    assert (state.state, state.version, state.current) == (DriftState.MISSING, None, "1")
    world.run(line)
    [state] = drift(world, line)
    assert (state.state, state.version, state.current) == (DriftState.IN_STEP, "1", "1")
    assert state.fingerprint == state.current_fingerprint
    assert state.confirmed
    for number in range(2, 6):
        world.vault.put("a", f"S3cr3t-{number}")
    [state] = drift(world, line)
    assert (state.state, state.version, state.current) == (DriftState.BEHIND, "1", "5")
    assert state.fingerprint != state.current_fingerprint
    world.vault.put("a", "S3cr3t-6", Stage.PENDING)
    path.write_bytes(b"S3cr3t-6")
    [state] = drift(world, line)
    assert (state.state, state.version) == (DriftState.AHEAD, "6")
    path.write_bytes(b"S3cr3t-typed-by-hand")
    [state] = drift(world, line)
    assert (state.state, state.version) == (DriftState.DIFFERS, None)
    path.unlink()
    path.mkdir()
    [state] = drift(world, line)
    assert (state.state, state.note) == (DriftState.DIFFERS, "a folder stands there")
    assert "S3cr3t" not in json.dumps(asdict(state))


def test_what_cannot_be_asked_is_unknown(world: World) -> None:
    """A vault that is away or forbids, a folder that is not trusted, and a bad line are unknown, and say why."""
    world.run(world.line("a"))
    for error in (Transient("away"), NotFound("gone")):
        world.vault.errors["a"] = error
        [state] = drift(world, world.line("a"))
        assert state.state is DriftState.UNKNOWN
        assert error.message in (state.note or "")
    world.vault.errors.clear()
    world.root.chmod(0o777)
    [bad, state] = drift(world, "nonsense", world.line("a"))
    assert (state.state, bad.state, bad.source) == (DriftState.UNKNOWN, DriftState.UNKNOWN, "map line 1")
    assert "others can write" in (state.note or "")


def test_a_wrong_mode_is_noted(world: World) -> None:
    """A file whose content is right and whose mode is not is in step, with a note."""
    world.run(world.line("a"))
    (world.root / "a").chmod(0o644)
    [state] = drift(world, world.line("a"))
    assert (state.state, state.note) == (DriftState.IN_STEP, "its mode was 0644")


def test_nothing_is_changed(world: World) -> None:
    """Looking does not make, fix or sweep anything."""
    before = sorted(world.root.iterdir())
    drift(world, world.line("a"), f"aws-sm:a,{world.root}/deeper/a")
    assert sorted(world.root.iterdir()) == before


def test_fingerprints_compare_hosts_that_share_a_key(world: World) -> None:
    """The same key gives the same fingerprint and key id, another key others; none is a plain hash of the value."""
    line = world.line("a")
    world.run(line)
    [one], [two], [other] = (drift(world, line, key=key) for key in (b"k", b"k", b"l"))
    assert one.fingerprint == two.fingerprint != other.fingerprint
    assert Fingerprints(b"k").key_id == Fingerprints(b"k").key_id != Fingerprints(b"l").key_id
    assert Fingerprints().key_id != Fingerprints().key_id


def test_equal_secrets_have_different_fingerprints() -> None:
    """That two secrets have the same value cannot be seen."""
    prints = Fingerprints(b"k")
    assert prints.of("aws-sm:a", b"same") != prints.of("aws-sm:b", b"same")


def test_files_of_several_secrets(world: World) -> None:
    """A template's file is in step or not; which versions it was made of is not guessed."""
    world.vault.put("b", "B")
    file = SecretFile.model_validate(
        {"path": str(world.root / "t"), "template": "{{ a }}{{ b }}", "secrets": {"a": "aws-sm:a", "b": "aws-sm:b"}}
    )
    (world.root / "t").write_text("S3cr3t-1B")
    (world.root / "t").chmod(0o600)
    [state] = drift(world, file=file)
    assert (state.state, state.version) == (DriftState.IN_STEP, "1")
    world.vault.put("b", "B2")
    [state] = drift(world, file=file)
    assert (state.state, state.version, state.current) == (DriftState.DIFFERS, None, "1, 2")
