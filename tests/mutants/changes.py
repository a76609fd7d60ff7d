"""Changes of a function's source that may alter what it decides, one at a time.

Messages are left alone: what stands in a ``raise`` or in an f-string is read by people. So are constants of modules
and default arguments, which are read when a module is imported.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}
_CALLS = {"min": "max", "max": "min", "any": "all", "all": "any"}


@dataclass(frozen=True)
class Mutant:
    """One changed copy of a function."""

    function: str
    """Its qualified name."""
    line: int
    before: str
    after: str
    node: ast.AST
    """The function, changed."""

    def __str__(self) -> str:
        return f"{self.function}: {_short(self.before)} -> {_short(self.after)}"


def _short(text: str) -> str:
    return " ".join(text.split())[:120]


def mutants(source: str) -> Iterator[Mutant]:
    """Every change of every function and method, in the order of the source."""
    for name, function in _functions(ast.parse(source), ""):
        for node, field, index in _places(function):
            for after in _changed(_at(node, field, index)):
                yield _made(name, function, node, field, index, after)


def unchanged(source: str) -> Iterator[Mutant]:
    """Every function as it is: what puts changes in has to be able to put this in."""
    for name, function in _functions(ast.parse(source), ""):
        copy = ast.parse(ast.unparse(function)).body[0]
        yield Mutant(name, getattr(function, "lineno", 0), "", "", copy)


def _made(name: str, function: ast.AST, node: ast.AST, field: str, index: int | None, after: ast.AST) -> Mutant:
    """Puts the change in, takes a copy, and puts the original back."""
    before = _at(node, field, index)
    text = ast.unparse(before)
    _put(node, field, index, ast.copy_location(after, before))
    copy: ast.AST = ast.parse(ast.unparse(function)).body[0]
    _put(node, field, index, before)
    ast.increment_lineno(copy, getattr(function, "lineno", 1) - 1)
    return Mutant(name, getattr(before, "lineno", 0), text, ast.unparse(after), copy)


def _functions(node: ast.AST, prefix: str) -> Iterator[tuple[str, ast.AST]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{prefix}{child.name}", child
        elif isinstance(child, ast.ClassDef):
            yield from _functions(child, f"{prefix}{child.name}.")


def _places(function: ast.AST) -> Iterator[tuple[ast.AST, str, int | None]]:
    """Where an expression or statement of the function stands: parent, field, and index in a list."""
    waiting: list[ast.AST] = [function]
    while waiting:
        node = waiting.pop(0)
        for field, value in ast.iter_fields(node):
            if field in ("args", "decorator_list", "returns") and node is function:
                continue
            for index, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
                if _is_left_alone(child):
                    continue
                yield node, field, index
                waiting.append(child)


def _is_left_alone(node: object) -> bool:
    if not isinstance(node, ast.expr | ast.stmt | ast.comprehension | ast.keyword | ast.match_case):
        return True
    is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    is_message = isinstance(node, ast.keyword) and node.arg in ("why", "hint")
    return is_docstring or is_message or isinstance(node, ast.Raise | ast.Assert | ast.JoinedStr)


def _at(node: ast.AST, field: str, index: int | None) -> ast.AST:
    value = getattr(node, field)
    found: ast.AST = value if index is None else value[index]
    return found


def _put(node: ast.AST, field: str, index: int | None, new: ast.AST) -> None:
    if index is None:
        setattr(node, field, new)
    else:
        getattr(node, field)[index] = new


def _changed(node: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.Compare():
            yield from _compared(node)
        case ast.BoolOp(op=op, values=values):
            yield ast.BoolOp(ast.Or() if isinstance(op, ast.And) else ast.And(), values)
            for n in range(len(values)):
                left = values[:n] + values[n + 1 :]
                yield ast.BoolOp(op, left) if len(left) > 1 else left[0]
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield operand
        case ast.BinOp(left=left, op=operator, right=right) if type(operator) in _OPERATORS:
            yield ast.BinOp(left, _OPERATORS[type(operator)](), right)
        case ast.IfExp(body=body, orelse=orelse):
            yield from (body, orelse)
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(value=int(number)):
            yield ast.Constant(number + 1)
        case ast.Call(func=ast.Name(id=name), args=args, keywords=keywords) if name in _CALLS:
            yield ast.Call(ast.Name(_CALLS[name], ast.Load()), args, keywords)
        case ast.If(body=body, orelse=orelse):
            yield ast.If(ast.Constant(False), body, orelse)
            yield ast.If(ast.Constant(True), body, orelse)
        case ast.comprehension(target=target, iter=items, ifs=[_, *_], is_async=is_async):
            yield ast.comprehension(target, items, [], is_async)
        case ast.Return(value=value) if value is not None and not isinstance(value, ast.Constant):
            yield ast.Return(ast.Constant(None))
        case ast.Expr(value=ast.Call() | ast.Await()) | ast.AugAssign():
            yield ast.Pass()


def _compared(node: ast.Compare) -> Iterator[ast.AST]:
    for n, operator in enumerate(node.ops):
        if changed := _COMPARISONS.get(type(operator)):
            yield ast.Compare(node.left, [*node.ops[:n], changed(), *node.ops[n + 1 :]], node.comparators)
