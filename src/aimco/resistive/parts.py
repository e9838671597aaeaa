"""What a resistive network is made of beside its conductances, and the first conductances themselves."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from aimco import rng
from aimco.arrays.spec import Blueprint
from aimco.arrays.vertical import VerticalWires
from aimco.arrays.wires import Wires
from aimco.circuit.elements import DiodePair, Shockley, Value
from aimco.record import InputError, PathError
from aimco.resistive.record import Circuit, uniform

_DIODES = Shockley()
_START = 2.8  # first conductances reach this over the root of a crossbar's rows and columns, in units (Kendall 2020)
_LEAST_G = 1e-6  # of the largest conductance, that ideal moves leave


@dataclass(frozen=True)
class Parts:
    """Parts around the conductances of a resistive network, and the window of its devices.

    Args:
        diodes: Of the hidden layers, one pair for all or one for each.
        gain: Of the amplifiers, one number, or for each hidden layer a number or (nodes,).
        offset: Of the amplifiers, V, likewise.
        paired: Whether each crossing has two devices, one on the line of its row and one on the inverted line; inputs are then not
            driven twice, as +x and -x.
        unit: Conductance that weights are counted in, S, one number or one for each crossbar.
        g_min: Least conductance of a device, S, above 0.
        g_max: Largest conductance of a device, S.
        tolerance: To which every voltage is solved, V.
        dtype: Of the conductances.
        arrays: What each crossbar stands in: a planar array with wires, a three-dimensional one, or None.
        input_V: What a source drives for an input of 1, and for the bias, V.
        source_noise_V: Standard deviation of what a source drives, new for each sample, V.
        readout_noise_V: Standard deviation of each reading of an output, V.
        conductance_spread: Relative standard deviation of the conductance that a device has in the circuit.
    """

    diodes: DiodePair | Sequence[DiodePair] = _DIODES
    gain: Value | Sequence[Value] = 4.0
    offset: Value | Sequence[Value] = 0.0
    paired: bool = False
    unit: float | Sequence[float] = 1e-4
    g_min: float = 1e-11
    g_max: float = math.inf
    tolerance: float = 1e-6
    dtype: torch.dtype = torch.float64
    arrays: Sequence[Wires | VerticalWires | None] | None = None
    input_V: float = 1.0
    source_noise_V: float = 0.0
    readout_noise_V: float = 0.0
    conductance_spread: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.g_min < self.g_max:
            raise InputError(f"g_min must be above 0 and below g_max, got {self.g_min:g} and {self.g_max:g} S")

    def shapes(self, sizes: Sequence[int]) -> list[tuple[int, int]]:
        """Rows and columns of each crossbar of a network of these sizes: inputs, hidden layers, outputs.

        Raises:
            InputError: No hidden layer, or arrays that are not one for each crossbar.
        """
        if len(sizes) < 3:
            raise InputError(f"sizes must be inputs, at least one hidden layer and outputs, got {list(sizes)}")
        rows = sizes[0] + 1 if self.paired else 2 * sizes[0] + 1
        shapes = list(itertools.pairwise([rows, *sizes[1:-1], 2 * sizes[-1]]))
        if self.arrays is not None and (len(self.arrays) != len(shapes) or self.dtype != torch.float64):
            raise InputError(
                f"arrays must be one or None for each of {len(shapes)} crossbars in float64, got {len(self.arrays)}, {self.dtype}"
            )
        return shapes


def first_conductances(parts: Parts, shapes: Sequence[tuple[int, int]], seed: int) -> list[torch.Tensor]:
    """Conductances uniform from g_min to 2.8 unit/sqrt(rows + columns), S: of each crossbar, then of the devices on inverted lines."""
    unit = parts.unit if isinstance(parts.unit, float | int) else parts.unit[0]
    conductances = []
    for names in ((), ("inverted",))[: 1 + parts.paired]:
        for k, (rows, columns) in enumerate(shapes):
            draws = rng.uniform(rng.stream_keys((seed,), "resistive", k, *names), 0, rows * columns)[0]
            top = min(_START * unit / math.sqrt(rows + columns), parts.g_max)
            conductances.append((parts.g_min + (top - parts.g_min) * torch.from_numpy(draws)).to(parts.dtype).reshape(rows, columns))
    return conductances


def designed_conductances(parts: Parts, record: Circuit, shapes: Sequence[tuple[int, int]], seed: int) -> list[torch.Tensor]:
    """As `first_conductances`, uniform from g_min to the part of the range that the record says, but for empty ones.

    Of a pair one device alone is above g_min.
    """
    top, conductances = record.start * (parts.g_max - parts.g_min), []
    for sign in (1, -1)[: 1 + parts.paired]:
        for k, shape in enumerate(shapes):
            draws = uniform(seed, shape, "start", k)
            if parts.paired:
                draws = (2 * draws - 1).mul_(sign)
            draws = ((draws - record.empty) / (1 - record.empty)).clamp_(min=0)
            conductances.append((parts.g_min + top * draws).to(parts.dtype))
    return conductances


def parts_of(design: Blueprint, sizes: Sequence[int], seed: int) -> Parts:
    """The parts of a design, each with its own value where the design has spread.

    Args:
        design: An `aimco.Design` with a resistive network.
        sizes: Inputs, hidden layers, outputs.
        seed: Of the parts.

    Raises:
        PathError: A field that does not go with wires, or an array that is too small.
    """
    record, device, hidden = design.network.circuit, design.device, list(enumerate(sizes[1:-1]))
    paired, g_max = len(design.cell.signs) > 1, float(device.g_max)
    g_min = max(float(device.g_min), _LEAST_G * g_max)
    parts = Parts(paired=paired, g_min=g_min, g_max=g_max)
    shapes, top = parts.shapes(sizes), g_min + record.start * (g_max - g_min)
    return Parts(
        [record.pair(n, k, seed) for k, n in hidden],
        [record.gains(n, k, seed) for k, n in hidden],
        [record.offsets(n, k, seed) for k, n in hidden],
        paired=paired,
        unit=[top * math.sqrt(rows * (1 + paired) + columns) / _START for rows, columns in shapes],
        g_min=g_min,
        g_max=g_max,
        tolerance=record.tolerance_V,
        dtype=getattr(torch, record.precision),
        arrays=_arrays(design, shapes),
        input_V=record.input_V,
        source_noise_V=record.source_noise_V,
        readout_noise_V=record.readout_noise_V,
        conductance_spread=record.conductance_spread,
    )


def _arrays(design: Blueprint, shapes: Sequence[tuple[int, int]]) -> list[Wires | VerticalWires | None] | None:
    """What each crossbar stands in where lines drop voltage: one array, planar or three-dimensional."""
    record, array = design.network.circuit, design.array
    if record.vertical is not None and not array.ideal:
        raise PathError("network.circuit.vertical", f"must be absent where array.kind is {array.kind}, which says what crossbars stand in")
    lines = [array.in_circuit(*shape) if record.vertical is None else record.vertical.holding(*shape) for shape in shapes]
    if all(line is None for line in lines):
        return None
    if record.precision != "float64":
        raise PathError("network.circuit.precision", "must be float64 where lines drop voltage, got float32")
    if record.gain_spread:
        raise PathError("network.circuit.gain_spread", f"must be 0 where lines drop voltage, got {record.gain_spread:g}")
    if record.diodes == "ideal":
        raise PathError("network.circuit.diodes", "must be shockley or piecewise-linear where lines drop voltage, got ideal")
    return lines
