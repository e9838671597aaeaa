"""Arrays: how the cells of a physical array are read through its lines. A kind is one file here, or a class in a user's own file.

A record says what an array is like; `program` puts conductances into it, and what comes back can be read from both sides. All else, such
as states against references, ensembles, pulses, noise and converters, is the same for every kind.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

from pydantic import Field

from aimco.arrays.wires import Wires
from aimco.plain_data import PlainData, PlainView
from aimco.record import Kinded, PathError, field_error

if TYPE_CHECKING:
    import torch

    from aimco.arrays.vertical import VerticalWires
    from aimco.cell import Cell

_NONE = (None, "none")


class _Learning(Protocol):
    """A learning rule, as an array sees it."""

    @property
    def kind(self) -> str: ...

    def arrays(self) -> Mapping[str, object]: ...


class Neighbours(Protocol):
    """A design as its array sees it: what stands beside it there."""

    @property
    def cell(self) -> Cell: ...

    @property
    def network(self) -> object: ...

    @property
    def rule(self) -> _Learning: ...


class ProgrammedArray(ABC):
    """Conductances in an array, as `Array.program` puts them there (abstract).

    Args:
        reads: Vectors read since, those asked for now included; infinite in an array of references, which stay. Whoever reads keeps it: a
            solver may work ahead where many are read.
    """

    reads: float = 0

    @abstractmethod
    def read(self, voltages: torch.Tensor, transposed: bool) -> torch.Tensor:
        """Currents of the lines that are read.

        Args:
            voltages: On the rows, V, (B, rows) float64; on the columns of a transposed read, (B, columns).
            transposed: Whether the columns are driven and the rows read.

        Returns:
            A, (B, columns), or (B, rows) of a transposed read; float64.
        """


class Array(Kinded):
    """The physical array that a chip offers (abstract).

    A kind has one method, `program`. Whoever reads an array with wires of its own makes it of kind `wired`; without, it is `planar`.

    Args:
        rows: Word lines (inputs), 1..65536. A larger matrix is cut over several arrays.
        cols: Bit lines (outputs), 1..65536.
        wires: Resistances of the lines, in kinds that have them; ideal when absent.

    Example:
        >>> Array(rows=256).kind, Array(wires={"word_ohm": 1.0}).kind
        ('planar', 'wired')
    """

    kinds_in: ClassVar[str] = "aimco.arrays.kinds"
    linear: ClassVar[bool] = True  # whether currents are proportional to voltages, which then come in units of the read voltage

    rows: int = Field(default=4096, ge=1, le=65536, description="word lines (inputs)")
    cols: int = Field(default=4096, ge=1, le=65536, description="bit lines (outputs)")
    wires: Wires | None = None

    def __new__(cls, **data: Any) -> Self:
        """`Array(...)` is an array of the kind that its fields say."""
        kind: Any = Array.of_kind(data.get("kind") or Array.default_kind(data)) if cls is Array else cls
        return super().__new__(kind)

    @classmethod
    def default_kind(cls, data: PlainView) -> str:
        return "planar" if data.get("wires") in _NONE else "wired"

    def as_dict(self) -> PlainData:
        data = super().as_dict()
        kind = data.pop("kind")
        return data if self.default_kind(data) == kind else {"kind": kind} | data

    def program(self, conductances: torch.Tensor) -> ProgrammedArray:
        """Put conductances into an array (abstract).

        Args:
            conductances: S, at least 0, (rows, columns) float64: no more of either than the array has.

        Raises:
            InputError: conductances that the array cannot hold.
        """
        raise NotImplementedError

    @property
    def ideal(self) -> bool:
        """Whether every read is the product with the conductances themselves, which is then taken without `program`."""
        return False

    @property
    def compensates(self) -> bool:
        """Whether devices are written to what `compensated` gives, and not to the conductances asked for."""
        return False

    def compensated(self, wanted: torch.Tensor, g_min: float, g_max: float) -> torch.Tensor:
        """Conductances with which the array reads like the wanted ones; only asked where the array `compensates`.

        Args:
            wanted: Effective conductances, S, (rows, columns) float64, at least 0.
            g_min: Least conductance of a device, S.
            g_max: Largest conductance of a device, S.
        """
        return wanted

    @property
    def layers(self) -> int:
        """Cells that lie above each other: the area of an array is that of its cells over this."""
        return 1

    def in_circuit(self, rows: int, columns: int) -> Wires | VerticalWires | None:
        """What a crossbar of a resistive network stands in: the lines of `aimco.arrays.ports`, None where they are ideal.

        Args:
            rows: Lines that drive the crossbar.
            columns: Nodes that it ends at.

        Raises:
            PathError: no crossbar of a circuit can be such an array, or none of this size.
        """
        known = "planar, wired or vertical"
        raise PathError("array.kind", f"must be {known} in a resistive network, whose crossbars are linear circuits, got {self.kind}")

    def check(self, design: Neighbours) -> None:
        """Refuse a design that asks for what the array cannot do.

        Args:
            design: The `Design` that it is part of.

        Raises:
            PathError: the field to change.
        """

    def notes(self) -> list[str]:
        """Approximations in force with such arrays."""
        return []


def refuse_wires(array: Array, instead: str) -> None:
    """For kinds without `wires`: raises PathError where they are there."""
    if array.wires is not None:
        raise field_error("wires", f"must be absent in an array of kind {array.kind}; {instead}")


def refuse_spikes(array: Array, design: Neighbours) -> None:
    """For kinds whose reads spiking neurons, which take the conductances as they are, would not feel: raises PathError."""
    if getattr(design.network, "spiking", None) is not None:
        raise PathError("array.kind", f"must be planar in a spiking network, got {array.kind}")
