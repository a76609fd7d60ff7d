"""Fresh passwords that every engine takes, and everything that a password is put into.

30 characters of ``[A-Za-z0-9_-]``, the first a letter, with at least two capitals, two small letters, two digits
and two of ``_-``, and the username not in it, neither forwards nor backwards: more than 150 bits. These rules have
that in common:

* Autonomous Database: 12 to 30 characters, a capital, a small letter, a digit, no ``"``, no username
* Oracle's strong verify functions: two characters of each kind
* RDS: no ``/ " @`` and no blank, on Oracle no ``& '`` either; 41 characters at most on MySQL
* MySQL's validate_password: a character of each kind, MEDIUM's and STRONG's; no username, forwards or backwards
* URLs, JDBC strings, shells and configuration files: nothing that would have to be quoted

The rules that a server reports itself are met in addition.
"""

from __future__ import annotations

import random
import secrets
import string

from keepstep.databases.interface import PasswordPolicy
from keepstep.errors import Refused
from keepstep.secret import Secret

LENGTH = 30
_MARKS = "_-"
_LETTERS = string.ascii_letters
_ALL = _LETTERS + string.digits + _MARKS
_KINDS = (string.ascii_uppercase, string.ascii_lowercase, string.digits, _MARKS)
_TWO_EACH = PasswordPolicy(capitals=2, small_letters=2, digits=2, marks=2)
_ANY = PasswordPolicy()


def fresh_password(username: str, policy: PasswordPolicy = _ANY) -> Secret:
    """A new random password that meets ``policy``.

    Raises :class:`Refused` when no password can, which is known before anything is staged.
    """
    length, counts = _shape(policy)
    while True:
        required = [secrets.choice(kind) for kind, count in zip(_KINDS, counts, strict=True) for _ in range(count)]
        rest = [secrets.choice(_ALL) for _ in range(length - 1 - len(required))]
        characters = required + rest
        random.SystemRandom().shuffle(characters)
        password = secrets.choice(_LETTERS) + "".join(characters)
        if fits(password, username, policy):
            return Secret(password)


def fits(password: str, username: str, policy: PasswordPolicy = _ANY) -> bool:
    """Whether it keeps the rules above."""
    length, counts = _shape(policy)
    folded, user = password.lower(), username.lower()
    return (
        len(password) == length
        and password[0] in _LETTERS
        and set(password) <= set(_ALL)
        and all(sum(map(kind.count, password)) >= count for kind, count in zip(_KINDS, counts, strict=True))
        and user not in folded
        and user[::-1] not in folded
    )


def _shape(policy: PasswordPolicy) -> tuple[int, tuple[int, int, int, int]]:
    """Length, and how many of each kind at least."""
    demand = policy.with_(_TWO_EACH)
    counts = (demand.capitals, demand.small_letters, demand.digits, demand.marks)
    needed = max(demand.shortest, 1 + sum(counts))
    longest = demand.longest if demand.longest is not None else max(LENGTH, needed)
    if needed > longest:
        raise Refused(
            f"no password can meet the databases' rules: {needed} characters at least, {longest} at most",
            hint="relax the password policy of one of them",
        )
    return max(needed, min(LENGTH, longest)), counts
