"""Tile: a crossbar with its cell and periphery; the seven operations of the hardware, in units of weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from aimco.arrays import doors
from aimco.arrays.crossbar import Crossbar, Direction
from aimco.arrays.doors import ReferencePolicy
from aimco.arrays.wires import Wires
from aimco.cell import Cell
from aimco.conversion import Conversion
from aimco.device.device import Device
from aimco.ensemble import per_member
from aimco.ledger import Counts, counts_of, tensors_of
from aimco.periphery import Periphery, across
from aimco.record import InputError

_AT_ONCE = ("mvm", "mvm_t", "updates", "slots", "hold_s")  # what the devices of a cell do together counts once
_ATTEMPTS = 10  # of bound management


class Tile:
    """One physical array and what stands around it.

    A read computes y = x W as the chip does: the input is scaled to full range (noise management), put on the levels of the
    DAC, multiplied by the array, noise is added, the current is cut and put on the levels of the ADC, and scaled back.

    Args:
        device, cell, periphery: what it is made of. rows, columns: size.
        seeds: one for each ensemble member. names: of this array, for its random streams. reference,
            reference_error, wires: see `Crossbar`; a cell may state an error of its own.
    """

    def __init__(
        self,
        device: Device,
        cell: Cell,
        periphery: Periphery,
        rows: int,
        columns: int,
        *,
        seeds: Sequence[int] = (0,),
        names: tuple[str, ...] = ("tile",),
        reference: ReferencePolicy = "mid-range",
        reference_error: Any = 0.0,
        wires: Wires | None = None,
    ) -> None:
        rows, columns, seeds = doors.made("Tile", rows, columns, seeds)
        if len(cell.signs) > 1 and reference != "mid-range":
            raise InputError(f"cell.kind must be reference for a rule that reads an array against its {reference}, got {cell.kind}")
        named = [names] if len(cell.signs) == 1 else [(*names, f"device {k}") for k in range(len(cell.signs))]
        options: dict[str, Any] = {"seeds": seeds, "reference": cell.reference(reference), "pulses": periphery.pulses, "wires": wires}
        options["reference_error"] = reference_error if reference != "mid-range" else cell.reference_error
        made = zip(cell.devices(device), named, strict=True)
        self.crossbars = [Crossbar(one, rows, columns, names=own, **options) for one, own in made]
        self.crossbar = self.crossbars[0]  # the array of the first device of the cells
        self.signs: tuple[float, ...] = cell.signs
        self.updates = 0
        self.cell, self.periphery, self.shape = cell, periphery, self.crossbar.shape
        members = len(seeds)
        self.weight = per_member(cell.weight, members)
        self._weight, self._top = across(self.weight, members), across(cell.weight_max, members)
        ampere = np.asarray(device.half_range) * np.asarray(periphery.read_voltage)
        device_noise = np.asarray(device.read_noise) / np.asarray(device.half_range)
        self.conversion = Conversion(periphery, ampere, device_noise, self.weight, self.shape, seeds, names)
        self.ideal_reads = self.conversion.ideal
        self._managed = periphery.noise_management == "abs-max"
        repeats = periphery.bound_management == "iterative" and not periphery.dac.serial
        self._attempts = 1 + (_ATTEMPTS if repeats else 0)
        self._scaled = periphery.pulses.update_management or periphery.pulses.update_bl_management
        self._counts = Counts()
        self._rates: dict[float, np.ndarray] = {}

    @property
    def step(self) -> np.ndarray:
        """Mean weight change of one pulse at mid-range, dw_min, (E,)."""
        return self.crossbar.step * self.weight

    def mvm(self, x: torch.Tensor) -> torch.Tensor:
        """y = x W: (E, B, rows) -> (E, B, columns)."""
        return self.read("mvm", doors.vectors("Tile.mvm", "x", x, self.shape, "rows"))

    def mvm_t(self, d: torch.Tensor) -> torch.Tensor:
        """z = d W^T: (E, B, columns) -> (E, B, rows)."""
        return self.read("mvm_t", doors.vectors("Tile.mvm_t", "d", d, self.shape, "columns"))

    def read_line(self, k: int) -> torch.Tensor:
        """Weights of row k, read once through the periphery, (E, columns)."""
        k = doors.index("Tile.read_line", "k", k, self.shape[1])
        self._counts.add(line_reads=1)
        if self.ideal_reads:
            return self._line(k, None) * (self._weight[:, 0] if isinstance(self._weight, torch.Tensor) else self._weight)
        one = torch.zeros(self.shape[0], 1, self.shape[1])
        one[:, :, k] = 1
        return self.read("mvm", one, row=k)[:, 0]

    def _line(self, k: int, again: np.ndarray | None) -> torch.Tensor:
        """Currents of the cells of row k when it is driven alone at full voltage, (E, columns)."""
        total = 0.0
        for sign, crossbar in zip(self.signs, self.crossbars, strict=True):
            crossbar.count_read("mvm", 1, again)
            total = crossbar.line(k) if len(self.signs) == 1 else total + sign * crossbar.line(k)
        return total  # pyright: ignore[reportReturnType]

    def read_devices(self, k: int) -> torch.Tensor:
        """States of the k-th device of every cell, read row by row through the periphery, (E, rows, columns)."""
        (_, count, columns), k = self.shape, doors.index("Tile.read_devices", "k", k, len(self.crossbars))
        self._counts.add(line_reads=count)
        if k:  # reads of the first device are in its array's own count
            pulses = self.periphery.dac.pulses
            self._counts.add(mvm=count, dac=count * count * pulses, adc=count * columns * pulses)
        rows = torch.eye(count).expand(self.shape[0], -1, -1)
        return self.read("mvm", rows, only=k) / self._weight

    def _product(
        self, name: Direction, v: torch.Tensor, again: np.ndarray | None, *, only: int | None = None, row: int | None = None
    ) -> torch.Tensor:
        """Currents of the cells, the differences of their devices' currents; or those of one device; or of one row driven alone."""
        if row is not None:
            return v[:, :, row : row + 1] * self._line(row, again)[:, None]
        if only is not None:
            return self.crossbars[only].read(name, v, again)
        total = self.crossbar.read(name, v, again)
        total = total if self.signs[0] == 1 else total.mul_(self.signs[0])
        for sign, crossbar in zip(self.signs[1:], self.crossbars[1:], strict=True):
            total = total.add_(crossbar.read(name, v, again), alpha=sign)
        return total

    def read(self, name: Direction, v: torch.Tensor, only: int | None = None, row: int | None = None) -> torch.Tensor:
        """`mvm` or `mvm_t` of what was checked before; of one device of the cells, or of one row, where these are given."""
        if self.ideal_reads:
            currents = self._product(name, v, None, only=only, row=row)
            return currents if isinstance(self._weight, float) and self._weight == 1 else currents.mul_(self._weight)
        from aimco.kernels.reads import drive

        members, batch = v.shape[:2]
        values, edges, first = v.contiguous().numpy(), self.conversion.edges, self.crossbars[only or 0].done[name]
        voltages, numbers = torch.empty(v.shape), torch.empty(members, batch, self.shape[2 if name == "mvm" else 1])
        scale, power, again = (np.ones((members, batch), kind) for kind in (np.float32, np.float32, np.bool_))
        share = np.float32(1.0 if only is not None else np.linalg.norm(self.signs))
        for attempt in range(self._attempts):
            drive(values, again, self._managed, attempt, edges["dac"], voltages.numpy(), scale, power)
            if attempt:
                repeated = again.sum(1)
                self._counts.add(dac=repeated * v.shape[2], adc=repeated * numbers.shape[2])
            product = partial(self._product, name, only=only, row=row)
            keys = partial(self.crossbars[only or 0].noise_keys, name, attempt)
            if not self.conversion.measure(name, voltages, product, again, not attempt, scale, power, share, keys, first, numbers):
                break
        return numbers

    def calibrate(self, x: torch.Tensor, name: Direction = "mvm") -> None:
        """Take the range of the ADC in one direction anew, from the currents of these vectors, (E, B, lines), which are read for it."""
        x = doors.either("Tile.calibrate", x, self.shape, name)
        self.conversion.forget(name)
        self.read(name, x)

    def pulse(self, x: torch.Tensor, d: torch.Tensor, lr: Any) -> None:
        """Parallel pulsed update, E[dW] = lr x d^T, sample after sample.

        x (E, B, rows), d (E, B, columns), lr a number, (E,), or a float64 array (E, B).
        """
        self.send(*doors.update("Tile.pulse", x, d, lr, self.shape))

    def send(self, x: torch.Tensor, d: torch.Tensor, lr: Any) -> None:
        """`pulse` with what was checked before."""
        rate, before = self._in_state(lr), self.updates
        self._note_updates(x.shape[1])
        if len(self.crossbars) == 1:
            self.crossbar.send(x, d, rate)
            return
        for first, last, taking in self.cell.route(before, x.shape[1]):
            some = (x, d) if last - first == x.shape[1] else (x[:, first:last].contiguous(), d[:, first:last].contiguous())
            for k, take in taking:
                self.crossbars[k].send(some[0], some[1] if self.signs[k] > 0 or take else -some[1], rate, take)
        self.cell.refresh(self, before, self.updates)

    def _note_updates(self, samples: int) -> None:
        self.updates += samples
        if self._scaled:  # the largest value on each side is looked for
            self._counts.add(digital_ops=samples * (self.shape[1] + self.shape[2]))

    @property
    def reads_states(self) -> bool:
        """Whether a read of a row is the state of its devices and nothing else, which `pulse_and_read` needs."""
        return self.ideal_reads and len(self.crossbars) == 1 and self.crossbar.reads_states

    def pulse_and_read(self, x: torch.Tensor, d: torch.Tensor, lr: Any, after: np.ndarray, rows: np.ndarray) -> torch.Tensor:
        """`pulse`, and `read_line` of rows[t] after sample after[t], in one launch, (E, T, columns). Where `reads_states` only."""
        x, d, lr, after, rows = doors.update_and_reads("Tile.pulse_and_read", x, d, lr, after, rows, self.shape)
        if not self.reads_states:
            raise InputError("Tile.pulse_and_read: reads of the tile must be the states of its devices; pulse and read one after the other")
        return self.send_and_read(x, d, lr, after, rows)

    def send_and_read(self, x: torch.Tensor, d: torch.Tensor, lr: Any, after: np.ndarray, rows: np.ndarray) -> torch.Tensor:
        """`pulse_and_read` with what was checked before."""
        self._note_updates(x.shape[1])
        self._counts.add(line_reads=len(rows))
        self.crossbar.count_read("mvm", len(rows), None)
        return self.crossbar.send_and_read(x, d, self._in_state(lr), after, rows).mul_(self._weight)

    def pulse_lines(self, rows: np.ndarray, pulses: torch.Tensor) -> None:
        """Give each weight of rows[t] its own number of pulses, (E, T, columns) int32, positive up, one row after the other."""
        self.send_lines(*doors.lines("Tile.pulse_lines", rows, pulses, self.shape))

    def send_lines(self, rows: np.ndarray, pulses: torch.Tensor) -> None:
        """`pulse_lines` with what was checked before."""
        if len(self.crossbars) == 1:
            self.updates += len(rows)
            self.crossbar.send_lines(rows, pulses)
            return
        for t in range(len(rows)):
            for device, own in self._routed(pulses[:, t], 1):
                self.crossbars[device].send_lines(rows[t : t + 1], own[:, None].contiguous())

    def pulse_rows(self, pulses: torch.Tensor) -> None:
        """`pulse_lines` on all rows, (E, rows, columns) int32, as one update."""
        for device, own in self._routed(doors.pulses("Tile.pulse_rows", "pulses", pulses, self.shape), 1):
            self.crossbars[device].send_lines(np.arange(self.shape[1]), own)

    def _routed(self, pulses: torch.Tensor, updates: int) -> Iterator[tuple[int, torch.Tensor]]:
        """Pulses for each device of the cells that takes them; then what is done to the cells between updates."""
        before = self.updates
        self.updates += updates
        if len(self.crossbars) == 1:
            yield 0, pulses
            return
        for _, _, taking in self.cell.route(before, updates):
            for device, take in taking:
                own = pulses * (take or (1 if self.signs[device] > 0 else -1))
                yield device, own.clamp_(min=0) if take else own
        self.cell.refresh(self, before, self.updates)

    def refer(self, to: torch.Tensor, row: int | None = None, members: torch.Tensor | None = None) -> None:
        """Read weights from now on against what is now read as `to`, (E, rows, columns), or (E, columns) of one row; see `Crossbar`."""
        to, row, members = doors.reference("Tile.refer", to, row, members, self.shape)
        weight = self._weight[:, 0] if row is not None and isinstance(self._weight, torch.Tensor) else self._weight
        self.crossbar.refer(to / weight, row, members)

    def alternate(self, pulses: int, up: bool = True) -> None:
        """Pulses up and down in turn on all devices at once; the first is up or down."""
        if len(self.crossbars) > 1:
            raise InputError(f"Tile.alternate: the cell must be of one device, as reference, got {self.cell.kind}")
        self.crossbar.alternate(pulses, up)

    def transfer(self, invert: bool) -> None:
        """Move what the devices that learn hold to those that remember; see `Cell.transfer`."""
        self.cell.transfer(self, invert)

    def _in_state(self, lr: Any) -> np.ndarray:
        if isinstance(lr, np.ndarray) and lr.shape == self.weight.shape:
            return lr / self.weight
        if isinstance(lr, np.ndarray) and lr.ndim == 2:
            return lr / self.weight[:, None]
        if not isinstance(lr, float):
            return per_member(np.asarray(lr, np.float64).reshape(-1), len(self.weight)) / self.weight
        if lr not in self._rates:
            self._rates = {lr: np.full(self.weight.shape, lr) / self.weight}
        return self._rates[lr]

    def program(self, target: torch.Tensor, only: torch.Tensor | None = None) -> None:
        """Write and verify weights (E, rows, columns); those of a mask alone, all when absent."""
        target, only = doors.writes("Tile.program", target, only, self.shape)
        self.cell.write(self, target / self._top, only)

    def reset(self, mask: torch.Tensor) -> None:
        """Reset the devices of the mask (E, rows, columns)."""
        mask = doors.mask("Tile.reset", "mask", mask, self.shape)
        for crossbar in self.crossbars:
            crossbar.reset(mask)

    def hold(self, seconds: Any) -> None:
        """Let time pass, s, a number or (E,)."""
        seconds = doors.seconds("Tile.hold", seconds, self.shape[0])
        for crossbar in self.crossbars:
            crossbar.hold(seconds)

    def conductances(self) -> list[torch.Tensor]:
        """Of each device of the cells, S, (E, rows, columns) float64: what a circuit made of them sees."""
        return [crossbar.conductances() for crossbar in self.crossbars]

    def seen(self) -> list[torch.Tensor]:
        """The same as states, half ranges from mid-range, float32; see `Crossbar`."""
        return [crossbar.seen() for crossbar in self.crossbars]

    @property
    def weights(self) -> torch.Tensor:
        """The stored weights, (E, rows, columns): for tests and plots; a chip cannot see them without reading."""
        states = (sign * crossbar.state for sign, crossbar in zip(self.signs, self.crossbars, strict=True))
        return sum(states) * self._weight  # pyright: ignore[reportReturnType]

    @property
    def counts(self) -> Counts:
        """Everything done so far, the converters' work included."""
        (_, rows, columns), done = self.shape, self.crossbar.done
        forward, back, pulses = done["mvm"], done["mvm_t"], self.periphery.dac.pulses
        read = forward * columns + back * rows
        conversions = Counts(dac=(forward * rows + back * columns) * pulses)
        conversions.add(**{"sensed" if self.conversion.senses else "adc": read * pulses})
        if self.periphery.dac.serial:  # cells are read by every pulse, and results shifted and added
            more = pulses - 1
            conversions.add(cell_reads=(forward + back) * rows * columns * len(self.crossbars) * more, digital_ops=read * 2 * more)
        first, *others = (Counts(c.counts) for c in self.crossbars)
        first["updates"] = self.updates
        for k, own in enumerate(others, 1):
            own |= dict.fromkeys([n for n in _AT_ONCE if n != "slots" or k not in self.cell.leads], 0)
        return Counts.total([first, *others, self._counts, conversions])

    @property
    def timed(self) -> dict[str, Any]:
        """Those of `counts` that take time, quickly: pulses may go on waiting."""
        (_, rows, columns), dac, known = self.shape, self.periphery.dac, self._counts
        first, *others = [crossbar.timed for crossbar in self.crossbars]
        for k, own in enumerate(others, 1):
            first["slots"] += own["slots"] if k in self.cell.leads else 0
            first["program_rounds"] += own["program_rounds"]
        done = self.crossbar.done
        read = done["mvm"] * columns + done["mvm_t"] * rows
        first["adc"] = 0 if self.conversion.senses else read * dac.pulses if dac.serial else read
        first["digital_ops"] = read * 2 * (dac.pulses - 1) if dac.serial else 0
        for name in ("mvm", "mvm_t", "adc", "digital_ops"):
            if name in known:
                first[name] += known[name]
        return first

    def checkpoint(self) -> dict[str, Any]:
        """All that a later run needs to go on as if never stopped."""
        devices = [crossbar.checkpoint() for crossbar in self.crossbars]
        ranges = (
            {"ranges": {n: torch.from_numpy(v.copy()) for n, v in self.conversion.limits.items()}} if self.conversion.calibrated else {}
        )
        return {"devices": devices, "converters": tensors_of(self._counts), "updates": self.updates, "signs": self.signs} | ranges

    def restore(self, saved: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        for crossbar, own in zip(self.crossbars, saved["devices"], strict=True):
            crossbar.restore(own)
        self._counts = counts_of(saved["converters"])
        self.updates, self.signs = saved["updates"], tuple(saved["signs"])
        for name, limit in saved.get("ranges", {}).items():
            self.conversion.limits[name][:] = limit.numpy()
