"""Operations of an array: what a chip can do, documented once for crossbars, tiles and matrices.

A public operation checks its arguments and hands them to the method of the same name with a leading underscore, which trusts them. An
array that is made of others calls their trusted methods, so that each argument is checked once.

Axes: (ensemble E, [batch B,] rows, columns). A crossbar takes and gives states, tiles and matrices weights.
"""

from __future__ import annotations

import functools
import warnings
from abc import ABC, abstractmethod
from typing import Any, Literal

import numpy as np
import torch

from aimco.arrays import doors
from aimco.cell import Cell
from aimco.ensemble import PerMember, Rates
from aimco.ledger import Counts
from aimco.plain_data import Saved
from aimco.record import InputError

_ONCE = {  # in users' rules and programs
    "alternate": "pulse_up_down",
    "apply": "pulse_rows",
    "hold": "elapse",
    "kept": "cache",
    "pulse_line": "pulse_row",
    "read_line": "read_row",
    "refer": "set_reference",
    "seen": "noisy_state",
}
Direction = Literal["mvm", "mvm_t"]  # rows are driven and columns read, or the other way round


@functools.cache
def _named(kind: type, operation: str) -> str:
    return f"{kind.__name__}.{operation}"


class ArrayOperations(ABC):
    """E members of an array of rows x columns (abstract)."""

    shape: doors.Shape

    def _op(self, operation: str) -> str:
        """The operation as errors name it."""
        return _named(type(self), operation)

    # reads

    def mvm(self, x: torch.Tensor) -> torch.Tensor:
        """Multiply vectors by the array, y = x W: rows are driven, the currents of the columns are read (Ohm and Kirchhoff).

        Args:
            x: Inputs, (E, B, rows).

        Returns:
            Outputs, (E, B, columns).

        Raises:
            InputError: x has another shape or is not finite.
        """
        return self._read("mvm", doors.vectors(self._op("mvm"), "x", x, self.shape, "rows"))

    def mvm_t(self, d: torch.Tensor) -> torch.Tensor:
        """Multiply vectors by the transposed array, z = d W^T: columns are driven, the currents of the rows are read.

        Args:
            d: Errors, (E, B, columns).

        Returns:
            Errors at the inputs, (E, B, rows).

        Raises:
            InputError: d has another shape or is not finite.
        """
        return self._read("mvm_t", doors.vectors(self._op("mvm_t"), "d", d, self.shape, "columns"))

    def read(self, name: Direction, v: torch.Tensor) -> torch.Tensor:
        """Read like `mvm` or `mvm_t`, without a look at the numbers: for training loops, see `aimco.arrays.doors.shaped`.

        Args:
            name: The operation.
            v: Vectors on the lines that it drives, (E, B, lines).
        """
        return self._read(name, doors.shaped(self._op("read"), "v", v, self.shape, "rows" if name == "mvm" else "columns"))

    @abstractmethod
    def _read(self, name: Direction, v: torch.Tensor) -> torch.Tensor: ...

    @property
    @abstractmethod
    def reads_states(self) -> bool:
        """Whether a read of a row is the state of its devices and nothing else, which no pulse on another row moves."""

    # updates

    def pulse(self, x: torch.Tensor, d: torch.Tensor, lr: Rates) -> None:
        """Update all devices in parallel by coincidences of stochastic pulses, E[dW] = lr x d^T, sample after sample.

        Args:
            x: Values on the rows, (E, B, rows).
            d: Values on the columns, (E, B, columns).
            lr: Learning rate, >= 0: a number, (E,), or float64 of each sample (E, B).

        Raises:
            InputError: another shape, or numbers that are not finite.
        """
        self._send(*doors.update(self._op("pulse"), x, d, lr, self.shape))

    def send(self, x: torch.Tensor, d: torch.Tensor, lr: Rates) -> None:
        """Update like `pulse`, without a look at the numbers; see `read`."""
        self._send(*doors.shaped_update(self._op("send"), x, d, lr, self.shape))

    @abstractmethod
    def _send(self, x: torch.Tensor, d: torch.Tensor, lr: PerMember) -> None: ...

    def pulse_and_read(self, x: torch.Tensor, d: torch.Tensor, lr: Rates, after: np.ndarray, rows: np.ndarray) -> torch.Tensor:
        """Update like `pulse` and read single rows between the samples: in one launch where `reads_states`.

        Args:
            x: Values on the rows, (E, B, rows).
            d: Values on the columns, (E, B, columns).
            lr: Learning rate as in `pulse`.
            after: Samples after which a row is read, (T,) int64, in order.
            rows: The row that each read is of, (T,) int64.

        Returns:
            The rows that were read, (E, T, columns).
        """
        return self._send_and_read(*doors.update_and_reads(self._op("pulse_and_read"), x, d, lr, after, rows, self.shape))

    def send_and_read(self, x: torch.Tensor, d: torch.Tensor, lr: np.ndarray, after: np.ndarray, rows: np.ndarray) -> torch.Tensor:
        """Update and read like `pulse_and_read`, without a look at the numbers; lr (E, B) float64; `after` and `rows` are trusted."""
        return self._send_and_read(*doors.shaped_update(self._op("send_and_read"), x, d, lr, self.shape), after, rows)

    @abstractmethod
    def _send_and_read(self, x: torch.Tensor, d: torch.Tensor, lr: PerMember, after: np.ndarray, rows: np.ndarray) -> torch.Tensor: ...

    def pulse_rows(self, pulses: torch.Tensor, rows: np.ndarray | None = None) -> None:
        """Pulse row by row: a row fires, and each column counts off its own number of pulses.

        Args:
            pulses: Pulses of each device, positive up, (E, rows, columns) int32; of some rows (E, T, columns).
            rows: Which rows, (T,) int64, in the order in which they are pulsed; all when absent.
        """
        if rows is None:
            self._pulse_rows(doors.pulses(self._op("pulse_rows"), "pulses", pulses, self.shape, expands=True))
        else:
            self.send_rows(*doors.rows_of_pulses(self._op("pulse_rows"), rows, pulses, self.shape))

    @abstractmethod
    def _pulse_rows(self, pulses: torch.Tensor) -> None: ...

    @abstractmethod
    def send_rows(self, rows: np.ndarray, pulses: torch.Tensor) -> None:
        """Pulse some rows like `pulse_rows`; the arguments are trusted."""

    def pulse_up_down(self, pulses: int, up: bool = True) -> None:
        """Pulse all devices at once up and down in turn, which takes them to their symmetry points.

        Args:
            pulses: How many, >= 0.
            up: Whether the first is up.
        """
        self._pulse_up_down(doors.whole(self._op("pulse_up_down"), "pulses", pulses, 0), doors.flag(self._op("pulse_up_down"), "up", up))

    @abstractmethod
    def _pulse_up_down(self, pulses: int, up: bool) -> None: ...

    # writes

    def set_reference(self, to: torch.Tensor, row: int | None = None, members: torch.Tensor | None = None) -> None:
        """Set references: what is now read as `to` is read as 0 from now on.

        Args:
            to: Values, (E, rows, columns), or (E, columns) of one row.
            row: The row whose references change; all when absent.
            members: Ensemble members whose references change, (E,) bool; all when absent.

        Raises:
            InputError: the array was made without references, or arguments of another shape.
        """
        self._set_reference(*doors.reference(self._op("set_reference"), to, row, members, self.shape))

    @abstractmethod
    def _set_reference(self, to: torch.Tensor, row: int | None, members: torch.Tensor | None) -> None: ...

    def program(self, target: torch.Tensor, only: torch.Tensor | None = None) -> None:
        """Write devices and verify them, by the programming of the device (see `Programming`).

        Args:
            target: Values, (E, rows, columns).
            only: What is written, (E, rows, columns) bool; all when absent.
        """
        self._program(*doors.writes(self._op("program"), target, only, self.shape))

    @abstractmethod
    def _program(self, target: torch.Tensor, only: torch.Tensor | None) -> None: ...

    def reset(self, mask: torch.Tensor) -> None:
        """Put devices to their reset state.

        Args:
            mask: Which, (E, rows, columns) bool.
        """
        self._reset(doors.mask(self._op("reset"), "mask", mask, self.shape))

    @abstractmethod
    def _reset(self, mask: torch.Tensor) -> None: ...

    # time

    def elapse(self, seconds: PerMember) -> None:
        """Let time pass: devices relax to their resting points, drift and fluctuate, however the time is divided.

        Args:
            seconds: Physical time, >= 0, s: a number, or (E,).

        Raises:
            InputError: seconds is negative or not finite.
        """
        self._elapse(doors.seconds(self._op("elapse"), seconds, self.shape[0]))

    @abstractmethod
    def _elapse(self, seconds: PerMember) -> None: ...

    def __getattr__(self, name: str) -> Any:
        """Operations by the names that they had in 0.1, with a warning."""
        if name in _ONCE:
            warnings.warn(f"{name} is now {_ONCE[name]}", DeprecationWarning, stacklevel=2)
            return getattr(self, _ONCE[name])
        if name == "pulse_lines":
            warnings.warn("pulse_lines(rows, pulses) is now pulse_rows(pulses, rows)", DeprecationWarning, stacklevel=2)
            return lambda rows, pulses: self.pulse_rows(pulses, rows)
        return self.__getattribute__(name)  # of a property that failed, the error is its own

    # what is known of it

    @property
    @abstractmethod
    def counts(self) -> Counts:
        """Everything done so far, by operation."""

    @property
    @abstractmethod
    def timed(self) -> dict[str, PerMember]:
        """Those of `counts` that take time, quickly: pulses may go on waiting."""

    @abstractmethod
    def checkpoint(self) -> Saved:
        """All that a later run needs to go on as if never stopped."""

    @abstractmethod
    def restore(self, saved: Saved) -> None:
        """Go on from a checkpoint."""


