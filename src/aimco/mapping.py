"""Mapping: a logical matrix cut over as many physical arrays as it needs, partial sums added digitally."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from pydantic import Field

from aimco.arrays import doors
from aimco.arrays.crossbar import Direction
from aimco.arrays.doors import ReferencePolicy
from aimco.arrays.programming import window
from aimco.arrays.wires import Wires
from aimco.cell import Cell
from aimco.device.device import Device
from aimco.ledger import Counts, counts_of, tensors_of
from aimco.periphery import Periphery
from aimco.record import InputError, Record
from aimco.tile import Tile

_MISSED = 0.01  # of first weights outside the window is said in notes


class Array(Record):
    """The physical array that a chip offers.

    Args:
        rows, cols: size, 1..65536. A larger matrix is cut over several arrays.
        wires: resistances of its lines; ideal when absent.
    """

    rows: int = Field(default=4096, ge=1, le=65536, description="word lines (inputs)")
    cols: int = Field(default=4096, ge=1, le=65536, description="bit lines (outputs)")
    wires: Wires | None = None


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
        inputs, outputs: size of the matrix. parts: that the inputs are cut into; as few as fit when absent.

    Example:
        >>> utilisation(384, 128, Array(rows=256, cols=256))
        0.375
    """
    arrays = (parts or -(-inputs // array.rows)) * -(-outputs // array.cols)
    return inputs * outputs / (arrays * array.rows * array.cols)


class AnalogMatrix:
    """A rows x columns matrix of weights held in arrays; the operations of `Tile`, whatever the number of arrays.

    Args:
        device, cell, array, periphery: what the arrays are made of. rows, columns: inputs and outputs of the matrix.
        seeds: one for each ensemble member. names: of this matrix. reference, reference_error: see `Crossbar`.
    """

    def __init__(
        self,
        device: Device,
        cell: Cell,
        array: Array,
        periphery: Periphery,
        rows: int,
        columns: int,
        *,
        seeds: Sequence[int] = (0,),
        names: tuple[str, ...] = ("matrix",),
        reference: ReferencePolicy = "mid-range",
        reference_error: Any = 0.0,
    ) -> None:
        rows, columns, seeds = doors.made("AnalogMatrix", rows, columns, seeds)
        self.cell, self.seeds, self.names = cell, seeds, names
        self.kept: dict[str, Any] = {}  # what a rule worked out ahead from design and seeds: a checkpoint leaves it out
        self.shape = (len(seeds), rows, columns)
        self.row_spans, self.column_spans = spans(rows, array.rows), spans(columns, array.cols)
        self.tiles = [
            [
                Tile(
                    device,
                    cell,
                    periphery,
                    r.stop - r.start,
                    c.stop - c.start,
                    seeds=seeds,
                    names=(*names, f"{i},{j}"),
                    reference=reference,
                    reference_error=reference_error,
                    wires=array.wires,
                )
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
    def step(self) -> Any:
        """Mean weight change of one pulse, (E,)."""
        return self.tiles[0][0].step

    def mvm(self, x: torch.Tensor) -> torch.Tensor:
        """y = x W: (E, B, rows) -> (E, B, columns)."""
        return self._mvm(doors.vectors("AnalogMatrix.mvm", "x", x, self.shape, "rows"))

    def _mvm(self, x: torch.Tensor) -> torch.Tensor:
        if self._single:
            return self._single.read("mvm", x)
        parts = [[tile.read("mvm", x[..., r].contiguous()) for tile in line] for r, line in zip(self.row_spans, self.tiles, strict=True)]
        return self._sum([torch.cat(line, -1) for line in parts])

    def mvm_t(self, d: torch.Tensor) -> torch.Tensor:
        """z = d W^T: (E, B, columns) -> (E, B, rows)."""
        return self._mvm_t(doors.vectors("AnalogMatrix.mvm_t", "d", d, self.shape, "columns"))

    def _mvm_t(self, d: torch.Tensor) -> torch.Tensor:
        if self._single:
            return self._single.read("mvm_t", d)
        pieces = [d[..., c].contiguous() for c in self.column_spans]
        lines = [[tile.read("mvm_t", piece) for tile, piece in zip(line, pieces, strict=True)] for line in self.tiles]
        return torch.cat([self._sum(line) for line in lines], -1)

    def read(self, name: Direction, v: torch.Tensor) -> torch.Tensor:
        """`mvm` or `mvm_t` of vectors that may hold any number; for training loops, see `aimco.arrays.doors.shaped`."""
        if name == "mvm":
            return self._mvm(doors.shaped("AnalogMatrix.read", "v", v, self.shape, "rows"))
        return self._mvm_t(doors.shaped("AnalogMatrix.read", "v", v, self.shape, "columns"))

    def calibrate(self, x: torch.Tensor, direction: Direction = "mvm") -> None:
        """Take the ranges of the ADCs in one direction anew, from the currents of these vectors; see `Tile.calibrate`."""
        x = doors.either("AnalogMatrix.calibrate", x, self.shape, direction)
        for r, c, tile in self._each():
            tile.calibrate(x[..., r if direction == "mvm" else c].contiguous(), direction)

    def _sum(self, parts: list[torch.Tensor]) -> torch.Tensor:
        """Digital sum of the partial results of several arrays."""
        self._counts.add(digital_ops=(len(parts) - 1) * parts[0][0].numel())
        return torch.stack(parts).sum(0) if len(parts) > 1 else parts[0]

    def read_line(self, k: int) -> torch.Tensor:
        """Weights of row k read through the periphery, (E, columns)."""
        k = doors.index("AnalogMatrix.read_line", "k", k, self.shape[1])
        if self._single:
            return self._single.read_line(k)
        return torch.cat([tile.read_line(own) for _, tile, own in self._along(k)], -1)

    def _along(self, k: int) -> list[tuple[slice, Tile, int]]:
        """The arrays that hold row k: (columns, array, row in it)."""
        i = next(i for i, r in enumerate(self.row_spans) if r.start <= k < r.stop)
        return [(c, tile, k - self.row_spans[i].start) for c, tile in zip(self.column_spans, self.tiles[i], strict=True)]

    def pulse(self, x: torch.Tensor, d: torch.Tensor, lr: Any) -> None:
        """Parallel pulsed update of every array at once, E[dW] = lr x d^T."""
        self._pulse(*doors.update("AnalogMatrix.pulse", x, d, lr, self.shape))

    def send(self, x: torch.Tensor, d: torch.Tensor, lr: Any) -> None:
        """`pulse` of vectors that may hold any number, as `read`."""
        self._pulse(*doors.shaped_update("AnalogMatrix.send", x, d, lr, self.shape))

    def _pulse(self, x: torch.Tensor, d: torch.Tensor, lr: Any) -> None:
        if self._single:
            self._single.send(x, d, lr)
            return
        for r, c, tile in self._each():
            tile.send(x[..., r].contiguous(), d[..., c].contiguous(), lr)

    def pulse_and_read(self, x: torch.Tensor, d: torch.Tensor, lr: np.ndarray, after: np.ndarray, rows: np.ndarray) -> torch.Tensor:
        """`pulse`, and `read_line` of rows[t] after sample after[t], (E, T, columns): in one launch where reads are ideal.

        Args:
            lr: of each sample, (E, B) float64. after, rows: (T,) int64, in order.
        """
        return self._pulse_and_read(*doors.update_and_reads("AnalogMatrix.pulse_and_read", x, d, lr, after, rows, self.shape))

    def send_and_read(self, x: torch.Tensor, d: torch.Tensor, lr: np.ndarray, after: np.ndarray, rows: np.ndarray) -> torch.Tensor:
        """`pulse_and_read` of vectors that may hold any number, as `read`; after and rows are trusted."""
        x, d, lr = doors.shaped_update("AnalogMatrix.send_and_read", x, d, lr, self.shape)
        return self._pulse_and_read(x, d, lr, after, rows)

    def _pulse_and_read(self, x: torch.Tensor, d: torch.Tensor, lr: Any, after: np.ndarray, rows: np.ndarray) -> torch.Tensor:
        if self._single and self._single.reads_states:
            return self._single.send_and_read(x, d, lr, after, rows)
        seen, first = torch.empty(self.shape[0], len(rows), self.shape[2]), 0
        for t, last in enumerate((*(after + 1).tolist(), x.shape[1])):
            if last > first:
                self._pulse(x[:, first:last].contiguous(), d[:, first:last].contiguous(), np.ascontiguousarray(lr[:, first:last]))
            if t < len(rows):
                seen[:, t] = self.read_line(int(rows[t]))
            first = last
        return seen

    def pulse_lines(self, rows: np.ndarray, pulses: torch.Tensor) -> None:
        """Give each weight of rows[t] its own number of pulses, (E, T, columns) int32, positive up, one row after the other."""
        self.send_lines(*doors.lines("AnalogMatrix.pulse_lines", rows, pulses, self.shape))

    def send_lines(self, rows: np.ndarray, pulses: torch.Tensor) -> None:
        """`pulse_lines` of trusted rows and pulses."""
        if self._single:
            self._single.send_lines(rows, pulses)
            return
        for t, k in enumerate(rows.tolist()):
            for c, tile, own in self._along(k):
                tile.send_lines(np.array([own]), pulses[:, t : t + 1, c].contiguous())

    def pulse_line(self, k: int, pulses: torch.Tensor) -> None:
        """Give each weight of row k its own number of pulses, (E, columns) int32, positive up, all columns at once."""
        k = doors.index("AnalogMatrix.pulse_line", "k", k, self.shape[1])
        members, _, columns = self.shape
        pulses = doors.pulses("AnalogMatrix.pulse_line", "pulses", pulses, (members, columns), ("members", "columns"))
        self.send_lines(np.array([k]), pulses[:, None])

    def pulse_rows(self, pulses: torch.Tensor) -> None:
        """`pulse_lines` on all rows, (E, rows, columns) int32."""
        pulses = doors.pulses("AnalogMatrix.pulse_rows", "pulses", pulses, self.shape)
        for r, c, tile in self._each():
            tile.pulse_rows(pulses[:, r, c].contiguous())

    def refer(self, to: torch.Tensor, row: int | None = None, members: torch.Tensor | None = None) -> None:
        """Read weights from now on against what is now read as `to`, (E, rows, columns), or (E, columns) of one row.

        Args:
            members: ensemble members whose references change, (E,) bool; all when absent.
        """
        to, row, members = doors.reference("AnalogMatrix.refer", to, row, members, self.shape)
        if row is None:
            for r, c, tile in self._each():
                tile.refer(to[:, r, c], members=members)
            return
        for c, tile, own in self._along(row):
            tile.refer(to[:, c], own, members)

    def alternate(self, pulses: int, up: bool = True) -> None:
        """Pulses up and down in turn on all devices at once; the first is up or down."""
        pulses = doors.whole("AnalogMatrix.alternate", "pulses", pulses, 0)
        for _, _, tile in self._each():
            tile.alternate(pulses, up)

    def read_rows(self) -> torch.Tensor:
        """All weights, read row after row through the periphery, (E, rows, columns)."""
        return torch.stack([self.read_line(k) for k in range(self.rows)], 1)

    def transfer(self, invert: bool) -> None:
        """Move what the devices that learn hold to those that remember, in every cell; see `Cell.transfer`."""
        invert = doors.flag("AnalogMatrix.transfer", "invert", invert)
        if not self.cell.transfers:
            raise InputError(f"AnalogMatrix.transfer: cells of kind {self.cell.kind} have none; take capacitor-pcm")
        for _, _, tile in self._each():
            tile.transfer(invert)

    def digital(self, operations: int) -> None:
        """Note additions and multiplications that a rule does beside the arrays."""
        self._counts.add(digital_ops=doors.whole("AnalogMatrix.digital", "operations", operations, 0, 2**62))

    def program(self, target: torch.Tensor, only: torch.Tensor | None = None) -> None:
        """Write and verify weights (E, rows, columns); those of a mask (E, rows, columns) alone, all when absent."""
        target, only = doors.writes("AnalogMatrix.program", target, only, self.shape)
        for r, c, tile in self._each():
            tile.program(target[:, r, c], None if only is None else only[:, r, c])

    def missed(self, target: torch.Tensor) -> list[str]:
        """What notes say of weights (E, rows, columns) that were just written, one for each member; empty where all is well.

        Where devices are written as cited, by how much they miss; else so where over a percent could not be written within the window.
        """
        tile = self.tiles[0][0]
        error, limit = (self.weights - target).flatten(1), window(tile.crossbar)[:, 0, 0].numpy() * tile.weight * len(tile.cell.leads)
        numbers = zip(
            limit, error.square().mean(1).sqrt().tolist(), target.expand(self.shape).flatten(1).std(1, correction=0).tolist(), strict=True
        )
        said = []
        for own, (most, rms, std) in zip(error, numbers, strict=True):
            share = float((own.abs() > 1.001 * most).double().mean())
            rest = f"rms error {rms:.2g}, where their standard deviation is {std:.2g}"
            if tile.crossbar.device.writes.method == "as-cited":
                said.append(f"first weights of {self.names[0]} are written with the residue that the datasheet cites: {rest}")
            elif share > _MISSED:
                said.append(f"{share:.0%} of the first weights of {self.names[0]} are not written within {most:.2g}: {rest}")
            else:
                said.append("")
        return said

    def reset(self, mask: torch.Tensor) -> None:
        """Reset the devices of the mask (E, rows, columns)."""
        mask = doors.mask("AnalogMatrix.reset", "mask", mask, self.shape)
        for r, c, tile in self._each():
            tile.reset(mask[:, r, c])

    def hold(self, seconds: Any) -> None:
        """Let time pass, s, a number or (E,)."""
        seconds = doors.seconds("AnalogMatrix.hold", seconds, self.shape[0])
        for _, _, tile in self._each():
            tile.hold(seconds)

    def _each(self) -> list[tuple[slice, slice, Tile]]:
        pairs = zip(self.row_spans, self.tiles, strict=True)
        return [(r, c, tile) for r, line in pairs for c, tile in zip(self.column_spans, line, strict=True)]

    def conductances(self) -> list[torch.Tensor]:
        """Of each device of the cells, S, (E, rows, columns) float64: what a circuit made of them sees, lines of pieces joined."""
        return self._joined([[tile.conductances() for tile in line] for line in self.tiles])

    def seen(self) -> list[torch.Tensor]:
        """The same as states, half ranges from mid-range, float32; not to be written into."""
        return self._joined([[tile.seen() for tile in line] for line in self.tiles])

    def _joined(self, held: list[list[list[torch.Tensor]]]) -> list[torch.Tensor]:
        if self._single:
            return held[0][0]
        return [torch.cat([torch.cat([tile[k] for tile in line], 2) for line in held], 1) for k in range(len(held[0][0]))]

    @property
    def weights(self) -> torch.Tensor:
        """The stored weights, (E, rows, columns): for tests and plots."""
        return torch.cat([torch.cat([tile.weights for tile in line], 2) for line in self.tiles], 1)

    @property
    def counts(self) -> Counts:
        """Everything done so far, over all arrays."""
        return Counts.total([self._counts, *(tile.counts for _, _, tile in self._each())])

    @property
    def timed(self) -> dict[str, Any]:
        """Those of `counts` that take time, quickly: pulses may go on waiting."""
        found = self._single.timed if self._single else Counts.total(tile.timed for _, _, tile in self._each())
        found["digital_ops"] += self._counts.get("digital_ops", 0)
        return found

    def checkpoint(self) -> dict[str, Any]:
        """All that a later run needs to go on as if never stopped."""
        return {"tiles": [tile.checkpoint() for _, _, tile in self._each()], "counts": tensors_of(self._counts)}

    def restore(self, saved: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        for (_, _, tile), part in zip(self._each(), saved["tiles"], strict=True):
            tile.restore(part)
        self._counts = counts_of(saved["counts"])
