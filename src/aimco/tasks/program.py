"""The weight-programming problem: one matrix learns a target from random inputs."""

from __future__ import annotations

import math

import torch

from aimco import rng
from aimco.data.data import Data, Sample
from aimco.data.goals import TargetMatrix
from aimco.tasks import Task

_SIZE = 20
_DEFAULT, _TEST = 20_000, 1000
_BLOCK = 1000  # samples drawn in one step of the stream


class Program(Task):
    """A 20 x 20 matrix ~ N(0, 0.3), 20000 + 1000 samples; the target and the inputs are drawn by the seed.

    Source: the problem by which Tiki-Taka rules are compared, loss |x W - x target|^2 and error std(W - target).
    """

    def data(self, data_dir=None, seed=0, limit=None):
        target = rng.normal(rng.stream_keys((seed,), "program", "target"), 0, (_SIZE, _SIZE))[0] * 0.3
        x = [_inputs(seed, "train", limit or _DEFAULT), _inputs(seed, "test", _TEST)]
        y = [(v.double() @ target.double()).float() for v in x]
        return Data("program", TargetMatrix(_SIZE, target), x[0], y[0], x[1], y[1], (_SIZE,))

    def sample(self, data_dir=None):
        return Sample((_SIZE,), _SIZE, one_matrix=True)


def _inputs(seed: int, part: str, count: int) -> torch.Tensor:
    """Inputs (count, 20) drawn block by block, so that a sample does not depend on how many are asked for."""
    keys = rng.stream_keys((seed,), "program", part)
    return torch.cat([rng.normal(keys, block, (_BLOCK, _SIZE))[0] for block in range(math.ceil(count / _BLOCK))])[:count]
