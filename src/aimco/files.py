"""Files on disk: TOML read with errors in one sentence, content written whole, and files that travel with the TOML that names them."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import secrets
import sys
import tomllib
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from types import ModuleType

from aimco.errors import InputError
from aimco.plain_data import PlainData, PlainView

OWN = ".py:"  # in a kind, between a user's file and the class in it
_DEEPEST = 32  # tables and lists in each other, of records a few
SHA256 = "kind_sha256"  # beside such a kind in saved TOML: the content that the file had
_UNTRUSTED = "AIMCO_UNTRUSTED"  # an environment variable, which worker processes inherit
_trust: ContextVar[bool] = ContextVar("trust", default=True)
_folder: ContextVar[Path | None] = ContextVar(
    "folder", default=None
)  # of the TOML file being read: what pydantic hands on ends at a record


def read_toml(path: str | os.PathLike[str]) -> PlainData:
    """Plain data of a TOML file; InputError when it is missing, not text or not TOML."""
    try:
        return parse_toml(Path(path).read_text(encoding="utf-8"), str(path))
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file; check the path") from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a folder; name a TOML file in it") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not UTF-8 text; save the file as UTF-8") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: is not valid TOML: {error}; correct that line") from None
    except ValueError as error:
        raise InputError(f"{str(path)!r}: cannot be read ({error}); check the path") from None


def parse_toml(text: str, name: str) -> PlainData:
    """Plain data of TOML text.

    Args:
        text: TOML.
        name: What errors call it.

    Raises:
        tomllib.TOMLDecodeError: It is not TOML.
        InputError: It is, and no record can be meant: tables in tables without end, a number of thousands of digits.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise
    except (RecursionError, ValueError) as error:
        fault = "a number of thousands of digits" if isinstance(error, ValueError) else "tables nested thousands deep"
        raise InputError(f"{name}: must be tables of a record, got {fault}; remove that") from None
    level: list[object] = [data]
    for _ in range(_DEEPEST):
        parts = (v.values() if isinstance(v, dict) else v for v in level if isinstance(v, dict | list))
        level = [value for part in parts for value in part]
    if level:
        raise InputError(f"{name}: must be nested at most {_DEEPEST} deep, got more; remove that")
    return data


