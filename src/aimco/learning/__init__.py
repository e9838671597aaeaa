"""Learning rules, one file each, written only in the operations of the hardware.

A rule is a frozen record of its numbers. The arrays it asks for and its digital state are made once per layer and handed
back to it: `update(arrays, state, x, d, lr)` reads like the paper's pseudo-code. d is minus the gradient at the outputs
(the back-propagated error), so that E[dW] = lr x d^T descends.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field

from aimco import rates, rng
from aimco.arrays import doors
from aimco.arrays.doors import ReferencePolicy
from aimco.arrays.spec import ArraySpec, Blueprint
from aimco.cell import Cell
from aimco.device.device import Device
from aimco.ensemble import PerMember, Rate, members_of
from aimco.ledger import Work
from aimco.mapping import AnalogMatrix
from aimco.periphery import broadcast_members
from aimco.record import Kinded, PathError, quantity
from aimco.tunable import Tunable
from aimco.units import s
from aimco.zero_shift import rest, zero_shift


class Rule(Kinded):
    """How the arrays of a layer learn (abstract).

    Args:
        lr: learning rate eta of the mean gradient of a batch, weight units; what else a device needs follows from it (`aimco.rates`).
    """

    kinds_in: ClassVar[str] = "aimco.learning"
    transfers: ClassVar[bool] = False  # whether it asks cells for transfers
    renamed: ClassVar[Mapping[str, str]] = {"shares": "coefficients"}  # methods of 0.1 -> their names of today
    teaches: ClassVar[str] = "layers"  # networks whose `taught` is the same: layers, a circuit, spiking units, or software
    on_chip: ClassVar[bool] = True  # whether arrays learn; else they are written with what was learned elsewhere, and only read

    lr: float = Field(default=rates.DESCENT_RATE, ge=0, le=1000, description="learning rate")

    def tunables(self, design: Blueprint) -> tuple[Tunable, ...]:
        """Numbers of a design that a search may change for its device: the learning rate, and the range of the weights."""
        top = rates.descent_weight_max(rates.units_of(design.device))
        return Tunable("rule.lr", 0.005, 20.0), Tunable("cell.weight_max", 0.1, 10.0, top, spread=1.5)

    def arrays(self) -> dict[str, ArraySpec]:
        """Arrays that a layer needs; none for a digital rule."""
        return {"W": ArraySpec()}

    def check(self, design: Blueprint) -> None:
        """Refuse a design that lacks what the rule needs: raises PathError for the field to change."""

    def start(self, arrays: Mapping[str, AnalogMatrix]) -> dict[str, torch.Tensor]:
        """Digital state of the rule for one layer: tensors, changed in place by `update`."""
        return {}

    def coefficients(self) -> dict[str, PerMember]:
        """How much of each array is in the weights of the layer, a number or (E,); the first, whole, holds the initial weights."""
        return {"W": 1.0}

    def signs(self, state: Mapping[str, torch.Tensor], name: str) -> torch.Tensor | None:
        """Signs that the rows of an array have now in the weights of the layer, (E, rows); all +1 when absent."""
        return None

    def mvm(self, arrays: Mapping[str, AnalogMatrix], state: Mapping[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        """Outputs of the layer, y = x W, with W the sum of its arrays, each times its coefficient."""
        parts = []
        for name, coefficient in self.coefficients().items():
            signs = self.signs(state, name)
            parts.append((coefficient, arrays[name].read("mvm", x if signs is None else x * signs[:, None])))
        return _sum(parts)

    def mvm_t(self, arrays: Mapping[str, AnalogMatrix], state: Mapping[str, torch.Tensor], d: torch.Tensor) -> torch.Tensor:
        """Errors at the inputs of the layer, z = d W^T."""
        parts = []
        for name, coefficient in self.coefficients().items():
            signs, z = self.signs(state, name), arrays[name].read("mvm_t", d)
            parts.append((coefficient, z if signs is None else z * signs[:, None]))
        return _sum(parts)

    def stored(self, arrays: Mapping[str, AnalogMatrix], state: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The weights of the layer, (E, rows, columns), the sum of its arrays, each times its coefficient: for tests and plots."""
        parts = []
        for name, coefficient in self.coefficients().items():
            signs, weights = self.signs(state, name), arrays[name].weights
            parts.append((coefficient, weights if signs is None else weights * signs[:, :, None]))
        return _sum(parts)

    @property
    def weight_array(self) -> str:
        """The array that holds the initial weights."""
        return next(iter(self.coefficients()))

    def update(
        self, arrays: Mapping[str, AnalogMatrix], state: dict[str, torch.Tensor], x: torch.Tensor, d: torch.Tensor, lr: Rate
    ) -> None:
        """Learn from a batch (abstract): x (E, B, rows), d (E, B, columns), lr a number or (E, 1, 1)."""
        raise NotImplementedError

    def work(self, rows: int, columns: int, vectors: int, batch: int) -> dict[str, Work] | None:
        """What one training sample does to each array of a layer beside reading the weights; None where only a run tells.

        Args:
            rows, columns: of the matrix. vectors: that a sample gives the layer, 1 unless it is a convolution. batch: samples of a batch.
        """
        return None

    def notes(self) -> list[str]:
        """Approximations in force under this rule."""
        return []


