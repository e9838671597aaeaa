"""Leak on the fast array of Tiki-Taka v2: read against its symmetry points, against its resting points, or against its own reads."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from aimco.design import Design
from aimco.plain_data import PlainData
from aimco.reference import Row, Settings
from aimco.reference._programming import weight_error

SOURCE = "aimco's own: eps_w of a 20 x 20 layer against the retention of the fast array, 400 states, weak asymmetry; no publication has it"
NEEDS = None

TAUS = (float("inf"), 1e5, 1e4, 1e3, 200.0)  # samples
SEEDS = (1, 2, 3)
RULES = {
    "symmetry point": "tiki-taka-v2",
    "resting point": "retention-tiki-taka",
    "resting point, chopped": "chopped-retention-tiki-taka",
    "no reference (AGAD)": "agad",
}
_WEAK, _UNEQUAL = 0.1, 0.4  # spreads of the asymmetry of A
_NEVER = 1e12  # samples: so that the ensemble is one of leaking devices
_INPUTS, _BATCH = 100_000, 5


def design(kind: str, tau: float, asymmetry: float = _WEAK) -> Design:
    """400 states; steps fall to zero at four half ranges from the middle; a sample takes 1 s, so that tau is in samples.

    Only A leaks. Resting points have a spread of 0.1 half ranges, steps of 0.1 (and 0.1 between up and down, or for A `asymmetry`),
    bounds none, noise from cycle to cycle 0.3. lambda 0.1, n_s 5, gamma_0 200, trains of 5 slots that are full for the mean of the
    largest gradients.
    """
    step = 2.0 / 400

    def device(leaks: bool) -> PlainData:
        shape = {"g_min": 0.0, "g_max": 8.0, "response": {"kind": "soft-bounds", "step_up": step, "step_down": step}}
        shape |= {"spread": {"step": 0.1, "asymmetry": _WEAK}, "spread_law": "lognormal", "cycle_noise_additive": 0.3}
        if leaks:
            shape["retention_s"] = tau if np.isfinite(tau) else _NEVER
            shape["spread"] |= {"asymmetry": asymmetry, "resting_g": 0.1 / 4}
        return shape

    rule = {"kind": kind, "lr": 0.1, "lr_fast": 1.0, "transfer_every": _BATCH, "granularity": 200.0}
    rule |= {"max_pulses": 1, "slow_device": device(False)}
    return Design.of(
        {
            "device": device(True),
            "cell": {"kind": "reference", "weight_max": 4.0},
            "rule": rule,
            "periphery": {"pulses": {"length": 5}},
            "network": {"bias": "none"},
        }
    )


def run(settings: Settings) -> list[Row]:
    """All four over all retention times, each rule one ensemble, and where up and down steps differ more; quick: the longest and the
    shortest, a fifth of the inputs."""
    taus, shortest = (TAUS[0], TAUS[-1]) if settings.quick else TAUS, TAUS[-1]
    errors = {name: _errors(settings, name, [(tau, _WEAK) for tau in taus]) for name in RULES}
    rows = []
    for name, values in errors.items():
        for tau, ours in zip(taus, values, strict=True):
            rows.append(Row(f"{name}, tau of A {tau:g} samples", None, ours, None, "%"))
    rows.append(_at_least("symmetry point", "resting point", shortest, errors["symmetry point"][-1] / errors["resting point"][-1]))
    unequal = {name: _errors(settings, name, [(shortest, _UNEQUAL)])[0] for name in ("resting point", "resting point, chopped")}
    rows += [Row(f"{name}, {shortest:g} samples, steps differ by {_UNEQUAL}", None, ours, None, "%") for name, ours in unequal.items()]
    resting, chopped = unequal.values()
    return [*rows, _at_least("the same: resting point", "chopped", shortest, resting / chopped)]


def _errors(settings: Settings, name: str, cases: Sequence[tuple[float, float]]) -> list[float]:
    """eps_w, %, of a rule for each (tau, asymmetry), the mean over the seeds."""
    members = [(tau, asymmetry, seed) for tau, asymmetry in cases for seed in SEEDS]
    errors = weight_error(
        [design(RULES[name], tau, asymmetry) for tau, asymmetry, _ in members],
        [seed for *_, seed in members],
        inputs=_INPUTS // 5 if settings.quick else _INPUTS,
        batch=_BATCH,
        lr=0.1,
        sample_s=1.0,
        on_progress=lambda done: settings.on_step(name, done) if settings.on_step else None,
    )
    return (100 * errors.reshape(len(cases), -1).mean(1)).tolist()


def _at_least(worse: str, better: str, tau: float, ratio: float) -> Row:
    name, why = f"{worse} over {better} at {tau:g} samples", "a demand of this program: nothing was published"
    return Row(name, None, ratio, 0.0, "", expected=10.0, limit="at least", why=why)
