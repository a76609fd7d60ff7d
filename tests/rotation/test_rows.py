"""The state table of rotation: every row with the smallest input that selects it, and its neighbours."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

import pytest

from keepstep.databases.interface import Answer, Login
from keepstep.rotation.credential import Credential
from keepstep.rotation.rows import (
    Act,
    Decision,
    DecisionInput,
    Member,
    Question,
    Row,
    StagedCredential,
    Stages,
    decide,
)
from keepstep.secret import Secret
from keepstep.vaults.interface import VersionId

TABLE = """
A           | O            | let in | also                 | row

c2          | c2@other     | c c    |                      | X1: stop
c2          | c2@u_b       | c c    |                      | X1: stop
c2          | c2@u_b       | c c    | alternates           | D2: stage in A c as 3
c2 p3@other | c2           | c c    |                      | X1: stop
c2 p3@u_b   | c2           | c c    |                      | S2: stage in O p
c2          | c2 q3@other  | c c    |                      | X1: stop
c2          | c2 q3@u_b    | c c    |                      | S0: nothing
c2          | p3@u_b - c2  | cp cp  |                      | X1: stop
c2 p3@u_b   | p3@u_b - c2  | cp cp  |                      | S5: promote in A p
c2@_clone   | c2@_clone    | c c    | alternates           | X1: stop
c2@_clone   | c2@_clone    | c c    |                      | S0: nothing

c2 c2       | c2           | c c    |                      | S5b: take the label off c
c2 p2       | c2           | c c    |                      | S5b: take the label off p
c2 p3       | c2           | c c    |                      | S2: stage in O p
c2 v1 v1    | c2           | cv cv  |                      | S5b: take the label off v
c2 v1       | c2           | cv cv  |                      | D3: stage in A v as 3
c2 p1       | c2           | c c    |                      | S5b: take the label off p
c2 p1       | c2           | c cp   |                      | D3: stage in A p as 3
c2 p2       | c2           | c cp   |                      | D3: stage in A p as 3

c2 p3       | p3 - c2      | cp cp  |                      | S5: promote in A p
c2 p3       | p3 - c2      | cp c   |                      | S5a: apply p on 1
c2 p3       | p3 - c2      | c cp   |                      | S5a: apply p on 0
c2 p3       | p3 - c2      | c c    | unfit:p0             | D6: stage in A as 4
c2 p3       | p3 - c2      | c cp   | unfit:p0             | D6: stop

c2 p3 v1    | v1 - c2      | c c    |                      | D1: promote in O c
c2 p3 v1    | v1 - c2      | c -    |                      | S2: stage in O p
c2 p3 v1    | v1           | c c    |                      | S2: stage in O p
c2 p3       | v2 - c2      | c c    |                      | S2: stage in O p
c2 - v1     | v1 - c2      | c c    |                      | D1: promote in O c
c2 - v1     | v1           | c c    |                      | D2: stage in O c
c2 - v1     | v1 - c2      | c -    |                      | D4: stage in A as 3
v1 - c2     | c2 - v1      | c c    |                      | D3: promote in A c
v1 - c2     | c2 - v1      | cv cv  |                      | D3: promote in A c
v1          | c2 - v1      | c c    |                      | D3: stage in A c as 2
v2 - c2     | c2 - v2      | c c    |                      | D3: stage in A c as 3
v1 - c2     | c2 - v1      | c -    |                      | D4: stage in A as 3
v1 p3 c2    | c2 - v1      | c c    |                      | D3: promote in A c
v1 p3 c2    | c2 - v1      | c -    |                      | S2: stage in O p

