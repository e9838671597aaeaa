"""Linear networks of resistors and capacitors between nodes, some held at voltages: currents, effective matrix, and how they settle.

With Y the conductances between nodes, split into free nodes f and held nodes h, Y_ff x = -Y_fh V, and the currents into what holds are
-(Y_hf x + Y_hh V). After a step of V, C_ff d' = -Y_ff d for the distance d to the settled voltages. Nodes that a resistance of 0 joins
are one.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph, linalg

from aimco.record import InputError

_MODES = 60  # of the reduced model that settling is followed in
_INSTANTS = 4000


@dataclass(frozen=True)
class Branches:
    """Two-terminal elements.

    Args:
        a: Node of one end, whole numbers, (k,).
        b: Node of the other end, (k,).
        values: Of the elements, (k,).
    """

    a: np.ndarray
    b: np.ndarray
    values: np.ndarray

    @classmethod
    def joined(cls, parts: list[tuple[np.ndarray, np.ndarray, np.ndarray | float]]) -> Branches:
        """Branches one after the other, each (a, b, values), where a number stands for all."""
        a, b = (np.concatenate([np.ravel(p[k]) for p in parts]) for k in (0, 1))
        return cls(a, b, np.concatenate([np.broadcast_to(np.asarray(v, float), first.shape).ravel() for first, _, v in parts]))

    def laplacian(self, node: np.ndarray, count: int) -> sparse.csc_matrix:
        """The matrix of the elements as admittances, with nodes renamed."""
        a, b, w = node[self.a], node[self.b], self.values
        entries = (np.r_[w, w, -w, -w], (np.r_[a, b, a, b], np.r_[a, b, b, a]))
        return sparse.csc_matrix(sparse.coo_matrix(entries, shape=(count, count)))


class Linear:
    """A network factored once.

    Args:
        count: Number of nodes.
        cells: Branches of conductance, S, 0 for none.
        wires: Branches of resistance, Ohm; 0 joins their ends.
        held: Nodes at given voltages, (h,).
        capacitors: F; only for how it settles.

    Raises:
        InputError: Two held nodes joined, a node that nothing holds.
    """

    def __init__(self, count: int, cells: Branches, wires: Branches, held: np.ndarray, capacitors: Branches | None = None) -> None:
        shorts = wires.values == 0
        joined = sparse.coo_matrix((np.ones(shorts.sum()), (wires.a[shorts], wires.b[shorts])), shape=(count, count))
        self.count, self.node = csgraph.connected_components(joined, directed=False)
        self.held = self.node[held]
        if len(np.unique(self.held)) < len(held):
            raise InputError("two nodes that hold voltages are joined by resistances of 0; give one of them some resistance")
        resistors = Branches(wires.a[~shorts], wires.b[~shorts], 1 / wires.values[~shorts])
        y = cells.laplacian(self.node, self.count) + resistors.laplacian(self.node, self.count)
        self.free = np.setdiff1d(np.arange(self.count), self.held)
        self._reach(y)
        self.y, self.resistors, self.capacitors = y, [cells, resistors], capacitors
        options = {"SymmetricMode": True}
        self._factored = linalg.splu(self._part(y, self.free, self.free), "MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options=options)

    def _reach(self, y: sparse.csc_matrix) -> None:
        """Refuse nodes without any path to a held one."""
        label = csgraph.connected_components(y, directed=False)[1]
        floating = np.setdiff1d(label, label[self.held])
        if len(floating):
            raise InputError(f"{int(np.isin(label, floating).sum())} nodes have no path to a driver or sense end; close a switch or a cell")

    @staticmethod
    def _part(matrix: sparse.csc_matrix, rows: np.ndarray, columns: np.ndarray) -> sparse.csc_matrix:
        return sparse.csc_matrix(matrix[rows][:, columns])

    def settled(self, volts: np.ndarray) -> np.ndarray:
        """Voltages of the free nodes, (free, B), with V at the held ones, (h, B)."""
        return self._factored.solve(-(self._part(self.y, self.free, self.held) @ volts))

    def voltages(self, volts: np.ndarray) -> np.ndarray:
        """Of all nodes as `node` names them, (nodes, B)."""
        every = np.empty((self.count, volts.shape[1]))
        every[self.free], every[self.held] = self.settled(volts), volts
        return every

    def currents(self, volts: np.ndarray) -> np.ndarray:
        """Currents into what holds the held nodes, A, (h, B)."""
        return -(self._part(self.y, self.held, self.free) @ self.settled(volts) + self._part(self.y, self.held, self.held) @ volts)

    @functools.cached_property
    def c(self) -> sparse.csc_matrix:
        """Capacitances between nodes, F."""
        if self.capacitors is None:
            raise InputError("capacitors must be given for a network that is to settle")
        return self.capacitors.laplacian(self.node, self.count)

    def slowest(self) -> float:
        """Longest time constant, s: the largest eigenvalue of Y^-1 C."""
        y, c = (self._part(m, self.free, self.free) for m in (self.y, self.c))
        inverse = linalg.LinearOperator(y.shape, self._factored.solve, dtype=np.float64)  # pyright: ignore[reportCallIssue]
        start = np.ones(len(self.free))
        rate = linalg.eigsh(y, k=1, M=c, sigma=0, which="LM", OPinv=inverse, return_eigenvectors=False, v0=start)
        return float(1 / rate[0])

    def response(self, volts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """How the currents go to their ends after a step of V, (h,), from 0: I(t) = I - M exp(-t/tau).

        Returns:
            Currents in the end, A, (h,), M, A, (h, modes), and tau, s, (modes,), by the Krylov space of Y^-1 C from the settled
            voltages, in which slow modes come first.
        """
        end = self.settled(volts[:, None])[:, 0]
        c = self._part(self.c, self.free, self.free)
        basis, products = np.empty((_MODES, len(end))), np.empty((_MODES, len(end)))
        d, size = end.copy(), 0
        first = scale = np.sqrt(d @ (c @ d))
        for k in range(min(_MODES, len(end))):
            for _ in range(2):
                d -= basis[:k].T @ (products[:k] @ d)
            norm = np.sqrt(max(d @ (c @ d), 0.0))
            if norm <= 1e-13 * scale:
                break
            basis[k] = d / norm
            products[k] = c @ basis[k]
            d, size = self._factored.solve(products[k]), k + 1
            scale = np.sqrt(d @ (c @ d))
        reduced = np.stack([products[:size] @ self._factored.solve(p) for p in products[:size]])
        tau, modes = np.linalg.eigh((reduced + reduced.T) / 2)
        slow = tau > 1e-9 * tau[-1]
        out = -(self._part(self.y, self.held, self.free) @ (basis[:size].T @ modes[:, slow]))
        return self.currents(volts[:, None])[:, 0], out * (first * modes[0, slow]), tau[slow]

    def charge(self, volts: np.ndarray) -> np.ndarray:
        """What each holder takes in until all is settled, beyond its settled current, C, (h,), after a step of V from 0."""
        end = self.settled(volts[:, None])[:, 0]
        left = self._factored.solve(self._part(self.c, self.free, self.free) @ end + self._part(self.c, self.free, self.held) @ volts)
        stored = self._part(self.c, self.held, self.free) @ end + self._part(self.c, self.held, self.held) @ volts
        return self._part(self.y, self.held, self.free) @ left - stored


def settle_time(response: tuple[np.ndarray, np.ndarray, np.ndarray], which: np.ndarray, within: float = 0.01) -> float:
    """Time after which the chosen currents stay within a share of the largest of them, s.

    Args:
        response: Of `Linear.response`.
        which: Currents that are read.
        within: Share of the largest.
    """
    end, modes, tau = response
    t = np.concatenate([[0.0], np.geomspace(1e-4 * tau[-1], 60 * tau[-1], _INSTANTS)])
    off = np.abs(modes[which] @ np.exp(-t[None] / tau[:, None])).max(0) / np.abs(end[which]).max()
    beyond = np.flatnonzero(off > within)
    if not len(beyond):
        return 0.0
    k = beyond[-1]
    if k + 1 == len(t):
        return float("inf")
    return float(np.interp(-np.log(within), -np.log(off[k : k + 2]), t[k : k + 2]))
