"""Layered resistive networks whose crossbars have wires of their own: each is reduced to its ports, exactly.

A crossbar with wires is a linear network between the lines that drive it, at p, and the nodes that it ends at, at u. Without its inner
nodes (Schur complement) the currents into it are

    I_p = R p - W u,    I_u = C u - W^T p,    with R and C symmetric, (rows, rows) and (columns, columns)

so that W takes the place of the conductances of `Layered`, and the sums on its diagonal, a_l, become matrices C_l + R_(l+1). The network
stays reciprocal; what changes a conductance is the voltage across that very device, which is one more solution for the inner nodes.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from aimco.circuit.elements import DiodePair, Shockley
from aimco.circuit.linear import Branches, Linear
from aimco.circuit.network import Layered, each_layer
from aimco.record import InputError

_DIODES = Shockley()


class Plain:
    """A crossbar whose lines have no resistance, (rows, columns) S: its ports are its lines."""

    def __init__(self, conductances: torch.Tensor) -> None:
        self.conductances = conductances

    @property
    def shape(self) -> tuple[int, int]:
        rows, columns = self.conductances.shape
        return rows, columns

    @property
    def between(self) -> torch.Tensor:
        """W, S, (rows, columns)."""
        return self.conductances

    @property
    def at_rows(self) -> torch.Tensor:
        """R, S, (rows, rows)."""
        return torch.diag(self.conductances.sum(1))

    @property
    def at_columns(self) -> torch.Tensor:
        """C, S, (columns, columns)."""
        return torch.diag(self.conductances.sum(0))

    def drops(self, p: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        """Voltages across the devices, V, (B, rows, columns), with p (B, rows) and u (B, columns) at the ports."""
        return p[:, :, None] - u[:, None]


class Multiport(Plain):
    """A crossbar in the linear network of its wires; exact to rounding times the conductance of a wire over that of the devices.

    Args:
        conductances: of its devices, S, (rows, columns). circuit: the network; it holds the drivers first, then the columns' ends, then
            what stays at 0 V. cells: branches of the devices, row after row, maybe with more behind.
        drivers: how many drivers it holds; those beyond the rows stay at 0 V.
    """

    def __init__(self, conductances: torch.Tensor, circuit: Linear, cells: Branches, drivers: int) -> None:
        super().__init__(conductances)
        self.circuit, self.drivers = circuit, drivers
        devices = conductances.numel()
        self._ends = circuit.node[cells.a[:devices]], circuit.node[cells.b[:devices]]

    def _held(self, p: torch.Tensor | None, u: torch.Tensor | None, count: int) -> np.ndarray:
        """Voltages of all that is held, (held, count)."""
        volts, (rows, columns) = np.zeros((len(self.circuit.held), count)), self.shape
        for first, size, given in ((0, rows, p), (self.drivers, columns, u)):
            if given is not None:
                volts[first : first + size] = given.detach().T
        return volts

    @functools.cached_property
    def _from_columns(self) -> torch.Tensor:
        """Currents into what holds, with 1 V at each column in turn, (held, columns)."""
        columns = self.shape[1]
        return torch.from_numpy(self.circuit.currents(self._held(None, torch.eye(columns, dtype=torch.float64), columns)))

    @functools.cached_property
    def between(self):
        return self._from_columns[: self.shape[0]].contiguous()

    @functools.cached_property
    def at_columns(self):
        own = -self._from_columns[self.drivers : self.drivers + self.shape[1]]
        return (own + own.T) / 2

    @functools.cached_property
    def at_rows(self):
        rows = self.shape[0]
        own = -torch.from_numpy(self.circuit.currents(self._held(torch.eye(rows, dtype=torch.float64), None, rows))[:rows])
        return (own + own.T) / 2

    def drops(self, p, u):
        nodes = self.circuit.voltages(self._held(p, u, len(p)))
        return torch.from_numpy((nodes[self._ends[0]] - nodes[self._ends[1]]).T).reshape(len(p), *self.shape)


class Ported(Layered):
    """A layered network of crossbars that are reduced to their ports; `Layered` otherwise, but settled by Newton's method alone.

    Args:
        crossbars: one `Plain` or `Multiport` for each. inverted: those whose lines go with the sign turned, or None. Others as `Layered`.

    Raises:
        InputError: shapes that do not follow each other, ideal diodes, gains that differ within a layer.
    """

    def __init__(
        self,
        crossbars: Sequence[Plain],
        diodes: DiodePair | Sequence[DiodePair] = _DIODES,
        gain: Any = 4.0,
        offset: Any = 0.0,
        *,
        inverted: Sequence[Plain] | None = None,
    ) -> None:
        self.crossbars, self.mirrored = list(crossbars), list(inverted or [])
        hidden = len(self.crossbars) - 1
        self.plus = [c.conductances for c in self.crossbars]
        self.inverted = [c.conductances for c in self.mirrored] or [None] * len(self.plus)
        self._check_pairs()
        self.conductances = [c.between for c in self.crossbars]
        if self.mirrored:
            self.conductances = [w - c.between for w, c in zip(self.conductances, self.mirrored, strict=True)]
        self.diodes = [diodes] * hidden if isinstance(diodes, DiodePair) else list(diodes)
        self.gain, self.offset = each_layer(gain, hidden, "gain"), each_layer(offset, hidden, "offset")
        self._check()
        self.gain, self.offset = ([torch.as_tensor(v, dtype=torch.float64) for v in own] for own in (self.gain, self.offset))
        self.at_columns = [c.at_columns for c in self.crossbars]
        if self.mirrored:
            self.at_columns = [own + c.at_columns for own, c in zip(self.at_columns, self.mirrored, strict=True)]
        self.into = [c.diagonal() for c in self.at_columns]
        self._check_conductances(self.plus)
        if not self.newtonian:
            raise InputError("diodes must be smooth and gain one number for each layer where crossbars have wires; take shockley diodes")

    def _rows(self, k: int) -> torch.Tensor:
        """R of crossbar k, counted from 0; that of the first matters for the power alone."""
        own = self.crossbars[k].at_rows
        return own + self.mirrored[k].at_rows if self.mirrored else own

    @functools.cached_property
    def a(self):
        after = [self._rows(k) for k in range(1, self.layers)]
        return [c + r for c, r in zip(self.at_columns, after, strict=False)] + [self.at_columns[-1]]

    @functools.cached_property
    def shift(self):
        pairs = enumerate(zip(self.offset, self.gain, strict=True), 1)
        return [(o / gain).expand(self.crossbars[k].shape[0]) @ self._rows(k) for k, (o, gain) in pairs]

    @functools.cached_property
    def compiled(self):
        return None

    @property
    def method(self):
        return "newton"

    def loaded(self, k, v, slopes=0.0):
        return v @ self.a[k] + slopes * v

    def diagonal(self, k):
        return self.a[k].diagonal()

    def dissipation(self, sources, fixed, nodes):
        power, driven = torch.zeros(len(sources), dtype=torch.float64), sources
        for k, u in enumerate(nodes):
            into = driven @ self.conductances[k]
            power = power + ((driven @ self._rows(k)) * driven).sum(1) + ((u @ self.at_columns[k] - 2 * into) * u).sum(1)
            if k < len(self.diodes):
                power = power + (self.diodes[k].current(u)[0] * u).sum(1)
                driven = self.driven(k, u)
        return power

    def across(self, before: Sequence[torch.Tensor], after: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Voltages across each device of each crossbar, then of those on inverted lines, V, (B, rows, columns).

        Args:
            before, after: voltages at the two sides of each crossbar, (B, rows) and (B, columns).
        """
        plus = [c.drops(p, u) for c, p, u in zip(self.crossbars, before, after, strict=True)]
        return plus + [c.drops(-p, u) for c, p, u in zip(self.mirrored, before, after, strict=False)]