c2 p3       | c2 p3        | cp cp  |                      | S4: promote in O p
c2 p3       | c2 p3        | cp c   |                      | S3: apply p on 1
c2 p3       | c2 p3        | c cp   |                      | S3: apply p on 0
c2 p3       | c2 p3        | c c    |                      | S3: apply p on 0
c2 p3       | c2 p3        | cp c   | self                 | S3: apply p on 1 by c
c2 p3       | c2 p3        | cp -   | self                 | X3!: stop p on 1
c2 p3       | c2 p3        | c c    | alternates           | D8: stage in A as 4
c2 p3       | c2 p3        | c p    | alternates           | X4: stop
c2 p3       | c2 p3        | p c    | alternates           | X4: stop
c2 p3       | c2 p3        | p -    | alternates           | S3: apply p on 1
c2 p3       | c2 p3        | - -    | alternates           | S3: apply p on 0
c2 p3       | c2 p3        | p p    | alternates           | S4: promote in O p
c2 p3@u_b   | c2 p3@u_b    | c c    | alternates           | S3: apply p on 0
c2 p3       | c2 p3        | c c    | unfit:p0             | D6: stage in A as 4
c2 p3       | c2 p3        | c c    | unfit:p1             | S3: apply p on 0
c2 p3       | c2 p3        | c cp   | unfit:p0             | D6: stop
c2 p3       | c2 p3        | cp c   | unfit:p1             | D6: stop
c2 p3       | c2 p3        | cp ?   |                      | X3: stop p on 1

c2 p3       | c2           | c c    |                      | S2: stage in O p
c2 p3       | x2           | c c    |                      | S2: stage in O p
c2 p3       | x3           | c c    |                      | D2: stage in A as 4
c2 p3       | x3           | c cp   |                      | D2: stage in A p as 4
c2 p3       | c2 q2        | c c    |                      | S2: stage in O p
c2 p3       | c2 q3        | c c    |                      | D2: stage in A as 4
c2 p3       | c2 q4        | c c    |                      | D2: stage in A as 5
c2 p3       | c2 q4        | cp c   |                      | D2: stage in A p as 5

c2          | c2 q3        | c cq   |                      | D5: stage in A q as 3
c2          | c2 q3        | cq c   |                      | D5: stage in A q as 3
c2          | c2 q3        | c c    |                      | S0: nothing
c2          | c2 q2        | c cq   |                      | D5: stage in A q as 3
c2          | c2 q3        | c cq   | remembered:q1        | S0: nothing
c2          | c2 q3        | c c    | q1=withheld          | S0: nothing
c2          | c2 q3        | c c    | q1=unreachable       | X3: stop q on 1
c2          | x3 q3        | c cq   |                      | D5: stage in A q as 3
c2          | x4 q3        | c cq   |                      | D5: stage in A q as 5
c2          | c2 c2        | c c    |                      | S0: nothing
c2          | x3 c2        | cx cx  |                      | D1: promote in O c
c2          | x3 x3        | cx cx  |                      | D3: stage in A x as 3

c3          | x2 c3        | c c    |                      | D1: promote in O c
c3          | x2 c3        | c -    |                      | D4: stage in A as 4
c3          | x2           | c c    |                      | D2: stage in O c
c3          | x2 q2        | c c    |                      | D2: stage in O c
c3          | x2 q3        | c c    |                      | D2: stage in A c as 4
c3          | x3           | c c    |                      | D2: stage in A c as 4
c1          | x2           | c c    |                      | D2: stage in A c as 3
c1          | x2           | cx c   |                      | D2: stage in A c as 3
c1          | x2           | cx cx  |                      | D3: stage in A x as 2
c1          | x2           | cx x   |                      | D3: stage in A x as 2
c2          | x2           | x x    |                      | D3: stage in A x as 3
c2          | x1           | x x    |                      | D3: stage in A x as 3
c2          | x2           | cx cx  |                      | D2: stage in A c as 3
c2          | x2 - c2      | cx cx  |                      | D2: stage in A x as 3
c2 - x2     | x2           | cx cx  |                      | D2: stage in A c as 3
c2          | x3           | c x    |                      | D4: stage in A as 4
c2          | x3           | - -    |                      | D4: stage in A as 4

c2          | c2           | c -    |                      | D7: apply c on 1
c2          | c2           | - c    |                      | D7: apply c on 0
c2          | c2           | c -    | reused:c1            | D4: stage in A as 3
c2          | c2           | c -    | unfit:c1             | D4: stage in A as 3
c2          | c2           | c -    | reused:c0            | D7: apply c on 1
c2          | c2           | c -    | due                  | D7: apply c on 1
c2 - v1     | c2 - v1      | c v    | self                 | D7: apply c on 1 by v
c2 - v1@u_b | c2 - v1@u_b  | c v    | self                 | X3!: stop c on 1
c2 - v1     | c2 - v1      | c -    | self                 | X3!: stop c on 1
c2          | c2           | c c    | c1=expired           | D7: apply c on 1
c2          | c2           | c c    | c1=expired self      | X3: stop c on 1
c2          | c2           | c ?    |                      | X3: stop c on 1
c2          | c2           | ? c    |                      | X3: stop c on 0
c2          | c2           | c c    | c1=locked            | X3: stop c on 1
c2          | c2           | c c    | c1=tls-error         | X3: stop c on 1
c2          | c2           | c c    | c1=withheld          | X3: stop c on 1

