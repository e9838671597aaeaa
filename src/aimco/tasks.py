"""Tasks: what a network is asked to learn, as plain tensors, and the order in which samples come.

`digits` needs nothing, `mnist` reads the four IDX files, `program` asks an array to become a given matrix.
"""

from __future__ import annotations

import gzip
import math
import os
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from aimco import rng
from aimco.errors import did_you_mean
from aimco.record import InputError

LIMIT = 60_000
FILES = ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz", "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz")
_BLOCK = 1000  # samples of `program` drawn in one step of its stream


@dataclass(frozen=True, eq=False)
class Task:
    """Samples to learn from and samples to be judged by.

    Args:
        name: what it was loaded as.
        kind: "classify" (labels) or "program" (real outputs of a target matrix).
        train_x: inputs of training samples, (N, features) float32; pixels in [0, 1], or N(0, 1) for `program`.
        train_y: labels, (N,) int64 in 0..classes-1; for `program` the wanted outputs, (N, cols) float32.
        test_x: inputs of test samples, (M, features) float32.
        test_y: as `train_y`, for the test samples.
        classes: number of classes; None for `program`.
        image: (channels, height, width) of a sample; None when it is not an image.
        target: matrix to programme, (rows, cols) float32; None for `classify`.

    Example:
        >>> task = load("program", limit=10)
        >>> task.inputs, task.outputs, len(task.train_x)
        (20, 20, 10)
    """

    name: str
    kind: Literal["classify", "program"]
    train_x: torch.Tensor
    train_y: torch.Tensor
    test_x: torch.Tensor
    test_y: torch.Tensor
    classes: int | None = None
    image: tuple[int, int, int] | None = None
    target: torch.Tensor | None = None

    @property
    def inputs(self) -> int:
        """Number of inputs of the network."""
        return self.train_x.shape[1]

    @property
    def outputs(self) -> int:
        """Number of outputs of the network: one for each class, or one for each column of the target."""
        return self.train_y.shape[1] if self.classes is None else self.classes


def names() -> list[str]:
    """The tasks that `load` knows."""
    return ["digits", "mnist", "program"]


def load(name: str, *, data_dir: str | os.PathLike[str] | None = None, seed: int = 0, limit: int | None = None) -> Task:
    """Samples of a task by its name.

    Args:
        name: `digits` (8 x 8 images, 1437 + 360 samples, embedded), `mnist` (28 x 28 images, 60000 + 10000 samples, from
            files) or `program` (a 20 x 20 matrix ~ N(0, 0.3), 20000 + 1000 samples).
        data_dir: folder of the IDX files, as .gz or unpacked; used by `mnist` only.
        seed: draws the target and the inputs of `program`; data sets and their split do not depend on it.
        limit: use only the first training samples, 1..60000 and no more than there are; None = all.

    Raises:
        InputError: unknown name; limit out of range; a file missing or not what it should be.

    Source: digits: Alpaydin and Kaynak 1998 (UCI, test part); mnist: LeCun 1998; program: the weight-programming problem by which
        Tiki-Taka rules are compared, loss |x W - x target|^2 and error std(W - target).

    Example:
        >>> load("digits").image
        (1, 8, 8)
    """
    if name not in names():
        raise InputError(f"task {str(name)!r} is unknown{did_you_mean(str(name), names())}; the tasks are {', '.join(names())}")
    if not _is_whole(seed):
        raise InputError(f"seed must be a whole number, got {seed!r}; give for example 0")
    if limit is not None and not (_is_whole(limit) and 1 <= limit <= LIMIT):
        raise InputError(f"limit must be a whole number in 1..{LIMIT}, got {limit!r}; leave it out to use every training sample")
    if name == "program":
        return _program(int(seed), limit)
    return _digits(limit) if name == "digits" else _mnist(data_dir, limit)


