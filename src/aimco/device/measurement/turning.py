"""Up and down runs of a roughly triangular sequence of values, found from the values alone."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import median_filter, uniform_filter1d
from scipy.optimize import isotonic_regression

_SWING = 0.3  # of the span: a run goes at least as far
_SIGMAS = 6.0  # of the smoothed noise: likewise
_EVEN = 30.0  # of the variance left, for each turn: what runs of equal lengths may leave more
_EXPLAINED = 0.3  # of the variance by the runs, or these are no ramps


def run_starts(level: np.ndarray) -> tuple[np.ndarray, int] | None:
    """(first reading of each run, sign of the first run), None when no runs stand out of the noise.

    Turning points of the smoothed values that a swing of `_SWING` of the span confirms; where runs of equal lengths agree with them
    within the noise, they are taken. The reading at a turning point still belongs to the run before it.

    Args:
        level: values in order, (N,).
    """
    if len(level) < 3 or level.min() == level.max():
        return None
    level = level / np.abs(level).max()
    noise = 1.4826 * float(np.median(np.abs(np.diff(level, 2)))) / np.sqrt(6)
    calm = median_filter(level, 3, mode="nearest") if len(level) >= 12 else level  # without single outliers
    width = _odd((4 * _SIGMAS * noise / max(float(np.ptp(calm)), 1e-300)) ** 2, len(level) // 8)
    smooth = uniform_filter1d(calm, width, mode="nearest")
    span, sure = float(np.ptp(smooth)), _SIGMAS * noise / np.sqrt(width)
    turns = _turns(smooth, max(_SWING * span, sure), max(_SWING * span / 3, sure))
    if len(turns) < 2:
        return None
    first = 1 if smooth[turns[1]] > smooth[turns[0]] else -1
    starts, left = _placed(level, calm, turns, first, noise)
    return (starts, first) if left <= (1 - _EXPLAINED) * float(np.var(level)) * len(level) else None


def is_triangular(level: np.ndarray) -> bool:
    """Values that turn at least once, in runs of about one length and one height, as pulses make them and time does not."""
    level = level / (np.abs(level).max() or 1.0)
    runs = run_starts(level)
    if runs is None or len(runs[0]) < 2:
        return False
    ends = np.append(runs[0][1:], len(level)) - 1
    lengths, heights = np.diff(np.append(runs[0], len(level))), np.abs(np.diff(np.append(level[0], level[ends])))
    return bool(lengths.min() >= 3 and lengths.max() <= 2 * lengths.min() and heights.max() <= 2 * heights.min())


def _odd(width: float, most: int) -> int:
    return 2 * (int(min(np.ceil(width), max(most, 1))) // 2) + 1


def _turns(values: np.ndarray, least: float, least_at_ends: float) -> np.ndarray:
    """The first reading, the extremes from which the values go back by `least`, and the last reading; [0] when there is no such run.

    The runs that the measurement began or ended within need only `least_at_ends`.
    """
    low = high = float(values[0])
    low_at = high_at = sign = 0
    turns: list[int] = []
    for k, v in enumerate(values.tolist()):
        if sign >= 0 and v > high:
            high, high_at = v, k
        elif sign >= 0 and high - v >= least:
            turns.append(high_at)
            sign, low, low_at = -1, v, k
        if sign <= 0 and v < low:
            low, low_at = v, k
        elif sign <= 0 and v - low >= least:
            turns.append(low_at)
            sign, high, high_at = 1, v, k
    if not turns:
        return np.zeros(1, int)
    begun = abs(values[turns[0]] - values[0]) >= least_at_ends
    last = high_at if sign > 0 else low_at
    ended = abs(values[-1] - values[last]) >= least_at_ends
    return np.array([0, *turns[not begun :], *([last] if ended else []), len(values) - 1])


def _placed(level: np.ndarray, calm: np.ndarray, turns: np.ndarray, first: int, noise: float) -> tuple[np.ndarray, float]:
    """(first reading of each run, squares left by them): turns at extremes, or where equal lengths put them as well.

    On a plateau of the levels the values do not tell where the pulses turned; equal lengths then do.
    """
    runs, usual = len(turns) - 1, float(np.median(np.diff(turns)))
    width = (2 * noise * usual / max(float(np.ptp(calm)), 1e-300)) ** 2  # its noise is then half a step
    smooth = uniform_filter1d(calm, _odd(width, int(usual / 20)), mode="nearest")
    starts, sign = np.zeros(runs, int), first
    for k, turn in enumerate(turns[1:-1], 1):
        around = max(int(min(turns[k + 1] - turn, turn - turns[k - 1])) // 4, 1)
        starts[k] = turn - around + int(np.argmax(sign * smooth[turn - around : turn + around + 1])) + 1
        sign = -sign
    left = _left(level, starts, first)
    for initial in (0, 1):  # readings before the first pulse
        each, rest = divmod(len(level) - initial, runs)
        even = np.concatenate([[0], initial + each * np.arange(1, runs)])
        if rest == 0 and (left_even := _left(level, even, first)) <= left * (1 + _EVEN * (runs - 1) / len(level)) + 1e-12:
            return even, left_even
    return starts, left


def _left(level: np.ndarray, starts: np.ndarray, first: int) -> float:
    """Sum of the squares that runs which only rise or only fall leave unexplained."""
    left = 0.0
    for k, part in enumerate(np.split(level, starts[1:])):
        left += float(np.sum((part - isotonic_regression(part, increasing=(first > 0) == (k % 2 == 0)).x) ** 2))
    return left
