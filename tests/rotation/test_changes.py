"""How a password comes into one database: every row of both tables, and its neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from keepstep.databases.interface import PasswordSlot
from keepstep.rotation.changes import Ask, Change, Standing, Strategy, next_step, without_current
from keepstep.rotation.credential import Credential
from keepstep.rotation.rows import StagedCredential, Stages
from keepstep.secret import Secret
from keepstep.vaults.interface import VersionId

TABLE = """
strategy    | A             | new | known           | step

single      | c2 p3         | p   |                 | ask p light
single      | c2 p3         | p   | p~              | set p
single      | c2 p3         | p   | p-              | set p
single      | c2 p3         | p   | p+              | nothing
alternating | c2 p3@u_b     | p   |                 | ask p light
alternating | c2 p3@u_b     | p   | p-              | set p
alternating | c2 p3@u_b     | p   | p+              | nothing

dual        | c2 p3 v1      | p   | two             | ask c heavy
dual        | c2 p3 v1      | p   | two c~          | ask c heavy
dual        | c2 p3 v1      | p   | two c-          | set p, retire
dual        | c2 p3 v1      | p   | one c-          | set p, retire
dual        | c2 p3 v1      | p   | one c+          | set p keeping
dual        | c2 p3 v1      | p   | two c+          | ask v light
dual        | c2 p3 v1      | p   | two c+ v~       | ask p plain
dual        | c2 p3 v1      | p   | two c+ newest   | ask p plain
dual        | c2 p3 v1      | p   | two c+ v+       | retire, set p keeping
dual        | c2 p3 v1      | p   | two c+ v-       | ask p plain
dual        | c2 p3 v1      | p   | two c+ v- p+    | nothing
dual        | c2 p3 v1      | p   | two c+ v- p-    | set c, retire, set p keeping
dual        | c2 p3 v1      | p   | two c+ p- newest | retire, set p keeping
dual        | c2 p3 v1      | p   | two c+ p- second | set p
dual        | c2 p3 v1      | p   | two c+ p+ second | nothing
dual        | c2 p3 v1      | p   | c+              | ask v light
dual        | c2 p3 v1      | p   | c+ v- p-        | set p keeping
dual        | c2 p3 v4      | p   | two c+          | ask p plain
dual        | c2 p3 v4      | p   | two c+ v+ p-    | set c, retire, set p keeping
dual        | c2 p3 v2      | p   | two c+          | ask p plain
dual        | c2 p3 v1@u_b  | p   | two c+          | ask p plain
dual        | c2 p3         | p   | two c+          | ask p plain
rollover    | c2 p3 v1      | p   | two c+ v+       | retire, set p keeping
rollover    | c2 p3 v1      | p   | one c+          | set p keeping

single      | c2 - v1       | c   |                 | set c
alternating | c2 - v1@u_b   | c   |                 | set c
dual        | c2 - v1       | c   | one             | ask v light
dual        | c2 - v1       | c   | two             | ask v light
dual        | c2 - v1       | c   | one v+          | set c keeping
dual        | c2 - v1       | c   | one v-          | set c
dual        | c2 - v1       | c   | one v~          | set c
dual        | c2 - v1       | c   | two v+          | set c
dual        | c2 - v1       | c   | two v-          | set c, retire
dual        | c2 - v1       | c   | two v~          | set c, retire
dual        | c2 - v1       | c   | v+              | set c
dual        | c2 - v1       | c   | v-              | set c, retire
dual        | c2 - v1@u_b   | c   | two v+          | set c, retire
dual        | c2            | c   | one             | set c
dual        | c2            | c   | two             | set c, retire
rollover    | c2 - v1       | c   | two v+          | set c
"""
"""*known*: the account has ``one`` or ``two`` passwords (otherwise nobody can see that); the current one is the
``newest`` or the ``second``; ``v+`` was let in, ``v-`` rejected under the lock, and ``v~`` rejected some time ago.
"""


@dataclass(frozen=True)
class Line:
    """One line of the table."""

    strategy: str
    a: str
    new: str
    known: str
    step: str

    def __str__(self) -> str:
        return " | ".join((self.strategy, self.a, self.new, self.known, self.step))


LINES = [Line(*(cell.strip() for cell in line.split("|"))) for line in TABLE.splitlines() if "|" in line][1:]


@pytest.mark.parametrize("line", LINES, ids=str)
def test_a_step(line: Line) -> None:
    """Each line of the table gives the login that is tried, or the statements and their order."""
    stages = _stages(line.a)
    [new] = (one for one in stages.credentials() if one.credential.password.reveal() == line.new)
    step = next_step(Strategy(line.strategy), new, stages, _standing(line.known, stages))
    assert described(step) == line.step


def test_without_the_current_password() -> None:
    """Where a history does not take the current one again, it is taken to be the newest: it goes on working."""
    new = _stages("p3").current
    assert described(without_current(new)) == "retire, set p keeping"


def described(step: Ask | tuple[Change, ...]) -> str:
    """A step as the table writes it."""
    if isinstance(step, Ask):
        return f"ask {step.what.credential.password.reveal()} {step.weight.name.lower()}"
    return ", ".join(map(_words, step)) or "nothing"


def _words(change: Change) -> str:
    if change.what is None:
        return "retire"
    return f"set {change.what.credential.password.reveal()}{' keeping' if change.keep_old else ''}"


def _standing(known: str, stages: Stages) -> Standing:
    ids = {one.credential.password.reveal(): one.id for one in stages.credentials()}
    words = known.split()
    about: dict[str, Any] = {"answers": {}, "rejected": frozenset()}
    for word in words:
        match word:
            case "one" | "two":
                about["has_second"] = word == "two"
            case "newest" | "second":
                about["slot"] = PasswordSlot(word)
            case _ if word[1] == "~":
                about["rejected"] |= {ids[word[0]]}
            case _:
                about["answers"][ids[word[0]]] = word[1] == "+"
    return Standing(**about)


def _stages(text: str) -> Stages:
    current, *others = map(_staged, text.split())
    assert current
    return Stages(current, *others)


def _staged(word: str) -> StagedCredential | None:
    if word == "-":
        return None
    name, _, user = word.partition("@")
    return StagedCredential(VersionId(name), Credential(int(name[1:]), user or "u_a", Secret(name[0])))
