"""Finding what an array is to be read against, by the operations of the hardware alone: pulses, waiting and reading.

The symmetry point is found by pulses up and down in turn (zero-shifting), the resting point of devices that leak by waiting. What
is then read becomes the reference; every pulse, read and second is in the counts of the array.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from aimco.arrays import doors
from aimco.mapping import AnalogMatrix
from aimco.record import InputError

_NO_LONGER_FALLING = 0.9  # movement over the last one from which noise, not the way still to go, is what is seen


@dataclass(frozen=True)
class Found:
    """How a reference was found.

    Args:
        pulses: Pulses sent to every device.
        reads: Reads of the whole array, row by row.
        left: How far devices still are from the point, estimated from how they moved, root mean square, weight units; None where it was not
            looked at.
    """

    pulses: int
    reads: int
    left: float | None = None


def zero_shift(
    matrix: AnalogMatrix, pulses: int, *, tolerance: float | None = None, check_every: int | None = None, pulse_s: float | None = None
) -> Found:
    """Pulse all devices up and down in turn until they sit at their symmetry points; what is then read becomes the reference.

    A pair of pulses takes devices with soft bounds a part d = 2/n_states of the way at each pulse, so that pulses ln(100)/d leave 1 %.
    The state after a pulse down is d/2 too low and that after a pulse up d/2 too high: the mean of the two is the reference. Noise from
    cycle to cycle leaves a spread of sqrt(d/2) s_c2c.

    Args:
        matrix: Made with the reference policy "measured".
        pulses: The most that are sent, an even number.
        tolerance: Stop once what is left of the way, as two checks tell, is below this (weight units), or no longer falls, in the member of
            an ensemble that moves most: members stop together.
        check_every: Pulses between two checks; a twentieth of all by default.
        pulse_s: Time of one pulse, s, in which devices leak: what is then found is where pulses and leak balance.

    Source: Kim 2019 (arXiv 1907.10228); with the leak Noh 2024 (Science Advances 10, eadl3350).
    """
    pulses = doors.whole("zero_shift", "pulses", pulses, 2)
    if pulses % 2:
        raise InputError(f"zero_shift: pulses must be an even number, as many up as down, got {pulses}")
    check_every = None if check_every is None else doors.whole("zero_shift", "check_every", check_every, 2)
    tolerance = None if tolerance is None else doors.above_zero("zero_shift", "tolerance", tolerance)
    _check_referenced("zero_shift", matrix)
    block = max(2 * ((check_every or (pulses // 20 if tolerance is not None or pulse_s is not None else pulses)) // 2), 2)
    sent, reads, left = _pulsed(matrix, pulses, block, tolerance, pulse_s)
    low = matrix.read_rows()
    matrix.pulse_up_down(1)
    matrix.set_reference((low + matrix.read_rows()) / 2)
    return Found(sent + 1, reads + 2, left)


def _pulsed(matrix: AnalogMatrix, pulses: int, block: int, tolerance: float | None, pulse_s: float | None) -> tuple[int, int, float | None]:
    """Pulses in blocks, up to the tolerance if there is one: how many were sent, reads of the matrix, and what is left of the way."""
    sent, reads, left, moved = 0, 0, None, None
    before = matrix.read_rows() if tolerance is not None else None
    while sent < pulses:
        now = min(block, pulses - sent)
        matrix.pulse_up_down(now)
        sent += now
        if pulse_s is not None:
            matrix.elapse(now * pulse_s)
        if before is None or tolerance is None:
            continue
        after, last = matrix.read_rows(), moved
        reads, moved, before = reads + 1, _rms(after - before), after
        if last is not None:
            ratio = moved / max(last, 1e-30)
            left = moved * ratio / max(1 - ratio, 1e-6)
            if left < tolerance or ratio > _NO_LONGER_FALLING:
                break
    return sent, reads + (tolerance is not None), left


def rest(matrix: AnalogMatrix, wait_s: float) -> Found:
    """Wait until devices that leak have come to rest; what is then read becomes the reference.

    Args:
        matrix: Made with the reference policy "measured".
        wait_s: How long, s: exp(-wait_s / tau) of the distance is left.

    Source: Won 2023 (Advanced Science 10, 2303018): the resting point is stable, and can be read at any time by waiting.
    """
    _check_referenced("rest", matrix)
    matrix.elapse(wait_s)
    matrix.set_reference(matrix.read_rows())
    return Found(0, 1)


def _check_referenced(where: str, matrix: AnalogMatrix) -> None:
    if not matrix.tiles[0][0].crossbar.referenced:
        raise InputError(f"{where}: the matrix must be made with a reference policy, as 'measured', to have references that are written")


def _rms(moved: torch.Tensor) -> float:
    """Of the member that moved most, so that none stops on account of the others."""
    return moved.square().flatten(1).mean(1).sqrt().max().item()
