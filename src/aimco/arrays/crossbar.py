"""Crossbar: an array of devices and the operations a chip can do on it.

Axes, said once: (ensemble, [batch,] row, column). A row is a word line, where inputs are driven; a column is a bit line,
where currents are summed. E ensemble members live in one array state and differ in devices, seeds or numbers.

State and currents are normalised here: the state to half the nominal range around the reference, a voltage to the read
voltage, a current to their product. `Tile` turns them into weights and amperes.
"""

from __future__ import annotations

import numpy as np
import torch

from aimco import rng
from aimco.arrays import doors, programming
from aimco.arrays.devices import Devices
from aimco.arrays.operations import Direction
from aimco.cell import Polarity
from aimco.ensemble import PerMember, Rates, per_member
from aimco.record import InputError


class Crossbar(Devices):
    """R x C devices at the crossings of rows and columns, for E ensemble members.

    Args:
        spec: What it is made of; a device alone is an ideal array of such devices. Of its cell it is the one place.
        rows: Word lines.
        columns: Bit lines.
        seeds: One per member: device parameters and every later draw depend on it and on `names` alone.
        names: Of the array, for its random streams.
    """

    def _set_reference(self, to: torch.Tensor, row: int | None, members: torch.Tensor | None) -> None:
        if not self.referenced:
            raise InputError("Crossbar.set_reference: the array has no references to write; make it with a reference policy")
        if members is not None:
            to = to * members.view(-1, *[1] * (to.ndim - 1))
        before = None if self._aging is None else self.state.clone()
        for tensor, sign in ((self.origin, 1), (self.state, -1)):
            (tensor if row is None else tensor[:, row]).add_(to, alpha=sign)
        if self._aging is not None and before is not None:
            self._aging.rebase(before, self._state)
        self._counts.add(programmed=to[0].numel() if members is None else to[0].numel() * members.numpy())
        self._show_noise()

    # reads

    def _read(self, name: Direction, v: torch.Tensor) -> torch.Tensor:
        return self.currents(name, v, None)

    def currents(self, name: Direction, voltages: torch.Tensor, again: np.ndarray | None) -> torch.Tensor:
        """Read like `mvm` or `mvm_t` what was checked before.

        Args:
            name: The operation.
            voltages: On the lines that it drives, (E, B, lines), relative to the read voltage.
            again: Vectors that are counted, (E, B) bool, where some were read before; all when absent.
        """
        self.count_read(name, voltages.shape[1], again)
        return self._product(voltages, transposed=name == "mvm_t")

    def line(self, k: int) -> torch.Tensor:
        """Currents of the columns when row k alone is driven at full voltage, (E, C); not counted."""
        k = doors.index("Crossbar.line", "k", k, self.shape[1])
        if self._reader is None:
            return self._noisy_state()[:, k].clone()
        driven = torch.zeros(self.shape[0], 1, self.shape[1])
        driven[:, :, k] = 1
        return self._product(driven, transposed=False)[:, 0]

    def plain_state(self) -> torch.Tensor | None:
        """States whose product with voltages a read is, (E, R, C), with the noise of now; None where wires or cells are in the way."""
        return self._noisy_state() if self._reader is None else None

    def _product(self, voltages: torch.Tensor, transposed: bool) -> torch.Tensor:
        seen = self._noisy_state()
        if self._reader is not None:
            return self._reader.read(voltages, seen, self.origin, transposed)
        return torch.bmm(voltages, seen.transpose(1, 2) if transposed else seen)

    def effective(self) -> torch.Tensor:
        """What reads find in place of the states, (E, R, C): those of rows driven one by one; not counted."""
        return self._product(torch.eye(self.shape[1]).expand(self.shape[0], -1, -1), transposed=False)

    def count_read(self, name: Direction, vectors: int, again: np.ndarray | None) -> None:
        """Note vectors that were read: all, or those of `again` once more."""
        if again is None:
            self.done[name] += vectors
            return
        repeated = again.sum(1)
        self._counts.add(**{name: repeated, "cell_reads": repeated * self.shape[1] * self.shape[2]})

    def noise_keys(self, name: Direction, attempt: int, bit: int | None = None) -> np.ndarray:
        """Streams of the noise of reads in one direction, (E,); each further attempt at a vector, and each bit, draws from another."""
        which = (name, attempt) if bit is None else (name, attempt, f"bit {bit}")
        if which not in self._noise_keys:
            self._noise_keys[which] = rng.stream_keys(self.seeds, *self.names, *which)
        return self._noise_keys[which]

    @property
    def reads_states(self):
        """Where devices do not fluctuate, no wire drops voltage, and no half-select disturbs."""
        still = self._aging is None or self._aging.noise is None
        return still and self._reader is None and self._disturbed is None

    # writes

    def pulse(self, x: torch.Tensor, d: torch.Tensor, lr: Rates, polarity: Polarity | int = Polarity.BOTH) -> None:
        """Update as any array, E[change of state] = lr x d^T; see `ArrayOperations.pulse`.

        Args:
            x: Values on the rows, (E, B, R).
            d: Values on the columns, (E, B, C).
            lr: Learning rate in units of the state, a number, (E,) or (E, B) float64.
            polarity: Which pulses are sent; those down step up, as on one side of a pair.
        """
        x, d, lr = doors.update("Crossbar.pulse", x, d, lr, self.shape)
        self._send(x, d, lr, doors.sides("Crossbar.pulse", polarity))

    def _send(self, x: torch.Tensor, d: torch.Tensor, lr: PerMember, polarity: Polarity | int = Polarity.BOTH) -> None:
        rates, polarity = lr if isinstance(lr, np.ndarray) else per_member(lr, len(x)), int(polarity)
        self.pulse_generator.pulse(x, d, rates, self.done["updates"], polarity)
        self._sent(x.shape[1], polarity)

    def _send_and_read(self, x: torch.Tensor, d: torch.Tensor, lr: PerMember, after: np.ndarray, rows: np.ndarray) -> torch.Tensor:
        """Where `reads_states` only; the reads are not counted."""
        if not self.reads_states:
            raise InputError("Crossbar.pulse_and_read: reads of the array must be its states; pulse and read one after the other")
        seen = torch.empty(self.shape[0], len(rows), self.shape[2])
        rates = lr if isinstance(lr, np.ndarray) else per_member(lr, len(x))
        self.pulse_generator.pulse_and_read(x, d, rates, self.done["updates"], (after, rows, seen.numpy()))
        self._sent(x.shape[1], 0)
        return seen

    def _sent(self, batch: int, polarity: int) -> None:
        self.done["updates"] += batch
        if self._disturbed is not None:
            self._disturbed.trains(self.state, self.pulse_generator.trains, batch, polarity, self.on_its_side)

    def _pulse_rows(self, pulses: torch.Tensor) -> None:
        places = pulses.nonzero().T.contiguous()
        self.pulse_generator.pulse_devices(places, pulses[tuple(places)], self.done["applied"])
        self.done["applied"] += 1
        self.disturb(pulses)
        self._counts.add(program_pulses=pulses.abs().sum((1, 2)).numpy())

    def send_rows(self, rows: np.ndarray, pulses: torch.Tensor) -> None:
        self.pulse_generator.pulse_rows(rows, pulses, self.done["lines"])
        self.done["lines"] += len(rows)
        if self._disturbed is not None:
            self._disturbed.rows(self.state, pulses, rows)

    def _pulse_up_down(self, pulses: int, up: bool) -> None:
        _, rows, columns = self.shape
        self.pulse_generator.pulse_up_down(pulses, up, self.done["alternate"])
        self.done["alternate"] += 1
        each = {"slots": 1, "row_pulses": rows, "column_pulses": columns, "coincidences": rows * columns}
        self._counts.add(**{name: pulses * n for name, n in each.items()})

    def program(
        self,
        target: torch.Tensor,
        only: torch.Tensor | None = None,
        *,
        tolerance: float | None = None,
        rounds: int | None = None,
        retry: bool = True,
    ) -> None:
        """Write and verify by the programming of the device, see `Programming`.

        Args:
            target: States (E, R, C), cut to the bounds of each device.
            only: Devices to write (E, R, C), all when absent.
            tolerance: Largest error that is accepted, in half ranges; the window of the programming when absent.
            rounds: Rounds before giving up; those of the programming when absent.
            retry: Whether a one-sided device that overshoots is RESET and tried again.
        """
        target, only = doors.writes("Crossbar.program", target, only, self.shape)
        tolerance = None if tolerance is None else doors.above_zero("Crossbar.program", "tolerance", tolerance)
        rounds = None if rounds is None else doors.whole("Crossbar.program", "rounds", rounds, 0)
        self._program(target, only, tolerance, rounds, retry)

    def _program(
        self,
        target: torch.Tensor,
        only: torch.Tensor | None,
        tolerance: float | None = None,
        rounds: int | None = None,
        retry: bool = True,
    ) -> None:
        low, high = self.limits()
        if self._reader is not None and self.compensates:
            target = self._reader.compensated(target.expand(self.shape), self.origin)
        target = torch.maximum(target.expand(self.shape).float(), low)
        torch.minimum(target, high, out=target)
        mask, writes = self._mask(only), self.device.writes
        limit = programming.window(self) if tolerance is None else torch.as_tensor(float(tolerance))
        most = writes.rounds if rounds is None else rounds
        if writes.method == "as-cited":
            programming.as_cited(self, target, mask)
        elif self.device.response.one_sided:
            programming.upwards(self, target, mask, limit, most, retry)
        else:
            programming.both_ways(self, target, mask, limit, most)
        self._written(mask)

    def program_difference(self, other: Crossbar, difference: torch.Tensor, only: torch.Tensor | None = None) -> None:
        """RESET the devices of two arrays and write and verify the difference of their states, as those of a differential pair.

        Args:
            other: The array whose states are subtracted; of the same device.
            difference: Of the states, (E, R, C).
            only: Pairs to write (E, R, C), all when absent.
        """
        doors.same_kind("Crossbar.program_difference", self, other)
        difference, only = doors.writes("Crossbar.program_difference", difference, only, self.shape)
        difference, mask = difference.expand(self.shape).float(), self._mask(only)
        if self.device.writes.method == "as-cited":
            programming.pair_as_cited(self, other, difference, mask)
        elif self.device.response.one_sided:
            programming.pair_upwards(self, other, difference, mask)
        else:
            programming.pair_both_ways(self, other, difference, mask)
        for array in (self, other):
            array._written(mask)

    def _mask(self, only: torch.Tensor | None) -> torch.Tensor:
        return torch.ones(self.shape, dtype=torch.bool) if only is None else only.expand(self.shape)

    def _written(self, mask: torch.Tensor) -> None:
        self._show_noise()
        self._counts.add(programmed=mask.sum((1, 2)).numpy())

    def _reset(self, mask: torch.Tensor) -> None:
        self.state.copy_(torch.where(mask, self.sampled.reset_point() - self.origin, self.state))
        if np.any(self.device.reset_noise):
            self._blur("resets", self._each(np.asarray(self.device.reset_noise) / self.device.half_range), mask)
        self._show_noise()
        self._counts.add(resets=mask.sum((1, 2)).numpy())

    def _blur(self, name: str, sigma: torch.Tensor, only: torch.Tensor) -> None:
        """Add normal numbers to the states of some devices, cut to their bounds."""
        z = rng.normal(self.keys[name], self.done[name], self.shape[1:])
        self.done[name] += 1
        low, high = self.limits()
        noisy = torch.minimum(torch.maximum(self.state + sigma.float() * z, low), high)
        self.state.copy_(torch.where(only, noisy, self.state))
