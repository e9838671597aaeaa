"""The record of a resistive network: what stands between its crossbars."""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import Field, model_validator

from aimco import rng
from aimco.arrays.vertical import Stack
from aimco.circuit.elements import DiodePair, Ideal, PiecewiseLinear, Shockley, Value
from aimco.record import PathError, Record, quantity
from aimco.units import A, F, V, s

LEAST = 0.05  # of a value, that spread leaves


class Circuit(Record):
    """What stands between the crossbars of a resistive network, and how far its parts are from each other.

    Args:
        diodes: "shockley", exponential; "ideal", held between two voltages; "piecewise-linear", measured points of one diode.
        low_V: Voltage of the lower source behind the diodes, V.
        high_V: Voltage of the upper source behind the diodes, V.
        mirrored: Half of the hidden nodes have sources of -high_V and -low_V: with low_V = 0 and a high_V that no node reaches, one half
            of a layer rectifies upwards and the other downwards.
        saturation_A: I_s of shockley diodes, A.
        ideality: n of shockley diodes.
        volts: Voltages of the points of a measured diode, V.
        amperes: Currents of the points of a measured diode, A.
        input_V: What a source drives for an input of 1, and for the bias, V.
        gain: A of the amplifiers.
        start: Part of the range of the devices that initial conductances fill.
        empty: Part of the devices that start at the lowest conductance.
        diode_spread: Relative standard deviation of saturation currents and source voltages from part to part.
        gain_spread: Relative standard deviation of gains.
        conductance_spread: Relative standard deviation of the conductance that a device has in the circuit.
        offset_spread_V: Standard deviation of the offsets of amplifiers, V.
        source_noise_V: Standard deviation of what a source drives, new for each sample, V.
        readout_noise_V: Standard deviation of each reading of an output, V.
        tolerance_V: To which every voltage is solved, V.
        precision: Of the solution.
        node_F: Capacitance that each device adds to the two lines it is on, F.
        settle_s: Time of one operating point, s; from the slowest mode of the circuit when absent.
        vertical: What three-dimensional arrays the crossbars stand in, if any.
    """

    diodes: Literal["shockley", "ideal", "piecewise-linear"] = "shockley"
    low_V: float = quantity(V, -0.3, ge=-100, le=100, doc="lower source voltage of the diodes")
    high_V: float = quantity(V, 0.3, ge=-100, le=100, doc="upper source voltage of the diodes")
    mirrored: bool = Field(default=False, description="half of the hidden nodes have the sources of opposite signs")
    saturation_A: float = quantity(A, 2.52e-9, gt=0, le=1, doc="saturation current of the diodes")
    ideality: float = Field(default=1.752, gt=0, le=10, description="ideality factor of the diodes")
    volts: tuple[float, ...] = Field(default=(0.0, 0.6, 0.7), strict=False, description="voltages of a measured diode, V")
    amperes: tuple[float, ...] = Field(default=(0.0, 1e-6, 1e-3), strict=False, description="currents of a measured diode, A")
    input_V: float = quantity(V, 1.0, gt=0, le=10_000, doc="voltage of an input of 1")
    gain: float = Field(default=4.0, gt=0, le=1e6, description="voltage gain of the amplifiers")
    start: float = Field(default=0.5, gt=0, le=1, description="part of the range that initial conductances fill")
    empty: float = Field(default=0.0, ge=0, lt=1, description="part of the devices that start at the lowest conductance")
    diode_spread: float = Field(default=0.0, ge=0, le=1, description="relative spread of the diodes")
    gain_spread: float = Field(default=0.0, ge=0, le=1, description="relative spread of the gains")
    conductance_spread: float = Field(default=0.0, ge=0, le=1, description="relative spread of conductances in the circuit")
    offset_spread_V: float = quantity(V, 0.0, ge=0, le=10, doc="spread of the offsets of amplifiers")
    source_noise_V: float = quantity(V, 0.0, ge=0, le=10, doc="noise of the sources")
    readout_noise_V: float = quantity(V, 0.0, ge=0, le=10, doc="noise of reading an output")
    tolerance_V: float = quantity(V, 1e-6, gt=0, le=0.1, doc="to which voltages are solved")
    precision: Literal["float32", "float64"] = "float64"
    node_F: float = quantity(F, 1e-15, gt=0, le=1e-6, doc="capacitance per device and line")
    settle_s: float | None = quantity(s, None, gt=0, doc="time of one operating point")
    vertical: Stack | None = None

    @model_validator(mode="after")
    def _buildable(self):
        if self.vertical is not None and self.vertical.word_lines == "planes":
            raise PathError("vertical.word_lines", "must be combs in a resistive network, got planes: these have one input for a layer")
        try:
            self.pair(1, 0, 0)
        except ValueError as error:
            field, _, rule = str(error).partition(" ")
            raise PathError({"diodes.low": "low_V"}.get(field, field.removeprefix("diodes.")), rule) from None
        return self

    def pair(self, nodes: int, layer: int, seed: int) -> DiodePair:
        """The diodes of a hidden layer, each node's own where they are spread."""
        spread = self._spread(self.diode_spread, nodes, seed, "diodes", layer)
        low, high = self.low_V * spread, self.high_V * spread
        if self.mirrored:
            turned, ones = torch.arange(nodes) >= (nodes + 1) // 2, torch.ones(nodes, dtype=getattr(torch, self.precision))
            low, high = torch.where(turned, -ones * high, ones * low), torch.where(turned, -ones * low, ones * high)
        if self.diodes == "ideal":
            return Ideal(low, high)
        if self.diodes == "piecewise-linear":
            return PiecewiseLinear(low, high, volts=self.volts, amperes=self.amperes)
        saturation = self.saturation_A * self._spread(self.diode_spread, nodes, seed, "saturation", layer)
        return Shockley(low, high, saturation=saturation, ideality=self.ideality)

    def gains(self, nodes: int, layer: int, seed: int) -> Value:
        """Gains of the amplifiers of a hidden layer."""
        return self.gain * self._spread(self.gain_spread, nodes, seed, "gain", layer)

    def offsets(self, nodes: int, layer: int, seed: int) -> Value:
        """Offsets of the amplifiers of a hidden layer, V."""
        return self.offset_spread_V * normal(seed, (nodes,), "offset", layer) if self.offset_spread_V else 0.0

    def _spread(self, sigma: float, nodes: int, seed: int, *names: str | int) -> Value:
        """1 + sigma z for each node, at least 0.05; the number 1 where there is no spread."""
        if not sigma:
            return 1.0
        return (1 + sigma * normal(seed, (nodes,), *names)).clamp_(min=LEAST).to(getattr(torch, self.precision))


def normal(seed: int, shape: tuple[int, ...], *names: str | int, step: int = 0) -> torch.Tensor:
    """Standard normal numbers of a stream of a resistive network, in double precision."""
    return rng.normal(rng.stream_keys((seed,), "end-to-end", *names), step, shape)[0].double()


def uniform(seed: int, shape: tuple[int, ...], *names: str | int, step: int = 0) -> torch.Tensor:
    """Uniform numbers in (0, 1) of a stream of a resistive network, in double precision."""
    draws = rng.uniform(rng.stream_keys((seed,), "end-to-end", *names), step, math.prod(shape))
    return torch.from_numpy(draws[0]).reshape(shape)
