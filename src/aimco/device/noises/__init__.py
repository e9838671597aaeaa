"""Fluctuations of a conductance while time passes, one file each: `flicker` is class Flicker in flicker.py.

A source of noise is a frozen record of its numbers. What fluctuates is tensors, which `start` makes and `advance` changes in place, so that
a checkpoint of these tensors is all that a run needs to resume.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch

from aimco import rng
from aimco.record import Kinded


@dataclass(frozen=True)
class Draws:
    """Random numbers of one source of noise in one array.

    A number is a function of the seed, the array, the source, `what`, `number` and the device, and of nothing else: not of what was drawn
    before, of threads, or of the other members of an ensemble.

    Args:
        seeds: One for each of the E ensemble members.
        names: Names of the array, and of the source in it.
    """

    seeds: tuple[int, ...]
    names: tuple[str, ...]

    @cached_property
    def keys(self) -> np.ndarray:
        """Keys of the stream of the source, (E,) uint64, for kernels that draw by themselves."""
        return rng.stream_keys(self.seeds, *self.names)

    def normal(self, what: str, number: int, shape: tuple[int, ...]) -> torch.Tensor:
        """Numbers of mean 0 and variance 1.

        Args:
            what: Name of the stream, such as "step".
            number: Of the draw in its stream, >= 0.
            shape: Of the draw of one member.

        Returns:
            Float32, (E, *shape).
        """
        return rng.normal(rng.stream_keys(self.seeds, *self.names, what), number, shape)

    def uniform(self, what: str, number: int, shape: tuple[int, ...]) -> torch.Tensor:
        """Numbers in (0, 1), float64, (E, *shape); arguments as `normal`."""
        drawn = rng.uniform(rng.stream_keys(self.seeds, *self.names, what), number, int(np.prod(shape)))
        return torch.from_numpy(drawn.reshape(len(self.seeds), *shape))


class NoiseSource(Kinded):
    """One cause of fluctuations of a conductance (abstract): dg = g r(t), with r of mean 0 over the devices.

    Several sources of a device add up, and no sum of them takes a conductance below 0 S. Devices are flat, (E, devices), for E ensemble
    members. In an ensemble a number of the record is E numbers: read it through `member_column`.

    Example:
        >>> from aimco.device.noises.telegraph import Telegraph
        >>> Telegraph(amplitude=0.1, capture_s=0.01, emission_s=0.03).kind
        'telegraph'
    """

    kinds_in: ClassVar[str] = "aimco.device.noises"

    def start(self, draws: Draws, devices: int) -> dict[str, torch.Tensor]:
        """State of the source when an array is made; none by default.

        Args:
            draws: Random numbers of the source.
            devices: How many the array has.

        Returns:
            Tensors by name, the first axis of each the E members.
        """
        return {}

    def advance(self, tensors: dict[str, torch.Tensor], seconds: torch.Tensor, draws: Draws, number: int) -> None:
        """Let time pass (abstract), exactly for any time: two steps have the law of one step of their sum.

        Args:
            tensors: What `start` returned, changed in place.
            seconds: Time that passes, >= 0, s, (E, 1) float64. A member for which none passes stays as it is.
            draws: Random numbers of the source.
            number: Of this step in the life of the array, >= 0: the number of its draws.
        """
        raise NotImplementedError

    def relative(self, tensors: dict[str, torch.Tensor], ratio: torch.Tensor) -> torch.Tensor:
        """Change of each conductance relative to it, r (abstract); it changes no tensor.

        Args:
            tensors: The state of the source.
            ratio: Conductance of each device without noise over g_max, >= 0, (E, devices) float32.

        Returns:
            Finite numbers, (E, devices). Sources are added before they are rounded to float32.
        """
        raise NotImplementedError

    def programmed(self, tensors: dict[str, torch.Tensor], written: torch.Tensor) -> None:
        """Start again in the devices that have been programmed; a source that leaves this out does not look at what is programmed.

        Args:
            tensors: The state of the source, changed in place.
            written: Devices whose state is not what time left it at, (E, devices) bool.
        """

    @property
    def restarts(self) -> bool:
        """Whether programming a device starts its noise again; by default, whether the kind defines `programmed`."""
        return type(self).programmed is not NoiseSource.programmed


def member_column(value: float | Sequence[float]) -> torch.Tensor:
    """A number of a record as a column over the ensemble members, which broadcasts over devices.

    Args:
        value: A number, or the E numbers that an ensemble lays side by side.

    Returns:
        Float32, (1, 1) or (E, 1).
    """
    return torch.from_numpy(np.asarray(value, np.float32).reshape(-1, 1))


def stream_names(sources: Sequence[NoiseSource]) -> list[str]:
    """Names of the streams of the sources of a device: the kind, without the file of a user's; numbered from the second of one name."""
    names = [source.kind.rpartition(":")[2] for source in sources]
    before = [names[:k].count(name) for k, name in enumerate(names)]
    return [name if not count else f"{name} {count + 1}" for name, count in zip(names, before, strict=True)]