def cropped(task: Task, height: int, width: int) -> Task:
    """The middle of every image, the edges cut away: what networks with fewer inputs are given.

    Args:
        task: samples that are images, (channels, rows, columns). height, width: of the part that is kept, 1..rows and 1..columns;
            where the edges cannot be even, one row or column more goes at the bottom or on the right.

    Raises:
        InputError: samples that are no images; a part larger than they are.

    Example:
        >>> cropped(load("digits"), 6, 4).image
        (1, 6, 4)
    """
    if task.image is None:
        raise InputError(f"task {task.name} cannot be cropped: its samples must be images; crop digits or mnist")
    channels, *there = task.image
    for name, size, most in zip(("height", "width"), (height, width), there, strict=True):
        if not (_is_whole(size) and 1 <= size <= most):
            raise InputError(f"{name} must be a whole number in 1..{most}, the size of the images of {task.name}, got {size!r}")
    top, left = ((most - size) // 2 for most, size in zip(there, (height, width), strict=True))

    def middle(x: torch.Tensor) -> torch.Tensor:
        images = x.reshape(len(x), channels, *there)
        return images[:, :, top : top + height, left : left + width].flatten(1).contiguous()

    parts = {"train_x": middle(task.train_x), "test_x": middle(task.test_x), "image": (channels, height, width)}
    return replace(task, name=f"{task.name} {height} x {width}", **parts)


def batches(task: Task, batch_size: int, epoch: int, seed: int) -> Iterator[np.ndarray]:
    """Training samples of one epoch in a random order that depends on (seed, epoch) alone.

    Args:
        task: whose training samples.
        batch_size: samples in a batch, >= 1; the last batch may have fewer.
        epoch: number of the epoch, from 0.
        seed: seed of the run.

    Returns:
        Indices into `train_x`, (B,) int64 each; together every sample once.

    Raises:
        InputError: batch_size below 1.
    """
    return (index[0] for index in ensemble_batches(task, batch_size, epoch, (seed,)))


def ensemble_batches(task: Task, batch_size: int, epoch: int, seeds: Sequence[int]) -> Iterator[np.ndarray]:
    """As `batches` for each member of an ensemble: indices (E, B) int64, where row e is what seed e alone would give."""
    if not (_is_whole(batch_size) and batch_size >= 1):
        raise InputError(f"batch_size must be a whole number of at least 1, got {batch_size!r}; use 1 for sample by sample")
    count = len(task.train_x)
    orders = {seed: rng.permutation(seed, "order", epoch, count) for seed in set(seeds)}
    order = np.stack([orders[seed] for seed in seeds]).astype(np.int64, copy=False)
    return (order[:, start : start + batch_size] for start in range(0, count, batch_size))


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """Bytes of an IDX file, gzipped if its name ends in .gz.

    The magic number 0x0800 + dimensions, the sizes (each 4 bytes, high byte first), then the values, one byte each.

    Args:
        path: the file.
        dimensions: 3 for images, 1 for labels.

    Returns:
        Values 0..255, uint8, of the sizes in the header.

    Raises:
        InputError: not readable, not gzip, cut short, another magic number, or other than the promised number of values.

    Source: LeCun, Cortes and Burges, "The MNIST database", section on file formats.
    """
    data, header, again = _file_bytes(path), 4 + 4 * dimensions, "fetch the file again"
    if len(data) < header:
        raise InputError(f"{path}: must have a header of {header} bytes, got {len(data)} bytes; {again}")
    magic, *sizes = np.frombuffer(data[:header], ">u4").tolist()
    if magic != 0x0800 + dimensions:
        what = {1: "labels", 3: "images"}.get(dimensions, "values")
        rule = f"must begin with {0x0800 + dimensions}, the magic number of {what}"
        raise InputError(f"{path}: {rule}, got {magic}; check that the files have not changed names, or {again}")
    shape = " x ".join(map(str, sizes))
    if math.prod(sizes) != len(data) - header:
        raise InputError(f"{path}: must hold {shape} values as its header says, got {len(data) - header}; {again}")
    if 0 in sizes:
        raise InputError(f"{path}: must hold at least one value, got {shape}; {again}")
    return np.frombuffer(data, np.uint8, offset=header).reshape(sizes)


def _file_bytes(path: Path) -> bytes:
    try:
        if path.suffix != ".gz":
            return path.read_bytes()
        with gzip.open(path) as file:
            return file.read()
    except EOFError:
        raise InputError(f"{path}: must be a whole gzip file, got one that is cut short; fetch the file again") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        fix = "fetch the file again, or drop .gz from its name if it is unpacked"
        raise InputError(f"{path}: must be a sound gzip file, got one that is not ({str(error).rstrip('.')}); {fix}") from None
    except OSError as error:
        raise InputError(f"{path}: must be readable, got {error.strerror or error}; check its permissions") from None


def _mnist(data_dir: str | os.PathLike[str] | None, limit: int | None) -> Task:
    paths = _mnist_files(data_dir)
    train_x, train_y = _labelled_images(paths[0], paths[1])
    test_x, test_y = _labelled_images(paths[2], paths[3])
    if train_x.shape[1:] != test_x.shape[1:]:
        rule = f"images must be of the size {train_x.shape[1:]} of those in {paths[0].name}, got {test_x.shape[1:]}"
        raise InputError(f"{paths[2]}: {rule}; take both files from one data set")
    n = _first(limit, len(train_x), "mnist")
    return _classify("mnist", (train_x[:n], train_y[:n]), (test_x, test_y), white=255, image=(1, *train_x.shape[1:]))


def _mnist_files(data_dir: str | os.PathLike[str] | None) -> list[Path]:
    fix = "name the folder that holds the four files with --data-dir"
    if data_dir is None:
        raise InputError(f"task mnist needs the files {', '.join(FILES)}, and no folder was given to look in; {fix}")
    folder = Path(os.path.expanduser(data_dir))
    forms = {name: (folder / name.removesuffix(".gz"), folder / name) for name in FILES}
    found = {name: path for name, paths in forms.items() for path in paths if os.path.isfile(path)}
    missing = [name for name in FILES if name not in found]
    if missing:
        raise InputError(f"task mnist misses {', '.join(missing)} in {folder}, looked for with and without .gz; {fix}")
    return [found[name] for name in FILES]


def _labelled_images(images: Path, labels: Path) -> tuple[np.ndarray, np.ndarray]:
    x, y = read_idx(images, 3), read_idx(labels, 1)
    if len(x) != len(y):
        raise InputError(f"{labels}: must hold as many labels as {images.name} has images, {len(x)}, got {len(y)}; fetch both files again")
    if y.max() > 9:
        raise InputError(f"{labels}: labels must be in 0..9, got {y.max()}; fetch the file again")
    return x, y


def _digits(limit: int | None) -> Task:
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    order = rng.permutation(0, "digits split", 0, 1797)
    train, test = order[: _first(limit, 1437, "digits")], order[1437:]
    return _classify("digits", (x[train], y[train]), (x[test], y[test]), white=16, image=(1, 8, 8))


def _classify(name: str, train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray], *, white: int, image: tuple) -> Task:
    x = [torch.from_numpy(x.reshape(len(x), -1).astype(np.float32) / np.float32(white)) for x, _ in (train, test)]
    y = [torch.from_numpy(y.astype(np.int64)) for _, y in (train, test)]
    return Task(name, "classify", x[0], y[0], x[1], y[1], classes=10, image=image)


def _program(seed: int, limit: int | None) -> Task:
    target = rng.normal(rng.stream_keys((seed,), "program", "target"), 0, (20, 20))[0] * 0.3
    x = [_program_inputs(seed, "train", limit or 20_000), _program_inputs(seed, "test", 1000)]
    y = [(v.double() @ target.double()).float() for v in x]
    return Task("program", "program", x[0], y[0], x[1], y[1], target=target)


def _program_inputs(seed: int, part: str, count: int) -> torch.Tensor:
    """Inputs (count, 20) drawn block by block, so that a sample does not depend on how many are asked for."""
    keys = rng.stream_keys((seed,), "program", part)
    return torch.cat([rng.normal(keys, block, (_BLOCK, 20))[0] for block in range(math.ceil(count / _BLOCK))])[:count]


def _first(limit: int | None, there: int, name: str) -> int:
    if limit is not None and limit > there:
        raise InputError(f"limit must be in 1..{there} for task {name}, got {limit}; leave it out to use every training sample")
    return there if limit is None else limit


def _is_whole(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)
