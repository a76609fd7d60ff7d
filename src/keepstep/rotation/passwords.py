"""Fresh passwords that every engine takes, and everything that a password is put into.

30 characters of ``[A-Za-z0-9_-]``, the first a letter, with at least one capital, one small letter, one digit and
one of ``_-``, and the username not in it: about 178 bits. It is what these rules have in common:

* Autonomous Database: 12 to 30 characters, a capital, a small letter, a digit, no ``"``, no username
* RDS: no ``/ " @`` and no blank, on Oracle no ``& '`` either; 41 characters at the most on MySQL
* MySQL's validate_password: a character of each kind, MEDIUM's and STRONG's
* URLs, JDBC strings, shells and configuration files: nothing that would have to be quoted
"""

from __future__ import annotations

import secrets
import string

from keepstep.secret import Secret

LENGTH = 30
_MARKS = "_-"
_LETTERS = string.ascii_letters
_ALL = _LETTERS + string.digits + _MARKS
_KINDS = (string.ascii_uppercase, string.ascii_lowercase, string.digits, _MARKS)


def fresh_password(username: str) -> Secret:
    """One that nobody has had before; every one that fits the rules is equally likely."""
    while True:
        password = secrets.choice(_LETTERS) + "".join(secrets.choice(_ALL) for _ in range(LENGTH - 1))
        if fits(password, username):
            return Secret(password)


def fits(password: str, username: str) -> bool:
    """Whether it keeps the rules above."""
    return (
        len(password) == LENGTH
        and password[0] in _LETTERS
        and set(password) <= set(_ALL)
        and all(set(password) & set(kind) for kind in _KINDS)
        and username.lower() not in password.lower()
    )
