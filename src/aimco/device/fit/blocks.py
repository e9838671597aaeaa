"""Least squares in which each device has parameters of its own, and all have some in common: Levenberg and Marquardt's on blocks.

A parameter of one device moves the residuals of that device alone. The normal equations are then small blocks, one for each device, and a
border; they are solved block by block, where a general solver takes the whole matrix apart at every step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

_START = 1e-3  # damping at first, of the squared scales of the parameters
_GENTLE, _STEP, _GRADIENT = 0.25, 1e-8, 1e-8  # share of the predicted fall that counts as one; relative step and gradient that end it


@dataclass(frozen=True, eq=False)
class Slopes:
    """Derivatives of residuals.

    Args:
        device: Of each residual, (B,).
        local: By the parameters of its own device, (B, L).
        common: By those of all, (B, S).
        count: Devices.
    """

    device: np.ndarray
    local: np.ndarray
    common: np.ndarray
    count: int

    def whole(self) -> np.ndarray:
        """The Jacobian, (B, L D + S): parameter by parameter, each of all devices, then those in common."""
        rows = np.arange(len(self.device))
        out = np.zeros((len(self.device), self.local.shape[1] * self.count + self.common.shape[1]))
        for k in range(self.local.shape[1]):
            out[rows, k * self.count + self.device] = self.local[:, k]
        out[:, self.local.shape[1] * self.count :] = self.common
        return out


class _Normal:
    """Normal equations J^T J s = -J^T r, in blocks: parameters as vectors are ordered as in `Slopes.whole`."""

    def __init__(self, slopes: Slopes, residuals: np.ndarray) -> None:
        self.local, self.common = slopes.local.shape[1], slopes.common.shape[1]
        self.count = slopes.count
        member = (slopes.device == np.arange(slopes.count)[:, None]).astype(float)
        joined = np.concatenate([slopes.local, slopes.common, residuals[:, None]], 1)
        products = joined[:, : self.local, None] * joined[:, None]
        sums = (member @ products.reshape(len(joined), -1)).reshape(self.count, self.local, -1)
        self.blocks, self.border = sums[:, :, : self.local], sums[:, :, self.local : -1]
        self.corner = slopes.common.T @ slopes.common
        self.gradient = np.concatenate([sums[:, :, -1].T.ravel(), slopes.common.T @ residuals])

    def parts(self, vector: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Those of devices (D, L), and those in common (S,)."""
        cut = self.local * self.count
        return vector[:cut].reshape(self.local, self.count).T, vector[cut:]

    def joined(self, local: np.ndarray, common: np.ndarray) -> np.ndarray:
        return np.concatenate([local.T.ravel(), common])

    @property
    def diagonal(self) -> np.ndarray:
        return self.joined(np.diagonal(self.blocks, axis1=1, axis2=2), np.diagonal(self.corner))

    def curvature(self, step: np.ndarray) -> float:
        """s^T J^T J s."""
        local, common = self.parts(step)
        inner = np.einsum("di,dij,dj->", local, self.blocks, local) + 2 * np.einsum("di,dij,j->", local, self.border, common)
        return float(inner + common @ self.corner @ common)

    def step(self, damping: np.ndarray, free: np.ndarray) -> np.ndarray:
        """The damped step of the parameters that are free; 0 for the others."""
        (free_own, free_common), (damp_own, damp_common) = self.parts(free), self.parts(damping)
        local, common = self.parts(np.where(free, -self.gradient, 0.0))
        blocks = self.blocks * (free_own[:, :, None] & free_own[:, None]) + np.eye(self.local) * np.where(free_own, damp_own, 1.0)[:, None]
        border = self.border * (free_own[:, :, None] & free_common)
        corner = self.corner * (free_common[:, None] & free_common) + np.diag(np.where(free_common, damp_common, 1.0))
        solved = np.linalg.solve(blocks, np.concatenate([local[:, :, None], border], 2))
        mine, through = solved[:, :, 0], solved[:, :, 1:]
        shared = np.linalg.solve(corner - np.einsum("dij,dik->jk", border, through), common - np.einsum("dij,di->j", border, mine))
        return self.joined(mine - through @ shared, shared)


def solve(
    residuals: Callable[[np.ndarray], np.ndarray],
    slopes: Callable[[np.ndarray, np.ndarray], Slopes],
    start: np.ndarray,
    bounds: tuple[np.ndarray, np.ndarray],
    tries: int,
    tolerance: float,
) -> tuple[np.ndarray, float]:
    """The parameters of the least sum of squares near a start, within bounds.

    Args:
        residuals: Of parameters, (B,).
        slopes: Of parameters and their residuals.
        start: Parameters, within the bounds.
        bounds: Lowest and highest, of each.
        tries: Residuals that are asked for at most.
        tolerance: Relative fall of the sum by which a step counts as the last.

    Returns:
        The parameters, and their sum of squares.

    Source: Levenberg 1944, Marquardt 1963; damping after Nielsen 1999 (IMM-REP-1999-05). Parameters at a bound that the sum falls
        beyond stay there.
    """
    low, high = bounds
    at, seen = start, residuals(start)
    cost, damping, faster, scale = float(seen @ seen), _START, 2.0, np.zeros(start.size)
    tried, normal = 1, _Normal(slopes(at, seen), seen)
    while tried < tries:
        scale = np.maximum(scale, normal.diagonal)
        free = ~(((at <= low) & (normal.gradient > 0)) | ((at >= high) & (normal.gradient < 0)))
        if not np.any(np.abs(normal.gradient[free]) > _GRADIENT):
            break
        moved = np.clip(at + normal.step(damping * np.where(scale > 0, scale, 1.0), free), low, high)
        step, new = moved - at, residuals(moved)
        tried += 1
        fall, promised = cost - float(new @ new), -2 * float(normal.gradient @ step) - normal.curvature(step)
        share = fall / promised if promised > 0 else -1.0
        done = (fall < tolerance * cost and share > _GENTLE) or np.linalg.norm(step) < _STEP * (_STEP + np.linalg.norm(at))
        if fall > 0:
            at, seen, cost = moved, new, cost - fall
            damping, faster = damping * max(1 / 3, 1 - (2 * share - 1) ** 3), 2.0
        else:
            damping, faster = damping * faster, faster * 2
        if done:
            break
        if fall > 0:
            normal = _Normal(slopes(at, seen), seen)
    return at, cost
