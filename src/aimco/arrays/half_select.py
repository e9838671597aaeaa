"""Half-selected devices: those on the row or the column of a pulse that meets no pulse of the other side, at half the voltage.

Each such pulse moves a device by the part h of its step in that direction, at the state it has. Rows and columns fire once to step up and
once to step down, so that a device with up and down steps D+(g) and D-(g) is drawn to where they are equal,

    g <- g + h (H+ D+(g) - H- D-(g)),    H+, H- pulses of its row and its column, less twice those that met

with the mean steps, after all pulses of a batch or of a write. Source of h: Gokmen & Vlasov 2016 (Front. Neurosci. 10:333), Table 2: a
tenth of a step at V_S/2.
"""

from __future__ import annotations

import numpy as np
import torch

from aimco.device.sampled import Sampled
from aimco.ensemble import per_member

_FAR = 0.05  # of half the range, that a device moves at most in one go


class HalfSelect:
    """What pulses do to the devices that they do not mean.

    Args:
        sampled: The devices.
        origin: What their states are measured against.
    """

    def __init__(self, sampled: Sampled, origin: torch.Tensor) -> None:
        self.sampled, self.origin, self._parameters = sampled, origin, None
        share = sampled.device.half_select
        assert share is not None
        self.part = torch.from_numpy(per_member(share, sampled.shape[0]).astype(np.float32))[:, None, None]

    def restored(self) -> None:
        """The devices are those of a checkpoint."""
        self._parameters = None

    def trains(self, state: torch.Tensor, trains: tuple[np.ndarray, ...], batch: int, polarity: int, on_its_side: bool) -> None:
        """After a batch of pulse trains, as `aimco.kernels.trains.encode` made them; state (E, R, C) is changed in place."""
        from aimco.kernels.trains import half_selects

        shape = (len(state), *state.shape[:0:-1]) if on_its_side else tuple(state.shape)
        up, down = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        half_selects(trains, batch, polarity, up, down)
        self._move(state, *(torch.from_numpy(n).transpose(1, 2) if on_its_side else torch.from_numpy(n) for n in (up, down)))

    def rows(self, state: torch.Tensor, pulses: torch.Tensor, rows: np.ndarray) -> None:
        """After rows[t] fired while their columns counted off pulses (E, T, C), positive up, one row after the other."""
        felt, at = [], torch.from_numpy(rows)
        for n in (pulses.clamp(min=0).float(), (-pulses).clamp(min=0).float()):
            every = n.sum(1, keepdim=True).expand(state.shape).clone()
            every.index_add_(1, at, n.amax(2, keepdim=True) - 2 * n)
            felt.append(every)
        self._move(state, *felt)

    def _move(self, state: torch.Tensor, up: torch.Tensor, down: torch.Tensor) -> None:
        """In so many equal parts, for each member, that no device goes far in one."""
        self._parameters = self.sampled.step_parameters() if self._parameters is None else self._parameters
        low, high = (bound - self.origin for bound in self.sampled.bounds())
        rising, falling = self.sampled.steps(state + self.origin, self._parameters)
        farthest = (self.part * (up * rising.abs() + down * falling.abs())).flatten(1).amax(1)
        parts = torch.ceil(farthest / _FAR).clamp(min=1)[:, None, None]
        for k in range(int(parts.max())):
            if k:
                rising, falling = self.sampled.steps(state + self.origin, self._parameters)
            moved = state + self.part / parts * (k < parts) * (up * rising + down * falling)
            state.copy_(torch.minimum(torch.maximum(moved, torch.minimum(low, state)), torch.maximum(high, state)))
