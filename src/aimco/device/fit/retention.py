"""Retention traces: how fast a level falls when left alone, and by which law."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from scipy import optimize

from aimco.device.fit.datasheet import Estimate, mean, spread
from aimco.device.measurement import Retention
from aimco.plain_data import PlainData
from aimco.record import InputError
from aimco.units import text

_FEWEST = 4  # readings
_CLOSE = 2.0  # of the information criterion: laws that close cannot be told apart
_LOG_TIME = 30.0  # last over first time from which the power of time is asked for


@dataclass(frozen=True, eq=False)
class Law:
    """One law fitted to one trace. parameters: name -> (value, standard deviation)."""

    name: str
    equation: str
    parameters: dict[str, tuple[float, float]]
    r2: float
    criterion: float
    curve: Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class RetentionFit:
    """Laws of each device, the one that was taken, and what goes into the datasheet."""

    laws: list[list[Law]]
    chosen: str
    estimates: dict[str, Estimate]
    measured: Retention
    extra: PlainData
    notes: list[str] = field(default_factory=list)


def fit_retention(measured: Retention) -> RetentionFit:
    """Fit an exponential decay to zero, a straight line and a power of time to every trace.

    v = v_0 exp(-t/tau), v = v_0 (1 - t/t_end), v = v_0 (t/t_0)^-nu. The exponential is taken for a capacitor, the power of time where
    the times span a factor of 30 and it is the better of the two; the straight line is a rival to be told of, not a law of retention.

    Raises:
        InputError: fewer than 4 readings, or a level that does not fall.
    """
    laws = [_laws(name, time, level, measured.source) for name, time, level in measured.devices]
    scores = {law.name: sum(candidate.criterion for each in laws for candidate in each if candidate.name == law.name) for law in laws[0]}
    decays = {name: score for name, score in scores.items() if name != "straight line"}
    chosen = min(decays, key=lambda name: decays[name])
    taken = [next(candidate for candidate in each if candidate.name == chosen) for each in laws]
    parameter = "tau" if chosen == "exponential" else "nu"
    values, sigma = (np.array([candidate.parameters[parameter][k] for candidate in taken]) for k in (0, 1))
    unit = "s" if parameter == "tau" else ""
    estimates = {"retention_s" if parameter == "tau" else "drift.nu": mean(values, sigma, unit)}
    if values.size > 1:
        estimates["spread.retention_s"] = spread(np.log(values), sigma / values)
    return RetentionFit(
        laws, chosen, estimates, measured, _extra(chosen, estimates, taken, measured), _notes(laws, chosen, values, measured, scores)
    )


def _laws(name: str, time: np.ndarray, level: np.ndarray, source: str) -> list[Law]:
    if time.size < _FEWEST:
        raise InputError(f"{source}: device {name} must have at least {_FEWEST} readings against time, got {time.size}; measure longer")
    sign = 1.0 if level[0] >= 0 else -1.0
    v = sign * level
    slope, start = np.polyfit(time, v, 1)
    if slope >= 0:
        raise InputError(f"{source}: device {name} must fall towards zero with time, got a level that does not; nothing is to be fitted")
    laws = [
        _law("exponential", "v_0 exp(-t/tau)", lambda t, a, b: a * np.exp(-t / b), ("v_0", "tau"), (v[0], -start / slope), time, v, sign),
        _law(
            "straight line", "v_0 (1 - t/t_end)", lambda t, a, b: a * (1 - t / b), ("v_0", "t_end"), (start, -start / slope), time, v, sign
        ),
    ]
    later = time > 0
    if later.sum() >= _FEWEST and (v[later] > 0).all() and time.max() > _LOG_TIME * time[later].min():
        first = float(time[later].min())
        nu = -np.polyfit(np.log(time[later]), np.log(v[later]), 1)[0]
        power = _law(
            "power of time",
            "v_0 (t/t_0)^-nu",
            lambda t, a, b: a * (t / first) ** -b,
            ("v_0", "nu"),
            (v[later][0], nu),
            time[later],
            v[later],
            sign,
        )
        laws.append(power)
    return laws


def _law(
    name: str,
    equation: str,
    curve: Callable[..., np.ndarray],
    names: tuple[str, str],
    start: tuple[float, float],
    time: np.ndarray,
    level: np.ndarray,
    sign: float,
) -> Law:
    try:
        values, covariance = optimize.curve_fit(curve, time, level, start, maxfev=5000)
    except RuntimeError:
        values, covariance = np.array(start), np.full((2, 2), np.nan)
    off = float(np.sum((level - curve(time, *values)) ** 2))
    total = float(np.sum((level - level.mean()) ** 2))
    criterion = time.size * float(np.log(max(off, 1e-12 * total) / time.size)) + 2 * float(np.log(time.size))
    parameters = {n: (float(v), float(s)) for n, v, s in zip(names, values, np.sqrt(np.diag(covariance)), strict=True)}
    return Law(name, equation, parameters, 1 - off / total, criterion, lambda t: sign * curve(t, *values))


def _extra(chosen: str, estimates: dict[str, Estimate], taken: list[Law], measured: Retention) -> PlainData:
    """Fields of the datasheet."""
    if chosen == "exponential":
        e = estimates["retention_s"]
        words = f"measured ({measured.source}): exponential decay, tau {text(e.value, 's')}, 95 % interval {e.low:.4g} to {e.high:.4g} s"
        rest = "assumed: zero of the level that was read, taken for the middle of the range"
        return {"retention_s": e.value, "sources": {"retention_s": words, "resting_g": rest}}
    e, first = estimates["drift.nu"], float(min(t[t > 0].min() for _, t, _ in measured.devices))
    law = {"t_0": first, "nu": e.value, "slope": 0.0, "nu_min": e.value, "nu_max": e.value}
    apart = estimates["spread.retention_s"].value * e.value if "spread.retention_s" in estimates else 0.0
    law |= {"spread": apart, "spread_slope": 0.0, "spread_min": apart, "spread_max": apart}
    words = f"measured ({measured.source}): power of time, nu {e.value:.4g}, 95 % interval {e.low:.4g} to {e.high:.4g}, whatever the state"
    return {"drift": law, "sources": {"drift": words}}


def _notes(laws: list[list[Law]], chosen: str, values: np.ndarray, measured: Retention, scores: dict[str, float]) -> list[str]:
    notes = list(measured.notes)
    for each in laws[:1]:
        notes.append("; ".join(f"{law.name}: R^2 {law.r2:.4f}" for law in each))
    rivals = [name for name, score in scores.items() if name != chosen and score < scores[chosen] + _CLOSE * len(laws)]
    if rivals:
        notes.append(f"{' and '.join(rivals)} fits as well or nearly so: the record cannot tell it from the {chosen}")
    if chosen == "exponential":
        spans = max(float(t.max() - t.min()) for _, t, _ in measured.devices) / float(values.mean())
        if spans < 3:
            notes.append(f"the record spans only {spans:.2f} tau: whether the level goes to zero or to another resting point is not seen")
    return notes
