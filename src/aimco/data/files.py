"""Files and folders of arrays that users bring: .npz, .npy, .csv, .pt, and folders of images by class."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from aimco.errors import did_you_mean
from aimco.record import InputError

_X = ("x", "X", "inputs", "data", "images", "features")
_Y = ("y", "Y", "labels", "targets", "target", "label")
_IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
Pair = tuple[np.ndarray, np.ndarray]
Arrays = tuple[Pair, Pair | None]  # training and test (x, y)
_MUCH, _TIMES = 500_000_000, 200  # bytes that an archive may unpack to, or so many times its size


def read(path: Path, x: str | None = None, y: str | None = None) -> Arrays:
    """Training samples of a file or folder, and test samples where it has some.

    Args:
        path: .npz or .pt with named arrays, .npy of inputs, .csv whose last column is the target, or a folder of images with one folder
            for each class, in folders train and test or not.
        x: Name of the inputs in it; by the usual names when absent.
        y: Name of the targets, of a column of .csv, or of the file of targets beside a .npy.

    Raises:
        InputError: A file that is missing, is of another format, or has no such arrays.
    """
    if not path.exists():
        raise InputError(f"{path}: there is no such file or folder; check the path")
    if path.is_dir():
        return _folder(path)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"{path}: must be a folder of images or a file of {', '.join(SUFFIXES)}, got {path.suffix or 'none'}")
    return reader(path, x, y)


def _check_unpacked(path: Path) -> None:
    """Refuse an archive of little that unpacks to much, before it does."""
    with zipfile.ZipFile(path) as archive:
        size = sum(entry.file_size for entry in archive.infolist())
    if size > _MUCH and size > _TIMES * path.stat().st_size:
        raise InputError(f"{path}: must not unpack to {_TIMES} times its size, got {size >> 20} MB; save the arrays without compression")


def _npz(path: Path, x: str | None, y: str | None) -> Arrays:
    try:
        _check_unpacked(path)
        with path.open("rb") as content, np.load(content, allow_pickle=False) as file:
            arrays = {n: file[n] for n in file.files}
    except InputError:
        raise
    except (ValueError, OSError, zipfile.BadZipFile, EOFError) as error:
        raise InputError(f"{path}: must be an .npz file of plain arrays, got {_line(error)}") from None
    return _named(arrays, path, x, y)


def _npy(path: Path, x: str | None, y: str | None) -> Arrays:
    if y is None:
        raise InputError(f"{path}: holds one array; name the file of its targets with y = 'FILE.npy', or use an .npz of both")
    other = path.parent / y
    try:
        with path.open("rb") as inputs, other.open("rb") as targets:
            return (np.load(inputs, allow_pickle=False), np.load(targets, allow_pickle=False)), None
    except FileNotFoundError:
        raise InputError(f"{other}: there is no such file; y names the file of targets beside {path.name}") from None
    except (ValueError, OSError, EOFError) as error:
        raise InputError(f"{path}: must be an .npy file of a plain array, as must {y}, got {_line(error)}") from None


def _pt(path: Path, x: str | None, y: str | None) -> Arrays:
    try:
        if zipfile.is_zipfile(path):
            _check_unpacked(path)
        loaded = torch.load(path, weights_only=True, map_location="cpu")
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{path}: must be a file of tensors that torch saved, got {_line(error)}") from None
    if isinstance(loaded, dict):
        return _named(loaded, path, x, y)
    if isinstance(loaded, list | tuple) and len(loaded) in (2, 4):
        pairs = [(loaded[k], loaded[k + 1]) for k in range(0, len(loaded), 2)]
        return pairs[0], pairs[1] if len(pairs) == 2 else None
    raise InputError(f"{path}: must hold tensors by name, or (x, y), or (x, y, x_test, y_test), got {type(loaded).__name__}")


def _csv(path: Path, x: str | None, y: str | None) -> Arrays:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: must be text of columns apart by comma, semicolon or tab, got {_line(error)}") from None
    top = next((line for line in lines if line.strip()), "")
    apart = next((mark for mark in "\t;," if mark in top), " ")
    rows = [row for row in csv.reader(lines, delimiter=apart, skipinitialspace=True) if row]
    if not rows or len(rows[0]) < 2:
        raise InputError(f"{path}: must have at least two columns, inputs and a target, got {len(rows[0]) if rows else 0}")
    head = None if all(_number(c) for c in rows[0][:-1]) else [c.strip() for c in rows.pop(0)]
    column = _column(path, head, y)
    width = len(head) if head is not None else len(rows[0])
    odd = next((k for k, row in enumerate(rows) if len(row) != width), None)
    if not rows or odd is not None:
        raise InputError(
            f"{path}: row {1 if odd is None else odd + 1 + (head is not None)} must have {width} columns, as the first row has"
        )
    targets = [row.pop(column).strip() for row in rows]
    for k, row in enumerate(rows):
        bad = next((c for c in row if not _number(c)), None)
        if bad is not None:
            raise InputError(f"{path}: row {k + 1 + (head is not None)} must hold numbers beside the target, got {bad!r}")
    whole = all(t.lstrip("+-").isdigit() for t in targets)
    values = np.array(targets) if not all(map(_number, targets)) else np.array(targets, float)
    return (np.array(rows, float), values.astype(np.int64) if whole else values), None


def _column(path: Path, head: list[str] | None, y: str | None) -> int:
    """Place of the target."""
    names = head or []
    if y is not None and y not in names:
        hint = f"; the columns are {', '.join(names)}" if names else "; the file has no names of columns"
        raise InputError(f"{path}: has no column {y!r}{did_you_mean(y, names)}{hint}")
    named = [y] if y is not None else [n for n in names if n in _Y]
    return names.index(named[0]) if named else -1


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _named(arrays: Mapping[str, np.ndarray], path: Path, x: str | None, y: str | None) -> Arrays:
    """Training and test samples among arrays by name."""
    picks = {}
    for letter, asked, usual in (("x", x, _X), ("y", y, _Y)):
        for part in ("train", "test"):
            picks[letter, part] = _pick(arrays, asked, usual, part)
        if picks[letter, "train"] is None:
            names, wanted = ", ".join(arrays) or "none", asked or f"{usual[0]} or {usual[0]}_train"
            raise InputError(f"{path}: has no array {wanted}{did_you_mean(str(asked or letter), list(arrays))}; its arrays are {names}")
    train = picks["x", "train"], picks["y", "train"]
    tested = picks["x", "test"], picks["y", "test"]
    if (tested[0] is None) != (tested[1] is None):
        raise InputError(f"{path}: must have both inputs and targets of test samples, or neither, got only one of them")
    return train, None if tested[0] is None else tested


def _pick(arrays: Mapping[str, np.ndarray], asked: str | None, usual: tuple[str, ...], part: str) -> np.ndarray | None:
    """The array of a name, alone or with train or test before or after it."""
    for name in (asked,) if asked else usual:
        forms = (f"{name}_{part}", f"{part}_{name}", *((name,) if part == "train" else ()))
        for form in forms:
            if form in arrays:
                return arrays[form]
    return None


def _folder(path: Path) -> Arrays:
    """Images in a folder for each class; of training and test where there are folders of these names."""
    train, test = path / "train", path / "test"
    if train.is_dir():
        return _classes(train), _classes(test) if test.is_dir() else None
    return _classes(path), None


def _classes(path: Path) -> tuple[np.ndarray, np.ndarray]:
    from PIL import Image, UnidentifiedImageError

    images, labels = [], []
    for folder in sorted(p for p in path.iterdir() if p.is_dir()):
        for file in sorted(p for p in folder.iterdir() if p.suffix.lower() in _IMAGES):
            try:
                with Image.open(file) as opened:
                    pixels = np.asarray(opened.convert("L" if opened.mode in ("1", "L", "I", "I;16", "P") else "RGB"), np.uint8)
            except (UnidentifiedImageError, OSError) as error:
                raise InputError(f"{file}: must be an image, got {_line(error)}") from None
            images.append(pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1))
            labels.append(folder.name)
            if images[-1].shape != images[0].shape:
                sizes = [" x ".join(map(str, i.shape)) for i in (images[0], images[-1])]
                raise InputError(f"{file}: must be of the size of the first image, {sizes[0]}, got {sizes[1]}; resize or crop them")
    if not images:
        raise InputError(f"{path}: must hold a folder of images ({', '.join(_IMAGES[:3])}, ...) for each class, got none")
    return np.stack(images), np.array(labels)


def _line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


_READERS = {".npz": _npz, ".npy": _npy, ".csv": _csv, ".tsv": _csv, ".txt": _csv, ".pt": _pt, ".pth": _pt}
SUFFIXES = tuple(_READERS)
