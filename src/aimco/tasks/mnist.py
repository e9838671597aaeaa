"""Handwritten digits of 28 x 28 pixels, from the four IDX files of MNIST."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from aimco.data.data import Sample, first
from aimco.data.idx import read_idx
from aimco.record import InputError
from aimco.tasks import Task
from aimco.tasks.digits import images

FILES = ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz", "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz")


class Mnist(Task):
    """28 x 28 images of ten digits, 60000 + 10000 samples, pixels in 0..1; files as .gz or unpacked in `data_dir`.

    Source: LeCun 1998.
    """

    def data(self, data_dir=None, seed=0, limit=None):
        paths = _files(data_dir)
        train_x, train_y = _labelled(paths[0], paths[1])
        test_x, test_y = _labelled(paths[2], paths[3])
        if train_x.shape[1:] != test_x.shape[1:]:
            rule = f"images must be of the size {train_x.shape[1:]} of those in {paths[0].name}, got {test_x.shape[1:]}"
            raise InputError(f"{paths[2]}: {rule}; take both files from one data set")
        n = first(limit, len(train_x), "mnist")
        return images("mnist", (train_x[:n], train_y[:n]), (test_x, test_y), white=255, shape=(1, *train_x.shape[1:]))

    def sample(self, data_dir=None):
        return Sample((1, 28, 28), 10)


def _files(data_dir: str | os.PathLike[str] | None) -> list[Path]:
    fix = "name the folder that holds the four files with --data-dir"
    if data_dir is None:
        raise InputError(f"task mnist needs the files {', '.join(FILES)}, and no folder was given to look in; {fix}")
    folder = Path(os.path.expanduser(data_dir))
    forms = {name: (folder / name.removesuffix(".gz"), folder / name) for name in FILES}
    by_name = {name: path for name, paths in forms.items() for path in paths if os.path.isfile(path)}
    missing = [name for name in FILES if name not in by_name]
    if missing:
        raise InputError(f"task mnist misses {', '.join(missing)} in {folder}, looked for with and without .gz; {fix}")
    return [by_name[name] for name in FILES]


def _labelled(images: Path, labels: Path) -> tuple[np.ndarray, np.ndarray]:
    x, y = read_idx(images, 3), read_idx(labels, 1)
    if len(x) != len(y):
        raise InputError(f"{labels}: must hold as many labels as {images.name} has images, {len(x)}, got {len(y)}; fetch both files again")
    if y.max() > 9:
        raise InputError(f"{labels}: labels must be in 0..9, got {y.max()}; fetch the file again")
    return x, y
