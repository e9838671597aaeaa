"""What holds the best design back, and what the circuit must give it: one thing changed at a time, on the same seeds."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from aimco.advice.answer import Confirmed, Demand, Influence, interval
from aimco.advice.confirm import confirmed
from aimco.advice.jobs import Job, Jobs
from aimco.design import Design
from aimco.record import InputError
from aimco.studies.settings import with_setting

POINT = 1.0  # of the score, that a circuit may cost
_NOISES = {"cycle_noise": "cycle-to-cycle noise", "cycle_noise_additive": "cycle-to-cycle noise, additive"}
_NOISES |= {"cycle_noise_range": "cycle-to-cycle noise, of the range", "read_noise": "read noise", "reset_noise": "noise of a reset"}
_SPREADS = {"step": "spread of the step", "asymmetry": "spread of the asymmetry", "g_max": "spread of the upper bound"}
_SPREADS |= {"g_min": "spread of the lower bound", "retention_s": "spread of the retention"}


@dataclass(frozen=True)
class _Change:
    """One number of a device, changed."""

    parameter: str
    name: str
    words: str
    value: float
    design: Design


def influences(best: Confirmed, jobs: Jobs, seeds: Sequence[int]) -> list[Influence]:
    """Every line of the datasheet improved and worsened by a factor; the largest effect first.

    Rates that follow from the device by themselves do so in each changed device; tuned ones stay.
    """
    changes = [change for change in _changes(best.candidate.design) if _possible(change, best)]
    scores = _scores([with_setting(c.design, best.setting) for c in changes], best, jobs, seeds)
    base = _scores([best.design], best, jobs, seeds)[0]
    if base is None:
        return []
    effects = []
    for change, score in zip(changes, scores, strict=True):
        if score is not None:
            gain, margin = interval(np.subtract(score, base).tolist())
            effects.append(Influence(change.parameter, change.name, change.words, change.value, gain, margin))
    return sorted(effects, key=lambda i: -abs(i.gain))


def _possible(change: _Change, best: Confirmed) -> bool:
    try:
        with_setting(change.design, best.setting)
    except InputError:
        return False
    return True


def _scores(designs: Sequence[Design], best: Confirmed, jobs: Jobs, seeds: Sequence[int]) -> list[tuple[float, ...] | None]:
    """Scores of each seed; None where the run failed or the time was up."""
    outcomes = jobs.run([Job(design, tuple(seeds)) for design in designs])
    done = [None if o is None or o["state"] == "failed" else confirmed(best.candidate, best.setting, o, jobs) for o in outcomes]
    return [None if c is None else c.scores for c in done]


def _changes(design: Design) -> Iterator[_Change]:
    """Neighbours of a design that differ in one line of the datasheet of its device."""
    device = design.device
    for words, factor in (("halved", 0.5), ("doubled", 2.0)):
        if (finer := _with_steps(design, factor, factor)) is not None:
            states = "doubled" if factor < 1 else "halved"
            yield _Change("device.response.step_up", "number of states", states, float(finer.device.states), finer)
        for path, name in _NOISES.items():
            if value := getattr(device, path):
                yield from _replaced(design, f"device.{path}", name, words, factor * value)
        for path, value in device.spread.items():
            if value:
                yield from _replaced(design, f"device.spread.{path}", _SPREADS.get(path, f"spread of {path}"), words, factor * value)
        if math.isfinite(device.retention_s):
            yield from _replaced(design, "device.retention_s", "retention", words, factor * device.retention_s)
        if device.programming_noise is not None and any(device.programming_noise):
            noise = tuple(factor * c for c in device.programming_noise)
            yield from _replaced(design, "device.programming_noise", "noise of writing", words, noise)
    yield from _with_asymmetry(design)


def _replaced(design: Design, path: str, name: str, words: str, value: float | tuple[float, ...]) -> Iterator[_Change]:
    try:
        changed = design.replace(path, value)
    except InputError:
        return
    yield _Change(path, name, words, float(np.atleast_1d(value)[0]), changed)


def _with_steps(design: Design, up: float, down: float) -> Design | None:
    """The mean steps of the device times factors; None where its family has no such numbers, or refuses them."""
    response = design.device.response
    fields = type(response).model_fields
    if "step_up" not in fields or "step_down" not in fields:
        return None
    try:
        raised = design.replace("device.response.step_up", float(response.step_up) * up)
        return raised.replace("device.response.step_down", float(response.step_down) * down)
    except InputError:
        return None


def _with_asymmetry(design: Design) -> Iterator[_Change]:
    """Mean steps up and down made equal, and set apart twice as far."""
    response = design.device.response
    if response.one_sided or "step_up" not in type(response).model_fields:
        return
    up, down = float(response.step_up), float(response.step_down)
    if up == down:
        return
    apart = math.sqrt(up / down)
    for words, factor in (("removed", 1 / apart), ("doubled", apart)):
        changed = _with_steps(design, factor, 1 / factor)
        if changed is not None:
            ratio = float(changed.device.response.step_up) / float(changed.device.response.step_down)
            yield _Change("device.response.step_up", "asymmetry of the mean steps", words, ratio, changed)


@dataclass(frozen=True)
class _Sweep:
    """A number of the circuit, from good to bad; `share` of the schedule and `seeds` are enough where runs are slow."""

    parameter: str
    name: str
    unit: str
    values: tuple[float, ...]
    change: Callable[[Design, float], Design]
    share: float = 1.0
    seeds: int | None = None


def _adc(design: Design, bits: float) -> Design:
    return design.replace("periphery.adc", design.periphery.adc.as_dict() | {"bits": bits, "calibration": "percentile"})


def _dac(design: Design, bits: float) -> Design:
    return design.replace("periphery.dac.bits", bits)


def _wires(design: Design, ohm: float) -> Design:
    array = {"kind": "wired", "rows": design.array.rows, "cols": design.array.cols, "wires": {"word_ohm": ohm, "bit_ohm": ohm}}
    return Design.of(design.as_dict() | {"array": array})


CIRCUIT = (
    _Sweep("periphery.adc.bits", "ADC resolution", "bits", (8.0, 7.0, 6.0, 5.0, 4.0, 3.0), _adc, 0.5, 3),
    _Sweep("periphery.dac.bits", "DAC resolution", "bits", (7.0, 6.0, 5.0, 4.0, 3.0, 2.0), _dac, 0.5, 3),
    _Sweep("array.wires.word_ohm", "Wire resistance per cell, on one seed", "Ohm", (0.3, 1.0, 3.0, 10.0), _wires, 0.2, 1),
)


def demands(best: Confirmed, jobs: Jobs, seeds: Sequence[int]) -> Iterator[Demand]:
    """How bad converters and wires may be until the best design loses a point."""
    for sweep in CIRCUIT:
        epochs = max(1, round(sweep.share * best.design.training.epochs))
        whole = best.design.replace("training.epochs", epochs)
        try:
            designs = [sweep.change(whole, value) for value in sweep.values]
        except InputError:
            continue
        base, *scores = _scores([whole, *designs], best, jobs, seeds[: sweep.seeds])
        if base is None:
            continue
        known = itertools.takewhile(lambda pair: pair[1] is not None, zip(sweep.values, scores, strict=True))
        tried = [(value, *interval(np.subtract(base, score).tolist())) for value, score in known if score is not None]
        if tried:
            values, lost, margins = zip(*tried, strict=True)
            within = list(itertools.takewhile(lambda pair: pair[1] < POINT, zip(values, lost, strict=True)))
            yield Demand(sweep.parameter, sweep.name, sweep.unit, values, lost, margins, within[-1][0] if within else None)