class Referenced(Rule):
    """A rule that reads one kind of its arrays against a reference (abstract).

    Args:
        reference: what these arrays are read against: each device's own "symmetry-point", where up and down pulses cancel; its
            "resting-point", where it leaks to; "none", the middle of the range; or "auto", the symmetry point in cells of one device
            where pulses pull it to one well within its range, else none.
        reference_error: standard deviation of the reference from device to device, in half ranges.
        reference_pulses: of a zero-shift that finds the symmetry point at the start; known without any when absent.
        reference_pulse_s: time of one pulse of that zero-shift, s, in which devices leak: what is then found is where pulses and leak
            balance (retention-aware zero-shift); none passes when absent.
        reference_wait_s: waited before the resting point is read at the start, s; known without when absent.
    """

    reference: Literal["auto", "symmetry-point", "resting-point", "none"] = "auto"
    reference_error: float = Field(default=0.0, ge=0, le=10, description="standard deviation of the reference, in half ranges")
    reference_pulses: int | None = Field(default=None, ge=2, le=1_000_000_000, description="pulses of the zero-shift at the start")
    reference_pulse_s: float | None = quantity(s, None, gt=0, doc="time of one pulse of that zero-shift")
    reference_wait_s: float | None = quantity(s, None, gt=0, doc="wait before the resting point is read")

    @property
    def measures(self) -> bool:
        """Whether the reference is found by pulses or by waiting, and counted."""
        return self.reference_pulses is not None or self.reference_wait_s is not None

    @property
    def against(self) -> ArraySpec:
        """What the arrays are read against."""
        known = "mid-range" if self.reference == "none" else self.reference
        return ArraySpec(reference="measured" if self.measures else known, reference_error=self.reference_error)

    def find(self, *matrices: AnalogMatrix) -> None:
        """Find the reference, where that is the rule's own work."""
        for matrix in matrices:
            if self.reference_pulses is not None:
                zero_shift(matrix, self.reference_pulses, pulse_s=self.reference_pulse_s)
            if self.reference_wait_s is not None:
                rest(matrix, self.reference_wait_s)

    def check(self, design):
        if self.reference == "none" and self.reference_error:
            raise PathError("rule.reference_error", f"must be 0 where rule.reference is none, got {self.reference_error:g}")
        for name, needed in (("reference_pulses", "symmetry-point"), ("reference_wait_s", "resting-point")):
            if getattr(self, name) is not None and self.reference not in (needed, "auto" if needed == "symmetry-point" else needed):
                raise PathError(f"rule.{name}", f"must be absent where rule.reference is {self.reference}: it finds the {needed}")
        if self.reference_pulse_s is not None and self.reference_pulses is None:
            raise PathError("rule.reference_pulse_s", "must be absent without rule.reference_pulses: it is the time of one of these")
        if self.measures and self.reference_error:
            raise PathError("rule.reference_error", "must be 0 where the reference is measured: the error is then that of measuring")
        if self.against.reference not in ("mid-range", "auto") and len(design.cell.signs) > 1:
            wanted = f"must be of one device, as reference, for the rule {self.kind}, which reads an array against references"
            other = "" if self.reference == "none" else "; or set rule.reference = 'none'"
            raise PathError("cell.kind", f"{wanted}, got {design.cell.kind}{other}")
        if self.reference == "resting-point" and not np.isfinite(design.device.retention_s).any():
            raise PathError("device.retention_s", "must be finite for rule.reference = 'resting-point': the device does not leak")

    def notes(self):
        if self.reference == "none" or self.measures:
            return []
        point = "symmetry point" if self.reference == "auto" else self.reference.replace("-", " ")
        where = " where devices have one well within their range" if self.reference == "auto" else ""
        return [f"arrays start exactly at their {point}s{where}; what finding them costs is not counted"]


