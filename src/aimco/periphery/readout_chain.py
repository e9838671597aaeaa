"""Readout chain: numbers become read voltages before an array, its currents become numbers after it, by its own converters.

A read is a pipeline, `encode -> array -> digitise`: values are scaled to full range and put on the levels of the DAC; the array makes
currents of them; these are integrated, noise is added, and they are put on the levels of the ADC and scaled back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from aimco import rng
from aimco.arrays.operations import Direction
from aimco.ensemble import PerMember, per_member
from aimco.periphery import Periphery
from aimco.record import InputError

SIDES: tuple[Direction, Direction] = ("mvm", "mvm_t")
_ATTEMPTS = 10  # of bound management


class Drive(NamedTuple):
    """What the lines of an array are driven with in one read.

    Args:
        pulses: Voltages, (E, B, lines), relative to the read voltage: one, or one for each bit.
        again: Vectors that are read, (E, B) bool: all at first, then those whose currents went beyond the range of the ADC.
        attempt: How many times such vectors were read before.
        scale: What the values of a vector were divided by, (E, B).
        power: Sum of the squared voltages of a vector, (E, B).
    """

    pulses: tuple[torch.Tensor, ...]
    again: np.ndarray
    attempt: int
    scale: np.ndarray
    power: np.ndarray


class Noise(NamedTuple):
    """Where the noise of one read comes from.

    Args:
        keys: Streams of the draws of each pulse, (E,) uint64.
        first: Number of the first vector in them.
        share: Of the noise of one device that the currents of a cell have.
    """

    keys: Sequence[np.ndarray]
    first: int
    share: np.float32


class ReadoutChain:
    """The converters of one array, in units of the current of one device at half its range and full voltage.

    Its state is `limits`, the range of the ADC in each direction, (E,): NaN until vectors were read, where the design takes it from them.

    Args:
        periphery: What the converters are.
        unit_A: Current of one unit, A, a number or (E,).
        device_noise: Of one device at full voltage, in units.
        weight: Weight of a state of 1.
        shape: Of the array, (E, rows, columns).
        seeds: Of the array, one for each member.
        names: Of the array; the converters of columns and of rows are drawn apart.
    """

    @np.errstate(over="ignore")  # a range beyond 32 bits is unlimited, and noise beyond them is found by what reads then give
    def __init__(
        self,
        periphery: Periphery,
        unit_A: PerMember,
        device_noise: PerMember,
        weight: PerMember,
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
        self._managed = p.noise_management == "abs-max"
        self._attempts = 1 + (_ATTEMPTS if p.bound_management == "iterative" and not self.serial else 0)
        self._pulses = per_member(p.dac.pulses, members).astype(np.int64)
        self._gathered = None if p.integrator is None else _gathered(p, unit_A, members)
        self._drawn = {name: self._draw(p, unit_A, name, tuple(seeds), names) for name in SIDES}
        lossy = self.edges["line_noise"].any() or self.edges["device_noise"].any() or self._gathered or any(self._drawn.values())
        exact = not any(np.isfinite(v).any() for v in (self.edges["dac"], self._largest, self.edges["adc"]))
        self.ideal = exact and not (lossy or self.calibrated or self.senses)

    def _draw(
        self, p: Periphery, unit_A: PerMember, name: Direction, seeds: tuple[int, ...], names: tuple[str, ...]
    ) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Gain and zero point of each line, (E, 1, lines): those of the converter that it takes turns at."""
        offset = per_member(np.asarray(p.adc.offset_A if p.sense is None else p.sense.offset_A) / unit_A, len(seeds))
        gain = per_member(p.adc.gain_spread, len(seeds))
        if not offset.any() and not gain.any():
            return None
        lines, shared = self.lines[name], 1 if self.senses else p.adc.shared_by
        keys = {n: rng.stream_keys(seeds, *names, f"converter {n}", name) for n in ("gain", "offset")}
        z = {n: rng.normal(k, 0, (-(-lines // shared),)).repeat_interleave(shared, 1)[:, None, :lines] for n, k in keys.items()}
        spread = {n: torch.from_numpy(v.astype(np.float32))[:, None, None] for n, v in (("gain", gain), ("offset", offset))}
        return 1 + spread["gain"] * z["gain"], spread["offset"] * z["offset"]

    def encode(self, v: torch.Tensor, before: Drive | None = None, again: np.ndarray | None = None) -> Drive:
        """Read voltages of vectors: scaled to full range (noise management) and put on the levels of the DAC.

        Args:
            v: Values, (E, B, lines).
            before: The last attempt at these vectors, whose buffers are used again; none at first.
            again: Vectors that are read once more, (E, B) bool, with half their voltages; all at first.
        """
        from aimco.kernels.reads import drive

        if before is None or again is None:
            scale, power, again = np.empty(v.shape[:2], np.float32), np.empty(v.shape[:2], np.float32), np.ones(v.shape[:2], np.bool_)
            attempt, voltages = 0, torch.empty(v.shape)
        else:
            scale, power, attempt, (voltages,) = before.scale, before.power, before.attempt + 1, before.pulses
        drive(v.contiguous().numpy(), again, self._managed, attempt, self.edges["dac"], voltages.numpy(), scale, power)
        return Drive(self._bits(voltages) if self.serial else (voltages,), again, attempt, scale, power)

    def _bits(self, voltages: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Pulses of -1, 0 or 1 full voltage for each bit of the magnitudes, the least significant first."""
        whole = torch.round(voltages * torch.from_numpy(self.edges["dac"])[:, None, None]).int()
        return tuple(torch.sign(whole) * (whole.abs() >> k & 1).float() for k in range(int(self._pulses.max())))

    def digitise(
        self, name: Direction, currents: Sequence[torch.Tensor], drive: Drive, noise: Noise
    ) -> tuple[torch.Tensor, np.ndarray | None]:
        """Numbers of the currents of a read.

        Args:
            name: Direction of the read.
            currents: Of each pulse of the drive, (E, B, lines), used up.
            drive: What they are the currents of.
            noise: Where noise comes from.

        Returns:
            The numbers of the vectors that were read, (E, B, lines), and those of them that must be read again, (E, B) bool, None if none.
        """
        signals = [self._at_converters(name, each) for each in currents]
        self._calibrate(name, signals)
        if self.serial:
            return self._weighed(name, signals, drive, noise), None
        numbers, again = torch.empty(currents[0].shape), drive.again.copy()
        beyond = self._convert(name, signals[0], again, drive, (noise.keys[0], noise), numbers)
        return numbers, again if beyond and drive.attempt + 1 < self._attempts else None

    def _weighed(self, name: Direction, currents: Sequence[torch.Tensor], drive: Drive, noise: Noise) -> torch.Tensor:
        """y = sum over bits k of 2^k ADC(G^T s_k) / (2^(bits-1) - 1), s_k in -1, 0, 1."""
        steps = torch.from_numpy(self.edges["dac"])[:, None, None]
        out, part = torch.zeros(currents[0].shape), torch.empty(currents[0].shape)
        for k, (pulse, current) in enumerate(zip(drive.pulses, currents, strict=True)):
            sent = np.repeat(self._pulses[:, None] > k, drive.scale.shape[1], 1)
            bit = drive._replace(scale=np.ones_like(drive.scale), power=pulse.square().sum(2).numpy())
            self._convert(name, current, sent, bit, (noise.keys[k], noise), part.zero_())
            out.add_(part * (2**k / steps))
        return out.mul_(torch.from_numpy(drive.scale)[:, :, None])

    def _at_converters(self, name: Direction, currents: torch.Tensor) -> torch.Tensor:
        """Currents as integrators and converters make them, in place."""
        if self._gathered is not None:
            share, most = self._gathered
            torch.minimum(torch.maximum(currents.mul_(share), -most), most, out=currents)
        drawn = self._drawn[name]
        return currents if drawn is None else currents.mul_(drawn[0]).add_(drawn[1])

    def _convert(
        self, name: Direction, currents: torch.Tensor, again: np.ndarray, drive: Drive, source: tuple[np.ndarray, Noise], out: torch.Tensor
    ) -> int:
        """Numbers of the vectors marked in `again`, which then marks those that went beyond the range; how many did."""
        from aimco.kernels.reads import convert

        e, limit, (keys, noise) = self.edges, self.limits[name], source
        limit = np.where(np.isnan(limit), self._largest, limit) if self.calibrated else limit
        sigmas = e["line_noise"], e["device_noise"] * noise.share
        vectors = (again, drive.scale, drive.power)
        beyond = convert(currents.numpy(), *vectors, *sigmas, limit, e["adc"], e["weight"], keys, noise.first, out.numpy())
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
        """Set the range from currents, of the members that have none yet and whose currents are not all 0."""
        limit = self.limits[name]
        for e in np.flatnonzero(np.isnan(limit)) if self.calibrated else ():
            seen = np.abs(np.concatenate([c[e].numpy().ravel() for c in currents]))
            if seen.any():
                limit[e] = min(max(np.percentile(seen, self._percentile[e]), np.finfo(np.float32).tiny), self._largest[e])


def _gathered(p: Periphery, unit_A: PerMember, members: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Of an integrator: what leak leaves of a current, T'/T, and the current at which it is full, C V / T; (E, 1, 1)."""
    assert p.integrator is not None
    read_s, leak_s = np.asarray(p.read_s, np.float64), np.asarray(p.integrator.leak_s, np.float64)
    with np.errstate(invalid="ignore"):
        share = np.where(np.isinf(leak_s), 1.0, -leak_s / read_s * np.expm1(-read_s / leak_s))
    most = np.asarray(p.integrator.capacitance_F) * np.asarray(p.integrator.swing_V) / read_s / unit_A
    tensors = [torch.from_numpy(per_member(v, members).astype(np.float32))[:, None, None] for v in (share, most)]
    return tensors[0], tensors[1]
