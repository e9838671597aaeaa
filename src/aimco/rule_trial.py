"""A trial of a user's own rule when its design is read: it updates a small array of ideal devices from random vectors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from aimco import user_code
from aimco.arrays.kinds import Array
from aimco.arrays.spec import ArraySpec
from aimco.cell import Cell
from aimco.device.device import Device
from aimco.device.families.constant_step import ConstantStep
from aimco.errors import InputError
from aimco.learning import Rule
from aimco.mapping import AnalogMatrix
from aimco.periphery import Periphery
from aimco.rng import keep_generators

ROWS, COLUMNS, BATCH, BATCHES = 12, 10, 10, 60
_AGAIN = 20  # batches after which two trials are compared
_LEAST_LR, _MOST_LR = 0.01, 0.05
_SIGMAS = 5.0  # of a correlation by chance, beyond which weights move along the gradient and not by chance
_STEPS = 1000  # of an ideal device in half its range
STILL = f"the rule did not move any weight in the trial, of {BATCH * BATCHES} random samples: whether its sign is right was not seen"
_passed: dict[tuple[type[Rule], str], list[str]] = {}  # notes of what was tried in this process, by class and what a trial depends on


@dataclass(frozen=True)
class Moved:
    """What a rule did in a trial.

    Args:
        change: Of the weights, (rows, columns).
        descent: Sum of x d^T over the samples, minus the gradient, (rows, columns).
        early: Weights and digital state after the first batches, by name.
    """

    change: torch.Tensor
    descent: torch.Tensor
    early: dict[str, torch.Tensor]

    @property
    def still(self) -> bool:
        """Whether no weight moved."""
        return not bool(self.change.any())

    @property
    def sigmas(self) -> float:
        """Correlation of the change with minus the gradient, in standard deviations of what chance gives; 0 where nothing moved."""
        a, b = (t.double().flatten() - t.double().mean() for t in (self.change, self.descent))
        size = float(a.norm() * b.norm())
        return 0.0 if size == 0 else float(a @ b) / size * math.sqrt(a.numel())


def check_rule(rule: Rule, device: Device, cell: Cell) -> None:
    """Try a rule on ideal devices of the range of a device, in cells of a kind.

    Raises:
        InputError: a method that is missing, misspelt or of other arguments; an error in the user's file; weights that are not finite, that
            move along the gradient, or that differ between two trials of the same seed. One sentence, with file and line.
    """
    rule_notes(rule, device, cell)


def rule_notes(rule: Rule, device: Device, cell: Cell) -> list[str]:
    """What a trial of a user's rule could not see; nothing of aimco's own rules. Raises as `check_rule`.

    Numbers with a point leave alone what a trial can see, so that the points of a study share one.
    """
    if not user_code.is_own(type(rule)):
        return []
    options = {n: v for n, v in rule if not isinstance(v, float)}
    key = type(rule), repr((options, cell.kind))
    if key not in _passed:
        _passed[key] = _tried(rule, device, cell)
    return _passed[key]


def _tried(rule: Rule, device: Device, cell: Cell) -> list[str]:
    """Notes of a rule that passes."""
    kind = type(rule)
    user_code.check_methods(kind, Rule, {"update": "update(self, arrays, state, x, d, lr)"}, {})
    with user_code.located(kind):
        if rule.teaches != "layers" or not rule.arrays():  # one that teaches no arrays of layers
            return []
        rule.notes()
        rule.work(ROWS, COLUMNS, 1, BATCH)
    try:
        with keep_generators(), user_code.located(kind):
            first, again = try_rule(rule, device, cell), try_rule(rule, device, cell, _AGAIN)
    except InputError:
        raise
    except Exception as error:  # not in the user's file: the run will tell, or has no such trouble
        return [f"the trial of the rule could not be run ({type(error).__name__}: {error})"]
    return _judged(kind, first, again)


def _judged(kind: type[Rule], first: Moved, again: Moved) -> list[str]:
    """Notes on two trials, of which the second is shorter."""
    place = f"{user_code.where_is(kind, 'update')}: {kind.__name__}.update"
    for name, value in again.early.items():
        if not torch.equal(value.nan_to_num(), first.early[name].nan_to_num()):
            drawn = "it draws random numbers from outside; take those of aimco.learning.uniform or normal"
            raise InputError(f"{place} leaves other {name} when it is run again with the same seed: {drawn}")
    if not bool(torch.isfinite(first.change).all()):
        raise InputError(f"{place} leaves weights that are not finite after {BATCH * BATCHES} random samples")
    if first.sigmas < -_SIGMAS:
        size = f"their correlation with minus the gradient is {first.sigmas / math.sqrt(ROWS * COLUMNS):.2f}"
        raise InputError(f"{place} moves the weights of ideal devices up the gradient ({size}); d is minus the gradient: w += lr x d^T")
    return [STILL] if first.still else []


@torch.no_grad()
def try_rule(rule: Rule, device: Device, cell: Cell, batches: int = BATCHES) -> Moved:
    """Update ideal devices by a rule, from samples of a linear target, of which the mean gradient is large."""
    arrays = _arrays(rule, device, cell)
    state, draws = rule.start(arrays), torch.Generator().manual_seed(0)
    _check_state(rule, state)
    top = float(np.min(cell.weight_max))
    arrays[rule.weight_array].program(0.2 * top * (2 * torch.rand(1, ROWS, COLUMNS, generator=draws) - 1))
    before, descent, early = rule.stored(arrays, state).clone(), torch.zeros(ROWS, COLUMNS), {}
    target = torch.randn(1, ROWS, COLUMNS, generator=draws) / math.sqrt(ROWS)
    for k in range(batches):
        x = 2 * torch.rand(1, BATCH, ROWS, generator=draws) - 1
        d = x @ target + 0.1 * torch.randn(1, BATCH, COLUMNS, generator=draws)
        lr = _LEAST_LR + (_MOST_LR - _LEAST_LR) * float(torch.rand((), generator=draws))
        if k == 0:
            _check_products(rule, arrays, state, x, d)
        descent += (x.transpose(1, 2) @ d)[0]
        rule.update(arrays, state, x, d, lr)
        if k + 1 == _AGAIN:
            early = {"weights": rule.stored(arrays, state).clone()} | {f"state[{n!r}]": v.clone() for n, v in state.items()}
    return Moved((rule.stored(arrays, state) - before)[0], descent, early)


def _arrays(rule: Rule, device: Device, cell: Cell) -> dict[str, AnalogMatrix]:
    """The arrays that the rule asks for, of ideal devices."""
    ideal, needed, kind = ideal_device(device), rule.arrays(), type(rule)
    for name in rule.coefficients():
        if name not in needed:
            place = f"{user_code.where_is(kind, 'coefficients')}: {kind.__name__}.coefficients"
            raise InputError(f"{place} must name arrays that {kind.__name__}.arrays asks for, {', '.join(needed)}, got {name!r}")
    trial = ArraySpec(ideal, cell, Array(), Periphery())
    return {name: AnalogMatrix(spec.within(trial), ROWS, COLUMNS, names=("trial", name)) for name, spec in needed.items()}


def _check_state(rule: Rule, state: object) -> None:
    user_code.check_tensors(f"{user_code.where_is(type(rule), 'start')}: {type(rule).__name__}.start", state)


def _check_products(
    rule: Rule, arrays: Mapping[str, AnalogMatrix], state: dict[str, torch.Tensor], x: torch.Tensor, d: torch.Tensor
) -> None:
    """The layer's outputs and its errors at the inputs have their shapes."""
    for name, given, wanted in (("mvm", x, d.shape), ("mvm_t", d, x.shape)):
        out = getattr(rule, name)(arrays, state, given.clone())
        if not isinstance(out, torch.Tensor) or out.shape != wanted:
            got = tuple(out.shape) if isinstance(out, torch.Tensor) else type(out).__name__
            place = user_code.where_is(type(rule), name)
            raise InputError(f"{place}: {type(rule).__name__}.{name} must return a tensor {tuple(wanted)}, got {got}")


def ideal_device(device: Device) -> Device:
    """A device of the same range, retention and writes with equal steps, without noise and without spread."""
    step = float(np.min(device.half_range)) / _STEPS
    noise = dict.fromkeys(("cycle_noise", "cycle_noise_additive", "cycle_noise_range", "read_noise", "reset_noise"), 0.0)
    absent = {"noise": (), "drift": None, "half_select": None}
    response = ConstantStep(step_up=step, step_down=step)
    return device.model_copy(update={"response": response, "spread": {}, **noise, **absent})
