"""What an array is made of, and what it is read against: the record that crossbars, tiles and matrices are built from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol

from aimco import rates
from aimco.arrays.doors import ReferencePolicy
from aimco.arrays.kinds import Array
from aimco.arrays.pulses import Pulses
from aimco.cell import Cell
from aimco.device.device import Device
from aimco.ensemble import PerMember, members_of
from aimco.record import InputError, PathError

if TYPE_CHECKING:
    from aimco.periphery import Periphery


class Hardware(Protocol):
    """What arrays are made of, by a design."""

    @property
    def device(self) -> Device: ...

    @property
    def cell(self) -> Cell: ...

    @property
    def array(self) -> Array: ...

    @property
    def periphery(self) -> Periphery: ...


class Schedule(Protocol):
    """How long a network is trained, by a design."""

    @property
    def epochs(self) -> int: ...

    @property
    def batch(self) -> int: ...

    @property
    def sample_s(self) -> float | None: ...


class Blueprint(Hardware, Protocol):
    """A design as networks see it. The kinds of its network and its rule are those of rooms above; a network knows its own."""

    @property
    def network(self) -> Any: ...

    @property
    def rule(self) -> Any: ...

    @property
    def training(self) -> Schedule: ...


@dataclass(frozen=True)
class ArraySpec:
    """What an array is made of, and what it is read against.

    A rule asks for arrays by such records, in which what the design says is left out.

    Args:
        device: What stands at each crossing, or at each place of a cell.
        cell: Devices of a weight; of one device each where only states matter.
        array: Size and kind of the physical array.
        periphery: Its converters and pulses.
        reference: What states are measured against: mid-range, each device's own symmetry or resting point, or what `set_reference` sets
            ("measured"; mid-range until then). "auto" becomes the symmetry point in cells of one device where pulses pull it to one well
            within its range, else mid-range, once device and cell are known.
        reference_error: Standard deviation of that reference, in half ranges, a number or (E,). Devices start at the point meant.

    Example:
        >>> from aimco.design import Design
        >>> ArraySpec(reference="symmetry-point").within(Design(device="ideal")).device.name
        'ideal'
    """

    device: Device | None = None
    cell: Cell | None = None
    array: Array | None = None
    periphery: Periphery | None = None
    reference: ReferencePolicy | Literal["auto"] = "mid-range"
    reference_error: PerMember = 0.0

    @classmethod
    def of(cls, design: Hardware, reference: ReferencePolicy = "mid-range", reference_error: PerMember = 0.0) -> ArraySpec:
        """The arrays of a design, or of anything with its device, cell, array and periphery."""
        return cls(design.device, design.cell, design.array, design.periphery, reference, reference_error)

    def within(self, design: Hardware | ArraySpec) -> ArraySpec:
        """This, with what is left out as the design says."""
        absent = {n: getattr(design, n) for n in ("device", "cell", "array", "periphery") if getattr(self, n) is None}
        spec = replace(self, **absent)
        return replace(spec, reference=spec._found()) if spec.reference == "auto" else spec

    def _found(self) -> ReferencePolicy:
        """What "auto" becomes, the same for all members of an ensemble."""
        if self.cell is not None and len(self.cell.signs) > 1:
            return "mid-range"
        balances = {rates.units_of(one).balances for one in members_of(self.made_of("ArraySpec"))}
        if len(balances) > 1:
            raise PathError("rule.reference", "must be given where pulses pull only some members of an ensemble to a symmetry point")
        return "symmetry-point" if True in balances else "mid-range"

    def made_of(self, where: str) -> Device:
        """The device. Raises InputError where there is none."""
        if self.device is None:
            raise InputError(f"{where}: device must be given: what stands at each crossing")
        return self.device

    @property
    def pulses(self) -> Pulses:
        """How updates are sent."""
        return Pulses() if self.periphery is None else self.periphery.pulses
