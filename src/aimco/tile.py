"""Tile: one array with its cells and its periphery; the operations of the hardware, in weights."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch

from aimco.arrays import doors
from aimco.arrays.crossbar import Crossbar
from aimco.arrays.operations import Direction, WeightOperations
from aimco.arrays.spec import ArraySpec
from aimco.cell.reference import Reference
from aimco.ensemble import PerMember, Rates, per_member
from aimco.ledger import Counts, counts_of, tensors_of
from aimco.periphery import Periphery, broadcast_members
from aimco.periphery.readout_chain import Noise, ReadoutChain
from aimco.record import InputError

_AT_ONCE = ("mvm", "mvm_t", "updates", "slots", "hold_s")  # what the devices of a cell do together counts once


@functools.cache
def _together(signs: tuple[float, ...]) -> np.float32:
    """Noise of devices that are read together, over that of one."""
    return np.float32(np.linalg.norm(signs))


class Tile(WeightOperations):
    """One physical array and what stands around it.

    A read computes y = x W as the chip does: the input is scaled to full range (noise management), put on the levels of the
    DAC, multiplied by the array, noise is added, the current is cut and put on the levels of the ADC, and scaled back.

    Args:
        spec: What it is made of; the cells may state a reference and an error of their own.
        rows: Word lines.
        columns: Bit lines.
        seeds: One for each ensemble member.
        names: Of this array, for its random streams.
    """

    def __init__(
        self, spec: ArraySpec, rows: int, columns: int, *, seeds: Sequence[int] = (0,), names: tuple[str, ...] = ("tile",)
    ) -> None:
        rows, columns, seeds = doors.size_and_seeds("Tile", rows, columns, seeds)
        device, cell, periphery = spec.made_of("Tile"), spec.cell or Reference(), spec.periphery or Periphery()
        if len(cell.signs) > 1 and spec.reference != "mid-range":
            raise InputError(f"cell.kind must be reference for a rule that reads an array against its {spec.reference}, got {cell.kind}")
        named = [names] if len(cell.signs) == 1 else [(*names, f"device {k}") for k in range(len(cell.signs))]
        error = spec.reference_error if spec.reference != "mid-range" else cell.reference_error
        one = replace(spec, periphery=periphery, reference=cell.reference(spec.reference), reference_error=error)
        places = zip(cell.devices(device), named, strict=True)
        self.crossbars = [Crossbar(replace(one, device=place_device), rows, columns, seeds=seeds, names=n) for place_device, n in places]
        self.crossbar = self.crossbars[0]  # the array of the first device of the cells
        self.signs: tuple[float, ...] = cell.signs
        self.updates = 0
        self.cell, self.periphery, self.shape = cell, periphery, self.crossbar.shape
        members = len(seeds)
        self.weight = per_member(cell.weight, members)
        self._weight, self._top = broadcast_members(self.weight, members), broadcast_members(cell.weight_max, members)
        ampere = np.asarray(device.half_range) * np.asarray(periphery.read_voltage)
        device_noise = np.asarray(device.read_noise) / np.asarray(device.half_range)
        self.chain = ReadoutChain(periphery, ampere, device_noise, self.weight, self.shape, seeds, names)
        self._linear = spec.array is None or spec.array.linear  # else the voltages themselves matter, and not only their ratios
        self.ideal_reads = self.chain.ideal and self._linear
        self._scaled = periphery.pulses.update_management or periphery.pulses.update_bl_management
        self._counts = Counts()
        self._rates: dict[float, np.ndarray] = {}

    @property
    def step(self) -> np.ndarray:
        return self.crossbar.step * self.weight

    # reads

    @property
    def reads_states(self):
        return self.ideal_reads and len(self.crossbars) == 1 and self.crossbar.reads_states

    def _read(self, name: Direction, v: torch.Tensor, only: int | None = None, row: int | None = None) -> torch.Tensor:
        """Of one device of the cells, or of one row driven alone, where these are given."""
        if self.ideal_reads:
            currents = self._currents(name, v, None, only, row)
            return currents if isinstance(self._weight, float) and self._weight == 1 else currents.mul_(self._weight)
        lead, drive = self.crossbars[only or 0], self.chain.encode(v)
        numbers, first, share = None, lead.done[name], np.float32(1.0) if only is not None else _together(self.signs)
        while True:
            first_pulse, *others = drive.pulses  # a vector is counted once, however many pulses it has
            currents = [self._currents(name, first_pulse, drive.again if drive.attempt else None, only, row)]
            currents += [self._currents(name, pulse, np.zeros_like(drive.again), only, row) for pulse in others]
            bits = range(len(currents)) if self.chain.serial else (None,)
            noise = Noise([lead.noise_keys(name, drive.attempt, bit) for bit in bits], first, share)
            read, again = self.chain.digitise(name, currents, drive, noise)
            numbers = read if numbers is None else torch.where(torch.from_numpy(drive.again)[:, :, None], read, numbers)
            if again is None:
                return numbers
            drive, repeated = self.chain.encode(v, drive, again), again.sum(1)
            self._counts.add(dac=repeated * v.shape[2], adc=repeated * numbers.shape[2])

    def _currents(self, name: Direction, v: torch.Tensor, again: np.ndarray | None, only: int | None, row: int | None) -> torch.Tensor:
        """Currents of the cells, the differences of their devices' currents; or those of one device; or of one row driven alone."""
        if row is not None:
            return v[:, :, row : row + 1] * self._line(row, again)[:, None]
        if only is not None:
            return self.crossbars[only].currents(name, v, again)
        if len(self.crossbars) > 1 and (cells := self._cell_states()) is not None:
            for crossbar in self.crossbars:
                crossbar.count_read(name, v.shape[1], again)
            return torch.bmm(v, cells.transpose(1, 2) if name == "mvm_t" else cells)
        total = self.crossbar.currents(name, v, again)
        total = total if self.signs[0] == 1 else total.mul_(self.signs[0])
        for sign, crossbar in zip(self.signs[1:], self.crossbars[1:], strict=True):
            total = total.add_(crossbar.currents(name, v, again), alpha=sign)
        return total

    def _cell_states(self) -> torch.Tensor | None:
        """Sum of the states of the devices of each cell by their signs, (E, R, C); None where a read is not their product."""
        first = self.crossbar.plain_state()
        if first is None:
            return None
        total = first * self.signs[0]
        for sign, crossbar in zip(self.signs[1:], self.crossbars[1:], strict=True):
            state = crossbar.plain_state()
            assert state is not None  # as all are of one array
            total.add_(state, alpha=sign)
        return total

    def _line(self, k: int, again: np.ndarray | None) -> torch.Tensor:
        """Currents of the cells of row k when it is driven alone at full voltage, (E, columns)."""
        total = 0.0
        for sign, crossbar in zip(self.signs, self.crossbars, strict=True):
            crossbar.count_read("mvm", 1, again)
            total = crossbar.line(k) if len(self.signs) == 1 else total + sign * crossbar.line(k)
        return total  # pyright: ignore[reportReturnType]

    def _read_row(self, k: int) -> torch.Tensor:
        self._counts.add(row_reads=1)
        if self.ideal_reads:
            return self._line(k, None) * (self._weight[:, 0] if isinstance(self._weight, torch.Tensor) else self._weight)
        one = torch.zeros(self.shape[0], 1, self.shape[1])
        one[:, :, k] = 1
        return self._read("mvm", one, row=k if self._linear else None)[:, 0]

    def read_devices(self, k: int) -> torch.Tensor:
        """Read the k-th device of every cell through the periphery, row by row.

        Args:
            k: Place of the device in its cell.

        Returns:
            States, (E, rows, columns).
        """
        (_, count, columns), k = self.shape, doors.index("Tile.read_devices", "k", k, len(self.crossbars))
        self._counts.add(row_reads=count)
        if k:  # reads of the first device are in its array's own count
            pulses = self.periphery.dac.pulses
            self._counts.add(mvm=count, dac=count * count * pulses, adc=count * columns * pulses)
        rows = torch.eye(count).expand(self.shape[0], -1, -1)
        return self._read("mvm", rows, only=k) / self._weight

    def _calibrate(self, x: torch.Tensor, direction: Direction) -> None:
        self.chain.forget(direction)
        self._read(direction, x)

    # updates

    def _send(self, x: torch.Tensor, d: torch.Tensor, lr: PerMember) -> None:
        rate, before = self._in_state(lr), self.updates
        self._note_updates(x.shape[1])
        if len(self.crossbars) == 1:
            self.crossbar._send(x, d, rate)
            return
        for first, last, taking in self.cell.route(before, x.shape[1]):
            some = (x, d) if last - first == x.shape[1] else (x[:, first:last].contiguous(), d[:, first:last].contiguous())
            for k, polarity in taking:
                self.crossbars[k]._send(some[0], some[1] if self.signs[k] > 0 or polarity else -some[1], rate, polarity)
        self.cell.refresh(self, before, self.updates)

    def _note_updates(self, samples: int) -> None:
        self.updates += samples
        if self._scaled:  # the largest value on each side is looked for
            self._counts.add(digital_ops=samples * (self.shape[1] + self.shape[2]))

    def _send_and_read(self, x: torch.Tensor, d: torch.Tensor, lr: PerMember, after: np.ndarray, rows: np.ndarray) -> torch.Tensor:
        if not self.reads_states:
            return super()._send_and_read(x, d, lr, after, rows)
        self._note_updates(x.shape[1])
        self._counts.add(row_reads=len(rows))
        self.crossbar.count_read("mvm", len(rows), None)
        return self.crossbar._send_and_read(x, d, self._in_state(lr), after, rows).mul_(self._weight)

    def send_rows(self, rows: np.ndarray, pulses: torch.Tensor) -> None:
        if len(self.crossbars) == 1:
            self.updates += len(rows)
            self.crossbar.send_rows(rows, pulses)
            return
        for t in range(len(rows)):
            for device, device_pulses in self._routed(pulses[:, t], 1):
                self.crossbars[device].send_rows(rows[t : t + 1], device_pulses[:, None].contiguous())

    def _pulse_rows(self, pulses: torch.Tensor) -> None:
        for device, device_pulses in self._routed(pulses, 1):
            self.crossbars[device].send_rows(np.arange(self.shape[1]), device_pulses)

    def _routed(self, pulses: torch.Tensor, updates: int) -> Iterator[tuple[int, torch.Tensor]]:
        """Pulses for each device of the cells that takes them; then what is done to the cells between updates."""
        before = self.updates
        self.updates += updates
        if len(self.crossbars) == 1:
            yield 0, pulses
            return
        for _, _, taking in self.cell.route(before, updates):
            for device, polarity in taking:
                device_pulses = pulses * (polarity or (1 if self.signs[device] > 0 else -1))
                yield device, device_pulses.clamp_(min=0) if polarity else device_pulses
        self.cell.refresh(self, before, self.updates)

    def _pulse_up_down(self, pulses: int, up: bool) -> None:
        if len(self.crossbars) > 1:
            raise InputError(f"Tile.pulse_up_down: the cell must be of one device, as reference, got {self.cell.kind}")
        self.crossbar._pulse_up_down(pulses, up)

    def _transfer(self, invert: bool) -> None:
        self.cell.transfer(self, invert)

    def _in_state(self, lr: Rates) -> np.ndarray:
        if isinstance(lr, np.ndarray) and lr.shape == self.weight.shape:
            return lr / self.weight
        if isinstance(lr, np.ndarray) and lr.ndim == 2:
            return lr / self.weight[:, None]
        if not isinstance(lr, float):
            return per_member(np.asarray(lr, np.float64).reshape(-1), len(self.weight)) / self.weight
        if lr not in self._rates:
            self._rates = {lr: np.full(self.weight.shape, lr) / self.weight}
        return self._rates[lr]

    # writes, and time

    def _set_reference(self, to: torch.Tensor, row: int | None, members: torch.Tensor | None) -> None:
        weight = self._weight[:, 0] if row is not None and isinstance(self._weight, torch.Tensor) else self._weight
        self.crossbar._set_reference(to / weight, row, members)

    def _program(self, target: torch.Tensor, only: torch.Tensor | None) -> None:
        self.cell.write(self, target / self._top, only)

    def _reset(self, mask: torch.Tensor) -> None:
        for crossbar in self.crossbars:
            crossbar._reset(mask)

    def _elapse(self, seconds: PerMember) -> None:
        for crossbar in self.crossbars:
            crossbar._elapse(seconds)

    # what is known of it

    def conductances(self):
        return [crossbar.conductances() for crossbar in self.crossbars]

    def noisy_state(self):
        return [crossbar.noisy_state() for crossbar in self.crossbars]

    @property
    def weights(self) -> torch.Tensor:
        states = (sign * crossbar.state for sign, crossbar in zip(self.signs, self.crossbars, strict=True))
        return sum(states) * self._weight  # pyright: ignore[reportReturnType]

    def read_weights(self) -> torch.Tensor:
        effective = (sign * crossbar.effective() for sign, crossbar in zip(self.signs, self.crossbars, strict=True))
        return sum(effective) * self._weight  # pyright: ignore[reportReturnType]

    @property
    def counts(self):
        """Everything done so far, the converters' work included."""
        (_, rows, columns), done = self.shape, self.crossbar.done
        forward, back, pulses = done["mvm"], done["mvm_t"], self.periphery.dac.pulses
        read = forward * columns + back * rows
        conversions = Counts(dac=(forward * rows + back * columns) * pulses)
        conversions.add(**{"sensed" if self.chain.senses else "adc": read * pulses})
        if self.periphery.dac.serial:  # cells are read by every pulse, and results shifted and added
            more = pulses - 1
            conversions.add(cell_reads=(forward + back) * rows * columns * len(self.crossbars) * more, digital_ops=read * 2 * more)
        first, *others = (Counts(c.counts) for c in self.crossbars)
        first["updates"] = self.updates
        for k, counts in enumerate(others, 1):
            counts |= dict.fromkeys([n for n in _AT_ONCE if n != "slots" or k not in self.cell.leads], 0)
        return Counts.total([first, *others, self._counts, conversions])

    @property
    def timed(self):
        (_, rows, columns), dac, known = self.shape, self.periphery.dac, self._counts
        first, *others = [crossbar.timed for crossbar in self.crossbars]
        for k, counts in enumerate(others, 1):
            first["slots"] += counts["slots"] if k in self.cell.leads else 0
            first["program_rounds"] += counts["program_rounds"]
        done = self.crossbar.done
        read = done["mvm"] * columns + done["mvm_t"] * rows
        first["adc"] = 0 if self.chain.senses else read * dac.pulses if dac.serial else read
        first["digital_ops"] = read * 2 * (dac.pulses - 1) if dac.serial else 0
        for name in ("mvm", "mvm_t", "adc", "digital_ops"):
            if name in known:
                first[name] += known[name]
        return first

    def checkpoint(self):
        devices = [crossbar.checkpoint() for crossbar in self.crossbars]
        limits = {n: torch.from_numpy(v.copy()) for n, v in self.chain.limits.items()}
        ranges = {"ranges": limits} if self.chain.calibrated else {}
        return {"devices": devices, "converters": tensors_of(self._counts), "updates": self.updates, "signs": self.signs} | ranges

    def restore(self, saved):
        for crossbar, state in zip(self.crossbars, saved["devices"], strict=True):
            crossbar.restore(state)
        self._counts = counts_of(saved["converters"])
        self.updates, self.signs = saved["updates"], tuple(saved["signs"])
        for name, limit in saved.get("ranges", {}).items():
            self.chain.limits[name][:] = limit.numpy()
