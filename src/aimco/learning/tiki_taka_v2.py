"""Tiki-Taka v2: a digital filter between the fast array and the slow one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field

from aimco import rates
from aimco.arrays.spec import ArraySpec
from aimco.device.device import Device
from aimco.ensemble import Rate, per_member
from aimco.kernels import filters
from aimco.learning import Referenced, Unit, layers_of, per_sample, refreshes, transfer_counter, transfer_schedule
from aimco.ledger import Work
from aimco.mapping import AnalogMatrix
from aimco.record import PathError
from aimco.tunable import Tunable

_MEMORY = 0.99  # of the running means, per vector
_SMALLEST = 1e-30


class TikiTakaV2(Referenced):
    """A gathers the gradient, a digital matrix H filters what is read of it, W gets single pulses.

    1. y = x W, z = d W^T
    2. A += lr_fast x d^T, by pulses
    3. every n_s = `transfer_every` samples: v = row k of A, against its reference; h_k += lr n_s n v / (gamma_0 dw_min);
       where |h_k| >= 1 the whole part of h_k is sent to W as pulses, `max_pulses` at most, and taken from h_k; k = k + 1 mod n

    n is the number of rows, dw_min the mean step of W. Source: Gokmen 2021 (Frontiers in AI 4:699148), algorithm 2; the parameters as in
    Rasch 2024 (Nat. Commun. 15:7133). Digital work per transfer: 2 operations for each column; memory: H, one number per weight.

    Args:
        lr_fast: Learning rate lambda_A of A; as the device suggests when absent (`aimco.rates.fast_rate`).
        lr: Learning rate lambda.
        transfer_every: n_s, samples between two reads of A.
        transfer_unit: What transfer_every counts, see `Unit`.
        granularity: gamma_0, how many steps of W the filter gathers before it sends one; as the device and the rows of the layer suggest
            when absent (`aimco.rates.granularity`).
        scale_fast: Whether lr_fast is in units of l_max dw_min / (mu_x mu_d), with the longest train l_max and running means of max |x| and
            max |d|, so that trains stay as long whatever the size of the gradient.
        max_pulses: Most pulses on one weight by one transfer; those that move it by a fifth of its half range, and at least 10, when
            absent. The papers send 1, which devices of many states follow slowly.
        slow_device: What W is made of; the device of the design when absent.
    """

    moved: ClassVar[Mapping[str, str]] = {"most_pulses": "max_pulses"}
    chops: ClassVar[bool] = False  # whether the zero of A is taken anew, by choppers
    digital_per_read: ClassVar[int] = 0  # operations for each column that `gradient` does on a read

    lr_fast: float | None = Field(default=None, gt=0, le=1000, description="learning rate of A; as the device suggests when absent")
    transfer_every: int = Field(default=2, ge=1, le=1_000_000, description="samples between transfers")
    transfer_unit: Unit = "sample"
    granularity: float | None = Field(default=None, gt=0, le=1e9, description="steps of W that the filter gathers")
    scale_fast: bool = True
    max_pulses: int | None = Field(default=None, ge=1, le=1000, description="most pulses on a weight by one transfer")
    slow_device: Device | None = None

    def check(self, design):
        super().check(design)
        for name in ("lr_fast", "granularity"):
            if getattr(self, name) is None and not self.scale_fast:
                wanted = "must be given where rule.scale_fast is false: a device suggests it for rates in units of full trains"
                raise PathError(f"rule.{name}", wanted)

    def tunables(self, design):
        units, length = rates.units_of(design.device), design.periphery.pulses.length
        fast = rates.fast_rate(rates.Layer(units, 1, length, refreshes(design.cell)))
        weight = Tunable("cell.weight_max", 0.1, 10.0, spread=1.3)
        return Tunable("rule.lr", 0.005, 20.0, spread=2.5), Tunable("rule.lr_fast", 1e-4, 1.0, max(fast, 1e-4), spread=2.0), weight

    def arrays(self):
        return {"W": ArraySpec(self.slow_device), "A": self.against}

    def start(self, arrays):
        self.find(arrays["A"])
        members, rows, columns = arrays["W"].shape
        state = transfer_counter() | {"h": torch.zeros(members, rows, columns)}
        return state | ({"mean_tops": torch.zeros(members, 2, dtype=torch.float64)} if self.scale_fast else {})

    def work(self, rows, columns, vectors, batch):
        transfers = per_sample(self.transfer_every, vectors, batch, unit=self.transfer_unit)
        return {
            "A": Work(updates=vectors, rows_read=transfers),
            "W": Work(rows_pulsed=transfers, digital=(2 + self.digital_per_read) * columns * transfers),
        }

    def update(self, arrays, state, x, d, lr):
        a, w = arrays["A"], arrays["W"]
        for samples, after, rows, reads in transfer_schedule(self.transfer_every, state, x.shape[1], w.rows, unit=self.transfer_unit):
            xs, ds = x[:, samples].contiguous(), d[:, samples].contiguous()
            each = self.fast_rates(state, a, xs, ds, after)
            xs, signs, flips = self.chopped(state, a, xs, after, rows, reads)
            v = a.send_and_read(xs, ds, each, after, rows)
            if len(rows) == 0:
                continue
            gradient = self.gradient(arrays, state, rows, v, signs, flips)
            pulses = torch.empty(v.shape, dtype=torch.int32)
            filters.gather(state["h"].numpy(), rows, gradient.numpy(), self.gain(a, w, lr), self.most(w), pulses.numpy())
            w.send_rows(rows, pulses)
            w.digital((2 + self.digital_per_read) * w.shape[2] * len(rows))

    def gain(self, a: AnalogMatrix, w: AnalogMatrix, lr: Rate) -> np.ndarray:
        """What a read of A is multiplied by before it enters H, (E,) float32."""
        if "granule" not in w.cache:
            w.cache["granule"] = self.granules(a) * w.step / (self.transfer_every * w.rows)
        return (np.asarray(lr, np.float64).reshape(-1) / w.cache["granule"]).astype(np.float32)

    def granules(self, a: AnalogMatrix) -> np.ndarray:
        """gamma_0 of each member, (E,)."""
        if self.granularity is not None:
            return per_member(self.granularity, a.shape[0])
        pairs = zip(layers_of(a, 1), self.fast(a), strict=True)
        each = [rates.granularity(layer, rate, transfer_every=self.transfer_every, chopped=self.chops) for layer, rate in pairs]
        return np.array(each)

    def fast(self, a: AnalogMatrix) -> np.ndarray:
        """lr_fast of each member, (E,)."""
        if self.lr_fast is not None:
            return per_member(self.lr_fast, a.shape[0])
        return np.array([rates.fast_rate(layer) for layer in layers_of(a, 1)])

    def most(self, w: AnalogMatrix) -> np.ndarray:
        """Most pulses by one transfer, of each member, (E,) int64."""
        if "most" not in w.cache:
            most = [rates.max_pulses(layer.units) for layer in layers_of(w, 1)] if self.max_pulses is None else self.max_pulses
            w.cache["most"] = per_member(most, w.shape[0]).astype(np.int64)
        return w.cache["most"]

    def fast_rates(
        self, state: Mapping[str, torch.Tensor], a: AnalogMatrix, x: torch.Tensor, d: torch.Tensor, after: np.ndarray
    ) -> np.ndarray:
        """Learning rate of A for each sample, (E, B) float64."""
        each = np.empty(x.shape[:2])
        if not self.scale_fast:
            each[:] = np.asarray(self.lr_fast).reshape(-1, 1)
            return each
        if "top" not in a.cache:
            a.cache["top"] = self.fast(a) * a.tiles[0][0].periphery.pulses.length * a.step
        filters.fast_rates(x.numpy(), d.numpy(), after, _MEMORY, a.cache["top"], _SMALLEST, state["mean_tops"].numpy(), each)
        return each

    def chopped(
        self, state: Mapping[str, torch.Tensor], a: AnalogMatrix, x: torch.Tensor, after: np.ndarray, rows: np.ndarray, reads: np.ndarray
    ) -> tuple[torch.Tensor, torch.Tensor | None, np.ndarray | None]:
        """The inputs as A takes them; the signs of rows when they are read and whether they then change, if they do."""
        return x, None, None

    def gradient(
        self,
        arrays: Mapping[str, AnalogMatrix],
        state: dict[str, torch.Tensor],
        rows: np.ndarray,
        v: torch.Tensor,
        signs: torch.Tensor | None,
        flips: np.ndarray | None,
    ) -> torch.Tensor:
        """What reads v (E, T, columns) of rows of A say of the gradient; no row is among them twice."""
        return v
