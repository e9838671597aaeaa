"""What time does to the devices of an array: they relax, drift and fluctuate.

Elapsed time is accumulated in double precision and acts when somebody asks for the states or pulses them. What a state in single precision
cannot hold is carried along, so that however a time is divided, the same is left, to single precision. Devices that fluctuate draw
numbers for every time that elapses: for them it acts at once, so that a look at the states changes nothing.
"""

from __future__ import annotations

import numpy as np
import torch

from aimco import rng
from aimco.device.noise import Fluctuations
from aimco.device.retention import Drifting
from aimco.device.sampled import Sampled
from aimco.ensemble import PerMember, per_member

_UNSEEN = 2.0**-27  # change of a state, relative to it, that single precision does not show
_STEEPEST = 1.0  # exponent of drift, above those of any device in practice: it says when drift begins to show


class Aging:
    """Time of one array.

    Args:
        sampled: The devices.
        seeds: Of the array, one for each member.
        names: Of the array, for its random streams.
        on_its_side: Whether the columns come first in memory.
        origin: What states are measured against.
    """

    def __init__(self, sampled: Sampled, seeds: tuple[int, ...], names: tuple[str, ...], on_its_side: bool, origin: torch.Tensor) -> None:
        device, (members, rows, columns) = sampled.device, sampled.shape
        self.sampled, self.on_its_side, self.origin = sampled, on_its_side, origin
        self.pending, self.waits = np.zeros(members), False  # s, and whether there are any
        self._advances = torch.zeros(1, dtype=torch.int64)
        self._range = tuple(self._each(v) for v in (device.half_range, device.mid_range, device.g_max))
        self.drifting, slowest = None, 0.0
        if device.drift is not None:
            self.drifting = Drifting(device.drift, rng.normal(rng.stream_keys(seeds, *names, "drift"), 0, (rows, columns)))
            slowest = _STEEPEST / device.drift.t_0
        self.noise = Fluctuations.of(device, seeds, names, rows * columns)
        self._slowest, self._per_s = slowest, 1 / per_member(device.retention_s, members)  # relaxation times in a second
        self._carry: torch.Tensor | None = None
        self.restored()

    def elapse(self, seconds: PerMember) -> None:
        """Let time pass, s or (E,); it acts by `apply`, at once where devices fluctuate."""
        self.pending, self.waits = self.pending + per_member(seconds, len(self.pending)), True

    def due(self) -> np.ndarray:
        """Members in which the accumulated time would show, (E,)."""
        return self.pending * self._fastest > _UNSEEN

    def apply(self, state: torch.Tensor, due: np.ndarray) -> None:
        """Let the accumulated time of some members act on the states (E, R, C), in place."""
        seconds = np.where(due, self.pending, 0.0)
        self.pending = np.where(due, 0.0, self.pending)
        self.waits = bool(self.pending.any())
        if self.noise is not None:
            self.noise.find_programmed(self.flat(state))
        if self.drifting is not None:
            self._drift(state, seconds)
        if self._per_s.any():
            self._relax(state, seconds)
        if self.drifting is not None:
            self.drifting.left_at.copy_(state)
        if self.noise is not None:
            self.noise.advance(seconds, int(self._advances))
            self._advances += 1
            self.noise.show(self.flat(state), self.flat(state + self.origin))

    def _drift(self, state: torch.Tensor, seconds: np.ndarray) -> None:
        carry, (half, mid, top) = self._carried(state), self._range
        g = state.double().add_(carry).add_(self.origin).mul_(half).add_(mid)
        assert self.drifting is not None
        factor = self.drifting.factor(state, lambda: (g / top).float(), self._each(seconds))
        exact = g.mul_(factor).sub_(mid).div_(half).sub_(self.origin)
        state.copy_(exact)
        carry.copy_(exact.sub_(state))

    def _relax(self, state: torch.Tensor, seconds: np.ndarray) -> None:
        from aimco.kernels.relaxation import relax

        if self._rest is None:
            self._rest = self._laid(self.sampled.resting_point() - self.origin).contiguous()
        times = seconds * self._per_s
        if self._left is None or not np.array_equal(self._left[0], times):
            self._left = times, np.exp(-times[:, None, None] * self._rates)
        now, carry = (self._laid(t).numpy() for t in (state, self._carried(state)))
        relax(now, carry, self._rest.numpy(), times, self._left[1])

    def _carried(self, state: torch.Tensor) -> torch.Tensor:
        """What the states (E, R, C) cannot hold of what they are, laid out as they are."""
        if self._carry is None:
            self._carry = torch.zeros_like(state)
        return self._carry

    def show(self, state: torch.Tensor) -> None:
        """Set the noise for these states (E, R, C)."""
        if self.noise is not None:
            self.noise.find_programmed(self.flat(state))
            self.noise.show(self.flat(state), self.flat(state + self.origin))

    def rebase(self, before: torch.Tensor, after: torch.Tensor) -> None:
        """What states are measured against has changed, and so have the numbers for them: no device was programmed by that."""
        self._rest = None
        if self.drifting is not None:
            self.drifting.left_at = torch.where(self.drifting.left_at == before, after, self.drifting.left_at)
        if self.noise is not None:
            self.noise.rebase(self.flat(before), self.flat(after))

    def restored(self) -> None:
        """The states, what they are measured against and the devices are those of a checkpoint, or new."""
        members, apart = len(self.pending), self.sampled.values.get("retention_s")
        self._rates = np.ones((members, 1, 1)) if apart is None else np.ascontiguousarray(self._laid(torch.exp(-apart)).numpy())
        self._fastest = self._per_s * self._rates.reshape(members, -1).max(1) + self._slowest
        self._rest: torch.Tensor | None = None
        self._left: tuple[np.ndarray, np.ndarray] | None = None  # of the last times, since steps of training may take equal times
        self.waits = bool(self.pending.any())

    def _laid(self, t: torch.Tensor) -> torch.Tensor:
        return t.transpose(1, 2) if self.on_its_side else t

    def flat(self, t: torch.Tensor) -> torch.Tensor:
        """A tensor (E, R, C) as (E, devices), in the order they lie in memory."""
        return self._laid(t).reshape(len(self.pending), -1)

    def _each(self, value: PerMember) -> torch.Tensor:
        return torch.from_numpy(per_member(value, len(self.pending)))[:, None, None]

    def tensors(self, state: torch.Tensor) -> dict[str, torch.Tensor]:
        """All that a checkpoint needs."""
        tensors = {"pending": torch.from_numpy(self.pending), "carry": self._carried(state), "advances": self._advances}
        if self.drifting is not None:
            tensors |= {f"drift.{n}": getattr(self.drifting, n) for n in ("left_at", "since", "nu")}
        return tensors if self.noise is None else tensors | {f"noise.{n}": t for n, t in self.noise.tensors.items()}
