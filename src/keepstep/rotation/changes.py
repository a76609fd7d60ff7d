"""How a password comes into one database, so that what is in use goes on working. Pure.

Where users take turns, and where a user has one password, it is simply set. Where two passwords work (MySQL's dual
passwords, Oracle's rollover) the second place must become the current password's:

==================================================  ===========================================================
the account                                         changes
==================================================  ===========================================================
does not let the current credential in              set the new one, retire the second: nobody knows it
has one password                                    set the new one, keep the old
has two, and an older previous credential logs in   retire the second, which is that one; then the same
has the new one already                             none
has two, the current one is known to be the newest  retire the second, set the new one, keep the old
has two, the current one is known to be the second  set the new one; the second stays
has two, and no more is known                       set the current one again, retire the second, set the new one,
                                                    keep the old: the current one may have been either of the two
==================================================  ===========================================================

A database that lost the current credential gets it back:

==================================================  ===========================================================
the account                                         changes
==================================================  ===========================================================
has one password, the previous credential's         set the current one, keep the old
has one password that nobody knows                  set the current one
has two, and the previous credential logs in        set the current one; a second one stays
has two that nobody knows                           set the current one, retire the second
==================================================  ===========================================================

Sources: MySQL 8.0, "Dual Password Support": RETAIN CURRENT PASSWORD replaces an existing secondary password, and
without it that one stays. Oracle 19c, ALTER USER: a change during the rollover from p1 to p2 leaves p1 and p3, so
the period is expired first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from keepstep.databases.interface import PasswordSlot
from keepstep.rotation.failures import Weight
from keepstep.rotation.rows import StagedCredential, Stages
from keepstep.vaults.interface import VersionId


class Strategy(StrEnum):
    """How a set of databases is changed."""

    ALTERNATING = "alternating"
    """Two users take turns."""
    DUAL = "dual"
    """One user with two passwords (MySQL from 8.0.14)."""
    ROLLOVER = "rollover"
    """One user whose old password works for a while (Oracle from 19.12)."""
    SINGLE = "single"
    """One user with one password: clients that read the old one just before the change fail once."""

    @property
    def keeps_two(self) -> bool:
        return self in (Strategy.DUAL, Strategy.ROLLOVER)


@dataclass(frozen=True, slots=True)
class Change:
    """One statement: a password set, or (``what`` None) the second one retired."""

    what: StagedCredential | None
    keep_old: bool = False


RETIRE = Change(None)


@dataclass(frozen=True, slots=True)
class Ask:
    """A login that has to be tried before it is known what to change."""

    what: StagedCredential
    weight: Weight = Weight.LIGHT
    """Where it is not LIGHT, nothing can be done before the answer is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How an account stands before it is changed, as far as it is known."""

    has_second: bool | None = None
    """None: that cannot be seen."""
    slot: PasswordSlot | None = None
    """Which of the account's passwords the current credential has; None: that cannot be seen."""
    answers: Mapping[VersionId, bool] = field(default_factory=dict)
    """Credentials that were asked under the lock; False also where a failure would have endangered the account."""
    rejected: frozenset[VersionId] = frozenset()
    """Credentials that were rejected lately, when nobody had the lock."""


def next_step(
    strategy: Strategy, new: StagedCredential, stages: Stages, standing: Standing
) -> Ask | tuple[Change, ...]:
    """A login to try, or the changes to make, in their order; no changes where the new one is there already.

    Logins are asked for in the order in which they are likely to succeed: in a healthy rotation none fails.
    """
    if new.same(stages.current):
        return _reassertion(strategy, new, stages, standing)
    if strategy.keeps_two:
        return _beside_current(new, stages, standing)
    if new.id not in standing.rejected and new.id not in standing.answers:
        return Ask(new)
    return () if standing.answers.get(new.id) else (Change(new),)


def _beside_current(new: StagedCredential, stages: Stages, standing: Standing) -> Ask | tuple[Change, ...]:
    current, answers = stages.current, standing.answers
    if current.id not in answers:
        return Ask(current, Weight.HEAVY)
    if not answers[current.id]:
        return (Change(new), RETIRE)
    if standing.has_second is False:
        return (Change(new, keep_old=True),)
    previous = _previous(stages)
    # After labels were rolled back the "previous" one is newer, and may be the newest of the account.
    is_older = previous is not None and previous.gen < current.gen
    is_told = standing.slot is not None or (previous and previous.id in standing.rejected)
    if previous and is_older and not is_told and previous.id not in answers:
        return Ask(previous)
    if previous and is_older and answers.get(previous.id):
        return (RETIRE, Change(new, keep_old=True))
    if new.id not in answers:
        return Ask(new, Weight.PLAIN)
    if answers[new.id]:
        return ()
    match standing.slot:
        case PasswordSlot.SECOND:
            return (Change(new),)
        case PasswordSlot.NEWEST:
            return (RETIRE, Change(new, keep_old=True))
        case _ if standing.has_second is None:
            return (Change(new, keep_old=True),)
        case _:
            return (Change(current), RETIRE, Change(new, keep_old=True))


def _reassertion(
    strategy: Strategy, current: StagedCredential, stages: Stages, standing: Standing
) -> Ask | tuple[Change, ...]:
    if not strategy.keeps_two:
        return (Change(current),)
    previous = _previous(stages)
    if previous and previous.id not in standing.answers and previous.id not in standing.rejected:
        return Ask(previous)
    is_previous_in = previous is not None and standing.answers.get(previous.id, False)
    if standing.has_second is False:
        return (Change(current, keep_old=is_previous_in),)
    return (Change(current),) if is_previous_in else (Change(current), RETIRE)


def _previous(stages: Stages) -> StagedCredential | None:
    """The previous credential, where it is of the same user."""
    is_same_user = stages.previous and stages.previous.credential.username == stages.current.credential.username
    return stages.previous if is_same_user else None


def without_current(new: StagedCredential) -> tuple[Change, ...]:
    """Instead of the first table's last row, where a password history does not take the current password again.

    The current password is most likely the newest one then: a database that lost it got it back as the newest, and
    a change that was given up has its password in a store.
    """
    return (RETIRE, Change(new, keep_old=True))
