"""From one scalar Python function to a compiled kernel: the text of the kernel is made, kept on disk and compiled once.

Numba keeps compiled code on disk only for functions that live in a file, so the kernel of a response is
written to a file in the cache folder, under a name that is a hash of all the text that went into it. A changed
response, kernel or Numba makes a new name; nothing stale is ever used.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import inspect
import os
import tempfile
import textwrap
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numba
import numpy as np

from aimco.errors import InputError
from aimco.files import load_module, write_atomic

_HERE = Path(__file__).parent
_CONTINUED = ("update_template.py", "write_template.py")  # what follows the made `pulse_template.py`, from a marker on
_SMOOTH = ("exp", "log")  # of math, that `aimco.kernels.smooth` has as vector code


def cache_folder() -> Path:
    """Where made kernels live: $XDG_CACHE_HOME/aimco, else ~/.cache/aimco, else the temporary folder."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    for folder in (Path(home) / "aimco", Path(tempfile.gettempdir()) / f"aimco-{os.getuid() if hasattr(os, 'getuid') else 'user'}"):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            return folder
    raise InputError("XDG_CACHE_HOME must be a folder that can be written, for compiled kernels; set it to one")


class ScalarSource:
    """The text of a scalar function and of all it calls, with its constants in single precision.

    Numbers written in the function and module constants it reads become float32, as the state is; scalar
    functions it calls come along; modules it uses (math, numpy) are imported. Anything else is refused.

    Args:
        function: of numbers. name: what it is called in the text. double: keep double precision, for fits.
        tables: names that it reads as `p.name` and that are constants.
    """

    def __init__(self, function: Callable[..., object], name: str = "response", double: bool = False, tables: tuple[str, ...] = ()) -> None:
        self.double, self.tables = double, tables
        self.imports: dict[str, str] = {}
        self.constants: dict[str, float] = {}
        self.functions: dict[str, str] = {}
        self.reads: set[str] = set()
        self.add(function, name)

    def add(self, function: Callable[..., object], name: str) -> None:
        if name in self.functions:
            return
        self.functions[name] = ""
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
        except (OSError, TypeError):
            raise InputError(f"{name}: the source of the function cannot be found; define it in a file") from None
        definition = tree.body[0]
        if not isinstance(definition, ast.FunctionDef):
            raise InputError(f"{name}: must be a plain function defined with def, got {type(definition).__name__}")
        definition.decorator_list, definition.name = [], name
        definition.returns = None
        for argument in definition.args.args:
            argument.annotation = None
        arguments = {argument.arg for argument in definition.args.args}
        if definition.body and isinstance(definition.body[0], ast.Expr) and isinstance(definition.body[0].value, ast.Constant):
            definition.body = definition.body[1:]
        self._collect(definition, function, arguments)
        tree = (_Tables if self.double else _Single)(self).visit(definition)
        self.functions[name] = ast.unparse(ast.fix_missing_locations(tree))

    def _collect(self, definition: ast.FunctionDef, function: Callable[..., object], arguments: set[str]) -> None:
        scope = inspect.getclosurevars(function)
        outer = {**scope.globals, **scope.nonlocals}
        for node in ast.walk(definition):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "p":
                self.reads |= {node.attr} - set(self.tables)
            if not isinstance(node, ast.Name) or node.id in arguments or node.id not in outer:
                continue
            value, name = outer[node.id], f"its_{node.id}"  # so that no name of the response meets one of the kernel
            if isinstance(value, ModuleType):
                self.imports[name] = f"import {value.__name__} as {name}"
            elif isinstance(value, int | float):
                self.constants[name] = float(value)
            elif inspect.isfunction(value):
                self.add(value, name)
            elif callable(value) and getattr(value, "__module__", "") == "math":
                place = "aimco.kernels.smooth" if value.__name__ in _SMOOTH and not self.double else "math"
                self.imports[name] = f"from {place} import {value.__name__} as {name}"
            else:
                what = f"{function.__name__} reads {node.id}, a {type(value).__name__}"
                raise InputError(f"{what}; a pulse function may read numbers, math and other such functions")
            node.id = name

    def text(self) -> str:
        """Python text that defines the functions, compiled into whoever calls them."""
        lines = sorted(self.imports.values())
        number = "float" if self.double else "np.float32"
        lines += [f"{name} = {number}({value!r})" for name, value in self.constants.items()]
        for name, text in self.functions.items():
            lines += ["", "", text, f"{name} = nb.njit(inline='always', error_model='numpy')({name})"]
        return "\n".join(lines) + "\n"


class _Tables(ast.NodeTransformer):
    """Tables that the function reads as `p.name` become names of constants."""

    def __init__(self, source: ScalarSource) -> None:
        self.source = source

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        if node.attr in self.source.tables:
            return ast.copy_location(ast.Name(f"table_{node.attr}", ast.Load()), node)
        return self.generic_visit(node)


class _Single(_Tables):
    """Numbers in the function become names of float32 constants, and powers calls of `smooth.power`."""

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if isinstance(node.value, bool) or not isinstance(node.value, int | float):
            return node
        name = "_c" + hashlib.sha256(repr(float(node.value)).encode()).hexdigest()[:8]
        self.source.constants[name] = float(node.value)
        return ast.copy_location(ast.Name(name, ast.Load()), node)

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        whole = isinstance(node.right, ast.Constant) and node.right.value in (2, 3, 4)
        if not isinstance(node.op, ast.Pow):
            return self.generic_visit(node)
        node.left = self.visit(node.left)
        if whole:  # a product, for bases of either sign
            return node
        self.source.imports["its_power"] = "from aimco.kernels.smooth import power as its_power"
        call = ast.Call(ast.Name("its_power", ast.Load()), [node.left, self.visit(node.right)], [])
        return ast.copy_location(call, node)


