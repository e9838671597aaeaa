"""The devices of an array: their states, what time does to them, the ledger of what was done, and checkpoints.

Axes and units are those of `Crossbar`, which adds the operations of a chip.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from aimco import rng
from aimco.arrays import doors
from aimco.arrays.aging import Aging
from aimco.arrays.differential import DifferentialRead
from aimco.arrays.half_select import HalfSelect
from aimco.arrays.operations import ArrayOperations
from aimco.arrays.pulse_generator import PulseGenerator
from aimco.arrays.spec import ArraySpec
from aimco.device.device import Device
from aimco.device.sampled import Sampled, lies_on_its_side
from aimco.ensemble import PerMember, per_member
from aimco.ledger import Counts, counts_of, tensors_of

_STATE_FIELDS = ("state", "origin")
_DONE = ("updates", "applied", "lines", "alternate", "mvm", "mvm_t", "programs", "resets")


class Devices(ArrayOperations):
    """R x C devices of E ensemble members (abstract); arguments as `Crossbar`."""

    def __init__(
        self,
        spec: ArraySpec | Device,
        rows: int,
        columns: int,
        *,
        seeds: Sequence[int] = (0,),
        names: tuple[str, ...] = ("array",),
    ) -> None:
        spec = ArraySpec(device=spec) if isinstance(spec, Device) else spec
        rows, columns, seeds = doors.size_and_seeds("Crossbar", rows, columns, seeds)
        doors.measured("Crossbar", spec.reference, spec.reference_error, len(seeds))
        device = spec.made_of("Crossbar")
        self.device, self.reference, self.pulses = device, spec.reference, spec.pulses
        self.seeds, self.names = seeds, names
        self.sampled: Sampled = device.sample((rows, columns), seeds, *names)
        self.shape = (len(seeds), rows, columns)
        self.referenced = spec.reference != "mid-range"
        self.on_its_side = lies_on_its_side(rows, columns)
        self._state = self._blank()
        self._pulse_generator: PulseGenerator | None = None
        self._aging: Aging | None = None
        self.origin = self._blank() if self.referenced else torch.zeros(len(seeds), 1, columns)
        if self.referenced:
            self._take_origin(spec.reference_error)
        self.keys = {n: rng.stream_keys(self.seeds, *names, n) for n in ("apply", "lines", "alternate", "programs", "resets")}
        self.keys["pulse"] = np.stack([rng.stream_keys(self.seeds, *names, n) for n in ("x", "d", "pulse")], 1)
        self.done: dict[str, int] = dict.fromkeys(_DONE, 0)
        if device.leaks:
            self._aging = Aging(self.sampled, self.seeds, names, self.on_its_side, self.origin)
        self._noise_keys: dict[tuple[str | int, ...], np.ndarray] = {}
        self._counts = Counts()
        self._reader = self._build_reader(spec)
        self.compensates = spec.array is not None and spec.array.compensates  # whether writes make up for what reads lose
        self.step = per_member(device.step / device.half_range, len(seeds))
        self._disturbed = None if device.half_select is None else HalfSelect(self.sampled, self.origin)
        self._show_noise()

    def _build_reader(self, spec: ArraySpec) -> DifferentialRead | None:
        """What reads the cells through their array; none where a read is the product with their states."""
        if spec.array is None or spec.array.ideal:
            return None
        read_V = 1.0 if spec.periphery is None else spec.periphery.read_voltage
        return DifferentialRead(spec.array, self.device.half_range, self.device.mid_range, read_V, self.shape[0])

    def _blank(self) -> torch.Tensor:
        """Zeros (E, R, C), with axes as they are to lie in memory."""
        members, rows, columns = self.shape
        return torch.zeros(members, columns, rows).transpose(1, 2) if self.on_its_side else torch.zeros(self.shape)

    @property
    def state(self) -> torch.Tensor:
        """States of the devices now, (E, R, C), in half ranges from what they are measured against."""
        if self._pulse_generator is not None:
            self._pulse_generator.flush()
        self._let_pass()
        return self._state

    def _let_pass(self) -> None:
        """Let accumulated time act where it would show; pulses that wait came before it."""
        if self._aging is not None and self._aging.waits and (due := self._aging.due()).any():
            self._act(due)

    def _act(self, due: np.ndarray) -> None:
        """Let the accumulated time of some members act, (E,) bool."""
        assert self._aging is not None
        if self._pulse_generator is not None:
            self._pulse_generator.flush()
        self._aging.apply(self._state, due)

    def _take_origin(self, error: PerMember) -> None:
        """Start at the point that states are measured against, which is as well known as its error lets it be."""
        sampled = self.sampled
        if self.reference != "measured":
            self.origin.copy_(sampled.symmetry_point() if self.reference == "symmetry-point" else sampled.resting_point())
        if np.any(error):
            z = rng.normal(rng.stream_keys(self.seeds, *self.names, "reference"), 0, self.shape[1:])
            off = self._each(error).float() * z
            self.origin.add_(off)
            self.state.sub_(off)

    def conductances(self) -> torch.Tensor:
        """What a circuit made of the devices sees, S, (E, R, C) float64; not counted."""
        half, mid = self._each(self.device.half_range), self._each(self.device.mid_range)
        return (self.noisy_state().double() * half + mid).clamp_(min=0)

    def noisy_state(self) -> torch.Tensor:
        """The same, not cut at 0 S, in half ranges from mid-range, (E, R, C) float32; not to be written into."""
        return self._noisy_state() + self.origin if self.referenced else self._noisy_state()

    def _noisy_state(self) -> torch.Tensor:
        """The states as reads see them: with the noise that the last `elapse`, `program` or `reset` left."""
        state = self.state
        if self._aging is None or self._aging.noise is None:
            return state
        return state + self._laid(self._aging.noise.shift.view(self._laid(state).shape))

    def _show_noise(self) -> None:
        """Set the noise for the states that there are now."""
        if self._aging is not None:
            self._aging.show(self.state)

    def limits(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(lowest, highest) state of each device as `state` measures it, (E, R, C), not to be written into."""
        low, high = self.sampled.bounds()
        return (low - self.origin, high - self.origin) if self.referenced else (low, high)

    @property
    def pulse_generator(self) -> PulseGenerator:
        """What sends the pulses, to the states as they are now; made when the first is sent."""
        self._let_pass()
        if self._pulse_generator is None:
            origin = self.origin if self.referenced else None
            self._pulse_generator = PulseGenerator(self.sampled, self.pulses, self.step, self.keys, self._state, origin, self.on_its_side)
        return self._pulse_generator

    def _laid(self, t: torch.Tensor) -> torch.Tensor:
        """A tensor (E, R, C) with its axes as they lie in memory."""
        return t.transpose(1, 2) if self.on_its_side else t

    @property
    def disturbs(self) -> bool:
        """Whether pulses reach devices that they are not meant for."""
        return self._disturbed is not None

    def disturb(self, pulses: torch.Tensor) -> None:
        """What pulses that were just given to devices one by one, (E, R, C) int32, do to the others on their lines."""
        if self._disturbed is not None:
            self._disturbed.rows(self.state, pulses, np.arange(self.shape[1]))

    def _elapse(self, seconds: PerMember) -> None:
        """In closed form for any time: devices relax by exp(-t/tau), drift, fluctuate; to single precision, see `Aging`."""
        self._counts.add(hold_s=seconds)
        if self._aging is None:
            return
        self._aging.elapse(seconds)
        if self._aging.noise is not None:
            self._act(np.ones(self.shape[0], np.bool_))

    def _each(self, value: PerMember) -> torch.Tensor:
        """A number, or one for each member, as (E, 1, 1) float64."""
        return torch.from_numpy(per_member(value, self.shape[0]))[:, None, None]

    def note(self, **amounts: PerMember) -> None:
        """Add to the ledger."""
        self._counts.add(**amounts)

    @property
    def counts(self):
        done, cells = self.done, self.shape[1] * self.shape[2]
        vectors = done["mvm"] + done["mvm_t"]
        reads = Counts(mvm=done["mvm"], mvm_t=done["mvm_t"], cell_reads=vectors * cells)
        return self._ledger() + reads + Counts(updates=done["updates"], row_updates=done["lines"])

    @property
    def timed(self):
        done, known = self.done, self._counts.get
        return {
            "mvm": done["mvm"] + known("mvm", 0),
            "mvm_t": done["mvm_t"] + known("mvm_t", 0),
            "slots": known("slots", 0) + (0 if self._pulse_generator is None else self._pulse_generator.slots),
            "program_rounds": 0 + known("program_rounds", 0),  # not the ledger's own array
        }

    def _ledger(self) -> Counts:
        """The counts that `done` does not say, tallies of the kernels included."""
        total = Counts(self._counts)
        if self._pulse_generator is not None:
            total.add(**self._pulse_generator.counts())
        return total

    def checkpoint(self):
        return {
            "tensors": {n: t.clone() for n, t in self._tensors().items()},
            "done": dict(self.done),
            "counts": tensors_of(self._ledger()),
        } | ({} if self._reader is None else {"read": self._reader.counts})

    def _tensors(self) -> dict[str, torch.Tensor]:
        tensors = {f"device.{n}": t for n, t in self.sampled.values.items()} | {n: getattr(self, n) for n in _STATE_FIELDS}
        return tensors if self._aging is None else tensors | self._aging.tensors(self._state)

    def restore(self, saved):
        current = self._tensors()
        doors.alike("Crossbar.restore", current, saved["tensors"])
        for name, tensor in saved["tensors"].items():
            current[name].copy_(tensor)
        self.sampled.restored()
        for part in (self._aging, self._disturbed):
            if part is not None:
                part.restored()
        self.done = dict(saved["done"])
        self._counts = counts_of(saved["counts"])
        self._pulse_generator = None
        if self._reader is not None:
            self._reader.restore(saved["read"])

    def __getstate__(self) -> dict[str, object]:
        """Copies and pickles leave the compiled kernel and the buffers out, their tallies moved to the ledger."""
        return {**self.__dict__, "_pulse_generator": None, "_counts": self._ledger()}
