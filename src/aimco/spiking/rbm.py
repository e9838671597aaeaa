"""A restricted Boltzmann machine without spikes on an array: contrastive divergence in reads both ways and pulsed updates."""

from __future__ import annotations

import numpy as np
import torch

from aimco import rng
from aimco.mapping import AnalogMatrix
from aimco.record import InputError


class Rbm:
    """Binary units v and h, p(h) = sigmoid(v W + c), p(v) = sigmoid(h W^T + b), with W in the cells of an array.

    Args:
        matrix: an array of visible rows and hidden columns, one member. seed: of the units' draws. steps: k of CD-k, >= 1.

    Source: Hinton 2002 (Neural Comput. 14:1771).

    Example:
        >>> import aimco as ai
        >>> from aimco.arrays.spec import ArraySpec
        >>> d = ai.Design(device="ideal")
        >>> rbm = Rbm(AnalogMatrix(ArraySpec.of(d), 6, 3))
        >>> rbm.learn(torch.ones(2, 6), 0.1).shape
        torch.Size([])
    """

    def __init__(self, matrix: AnalogMatrix, *, seed: int = 0, steps: int = 1) -> None:
        if steps < 1:
            raise InputError(f"steps must be at least 1 in contrastive divergence, got {steps}")
        self.matrix, self.seed, self.steps, self.drawn = matrix, seed, steps, 0
        self.visible, self.hidden = torch.zeros(matrix.shape[1]), torch.zeros(matrix.shape[2])

    def up(self, v: torch.Tensor) -> torch.Tensor:
        """p(h = 1 | v), (B, hidden): one read of the array."""
        return torch.sigmoid(self.matrix.mvm(v[None])[0] + self.hidden)

    def down(self, h: torch.Tensor) -> torch.Tensor:
        """p(v = 1 | h), (B, visible): one transposed read."""
        return torch.sigmoid(self.matrix.mvm_t(h[None])[0] + self.visible)

    def _on(self, p: torch.Tensor) -> torch.Tensor:
        self.drawn += 1
        draws = rng.uniform(rng.stream_keys((self.seed,), "rbm"), self.drawn, p.numel())
        return (torch.from_numpy(draws.astype(np.float32)).reshape(p.shape) < p).float()

    def learn(self, v: torch.Tensor, lr: float) -> torch.Tensor:
        """W += lr mean(v h^T of the data - v h^T after k steps), samples (B, visible); returns the mean square error of v after them."""
        first = self.up(v)
        h, seen = first, v
        for _ in range(self.steps):
            seen = self._on(self.down(self._on(h)))
            h = self.up(seen)
        rate = lr / len(v)
        self.matrix.pulse(v[None].contiguous(), first[None].contiguous(), rate)
        self.matrix.pulse(seen[None].contiguous(), -h[None].contiguous(), rate)
        self.visible += rate * (v - seen).sum(0)
        self.hidden += rate * (first - h).sum(0)
        return (v - seen).square().mean()
