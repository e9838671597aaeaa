"""Benchmarks: medians, and ratios to a peer timed in the same run."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy import optimize
from torch import nn

from aimco.arrays.crossbar import Crossbar
from aimco.arrays.pulses import Pulses
from aimco.arrays.wires import Wired, Wires
from aimco.circuit.elements import Ideal, Shockley
from aimco.circuit.spice import operating_point
from aimco.cost import Network, inference, training
from aimco.design import Design
from aimco.device.device import Device
from aimco.device.fit import fit as fit_pulses
from aimco.device.measurement import Measurement, Trace
from aimco.evaluation import evaluate, evaluate_many
from aimco.learning.equilibrium import Equilibrium, Phases
from aimco.networks.descent import Descent
from aimco.networks.layers import Linear
from aimco.networks.on_chip import OnChip
from aimco.networks.resistive import Resistive
from aimco.optim import InMemory
from aimco.peers.spikes import brian2
from aimco.peers.wires import wired
from aimco.record import InputError, _meant

OnCase = Callable[[str], None]
_LR = 0.05
_DRIVE = 60.0  # V, that brings about a third of the diodes of a network that has not learned to conduct


def run(name: str, on_case: OnCase | None = None, *, peer: str | None = None) -> dict[str, Any]:
    """Rows of one benchmark: case, value, unit, peer, peer_value, ratio (our speed over the peer's).

    Args:
        peer: interpreter of the environment that a peer is installed in; for rbm, Brian2.

    Raises:
        InputError: no benchmark of this name, or no peer of it in an environment of its own.
    """
    if name not in NAMES:
        raise InputError(f"benchmark {name!r} is unknown{_meant(name, list(NAMES))}; the benchmarks are {', '.join(NAMES)}")
    if peer is not None and name != "rbm":
        raise InputError(f"peer must be left out for {name}, got {peer}; rbm alone has one in an environment of its own")
    work = NAMES[name] if peer is None else functools.partial(rbm, peer=peer)
    rows = work(on_case or (lambda case: None))
    machine = f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}"
    return {"bench": name, "threads": torch.get_num_threads(), "machine": machine, "rows": rows}


def _median(work: Callable[[], Any], *, runs: int = 9, warm: int = 2, clock: Callable[[], float] = time.perf_counter) -> float:
    """Median seconds of one call, by a clock."""
    for _ in range(warm):
        work()
    times = []
    for _ in range(runs):
        start = clock()
        work()
        times.append(clock() - start)
    return statistics.median(times)


def _row(case: str, value: float, unit: str, peer: str, peer_value: float) -> dict[str, Any]:
    faster = peer_value / value if unit.startswith("ms") else value / peer_value
    return {"case": case, "value": value, "unit": unit, "peer": peer, "peer_value": peer_value, "ratio": faster}


def _device(family: str) -> Device:
    """1200 states with the spreads and the cycle-to-cycle noise of the RPU specification, for every family."""
    base = Device.named("soft-bounds")
    kept = {n: getattr(base.response, n) for n in ("step_up", "step_down")}
    return base.replace("response", {"kind": family} | kept)


def _outer_product(array: Crossbar, x: torch.Tensor, d: torch.Tensor, lr: float) -> Callable[[], Any]:
    """The peer of a pulsed update: the float rank-1 update of plain torch, one sample after the other."""
    weights = array.state[0].clone()

    def work() -> None:
        for xs, ds in zip(x[0], d[0], strict=True):
            weights.addr_(xs, ds, alpha=lr)

    return work


def pulse(on_case: OnCase) -> list[dict[str, Any]]:
    """Pulsed update of one array, ms per sample. dense: BL = 31 fixed, every p = .5; sparse: update management on."""
    rows = []
    draws = np.random.default_rng(0)
    for regime in ("dense", "sparse"):
        for family in ("constant-step", "soft-bounds", "power", "exponential"):
            for size in (256, 512, 1024):
                batch, dense = 16, regime == "dense"
                case = f"{regime}/{family}/{size}x{size}/batch{batch}"
                on_case(case)
                pulses = Pulses(length=31, update_management=not dense, update_bl_management=not dense)
                array = Crossbar(_device(family), size, size, pulses=pulses)
                sign = draws.choice([-1.0, 1.0], (2, 1, batch, size)).astype(np.float32)
                x, d = torch.from_numpy(sign if dense else sign * np.abs(draws.standard_normal(sign.shape)).astype(np.float32))
                lr = float(array.step[0]) * (31 * 0.25 if dense else 0.055 / (2 / np.pi))
                rate = np.array([lr])

                def work(array: Crossbar = array, x: torch.Tensor = x, d: torch.Tensor = d, rate: np.ndarray = rate) -> None:
                    array.pulse(x, d, rate)

                before = _coincidences(array)
                value = _median(work, runs=15) * 1e3 / batch
                hits = (_coincidences(array) - before) / (17 * batch * size * size)
                peer = _median(_outer_product(array, x, d, lr), runs=5) * 1e3 / batch
                rows.append(_row(case, value, "ms/sample", "torch rank-1 float update", peer) | {"coincidences_per_weight": hits})
    return rows


def _coincidences(array: Crossbar) -> int:
    return int(np.sum(array.counts.get("coincidences", 0)))


def _network(sizes: list[int], layer: Callable[[int, int, int], nn.Module]) -> nn.Sequential:
    parts: list[nn.Module] = []
    for k in range(len(sizes) - 1):
        parts += [layer(sizes[k], sizes[k + 1], k), nn.Sigmoid()]
    return nn.Sequential(*parts[:-1])


def _images(count: int, inputs: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs like handwritten digits: a fifth of the pixels lit."""
    draws = torch.Generator().manual_seed(0)
    x = torch.rand(count, inputs, generator=draws) * (torch.rand(count, inputs, generator=draws) < 0.2)
    return x, torch.randint(10, (count,), generator=draws)


def _loop(model: nn.Module, optimizer: Any, x: torch.Tensor, y: torch.Tensor, batch: int) -> Callable[[], None]:
    """The training loop that everybody writes."""

    def work() -> None:
        for first in range(0, len(x), batch):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[first : first + batch]), y[first : first + batch]).backward()
            optimizer.step()

    return work