class WeightOperations(ArrayOperations):
    """An array whose cells are weights: further operations of tiles and matrices (abstract)."""

    cell: Cell

    def read_row(self, k: int) -> torch.Tensor:
        """Read one row through the periphery.

        Args:
            k: The row.

        Returns:
            Its weights, (E, columns).
        """
        return self._read_row(doors.index(self._op("read_row"), "k", k, self.shape[1]))

    @abstractmethod
    def _read_row(self, k: int) -> torch.Tensor: ...

    def read_rows(self) -> torch.Tensor:
        """Read all rows through the periphery, one after the other, (E, rows, columns)."""
        return torch.stack([self._read_row(k) for k in range(self.shape[1])], 1)

    def _send_and_read(self, x: torch.Tensor, d: torch.Tensor, lr: PerMember, after: np.ndarray, rows: np.ndarray) -> torch.Tensor:
        """Samples and reads in turn, as of any array."""
        assert isinstance(lr, np.ndarray)
        seen, first = torch.empty(self.shape[0], len(rows), self.shape[2]), 0
        for t, last in enumerate((*(after + 1).tolist(), x.shape[1])):
            if last > first:
                self._send(x[:, first:last].contiguous(), d[:, first:last].contiguous(), np.ascontiguousarray(lr[:, first:last]))
            if t < len(rows):
                seen[:, t] = self._read_row(int(rows[t]))
            first = last
        return seen

    def pulse_row(self, k: int, pulses: torch.Tensor) -> None:
        """Pulse one row, as `pulse_rows` does several.

        Args:
            k: The row.
            pulses: Pulses of each of its weights, positive up, (E, columns) int32.
        """
        where, (members, rows, columns) = self._op("pulse_row"), self.shape
        k = doors.index(where, "k", k, rows)
        self.send_rows(np.array([k]), doors.pulses(where, "pulses", pulses, (members, columns), ("members", "columns"))[:, None])

    def calibrate(self, x: torch.Tensor, direction: Direction = "mvm") -> None:
        """Set the ranges of the ADCs in one direction from the currents of vectors, which are read for it.

        Args:
            x: Vectors, (E, B, lines driven).
            direction: The read that is calibrated.

        Raises:
            InputError: the ADC of the design is not calibrated.
        """
        self._calibrate(doors.either(self._op("calibrate"), x, self.shape, direction), direction)

    @abstractmethod
    def _calibrate(self, x: torch.Tensor, direction: Direction) -> None: ...

    def transfer(self, invert: bool) -> None:
        """Move what the devices that learn hold to those that remember, in every cell; see `Cell.transfer`.

        Args:
            invert: Whether the sign of the devices that learn changes.

        Raises:
            InputError: cells of this kind have no transfer.
        """
        invert = doors.flag(self._op("transfer"), "invert", invert)
        if not self.cell.transfers:
            raise InputError(f"{self._op('transfer')}: cells of kind {self.cell.kind} have none; take capacitor-pcm")
        self._transfer(invert)

    @abstractmethod
    def _transfer(self, invert: bool) -> None: ...

    @abstractmethod
    def conductances(self) -> list[torch.Tensor]:
        """Of each device of the cells, S, (E, rows, columns) float64: what a circuit made of them sees; not counted."""

    @abstractmethod
    def noisy_state(self) -> list[torch.Tensor]:
        """The same as states, half ranges from mid-range, float32; not to be written into."""

    @property
    @abstractmethod
    def step(self) -> np.ndarray:
        """Mean weight change of one pulse at mid-range, dw_min, (E,)."""

    @property
    @abstractmethod
    def weights(self) -> torch.Tensor:
        """The stored weights, (E, rows, columns): for tests and plots; a chip cannot see them without reading."""

    @abstractmethod
    def read_weights(self) -> torch.Tensor:
        """What reads without converters find in place of the stored weights, (E, rows, columns): for tests and notes; not counted."""
