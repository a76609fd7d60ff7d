"""The protocol, checked in every state that two workers can reach: they stall and crash anywhere.

It is the real state table, the real changes of an account and the real tokens that are run; see ``model.py``. What
must hold at every step (section numbers of the protocol):

I1  a password reaches a database only when both stores have it
I2  for each store and database one of CURRENT, PENDING, PREVIOUS logs in
I3  CURRENT logs in (where two passwords or two users take turns)
I4  a pending password that a database has is never lost
    no account is ever locked by the workers' failed logins

and from every state either worker alone comes to rest, with both stores in step and every database agreeing, and no
row of the table comes twice without a change in between.
"""

from __future__ import annotations

import os
from typing import Any

import pytest

from keepstep.rotation.changes import Strategy
from tests.rotation.model import EDITS, Fences, Setting
from tests.rotation.search import Findings, Search

ALTERNATING, DUAL, ROLLOVER, SINGLE = Strategy.ALTERNATING, Strategy.DUAL, Strategy.ROLLOVER, Strategy.SINGLE
FULL = bool(os.environ.get("FULL"))
"""``make test-rotation-full``: more databases and more rotations."""
EVERY = ((ALTERNATING,), (DUAL,), (ROLLOVER,), (SINGLE,))


def explored(*strategies: Strategy, until: str = "", **options: Any) -> Findings:
    most = 3_000_000 if FULL else 300_000
    return Search(Setting(strategies=strategies, **options), until=until, most=most).run()


def check(findings: Findings, *strategies: Strategy) -> None:
    """All of it holds, but that CURRENT of a single user fails for a moment."""
    allowed = {"I3"} if SINGLE in strategies else set()
    trouble = {name: path for name, path in findings.broken.items() if name not in allowed}
    assert not trouble


@pytest.mark.parametrize("strategies", EVERY if FULL else (EVERY[0], EVERY[3]), ids=str)
def test_two_workers_on_one_database(strategies: tuple[Strategy, ...]) -> None:
    """Every invariant holds and every state heals, for each strategy."""
    findings = explored(*strategies, rotations=2 if FULL else 1)
    check(findings, *strategies)
    assert {"S1", "S2", "S4", "S5", "S5b", "S3 change"} <= findings.rows


@pytest.mark.parametrize(
    "strategies",
    [
        (ALTERNATING, ALTERNATING),
        (DUAL, ROLLOVER),
        *(
            ((DUAL, DUAL), (ROLLOVER, ROLLOVER), (SINGLE, SINGLE), (SINGLE, DUAL), (SINGLE, ROLLOVER))
            if FULL
            else ()
        ),
        *(((ALTERNATING,) * 3,) if FULL else ()),
    ],
    ids=str,
)
def test_two_workers_on_a_set(strategies: tuple[Strategy, ...]) -> None:
    """The same for several databases, of different kinds too."""
    check(explored(*strategies, rotations=1), *strategies)


def test_a_single_user_has_a_blip() -> None:
    """The model sees what the docs admit: a single user's CURRENT does not log in between APPLY and PROMOTE."""
    assert "I3" in explored(SINGLE, rotations=1).broken


ROWS = {
    "manual-aws": "D2",
    "manual-oci": "D3",
    "wrong": "D4",
    "label-off": "D5",
    "rolled-back": "D3",
    "rolled-back-oci": "D1",
    "restored": "D7",
    "restored-to-previous": "D7",
    "restored-to-unknown": "D7",
    "rolled-back-both": "D7",
    "rolled-back-midway": "S5",
    "stray": "S2",
}
"""What heals each thing that an operator can do to a single user."""


@pytest.mark.parametrize(
    ("strategies", "edit"),
    [
        (strategies, edit)
        for strategies in EVERY
        for edit in sorted(EDITS)
        if FULL or strategies == (SINGLE,) or (strategies == (ALTERNATING,) and "-" in edit)
    ],
    ids=str,
)
def test_what_an_operator_does_is_healed(strategies: tuple[Strategy, ...], edit: str) -> None:
    """Whatever was done by hand, at any point of a rotation that was given up, heals; and nothing gets worse.

    The rows D1 to D5 and D7 are gone through, so this says something about them.
    """
    findings = explored(*strategies, rotations=1, edit=edit)
    check(findings, *strategies)
    assert SINGLE not in strategies or any(name.startswith(ROWS[edit]) for name in findings.rows)


