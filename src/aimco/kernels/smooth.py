"""exp, log and powers in single precision without calls or branches, so that the loop around them becomes vector code.

Relative errors stay below 6e-6 for results between 1e-26 and 1e26, and below 1e-6 near one.
Source: range reduction to powers of two; the polynomial of the logarithm is that of Moshier's Cephes library.
"""

from __future__ import annotations

import numba as nb
import numpy as np

from aimco.kernels.intrinsics import from_magnitude, magnitude, nearest

_f = np.float32
_LOG2_E, _LN_2, _ROOT_2 = _f(1.44269504), _f(0.69314718), _f(1.41421356)
_TINY, _ONE, _HALF, _ZERO = _f(1e-37), _f(1), _f(0.5), _f(0)
_BIAS, _MANTISSA, _ONE_BITS = np.int32(127), np.int32(0x7FFFFF), np.int32(0x3F800000)


@nb.njit(inline="always")
def exp2(t):
    """2^t, t cut to -126..127: 2^k with k the nearest whole number, times the series of 2^(t - k)."""
    t = min(max(t, _f(-126)), _f(127))
    k = nearest(t)
    f = (t - k) * _LN_2
    series = _f(1 / 720)
    series = series * f + _f(1 / 120)
    series = series * f + _f(1 / 24)
    series = series * f + _f(1 / 6)
    series = series * f + _HALF
    series = series * f + _ONE
    series = series * f + _ONE
    return series * from_magnitude(np.int32(np.int32(np.int32(k) + _BIAS) << np.int32(23)))


@nb.njit(inline="always")
def exp(x):
    """e^x."""
    return exp2(_f(x) * _LOG2_E)


@nb.njit(inline="always")
def log2(v):
    """Logarithm to base 2 of v > 0."""
    bits = magnitude(max(v, _TINY))
    m = from_magnitude(np.int32(np.int32(bits & _MANTISSA) | _ONE_BITS))
    large = m > _ROOT_2
    m = m * _HALF if large else m
    whole = _f(np.int32(bits >> np.int32(23)) - _BIAS) + (_ONE if large else _ZERO)
    f = m - _ONE
    series = _f(7.0376836292e-2)
    series = series * f - _f(1.1514610310e-1)
    series = series * f + _f(1.1676998740e-1)
    series = series * f - _f(1.2420140846e-1)
    series = series * f + _f(1.4249322787e-1)
    series = series * f - _f(1.6668057665e-1)
    series = series * f + _f(2.0000714765e-1)
    series = series * f - _f(2.4999993993e-1)
    series = series * f + _f(3.3333331174e-1)
    return whole + (f + f * f * (series * f - _HALF)) * _LOG2_E


@nb.njit(inline="always")
def log(v):
    """Natural logarithm of v > 0."""
    return log2(_f(v)) * _LN_2


@nb.njit(inline="always")
def power(v, n):
    """v^n; 0^0 = 1; NaN for v < 0 unless n is whole."""
    v, n = _f(v), _f(n)
    size = exp2(n * log2(abs(v))) if v != _ZERO else (_ONE if n == _ZERO else _ZERO)
    if v < _ZERO:
        half = n * _HALF
        size = (size if nearest(half) == half else -size) if nearest(n) == n else _f(np.nan)
    return size
