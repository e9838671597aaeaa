"""Classes in users' own files: loaded, located by file and line, and held to the methods of what they derive from."""

from __future__ import annotations

import contextlib
import difflib
import functools
import inspect
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType

from aimco.errors import InputError
from aimco.files import SHA256, counted_from, resolved, sha256, trusted

_CONTENT = "__content__"  # of a loaded module: the bytes that it was made from, whatever becomes of its file
_ALIKE = 0.8  # similarity of two names from which one is taken for a misspelling of the other


def is_own(cls: type) -> bool:
    """Whether a class is a user's and not aimco's."""
    return not cls.__module__.startswith("aimco.")


def load(path: str, saved: object = None) -> ModuleType:
    """The module in a user's file, anew whenever its content changes.

    Args:
        path: Of the file, see `resolved`.
        saved: The sha256 that its content must have; any when absent.

    Raises:
        InputError: there is no such file, it has other content, it cannot be executed, or what names it is not trusted.
    """
    if not trusted():
        raise InputError(
            f"kind {path}: must be one that comes with aimco in what is not trusted, got Python of a file; read that file first"
        )
    file = resolved(path)
    try:
        content = file.read_bytes()
    except (OSError, ValueError) as error:
        why = "there is no such file" if isinstance(error, FileNotFoundError) else f"cannot be read ({error})"
        raise InputError(f"kind {path}: {why}; paths count from {counted_from()}") from None
    now = sha256(content)
    if saved is not None and saved != now:
        why = f"the file was changed after it was saved with this record (sha256 {str(saved)[:8]} then, {now[:8]} now)"
        raise InputError(f"kind {path}: {why}; restore it, or remove {SHA256} to take it as it is")
    return _module(file.resolve(), content)