c2          | c2           | c c    | due                  | S1: stage in A as 3
c2          | c2 q5        | c c    | due                  | S1: stage in A as 6
c2          | c2           | c c    | due newest:7         | S1: stage in A as 8
c2          | c2           | c c    | due grace old        | S1: stage in A as 3
c2          | c2           | c c    | due full old         | S7: prune 1
c2          | c2           | c c    | due full             | S0: nothing
c2          | c2           | c c    | full                 | S0: nothing
c2          | c2           | c c    | old                  | S7: prune 1
c2          | c2           | c c    |                      | S0: nothing

c2 - v1     | c2 - v1      | cv cv  | grace                | S6: retire c on 0
c2 - v1     | c2 - v1      | cv cv  | grace retired:0      | S6: retire c on 1
c2 - v1     | c2 - v1      | cv cv  | grace retired:01     | S6: note that all are retired c
c2 - v1     | c2 - v1      | cv cv  | grace old            | S6: retire c on 0
c2 - v1     | c2 - v1      | cv cv  | grace self           | S6: retire c on 0 by c
c2 - v1     | c2 q3 v1     | cv cv  | grace                | S0: nothing
c2 - v1     | c2 q3 v1     | cv cv  | grace old            | S7: prune 1
c2 - v1     | c2 - v1      | cv cv  |                      | S0: nothing
"""
"""*A* and *O*: CURRENT, PENDING and PREVIOUS of the two stores; neighbours differ in one of these conditions.
``c2`` is the password c of generation 2, ``c2@u_b`` is of another user.

*let in*: the passwords that each database lets in, ``-`` none of them, ``?`` a database that cannot be reached.
*also*: ``due``, ``grace`` is over, the secondary store is ``full`` or has an ``old`` version that may be deleted,
users who take turns (``alternates``), databases without an administrator (``self``); ``p0`` is the password p on
database 0. *row*: ``as`` the generation, ``on`` the database, ``by`` whose login; ``!``: the hint has a statement.
"""


@dataclass(frozen=True)
class Line:
    """One line of the table."""

    a: str
    o: str
    let_in: str
    also: str
    row: str

    def __str__(self) -> str:
        return " | ".join((self.a, self.o, self.let_in, self.also, self.row))


LINES = [Line(*(cell.strip() for cell in line.split("|"))) for line in TABLE.splitlines() if "|" in line][1:]


@pytest.mark.parametrize("line", LINES, ids=str)
def test_a_row(line: Line) -> None:
    """Each line of the table gives its row: what is done, with which password, where and by whom."""
    assert described(decide(input_of(line))) == line.row


def test_every_row_is_in_the_table() -> None:
    """The table has a line for each row, and each row has words and a code of its own, but for X3's two hints."""
    assert {line.row.partition(":")[0].rstrip("!") for line in LINES} == {row.code for row in Row}
    assert Row.D7.words == "give a database the current password back (D7)"
    assert Row.X3_SHUT_OUT.words == Row.X3.words and Row.X3_SHUT_OUT.hint != Row.X3.hint


def test_what_rows_and_acts_say_of_themselves() -> None:
    """Which rows label with the put, refuse or name a statement; which acts change databases or end a rotation."""
    assert {row for row in Row if row.labels_at_once} == {Row.S1}
    assert {row for row in Row if row.is_refusal} == {Row.X1, Row.X4}
    assert {row for row in Row if row.names_remedy} == {row for row in Row if "{remedy}" in row.hint}
    assert {act for act in Act if act.changes_database} == {Act.APPLY, Act.RETIRE}
    assert {act for act in Act if act.completes} == {Act.PROMOTE_A}


