"""``make test-mutants``: changes the deciding modules, one place at a time, and lists the changes no test notices.

    python -m tests.mutants [rotation/rows objects/plan ...]

The tests are imported and run once; then a fork of this process, for each change, puts the changed code into the
functions that all others hold already, and runs the tests nearest to the module. A change that tests/README.md
explains may survive; any other is an error.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import io
import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import pytest

from tests.mutants.changes import Mutant, mutants, unchanged
from tests.mutants.modules import NEAREST

ROOT = Path(__file__).parents[2]
README = ROOT / "tests/README.md"
SLACK = 10
"""A change that makes the tests take so many times as long, and so many seconds more, is noticed by that."""
WORKERS = os.cpu_count() or 1
_BROKEN = 99


def main(names: list[str]) -> int:
    os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = os.environ.get("TMPDIR", "/tmp") + "/hypothesis-mutants"
    explained, unexplained = _explained(README.read_text()), 0
    for name in names or list(NEAREST):
        unexplained += _module(name, explained.get(name, set()))
    return 1 if unexplained else 0


def _explained(text: str) -> dict[str, set[str]]:
    """Rows of the README: module, the change in backquotes, the reason."""
    found: dict[str, set[str]] = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.replace("\\|", "\0").strip("|").split("|")]
        if len(cells) == 3 and cells[1].startswith("`"):
            found.setdefault(cells[0].strip("`"), set()).add(cells[1].strip("`").replace("\0", "|"))
    return found


def _module(name: str, explained: set[str]) -> int:
    start = time.monotonic()
    if _tests(name) != 0:
        print(f"{name}: its tests fail as it is")
        return 1
    limit = (time.monotonic() - start) * SLACK + SLACK
    module = importlib.import_module(f"keepstep.{name.replace('/', '.')}")
    source = (ROOT / f"src/keepstep/{name}.py").read_text()
    if noticed := [each for each, is_noticed in _tried(name, module, unchanged(source), limit) if is_noticed]:
        print(f"{name}: {noticed[0].function} cannot be replaced, not even by itself")
        return 1
    found = list(mutants(source))
    survivors = [mutant for mutant, is_noticed in _tried(name, module, found, limit) if not is_noticed]
    new = [mutant for mutant in survivors if str(mutant) not in explained]
    gone = explained - set(map(str, survivors))
    print(f"{name}: {len(found)} changes, {len(survivors)} not noticed, {len(new)} unexplained", flush=True)
    for mutant in new:
        print(f"  line {mutant.line}: {mutant}", flush=True)
    for text in sorted(gone):
        print(f"  explained, and noticed or no longer there: {text}", flush=True)
    return len(new) + len(gone)


def _tests(name: str) -> int:
    files = [str(ROOT / f"tests/{test}.py") for test in NEAREST[name]]
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        return int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-k", "not postgres", *files]))


def _tried(name: str, module: ModuleType, changes: Iterable[Mutant], limit: float) -> Iterator[tuple[Mutant, bool]]:
    """Each change, and whether a test noticed; some at a time, in any order."""
    waiting, running = list(changes), dict[int, tuple[Mutant, float]]()
    while waiting or running:
        while waiting and len(running) < WORKERS:
            mutant = waiting.pop(0)
            running[_forked(name, module, mutant)] = (mutant, time.monotonic() + limit)
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid in running:
            mutant, _ = running.pop(pid)
            if os.waitstatus_to_exitcode(status) == _BROKEN:
                raise RuntimeError(f"{mutant} cannot be put in")
            yield mutant, status != 0
        for late in [pid for pid, (_, end) in running.items() if time.monotonic() > end]:
            os.kill(late, signal.SIGKILL)
        time.sleep(0.01)


def _forked(name: str, module: ModuleType, mutant: Mutant) -> int:
    child = os.fork()
    if not child:
        code = _BROKEN
        try:
            _put_in(module, mutant)
            code = _tests(name)
        finally:
            os._exit(code)
    return child


def _put_in(module: ModuleType, mutant: Mutant) -> None:
    """Everybody who holds the function has the changed one from now on; what was cached is forgotten."""
    functions = dict(_functions(vars(module), f"{module.__name__}:"))
    wanted = functions[f"{module.__name__}:{mutant.function}"]
    wanted.__code__ = _compiled(mutant, wanted.__code__)
    for value in vars(module).values():
        if hasattr(value, "cache_clear"):
            value.cache_clear()


def _compiled(mutant: Mutant, old: CodeType) -> CodeType:
    """With the names that the old code takes from around it: ``__class__``, where it says ``super()``."""
    node: Any = mutant.node
    node.decorator_list = []
    node.body += [ast.If(ast.Constant(False), [ast.Expr(ast.Name(n, ast.Load()))], []) for n in old.co_freevars]
    outer = ast.parse(f"def outer({', '.join(old.co_freevars)}): pass").body[0]
    assert isinstance(outer, ast.FunctionDef)
    outer.body = [node]
    tree = ast.fix_missing_locations(ast.Module([outer], []))
    flags = importlib.import_module("__future__").annotations.compiler_flag
    code = compile(tree, old.co_filename, "exec", flags=flags)
    return next(inner for inner in _codes(code) if inner.co_name == node.name)


def _codes(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _codes(constant)


def _functions(names: Any, prefix: str) -> Iterator[tuple[str, FunctionType]]:
    for name, value in list(names.items()):
        for attribute in ("fget", "__func__", "__wrapped__"):
            value = getattr(value, attribute, value) if not isinstance(value, type) else value
        if isinstance(value, FunctionType):
            yield f"{prefix}{name}", value
        elif isinstance(value, type) and prefix.startswith(f"{value.__module__}:"):
            yield from _functions(vars(value), f"{prefix}{name}.")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
