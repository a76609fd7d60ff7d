"""The modules of deploy/tofu as python-hcl2 reads them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import hcl2

from tests.deploy.images import REPOSITORY

FOLDER = REPOSITORY / "deploy" / "tofu"
MODULES = sorted(path.name for path in FOLDER.iterdir() if path.is_dir())


@cache
def read(module: str) -> dict[str, list[Any]]:
    """All files of a module as one; names and texts without their quotes."""
    whole: dict[str, list[Any]] = {}
    for path in sorted((FOLDER / module).glob("*.tf")):
        with path.open() as text:
            for kind, blocks in _plain(hcl2.load(text)).items():
                whole.setdefault(kind, []).extend(blocks)
    return whole


def resources(module: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Type, name and content; of data sources the type begins with ``data.``."""
    for kind, prefix in (("resource", ""), ("data", "data.")):
        for block in read(module).get(kind, ()):
            for name, named in block.items():
                for label, content in named.items():
                    yield prefix + name, label, content


def addresses(prefix: str) -> set[str]:
    """The types that the modules use."""
    found = {kind for module in MODULES for kind, _, _ in resources(module)}
    return {kind for kind in found if kind.removeprefix("data.").startswith(prefix)}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {_text(key): _plain(inner) for key, inner in value.items() if not key.startswith("__")}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return _text(value)


def _text(value: Any) -> Any:
    is_quoted = isinstance(value, str) and len(value) > 1 and value[0] == value[-1] == '"'
    return value[1:-1] if is_quoted else value
