"""What SHOW GRANTS says, and what one account lacks of another's. Pure.

Both servers print one line for each thing that rights are given to, names in backticks; MariaDB also prints the
default role that way. What is not understood is compared as it stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

_NAME = r"`(?:[^`]|``)*`"
_RIGHTS = re.compile(rf"GRANT ((?:{_NAME}|[^`])*?) ON ((?:{_NAME}|[^`])+?) TO {_NAME}(?:@{_NAME})?(.*)", re.DOTALL)
_ROLES = re.compile(rf"GRANT ((?:{_NAME}(?:@{_NAME})?,? ?)+) TO {_NAME}(?:@{_NAME})?(.*)", re.DOTALL)
_DEFAULT = re.compile(rf"SET DEFAULT ROLE ({_NAME}) FOR ")
_OPTION = "GRANT OPTION"
_ALL = "ALL PRIVILEGES"


@dataclass
class Grants:
    """Rights by what they are given on (``*.*``, ``\\`app\\`.*``), roles, and default roles."""

    rights: dict[str, set[str]] = field(default_factory=dict)
    roles: set[str] = field(default_factory=set)
    defaults: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, lines: Iterable[str]) -> Grants:
        grants = cls()
        for line in lines:
            if found := _DEFAULT.match(line):
                grants.defaults.add(found[1])
            elif found := _RIGHTS.match(line):
                rights = grants.rights.setdefault(found[2], set())
                rights |= set(re.split(r", (?![^(]*\))", found[1])) - {"USAGE"}
                rights |= {_OPTION} if "WITH GRANT OPTION" in found[3] else set()
            elif found := _ROLES.match(line):
                grants.roles |= set(re.findall(rf"{_NAME}(?:@{_NAME})?", found[1]))
        return grants

    def holds(self, right: str, on: str) -> bool:
        """Whether that right is given there, or on everything that it is a part of."""
        database = re.sub(r"^[A-Z]+ (?=`)|\.\*$|\.`[^`]*`$", "", on) + ".*"
        for place in (on, database, "*.*"):
            given = self.rights.get(place, set())
            if right in given or (_ALL in given and right != _OPTION):
                return True
        return False

    def missing(self, other: Grants, account: str) -> list[str]:
        """The statements that give ``account``, which has these, what it lacks of ``other``."""
        statements = []
        for place, wanted in sorted(other.rights.items()):
            lacking = sorted(right for right in wanted - {_OPTION} if not self.holds(right, place))
            option = _OPTION in wanted and not self.holds(_OPTION, place)
            if lacking or option:
                words = ", ".join(lacking or ["USAGE"]) + f" ON {place} TO {account}"
                statements.append(f"GRANT {words}{' WITH GRANT OPTION' if option else ''}")
        statements += [f"GRANT {role} TO {account}" for role in sorted(other.roles - self.roles)]
        return statements
