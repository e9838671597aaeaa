"""What a conductance does by itself while time passes, all its sources of noise together. And what writing it adds."""

from __future__ import annotations

from typing import Self

import numpy as np
import torch

from aimco.device.datasheet import Datasheet
from aimco.device.noises import Draws, stream_names
from aimco.ensemble import PerMember, per_member


class Fluctuations:
    """Noise of one array by physical time: `shift` is the change of each state, in units of half the range, and stands still between holds.

    Devices are flat, (E, devices), in the order they lie in memory. As with drift, a device whose state is not what was last seen has
    been programmed since. What an array is read against (mid-range, symmetry points) is without noise.

    Args:
        device: Whose noise.
        seeds: Of the array, one for each member.
        names: Of the array.
        devices: How many it has.
    """

    def __init__(self, device: Datasheet, seeds: tuple[int, ...], names: tuple[str, ...], devices: int) -> None:
        members = len(seeds)
        half, mid, top = (per_member(v, members) for v in (device.half_range, device.mid_range, device.g_max))
        self._middle, self._scale = (v.astype(np.float32) for v in (mid / half, half / top))
        self.sources = dict(zip(stream_names(device.noise), device.noise, strict=True))
        self._draws = {name: Draws(seeds, (*names, name)) for name in self.sources}
        self.state = {name: source.start(self._draws[name], devices) for name, source in self.sources.items()}
        self.shift = torch.zeros(members, devices)
        self._g, self._ratio = torch.empty(members, devices), torch.empty(members, devices)  # kept, since new memory is slow
        self._restarting = [name for name, source in self.sources.items() if source.restarts]
        self._seen = torch.full((members, devices if self._restarting else 0), torch.nan)

    @classmethod
    def of(cls, device: Datasheet, seeds: tuple[int, ...], names: tuple[str, ...], devices: int) -> Self | None:
        """The fluctuations of an array, None where its devices have none."""
        return cls(device, seeds, names, devices) if device.noise else None

    @property
    def tensors(self) -> dict[str, torch.Tensor]:
        """All that a checkpoint needs."""
        source_state = {f"{name}.{n}": t for name, tensors in self.state.items() for n, t in tensors.items()}
        return {"shift": self.shift, "seen": self._seen} | source_state

    def find_programmed(self, state: torch.Tensor) -> None:
        """Noise measured from programming starts again in the devices whose state is not what was seen last."""
        if not self._restarting:
            return
        written = state != self._seen
        if written.any():
            for name in self._restarting:
                self.sources[name].programmed(self.state[name], written)
            self._seen.copy_(state)

    def rebase(self, before: torch.Tensor, after: torch.Tensor) -> None:
        """States are measured against something else: those that were seen as `before` are now `after`."""
        if self._restarting:
            self._seen.copy_(torch.where(self._seen == before, after, self._seen))

    def advance(self, seconds: PerMember, number: int) -> None:
        """Let time pass, s or (E,); `number` of this step, for its draws."""
        times = torch.from_numpy(per_member(seconds, len(self.shift)))[:, None]
        for name, source in self.sources.items():
            source.advance(self.state[name], times, self._draws[name], number)

    def show(self, state: torch.Tensor, absolute: torch.Tensor) -> None:
        """Set `shift` for these states; `absolute`: measured from mid-range."""
        from aimco.kernels.flicker import conductances, shifts

        conductances(absolute.numpy(), self._middle, self._scale, self._g.numpy(), self._ratio.numpy())
        change = [source.relative(self.state[name], self._ratio) for name, source in self.sources.items()]
        total = change[0] if len(change) == 1 else torch.stack([c.double() for c in change]).sum(0)
        shifts(total.numpy(), self._g.numpy(), self.shift.numpy())
        if self._restarting:
            self._seen.copy_(state)


def programming_sigma(coefficients: tuple[float, float, float], ratio: torch.Tensor) -> torch.Tensor:
    """Standard deviation of a conductance written with verify, S: max(c0 + c1 r + c2 r^2, 0) with r = g/g_max.

    Source: Joshi 2020, Nandakumar 2019: the spread about the target of phase-change devices after iterative programming.
    """
    c0, c1, c2 = coefficients
    return (c0 + (c1 + c2 * ratio) * ratio).clamp(min=0.0)