Tables = tuple[tuple[str, tuple[int, ...], bytes], ...]


@functools.cache
def kernel(
    pulse: Callable[..., object],
    train: Callable[..., object] | None,
    per_device: tuple[str, ...],
    shared: tuple[str, ...],
    *,
    noisy: bool,
    affine: bool = False,
    reverses: bool = False,
    referenced: bool = False,
    tables: Tables = (),
) -> ModuleType:
    """The compiled kernel module (`update`, `pulse_devices`, ...) of one response.

    Args:
        pulse, train: scalar functions of the response, as `aimco.device.response.Kernels` says.
        per_device: parameters that differ from device to device, in the order of the rows of `a`.
        shared: parameters equal within an ensemble member, in the order of `m`.
        noisy: whether pulses are noisy. affine: see `Response`. reverses: whether noise may turn a step round.
        referenced: whether the state is stored relative to a reference device.
        tables: (name, shape, float32 bytes) of what it reads as `p.name` and is one for all devices: constants of the compiled code.
    """
    source = ScalarSource(pulse, tables=tuple(name for name, _, _ in tables))
    if train is not None:
        source.add(train, "train")
    needed = source.reads | {"g_max", "g_min"}
    missing = sorted(needed - set(per_device) - set(shared))
    if missing:
        raise InputError(
            f"{pulse.__qualname__} reads p.{missing[0]}, which is not a field; the fields are {', '.join(sorted((*per_device, *shared)))}"
        )
    names = sorted(needed)
    whole = [f"a[1][e, i, j, {per_device.index(n)}]" if n in per_device else f"m[e, {shared.index(n)}]" for n in names]
    row = [f"a[{per_device.index(n)}, j]" if n in per_device else f"m[{shared.index(n)}]" for n in names]
    flags = {"NOISY": noisy, "REVERSES": reverses, "CHECKED": reverses or not affine, "AFFINE": affine, "REFERENCED": referenced}
    part = _constants(tables) + source.text()
    part += _BY_PULSE if train is None else ""
    part += "".join(f"{n} = {v}\n" for n, v in flags.items())
    part += (
        f"Device = namedtuple('Device', {' '.join(names)!r})\n\n\n"
        f"@nb.njit(inline='always')\ndef device(a, m, e, i, j):\n    return Device({', '.join(whole)})\n\n\n"
        f"@nb.njit(inline='always')\ndef device_of_row(a, m, j):\n    return Device({', '.join(row)})\n"
    )
    return _module(part)


_BY_PULSE = """

@nb.njit(inline="always")
def train(g, n, up, p):
    return np.float32(0), np.float32(0), False


"""


def _constants(tables: Tables) -> str:
    return "".join(
        f"table_{n} = np.frombuffer(b64decode({b64encode(data).decode()!r}), np.float32).reshape({shape}){'' if shape else '[()]'}\n"
        for n, shape, data in tables
    )


@functools.cache
def mean_step(function: Callable[..., object], tables: Tables = ()) -> tuple[ModuleType, tuple[str, ...]]:
    """The compiled kernel module (`steps`, `trajectory`, `balance`) of the mean step of a response in double precision.

    Args:
        function: scalar `step(g, up, p) -> dg`, or `pulse(g, n, up, p, noise) -> g` of which the mean over the noise is taken.
        tables: as in `kernel`.

    Returns:
        The module, and the names of the parameters it takes, in the order of the columns of `a`.
    """
    source = ScalarSource(function, "response", double=True, tables=tuple(name for name, _, _ in tables))
    names = tuple(sorted(source.reads | {"g_max", "g_min"}))
    columns = ", ".join(f"a[k, {i}]" for i in range(len(names)))
    part = (
        _constants(tables)
        + source.text()
        + (
            f"\n\nWHOLE = {len(inspect.signature(function).parameters) > 3}\n"
            f"Device = namedtuple('Device', {' '.join(names)!r})\n\n\n"
            f"@nb.njit(inline='always')\ndef device(a, k):\n    return Device({columns})\n"
        )
    )
    return _module(part, "mean_step_template.py"), names


def _module(part: str, file_name: str = "pulse_template.py") -> ModuleType:
    template = (_HERE / file_name).read_text()
    head, rest = template.split("# <response>\n")
    text = head + part + rest.split("# </response>\n")[1]
    if file_name == "pulse_template.py":
        for name in _CONTINUED:
            text += "\n\n" + (_HERE / name).read_text().split("# <continued>\n")[1]
    used = [(_HERE / name).read_text() for name in ("intrinsics.py", "trains.py", "smooth.py")]
    name = "pulse_" + hashlib.sha256("\n".join((text, *used, numba.__version__, np.__version__)).encode()).hexdigest()[:16]
    file = cache_folder() / f"{name}.py"
    if not file.exists() or file.read_text() != text:
        write_atomic(file, text)
        os.utime(file, (0, 0))  # Numba compares the time: whichever of two processes wrote it last, what either compiled is of this file
    return load_module(file, f"aimco_made_{name}")
