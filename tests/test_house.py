"""How the code is built: sizes of modules and functions, what rooms take from each other, and where names of kinds stand."""

from __future__ import annotations

import ast
import graphlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import aimco
from aimco.arrays.kinds import Array
from aimco.networks import Network
from aimco.tasks import Task

ROOT = Path(aimco.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
LINES, LONGEST, ARGUMENTS = 400, 40, 8
COMPILED = ("kernels/", "device/response.py")  # text that is compiled as one function
# Participles and fillers: a local name is a noun that says what it holds.
NO_NOUNS = {"made", "told", "said", "shown", "found", "own", "kept", "there"}
# Constructors that have torch's own signature, and commands, of which each option is an argument.
AS_TORCH_HAS_IT = {"nn/attention.py", "nn/conv.py", "nn/linear.py", "nn/recurrent.py"}
COMMANDS = {"cli.py", "cli_advise.py", "cli_figures.py", "cli_studies.py"}


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines without the docstring."""
    first = function.body[0]
    documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    assert function.end_lineno is not None and first.end_lineno is not None
    return function.end_lineno - function.lineno + 1 - (first.end_lineno - first.lineno + 1 if documented else 0)


def arguments(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Without self and cls."""
    given = function.args
    names = [a.arg for a in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    return len(names) - (bool(names) and names[0] in ("self", "cls"))


@pytest.mark.parametrize("path", FILES, ids=name)
def test_a_module_is_one_idea_and_a_function_fits_a_screen(path):
    text, where = path.read_text(), name(path)
    assert len(text.splitlines()) <= LINES
    for function in functions(ast.parse(text)):
        if not where.startswith(COMPILED):
            assert length(function) <= LONGEST, function.name
        if not where.startswith("kernels/") and where not in AS_TORCH_HAS_IT | COMMANDS and where != "studies/space.py":
            assert arguments(function) <= ARGUMENTS, function.name


NAMED = ast.ExceptHandler | ast.MatchAs | ast.MatchStar | ast.FunctionDef | ast.AsyncFunctionDef


def bound(tree: ast.AST) -> Iterator[tuple[int, str | None]]:
    """(line, name) of each variable, argument, import and function that a file binds, methods left out: some are public names."""
    methods = {id(part) for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for part in node.body}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.alias):
            yield node.lineno, node.asname or node.name
        elif isinstance(node, NAMED) and id(node) not in methods:
            yield node.lineno, node.name


@pytest.mark.parametrize("path", FILES, ids=name)
def test_a_variable_is_named_by_a_noun(path):
    assert [(line, word) for line, word in bound(ast.parse(path.read_text())) if word in NO_NOUNS] == []


@pytest.mark.parametrize("path", FILES, ids=name)
def test_no_private_name_is_taken_from_another_module(path):
    """Kernels are made of texts that are one module when they are compiled."""
    where = name(path)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("aimco") and not where.startswith("kernels/"):
            private = [a.name for a in node.names if a.name.startswith("_") and not a.name.startswith("__")]
            assert not private, private


KINDS = {kind: cls for cls in (Network, Task, Array) for kind in cls.kinds()}
# Words that mean something else too, and files that are about one kind.
OTHER_MEANINGS = {"arrays", "program", "binary", "vertical", "planar", "resistive", "digits", "mnist"}
ABOUT = ("reference/", "bench/", "demo/", "api/", "peers/")


@pytest.mark.parametrize("kind", sorted(set(KINDS) - OTHER_MEANINGS))
def test_a_kind_is_named_in_its_own_file_alone(kind):
    """No test on the name of a network, task or array elsewhere; defaults and sentences may name one."""
    compared = re.compile(rf"""(==|!=|\bin\b)\s*\(?["']{kind}["']|["']{kind}["']\s*(==|!=|\bin\b|:)""")
    for path in FILES:
        if path.stem.replace("_", "-") != kind and not name(path).startswith(ABOUT):
            assert not compared.search(path.read_text()), name(path)


def test_whatever_has_a_kind_is_not_asked_for_its_name():
    """`x.kind == "..."`, anywhere outside of the package of that kind."""
    asked = re.compile(r"""(network|array|task)\.kind\s*(==|!=|in\b|not in\b)\s*[("']""")
    assert [name(p) for p in FILES if asked.search(p.read_text())] == []


WITHOUT_A_TYPE = 85  # lines with the word at most, imports included


def test_any_stands_only_where_a_type_cannot_be_said():
    """What is only checked or passed on is an `object`; plain data of TOML and JSON has its one name in `plain_data`."""
    lines = [f"{name(path)}: {line.strip()}" for path in FILES for line in path.read_text().splitlines() if re.search(r"\bAny\b", line)]
    assert len(lines) <= WITHOUT_A_TYPE, "\n".join(lines)


MODULES = {".".join(("aimco", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): path for path in FILES}


def imported(module: str) -> set[str]:
    """Modules that a module names, at its top, for type checkers and inside of functions.

    The package itself is left out: Python runs it before any of its modules, and it imports nothing before a name of it is asked for.
    """
    modules = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules |= {inner if (inner := f"{node.module}.{alias.name}") in MODULES else f"{node.module}" for alias in node.names}
    return (modules & MODULES.keys()) - {"aimco", module}


def test_no_module_is_needed_by_what_it_needs():
    graphlib.TopologicalSorter({module: imported(module) for module in MODULES}).prepare()
