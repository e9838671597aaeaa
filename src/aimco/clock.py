"""The clock of a chip: what its arrays were asked to do since the last step takes the time that it is priced at, and passes in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from torch import nn

from aimco.cost.latency import Cut, Pace
from aimco.design import Design
from aimco.ensemble import PerMember
from aimco.nn.layers import analog_layers


class Clock:
    """Lets time pass in all arrays of a model, as much as their work takes.

    The time of a step is `price(design, counts since the last step).latency_s`, from the same definition (`cost.latency`), of every
    analog part of the model wherever it stands in it. Arrays that wait on others leak meanwhile, so that it passes in all alike.

    Args:
        model: any network with analog parts. designs: one for each ensemble member, or one for all.

    Example:
        >>> import torch, aimco as ai
        >>> design = ai.Design(device="ideal")
        >>> model = ai.nn.Linear(4, 3, design=design)
        >>> clock = Clock(model, [design])
        >>> y = model(torch.ones(2, 4))
        >>> clock.step()
        array([1.6e-07])
    """

    def __init__(self, model: nn.Module, designs: Sequence[Design]) -> None:
        self.parts, self.members = analog_layers(model), len(designs)
        self.pace = Pace.of_all(designs)
        shapes = {(part, name): shape for part, layer in self.parts.items() for name, shape in layer.shapes.items()}
        self.cuts = {key: Cut.of(designs[0], *shape) for key, shape in shapes.items()}
        self._seen: dict[tuple[str, str], Mapping[str, PerMember]] = {}
        self.skip()

    def skip(self) -> np.ndarray:
        """Seconds that what was done since the last step took, (E,); they do not pass in the arrays."""
        total: PerMember = 0.0
        for part, layer in self.parts.items():
            for name, done in layer.timed.items():
                key = part, name
                before, self._seen[key] = self._seen.get(key, {}), done
                since = {n: amount - before.get(n, 0) for n, amount in done.items()}
                total = total + sum(self.pace.seconds(self.cuts.get(key, _BESIDE), since).values())
        return np.array(np.broadcast_to(np.asarray(total, np.float64), (self.members,)))

    def step(self) -> np.ndarray:
        """The same, and they pass in the arrays."""
        seconds = self.skip()
        self.elapse(seconds)
        return seconds

    def elapse(self, seconds: PerMember) -> None:
        """Let so many seconds pass in all arrays, a number or (E,)."""
        for layer in self.parts.values():
            layer.elapse(seconds)


_BESIDE = Cut(0, 0, 1, 1)  # what no array does
