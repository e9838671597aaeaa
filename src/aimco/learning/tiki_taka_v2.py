"""Tiki-Taka v2: a digital filter between the fast array and the slow one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from pydantic import Field

from aimco.device.device import Device
from aimco.ensemble import per_member
from aimco.kernels import filters
from aimco.learning import Needs, Referenced, clock, turns
from aimco.mapping import AnalogMatrix

_MEMORY = 0.99  # of the running means, per sample
_SMALLEST = 1e-30


class TikiTakaV2(Referenced):
    """A gathers the gradient, a digital matrix H filters what is read of it, W gets single pulses.

    1. y = x W, z = d W^T
    2. A += lr_fast x d^T, by pulses
    3. every n_s = `transfer_every` samples: v = row k of A, against its reference; h_k += lr n_s n v / (gamma_0 dw_min);
       where |h_k| >= 1 the whole part of h_k is sent to W as pulses, `most_pulses` at most, and taken from h_k; k = k + 1 mod n

    n is the number of rows, dw_min the mean step of W. Source: Gokmen 2021 (Frontiers in AI 4:699148), algorithm 2; the parameters as in
    Rasch 2024 (Nat. Commun. 15:7133). Digital work per transfer: 2 operations for each column; memory: H, one number per weight.

    Args:
        lr_fast: learning rate lambda_A of A. lr: lambda. transfer_every: n_s, samples between two reads of A.
        granularity: gamma_0, how many steps of W the filter gathers before it sends one.
        scale_fast: whether lr_fast is in units of l_max dw_min / (mu_x mu_d), with the longest train l_max and running means of
            max |x| and max |d|, so that trains stay as long whatever the size of the gradient.
        most_pulses: on one weight by one transfer; the papers send 1, which devices of many states follow slowly.
        slow_device: what W is made of; the device of the design when absent.
    """

    lr_fast: float = Field(default=0.1, gt=0, le=1000, description="learning rate of A")
    transfer_every: int = Field(default=2, ge=1, le=1_000_000, description="samples between transfers")
    granularity: float = Field(default=200.0, gt=0, le=1e9, description="steps of W that the filter gathers")
    scale_fast: bool = True
    most_pulses: int = Field(default=10, ge=1, le=1000, description="most pulses on a weight by one transfer")
    slow_device: Device | None = None

    def arrays(self):
        return {"W": Needs(device=self.slow_device), "A": self.against}

    def start(self, arrays):
        self.find(arrays["A"])
        members, rows, columns = arrays["W"].shape
        state = clock() | {"h": torch.zeros(members, rows, columns)}
        return state | ({"mean_tops": torch.zeros(members, 2, dtype=torch.float64)} if self.scale_fast else {})

    def update(self, arrays, state, x, d, lr):
        a, w = arrays["A"], arrays["W"]
        rate, h = self.gain(w, lr), state["h"].numpy()
        sent = torch.empty(w.shape[0], w.shape[2], dtype=torch.int32)
        for read, xs, ds in turns(self.transfer_every, state, x, d):
            a.pulse(self.chopped(state, xs), ds, self.fast_rate(state, a, xs, ds))
            if read is None:
                continue
            k = read % a.rows
            filters.gather(h, k, self.gradient(arrays, state, k, a.read_line(k)).numpy(), rate, self.most_pulses, sent.numpy())
            w.pulse_line(k, sent)
            w.digital(2 * w.shape[2])
            self.after_read(arrays, state, k, read)

    def gain(self, w: AnalogMatrix, lr: Any) -> np.ndarray:
        """What a read of A is multiplied by before it enters H, (E,) float32."""
        if "granule" not in w.kept:
            w.kept["granule"] = per_member(self.granularity, w.shape[0]) * w.step / (self.transfer_every * w.rows)
        return (np.asarray(lr, np.float64).reshape(-1) / w.kept["granule"]).astype(np.float32)

    def fast_rate(self, state: Mapping[str, torch.Tensor], a: AnalogMatrix, x: torch.Tensor, d: torch.Tensor) -> Any:
        """Learning rate of A, a number or (E,)."""
        if not self.scale_fast:
            return self.lr_fast
        if "top" not in a.kept:
            a.kept["top"] = np.asarray(self.lr_fast) * a.tiles[0][0].periphery.pulses.length * a.step
        means = state["mean_tops"].numpy()
        filters.mean_tops(x.numpy(), d.numpy(), _MEMORY, means)
        return a.kept["top"] / np.maximum(means[:, 0] * means[:, 1], _SMALLEST)

    def chopped(self, state: Mapping[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        """The inputs as A takes them."""
        return x

    def gradient(self, arrays: Mapping[str, AnalogMatrix], state: Mapping[str, torch.Tensor], k: int, v: torch.Tensor) -> torch.Tensor:
        """What a read v of row k says of the gradient, (E, columns)."""
        return v

    def after_read(self, arrays: Mapping[str, AnalogMatrix], state: dict[str, torch.Tensor], k: int, read: int) -> None:
        """What follows a transfer."""
