"""Whole networks of arrays, alone and in ensembles."""

from __future__ import annotations

import functools
import statistics
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from aimco.bench.timing import OnCase, median, row, rpu_like
from aimco.data.goals import Classification
from aimco.descent import Descent
from aimco.design import Design
from aimco.evaluation import evaluate, evaluate_many
from aimco.nn.conv import Conv2d
from aimco.nn.linear import Linear
from aimco.optim import InMemory
from aimco.plain_data import PlainData

_LR = 0.05


def train(on_case: OnCase) -> list[PlainData]:
    """Training whole networks, samples per second, beside plain torch; and ensembles beside their members one by one."""
    batch, sizes, design = 10, [784, 256, 128, 10], Design.of({"device": rpu_like("soft-bounds").as_dict()})
    pairs = Design.of({"device": "pcm", "cell": {"kind": "pair", "refresh_every": 1000}})
    x, y = _images(4000, sizes[0])

    settled = {"transfer_every": 2, "lr_fast": 0.1, "granularity": 2000.0, "max_pulses": 1}  # those of `rasch2024-mnist`
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
    } | {f"{kind}/soft-bounds/trains5": _descent(analog(transfer), x, y, batch) for kind, transfer in transfers.items()}
    rows = []
    for name, work in ours.items():
        case = f"{name}/784-256-128-10/batch10"
        on_case(case)
        speeds = [(len(x) / median(work, runs=1, warm=k == 0), len(x) / median(peer, runs=1, warm=k == 0)) for k in range(7)]
        rows.append(row(case, *_of_speeds(speeds)))
    for kind, transfer in transfers.items():
        case = f"{kind}-ensemble16/soft-bounds/trains5/784-256-128-10/batch{batch}"
        rows.append(_members(on_case, case, functools.partial(analog, transfer), 16, x[:400], y[:400]))
    rows += [*_lenets(on_case, {"sgd": short, **transfers}, batch), _build(on_case, design)]
    small = functools.partial(analog, sizes=[64, 32, 10])
    return [*rows, _members(on_case, f"ensemble64/soft-bounds/64-32-10/batch{batch}", small, 64, *_images(1000, 64))]


def _lenets(on_case: OnCase, designs: dict[str, Design], batch: int) -> list[PlainData]:
    """A convolutional network in the torch loop, by rule."""
    x, y = _images(200, 784)

    def lenet(conv: Callable[..., nn.Module], linear: Callable[..., nn.Module]) -> nn.Sequential:
        first, second = ([conv(*shape), nn.Tanh(), nn.MaxPool2d(2)] for shape in ((1, 16, 5), (16, 32, 5)))
        return nn.Sequential(nn.Unflatten(1, (1, 28, 28)), *first, *second, nn.Flatten(), linear(512, 128), nn.Tanh(), linear(128, 10))

    plain, rows = lenet(nn.Conv2d, nn.Linear), []
    peer = _loop(plain, torch.optim.SGD(plain.parameters(), lr=_LR), x, y, batch)
    for kind, design in designs.items():
        case = f"lenet-{kind}/soft-bounds/trains5/28x28-16-32-128-10/batch{batch}"
        on_case(case)
        model = lenet(functools.partial(Conv2d, design=design), functools.partial(Linear, design=design))
        work = _loop(model, InMemory(model.parameters(), lr=_LR), x, y, batch)
        speeds = [(len(x) / median(work, runs=1, warm=k == 0), len(x) / median(peer, runs=1, warm=k == 0)) for k in range(5)]
        rows.append(row(case, *_of_speeds(speeds)))
    return rows


def _of_speeds(speeds: list[tuple[float, float]]) -> tuple[float, str, str, float]:
    """Medians of a speed and of its peer's, as `row` takes them."""
    value, other = (statistics.median(s) for s in zip(*speeds, strict=True))
    return value, "samples/s", "torch SGD", other


def _build(on_case: OnCase, design: Design) -> PlainData:
    """A layer with its devices drawn and its first weights written and verified, beside one of torch."""
    case = "build/soft-bounds/2048x2048"
    on_case(case)
    times = [
        1e3 * median(lambda factory=factory: factory(2048, 2048), runs=3)
        for factory in (functools.partial(Linear, design=design), nn.Linear)
    ]
    return row(case, times[0], "ms", "torch.nn.Linear", times[1])


def _members(
    on_case: OnCase, case: str, network: Callable[..., nn.Sequential], members: int, x: torch.Tensor, y: torch.Tensor
) -> PlainData:
    """Members trained together, beside one of them alone."""
    on_case(case)
    together, alone = (_descent(network(seeds=tuple(range(n))), x, y, 10, n) for n in (members, 1))
    times = [(median(together, runs=1, warm=k == 0), median(alone, runs=1, warm=k == 0)) for k in range(15)]
    seconds = [statistics.median(t) for t in zip(*times, strict=True)]
    return row(case, members * len(x) / seconds[0], "samples/s", "members one after the other", len(x) / seconds[1])


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


def _loop(model: nn.Module, optimizer: torch.optim.Optimizer, x: torch.Tensor, y: torch.Tensor, batch: int) -> Callable[[], None]:
    """The training loop that everybody writes."""

    def work() -> None:
        for first in range(0, len(x), batch):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[first : first + batch]), y[first : first + batch]).backward()
            optimizer.step()

    return work


def _descent(model: nn.Sequential, x: torch.Tensor, y: torch.Tensor, batch: int, members: int = 1) -> Callable[[], None]:
    """The training loop of `aimco.evaluate`."""
    descent, x, y = Descent(model, Classification(10)), x.expand(members, *x.shape), y.expand(members, *y.shape)

    def work() -> None:
        for first in range(0, x.shape[1], batch):
            part = slice(first, first + batch)
            descent.step(x[:, part].contiguous(), y[:, part].contiguous(), _LR)

    return work


def variants(on_case: OnCase, devices: int = 1000, together: int = 50) -> list[PlainData]:
    """Variants of a device trained on digits along the ensemble axis, designs per second, beside one design at a time."""
    network, training = {"hidden": [16]}, {"epochs": 1, "batch": 5}
    base = Design.of({"device": rpu_like("soft-bounds").as_dict(), "network": network, "training": training})
    draws = np.random.default_rng(0).uniform(0.05, 0.5, (devices, 2)).tolist()
    designs = [base.replace("device.spread", {"step": a, "asymmetry": b}) for a, b in draws]
    case = f"sgd/{devices}-devices/64-16-10/batch5/packs-of-{together}"
    on_case(case)
    groups = [designs[k : k + together] for k in range(0, devices, together)]
    times = []
    for k, group in enumerate(groups):
        many = median(functools.partial(evaluate_many, group, seeds=[0] * len(group)), runs=1, warm=k == 0)
        times.append((many / len(group), median(functools.partial(evaluate, group[0]), runs=1, warm=k == 0)))
    seconds = [statistics.median(t) for t in zip(*times, strict=True)]
    return [row(case, 1 / seconds[0], "designs/s", "one design at a time", 1 / seconds[1])]
