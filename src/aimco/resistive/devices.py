"""The devices of a resistive network: arrays that hold its conductances and change them by pulses."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from aimco.arrays.spec import ArraySpec, Blueprint
from aimco.mapping import AnalogMatrix


class DeviceArrays:
    """One matrix of devices for each crossbar. A matrix cut over several arrays is joined by wires: nothing is converted between them.

    Args:
        design: An `aimco.Design` with a resistive network.
        shapes: Rows and columns of each crossbar.
        seed: Of the devices.
    """

    def __init__(self, design: Blueprint, shapes: Sequence[tuple[int, int]], seed: int) -> None:
        device, spec = design.device, ArraySpec.of(design)
        self.matrices: dict[str, AnalogMatrix] = {}
        for k, shape in enumerate(shapes, 1):
            name = f"crossbar {k}"
            self.matrices[name] = AnalogMatrix(spec, *shape, seeds=(seed,), names=(name,))
        self.pulse_S = float(np.mean(device.step))
        self._weight_max = float(np.mean(design.cell.weight_max))
        self._mid, self._half = float(np.mean(device.mid_range)), float(np.mean(device.half_range))

    @torch.no_grad()
    def program(self, conductances: Sequence[torch.Tensor]) -> tuple[list[str], ...]:
        """Write conductances into the devices; returns what notes say of each matrix.

        Args:
            conductances: Of each crossbar, then of the devices on inverted lines, if any, S, (rows, columns).
        """
        remarks, layers = [], len(self.matrices)
        inverted = conductances[layers:]
        for k, matrix in enumerate(self.matrices.values()):
            g = conductances[k].double()
            state = (g - inverted[k].double()) / (2 * self._half) if inverted else (g - self._mid) / self._half
            target = (self._weight_max * state).float()[None]
            matrix.program(target)
            remarks.append(matrix.missed(target))
        return tuple(remarks)

    @torch.no_grad()
    def copy_into(self, conductances: Sequence[torch.Tensor]) -> None:
        """Copy the conductances that the devices have now, S, into tensors in the order of `program`."""
        layers = len(self.matrices)
        for k, matrix in enumerate(self.matrices.values()):
            for tensor, held in zip(conductances[k::layers], matrix.conductances(), strict=False):
                tensor.copy_(held[0])

    def pulse(self, pulses: Sequence[torch.Tensor]) -> None:
        """Pulse each device of each crossbar its own number of times, those above 0 up, (rows, columns)."""
        for matrix, numbers in zip(self.matrices.values(), pulses, strict=True):
            matrix.pulse_rows(numbers.to(torch.int32)[None])
