"""Resistive circuits whose crossbars have wires of their own: each is reduced to its ports, exactly.

A crossbar with wires is a linear network between the lines that drive it, at p, and the nodes that it ends at, at u. Without its inner
nodes (N-port reduction, a Schur complement) the currents into it are

    I_p = R p - W u,    I_u = C u - W^T p,    with R and C symmetric, (rows, rows) and (columns, columns)

so that W takes the place of the conductances of `ResistiveCircuit`, and the sums on its diagonal, a_l, become matrices C_l + R_(l+1). The
circuit stays reciprocal; what changes a conductance is the voltage across that very device, which is one more solution for the inner nodes.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from aimco.circuit.circuit import ResistiveCircuit, resistors
from aimco.circuit.elements import DiodePair, Shockley, Value
from aimco.circuit.linear import Branches, Linear
from aimco.record import InputError

_DIODES = Shockley()


class IdealPorts:
    """A crossbar whose lines have no resistance: its ports are its lines.

    Args:
        conductances: Of its devices, S, (rows, columns).
    """

    def __init__(self, conductances: torch.Tensor) -> None:
        self.conductances = conductances

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
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

    def resistors(self, line: str, column: str) -> Iterator[tuple[str, str, float]]:
        """Ends and conductance, S, of each resistor between the lines `line`_<row> and the nodes `column`_<column>, wires included."""
        return resistors(self.conductances, line, column)


class WiredPorts(IdealPorts):
    """A crossbar in the linear network of its wires; exact to rounding times the conductance of a wire over that of the devices.

    Args:
        conductances: Of its devices, S, (rows, columns).
        circuit: The network. It holds the drivers first, then the columns' ends, then what stays at 0 V.
        cells: Branches of the devices, row after row, maybe with more behind.
        drivers: How many drivers the network holds; those beyond the rows stay at 0 V.
    """

    def __init__(self, conductances: torch.Tensor, circuit: Linear, cells: Branches, drivers: int) -> None:
        super().__init__(conductances)
        self.circuit, self.drivers = circuit, drivers
        devices = conductances.numel()
        self._ends = circuit.node[cells.a[:devices]], circuit.node[cells.b[:devices]]

    def _held(self, p: torch.Tensor | None, u: torch.Tensor | None, count: int) -> np.ndarray:
        """Voltages of all held nodes, (held, count)."""
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
        currents = -self._from_columns[self.drivers : self.drivers + self.shape[1]]
        return (currents + currents.T) / 2

    @functools.cached_property
    def at_rows(self):
        rows = self.shape[0]
        currents = -torch.from_numpy(self.circuit.currents(self._held(torch.eye(rows, dtype=torch.float64), None, rows))[:rows])
        return (currents + currents.T) / 2

    def drops(self, p, u):
        nodes = self.circuit.voltages(self._held(p, u, len(p)))
        return torch.from_numpy((nodes[self._ends[0]] - nodes[self._ends[1]]).T).reshape(len(p), *self.shape)

    def resistors(self, line, column):
        net, (rows, columns) = self.circuit, self.shape
        names = [f"{line}x{k}" for k in range(net.count)]
        for k in net.held:
            names[k] = "0"
        ports = [*((i, f"{line}_{i}") for i in range(rows)), *((self.drivers + j, f"{column}_{j}") for j in range(columns))]
        for k, name in ports:
            names[net.held[k]] = name
        for branches in net.resistors:
            for a, b, g in zip(net.node[branches.a], net.node[branches.b], branches.values.tolist(), strict=True):
                if g and a != b:
                    yield names[a], names[b], g


class PortReducedCircuit(ResistiveCircuit):
    """A resistive circuit of crossbars that are reduced to their ports; Newton's method alone solves it.

    Args:
        crossbars: Ports of each.
        diodes: As of `ResistiveCircuit`, smooth.
        gain: As of `ResistiveCircuit`, one number for each layer.
        offset: As of `ResistiveCircuit`.
        inverted: Ports of the crossbars whose lines go with the sign turned, or None.

    Raises:
        InputError: Shapes that do not follow each other, ideal diodes, gains that differ within a layer.
    """

    wired = True

    def __init__(
        self,
        crossbars: Sequence[IdealPorts],
        diodes: DiodePair | Sequence[DiodePair] = _DIODES,
        gain: Value | Sequence[Value] = 4.0,
        offset: Value | Sequence[Value] = 0.0,
        *,
        inverted: Sequence[IdealPorts] | None = None,
    ) -> None:
        self.crossbars, self.mirrored = list(crossbars), list(inverted or [])
        devices = [ports.conductances for ports in self.mirrored] or None
        super().__init__([ports.conductances for ports in self.crossbars], diodes, gain, offset, inverted=devices)
        if not self.newtonian:
            raise InputError("diodes must be smooth and gain one number for each layer where crossbars have wires; take shockley diodes")

    def _sum(self, matrices: Sequence[torch.Tensor], inverted: Sequence[torch.Tensor], sign: int = 1) -> list[torch.Tensor]:
        return [m + sign * n for m, n in zip(matrices, inverted, strict=True)] if self.mirrored else list(matrices)

    @functools.cached_property
    def conductances(self):
        return self._sum([ports.between for ports in self.crossbars], [ports.between for ports in self.mirrored], -1)

    @functools.cached_property
    def at_columns(self) -> list[torch.Tensor]:
        """C of each crossbar, S, (columns, columns)."""
        return self._sum([ports.at_columns for ports in self.crossbars], [ports.at_columns for ports in self.mirrored])

    @functools.cached_property
    def into(self):
        return [c.diagonal() for c in self.at_columns]

    def _at_rows(self, k: int) -> torch.Tensor:
        """R of crossbar k, counted from 0; that of the first matters for the power alone."""
        matrix = self.crossbars[k].at_rows
        return matrix + self.mirrored[k].at_rows if self.mirrored else matrix

    @functools.cached_property
    def a(self):
        after = [self._at_rows(k) for k in range(1, self.layers)]
        return [c + r for c, r in zip(self.at_columns, after, strict=False)] + [self.at_columns[-1]]

    @functools.cached_property
    def shift(self):
        pairs = enumerate(zip(self.offset, self.gain, strict=True), 1)
        return [(o / gain).expand(self.crossbars[k].shape[0]) @ self._at_rows(k) for k, (o, gain) in pairs]

    @functools.cached_property
    def program(self):
        return None

    def loaded(self, k, v, slopes=0.0):
        return v @ self.a[k] + slopes * v

    def diagonal(self, k):
        return self.a[k].diagonal()

    def voltage_drops(self, before, after):
        plus = [ports.drops(p, u) for ports, p, u in zip(self.crossbars, before, after, strict=True)]
        return plus + [ports.drops(-p, u) for ports, p, u in zip(self.mirrored, before, after, strict=False)]

    def dissipation(self, sources, forced, nodes):
        power, driven = torch.zeros(len(sources), dtype=torch.float64), sources
        for k, u in enumerate(nodes):
            into = driven @ self.conductances[k]
            power = power + ((driven @ self._at_rows(k)) * driven).sum(1) + ((u @ self.at_columns[k] - 2 * into) * u).sum(1)
            if k < len(self.diodes):
                power = power + (self.diodes[k].current(u)[0] * u).sum(1)
                driven = self.driven(k, u)
        return power

    def resistors(self, k):
        for line, side in (("p", self.crossbars), ("n", self.mirrored)):
            yield from side[k].resistors(f"{line}{k}", f"u{k + 1}") if side else ()
