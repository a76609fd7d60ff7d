"""What the layers of pyproject.toml do not say: no circles, and nobody uses what another module keeps to itself."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCES = (ROOT / "src", ROOT / "localcloud" / "src")


@cache
def modules() -> dict[str, ast.Module]:
    """Every module of both packages, by its dotted name."""
    found = {}
    for source in SOURCES:
        for path in sorted(source.rglob("*.py")):
            name = ".".join(path.relative_to(source).with_suffix("").parts).removesuffix(".__init__")
            found[name] = ast.parse(path.read_text())
    return found


def imports(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Each import of the packages' own modules: the module, and the name that is taken from it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in PACKAGES:
            for alias in node.names:
                is_module = f"{node.module}.{alias.name}" in modules()
                yield (f"{node.module}.{alias.name}", "") if is_module else (node.module, alias.name)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name in modules():
                    yield alias.name, ""


PACKAGES = {name.split(".")[0] for name in modules()}


def test_no_module_imports_one_that_imports_it() -> None:
    """Modules can be read, tested and moved one by one; imports inside functions and for types count too."""
    graph = {name: {module for module, _ in imports(tree)} - {name} for name, tree in modules().items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as exc:
        raise AssertionError("circle: " + " <- ".join(exc.args[1])) from None


def test_private_names_stay_in_their_module() -> None:
    """A name with a leading underscore may change without a look at other files."""
    taken = [
        f"{name} takes {module}.{what}"
        for name, tree in modules().items()
        for module, what in imports(tree)
        if what.startswith("_") and not what.startswith("__")
    ]
    assert taken == []


def test_private_attributes_are_used_by_their_own_module_alone() -> None:
    """``other._thing`` across files is an agreement that nobody wrote down."""
    used = [
        f"{name}:{node.lineno} uses {ast.unparse(node)}"
        for name, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and is_private(node.attr)
        and node.attr not in defined(tree) | OF_LIBRARIES
    ]
    assert used == []


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def defined(tree: ast.Module) -> set[str]:
    """Attributes that the module's own classes set, declare or define."""
    names = set()
    for node in ast.walk(tree):
        match node:
            case (
                ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name)
                | ast.AnnAssign(target=ast.Name(id=name))
            ):
                names.add(name)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                names.add(name)
    return names


OF_NAMED_TUPLES = {"_replace", "_asdict", "_make", "_fields"}
OF_LIBRARIES = OF_NAMED_TUPLES | {
    "_value_",  # enum
    "_exit",  # os
    "_Hash",  # hashlib, for types
    "_credentials",  # botocore: what was found before anybody asked
    "_build_headers",  # botocore: a token file that is read again
    "_validate_allowed_url",  # botocore: which hosts a container's token goes to
    "_set_region_from_imds",  # OCI's SDK
    "_read_packet",  # PyMySQL: a plugin's exchange
    "_sock",  # PyMySQL: the certificate that was shown
    "_metadata",  # moto
    "_parameters",  # moto
    "_resource_tags",  # moto
}
"""What libraries have no public name for. Every entry says whose it is."""


def test_localcloud_is_loaded_by_commands_that_run_it() -> None:
    """keepstep works where localcloud is not installed: it is imported in functions, never with a module."""
    at_once = [
        f"{name} imports {ast.unparse(node)}"
        for name, tree in modules().items()
        if name.split(".")[0] == "keepstep"
        for node in tree.body
        if isinstance(node, ast.Import | ast.ImportFrom) and "keepstep_localcloud" in ast.unparse(node)
    ]
    assert at_once == []
    code = (
        "import sys; sys.modules['keepstep_localcloud'] = None; import keepstep.cli.demo, keepstep.cli.localcloud"
    )
    subprocess.run([sys.executable, "-P", "-c", code], check=True)