def test_rolled_back_in_the_middle_with_two_databases() -> None:
    """Users take turns, one database has the pending password: it stops there, and CURRENT breaks nowhere."""
    findings = explored(ALTERNATING, ALTERNATING, rotations=1, edit="rolled-back-midway", workers=1)
    assert findings.broken.keys() == {"converges: something is pending"}
    assert "D8 put" in findings.rows


@pytest.mark.parametrize("edit", ["restored-to-previous", "restored-to-unknown", "rolled-back-both"])
@pytest.mark.parametrize("limit", [3, 1])
@pytest.mark.parametrize("strategy", list(Strategy))
def test_a_database_that_lost_current_and_counts_failures(strategy: Strategy, limit: int, edit: str) -> None:
    """It is healed at any point of a rotation, by one worker alone, and no account is locked on the way.

    A limit of one is for servers that show which password an account has; the others are refused.
    """
    if limit == 1 and strategy is ROLLOVER:
        return
    check(explored(strategy, rotations=1, edit=edit, limit=limit, is_shown=limit == 1, workers=1), strategy)


@pytest.mark.parametrize(
    ("strategy", "limit"),
    [(ALTERNATING, 3), (SINGLE, 3), (DUAL, 1), *(((DUAL, 3), (ROLLOVER, 3)) if FULL else ())],
)
def test_two_workers_lock_nobody_out(strategy: Strategy, limit: int) -> None:
    """Two workers that remember failed logins together: no account is locked, and all else holds."""
    check(explored(strategy, rotations=1, limit=limit, is_shown=limit == 1), strategy)


@pytest.mark.parametrize("strategy", [SINGLE, ROLLOVER, ALTERNATING])
def test_a_limit_of_two_is_for_one_worker(strategy: Strategy) -> None:
    """One worker at a time locks nobody out. Of two that try in the same moment nothing has been noted yet.

    Runs that share a state never overlap; who has workers that do not share one is warned by doctor.
    """
    lost: dict[str, Any] = {"rotations": 1, "limit": 2, "edit": "restored-to-unknown"}
    check(explored(strategy, rotations=2, limit=2, workers=1), strategy)
    assert "locked" not in explored(strategy, workers=1, **lost).broken
    assert "locked" in explored(strategy, workers=2, until="locked", **lost).broken


def test_the_memory_of_failures_is_needed() -> None:
    """Without it the model locks an account: a credential that changes itself is tried again and again."""
    fences = Fences(memory=False)
    options: dict[str, Any] = {"rotations": 1, "limit": 3, "has_admin": False, "edit": "restored-to-unknown"}
    assert explored(SINGLE, fences=fences, workers=1, until="locked", **options).broken


def test_a_policy_that_refuses_is_healed() -> None:
    """D6: a database that does not take the first fresh password gets another one; pruning goes on next to it."""
    strategy = ALTERNATING if FULL else SINGLE
    findings = explored(strategy, rotations=1, unfit=frozenset({0}), kept=0)
    check(findings, strategy)
    assert any(name.startswith("D6") for name in findings.rows)
    assert "S7" in findings.rows


def test_secrets_of_another_tool() -> None:
    """Both stores without generations are of generation 0, and are rotated like any others."""
    check(explored(SINGLE, rotations=1, has_gen=False), SINGLE)


def test_without_an_administrator() -> None:
    """A credential that changes itself keeps every invariant, and heals while a stored password logs in."""
    check(explored(SINGLE, rotations=1, has_admin=False), SINGLE)
    if FULL:
        check(explored(DUAL, rotations=1, has_admin=False), DUAL)


@pytest.mark.parametrize(
    ("strategy", "rotations", "taken"),
    [
        (DUAL, 2, {"lock": False}),
        (DUAL, 1, {"read_again": False}),
        (DUAL, 1, {"probe_again": False}),
        (ROLLOVER, 1, {"expire_first": False}),
        (ALTERNATING, 2, {"secondary_first": False, "generations": False}),
        (ALTERNATING, 2, {"if_match": False}),
        (ALTERNATING, 1, {"tokens": False}),
        (DUAL, 2, {"label": False}),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, dict) else None,
)
def test_every_fence_is_needed(strategy: Strategy, rotations: int, taken: dict[str, bool]) -> None:
    """Without it the model breaks an invariant: what it finds nothing against is not just what it cannot see."""
    assert explored(strategy, rotations=rotations, fences=Fences(**taken), until="I").broken
