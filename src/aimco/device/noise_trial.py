"""A trial of a user's own source of noise when its device is read: it fluctuates in a few devices over times short and long."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from aimco import user_code
from aimco.device.noises import Draws, NoiseSource, stream_names
from aimco.errors import InputError
from aimco.plain_data import PlainData
from aimco.rng import keep_generators

DEVICES = 64
_SEEDS = (1, 2)  # of two members of an ensemble, and of the two arrays that each is alone
_TIMES = (1e-3, 80e-9, 0.0, 46500.0, 1.0)  # s
_CLOSE = 1e-4  # difference, relative to the largest change of a conductance, that rounding may make
_METHODS = {"advance": "advance(self, tensors, seconds, draws, number)", "relative": "relative(self, tensors, ratio)"}
_passed: set[tuple[type[NoiseSource], str]] = set()  # what was tried in this process, by class and numbers


@dataclass(frozen=True)
class _Trial:
    """A source of noise and how errors name its methods."""

    source: NoiseSource

    def says(self, method: str, problem: str) -> InputError:
        kind = type(self.source)
        return InputError(f"{user_code.where_is(kind, method)}: {kind.__name__}.{method} {problem}")

    def run(self, seeds: tuple[int, ...], numbers: NoiseSource) -> list[torch.Tensor]:
        """Relative changes at the start and after each of the times, (E, devices) float64."""
        kind, draws = type(self.source), Draws(seeds, ("trial", *stream_names([self.source])))
        with user_code.located(kind):
            tensors = numbers.start(draws, DEVICES)
        self._check_state(tensors, len(seeds))
        ratio = torch.linspace(0, 1, DEVICES).expand(len(seeds), -1).contiguous()
        changes = [self._change(numbers, tensors, ratio)]
        for number, seconds in enumerate(_TIMES):
            before = {n: (t.shape, t.dtype) for n, t in tensors.items()}
            with user_code.located(kind):
                numbers.advance(tensors, torch.full((len(seeds), 1), seconds, dtype=torch.float64), draws, number)
            for name in before.keys() | tensors.keys():
                now = tensors.get(name)
                if not isinstance(now, torch.Tensor) or before.get(name) != (now.shape, now.dtype):
                    problem = "must keep the names, shapes and types of the tensors that start returns, which checkpoints hold; it changes"
                    raise self.says("advance", f"{problem} {name!r}")
            changes.append(self._change(numbers, tensors, ratio))
        return changes

    def _check_state(self, tensors: dict[str, torch.Tensor], members: int) -> None:
        user_code.check_tensors(f"{user_code.where_is(type(self.source), 'start')}: {type(self.source).__name__}.start", tensors)
        for name, value in tensors.items():
            if value.ndim == 0 or len(value) != members:
                raise self.says(
                    "start", f"must return tensors whose first axis is the {members} members, got {tuple(value.shape)} for {name!r}"
                )

    def _change(self, numbers: NoiseSource, tensors: dict[str, torch.Tensor], ratio: torch.Tensor) -> torch.Tensor:
        before = {n: t.clone() for n, t in tensors.items()}
        with user_code.located(type(self.source)):
            change = numbers.relative(tensors, ratio.clone())
        if not isinstance(change, torch.Tensor) or change.shape != ratio.shape:
            got = tuple(change.shape) if isinstance(change, torch.Tensor) else type(change).__name__
            raise self.says("relative", f"must return a tensor (E, devices), {tuple(ratio.shape)} here, got {got}")
        if not bool(torch.isfinite(change).all()):
            where = ratio[~torch.isfinite(change)][0].item()
            raise self.says("relative", f"gives a number that is not finite at ratio = {where:.3g}; it must be finite from 0 S on")
        if any(not torch.equal(before[n].nan_to_num(), t.nan_to_num()) for n, t in tensors.items()):
            raise self.says("relative", "changes the state; reads must leave the noise as it is, which only advance may change")
        return change.double()


def check_noise(source: NoiseSource) -> None:
    """Try a user's source of noise.

    Args:
        source: With its numbers.

    Raises:
        InputError: a method that is missing, misspelt or of other arguments; an error in the user's file; changes that are not finite, that
            differ between two trials of the same seed, that come without time, or that an ensemble makes otherwise. One sentence, with
            file and line.
    """
    key = type(source), repr(dict(source))
    if key not in _passed:
        with keep_generators():
            _try(source)
        _passed.add(key)


def _try(source: NoiseSource) -> None:
    for method, call in _METHODS.items():
        user_code.check_methods(type(source), NoiseSource, {method: call}, {})
    trial = _Trial(source)
    first, again = ([trial.run((seed,), source) for seed in _SEEDS] for _ in range(2))
    for one, same in zip(first, again, strict=True):
        for k, (a, b) in enumerate(zip(one, same, strict=True)):
            if not torch.equal(a, b):
                drawn = "it draws random numbers from outside; take those of draws.normal or draws.uniform"
                raise trial.says("advance" if k else "start", f"leaves another state when it is run again with the same seed: {drawn}")
    for one in first:
        still = _TIMES.index(0.0)
        if not _close(one[still], one[still + 1]):
            raise trial.says("advance", "changes conductances when no time passes; for seconds = 0 it must leave the state as it is")
    _check_ensemble(trial, first)


def _check_ensemble(trial: _Trial, alone: list[list[torch.Tensor]]) -> None:
    """Two members, whose numbers lie side by side, fluctuate as each of them alone."""
    source = trial.source
    beside: PlainData = {n: (v,) * len(_SEEDS) if isinstance(v, float) else v for n, v in source}
    remedy = "a field holds one number for each member, which member_column(self.NAME) turns into a column"
    try:
        together = trial.run(_SEEDS, type(source).model_construct(**beside))
    except InputError as error:
        raise InputError(f"{error} (in an ensemble {remedy})") from None
    for k, change in enumerate(together):
        if not all(_close(change[e], one[k][0]) for e, one in enumerate(alone)):
            method = "advance" if k else "start"
            raise trial.says(method, f"makes other noise for a member of an ensemble than for an array alone: {remedy}")


def _close(a: torch.Tensor, b: torch.Tensor) -> bool:
    return bool((a - b).abs().max() <= _CLOSE * torch.maximum(a.abs().max(), b.abs().max()))
