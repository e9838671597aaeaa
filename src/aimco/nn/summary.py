"""What a model is made of in arrays, and how worn its cells are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
from torch import nn

from aimco.mapping import AnalogMatrix
from aimco.nn.analog import AnalogLayer
from aimco.nn.layers import Arrays, analog_layers
from aimco.periphery import Adc, Dac


@dataclass(frozen=True)
class Row:
    """One matrix of a model.

    Args:
        layer: Name in the model.
        kind: Class of the layer.
        matrix: Name that the rule gives it.
        rows: Inputs.
        columns: Outputs.
        members: Matrices beside each other: ensemble members times groups.
        arrays: Physical arrays of one of them.
        cells: Cells used by one of them.
        device: What they are made of.
        pulses: Mean number of pulses that each device of it took so far, training and writing.
        converters: DACs and ADCs, as many as lines share them.
    """

    layer: str
    kind: str
    matrix: str
    rows: int
    columns: int
    members: int
    arrays: int
    cells: int
    device: str
    pulses: float
    converters: str


@dataclass(frozen=True)
class Summary:
    """Rows of matrices, and parameters that are in no array."""

    rows: list[Row]
    digital: int

    def __str__(self) -> str:
        head = ("layer", "kind", "matrix", "size", "members", "arrays", "cells", "device", "pulses per cell", "converters")
        lines = [
            (
                r.layer,
                r.kind,
                r.matrix,
                f"{r.rows} x {r.columns}",
                *map(str, (r.members, r.arrays, r.cells)),
                r.device,
                f"{r.pulses:.4g}",
                r.converters,
            )
            for r in self.rows
        ]
        widths = [max(map(len, column)) for column in zip(head, *lines, strict=True)]
        text = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in (head, *lines)]
        cells = sum(r.cells * r.members for r in self.rows)
        return "\n".join([*text, f"{cells} cells in arrays, {self.digital} digital parameters"])


def summary(model: nn.Module) -> Summary:
    """Layers, arrays, cells, devices, pulses so far and converters of a model; `print` shows a table.

    Example:
        >>> import aimco as ai
        >>> layer = ai.nn.Linear(4, 3, design=ai.Design(device="ideal"))
        >>> [row.cells for row in ai.nn.summary(layer).rows]
        [15]
    """
    rows = [_row(name or "(itself)", layer, n, m) for name, layer in analog_layers(model).items() for n, m in layer.matrices.items()]
    held = {id(p) for m in model.modules() if isinstance(m, AnalogLayer) for p in m.in_arrays().values()}
    return Summary(rows, sum(p.numel() for p in model.parameters() if id(p) not in held))


def _row(name: str, layer: Arrays, what: str, matrix: AnalogMatrix) -> Row:
    members, rows, columns = matrix.shape
    counts, tile = matrix.counts, matrix.tiles[0][0]
    periphery, device = tile.periphery, tile.crossbar.device
    pulses = sum(float(np.sum(np.asarray(counts.get(n, 0)) * np.ones(members))) for n in ("coincidences", "program_pulses"))
    dacs = _shared(matrix.row_spans, periphery.dac.shared_by) * len(matrix.column_spans)
    adcs = _shared(matrix.column_spans, periphery.adc.shared_by) * len(matrix.row_spans)
    return Row(
        layer=name,
        kind=type(layer).__name__,
        matrix=what,
        rows=rows,
        columns=columns,
        members=members,
        arrays=matrix.arrays,
        cells=rows * columns,
        device=device.name,
        pulses=pulses / (members * rows * columns * len(tile.crossbars)),
        converters=f"{dacs} {_bits(periphery.dac)} DACs, {adcs} {_bits(periphery.adc)} ADCs",
    )


def _shared(spans: Sequence[slice], lines: int) -> int:
    """Converters on one side of arrays over these spans, where so many lines of an array share one."""
    return sum(ceil((span.stop - span.start) / lines) for span in spans)


def _bits(converter: Adc | Dac) -> str:
    bits = np.asarray(converter.bits if converter.bits is not None else np.inf).reshape(-1)[0]
    return f"{bits:g}-bit" if np.isfinite(bits) else "exact"
