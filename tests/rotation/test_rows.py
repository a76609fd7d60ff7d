"""The state table of rotation, one line a row: what is observed, and the row that is taken."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from keepstep.databases.interface import Answer, Login
from keepstep.rotation.credential import Credential
from keepstep.rotation.rows import (
    WORDS,
    Act,
    DecisionInput,
    Member,
    Row,
    StagedCredential,
    Stages,
    decide,
    words_of,
)
from keepstep.secret import Secret
from keepstep.vaults.interface import VersionId


def held(text: str) -> StagedCredential | None:
    """``c2`` is the password c of generation 2; ``c2@u_b`` is of another user; empty is none."""
    if not text:
        return None
    name, _, user = text.partition("@")
    credential = Credential(int(name[1:]), user or "u_a", Secret(name[0]))
    return StagedCredential(VersionId(name), credential)


@dataclass(frozen=True)
class Case:
    """``a`` and ``o``: current, pending and previous of each store, in this order, ``-`` for none.

    ``let_in``: the passwords that each database lets in, a word for each database; ``?`` is one that is away.
    """

    row: str
    act: Act
    a: str
    o: str
    let_in: str
    what: str = ""
    gen: int = 0
    options: dict[str, Any] = field(default_factory=dict)


NOT_ADMIN = {"members": (Member("0", has_admin=False), Member("1", has_admin=False))}
CASES = {
    "another user in the other store": Case("X1", Act.STOP, "c2", "c2@other", "c c"),
    "a pending version of another user": Case("X1", Act.STOP, "c2 p3@other", "c2", "c c"),
    "a user that cannot take turns": Case(
        "X1", Act.STOP, "c2@_clone", "c2@_clone", "c c", options={"alternates": True}
    ),
    "pending is current": Case("S5b", Act.UNLABEL, "c2 c2", "c2", "c c", "c"),
    "pending is previous": Case("S5b", Act.UNLABEL, "c2 v1 v1", "c2", "c c", "v"),
    "pending is older, unknown": Case("S5b", Act.UNLABEL, "c2 p1", "c2", "c c", "p"),
    "pending is older, let in": Case("D3", Act.STAGE_A, "c2 p1", "c2", "c cp", "p", 3),
    "promoted in O, let in": Case("S5", Act.PROMOTE_A, "c2 p3", "p3 - c2", "cp cp", "p"),
    "promoted in O, one rejects": Case("S5a", Act.APPLY, "c2 p3", "p3 - c2", "cp c", "p"),
    "O was rolled back": Case("D1", Act.PROMOTE_O, "c2 p3 v1", "v1 - c2", "c c", "c"),
    "A was rolled back": Case("D3", Act.PROMOTE_A, "v1 - c2", "c2 - v1", "c c", "c"),
    "pending in both, let in": Case("S4", Act.PROMOTE_O, "c2 p3", "c2 p3", "cp cp", "p"),
    "pending in both, one rejects": Case("S3", Act.APPLY, "c2 p3", "c2 p3", "cp c", "p"),
    "refused by one, none has it": Case("D6", Act.STAGE_A, "c2 p3", "c2 p3", "c c", "", 4, {"unfit": "p0"}),
    "refused by one, another has it": Case("D6", Act.STOP, "c2 p3", "c2 p3", "c cp", "", 0, {"unfit": "p0"}),
    "pending in A alone": Case("S2", Act.STAGE_O, "c2 p3", "c2", "c c", "p"),
    "pending in A, O newer": Case("D2", Act.STAGE_A, "c2 p3", "c2 q4", "c c", "", 5),
    "pending in A, O newer, let in": Case("D2", Act.STAGE_A, "c2 p3", "c2 q4", "cp c", "p", 5),
    "pending in O alone, let in": Case("D5", Act.STAGE_A, "c2", "c2 q3", "c cq", "q", 3),
    "pending in O alone, unknown": Case("S0", Act.NOTHING, "c2", "c2 q3", "c c"),
    "stores differ, O has it pending": Case("D1", Act.PROMOTE_O, "c3", "x2 c3", "c c", "c"),
    "stores differ, A newer": Case("D2", Act.STAGE_O, "c3", "x2", "c c", "c"),
    "stores differ, A let in and older": Case("D2", Act.STAGE_A, "c1", "x2", "c c", "c", 3),
    "stores differ, O newer, both let in": Case("D3", Act.STAGE_A, "c1", "x2", "cx cx", "x", 2),
    "stores differ, O let in": Case("D3", Act.STAGE_A, "c2", "x1", "x x", "x", 3),
    "stores differ, one generation": Case("D2", Act.STAGE_A, "c2", "x2", "cx cx", "c", 3),
    "stores differ, neither let in": Case("D4", Act.STAGE_A, "c2", "x3", "c x", "", 4),
    "a database lost it": Case("D7", Act.APPLY, "c2", "c2", "c -", "c"),
    "a database lost it and refuses it": Case("D4", Act.STAGE_A, "c2", "c2", "- c", "", 3, {"reused": "c0"}),
    "due": Case("S1", Act.STAGE_A, "c2", "c2", "c c", "", 3, {"is_due": True}),
    "due, no room, prunable": Case(
        "S7", Act.PRUNE, "c2", "c2", "c c", "", 0, {"is_due": True, "has_room": False, "prunable": VersionId("1")}
    ),
    "due, no room": Case("S0", Act.NOTHING, "c2", "c2", "c c", "", 0, {"is_due": True, "has_room": False}),
    "grace over": Case("S6", Act.RETIRE, "c2 - v1", "c2 - v1", "cv cv", "c", 0, {"is_grace_over": True}),
    "grace over, all retired": Case(
        "S6",
        Act.NOTE_RETIRED,
        "c2 - v1",
        "c2 - v1",
        "c c",
        "c",
        0,
        {"is_grace_over": True, "retired": frozenset({0, 1})},
    ),
    "too many versions": Case("S7", Act.PRUNE, "c2", "c2", "c c", "", 0, {"prunable": VersionId("1")}),
    "idle": Case("S0", Act.NOTHING, "c2", "c2", "c c"),
    "a database is away": Case("X3", Act.STOP, "c2", "c2", "c ?", "c"),
    "no administrator, a stored one logs in": Case("D7", Act.APPLY, "c2 - v1", "c2 - v1", "c v", "c", 0, NOT_ADMIN),
    "no administrator, none logs in": Case("X3", Act.STOP, "c2 - v1", "c2 - v1", "c -", "c", 0, NOT_ADMIN),
}


def seen_of(case: Case) -> DecisionInput:
    options = dict(case.options)
    for name in ("unfit", "reused"):
        if name in options:
            password, member = options[name]
            options[name] = frozenset({(int(member), Login("u_a", Secret(password)))})
    stores = []
    for text in (case.a, case.o):
        words = [held(word if word != "-" else "") for word in text.split()]
        current, pending, previous = (*words, None, None)[:3]
        assert current
        stores.append(Stages(current, pending, previous))
    answers = {}
    for member, let_in in enumerate(case.let_in.split()):
        for one in {*stores[0].held(), *stores[1].held()}:
            known = Answer.ACCEPT if one.credential.password.reveal() in let_in else Answer.REJECT
            answers[member, one.credential.login] = Answer.UNREACHABLE if let_in == "?" else known
    options.setdefault("members", (Member("0"), Member("1")))
    return DecisionInput(primary=stores[0], secondary=stores[1], answers=answers, **options)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_row(case: Case) -> None:
    """Each line of the table gives its row, its act, the credential concerned and the generation it gets."""
    row = decide(seen_of(case))
    what = row.what.credential.password.reveal() if row.what else ""
    assert (row.name, row.act, what, row.gen) == (case.row, case.act, case.what, case.gen)


def test_every_row_is_in_the_table() -> None:
    """The table has a line for each row, and each row a name in words."""
    assert {case.row for case in CASES.values()} == set(WORDS)
    assert words_of("D7") == "give a database the current password back (D7)"


def test_a_question_before_a_row() -> None:
    """Where an answer is not known, it is asked for, and nothing else is said."""
    seen = seen_of(CASES["idle"])
    row = decide(DecisionInput(primary=seen.primary, secondary=seen.secondary, members=seen.members))
    assert row == Row(name="", act=Act.PROBE, what=seen.primary.current, member=0)


@pytest.mark.parametrize("answer", [Answer.LOCKED, Answer.TLS_ERROR, Answer.WITHHELD, Answer.UNREACHABLE])
def test_what_says_nothing_of_the_password_stops(answer: Answer) -> None:
    """Whatever is neither yes nor no ends in X3; an expired password is one that an administrator sets again."""
    seen = seen_of(CASES["idle"])
    login = seen.primary.current.credential.login
    for number, expected in ((answer, "X3"), (Answer.EXPIRED, "D7")):
        answers = {**seen.answers, (1, login): number}
        row = decide(
            DecisionInput(primary=seen.primary, secondary=seen.secondary, members=seen.members, answers=answers)
        )
        assert row.name == expected
