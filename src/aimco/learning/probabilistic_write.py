"""Weights written with verify now and then, by chance, so that the noise of writing does not drown what is learned."""

from __future__ import annotations

import numpy as np
import torch
from pydantic import Field

from aimco import rng
from aimco.device.noise import programming_sigma
from aimco.learning import Rule, split_at_transfers, transfer_counter
from aimco.mapping import AnalogMatrix
from aimco.periphery import broadcast_members
from aimco.record import PathError


class ProbabilisticWrite(Rule):
    """A weight is written with a probability that the noise of writing sets, and then moves by as much more.

    1. g = lr sum x d^T over n_s = `transfer_every` samples, in float
    2. each weight, with probability p = min(1, |g|/(noise sigma)): w is read, and written with verify to w + g/p

    The mean change is g whatever p is. A write adds sigma^2 to the variance of a weight, so that writing all weights every time would
    add sigma^2 per g, and this adds |g| sigma/noise + |g| sigma noise: the least for noise = 1, and far less than sigma^2 where g is
    small. It is stochastic rounding to steps as large as the noise. sigma is the programming noise of the device at mid-range.
    Source: aimco's own form; stochastic rounding as Gupta 2015 (ICML). Digital work per sample: 2 N^2 operations for N x N weights,
    and 3 N^2 per transfer; memory: none between transfers but g, one number per weight.

    Args:
        transfer_every: n_s, samples between two rounds of writing.
        noise: Size of a step, in sigma.
    """

    transfer_every: int = Field(default=10, ge=1, le=1_000_000, description="samples between rounds of writing")
    noise: float = Field(default=1.0, gt=0, le=1000, description="size of a step, in standard deviations of a write")

    def check(self, design):
        if design.device.programming_noise is None:
            wanted = "must be given, three numbers in S, for rule.kind = 'probabilistic-write': it sets the probability of a write"
            raise PathError("device.programming_noise", wanted)
        if len(design.cell.signs) > 1:
            raise PathError("cell.kind", f"must be of one device, as reference, for rule.kind probabilistic-write, got {design.cell.kind}")

    def start(self, arrays):
        return transfer_counter() | {"g": torch.zeros(arrays["W"].shape)}

    def update(self, arrays, state, x, d, lr):
        w, g = arrays["W"], state["g"]
        for read, xs, ds in split_at_transfers(self.transfer_every, state, x, d):
            g.baddbmm_(xs.transpose(1, 2), ds * lr)
            w.digital(2 * xs.shape[1] * w.shape[1] * w.shape[2])
            if read is not None:
                self._write(w, g, read)
                g.zero_()

    def _write(self, w: AnalogMatrix, g: torch.Tensor, read: int) -> None:
        """Write the weights whose turn it is."""
        if "step" not in w.cache:
            w.cache["step"] = broadcast_members(np.asarray(self.noise) * self._sigma(w), w.shape[0])
            w.cache["keys"] = rng.stream_keys(w.seeds, *w.names, "writes")
        step = w.cache["step"]
        p = (g.abs() / step).clamp(max=1)
        draws = torch.from_numpy(rng.uniform(w.cache["keys"], read, w.shape[1] * w.shape[2])).float().view(w.shape)
        turn = draws < p
        w.program(w.read_rows() + torch.sign(g) * torch.maximum(g.abs(), torch.as_tensor(step, dtype=g.dtype)), turn)
        w.digital(3 * w.shape[1] * w.shape[2])

    def _sigma(self, w: AnalogMatrix) -> np.ndarray:
        """Standard deviation of a write at mid-range, weight units, (E,)."""
        tile = w.tiles[0][0]
        device = tile.crossbar.device
        assert device.programming_noise is not None
        share = torch.as_tensor(np.asarray(device.mid_range / device.g_max, np.float64))
        return np.asarray(programming_sigma(device.programming_noise, share)) / np.asarray(device.half_range) * tile.weight