def write_atomic(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Write a file whole or not at all: into a temporary file beside it, then renamed over it.

    A symbolic link is followed. A file that is there keeps its permissions; a new one has those that the umask leaves.
    """
    target = Path(os.path.realpath(path))
    data = content.encode() if isinstance(content, str) else content
    if target.exists() and not (target.is_file() or target.is_dir()):  # a device or a pipe, which keeps its place
        target.write_bytes(data)
        return
    name = target.parent / f".{target.name}.{secrets.token_hex(4)}"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            os.chmod(name, target.stat().st_mode & 0o7777)
        os.replace(name, target)
    except BaseException as error:
        with contextlib.suppress(OSError):
            name.unlink(missing_ok=True)
        if isinstance(error, OSError):  # names the file that was asked for, not the one beside it
            raise type(error)(error.errno, error.strerror, str(path)) from None
        raise


def load_module(file: Path, name: str) -> ModuleType:
    """Import a file under a name of its own; Numba and `inspect` find the module again by that name."""
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def sha256(content: bytes) -> str:
    """Sixty-four hexadecimal digits that name a content."""
    return hashlib.sha256(content).hexdigest()


@contextlib.contextmanager
def paths_from(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Paths in what is read here count from a folder: that of the TOML file that names them."""
    token = _folder.set(Path(folder))
    try:
        yield
    finally:
        _folder.reset(token)


@contextlib.contextmanager
def trusting(trust: bool) -> Iterator[None]:
    """Whether Python in users' files may run that records read here name; what is not trusted already stays so."""
    token = _trust.set(trust and _trust.get())
    try:
        yield
    finally:
        _trust.reset(token)


@contextlib.contextmanager
def untrusted_everywhere(wanted: bool) -> Iterator[None]:
    """As `trusting(False)` where it is wanted, for the worker processes that are started meanwhile too."""
    before = os.environ.get(_UNTRUSTED, "")
    os.environ[_UNTRUSTED] = "1" if wanted else before
    try:
        yield
    finally:
        os.environ[_UNTRUSTED] = before


def trusted() -> bool:
    """Whether Python in users' files may run here: not within `trusting(False)`, nor where AIMCO_UNTRUSTED is set."""
    return _trust.get() and not os.environ.get(_UNTRUSTED)


def resolved(path: str) -> Path:
    """A path as it counts here: from the folder of the TOML file that is being read, else from the current folder."""
    folder = _folder.get()
    return Path(path) if folder is None else Path(os.path.abspath(folder / path))


def counted_from() -> str:
    """From where paths count here, in words."""
    folder = _folder.get()
    return "the current folder" if folder is None else f"the folder of the TOML file that names them, {folder}"


def anchored(value: object) -> object:
    """Values of fields with the files that they name, FILE.py:CLASS or FILE.toml, as `resolved` paths."""
    if isinstance(value, str):
        return str(resolved(value)) if OWN in value or value.endswith(".toml") else value
    if isinstance(value, list | tuple):
        return [anchored(v) for v in value]
    if isinstance(value, Mapping):
        return {k: anchored(v) if k == "kind" or isinstance(v, Mapping) else v for k, v in value.items()}
    return value


def contents(data: object) -> dict[str, str]:
    """The sha256 of each file that plain data names at any depth, FILE.py:CLASS or FILE.toml, by its path; without those that are gone."""
    if isinstance(data, Mapping | list | tuple):
        parts = data.values() if isinstance(data, Mapping) else data
        return {path: digits for part in parts for path, digits in contents(part).items()}
    path = data.rpartition(":")[0] if isinstance(data, str) and OWN in data else data
    if not isinstance(path, str) or not path.endswith((".py", ".toml")):
        return {}
    content = _content(Path(path))
    return {} if content is None else {path: sha256(content)}


def names_files(text: str) -> bool:
    """Whether the TOML text of a design may name users' files."""
    return OWN in text or '.toml"' in text


def signed(data: PlainView, files: Mapping[str, bytes]) -> PlainData:
    """Plain data in which each kind of a user's file has the sha256 of that file beside it.

    Args:
        data: Of a record.
        files: Content of the files that it names, by their paths as they are named there.
    """
    out: PlainData = {}
    for name, value in data.items():
        out[name] = _signed(value, files)
        path = value.rpartition(":")[0] if name == "kind" and isinstance(value, str) else ""
        if path in files:
            out[SHA256] = sha256(files[path])
    return out


def _signed(value: object, files: Mapping[str, bytes]) -> object:
    """A value in plain data, signed."""
    if isinstance(value, list):
        return [_signed(v, files) for v in value]
    return signed(value, files) if isinstance(value, Mapping) else value


def carried(data: PlainView, files: Mapping[str, bytes], toml: str | os.PathLike[str]) -> tuple[PlainData, dict[str, bytes]]:
    """Plain data for a TOML file, and the files that must lie beside it.

    Args:
        data: Of a record.
        files: As of `signed`.
        toml: Where the data will be written. A copy that would have its name, or that of a file there with another content, has the
            first digits of its sha256 in its name.

    Returns:
        Data that names the copies, with their sha256; the content of each copy by its name, of those that are not there yet.
    """
    folder, names = Path(toml).parent, {}
    taken: dict[str, bytes] = {}
    for path, content in files.items():
        name = Path(path).name
        if name == Path(toml).name or taken.get(name, content) != content or _content(folder / name) not in (None, content):
            name = f"{Path(path).stem}-{sha256(content)[:8]}{Path(path).suffix}"
        names[path], taken[name] = name, content
    copies = {name: content for name, content in taken.items() if _content(folder / name) != content}
    return {n: _renamed(value, names) for n, value in signed(data, files).items()}, copies


def _content(file: Path) -> bytes | None:
    return file.read_bytes() if file.is_file() else None


def _renamed(data: object, names: Mapping[str, str]) -> object:
    """Plain data with files under other names, whether a class in them is named or they are named whole."""
    if isinstance(data, Mapping):
        return {k: _renamed(v, names) for k, v in data.items()}
    if isinstance(data, list):
        return [_renamed(v, names) for v in data]
    if not isinstance(data, str):
        return data
    path, colon, name = data.rpartition(":")
    return names[path] + colon + name if path in names else names.get(data, data)


def placeless(data: object) -> object:
    """The data with each user's file named without its folder and a class without its file, so that a hash depends on neither."""
    if isinstance(data, dict):
        kind = data.get("kind")
        named = {"kind": kind.rpartition(":")[2]} if isinstance(kind, str) and OWN in kind else {}
        return {k: placeless(v) for k, v in data.items()} | named
    if isinstance(data, str) and data.endswith(".toml"):
        return data.rpartition("/")[2]
    return [placeless(v) for v in data] if isinstance(data, list) else data
