"""Conversion: from the numbers on the lines of an array to the numbers read, through what its own converters are like."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from aimco import rng
from aimco.arrays.crossbar import Direction
from aimco.ensemble import per_member
from aimco.periphery import Periphery
from aimco.record import InputError

Product = Callable[["torch.Tensor", "np.ndarray | None"], "torch.Tensor"]  # currents of voltages; vectors read once more, for the ledger
SIDES: tuple[Direction, Direction] = ("mvm", "mvm_t")


class Conversion:
    """The converters of one array, in units of the current of one device at half its range and full voltage.

    Args:
        periphery: what they are. unit_A: that current, A, a number or (E,). device_noise: of one device at full voltage.
        weight: of a state of one. shape: (E, rows, columns). seeds, names: of the array; converters of the columns and of the rows
            are drawn apart.
    """

    @np.errstate(over="ignore")  # a range beyond 32 bits is unlimited, and noise beyond them is found by what reads then give
    def __init__(
        self,
        periphery: Periphery,
        unit_A: Any,
        device_noise: Any,
        weight: Any,
        shape: tuple[int, int, int],
        seeds: Sequence[int],
        names: tuple[str, ...],
    ) -> None:
        members, rows, columns = shape
        p, self.lines = periphery, {"mvm": columns, "mvm_t": rows}
        each = {
            "dac": 2 ** (np.asarray(p.dac.bits) - 1) - 1,
            "line_noise": np.hypot(p.output_noise, p.adc.noise_A) / unit_A,
            "device_noise": device_noise,
            "adc": 2 ** (np.asarray(p.adc.bits) - 1) - 1,
            "weight": weight,
        }
        self.edges = {name: per_member(v, members).astype(np.float32) for name, v in each.items()}
        self._largest = per_member(np.asarray(p.adc.range_A) / unit_A, members).astype(np.float32)
        self.calibrated = p.adc.calibration != "none"
        self._percentile = per_member(p.adc.percentile, members)
        self.limits = {name: np.full_like(self._largest, np.nan) if self.calibrated else self._largest for name in SIDES}
        self.serial, self.senses = p.dac.serial, p.sense is not None
        self.pulses = per_member(p.dac.pulses, members).astype(np.int64)
        self._gathered = None if p.integrator is None else _gathered(p, unit_A, members)
        self._drawn = {name: self._draw(p, unit_A, name, tuple(seeds), names) for name in SIDES}
        lossy = self.edges["line_noise"].any() or self.edges["device_noise"].any() or self._gathered or any(self._drawn.values())
        exact = not any(np.isfinite(v).any() for v in (self.edges["dac"], self._largest, self.edges["adc"]))
        self.ideal = exact and not (lossy or self.calibrated or self.senses)

    def _draw(
        self, p: Periphery, unit_A: Any, name: Direction, seeds: tuple[int, ...], names: tuple[str, ...]
    ) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Gain and zero point of each line, (E, 1, lines): those of the converter that it takes turns at."""
        offset = per_member(np.asarray(p.adc.offset_A if p.sense is None else p.sense.offset_A) / unit_A, len(seeds))
        gain = per_member(p.adc.gain_spread, len(seeds))
        if not offset.any() and not gain.any():
            return None
        lines, shared = self.lines[name], 1 if self.senses else p.adc.lines
        keys = {n: rng.stream_keys(seeds, *names, f"converter {n}", name) for n in ("gain", "offset")}
        z = {n: rng.normal(k, 0, (-(-lines // shared),)).repeat_interleave(shared, 1)[:, None, :lines] for n, k in keys.items()}
        spread = {n: torch.from_numpy(v.astype(np.float32))[:, None, None] for n, v in (("gain", gain), ("offset", offset))}
        return 1 + spread["gain"] * z["gain"], spread["offset"] * z["offset"]

    def _at_converters(self, name: Direction, currents: torch.Tensor) -> torch.Tensor:
        """Currents as integrators and converters make them, in place."""
        if self._gathered is not None:
            share, most = self._gathered
            torch.minimum(torch.maximum(currents.mul_(share), -most), most, out=currents)
        drawn = self._drawn[name]
        return currents if drawn is None else currents.mul_(drawn[0]).add_(drawn[1])

    def measure(
        self,
        name: Direction,
        voltages: torch.Tensor,
        product: Product,
        again: np.ndarray,
        first_time: bool,
        scale: np.ndarray,
        power: np.ndarray,
        share: np.float32,
        keys: Callable[[int | None], np.ndarray],
        first: int,
        out: torch.Tensor,
    ) -> int:
        """Numbers of the vectors marked in `again`; how many went beyond the range. Arguments as in `aimco.kernels.reads.convert`.

        Args:
            voltages: (E, B, lines driven), on the levels of the DAC. product: of the array. first_time: whether no vector was read before.
            share: of the noise of one device that the currents of a cell have. keys: streams of the noise of a bit, or of all at once.
            out: (E, B, lines read).
        """
        if self.serial:
            self._measure_bits(name, voltages, product, scale, share, keys, first, out)
            return 0
        currents = self._at_converters(name, product(voltages, None if first_time else again))
        self._calibrate(name, [currents])
        return self._convert(name, currents, again, scale, power, share, keys(None), first, out)

    def _measure_bits(
        self,
        name: Direction,
        voltages: torch.Tensor,
        product: Product,
        scale: np.ndarray,
        share: np.float32,
        keys: Callable[[int | None], np.ndarray],
        first: int,
        out: torch.Tensor,
    ) -> None:
        """y = sum over bits k of 2^k ADC(G^T s_k) / (2^(bits-1) - 1), s_k in -1, 0, 1."""
        steps = torch.from_numpy(self.edges["dac"])[:, None, None]
        whole = torch.round(voltages * steps).int()
        nobody, planes = np.zeros(scale.shape, np.bool_), range(int(self.pulses.max()))
        pulses = [torch.sign(whole) * (whole.abs() >> k & 1).float() for k in planes]
        currents = [self._at_converters(name, product(v, nobody if k else None)) for k, v in enumerate(pulses)]
        self._calibrate(name, currents)
        part, taken = torch.empty_like(out), np.ones_like(scale)
        out.zero_()
        for k in planes:
            mine, power = np.repeat(self.pulses[:, None] > k, scale.shape[1], 1), pulses[k].square().sum(2).numpy()
            part.zero_()
            self._convert(name, currents[k], mine, taken, power, share, keys(k), first, part)
            out.add_(part * (2**k / steps))
        out.mul_(torch.from_numpy(scale)[:, :, None])

    def _convert(
        self,
        name: Direction,
        currents: torch.Tensor,
        again: np.ndarray,
        scale: np.ndarray,
        power: np.ndarray,
        share: np.float32,
        keys: np.ndarray,
        first: int,
        out: torch.Tensor,
    ) -> int:
        from aimco.kernels.reads import convert

        e, limit = self.edges, self.limits[name]
        limit = np.where(np.isnan(limit), self._largest, limit) if self.calibrated else limit
        noise = e["line_noise"], e["device_noise"] * share
        beyond = convert(currents.numpy(), again, scale, power, *noise, limit, e["adc"], e["weight"], keys, first, out.numpy())
        if self.senses:
            out.copy_(torch.copysign(torch.ones(()), out + 0.0))
        return beyond

    def forget(self, name: Direction) -> None:
        """Let the next vectors that are read calibrate the range in this direction.

        Raises:
            InputError: the ADC is not calibrated.
        """
        if not self.calibrated:
            raise InputError("periphery.adc.calibration must be percentile for a range taken from vectors, got none")
        self.limits[name][:] = np.nan

    def _calibrate(self, name: Direction, currents: Sequence[torch.Tensor]) -> None:
        """Take the range from currents, of the members that have none yet and whose currents are not all 0."""
        limit = self.limits[name]
        for e in np.flatnonzero(np.isnan(limit)) if self.calibrated else ():
            seen = np.abs(np.concatenate([c[e].numpy().ravel() for c in currents]))
            if seen.any():
                limit[e] = min(max(np.percentile(seen, self._percentile[e]), np.finfo(np.float32).tiny), self._largest[e])


def _gathered(p: Periphery, unit_A: Any, members: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Of an integrator: what leak leaves of a current, T'/T, and the current at which it is full, C V / T; (E, 1, 1)."""
    assert p.integrator is not None
    read_s, leak_s = np.asarray(p.read_s, np.float64), np.asarray(p.integrator.leak_s, np.float64)
    with np.errstate(invalid="ignore"):
        share = np.where(np.isinf(leak_s), 1.0, -leak_s / read_s * np.expm1(-read_s / leak_s))
    most = np.asarray(p.integrator.capacitance_F) * np.asarray(p.integrator.swing_V) / read_s / unit_A
    made = [torch.from_numpy(per_member(v, members).astype(np.float32))[:, None, None] for v in (share, most)]
    return made[0], made[1]
