"""Mapping: a logical matrix cut over as many physical arrays as it needs, partial sums added digitally."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from aimco.arrays import doors
from aimco.arrays.kinds import Array
from aimco.arrays.operations import Direction, WeightOperations
from aimco.arrays.programming import window
from aimco.arrays.spec import ArraySpec
from aimco.cell.reference import Reference
from aimco.ensemble import PerMember
from aimco.ledger import Counts, counts_of, tensors_of
from aimco.record import InputError
from aimco.tile import Tile

_MISSED = 0.01  # of first weights outside the window is said in notes


def spans(size: int, largest: int) -> list[slice]:
    """Even pieces of range(size), none longer than `largest`: spans(10, 4) cuts at 0, 4, 7, 10."""
    pieces = -(-size // largest)
    cuts = [-(-size * k // pieces) for k in range(pieces + 1)]
    return [slice(a, b) for a, b in itertools.pairwise(cuts)]


def groups(inputs: int, rows: int) -> int:
    """Equal groups that inputs are split into, none larger than the rows of an array: ceil(inputs / rows), up to the next divisor.

    Source: Kim 2018 (arXiv 1811.02187).

    Example:
        >>> groups(1152, 512), groups(1152, 256)
        (3, 6)
    """
    if inputs < 1 or rows < 1:
        raise InputError(f"inputs and rows must be at least 1 to be split, got {inputs} and {rows}")
    return next(count for count in range(-(-inputs // rows), inputs + 1) if inputs % count == 0)


def utilisation(inputs: int, outputs: int, array: Array, parts: int | None = None) -> float:
    """Share of the cells of its arrays that a matrix takes up, 0..1.

    Args:
        inputs: Rows of the matrix.
        outputs: Columns of the matrix.
        array: The physical array.
        parts: Parts that the inputs are cut into; as few as fit when absent.

    Example:
        >>> utilisation(384, 128, Array(rows=256, cols=256))
        0.375
    """
    arrays = (parts or -(-inputs // array.rows)) * -(-outputs // array.cols)
    return inputs * outputs / (arrays * array.rows * array.cols)


class AnalogMatrix(WeightOperations):
    """A rows x columns matrix of weights held in arrays, whatever their number.

    Args:
        spec: What the arrays are made of.
        rows: Inputs of the matrix.
        columns: Outputs of the matrix.
        seeds: One for each ensemble member.
        names: Of this matrix, for its random streams.

    Example:
        >>> from aimco.design import Design
        >>> matrix = AnalogMatrix(ArraySpec.of(Design(device="ideal")), 784, 10)
        >>> matrix.mvm(torch.ones(1, 5, 784)).shape
        torch.Size([1, 5, 10])
    """

    def __init__(
        self, spec: ArraySpec, rows: int, columns: int, *, seeds: Sequence[int] = (0,), names: tuple[str, ...] = ("matrix",)
    ) -> None:
        rows, columns, seeds = doors.size_and_seeds("AnalogMatrix", rows, columns, seeds)
        array = spec.array or Array()
        self.cell, self.seeds, self.names = spec.cell or Reference(), seeds, names
        self.device, self.pulses = self.cell.devices(spec.made_of("AnalogMatrix"))[0], spec.pulses
        self.cache: dict[str, Any] = {}  # what a rule worked out ahead from design and seeds: a checkpoint leaves it out
        self.shape = (len(seeds), rows, columns)
        self.row_spans, self.column_spans = spans(rows, array.rows), spans(columns, array.cols)
        self.tiles = [
            [
                Tile(spec, r.stop - r.start, c.stop - c.start, seeds=seeds, names=(*names, f"{i},{j}"))
                for j, c in enumerate(self.column_spans)
            ]
            for i, r in enumerate(self.row_spans)
        ]
        self._single = self.tiles[0][0] if self.arrays == 1 else None
        self._counts = Counts()

    @property
    def rows(self) -> int:
        """Inputs of the matrix."""
        return self.shape[1]

    @property
    def arrays(self) -> int:
        """Physical arrays that hold the matrix."""
        return len(self.row_spans) * len(self.column_spans)

    @property
    def step(self):
        return self.tiles[0][0].step

    def _each(self) -> list[tuple[slice, slice, Tile]]:
        """All arrays: (rows, columns, array)."""
        pairs = zip(self.row_spans, self.tiles, strict=True)
        return [(r, c, tile) for r, line in pairs for c, tile in zip(self.column_spans, line, strict=True)]

    def _along(self, k: int) -> list[tuple[slice, Tile, int]]:
        """The arrays that hold row k: (columns, array, row in it)."""
        i = next(i for i, r in enumerate(self.row_spans) if r.start <= k < r.stop)
        return [(c, tile, k - self.row_spans[i].start) for c, tile in zip(self.column_spans, self.tiles[i], strict=True)]

    # reads

    @property
    def reads_states(self):
        return self._single is not None and self._single.reads_states

    def _read(self, name: Direction, v: torch.Tensor) -> torch.Tensor:
        if self._single:
            return self._single._read(name, v)
        if name == "mvm":
            pieces = [v[..., r].contiguous() for r in self.row_spans]
            parts = [[tile._read(name, piece) for tile in line] for piece, line in zip(pieces, self.tiles, strict=True)]
            return self._sum([torch.cat(line, -1) for line in parts])
        pieces = [v[..., c].contiguous() for c in self.column_spans]
        lines = [[tile._read(name, piece) for tile, piece in zip(line, pieces, strict=True)] for line in self.tiles]
        return torch.cat([self._sum(line) for line in lines], -1)

    def _sum(self, parts: list[torch.Tensor]) -> torch.Tensor:
        """Digital sum of the partial results of several arrays."""
        self._counts.add(digital_ops=(len(parts) - 1) * parts[0][0].numel())
        return torch.stack(parts).sum(0) if len(parts) > 1 else parts[0]

    def _read_row(self, k: int) -> torch.Tensor:
        if self._single:
            return self._single._read_row(k)
        return torch.cat([tile._read_row(local_row) for _, tile, local_row in self._along(k)], -1)

    def _calibrate(self, x: torch.Tensor, direction: Direction) -> None:
        for r, c, tile in self._each():
            tile._calibrate(x[..., r if direction == "mvm" else c].contiguous(), direction)

    # updates

    def _send(self, x: torch.Tensor, d: torch.Tensor, lr: PerMember) -> None:
        if self._single:
            self._single._send(x, d, lr)
            return
        for r, c, tile in self._each():
            tile._send(x[..., r].contiguous(), d[..., c].contiguous(), lr)

    def _send_and_read(self, x: torch.Tensor, d: torch.Tensor, lr: PerMember, after: np.ndarray, rows: np.ndarray) -> torch.Tensor:
        if self._single:
            return self._single._send_and_read(x, d, lr, after, rows)
        return super()._send_and_read(x, d, lr, after, rows)

    def send_rows(self, rows: np.ndarray, pulses: torch.Tensor) -> None:
        if self._single:
            self._single.send_rows(rows, pulses)
            return
        for t, k in enumerate(rows.tolist()):
            for c, tile, local_row in self._along(k):
                tile.send_rows(np.array([local_row]), pulses[:, t : t + 1, c].contiguous())

    def _pulse_rows(self, pulses: torch.Tensor) -> None:
        for r, c, tile in self._each():
            tile._pulse_rows(pulses[:, r, c].contiguous())

    def _pulse_up_down(self, pulses: int, up: bool) -> None:
        for _, _, tile in self._each():
            tile._pulse_up_down(pulses, up)

    def _transfer(self, invert: bool) -> None:
        for _, _, tile in self._each():
            tile._transfer(invert)

    def digital(self, operations: int) -> None:
        """Note additions and multiplications that a rule does beside the arrays.

        Args:
            operations: How many, >= 0.
        """
        self._counts.add(digital_ops=doors.whole("AnalogMatrix.digital", "operations", operations, 0, 2**62))

    # writes, and time

    def _set_reference(self, to: torch.Tensor, row: int | None, members: torch.Tensor | None) -> None:
        if row is None:
            for r, c, tile in self._each():
                tile._set_reference(to[:, r, c], None, members)
            return
        for c, tile, local_row in self._along(row):
            tile._set_reference(to[:, c], local_row, members)

    def _program(self, target: torch.Tensor, only: torch.Tensor | None) -> None:
        for r, c, tile in self._each():
            tile._program(target[:, r, c], None if only is None else only[:, r, c])

    def missed(self, target: torch.Tensor) -> list[str]:
        """What notes say of weights that were just written, one for each member; empty where all is well.

        Where devices are written as cited, by how much they miss; else so where over a percent could not be written within the window.
        Weights that make up for wires are judged by what reads make of them.

        Args:
            target: What was to be written, (E, rows, columns).
        """
        tile = self.tiles[0][0]
        limit = window(tile.crossbar)[:, 0, 0].numpy() * tile.weight * len(tile.cell.leads)
        error = (self.read_weights() if tile.crossbar.compensates else self.weights).sub_(target).flatten(1)
        spread = target.expand(self.shape).flatten(1).std(1, correction=0).tolist()
        numbers = zip(error, limit, error.square().mean(1).sqrt().tolist(), spread, strict=True)
        return [self._missed_by(tile, *one) for one in numbers]

    def _missed_by(self, tile: Tile, error: torch.Tensor, most: float, rms: float, std: float) -> str:
        share = int(torch.count_nonzero(error.abs() > 1.001 * most)) / error.numel()
        rest = f"rms error {rms:.2g}, where their standard deviation is {std:.2g}"
        if tile.crossbar.device.writes.method == "as-cited":
            return f"first weights of {self.names[0]} are written with the residue that the datasheet cites: {rest}"
        if share > _MISSED:
            return f"{share:.0%} of the first weights of {self.names[0]} are not written within {most:.2g}: {rest}"
        return ""

    def read_weights(self) -> torch.Tensor:
        return torch.cat([torch.cat([tile.read_weights() for tile in line], 2) for line in self.tiles], 1)

    def _reset(self, mask: torch.Tensor) -> None:
        for r, c, tile in self._each():
            tile._reset(mask[:, r, c])

    def _elapse(self, seconds: PerMember) -> None:
        for _, _, tile in self._each():
            tile._elapse(seconds)

    # what is known of it

    def conductances(self):
        return self._joined([[tile.conductances() for tile in line] for line in self.tiles])

    def noisy_state(self):
        return self._joined([[tile.noisy_state() for tile in line] for line in self.tiles])

    def _joined(self, held: list[list[list[torch.Tensor]]]) -> list[torch.Tensor]:
        if self._single:
            return held[0][0]
        return [torch.cat([torch.cat([tile[k] for tile in line], 2) for line in held], 1) for k in range(len(held[0][0]))]

    @property
    def weights(self) -> torch.Tensor:
        return torch.cat([torch.cat([tile.weights for tile in line], 2) for line in self.tiles], 1)

    @property
    def counts(self):
        return Counts.total([self._counts, *(tile.counts for _, _, tile in self._each())])

    @property
    def timed(self):
        counts = self._single.timed if self._single else Counts.total(tile.timed for _, _, tile in self._each())
        counts["digital_ops"] += self._counts.get("digital_ops", 0)
        return counts

    def checkpoint(self):
        return {"tiles": [tile.checkpoint() for _, _, tile in self._each()], "counts": tensors_of(self._counts)}

    def restore(self, saved):
        for (_, _, tile), part in zip(self._each(), saved["tiles"], strict=True):
            tile.restore(part)
        self._counts = counts_of(saved["counts"])
