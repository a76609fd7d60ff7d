"""The OCI policy statements of the modules and documents, with their variables filled in."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from keepstep_localcloud.permissions import GRANTS, NEEDS, VERBS, granted_by
from keepstep_localcloud.policies import parse_statement
from tests.deploy.images import REPOSITORY

Values = Mapping[str, str | Sequence[str]]
_TEXT = re.compile(r'(?:for (?P<name>\w+) in (?P<list>[^"]+?) :\s*)?"(?P<text>(?:allow|endorse) [^"]*)"')
_VARIABLE = re.compile(r"\$\{([^}]*)\}")


def in_module(module: str, values: Values) -> list[str]:
    """Every statement of a module. ``values`` has what stands in ``${…}`` and behind ``for … in``.

    Dynamic groups become the group of the registered user, as whom the jobs of the tests run.
    """
    found: list[str] = []
    for path in sorted((REPOSITORY / "deploy" / "tofu" / module).glob("*.tf")):
        for match in _TEXT.finditer(path.read_text()):
            items = values[match["list"]] if match["list"] else [""]
            found += [_filled(match["text"], {**values, match["name"] or "": item}) for item in items]
    return [text.replace("dynamic-group ", "group ") for text in found]


def in_document(path: str, values: Values) -> list[str]:
    """Every indented statement of a page; ``values`` has what stands in ``<…>``, and becomes the condition."""
    text = (REPOSITORY / path).read_text()
    lines = re.findall(r"^ {4,}(allow .*)$", text, re.MULTILINE)
    return [re.sub(r"<([^>]*)>", lambda found: str(values[found[1]]), line) for line in lines]


def _filled(text: str, values: Values) -> str:
    return _VARIABLE.sub(lambda found: str(values[found[1]]), text)


def superfluous(statements: Sequence[str], operations: set[str]) -> list[str]:
    """Statements that give nothing which these operations need, or whose verb could be a lower one."""
    needed = frozenset().union(*(NEEDS.get(operation, frozenset()) for operation in operations))
    return [text for text in statements if not _is_least(text, needed)]


def _is_least(text: str, needed: frozenset[str]) -> bool:
    verb, resource = re.findall(r" to (\w+) ([\w-]+) in ", text)[0]
    used = parse_statement(text).permissions & needed
    lower = VERBS[: VERBS.index(verb)]
    return resource in GRANTS and bool(used) and all(not used <= granted_by(each, resource) for each in lower)