def _descent(model: nn.Sequential, x: torch.Tensor, y: torch.Tensor, batch: int, members: int = 1) -> Callable[[], None]:
    """The training loop of `aimco.evaluate`."""
    descent, x, y = Descent(model, "cross-entropy"), x.expand(members, *x.shape), y.expand(members, *y.shape)

    def work() -> None:
        for first in range(0, x.shape[1], batch):
            part = slice(first, first + batch)
            descent.step(x[:, part].contiguous(), y[:, part].contiguous(), _LR)

    return work


def train(on_case: OnCase) -> list[dict[str, Any]]:
    """Training whole networks, samples per second, beside plain torch; and ensembles beside their members one by one."""
    batch, sizes, design = 10, [784, 256, 128, 10], Design.of({"device": _device("soft-bounds").as_dict()})
    pairs = Design.of({"device": "pcm", "cell": {"kind": "pair", "refresh_every": 1000}})
    x, y = _images(4000, sizes[0])

    settled = {"transfer_every": 2, "lr_fast": 0.1, "granularity": 2000.0, "most_pulses": 1}  # those of `rasch2024-mnist`
    short = design.replace("periphery.pulses.length", 5)
    transfers = {kind: short.replace("rule", {"kind": kind} | settled) for kind in ("tiki-taka-v2", "agad")}

    def analog(design: Design = design, seeds: tuple[int, ...] = (0,), sizes: list[int] = sizes) -> nn.Sequential:
        return _network(sizes, lambda i, o, k: Linear(i, o, design=design, name=f"layer {k}", seeds=seeds))

    plain, modules = _network(sizes, lambda i, o, k: nn.Linear(i, o)), analog()
    peer = _loop(plain, torch.optim.SGD(plain.parameters(), lr=_LR), x, y, batch)
    ours = {
        "sgd/soft-bounds": _descent(analog(), x, y, batch),
        "sgd/pcm-pair": _descent(analog(pairs), x, y, batch),
        "sgd-torch-loop/soft-bounds": _loop(modules, InMemory(modules.parameters(), lr=_LR), x, y, batch),
    } | {f"{kind}/soft-bounds/trains5": _descent(analog(made), x, y, batch) for kind, made in transfers.items()}
    rows = []
    for name, work in ours.items():
        case = f"{name}/784-256-128-10/batch10"
        on_case(case)
        speeds = [(len(x) / _median(work, runs=1, warm=k == 0), len(x) / _median(peer, runs=1, warm=k == 0)) for k in range(7)]
        value, other = (statistics.median(s) for s in zip(*speeds, strict=True))
        rows.append(_row(case, value, "samples/s", "torch SGD", other))
    for kind, made in transfers.items():
        case = f"{kind}-ensemble16/soft-bounds/trains5/784-256-128-10/batch{batch}"
        rows.append(_members(on_case, case, functools.partial(analog, made), 16, x[:400], y[:400]))
    small = functools.partial(analog, sizes=[64, 32, 10])
    return [*rows, _members(on_case, f"ensemble64/soft-bounds/64-32-10/batch{batch}", small, 64, *_images(1000, 64))]