@functools.cache
def _module(file: Path, content: bytes) -> ModuleType:
    """Made from the content at hand: Python's cache of compiled files misses changes of the same size within a second."""
    name = f"_user_{file.stem}_{sha256(str(file).encode())[:8]}_{sha256(content)[:8]}"
    module = ModuleType(name)
    module.__file__ = str(file)
    setattr(module, _CONTENT, content)
    sys.modules[name] = module
    try:
        exec(compile(content, str(file), "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise InputError(fault(error, file) or f"{file}: {type(error).__name__}: {_first_line(error)}") from error
    return module


@functools.cache
def source(cls: type) -> tuple[str, bytes] | None:
    """Path and content of the file of a user's class, of a script as it is at the first call; None where it has no file."""
    try:
        path = inspect.getsourcefile(cls)
    except TypeError:
        return None
    content = getattr(sys.modules.get(cls.__module__), _CONTENT, None)
    if path is None or (content is None and not os.path.isfile(path)):
        return None
    return path, Path(path).read_bytes() if content is None else content


def code(cls: type) -> str:
    """Text that a user's class is made of: its whole file, as it may read names beside the class."""
    held = source(cls)
    return inspect.getsource(cls) if held is None else held[1].decode(errors="replace")


def where(thing: type | Callable[..., object]) -> str:
    """`mine.py:12`: where a class or a function is defined."""
    try:
        function = getattr(thing, "__func__", getattr(thing, "fget", None) or thing)
        lines, first = inspect.getsourcelines(function)
        past = next((k for k, line in enumerate(lines) if re.match(r"\s*(async def|def|class)\b", line)), 0)
        return f"{inspect.getsourcefile(function)}:{first + past}"
    except (OSError, TypeError):
        return getattr(thing, "__qualname__", str(thing))


def where_is(cls: type, method: str) -> str:
    """`where` of a method of a user's class; of the class where the method is inherited from aimco."""
    owner = next((c for c in cls.__mro__ if method in vars(c)), cls)
    return where(getattr(owner, method, cls) if is_own(owner) else cls)


def fault(error: BaseException, file: str | os.PathLike[str]) -> str | None:
    """`mine.py:12: ZeroDivisionError: division by zero`, of the innermost line in a file; None where an error did not pass through it."""
    name, line = os.fspath(file), None
    for frame, number in traceback.walk_tb(error.__traceback__):
        if os.path.abspath(frame.f_code.co_filename) == os.path.abspath(name):
            line = number
    if isinstance(error, SyntaxError) and error.filename == name:
        return f"{name}:{error.lineno}: {type(error).__name__}: {error.msg}"
    if line is None:
        return None
    kind = "" if isinstance(error, InputError) else f"{type(error).__name__}: "
    return f"{name}:{line}: {kind}{_first_line(error)}"


def own_fault(error: BaseException) -> str | None:
    """`fault` in the innermost of the users' files that an error went through; None where it went through none."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__) if _CONTENT in frame.f_globals]
    return fault(error, frames[-1].f_code.co_filename) if frames else None


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), "no message")


@contextlib.contextmanager
def located(cls: type) -> Iterator[None]:
    """Errors of a user's code in one sentence, with file and line; those that did not pass through the class's file as they are."""
    try:
        yield
    except Exception as error:
        source_file = source(cls) if is_own(cls) else None
        message = None if source_file is None else fault(error, source_file[0])
        if message is None or hasattr(error, "problem"):  # a field that the code names is told as a field
            raise
        raise InputError(message) from error


def check_methods(cls: type, base: type, required: Mapping[str, str], extra: Mapping[str, tuple[str, ...]]) -> None:
    """Hold the methods of a user's class to those of what it derives from.

    Args:
        cls: The user's class.
        base: Of all such kinds.
        required: Methods that the base leaves open -> how to write them; one of them is enough. None where the base leaves none open.
        extra: Further methods -> names of their arguments.

    Raises:
        InputError: a method that is missing, misspelt, or takes other arguments, with file and line.
    """
    contract = {**_contract(cls, base), **extra}
    given = {n: v for c in reversed(cls.__mro__) if is_own(c) and issubclass(c, base) for n, v in vars(c).items() if _is_function(v)}
    if required and all(getattr(cls, n, None) is getattr(base, n, None) for n in required):
        close = [m for n in given for m in difflib.get_close_matches(n, required, 1, 0.6)]
        meant = next((f"; is {n} meant to be {close[0]}?" for n in given if close and difflib.get_close_matches(n, close, 1, 0.6)), "")
        raise InputError(f"{where(cls)}: {cls.__name__} has no method {' or '.join(required.values())}{meant}")
    _check_properties(cls, base)
    for name, function in given.items():
        if name in getattr(base, "renamed", {}):
            raise InputError(f"{where(cls)}: {cls.__name__}.{name} is now called {base.renamed[name]}; rename it")
        if name in contract:
            _check_arguments(cls, name, getattr(function, "__func__", function), contract[name])
        elif not name.startswith("_"):
            _check_spelling(cls, name, function, [n for n in contract if n not in given])


def _is_function(value: object) -> bool:
    return inspect.isfunction(value) or isinstance(value, staticmethod | classmethod)


def _contract(cls: type, base: type) -> dict[str, tuple[str, ...]]:
    """Public methods of aimco's classes above a user's -> names of their arguments."""
    contract: dict[str, tuple[str, ...]] = {}
    for c in cls.__mro__:
        if issubclass(c, base) and not is_own(c):
            methods = {n: getattr(v, "__func__", v) for n, v in vars(c).items() if _is_function(v) and not n.startswith("_")}
            contract = {n: tuple(inspect.signature(f).parameters) for n, f in methods.items()} | contract
    return contract


def _check_properties(cls: type, base: type) -> None:
    """Refuse a method in place of a property of aimco's classes above a user's, and a property in place of a method."""
    ours = {
        n: v for c in reversed(cls.__mro__) if issubclass(c, base) and not is_own(c) for n, v in vars(c).items() if not n.startswith("_")
    }
    for owner in (c for c in cls.__mro__ if is_own(c) and issubclass(c, base)):
        for name, value in vars(owner).items():
            was = ours.get(name)
            if _is_function(value) and isinstance(was, property | functools.cached_property):
                raise InputError(f"{where(value)}: {cls.__name__}.{name} is a value, not a method; write @property above it")
            if isinstance(value, property) and _is_function(was):
                raise InputError(f"{where(value.fget or cls)}: {cls.__name__}.{name} is a method, not a value; remove @property above it")


def _check_arguments(cls: type, name: str, function: Callable[..., object], wanted: tuple[str, ...]) -> None:
    signature = inspect.signature(function)
    try:
        signature.bind(*wanted)
        fits = "p" not in wanted or list(signature.parameters)[wanted.index("p")] == "p"  # kernels know parameters of devices as p.NAME
    except TypeError:
        fits = False
    if not fits:
        static = "" if "self" in wanted else " and be a @staticmethod"
        got = ", ".join(map(str, signature.parameters.values()))
        raise InputError(f"{where(function)}: {cls.__name__}.{name} must take ({', '.join(wanted)}){static}, got ({got})")


def _check_spelling(cls: type, name: str, function: Callable[..., object], absent: list[str]) -> None:
    """Refuse what looks like a method of the base and is called by nobody."""
    close = difflib.get_close_matches(name, absent, 1, _ALIKE)
    held = source(cls)
    if close and held is not None and len(re.findall(rf"\b{name}\b", held[1].decode(errors="replace"))) == 1:
        raise InputError(f"{where(function)}: {cls.__name__}.{name} is called by nothing; is it meant to be {close[0]}?")


def check_tensors(place: str, state: object) -> None:
    """Refuse a state that is not tensors by name, which is what checkpoints keep.

    Raises:
        InputError: it is not, with the place of the method that made it.
    """
    import torch

    if not isinstance(state, dict):
        raise InputError(f"{place} must return tensors by name, got {type(state).__name__}")
    for name, value in state.items():
        if not isinstance(value, torch.Tensor):
            raise InputError(f"{place} must return tensors by name, got {type(value).__name__} for {name!r}; checkpoints keep tensors")
