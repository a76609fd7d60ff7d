"""How a password comes into one database, so that what is in use goes on working. Pure.

Where users take turns, and where a user has one password, it is simply set. Where two passwords work (MySQL's dual
passwords, Oracle's rollover) the second place must become the current password's:

================================================  =============================================================
the account                                       changes
================================================  =============================================================
has one password                                  set the new one, keep the old
has two, and the previous credential logs in      retire the second, which is that one; then as above
has two, and the previous credential does not     the second may be the current one (of a change that was given
                                                  up), so: set the current one anew, retire the second, as above
has two, and the current one is not let in        set the new one; the second stays
================================================  =============================================================

Sources: MySQL 8.0, "Dual Password Support": RETAIN CURRENT PASSWORD replaces an existing secondary password, and
without it that one stays. Oracle 19c, ALTER USER: a change during the rollover from p1 to p2 leaves p1 and p3, so
the period is expired first.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from keepstep.rotation.rows import Held


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

    what: Held | None
    keep_old: bool = False


RETIRE = Change(None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How an account stands before it is changed."""

    has_second: bool
    previous_logs_in: bool = False
    current_logs_in: bool = True


def changes(strategy: Strategy, new: Held, current: Held, standing: Standing) -> tuple[Change, ...]:
    """The table above, in the order in which the changes are to be made; an interrupted one is begun anew."""
    if not strategy.keeps_two:
        return (Change(new),)
    if not standing.has_second:
        return (Change(new, keep_old=True),)
    if not standing.current_logs_in or new.same(current):
        return (Change(new),)
    if standing.previous_logs_in:
        return (RETIRE, Change(new, keep_old=True))
    return (Change(current), RETIRE, Change(new, keep_old=True))
