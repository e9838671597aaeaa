"""The pulse generator of an array: compiled kernels, their buffers, and pulses that wait for a better moment."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from aimco.arrays.pulses import Pulses
from aimco.device.sampled import Sampled
from aimco.ensemble import per_member

_AGGREGATE_BELOW = 0.25  # of half the range: trains that move a device further are taken pulse by pulse where its steps are not affine
_AGGREGATE_NOISE = 1.0  # of a step: beyond it, where steps are not affine, noise takes devices to where the series does not hold
_AT_LEAST = 6  # pulses that one step must be able to stand for, in auto mode; devices of large steps are taken pulse by pulse
_STEEP = 0.05  # of the devices, that may be too steep for the others' trains, and are then taken pulse by pulse
_ALONE_BELOW = 20_000  # expected coincidences from which waking the other threads pays
_MEMBERS_TOGETHER = 8  # members from which they are shared out among the threads
_FAR = 100_000  # devices, of all members, from which waiting pays: they leave a core's own cache between batches
_WAITING, _FOR_EACH = 128, 800  # samples whose pulses such an array gathers at most, one for so many devices of a member


class PulseGenerator:
    """Sends pulses to the devices of one array, whose states it changes in place.

    Only the rows that are read (`pulse_and_read`) have to be up to date. A large array lets the others wait, until there is much to do on
    each or until somebody asks: `flush` comes before anything else that looks at the states or changes them. What comes out is the
    same to the bit.

    Args:
        sampled: The devices.
        pulses: How updates are sent.
        step: Mean step in units of the state, (E,).
        keys: Streams of the draws, by kind of pulse.
        on_its_side: Whether the columns come first in memory.
        state: (E, rows, columns).
        origin: What it is measured against, the same shape; None for mid-range.
    """

    def __init__(
        self,
        sampled: Sampled,
        pulses: Pulses,
        step: np.ndarray,
        keys: Mapping[str, np.ndarray],
        state: torch.Tensor,
        origin: torch.Tensor | None,
        on_its_side: bool,
    ) -> None:
        members, self.lines, self.width = (state.transpose(1, 2) if on_its_side else state).shape
        self.step, self.keys, self.on_its_side = step, keys, on_its_side
        self.together, self.far = members >= _MEMBERS_TOGETHER, state.numel() >= _FAR
        rest = (pulses.length, pulses.update_management, pulses.update_bl_management, pulses.mode != "exact", on_its_side)
        self.options, self.kernel = np.array([rest] * members, np.int64), sampled.kernel(origin is not None)
        origin = torch.zeros(members, 1, self.width) if origin is None else self._laid(origin)
        self.arrays = (self._laid(state).numpy(), origin.numpy(), *self._parameters(sampled, pulses))
        self.hits = np.zeros((members, self.lines), np.int64)
        self.tallies = {twice: np.zeros((members, 3), np.int64) for twice in (True, False)}  # of trains for both polarities, and the others
        self.places, self.waiting, self.first = 0, 0, 0  # samples that the buffers hold, that wait in them, and the number of the first
        self._make_room(1)

    def _parameters(self, sampled: Sampled, pulses: Pulses) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
        """What kernels know of the devices: their parameters, and how many pulses one step may stand for (see the made `update`).

        That is what all devices but a few can be trusted with: the few are listed, by row, the least trusted first.
        """
        from aimco.kernels.trains import MAY_AGGREGATE

        (rows, devices), m = sampled.packed(self.on_its_side)
        members, longest, auto = len(rows), pulses.length, pulses.mode == "auto"
        most, starts = np.full(members, longest, np.int32), np.zeros((members, self.lines + 1), np.int64)
        trusted = self._laid(sampled.trusted()).clamp(max=longest).int().numpy()
        noise, listed = per_member(sampled.device.cycle_noise, members), []
        for e in range(members):
            few = int(_STEEP * trusted[e].size)
            most[e] = np.partition(trusted[e].ravel(), few)[few]
            coarse = not sampled.device.response.affine and (self.step[e] * longest > _AGGREGATE_BELOW or noise[e] > _AGGREGATE_NOISE)
            if sampled.device.response.by_pulse or (auto and (coarse or most[e] < min(longest, _AT_LEAST))):
                self.options[e, MAY_AGGREGATE] = False
            row, column = np.nonzero(trusted[e] < most[e])
            order = np.lexsort((trusted[e][row, column], row))
            starts[e] = sum(map(len, listed)) + np.searchsorted(row, np.arange(self.lines + 1))
            listed.append(np.column_stack([column, trusted[e][row, column]])[order])
        places, each = np.ascontiguousarray(np.concatenate(listed).T)
        return (rows, devices, most, sampled.reverses, starts, places, each.astype(np.int32)), m

    def _laid(self, t: torch.Tensor) -> torch.Tensor:
        """A tensor (E, rows, columns) with its axes as they lie in memory."""
        return t.transpose(1, 2) if self.on_its_side else t

    def _make_room(self, batch: int) -> None:
        """Buffers for a batch, made anew when a larger one comes."""
        if batch <= self.places:
            return
        self.flush()
        self.places, members = max(batch, min(_WAITING, self.lines * self.width // _FOR_EACH) if self.far else 0), len(self.hits)
        x, d, rows = (np.zeros((members, self.places, n), np.uint32) for n in (self.lines, self.width, self.lines))
        self.trains = x, d, rows, np.zeros((members, self.places, 3), np.int32)

    def pulse(self, x: torch.Tensor, d: torch.Tensor, lr: np.ndarray, number: int, polarity: int) -> None:
        """See `Crossbar.pulse`; number: of the first sample since the start."""
        self.flush()
        self._make_room(x.shape[1])
        self._send(x, d, lr, number, polarity, None, wait=False)

    def pulse_and_read(
        self, x: torch.Tensor, d: torch.Tensor, lr: np.ndarray, number: int, reads: tuple[np.ndarray, np.ndarray, np.ndarray]
    ) -> None:
        """`pulse`, with reads between the samples: after which (T,), which row (T,), and out, the states read, (E, T, columns)."""
        batch, (after, rows, out) = x.shape[1], reads
        self._make_room(batch)
        if self.waiting + batch > self.places:
            self.flush()
        self._send(x, d, lr, number, 0, (after, rows, self.on_its_side, out), wait=self.far and batch < self.places)

    def _send(
        self,
        x: torch.Tensor,
        d: torch.Tensor,
        lr: np.ndarray,
        number: int,
        polarity: int,
        reads: tuple[np.ndarray, np.ndarray, bool, np.ndarray] | None,
        wait: bool,
    ) -> None:
        batch, at, rates = x.shape[1], self.waiting, lr.reshape(len(x), -1)
        self.first = number - at
        sides = (d.numpy(), x.numpy()) if self.on_its_side else (x.numpy(), d.numpy())
        numbers = (rates, self.step, self.options, self.keys["pulse"], self.first, self.trains, self.tallies[polarity == 0])
        expected = self._encode(at, *sides, *numbers)
        if reads is not None:
            self._read(at, reads)
        if wait:
            self.waiting += batch
        else:
            self._apply(at + batch, polarity, alone=expected <= _ALONE_BELOW)

    def _encode(self, at: int, *inputs: object) -> float:
        """Make the trains of a batch at places `at` and on; the coincidences to expect, where somebody asks."""
        from aimco.kernels.trains import encode, encode_members

        if self.together:
            encode_members(at, *inputs)
            return 0.0
        return sum(encode(e, at, *inputs) for e in range(len(self.hits)))

    def _read(self, at: int, reads: tuple[np.ndarray, np.ndarray, bool, np.ndarray]) -> None:
        """Read rows between the samples at places `at` and on."""
        rest = (at, self.keys["pulse"], self.first, *self.arrays, self.trains, self.hits, reads)
        if self.together:
            self.kernel.read_members(*rest)
            return
        for e in range(len(self.hits)):
            self.kernel.read_rows(e, *rest)

    def _apply(self, count: int, polarity: int, alone: bool) -> None:
        """Apply the trains of the first `count` samples; `alone`: with so little to do, waking the other threads would not pay."""
        from aimco.kernels.trains import sort_pulses

        known = (self.keys["pulse"], self.first, *self.arrays, self.trains)
        if self.together:
            self.kernel.update_members(count, *known, self.hits, polarity)
            return
        for e in range(len(self.hits)):
            rest = (*known, sort_pulses(e, count, self.trains), self.hits, polarity)
            if alone:
                self.kernel.update_rows(e, 0, self.lines, *rest)
            else:
                self.kernel.update(e, *rest)

    def flush(self) -> None:
        """Apply the pulses that wait."""
        count, self.waiting = self.waiting, 0
        if count:
            self._apply(count, 0, alone=False)

    def pulse_devices(self, places: torch.Tensor, pulses: torch.Tensor, number: int) -> None:
        """See `Crossbar.pulse_rows`; places (3, N) int64, pulses (N,) int32."""
        self.flush()
        laid = places[[0, 2, 1]] if self.on_its_side else places
        self.kernel.pulse_devices(*self.arrays, laid.numpy(), pulses.numpy(), self.keys["apply"], number)

    def taken(self, number: int) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, ...], np.ndarray, np.ndarray, int]:
        """The devices as kernels that write take them; number: of the draws of the first round."""
        self.flush()
        state, origin, a, m = self.arrays
        return state, origin, a, m, self.keys["apply"], number

    def write(self, number: int, *asked: object) -> None:
        """Write devices both ways, by the kernel `write_rows`; number: of the draws of the first round."""
        devices = self.taken(number)
        if self.far:
            self.kernel.write(devices, *asked)
        else:
            members, lines = self.hits.shape
            self.kernel.write_rows(0, members * lines, devices, *asked)

    def laid(self, t: torch.Tensor) -> np.ndarray:
        """A tensor (E, rows, columns), or one that expands to it, as kernels that write take it, (E, lines, width)."""
        return self._laid(t.expand(len(self.hits), *t.shape[1:])).contiguous().numpy()

    def pulse_rows(self, rows: np.ndarray, pulses: torch.Tensor, number: int) -> None:
        """See `Crossbar.pulse_rows`, of some rows."""
        self.flush()
        kernel = self.kernel.pulse_rows_members if self.together else self.kernel.pulse_rows
        kernel(*self.arrays, rows, self.on_its_side, pulses.numpy(), self.keys["lines"], number, self.tallies[False], self.hits)

    def pulse_up_down(self, pulses: int, up: bool, number: int) -> None:
        """See `Crossbar.pulse_up_down`."""
        self.flush()
        self.kernel.pulse_up_down(*self.arrays, pulses, up, self.keys["alternate"], number)

    @property
    def slots(self) -> int | np.ndarray:
        """Slots that trains and lines took since the generator was made, (E,), a number for one member; pulses may go on waiting."""
        twice, once = self.tallies[True], self.tallies[False]
        return int(twice[0, 0]) + int(once[0, 0]) if len(twice) == 1 else twice[:, 0] + once[:, 0]

    def counts(self) -> dict[str, np.ndarray]:
        """What trains and lines sent since the generator was made, by name, (E,).

        A train that steps devices both up and down is sent once for each: its slots are counted so, and here its pulses.
        """
        self.flush()
        twice, once = self.tallies[True], self.tallies[False]
        slots, pulses = twice[:, 0] + once[:, 0], (2 * twice + once).T[1:]
        row_pulses, column_pulses = reversed(pulses) if self.on_its_side else pulses
        return {"slots": slots, "row_pulses": row_pulses, "column_pulses": column_pulses, "coincidences": self.hits.sum(1)}
