"""Crossbar: an array of devices and the operations a chip can do on it.

Axes, said once: (ensemble, [batch,] row, column). A row is a word line, where inputs are driven; a column is a bit line,
where currents are summed. E ensemble members live in one array state and differ in devices, seeds or numbers.

State and currents are normalised here: the state to half the nominal range around the reference, a voltage to the read
voltage, a current to their product. `Tile` turns them into weights and amperes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch

from aimco import rng
from aimco.arrays import doors, programming
from aimco.arrays.aging import Aging
from aimco.arrays.doors import ReferencePolicy
from aimco.arrays.half_select import HalfSelect
from aimco.arrays.pulses import Pulses
from aimco.arrays.readout import Readout
from aimco.arrays.sender import Sender
from aimco.arrays.wires import Wires
from aimco.device.device import Device, Sampled
from aimco.ensemble import per_member
from aimco.ledger import Counts, counts_of, tensors_of
from aimco.record import InputError

Direction = Literal["mvm", "mvm_t"]
_STATE_FIELDS = ("state", "origin")
_DONE = ("updates", "applied", "lines", "alternate", "mvm", "mvm_t", "programs", "resets")


class Crossbar:
    """R x C devices at the crossings of rows and columns, for E ensemble members.

    Args:
        device: what stands at each crossing. rows, columns: size.
        seeds: one per member: device parameters and every later draw depend on it and on `names` alone.
        reference: what the state is measured against: mid-range, each device's own symmetry or resting point, or what `refer`
            is told ("measured"; mid-range until then).
        reference_error: standard deviation of that reference, in half ranges, a number or (E,). Devices start at the point meant.
        pulses: how updates are sent.
        wires: resistances of the lines, which reads then feel (see `Readout`); ideal when absent. Pulses and write-and-verify reach each
            device at full voltage all the same.
    """

    def __init__(
        self,
        device: Device,
        rows: int,
        columns: int,
        *,
        seeds: Sequence[int] = (0,),
        names: tuple[str, ...] = ("array",),
        reference: ReferencePolicy = "mid-range",
        reference_error: Any = 0.0,
        pulses: Pulses | None = None,
        wires: Wires | None = None,
    ) -> None:
        rows, columns, seeds = doors.made("Crossbar", rows, columns, seeds)
        doors.measured("Crossbar", reference, reference_error, len(seeds))
        self.device, self.reference, self.pulses = device, reference, pulses or Pulses()
        self.seeds, self.names = seeds, names
        self.sampled: Sampled = device.sample((rows, columns), seeds, *names)
        self.shape = (len(seeds), rows, columns)
        self.referenced = reference != "mid-range"
        self.on_its_side = rows > columns  # in memory, so that the inner loops of the kernels are the long ones
        self._state = self._blank()
        self._sender: Sender | None = None
        self._aging: Aging | None = None
        self.origin = self._blank() if self.referenced else torch.zeros(len(seeds), 1, columns)
        if self.referenced:
            self._take_origin(reference_error)
        self.keys = {n: rng.stream_keys(self.seeds, *names, n) for n in ("apply", "lines", "alternate", "programs", "resets")}
        self.keys["pulse"] = np.stack([rng.stream_keys(self.seeds, *names, n) for n in ("x", "d", "pulse")], 1)
        self.done: dict[str, int] = dict.fromkeys(_DONE, 0)
        if device.leaks:
            self._aging = Aging(self.sampled, self.seeds, names, self.on_its_side, self.origin)
        self._noise_keys: dict[tuple[str | int, ...], np.ndarray] = {}
        self._counts = Counts()
        self._readout = None if wires is None or wires.ideal else Readout(wires, device.half_range, device.mid_range, len(seeds))
        self.step = per_member(device.step / device.half_range, len(seeds))
        self._disturbed = None if device.half_select is None else HalfSelect(self.sampled, self.origin)
        self._show_noise()

    def _blank(self) -> torch.Tensor:
        """Zeros (E, R, C), with axes as they are to lie in memory."""
        members, rows, columns = self.shape
        return torch.zeros(members, columns, rows).transpose(1, 2) if self.on_its_side else torch.zeros(self.shape)

    @property
    def state(self) -> torch.Tensor:
        """States of the devices now, (E, R, C), in half ranges from what they are measured against."""
        if self._sender is not None:
            self._sender.settle()
        self._let_pass()
        return self._state

    def _let_pass(self) -> None:
        """Let accumulated time act where it would show; pulses that wait came before it."""
        if self._aging is not None and self._aging.waits and (due := self._aging.due()).any():
            self._act(due)

    def _act(self, due: np.ndarray) -> None:
        """Let the accumulated time of some members act, (E,) bool."""
        assert self._aging is not None
        if self._sender is not None:
            self._sender.settle()
        self._aging.apply(self._state, due)

    def _take_origin(self, error: Any) -> None:
        """Start at the point that states are measured against, which is as well known as its error lets it be."""
        sampled = self.sampled
        if self.reference != "measured":
            self.origin.copy_(sampled.symmetry_point() if self.reference == "symmetry-point" else sampled.resting_point())
        if np.any(error):
            z = rng.normal(rng.stream_keys(self.seeds, *self.names, "reference"), 0, self.shape[1:])
            off = self._each(error).float() * z
            self.origin.add_(off)
            self.state.sub_(off)

    def refer(self, to: torch.Tensor, row: int | None = None, members: torch.Tensor | None = None) -> None:
        """Measure states from now on against what is now read as `to`: each device's reference takes that value.

        Args:
            to: (E, R, C), or (E, C) of one row. row: which, all when absent. members: (E,) bool, all when absent.
        """
        if not self.referenced:
            raise InputError("Crossbar.refer: the array has no references to write; make it with a reference policy")
        to, row, members = doors.reference("Crossbar.refer", to, row, members, self.shape)
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

    def mvm(self, voltages: torch.Tensor, again: np.ndarray | None = None) -> torch.Tensor:
        """Currents of the columns, I = G^T V (Ohm and Kirchhoff): (E, B, R) -> (E, B, C).

        Args:
            voltages: on the rows. again: vectors (E, B) that are read once more; only these are counted.
        """
        return self.read("mvm", *doors.reads("Crossbar.mvm", "voltages", voltages, self.shape, "rows", again))

    def mvm_t(self, voltages: torch.Tensor, again: np.ndarray | None = None) -> torch.Tensor:
        """Currents of the rows when the columns are driven, I = G V: (E, B, C) -> (E, B, R)."""
        return self.read("mvm_t", *doors.reads("Crossbar.mvm_t", "voltages", voltages, self.shape, "columns", again))

    def read(self, name: Direction, voltages: torch.Tensor, again: np.ndarray | None) -> torch.Tensor:
        """`mvm` or `mvm_t` of what was checked before."""
        self.count_read(name, voltages.shape[1], again)
        return self._read(voltages, transposed=name == "mvm_t")

    def line(self, k: int) -> torch.Tensor:
        """Currents of the columns when row k alone is driven at full voltage, (E, C); not counted."""
        k = doors.index("Crossbar.line", "k", k, self.shape[1])
        if self._readout is None:
            return self._seen()[:, k].clone()
        driven = torch.zeros(self.shape[0], 1, self.shape[1])
        driven[:, :, k] = 1
        return self._read(driven, transposed=False)[:, 0]

    def _read(self, voltages: torch.Tensor, transposed: bool) -> torch.Tensor:
        seen = self._seen()
        if self._readout is not None:
            return self._readout.read(voltages, seen, self.origin, transposed)
        return torch.bmm(voltages, seen.transpose(1, 2) if transposed else seen)

    def conductances(self) -> torch.Tensor:
        """What a circuit made of the devices sees, S, (E, R, C) float64; not counted."""
        half, mid = self._each(self.device.half_range), self._each(self.device.mid_range)
        return (self.seen().double() * half + mid).clamp_(min=0)

    def seen(self) -> torch.Tensor:
        """The same, not cut at 0 S, in half ranges from mid-range, (E, R, C) float32; not to be written into."""
        return self._seen() + self.origin if self.referenced else self._seen()

    def _seen(self) -> torch.Tensor:
        """The states as reads see them: with the noise that the last `hold`, `program` or `reset` left."""
        state = self.state
        if self._aging is None or self._aging.noise is None:
            return state
        return state + self._laid(self._aging.noise.tensors["noise"].view(self._laid(state).shape))

    def _show_noise(self) -> None:
        """Set the noise for the states that there are now."""
        if self._aging is not None:
            self._aging.show(self.state)

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
    def reads_states(self) -> bool:
        """Whether a read of a row is the states of its devices, which no other row's pulses move: they do not fluctuate, no wire drops
        voltage, no half-select disturbs."""
        still = self._aging is None or self._aging.noise is None
        return still and self._readout is None and self._disturbed is None

    # writes

    def pulse(self, x: torch.Tensor, d: torch.Tensor, lr: np.ndarray, take: int = 0) -> None:
        """Parallel rank-1 update by coincidence of stochastic pulses: E[change of state] = lr x d^T, sample after sample.

        Args:
            x: values on the rows (E, B, R). d: values on the columns (E, B, C), float32.
            lr: learning rate in units of the state, (E,) or (E, B) float64.
            take: 1 leaves the pulses out that would step down; -1 takes only these, and they step up: the two sides of a pair.
        """
        x, d, lr = doors.update("Crossbar.pulse", x, d, lr, self.shape)
        self.send(x, d, lr if isinstance(lr, np.ndarray) else per_member(lr, len(x)), doors.sides("Crossbar.pulse", take))

    def send(self, x: torch.Tensor, d: torch.Tensor, lr: np.ndarray, take: int = 0) -> None:
        """`pulse` with what was checked before."""
        self.sender.pulse(x, d, lr, self.done["updates"], take)
        self._sent(x.shape[1], take)

    def pulse_and_read(self, x: torch.Tensor, d: torch.Tensor, lr: np.ndarray, after: np.ndarray, rows: np.ndarray) -> torch.Tensor:
        """`pulse`, and `line` of rows[t] after sample after[t], in one launch; (E, T, C). Where `reads_states` only; not counted."""
        x, d, lr, after, rows = doors.update_and_reads("Crossbar.pulse_and_read", x, d, lr, after, rows, self.shape)
        if not self.reads_states:
            raise InputError("Crossbar.pulse_and_read: reads of the array must be its states; pulse and read one after the other")
        return self.send_and_read(x, d, lr, after, rows)

    def send_and_read(self, x: torch.Tensor, d: torch.Tensor, lr: np.ndarray, after: np.ndarray, rows: np.ndarray) -> torch.Tensor:
        """`pulse_and_read` with what was checked before."""
        seen = torch.empty(self.shape[0], len(rows), self.shape[2])
        self.sender.pulse_and_read(x, d, lr, self.done["updates"], (after, rows, seen.numpy()))
        self._sent(x.shape[1], 0)
        return seen

    def _sent(self, batch: int, take: int) -> None:
        self.done["updates"] += batch
        if self._disturbed is not None:
            self._disturbed.trains(self.state, self.sender.trains, batch, take, self.on_its_side)

    @property
    def sender(self) -> Sender:
        """What sends the pulses, to the states as they are now; made when the first is sent."""
        self._let_pass()
        if self._sender is None:
            origin = self.origin if self.referenced else None
            self._sender = Sender(self.sampled, self.pulses, self.step, self.keys, self._state, origin, self.on_its_side)
        return self._sender

    def _laid(self, t: torch.Tensor) -> torch.Tensor:
        """A tensor (E, R, C) with its axes as they lie in memory."""
        return t.transpose(1, 2) if self.on_its_side else t

    def apply(self, pulses: torch.Tensor) -> None:
        """Give every device its own number of pulses, (E, R, C) int32, positive up: row-by-row access, not parallel."""
        count = doors.pulses("Crossbar.apply", "pulses", pulses, self.shape, expands=True)
        places = count.nonzero().T.contiguous()
        self.apply_at(places, count[tuple(places)])

    def apply_at(self, places: torch.Tensor, pulses: torch.Tensor) -> None:
        """`apply` on some devices alone; trusts its arguments.

        Args:
            places: Member, row and column of each device, (3, N) int64, none twice.
            pulses: Of each, (N,) int32, positive up.
        """
        self.sender.apply(places, pulses, self.done["applied"])
        self.done["applied"] += 1
        if self.disturbs:
            count = torch.zeros(self.shape, dtype=torch.int32)
            count[tuple(places)] = pulses
            self.disturb(count)
        sent = np.bincount(places[0].numpy(), pulses.abs().numpy(), self.shape[0])
        self._counts.add(program_pulses=sent.astype(np.int64))

    @property
    def disturbs(self) -> bool:
        """Whether pulses reach devices that they are not meant for."""
        return self._disturbed is not None

    def disturb(self, pulses: torch.Tensor) -> None:
        """What pulses that were just given to devices one by one, (E, R, C) int32, do to the others on their lines."""
        if self._disturbed is not None:
            self._disturbed.lines(self.state, pulses, np.arange(self.shape[1]))

    def pulse_lines(self, rows: np.ndarray, pulses: torch.Tensor) -> None:
        """Give each device of rows[t] its own number of pulses, (E, T, C) int32, positive up, one row after the other.

        The row fires, and the columns count off theirs.
        """
        self.send_lines(*doors.lines("Crossbar.pulse_lines", rows, pulses, self.shape))

    def send_lines(self, rows: np.ndarray, pulses: torch.Tensor) -> None:
        """`pulse_lines` with what was checked before."""
        self.sender.pulse_lines(rows, pulses, self.done["lines"])
        self.done["lines"] += len(rows)
        if self._disturbed is not None:
            self._disturbed.lines(self.state, pulses, rows)

    def alternate(self, pulses: int, up: bool = True) -> None:
        """Pulses up and down in turn on all devices at once, rows and columns firing together; the first is up or down."""
        pulses, (_, rows, columns) = doors.whole("Crossbar.alternate", "pulses", pulses, 0), self.shape
        up = doors.flag("Crossbar.alternate", "up", up)
        self.sender.alternate(pulses, up, self.done["alternate"])
        self.done["alternate"] += 1
        each = {"slots": 1, "row_pulses": rows, "column_pulses": columns, "coincidences": rows * columns}
        self._counts.add(**{name: pulses * n for name, n in each.items()})

    def program(
        self,
        target: torch.Tensor,
        *,
        only: torch.Tensor | None = None,
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
        low, high = self.limits()
        target = torch.minimum(torch.maximum(target.expand(self.shape).float(), low), high)
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

    def limits(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(lowest, highest) state of each device as `state` measures it, (E, R, C)."""
        low, high = self.sampled.bounds()
        return low - self.origin, high - self.origin

    def note(self, **amounts: Any) -> None:
        """Add to the ledger."""
        self._counts.add(**amounts)

    def reset(self, mask: torch.Tensor) -> None:
        """Put the devices of the mask (E, R, C) bool to their reset state."""
        mask = doors.mask("Crossbar.reset", "mask", mask, self.shape)
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

    def hold(self, seconds: Any) -> None:
        """Let time pass, s or (E,), in closed form for any time: devices relax to their resting points by exp(-t/tau), drift, fluctuate.

        However a time is divided, the same is left, to single precision (see `Aging`).
        """
        seconds = doors.seconds("Crossbar.hold", seconds, self.shape[0])
        self._counts.add(hold_s=seconds)
        if self._aging is None:
            return
        self._aging.elapse(seconds)
        if self._aging.noise is not None:
            self._act(np.ones(self.shape[0], np.bool_))

    def _each(self, value: Any) -> torch.Tensor:
        """A number, or one for each member, as (E, 1, 1) float64."""
        return torch.from_numpy(per_member(value, self.shape[0]))[:, None, None]

    # ledger and checkpoint

    @property
    def counts(self) -> Counts:
        """Everything done so far."""
        done, cells = self.done, self.shape[1] * self.shape[2]
        vectors = done["mvm"] + done["mvm_t"]
        reads = Counts(mvm=done["mvm"], mvm_t=done["mvm_t"], cell_reads=vectors * cells)
        return self._ledger() + reads + Counts(updates=done["updates"], line_updates=done["lines"])

    @property
    def timed(self) -> dict[str, Any]:
        """Those of `counts` that take time, quickly: pulses may go on waiting."""
        done, known = self.done, self._counts.get
        return {
            "mvm": done["mvm"] + known("mvm", 0),
            "mvm_t": done["mvm_t"] + known("mvm_t", 0),
            "slots": known("slots", 0) + (0 if self._sender is None else self._sender.slots),
            "program_rounds": 0 + known("program_rounds", 0),  # not the ledger's own array
        }

    def _ledger(self) -> Counts:
        """The counts that `done` does not say, tallies of the kernels included."""
        total = Counts(self._counts)
        if self._sender is not None:
            total.add(**self._sender.counts())
        return total

    def checkpoint(self) -> dict[str, Any]:
        """All that a later run needs to go on as if never stopped."""
        return {
            "tensors": {n: t.clone() for n, t in self._tensors().items()},
            "done": dict(self.done),
            "counts": tensors_of(self._ledger()),
        } | ({} if self._readout is None else {"read": self._readout.counts})

    def _tensors(self) -> dict[str, torch.Tensor]:
        tensors = {f"device.{n}": t for n, t in self.sampled.values.items()} | {n: getattr(self, n) for n in _STATE_FIELDS}
        return tensors if self._aging is None else tensors | self._aging.tensors(self._state)

    def restore(self, saved: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        own = self._tensors()
        doors.alike("Crossbar.restore", own, saved["tensors"])
        for name, tensor in saved["tensors"].items():
            own[name].copy_(tensor)
        self.sampled.restored()
        for part in (self._aging, self._disturbed):
            if part is not None:
                part.restored()
        self.done = dict(saved["done"])
        self._counts = counts_of(saved["counts"])
        self._sender = None
        if self._readout is not None:
            self._readout.restore(saved["read"])

    def __getstate__(self) -> dict[str, Any]:
        """Copies and pickles leave the compiled kernel and the buffers out, their tallies moved to the ledger."""
        return {**self.__dict__, "_sender": None, "_counts": self._ledger()}
