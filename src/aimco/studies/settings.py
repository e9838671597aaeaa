"""Settings of a design: the numbers that its rule lets a search change, and where a search begins."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.special import ndtri
from scipy.stats import qmc

from aimco.design import Design
from aimco.tunable import Tunable

Setting = Mapping[str, float]  # dotted field of a design -> value
SOFTWARE_RATES = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)  # learning rates that software is tried with

_RATIOS = (1.0, 0.5, 2.0, 4.0)  # to the prior, of settings in a grid
_EACH = 4  # settings for every field beyond two


def with_setting(design: Design, setting: Setting) -> Design:
    """A design with some of its fields changed."""
    for path, value in setting.items():
        design = design.replace(path, value)
    return design


def prior(design: Design, tunable: Tunable) -> float:
    """Value of a field that is tried first."""
    value: object = tunable.prior
    if value is None:
        value = design
        for name in tunable.path.split("."):
            value = getattr(value, name)
    return min(max(float(value), tunable.low), tunable.high)  # type: ignore[arg-type]


def settings_around(design: Design, tunables: Sequence[Tunable], count: int, seed: int = 0) -> list[dict[str, float]]:
    """First settings of a search: the prior, then others at normal distances in the logarithm from it, by a Sobol sequence.

    Args:
        design: Whose fields they are.
        tunables: That are changed.
        count: Of settings; one where nothing can be changed.
        seed: Of the sequence; equal ones lie at equal ratios to the prior of whatever design.
    """
    if not tunables:
        return [{}]
    draws = qmc.Sobol(len(tunables), scramble=True, rng=np.random.default_rng([seed, 17])).random_base2(max(count, 1).bit_length())
    settings = [{t.path: prior(design, t) for t in tunables}]
    for row in draws[: count - 1]:
        setting = {}
        for tunable, place in zip(tunables, row, strict=True):
            value = prior(design, tunable) * tunable.spread ** float(ndtri(min(max(place, 1e-3), 1 - 1e-3)))
            setting[tunable.path] = min(max(value, tunable.low), tunable.high)
        settings.append(setting)
    return settings


def settings_at_ratios(design: Design, tunables: Sequence[Tunable]) -> list[dict[str, float]]:
    """Settings at equal ratios to the prior of whatever design, the prior first: a grid over one or two fields, else `settings_around`.

    Args:
        design: Whose fields they are.
        tunables: That are changed.
    """
    if len(tunables) > 2:
        return settings_around(design, tunables, _EACH * len(tunables))
    ratios = _RATIOS if len(tunables) == 1 else _RATIOS[:3]
    return [
        {t.path: min(max(ratio * prior(design, t), t.low), t.high) for t, ratio in zip(tunables, chosen, strict=True)}
        for chosen in itertools.product(ratios, repeat=len(tunables))
    ]


def better(scores: np.ndarray, usual: int | None) -> np.ndarray:
    """Which setting each point takes: the usual one, unless the best is ahead of it by more than twice the standard error.

    Differences between settings share their seeds. Their spread over seeds is pooled over all points and settings, since few seeds say
    little of one.

    Args:
        scores: (points, settings, seeds).
        usual: Place of a setting; the best mean when absent.

    Returns:
        A place for each point.
    """
    if usual is None:
        return scores.mean(2).argmax(1)
    ahead = scores - scores[:, usual : usual + 1]
    others = np.delete(ahead, usual, axis=1)
    error = np.sqrt(others.var(2, ddof=1).mean() / scores.shape[2])
    best = ahead.mean(2).argmax(1)
    return np.where(ahead.mean(2).max(1) > 2 * error, best, usual)
