"""The files that commands write: which may be replaced, whether they can be written, and what saves a result that cannot.

A command names what it reads and will write in `writing` before it does anything. In each folder that it writes into, a hidden list holds
the sha256 of what was written, as `sha256sum` prints it: a file whose content is in the list is ours, any other is the user's.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import TypeVar

from aimco.errors import InputError
from aimco.files import sha256, write_atomic

LIST = ".aimco-files"
_LEAST_FREE = 2**20  # bytes of a disk, below which no result is begun
Whole = TypeVar("Whole")
_careful: ContextVar[bool] = ContextVar("careful", default=False)  # whether files of others stay as they are


class Unsaved(OSError):
    """A result that could not be written where it was asked for.

    Attributes:
        result: What was to be written.
    """

    def __init__(self, error: OSError, result: object, rescue: Path | None) -> None:
        super().__init__(error.errno, error.strerror, error.filename)
        self.result, self.rescue = result, rescue

    def __str__(self) -> str:
        where = "could not be written elsewhere either" if self.rescue is None else f"is in {self.rescue}"
        return f"{self.filename}: cannot be written ({self.strerror}); the result {where}"


@contextlib.contextmanager
def writing(
    folder: str | os.PathLike[str] | None,
    names: Sequence[str],
    *,
    reads: Sequence[str | os.PathLike[str] | None] = (),
    state: Sequence[str | None] = (),
    force: bool = False,
) -> Iterator[None]:
    """What is done here writes files; refused before it begins when that would destroy some, or is known to fail.

    Args:
        folder: Where files are written; nothing is when absent.
        names: Of those that will be written, as far as they are known before. Others that turn out to be the user's keep their content:
            what is written here gets another name.
        reads: Files that are read.
        state: Files that are read and written, and are known by their content, as a checkpoint.
        force: Whether files of others may be replaced; those that are read may not.

    Raises:
        InputError: A file that is read or that another wrote is in the way; one cannot be written.
    """
    taken = {_real(path): "is read by this command" for path in reads if path is not None}
    for path in state:
        if path is not None:
            _refuse_taken(Path(path), taken)
            _check_writable(Path(path))
    if folder is not None:
        for name in names:
            target = Path(folder) / name
            _refuse_taken(target, taken)
            if not force and not _replaceable(Path(folder), name):
                raise InputError(
                    f"{target}: is there already, and was not written by aimco or was changed since; name another place, or add --force"
                )
            _check_writable(target)
    token = _careful.set(folder is not None and not force)
    try:
        yield
    finally:
        _careful.reset(token)


def write_outputs(folder: str | os.PathLike[str], files: Mapping[str, str | bytes]) -> list[Path]:
    """Write files into a folder, each whole or not at all, and note in the list there that they are ours.

    Args:
        folder: Made where it is missing.
        files: Content by name.

    Returns:
        The files that were written. Within `writing`, one that would replace a file of the user has another name.
    """
    at, placed = Path(folder), dict[str, bytes]()
    for name, content in files.items():
        path = at / name
        if _careful.get() and not _replaceable(at, name):
            path = next(p for k in range(1, 10**6) if not (p := path.with_name(f"{path.stem}-{k}{path.suffix}")).exists())
        placed[path.relative_to(at).as_posix()] = content.encode() if isinstance(content, str) else content
    _note(at, {name: sha256(content) for name, content in placed.items()})  # first: what is written is ours, however this ends
    for name, content in placed.items():
        write_atomic(at / name, content)
    return [at / name for name in placed]


@contextlib.contextmanager
def saving(name: str, result: object, text: Callable[[], str]) -> Iterator[None]:
    """A result is written here; where that fails it goes to a file elsewhere, and `Unsaved` has it.

    Args:
        name: Of the command, for the name of that file.
        result: What is written.
        text: The same as text.
    """
    try:
        yield
    except OSError as error:
        raise Unsaved(error, result, _rescued(f"aimco-{name}.json", text())) from None


def try_to_save(name: str, result: object, save: Callable[[], object], text: Callable[[], str]) -> Unsaved | None:
    """Save a result of a command; the error of writing it, which is raised once the result is printed. The arguments are as of `saving`."""
    try:
        with saving(name, result, text):
            save()
    except Unsaved as error:
        return error
    return None


def settled(work: Callable[[], Whole]) -> tuple[Whole, Unsaved | None]:
    """The result of work that saves it by itself, and the error of writing it, as of `try_to_save`."""
    try:
        return work(), None
    except Unsaved as error:
        return error.result, error  # type: ignore[return-value]


def finish(unsaved: Unsaved | None) -> None:
    """Say at the end, when a result is printed, that it could not be written."""
    if unsaved is not None:
        raise unsaved


def _rescued(name: str, text: str) -> Path | None:
    """The file that a result was saved to: in the current folder, else at home, else where temporary files lie."""
    for folder in (Path.cwd(), Path.home(), Path(tempfile.gettempdir())):
        path = next(p for k in range(10**6) if not (p := folder / (f"{k}-{name}" if k else name)).exists())
        with contextlib.suppress(OSError):
            write_atomic(path, text + "\n")
            return path
    return None


def _note(folder: Path, written: Mapping[str, str]) -> None:
    """Add names and their sha256 to the list of a folder."""
    known = _listed(folder)
    lines = "".join(f"{digits}  {name}\n" for name, digits in written.items() if digits not in known.get(name, ()))
    path = folder / LIST
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with open(path, "a", encoding="utf-8") as file:
            file.write(lines)
    except OSError:  # what follows will fail as well, and say so
        with contextlib.suppress(OSError):
            if not path.stat().st_size:
                path.unlink()


def _listed(folder: Path) -> dict[str, set[str]]:
    """The sha256 of all that was written into a folder, by name."""
    try:
        lines = (folder / LIST).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return {}
    listed: dict[str, set[str]] = {}
    for line in lines:
        digits, _, name = line.partition("  ")
        listed.setdefault(name, set()).add(digits)
    return listed


def _replaceable(folder: Path, name: str) -> bool:
    """Whether a file of that name is not there, is ours, or has no content to lose."""
    path = folder / name
    if not path.is_file() or not path.stat().st_size:
        return True
    return sha256(path.read_bytes()) in _listed(folder).get(name, ())


def _refuse_taken(path: Path, taken: dict[Path, str]) -> None:
    real = _real(path)
    if real in taken:
        raise InputError(f"{path}: {taken[real]}, which would write over it; name another place")
    taken[real] = "is written by this command already"


def _real(path: str | os.PathLike[str]) -> Path:
    if "\0" in os.fspath(path):
        raise InputError(f"{os.fspath(path)!r} must not contain NUL; no file can have this name")
    return Path(os.path.realpath(path))


def _check_writable(path: Path) -> None:
    """Refuse a file that cannot be written, by writing another beside where it would be."""
    real = _real(path)
    if real.is_dir():
        raise InputError(f"{path}: is a folder; name a file in it")
    folder = next(parent for parent in real.parents if parent.exists())
    try:
        with tempfile.TemporaryFile(dir=folder):
            free = shutil.disk_usage(folder).free
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}); name another place, or check the permissions") from None
    if free < _LEAST_FREE:
        raise InputError(f"{path}: cannot be written (the disk is full); name another place, or make space")
