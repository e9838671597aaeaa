"""Single arrays, and what is found of measured ones."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable

import numpy as np
import torch
from scipy import optimize

from aimco.arrays.crossbar import Crossbar
from aimco.arrays.pulses import Pulses
from aimco.arrays.spec import ArraySpec
from aimco.bench.timing import OnCase, median, row, rpu_like
from aimco.device.device import Device
from aimco.device.fit import fit as fit_pulses
from aimco.device.measurement import Measurement, Trace
from aimco.periphery import Periphery
from aimco.plain_data import PlainData


def pulse(on_case: OnCase) -> list[PlainData]:
    """Pulsed update of one array, ms per sample. dense: BL = 31 fixed, every p = 0.5; sparse: update management on."""
    rows = []
    draws = np.random.default_rng(0)
    for regime in ("dense", "sparse"):
        for family in ("constant-step", "soft-bounds", "power", "exponential"):
            for size in (256, 512, 1024):
                batch, dense = 16, regime == "dense"
                case = f"{regime}/{family}/{size}x{size}/batch{batch}"
                on_case(case)
                pulses = Pulses(length=31, update_management=not dense, update_bl_management=not dense)
                array = Crossbar(ArraySpec(rpu_like(family), periphery=Periphery(pulses=pulses)), size, size)
                sign = draws.choice([-1.0, 1.0], (2, 1, batch, size)).astype(np.float32)
                x, d = torch.from_numpy(sign if dense else sign * np.abs(draws.standard_normal(sign.shape)).astype(np.float32))
                lr = float(array.step[0]) * (31 * 0.25 if dense else 0.055 / (2 / np.pi))
                rate = np.array([lr])

                def work(array: Crossbar = array, x: torch.Tensor = x, d: torch.Tensor = d, rate: np.ndarray = rate) -> None:
                    array.pulse(x, d, rate)

                before = _coincidences(array)
                value = median(work, runs=15) * 1e3 / batch
                hits = (_coincidences(array) - before) / (17 * batch * size * size)
                peer = median(_outer_product(array, x, d, lr), runs=5) * 1e3 / batch
                rows.append(row(case, value, "ms/sample", "torch rank-1 float update", peer) | {"coincidences_per_weight": hits})
    return rows


def _outer_product(array: Crossbar, x: torch.Tensor, d: torch.Tensor, lr: float) -> Callable[[], None]:
    """The peer of a pulsed update: the float rank-1 update of plain torch, one sample after the other."""
    weights = array.state[0].clone()

    def work() -> None:
        for xs, ds in zip(x[0], d[0], strict=True):
            weights.addr_(xs, ds, alpha=lr)

    return work


def _coincidences(array: Crossbar) -> int:
    return int(np.sum(array.counts.get("coincidences", 0)))


def hold(on_case: OnCase) -> list[PlainData]:
    """Time that passes in 784 x 256 devices until their states are read, ms: 775 minutes in one call, beside 80 ns."""

    def passed(array: Crossbar, seconds: float) -> torch.Tensor:
        array.elapse(seconds)
        return array.state

    rows = []
    for case, name in {"leak": "igzo-6t1c", "leak-spread": "capacitor-cmos", "drift": "pcm", "drift-and-1/f": "pcm-noisy"}.items():
        case = f"{case}/775-min/784x256"
        on_case(case)
        arrays = [Crossbar(Device.named(name), 784, 256) for _ in range(2)]
        long, short = (
            median(functools.partial(passed, array, s), runs=30) * 1e3 for array, s in zip(arrays, (46500.0, 80e-9), strict=True)
        )
        rows.append(row(case, long, "ms", "a call of 80 ns", short))
    return rows


def fit(on_case: OnCase) -> list[PlainData]:
    """The device behind 100 devices x 20 cycles x 1000 pulses, ms: choice of the family, spreads, intervals and noises."""
    case = "100-devices/20-cycles/1000-pulses"
    on_case(case)
    measured = _measured(devices=100, cycles=20, pulses=1000)
    ours = median(lambda: fit_pulses(measured), runs=3, warm=1)
    return [row(case, 1e3 * ours, "ms", "scipy curve_fit of each ramp alone", 1e3 * median(lambda: _each_ramp(measured), runs=1, warm=0))]


def _measured(devices: int, cycles: int, pulses: int) -> Measurement:
    """Up and down in turn on devices with soft bounds, half of the pulses of a cycle in each direction."""
    array = Crossbar(rpu_like("soft-bounds").replace("response.step_up", 3e-9).replace("response.step_down", 3e-9), 1, devices)
    polarity = np.tile(np.repeat(np.array([1, -1], np.int8), pulses // 2), cycles)
    levels = [array.device.conductance(array.state)[0, 0]]
    for sign in polarity.tolist():
        array.pulse_rows(torch.full(array.shape, sign, dtype=torch.int32))
        levels.append(array.device.conductance(array.state)[0, 0])
    level, signs = torch.stack(levels).numpy(), np.concatenate([np.zeros(1, np.int8), polarity])
    cycle, count = np.arange(len(signs)) // pulses, np.abs(signs).astype(np.int64)
    traces = [Trace(str(k), cycle, np.ascontiguousarray(level[:, k]), signs, count, None) for k in range(devices)]
    return Measurement(traces, "S", "made", [], None, None)


def _each_ramp(measured: Measurement) -> None:
    """What is done by hand: an exponential approach fitted to every ramp."""
    for trace in measured.traces:
        for ramp in np.split(trace.level, np.flatnonzero(np.diff(trace.polarity)) + 1)[1:]:
            n = np.arange(ramp.size)
            with contextlib.suppress(RuntimeError):
                optimize.curve_fit(lambda n, a, b, r: a + b * np.exp(-r * n), n, ramp, (ramp[-1], ramp[0] - ramp[-1], 5 / ramp.size))
