"""Sentences about code that reaches where answers need not: they cost nothing, a person may want to look."""

from __future__ import annotations

import ast
from collections.abc import Iterator

TOOLS = ("builtins", "sys", "os", "gc", "inspect", "ctypes", "signal", "importlib", "course_utils")
REACHES = {
    "_exit", "_getframe", "abort", "atexit", "ctypes", "execv", "f_back", "f_globals", "f_locals", "fork",
    "gc", "get_ipython", "get_objects", "get_referrers", "getppid", "kill", "ptrace", "setprofile",
    "settrace", "socket", "subprocess", "tb_frame", "urlopen", "__builtins__", "__code__", "__import__",
    "__subclasses__", "input_transformers_post", "input_transformers_cleanup", "run_cell",
}  # fmt: skip
ALWAYS_EQUAL = {"__eq__", "__ne__", "__instancecheck__", "__subclasscheck__", "__bool__"}


def oddities(cells: list[tuple[int, str]], tools: set[str]) -> Iterator[str]:
    """A sentence for each odd thing in a member's code cells, (number, source); `tools` are the setup's names."""
    for number, source in cells:
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        renamed = sorted(tools & _bound(tree))
        if renamed:
            yield (
                f"Cell {number} gives {' and '.join(renamed)} another meaning. "
                "The tests kept their own; the cells below it in the notebook did not."
            )
        reached = sorted(set(_reached(tree)))
        if reached:
            yield f"Odd: cell {number} uses {', '.join(reached)}. The tests ran out of its reach."


def _bound(tree: ast.Module) -> set[str]:
    found = set()
    for each in tree.body:
        if isinstance(each, ast.FunctionDef | ast.ClassDef):
            found.add(each.name)
        elif not isinstance(each, ast.Import | ast.ImportFrom):
            names = (name for name in ast.walk(each) if isinstance(name, ast.Name))
            found |= {name.id for name in names if isinstance(name.ctx, ast.Store)}
    return found


def _reached(tree: ast.Module) -> Iterator[str]:
    modules = {"torch", "F", "nn", "numpy", "np", "math", "geometry", "metrics", *TOOLS}
    for each in ast.walk(tree):
        if isinstance(each, ast.Attribute):
            if each.attr in REACHES:
                yield each.attr
            if each.attr == "modules" and _name(each.value) == "sys":  # a network has modules too
                yield "sys.modules"
            if isinstance(each.ctx, ast.Store) and _root(each) in modules:
                yield f"an assignment to {ast.unparse(each)}"
        elif isinstance(each, ast.Name) and each.id in REACHES:
            yield each.id
        elif isinstance(each, ast.Import | ast.ImportFrom):
            named = [name.name for name in each.names] + [getattr(each, "module", None) or ""]
            yield from sorted(set(named) & (REACHES | {"builtins", "inspect", "modules"}))
            yield from (name for name in named if name.startswith("course_utils.homework"))
        elif isinstance(each, ast.FunctionDef) and each.name in ALWAYS_EQUAL:
            yield f"a method {each.name}"
        elif (
            isinstance(each, ast.Call)
            and _name(each.func) in ("setattr", "delattr")
            and each.args
            and _root(each.args[0]) in modules
        ):
            yield f"{_name(each.func)} on {ast.unparse(each.args[0])[:40]}"


def _root(node: ast.AST) -> str:
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return _name(node)


def _name(node: ast.AST) -> str:
    return node.id if isinstance(node, ast.Name) else ""
