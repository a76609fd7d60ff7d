"""The soak's short form; ``make test-soak`` runs two weeks of it."""

from __future__ import annotations

from pathlib import Path

from tests.schedules.soak import World, judged


def test_two_days(tmp_path: Path) -> None:
    """Daemons die, channels refuse: no time is missed or doubled, every alert is told once, nothing grows."""
    world = World(f"sqlite:///{tmp_path}/state.db", 1, jobs=12, days=2)
    world.run()
    assert sum(world.started.values()) > 150
    assert {"schedule", "resumed"} <= set(world.started)
    assert judged(world) == []