def _members(
    on_case: OnCase, case: str, network: Callable[..., nn.Sequential], members: int, x: torch.Tensor, y: torch.Tensor
) -> dict[str, Any]:
    """Members trained together, beside one of them alone."""
    on_case(case)
    together, alone = (_descent(network(seeds=tuple(range(n))), x, y, 10, n) for n in (members, 1))
    times = [(_median(together, runs=1, warm=k == 0), _median(alone, runs=1, warm=k == 0)) for k in range(9)]
    seconds = [statistics.median(t) for t in zip(*times, strict=True)]
    return _row(case, members * len(x) / seconds[0], "samples/s", "members one after the other", len(x) / seconds[1])


def hold(on_case: OnCase) -> list[dict[str, Any]]:
    """Time that passes in 784 x 256 devices, ms: 775 minutes in one call, beside 80 ns."""
    rows = []
    for case, name in {"leak": "igzo-6t1c", "leak-spread": "capacitor-cmos", "drift": "pcm", "drift-and-1/f": "pcm-noisy"}.items():
        case = f"{case}/775-min/784x256"
        on_case(case)
        arrays = [Crossbar(Device.named(name), 784, 256) for _ in range(2)]
        long, short = (_median(functools.partial(array.hold, s), runs=30) * 1e3 for array, s in zip(arrays, (46500.0, 80e-9), strict=True))
        rows.append(_row(case, long, "ms", "a call of 80 ns", short))
    return rows


def fit(on_case: OnCase) -> list[dict[str, Any]]:
    """The device behind 100 devices x 20 cycles x 1000 pulses, ms: choice of the family, spreads, intervals and noises."""
    case = "100-devices/20-cycles/1000-pulses"
    on_case(case)
    measured = _measured(devices=100, cycles=20, pulses=1000)
    ours = _median(lambda: fit_pulses(measured), runs=3, warm=1)
    return [_row(case, 1e3 * ours, "ms", "scipy curve_fit of each ramp alone", 1e3 * _median(lambda: _each_ramp(measured), runs=1, warm=0))]


