"""Handwritten digits of 8 x 8 pixels, which come with scikit-learn."""

from __future__ import annotations

import gzip
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from aimco import rng
from aimco.data.data import Data, Sample, first
from aimco.data.goals import Classification
from aimco.tasks import Task

_TRAIN, _ALL = 1437, 1797


class Digits(Task):
    """8 x 8 images of ten digits, 1437 + 360 samples, pixels in 0..1.

    Source: Alpaydin and Kaynak 1998 (UCI, test part).
    """

    def data(self, data_dir=None, seed=0, limit=None):
        x, y = _digits()
        order = rng.permutation(0, "digits split", 0, _ALL)
        train, test = order[: first(limit, _TRAIN, "digits")], order[_TRAIN:]
        return images("digits", (x[train], y[train]), (x[test], y[test]), white=16, shape=(1, 8, 8))

    def sample(self, data_dir=None):
        return Sample((1, 8, 8), 10)


def _digits() -> tuple[np.ndarray, np.ndarray]:
    """Pixels (1797, 64) in 0..16 and labels (1797,), from scikit-learn's own file: importing the package takes a second."""
    package = find_spec("sklearn")
    file = Path((package and package.origin) or "").with_name("datasets") / "data" / "digits.csv.gz"
    if not file.is_file():  # where another release keeps it
        from sklearn.datasets import load_digits

        x, y = map(np.asarray, load_digits(return_X_y=True))
        return x, y
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        numbers = np.loadtxt(lines, delimiter=",")
    return numbers[:, :-1], numbers[:, -1].astype(int)


def images(
    name: str, train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray], *, white: int, shape: tuple[int, ...]
) -> Data:
    """Labelled images of ten classes, `white` being the value of a white pixel."""
    x = [torch.from_numpy(x.reshape(len(x), -1).astype(np.float32) / np.float32(white)) for x, _ in (train, test)]
    y = [torch.from_numpy(y.astype(np.int64)) for _, y in (train, test)]
    return Data(name, Classification(10), x[0], y[0], x[1], y[1], shape)
