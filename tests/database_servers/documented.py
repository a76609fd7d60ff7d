"""What docs/databases.md tells people to grant: the administrators of the tests have exactly that."""

from __future__ import annotations

import re
from pathlib import Path

from keepstep.databases.engines import Engine

PAGE = Path(__file__).parents[2] / "docs" / "databases.md"
ADMINISTRATOR = "keepstep_admin"
_HEADINGS = {
    Engine.POSTGRES: "PostgreSQL",
    Engine.MYSQL: "MySQL",
    Engine.MARIADB: "MariaDB",
    Engine.ORACLE: "Oracle",
}


def administrator(engine: Engine, password: str) -> list[str]:
    """The statements that make the administrator, in the page's words, with a password for its ellipsis."""
    return [statement.replace("…", password) for statement in _blocks(engine)[0]]


def for_each_user(engine: Engine, username: str) -> list[str]:
    """The statements that the page wants for each user whose password is rotated; mostly none."""
    blocks = _blocks(engine)[1:]
    return [re.sub(r"\bapp\b", f'"{username}"', statement) for block in blocks for statement in block]


def _blocks(engine: Engine) -> list[list[str]]:
    text = PAGE.read_text().split("\n## The administrator\n")[1].split("\n## ")[0]
    section = text.split(f"\n### {_HEADINGS[engine]}\n")[1].split("\n### ")[0]
    blocks = re.findall(r"```sql\n(.*?)```", section, re.DOTALL)
    assert blocks, f"{PAGE} has no statements for {engine}"
    return [[each.strip() for each in block.split(";") if each.strip()] for block in blocks]