@pytest.mark.parametrize("line", LINES, ids=str)
def test_only_a_fresh_password_needs_a_preflight(line: Line) -> None:
    """Everything else goes on with what is staged already, or changes nothing."""
    found = decide(input_of(line))
    assert isinstance(found, Decision)
    assert found.needs_preflight is (re.search(r": stage in A as \d+$", line.row) is not None)


def test_the_reason_of_a_row() -> None:
    """The row in words, with its code, and what led to it where there is more to say."""
    decision = Decision(row=Row.S7, act=Act.PRUNE)
    assert decision.reason == "prune old versions in OCI (S7)"
    assert replace(decision, why="a rotation needs the room").reason.endswith("(S7): a rotation needs the room")


def test_a_question_before_a_row() -> None:
    """Where an answer is not known it is asked for, one database after the other, and nothing else is decided."""
    full = input_of(LINES[-1])
    given = replace(full, answers={})
    current = given.primary.current
    assert decide(given) == Question(0, current)
    assert decide(replace(given, answers={(0, current.credential.login): Answer.ACCEPT})) == Question(1, current)


@pytest.mark.parametrize("line", LINES, ids=str)
def test_no_row_needs_an_answer_that_was_not_asked_for(line: Line) -> None:
    """Answering one question after the other ends in the row that all answers together give."""
    full = input_of(line)
    answers: dict[tuple[int, Login], Answer] = {}
    while isinstance(found := decide(replace(full, answers=answers)), Question):
        key = (found.member, found.what.credential.login)
        assert key not in answers
        answers[key] = full.answers[key]
    assert found == decide(full)


def described(found: Decision | Question) -> str:
    """A decision as the table writes it."""
    assert isinstance(found, Decision), found
    words = [f"{found.row.code}{'!' if found.row.names_remedy else ''}:", found.act.value]
    words += [found.what.credential.password.reveal()] if found.what else []
    words += [str(found.version)] if found.version else []
    words += [f"as {found.gen}"] if found.gen else []
    words += [f"on {found.member}"] if found.member >= 0 else []
    words += [f"by {found.by.credential.password.reveal()}"] if found.by else []
    return " ".join(words)


def input_of(line: Line) -> DecisionInput:
    """What a line of the table says was observed."""
    words = line.also.split()
    primary, secondary = _stages(line.a, "a"), _stages(line.o, "o")
    has_admin = "self" not in words
    given = DecisionInput(
        primary=primary,
        secondary=secondary,
        members=(Member("0", has_admin), Member("1", has_admin)),
        answers=_answers(line, [*primary.credentials(), *secondary.credentials()]),
        alternates="alternates" in words,
        is_due="due" in words,
        is_grace_over="grace" in words,
        has_room="full" not in words,
        prunable=VersionId("1") if "old" in words else None,
    )
    return replace(given, **dict(_more(words)))


def _more(words: list[str]) -> list[tuple[str, Any]]:
    options: list[tuple[str, Any]] = []
    for name, value in (word.split(":") for word in words if ":" in word):
        match name:
            case "newest":
                options.append(("newest_gen", int(value)))
            case "retired":
                options.append(("retired", frozenset(map(int, value))))
            case "remembered":
                options.append((name, {_pair(value): Answer.REJECT}))
            case _:
                options.append((name, frozenset({_pair(value)})))
    return options


def _answers(line: Line, known: list[StagedCredential]) -> dict[tuple[int, Login], Answer]:
    answers = {}
    for number, let_in in enumerate(line.let_in.split()):
        for login in (staged.credential.login for staged in known):
            answer = Answer.ACCEPT if login.password.reveal() in let_in else Answer.REJECT
            answers[number, login] = Answer.UNREACHABLE if let_in == "?" else answer
    for word in line.also.split():
        if "=" in word:
            pair, _, value = word.partition("=")
            answers[_pair(pair)] = Answer(value)
    return answers


def _pair(text: str) -> tuple[int, Login]:
    return int(text[1]), Login("u_a", Secret(text[0]))


def _stages(text: str, store: str) -> Stages:
    current, *others = (_staged(word, store) for word in text.split())
    assert current
    return Stages(current, *others)


def _staged(word: str, store: str) -> StagedCredential | None:
    if word == "-":
        return None
    name, _, user = word.partition("@")
    credential = Credential(int(name[1:]), user or "u_a", Secret(name[0]))
    return StagedCredential(VersionId(f"{store}:{word}"), credential)
