"""EventBridge's event patterns and CloudWatch Logs' JSON filter patterns, as far as the modules use them.

Sources: EventBridge User Guide, "Comparison operators for use in event patterns"; CloudWatch Logs User Guide,
"Filter pattern syntax for metric filters", JSON events.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any


def matches(pattern: dict[str, Any], event: dict[str, Any]) -> bool:
    """Whether a rule with that pattern fires: each field of the pattern has a value that its list allows."""
    for name, wanted in pattern.items():
        if name == "$or":
            if not any(matches(each, event) for each in wanted):
                return False
        elif isinstance(wanted, dict):
            inner = event.get(name)
            # An array of objects is looked at element by element; an empty one has none of the fields.
            objects = inner if isinstance(inner, list) else [inner]
            if not any(matches(wanted, each or {}) for each in objects or [{}]):
                return False
        elif not _allowed(wanted, event, name):
            return False
    return True


def _allowed(wanted: list[Any], event: dict[str, Any], name: str) -> bool:
    for each in wanted:
        if not isinstance(each, dict):
            if name in event and event[name] == each:
                return True
            continue
        [(operator, operand)] = each.items()
        if operator == "exists":
            if (name in event) == operand:
                return True
        elif operator == "anything-but":
            # A field that is not there is no other value.
            if name in event and event[name] not in operand:
                return True
        else:
            raise NotImplementedError(operator)
    return False


_TERM = re.compile(r'\$\.(\w+)\s*(=|!=)\s*(?:"([^"]*)"|(-?\d+))')


def selected(pattern: str, lines: list[str]) -> list[str]:
    """The lines of a log that a metric filter counts."""
    body = re.fullmatch(r"\{ (.*) \}", pattern)
    assert body, pattern
    terms = [_TERM.fullmatch(term.strip()) for term in body[1].split("&&")]
    assert all(terms), pattern
    return [line for line, fields in _objects(lines) if all(_holds(term, fields) for term in terms if term)]


def _objects(lines: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    for line in lines:
        try:
            fields = json.loads(line)
        except ValueError:
            continue
        if isinstance(fields, dict):
            yield line, fields


def _holds(term: re.Match[str], fields: dict[str, Any]) -> bool:
    name, operator, text, number = term.groups()
    if name not in fields:
        return False
    value = text if text is not None else int(number)
    return bool((fields[name] == value) == (operator == "="))