def _measured(devices: int, cycles: int, pulses: int) -> Measurement:
    """Up and down in turn on devices with soft bounds, half of the pulses of a cycle in each direction."""
    array = Crossbar(_device("soft-bounds").replace("response.step_up", 3e-9).replace("response.step_down", 3e-9), 1, devices)
    polarity = np.tile(np.repeat(np.array([1, -1], np.int8), pulses // 2), cycles)
    levels = [array.device.conductance(array.state)[0, 0]]
    for sign in polarity.tolist():
        array.apply(torch.full(array.shape, sign, dtype=torch.int32))
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


def variants(on_case: OnCase, devices: int = 1000, together: int = 50) -> list[dict[str, Any]]:
    """Variants of a device trained on digits along the ensemble axis, designs per second, beside one design at a time."""
    network, training = {"hidden": [16]}, {"epochs": 1, "batch": 5}
    base = Design.of({"device": _device("soft-bounds").as_dict(), "network": network, "training": training})
    draws = np.random.default_rng(0).uniform(0.05, 0.5, (devices, 2)).tolist()
    designs = [base.replace("device.spread", {"step": a, "asymmetry": b}) for a, b in draws]
    case = f"sgd/{devices}-devices/64-16-10/batch5/packs-of-{together}"
    on_case(case)
    groups = [designs[k : k + together] for k in range(0, devices, together)]
    times = []
    for k, group in enumerate(groups):
        many = _median(functools.partial(evaluate_many, group, seeds=[0] * len(group)), runs=1, warm=k == 0)
        times.append((many / len(group), _median(functools.partial(evaluate, group[0]), runs=1, warm=k == 0)))
    seconds = [statistics.median(t) for t in zip(*times, strict=True)]
    return [_row(case, 1 / seconds[0], "designs/s", "one design at a time", 1 / seconds[1])]


def circuit(on_case: OnCase) -> list[dict[str, Any]]:
    """Resistive networks settled to 1e-6 V, ms per sample: an operating point beside ngspice's, and steps of equilibrium propagation."""
    rows, draws = [], torch.Generator().manual_seed(0)
    sizes = ((Shockley(as_ngspice=True), 100, 10, 64), (Shockley(), 100, 10, 64), (Ideal(), 100, 5, 32), (Ideal(), 1024, 5, 32))
    for (diodes, hidden, outputs, batch), dtype in itertools.product(sizes, (torch.float64, torch.float32)):
        name = "ideal" if isinstance(diodes, Ideal) else "shockley"
        case = f"{name}/1568-{hidden}-{2 * outputs}/batch{batch}/{str(dtype).removeprefix('torch.')}"
        network = Resistive([784, hidden, outputs], diodes, dtype=dtype)
        lit = torch.rand(batch, 784, generator=draws) < 0.2
        x = (_DRIVE * torch.rand(batch, 784, generator=draws) * lit).to(dtype)
        target = torch.nn.functional.one_hot(torch.arange(batch) % outputs, outputs).to(dtype)
        if isinstance(diodes, Shockley) and diodes.as_ngspice:
            if dtype == torch.float32:
                continue
            on_case(f"operating-point/{case}")
            made, sources = network.circuit(), network.sources(x)
            ours = _median(functools.partial(made.settle, sources, tolerance=1e-6)) * 1e3 / batch
            theirs = statistics.median(operating_point(made, sources[k], folded=True)[1] for k in range(5)) * 1e3
            rows.append(_row(f"operating-point/{case}", ours, "ms/sample", "ngspice, folded deck", theirs))
            continue
        on_case(f"equilibrium-propagation/{case}")
        rule = Equilibrium(lr=1.0, layer_lr=(1.0,))
        ours = _median(functools.partial(rule.step, network, x, target), runs=51) * 1e3 / batch
        phases = rule.settle(network, x, target)
        theirs = _median(functools.partial(_every_drop, network, phases), runs=3, warm=1) * 1e3 / batch
        peer = "the gradient alone, by the drops of every device in every sample"
        rows.append(_row(f"equilibrium-propagation/{case}", ours, "ms/sample", peer, theirs))
    return rows


def _every_drop(network: Resistive, phases: Phases) -> list[torch.Tensor]:
    """The gradient as it is often written: the voltage across each device in each sample, squared, differences summed."""
    circuit, sources = network.circuit(), network.lines(phases.x)
    pairs = zip(circuit.drops(sources, phases.towards), circuit.drops(sources, phases.away), strict=True)
    return [((p[:, :, None] - u[:, None]) ** 2 - (q[:, :, None] - w[:, None]) ** 2).sum(0) for (p, u), (q, w) in pairs]


_WIRED = ((64, 1.0, 1), (128, 5.0, 1), (256, 1.0, 1), (256, 1.0, 64), (512, 1.0, 1), (1024, 1.0, 1), (1024, 5.0, 1))  # cells, Ohm, vectors
_ELIMINATED = 256  # cells per line up to which the peers are timed: SuperLU takes minutes and gigabytes beyond


def wires(on_case: OnCase) -> list[dict[str, Any]]:
    """Reads of crossbars with wires of the same resistance in every segment, cold (lines eliminated anew), to 1e-6, ms."""
    rows = []
    for size, ohm, batch in _WIRED:
        case = f"read/{size}x{size}/{ohm:g}-Ohm/batch{batch}"
        on_case(case)
        draws = np.random.default_rng(size)
        g, volts = draws.uniform(1e-6, 1e-4, (size, size)), draws.uniform(0, 0.2, (batch, size))
        lines = Wires(word_ohm=ohm, bit_ohm=ohm, tolerance=1e-6)
        ours = functools.partial(_read, torch.from_numpy(g), lines, torch.from_numpy(volts))
        value = _median(ours, runs=9 if size < 512 else 5, warm=1) * 1e3
        for peer, work in (wired(g, lines, volts) if size <= _ELIMINATED else {}).items():
            started = time.perf_counter()
            found = work()
            seconds = time.perf_counter() - started
            error = float(np.abs(ours().numpy() - found).max() / np.abs(found).max())
            rows.append(_row(case, value, "ms", peer, seconds * 1e3) | {"error": error})
        if size > _ELIMINATED:  # beside the same read of an array whose lines are eliminated already
            array = Wired(torch.from_numpy(g), lines)
            warm = _median(functools.partial(array.mvm, torch.from_numpy(volts)), runs=5, warm=1) * 1e3
            rows.append(_row(case, value, "ms", "the same, factored before", warm))
    return rows


def _read(g: torch.Tensor, lines: Wires, volts: torch.Tensor) -> torch.Tensor:
    return Wired(g, lines).mvm(volts)


def rbm(on_case: OnCase, peer: str | None = None) -> list[dict[str, Any]]:
    """Spiking machine of 824 by 500 neurons, 100 ms of data and 100 ms of reconstruction in steps of .1 ms, ms of the processor per sample.

    Brian2 tells its time so, too.
    """
    draws = torch.Generator().manual_seed(0)
    x, labels = (torch.rand(5, 784, generator=draws) < 0.19).float(), torch.arange(5)
    rows: list[dict[str, Any]] = []
    for name, noise in (("ideal", "white"), ("ideal", "random-walk"), ("ideal", "device"), ("pair", "white"), ("pair", "device")):
        case = f"event-driven-contrastive-divergence/{name}/{noise}/824x500"
        on_case(case)
        made: dict[str, Any] = {
            "device": "pcm" if name == "pair" else "ideal",
            "cell": {"kind": "pair6t2r", "refresh_every": 1000},
            "network": {"kind": "spiking-rbm", "spiking": {"phase_s": 0.1, "burn_in_s": 0.01, "neuron": {"noise": noise}}},
            "rule": {"kind": "contrastive-divergence", "moves": "set" if name == "pair" else "ideal", "lr": 0.01, "most_pulses": 2},
        }
        network = OnChip(Design.of(made), 784, 10)
        if peer is not None and not rows:
            on_case(f"{case}, and in Brian2, which compiles first")
            rows += _beside_brian2(case, peer, network, x, labels)
            continue
        work = functools.partial(network.learn_from, x, labels, 0.01)
        ours = _median(work, runs=7, warm=1, clock=time.process_time) * 1e3 / len(x)
        other, theirs = ("ideal weights, white noise", rows[0]["value"]) if rows else ("the time that it simulates", 200.0)
        rows.append(_row(case, ours, "ms/sample", other, theirs))
    return rows


def cost(on_case: OnCase) -> list[dict[str, Any]]:
    """Price of one sample's inference and training by the shapes of layers, ms, beside the inference in float."""
    case, design, network = "vgg8/inference-and-training", Design.of({"device": "rpu"}), Network.named("vgg8")
    on_case(case)
    ours = _median(lambda: (inference(design, network), training(design, network)))
    products = [(torch.rand(s.vectors, s.rows), torch.rand(s.rows, s.columns)) for s in network.shapes()]
    theirs = _median(lambda: [x @ w for x, w in products])
    return [_row(case, 1e3 * ours, "ms", "products of one image in torch", 1e3 * theirs)]


def _beside_brian2(case: str, peer: str, network: OnChip, x: torch.Tensor, labels: torch.Tensor) -> list[dict[str, Any]]:
    """Beside the time that it simulates and beside Brian2, in turn with ours."""
    times, scale = [], 1e3 / len(x)
    with brian2(peer, network.machine, network.clamped(x, labels), 0.01) as again:
        first = again()
        for _ in range(7):
            ours = _median(lambda: network.learn_from(x, labels, 0.01), runs=3, warm=1, clock=time.process_time)
            times.append((ours * scale, again().seconds * scale))
    ours, theirs = (statistics.median(t) for t in zip(*times, strict=True))
    name = f"Brian2 {first.version}, C++ standalone"
    return [_row(case, ours, "ms/sample", other, time) for other, time in (("the time that it simulates", 200.0), (name, theirs))]


NAMES: dict[str, Callable[[OnCase], list[dict[str, Any]]]] = {
    "pulse": pulse,
    "train": train,
    "hold": hold,
    "fit": fit,
    "circuit": circuit,
    "wires": wires,
    "variants": variants,
    "rbm": rbm,
    "cost": cost,
}
