"""What wired crossbars are compared with: plain nodal analysis by sparse elimination, and other programs where they are installed.

All take the same circuit: cells g, S, (n, m), one resistance per segment, ideal drivers and sense amplifiers, voltages (B, n); they
return the currents of the columns, A, (B, m).
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import logging
import shutil
import warnings
from collections.abc import Callable

import numpy as np
import torch
from scipy import sparse
from scipy.sparse import linalg

from aimco.arrays.netlist import wired_currents
from aimco.arrays.wires import Wires


def nodal(g: np.ndarray, ohm: float) -> sparse.csc_matrix:
    """Kirchhoff's current law at the 2 n m nodes, word lines first: the sparse symmetric matrix, S."""
    k, y = np.arange(g.size).reshape(g.shape), 1 / ohm
    pairs = [(k[:, 1:], k[:, :-1], y), (g.size + k[1:], g.size + k[:-1], y), (k, g.size + k, g)]
    a, b, w = (np.concatenate([np.broadcast_to(p[t], p[0].shape).ravel() for p in pairs]) for t in range(3))
    held = np.zeros(2 * g.size)
    held[k[:, 0]] = held[g.size + k[-1]] = y
    laplacian = sparse.coo_matrix((np.r_[w, w, -w, -w], (np.r_[a, b, a, b], np.r_[a, b, b, a])), shape=(2 * g.size,) * 2)
    return (laplacian + sparse.diags(held)).tocsc()


def superlu(g: np.ndarray, ohm: float, volts: np.ndarray) -> np.ndarray:
    """By scipy's SuperLU with its options for symmetric matrices."""
    options = {"SymmetricMode": True}
    factored = linalg.splu(nodal(g, ohm), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options=options)
    right = np.zeros((2 * g.size, len(volts)))
    right[: g.size : g.shape[1]] = volts.T / ohm
    return factored.solve(right)[-g.shape[1] :].T / ohm


def badcrossbar(g: np.ndarray, ohm: float, volts: np.ndarray) -> np.ndarray:
    """By badcrossbar (Joksas & Mehonic 2020), currents of the outputs alone."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import badcrossbar as package  # pyright: ignore[reportMissingImports]
    logging.getLogger("badcrossbar").setLevel(logging.WARNING)
    return package.compute(volts.T, 1 / g, ohm, node_voltages=False, all_currents=False).currents.output


def crosssim(g: np.ndarray, ohm: float, volts: np.ndarray, *, left: float = 3e-7) -> np.ndarray:
    """By the array solver of CrossSim (Sandia), to a largest voltage `left` over, V, its relaxation tuned by hand.

    2/(2 + l), with l what lines of equal cells multiply an error by.
    """
    from simulator import CrossSimParameters  # pyright: ignore[reportMissingImports]
    from simulator.backend import ComputeBackend  # pyright: ignore[reportMissingImports]
    from simulator.circuits.array.NonInterleaved_InputSource import (  # pyright: ignore[reportMissingImports]
        NoninterleavedInputSourceArray,
    )

    ComputeBackend(use_gpu=False)
    given, top = CrossSimParameters(), g.max()
    given.simulation.Verr_th_mvm, given.simulation.Niters_max_parasitics = left, 2000
    given.simulation.relaxation_gamma = 2 / (2 + ohm * g.mean() * (2 / np.pi) ** 2 * (np.square(g.shape).sum()))
    solver = NoninterleavedInputSourceArray(given)
    solver.Rp_row_norm = solver.Rp_col_norm = ohm * top
    solver.interleaved = False
    return np.stack([solver.iterative_solve(g.T / top, v) * top for v in volts])


def wired(g: np.ndarray, lines: Wires, volts: np.ndarray) -> dict[str, Callable[[], np.ndarray]]:
    """All that are installed, by what they are called; ngspice only for arrays of 64 lines at most, and one vector."""
    solvers: dict[str, Callable[[], np.ndarray]] = {"scipy SuperLU, symmetric": functools.partial(superlu, g, lines.word_ohm, volts)}
    if _installed("badcrossbar"):
        solvers["badcrossbar"] = functools.partial(badcrossbar, g, lines.word_ohm, volts)
    if _installed("simulator.circuits.array"):
        solvers["CrossSim, relaxation tuned"] = functools.partial(crosssim, g, lines.word_ohm, volts)
    if shutil.which("ngspice") and len(g) <= 64:
        solvers["ngspice"] = lambda: wired_currents(torch.from_numpy(g), lines, torch.from_numpy(volts[0]))[0].numpy()[None]
    return solvers


def _installed(name: str) -> bool:
    with contextlib.suppress(ImportError, ValueError):
        return importlib.util.find_spec(name) is not None
    return False
