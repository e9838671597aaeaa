"""Learning rates in the units of a device: what a rule takes where none is given.

A rate that suits one device is a thousand times too large for another, because arrays learn in steps of their devices and not in units
of weight. Four numbers of the device say which rates suit it: the step dw_min, the slope of its steps where they balance, its
cycle-to-cycle noise, and whether that balance lies within its range. The layer adds its rows and the length of its pulse trains.

Symbols, all states in half ranges of the device (weights in units of weight_max), all times in samples:

    dw      mean step at mid-range; 2/dw is the number of states
    k       pull per pulse to the symmetry point, -(d up/dg + d down/dg)/2, signed steps; dw for soft bounds, 0 for constant steps
    c       cycle-to-cycle noise of a step, relative to it
    l       slots of the longest pulse train, BL
    kappa   E|x d| / (mu_x mu_d), mean over devices of |x d| relative to the largest |x| and |d| of a sample
    p       coincidences per device and sample

**Descent on the array** (sgd, residual, probabilistic-write, mixed-precision): pulses carry lr x d^T without bias whatever dw is, as long
as the train is not full (Gokmen & Vlasov 2016, eq. 2), so that the rate is that of the digital network. What a coarse device adds is
noise, whose share a smaller rate does not lower: both change and variance grow with lr.

**Fast array A, filter H, slow array W** (Tiki-Taka v2 and its kin), with lr_fast in units of l dw/(mu_x mu_d) (Rasch 2024, auto-scale):

    p = kappa l lr_fast                                        whatever the size of the gradient
    T = 1/(p k + 1/T_r)                                        samples that A remembers; T_r: until the rule takes its zero anew
    F = min(p dw T, 1)                                         where A would settle under a gradient of one sign, its full signal
    v = F E[x d]/E|x d|                                        what a read of A shows
    each sample moves W by lr v/gamma_0                        H gains lr n_s n v/(gamma_0 dw) every n_s n samples, in steps dw

W is to move by beta = b/sqrt(n) half ranges per sample of full signal, that is by its initial scale, 1/sqrt(n), in 1/b samples, whatever
the n rows of the layer: lr/gamma_0 = beta/F. Learning rates keep the meaning that they have in software, 0.3 for any device, and gamma_0
follows. It depends on the device only through F: not at all where states are few, since A then
settles between two reads, and as 1/(dw lr_fast) where they are many. Batches play no part: A is taught in units of the largest |d|.
A itself wants 1/N_0 of its half range in pulses of each sample, and more where noise has to average out:

    lr_fast = (1 + c^2)^(1/4)/(dw l kappa N_0)

kappa is about 0.1 in layers of sigmoids at all times of training, and less with ReLU, for which it was not fitted. b and N_0 are
measured on the 30 devices of the catalogue (digits, 64-32-10, 10 epochs), the power of n on MNIST (784-256-128-10, 2000 images).

**The largest weight under descent.** Pulses pull a weight to the symmetry point by k/dw of |lr x d|/w_max each (Wu 2024, eq. 6), and their
noise is dw w_max sqrt(1 + c^2) a step: the first falls with the range of the weights, w_max, the second grows. They balance at
w_max ~ sqrt((k/dw)/(dw sqrt(1 + c^2))), with a factor of 0.5 as measured by runs of SGD, within 1..8.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

import numpy as np
import torch

from aimco.device.device import Device

KAPPA = 0.1  # E|x d| / (mu_x mu_d) in layers of sigmoids
SIGNAL_RATE = 3.2e-3  # b, initial scales by which W moves per sample of full signal, of rules that take their zero anew
SIGNAL_RATE_FIXED = 4.8e-3  # the same of rules whose zero is fixed
FILL = 100.0  # N_0, samples in which pulses of one sign would take A over half its range
DESCENT_RATE = 0.3  # of the mean gradient of a batch, weight units: the middle of what trains the digital network
LARGEST_MOVE = 0.2  # of the half range, that one transfer may move a weight
_FAST = (0.01, 0.3)  # of a full train: below, rounding to whole slots is most of the update; beyond, trains are cut
_RESET_FIXED, _RESET_ANEW = 10.0, 3.0  # traversals of the array after which A is taken to have forgotten
_PAIR_FILL = 2.0  # half ranges of pulses between two refreshes of a pair
_LARGEST_PRODUCT = 0.1  # M, of an input and an error of one sample
_BALANCE, _WEIGHT_MAX = 0.5, (1.0, 8.0)  # of pull and noise under descent


@dataclass(frozen=True)
class DeviceUnits:
    """What rates follow from.

    Args:
        step: dw, mean step at mid-range, half ranges.
        pull: k, slope of the mean of an up and a down pulse at the symmetry point, per pulse, >= 0.
        noise: c, standard deviation of a step from cycle to cycle, relative to dw.
        balances: Whether pulses up and down pull the device to a symmetry point well within its range, which can then be a reference.
    """

    step: float
    pull: float
    noise: float
    balances: bool

    @classmethod
    def of(cls, device: Device) -> DeviceUnits:
        """The numbers of a device without its spread.

        Args:
            device: Of one ensemble member.

        Example:
            >>> units = DeviceUnits.of(Device.named("soft-bounds"))
            >>> round(2 / units.step), round(units.pull / units.step, 2), units.balances
            (1200, 1.0, True)
        """
        step = float(device.step / device.half_range)
        nominal = device.replace("spread", {}).sample((1, 1), [0])
        centre = 0.0 if device.response.one_sided else float(nominal.symmetry_point())
        inside = abs(centre) < _INSIDE
        around = centre if inside else 0.0
        slope = [sum(float(change) for change in nominal.steps(torch.full((1, 1, 1), around + h))) for h in (-_SMALL, _SMALL)]
        pull = max((slope[0] - slope[1]) / (4 * _SMALL), 0.0)
        noise = np.linalg.norm([device.cycle_noise, device.cycle_noise_additive, 2 * device.cycle_noise_range / step])
        return cls(step, pull, float(noise), inside and pull > _LEAST_PULL * step and not device.response.one_sided)


_known: dict[str, DeviceUnits] = {}


def units_of(device: Device) -> DeviceUnits:
    """`DeviceUnits.of`, remembered by the content of the device."""
    key = device.hash()
    if key not in _known:
        _known[key] = DeviceUnits.of(device)
    return _known[key]


_INSIDE = 0.95  # of the half range
_SMALL = 1e-3
_LEAST_PULL = 0.03  # of a step


@dataclass(frozen=True)
class Layer:
    """What rates of one layer follow from.

    Args:
        units: Of the device of its fast array.
        rows: n, inputs with the bias.
        length: l, slots of the longest train.
        refresh_every: Samples between two refreshes of cells whose devices pulses only raise; None of others.
        batch: Samples whose mean gradient is taught.
    """

    units: DeviceUnits
    rows: int
    length: int = 31
    refresh_every: int | None = None
    batch: int = 10


def fast_rate(layer: Layer) -> float:
    """lr_fast of Tiki-Taka v2 and its kin, in units of l dw/(mu_x mu_d).

    lr_fast = (1 + c^2)^(1/4)/(dw l kappa N_0), within 0.01..0.3, and in cells of a pair at most 2/(dw l kappa n_refresh).

    Args:
        layer: Of which A is the fast array.

    Example:
        >>> few, many = (fast_rate(Layer(DeviceUnits.of(Device.named(n)), 65)) for n in ("rram-array-om", "rpu-10000-states"))
        >>> few < many
        True

    Source: Rasch 2024 (Nat. Commun. 15:7133) for its units; N_0 measured.
    """
    full = layer.units.step * layer.length * KAPPA  # half ranges of pulses per sample at lr_fast = 1
    rate = float(np.clip((1 + layer.units.noise**2) ** 0.25 / (full * FILL), *_FAST))
    return rate if layer.refresh_every is None else min(rate, _PAIR_FILL / (full * layer.refresh_every))


def granularity(layer: Layer, lr_fast: float, *, transfer_every: float = 2.0, chopped: bool = False) -> float:
    """gamma_0 with which a learning rate of `DESCENT_RATE` moves W by its initial scale in 1/b samples of full signal.

    gamma_0 = lr sqrt(n) F/b as in the head of this file, with T_r = 3 n_s n for choppers and 10 n_s n without.

    Args:
        layer: Of which A is the fast array.
        lr_fast: Of A, as `fast_rate`.
        transfer_every: n_s, samples between two reads of A.
        chopped: Whether the rule takes the zero of A anew, by choppers.

    Source: Rasch 2024 (Nat. Commun. 15:7133) for its units; b measured.
    """
    traversals, scales = (_RESET_ANEW, SIGNAL_RATE) if chopped else (_RESET_FIXED, SIGNAL_RATE_FIXED)
    filled = signal(layer.units, lr_fast * layer.length * KAPPA, traversals * transfer_every * layer.rows)
    return float(DESCENT_RATE * np.sqrt(layer.rows) * filled / scales)


@dataclass(frozen=True)
class TransferRates:
    """Rates of Tiki-Taka, whose reads reach the slow array without a filter.

    Args:
        lr_fast: Of A, weight units.
        transfer_lr: What a learning rate of `DESCENT_RATE` is multiplied by for a transfer.
    """

    lr_fast: float
    transfer_lr: float


def tiki_taka_rates(layer: Layer, *, transfer_every: float = 1.0) -> TransferRates:
    """Rates of Tiki-Taka, whose lr_fast is in units of weight and whose reads reach the slow array without a filter.

    lr_fast = lr'_fast l dw batch/M, with lr'_fast that of `fast_rate` at three times N_0, and M = batch mu_x mu_d the largest product
    of an input and an error before the mean over the batch is taken. A read v of a row, every n_s n samples, moves W by lr v, so that
    lr = n_s n beta/F. Where pulses pull A to no symmetry point it does not forget, and nothing follows: lr_fast 0.1, a transfer by 0.1.

    Args:
        layer: Of which A is the fast array.
        transfer_every: n_s, samples between two reads of A.

    Source: Gokmen & Haensch 2020, algorithm 1, for the transfer; M = 0.1 measured (0.07 and 0.1 to 0.9 in the two layers of 64-32-10).
    """
    units, length = layer.units, layer.length
    if not units.balances:
        return TransferRates(0.1, 0.1 / DESCENT_RATE)
    full = units.step * length * KAPPA
    relative = float(np.clip((1 + units.noise**2) ** 0.25 / (3 * full * FILL), *_FAST))
    filled = signal(units, relative * length * KAPPA, _RESET_FIXED * transfer_every * layer.rows)
    lr = SIGNAL_RATE * float(np.sqrt(layer.rows)) * transfer_every / filled
    return TransferRates(relative * length * units.step * layer.batch / _LARGEST_PRODUCT, lr / DESCENT_RATE)


def signal(units: DeviceUnits, pulses: float, forgets: float = inf) -> float:
    """F, part of its half range at which a fast array settles under a gradient of one sign, 0..1.

    Args:
        units: Of the device.
        pulses: p, coincidences per device and sample.
        forgets: T_r, samples after which the rule takes the zero of A anew.
    """
    memory = 1 / max(pulses * units.pull + 1 / forgets, 1e-30)
    return min(pulses * units.step * memory, 1.0)


def max_pulses(units: DeviceUnits) -> int:
    """Most pulses on a weight by one transfer: those that move it by a fifth of its half range, 10..1000.

    Fewer do not help a device of few states, and hold back one of many: 10 at most cost 14 points on 10,000 states.
    """
    return int(np.clip(round(LARGEST_MOVE / units.step), 10, 1000))


def descent_weight_max(units: DeviceUnits) -> float:
    """w_max of a cell whose weights learn by descent, where pull to the symmetry point and noise of a step balance, 1..8.

    Args:
        units: Of the device.

    Example:
        >>> [descent_weight_max(DeviceUnits.of(Device.named(name))) for name in ("ideal", "soft-bounds")]
        [1.0, 8.0]
    """
    balance = np.sqrt(units.pull / units.step / (units.step * np.sqrt(1 + units.noise**2)))
    return float(np.clip(_BALANCE * balance, *_WEIGHT_MAX))
