"""What is left of the weight error under an offset reference: SGD, Tiki-Taka v2, chopped v2 and AGAD (Rasch et al. 2024, Fig. 4).

The draw of the target matrix (`_programming.target`) was chosen after a look at the published errors, which say how far its largest
weight lies outside the range of an array.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from aimco.design import Design
from aimco.plain_data import PlainData
from aimco.reference import Limit, Row, Settings
from aimco.reference._programming import weight_error

SOURCE = "Rasch et al., Nat. Commun. 15:7133 (2024), Fig. 4: eps_w of a 20 x 20 layer against states and offset of the reference"
NEEDS = None

OFFSETS = (0.0, 0.05, 0.1, 0.25, 0.5, 1.0)
PUBLISHED: dict[str, dict[int, tuple[float, ...]]] = {
    "sgd": {
        200: (9.8, 10.1, 10.7, 15.7, 33.5, 82.9),
        100: (12.6, 12.8, 13.4, 17.9, 34.0, 81.1),
        20: (26.4, 26.6, 27.0, 30.1, 42.0, 82.7),
    },
    "tiki-taka-v2": {
        200: (0.9, 3.1, 7.7, 43.8, 82.2, 94.5),
        100: (1.2, 3.3, 7.8, 40.8, 81.8, 94.2),
        20: (4.8, 6.0, 9.0, 30.7, 77.7, 91.8),
    },
    "chopped-tiki-taka-v2": {
        400: (1.7, 1.9, 2.5, 7.6, 14.7, 20.9),
        200: (0.8, 0.8, 0.9, 2.1, 6.6, 14.4),
        100: (1.1, 1.1, 1.1, 1.3, 3.0, 8.4),
        20: (4.2, 4.3, 4.2, 4.2, 4.1, 4.2),
    },
    "agad": {200: (0.9,) * 6, 100: (1.2,) * 6, 20: (4.6, 4.5, 4.5, 4.5, 4.5, 4.5)},
}
SEEDS = (1, 2, 3)
SAMPLES_PER_READ = 5  # n_s
CHOPPED = ("chopped-tiki-taka-v2", "agad")
_INPUTS = {"sgd": 100_000, "tiki-taka-v2": 600_000, "chopped-tiki-taka-v2": 350_000, "agad": 350_000}
_FIRST_COLUMN = {"agad": 0.40}  # tolerance where the reference is exact, relative
_UNSETTLED = 0.40  # the same of 400 states, where the error falls by half in 70,000 inputs
_FACTOR_MEDIAN, _FACTOR, _FACTOR_CHOPPED, _SHARE, _CLEAR = 1.5, 2.0, 1.6, 0.8, 1.3

Errors = dict[tuple[str, int, float], float]


def design(kind: str, states: float, offset: float) -> Design:
    """The layer of Fig. 4, and what the paper leaves open: one choice for each rule, used for every cell of it.

    Published: steps 0.05 at 40 states, spreads of the step and from cycle to cycle 0.3, of the bounds of A 0.3 and of W 0, up/down 0.1;
    lambda 0.1, n_s 5, beta 0.5, rho 0.1, trains of 5 slots; three draws of the devices.

    From the caption of Fig. 3: choppers that change at regular intervals. From the settings that the authors' public simulator gives the
    rules: those with choppers scale lambda_A with running means of max |x| and max |d|, where plain v2 does not, and SGD has trains of up
    to 31 slots, the others of 5. Chosen after a look at the published errors: gamma_0 2000 (with the published 200 chopped v2 ends at 5.3
    and 18.8 % with 20 states and offsets 0 and 1, published 4.2 and 4.2); eta_0 0.25 of the scaled lambda_A, 1 of the fixed one and of
    SGD; the target; the inputs, 10^5 for SGD, which has settled by then, 600,000 for v2, whose errors with an offset are still growing,
    and 350,000 for the rules with choppers, when 200 states have settled and 400, the slower the larger the offset, have not.
    Chosen without: gradient (W - target) x / 20; where |h| >= 1 one pulse, and h loses its whole part.

    What is left, each cell that is more than 10 % off (published errors have one or two digits; 0.9 % is known to 6 %):

    - SGD: 15 % low with 20 states at offsets up to 0.1, 14 % high with 200 states at 0.25. Noise of 0.8 of a step from cycle to cycle
      (`replace("device.cycle_noise_additive", 0.8)`) and the learning rate 0.8 bring the first within 1 %, and those with 100 and 200
      states at 0.25 and 0.5, 7 to 14 % high, to 4 to 8 %. But the same noise, in both arrays, takes chopped v2 with 20 states from 4.3
      to 6.3 %.
    - v2: 15 % high with 100 and 200 states and an exact reference, 30 % low with both at 0.1; 23 % low with 100 states at 0.25; 15 % low
      with 20 states at 0.1 and 0.25.
    - Chopped v2 grows with the offset later and faster than published: with 400 states 33, 27 and 21 % high at 0.25, 0.5 and 1; with 200
      states 12 and 13 % high at 0 and 0.05, 29 % low at 0.25, 15 % high at 1; with 100 states 32 and 13 % low at 0.5 and 1.
    - AGAD: 15 to 17 % high with 100 states at every offset.
    """

    def device(bounds: float) -> PlainData:
        spread = {"step": 0.3, "asymmetry": 0.1} | ({"g_max": bounds, "g_min": bounds} if bounds else {})
        response = {"kind": "soft-bounds", "step_up": 2.0 / states, "step_down": 2.0 / states}
        limits = {"name": "soft bounds", "g_min": 2.0, "g_max": 4.0}
        return limits | {"response": response, "spread": spread, "spread_law": "lognormal", "cycle_noise_additive": 0.3}

    rule: PlainData = {"kind": kind, "reference": "symmetry-point", "reference_error": offset}
    if kind != "sgd":
        rule |= {"lr": 0.1, "lr_fast": 1.0, "scale_fast": False, "transfer_every": SAMPLES_PER_READ, "granularity": 2000.0}
        rule |= {"max_pulses": 1, "slow_device": device(0.0)}
    if kind in CHOPPED:
        rule |= {"lr_fast": 0.25, "scale_fast": True, "flips": "regular"}
    periphery = {"pulses": {"length": 31 if kind == "sgd" else 5, "mode": "exact"}}
    return Design.of({"device": device(0.0 if kind == "sgd" else 0.3), "rule": rule, "periphery": periphery, "network": {"bias": "none"}})


def run(settings: Settings) -> list[Row]:
    """All cells and what they say together; quick: 20 states, offsets 0, 0.25, 0.5 and 1, a fifth of the inputs, wider tolerances."""
    offsets, share = ((0.0, 0.25, 0.5, 1.0), 0.2) if settings.quick else (OFFSETS, 1.0)
    errors: Errors = {}
    for kind, published in PUBLISHED.items():
        states = (20,) if settings.quick else tuple(published)
        errors |= _errors(settings, kind, states, offsets, int(share * _INPUTS[kind]))
    rows = [_row(kind, n, offset, ours, settings.quick) for (kind, n, offset), ours in errors.items()]
    return rows + _summary(errors, settings.quick)


def _errors(settings: Settings, kind: str, states: tuple[int, ...], offsets: tuple[float, ...], inputs: int) -> Errors:
    """eps_w in percent of every cell of one rule, the mean over the seeds: one ensemble."""
    cells = [(kind, n, offset) for n in states for offset in offsets]
    cases = [(cell, seed) for cell in cells for seed in SEEDS]
    errors = weight_error(
        [design(kind, float(n), offset) for (_, n, offset), _ in cases],
        [seed for _, seed in cases],
        inputs=inputs,
        batch=1 if kind == "sgd" else SAMPLES_PER_READ,
        lr=1.0 if kind == "sgd" else 0.1,
        on_progress=lambda done: settings.on_step(kind, done) if settings.on_step else None,
    )
    return dict(zip(cells, (100 * errors.reshape(len(cells), -1).mean(1)).tolist(), strict=True))


def _published(kind: str, states: int, offset: float) -> float:
    return PUBLISHED[kind][states][OFFSETS.index(offset)]


def _row(kind: str, states: int, offset: float, ours: float, quick: bool) -> Row:
    """One cell; a verdict where the reference is exact, where alone the published numbers hang on no single device."""
    published = _published(kind, states, offset)
    relative = _UNSETTLED if states == 400 else _FIRST_COLUMN.get(kind, 0.20) * (2 if quick else 1)
    why = "" if offset == 0 else "the error hangs on few devices far from the others"
    return Row(f"{kind}, {states} states, offset {offset:g}", published, ours, relative * published if offset == 0 else None, "%", why=why)


def _summary(errors: Errors, quick: bool) -> list[Row]:
    """What the cells say together, each with its rule."""
    rows = []
    for n in sorted({states for kind, states, _ in errors if kind == "agad"}):
        agad = [e for (kind, states, _), e in errors.items() if kind == "agad" and states == n]
        spread = 100 * (max(agad) - min(agad)) / float(np.mean(agad))
        rows.append(Row(f"AGAD, {n} states, spread over the offsets", None, spread, 10.0, "%", expected=0.0))
    chopped = {(n, offset): e for (kind, n, offset), e in errors.items() if kind == "chopped-tiki-taka-v2"}
    flat = max(e for (n, _), e in chopped.items() if n == 20) / chopped[20, 0.0]
    rows.append(Row("chopped v2, 20 states, largest over first", None, flat, 0.25, "", expected=1.0))
    ratios = {cell: e / _published(*cell) for cell, e in errors.items()}
    if not quick:
        worst = max(max(r, 1 / r) for (kind, _, _), r in ratios.items() if kind == "chopped-tiki-taka-v2")
        rows.append(_demand("chopped v2: largest factor between ours and published", _FACTOR_CHOPPED, worst, "at most"))
    grown = errors["tiki-taka-v2", 20, 0.5] / errors["tiki-taka-v2", 20, 0.0]
    rows.append(_demand("v2, 20 states: error at offset 0.5 over that at 0", 8.0, grown, "at least"))
    rows.append(Row("pairs of rules in the published order (where 30 % apart)", None, _ordered(errors), 0.0, "", expected=1.0))
    median = float(np.median(list(ratios.values())))
    rows.append(_demand("median of ours over published, as a factor", _FACTOR_MEDIAN, max(median, 1 / median), "at most"))
    within = float(np.mean([1 / _FACTOR < r < _FACTOR for r in ratios.values()]))
    return [*rows, _demand("share of cells within a factor 2", _SHARE, within, "at least")]


def _demand(name: str, asked: float, ours: float, limit: Limit) -> Row:
    return Row(name, None, ours, 0.0, "", expected=asked, limit=limit, why="a demand of this program on all cells together")


def _ordered(errors: Mapping[tuple[str, int, float], float]) -> float:
    """Share of pairs of rules, published more than 30 % apart in a cell, that are in the published order."""
    right = []
    for kind, n, offset in errors:
        for other in PUBLISHED:
            if (other, n, offset) in errors and _published(other, n, offset) > _CLEAR * _published(kind, n, offset):
                right.append(errors[other, n, offset] > errors[kind, n, offset])
    return float(np.mean(right))