def refreshes(cell: Cell) -> int | None:
    """Updates between two refreshes of cells whose devices pulses only raise; None of others."""
    return getattr(cell, "refresh_every", None) if len(cell.signs) > 1 else None


def layers_of(matrix: AnalogMatrix, batch: int) -> list[rates.Layer]:
    """What rates of a layer follow from, of each member.

    Args:
        matrix: Its fast array.
        batch: Samples of a batch.
    """
    refresh = refreshes(matrix.cell)
    every = [rates.Layer(rates.units_of(one), matrix.rows, matrix.pulses.length, refresh, batch) for one in members_of(matrix.device)]
    return every * matrix.shape[0] if len(every) == 1 else every


def _sum(parts: list[tuple[PerMember, torch.Tensor]]) -> torch.Tensor:
    if len(parts) == 1 and parts[0][0] == 1.0:
        return parts[0][1]
    scaled = [part if isinstance(c, float) and c == 1 else part * broadcast_members(c, part.shape[0]) for c, part in parts]
    return scaled[0] if len(scaled) == 1 else torch.stack(scaled).sum(0)


def uniform(matrix: AnalogMatrix, what: str, step: int | torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """Random numbers of a rule, uniform in (0, 1).

    They are a function of the arguments alone and not of what was drawn before: a rule that counts its steps in its digital state draws
    the same after a checkpoint, in an ensemble and on any number of threads.

    Args:
        matrix: One of the rule's arrays: its seeds and its name choose the stream.
        what: Name of the stream, such as "flips".
        step: Number of the draw in the stream, >= 0; a tensor of one whole number, as digital state is, counts as that number.
        shape: Of the draw of one member.

    Returns:
        Float32, (E, *shape).
    """
    draws = rng.uniform(rng.stream_keys(matrix.seeds, *matrix.names, "rule", what), _draw("uniform", step), math.prod(shape))
    return torch.from_numpy(draws).float().reshape(len(matrix.seeds), *shape)


def normal(matrix: AnalogMatrix, what: str, step: int | torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """Random numbers of a rule, of mean 0 and variance 1; see `uniform`."""
    return rng.normal(rng.stream_keys(matrix.seeds, *matrix.names, "rule", what), _draw("normal", step), shape)


def _draw(where: str, step: object) -> int:
    """Number of a draw as int: hashes of tensors and of numpy's integers would be others."""
    return doors.whole(where, "step", step.item() if isinstance(step, torch.Tensor) and step.numel() == 1 else step, 0, 2**63 - 1)


Unit = Literal["sample", "vector", "batch"]
"""What a rule counts to its next transfer.

"sample": a sample of the network, whatever it puts on the rows: a patch at each place of an image, a vector at each time step. A layer
then transfers as seldom, and reads as long a sum of the gradient, whatever the size of its images. "vector": each vector on the rows, as
some papers count; in a large image many transfers then fall within one sample, and say more of it than of the batch. "batch": updates.
"""


def transfer_counter() -> dict[str, torch.Tensor]:
    """State of a rule that does something every so often: vectors or batches since the last time, how many times, vectors of a sample."""
    return {name: torch.full((), first, dtype=torch.int64) for name, first in (("since", 0), ("reads", 0), ("vectors", 1))}


def _ends(every: int, unit: Unit, state: Mapping[str, torch.Tensor], vectors: int) -> np.ndarray:
    """The vectors of a batch after which something is done, one at each multiple of `every` units."""
    since, passed = int(state["since"]), min(vectors, 1) if unit == "batch" else vectors
    every *= int(state["vectors"]) if unit == "sample" else 1
    ends = np.arange(max(every - since, 1) - 1, passed, every)  # at once where samples have become smaller meanwhile
    state["since"].fill_(passed - 1 - int(ends[-1]) if len(ends) else since + passed)
    state["reads"].add_(len(ends))
    return ends + vectors - 1 if unit == "batch" else ends


def per_sample(every: int, vectors: int, batch: int, *, unit: Unit = "sample") -> float:
    """How often a sample of so many vectors reaches a multiple of `every` units."""
    return {"sample": 1.0, "vector": vectors, "batch": 1 / batch}[unit] / every


def split_at_transfers(
    every: int, state: Mapping[str, torch.Tensor], x: torch.Tensor, d: torch.Tensor, *, unit: Unit = "sample"
) -> Iterator[tuple[int | None, torch.Tensor, torch.Tensor]]:
    """Vectors of a batch up to each multiple of `every`, and how many times it was reached before; None where the batch ends before it."""
    reads, first, batch = int(state["reads"]), 0, x.shape[1]
    for end in (_ends(every, unit, state, batch) + 1).tolist():
        yield reads, *((x, d) if end - first == batch else (x[:, first:end], d[:, first:end]))
        first, reads = end, reads + 1
    if first < batch:
        yield None, *((x, d) if first == 0 else (x[:, first:], d[:, first:]))


def transfer_schedule(
    every: int, state: Mapping[str, torch.Tensor], vectors: int, rows: int, *, unit: Unit = "sample"
) -> Iterator[tuple[slice, np.ndarray, np.ndarray, np.ndarray]]:
    """A batch in runs in which no row is read twice, with the reads between their vectors, one after each multiple of `every`.

    Yields:
        Vectors of the run; after which of them there is a read (T,), which row it reads (T,), and how many came before it (T,).
    """
    first, done = int(state["reads"]), 0
    ends = _ends(every, unit, state, vectors)
    for start in range(0, len(ends) or 1, rows):
        after = ends[start : start + rows]
        last = vectors if start + rows >= len(ends) else int(after[-1]) + 1
        reads = first + start + np.arange(len(after))
        yield slice(done, last), after - done, reads % rows, reads
        done = last


def one_hot(arrays: AnalogMatrix, k: int) -> torch.Tensor:
    """The vector that selects row k, (E, 1, rows)."""
    u = torch.zeros(arrays.shape[0], 1, arrays.rows)
    u[:, :, k] = 1
    return u


_RENAMED = {"clock": "transfer_counter", "reads_between": "transfer_schedule", "turns": "split_at_transfers"}


def __getattr__(name: str) -> object:
    """Names of 0.1 that users' own rules may import."""
    if name in _RENAMED:
        warnings.warn(f"aimco.learning.{name} is now {_RENAMED[name]}", DeprecationWarning, stacklevel=2)
        return globals()[_RENAMED[name]]
    if name == "Needs":
        warnings.warn("aimco.learning.Needs is ArraySpec now, with `reference_error` for `error`", DeprecationWarning, stacklevel=2)
        return _needs
    raise AttributeError(f"module 'aimco.learning' has no attribute {name!r}")


def _needs(reference: ReferencePolicy = "mid-range", error: PerMember = 0.0, device: Device | None = None) -> ArraySpec:
    return ArraySpec(device, reference=reference, reference_error=error)
