"""Online learning with whole pulses on seven published devices (the benchmark table of MLP+NeuroSim).

The program reads a device in series with its access transistor, which is left out here: its resistance is not in the table, and no
one value fits it. With its default of 15 kOhm the program leaves GST PCM at 9.5 %, which the table puts at 89 %, so that devices of
a few kOhm were run with wider transistors. Where that decides the accuracy, the published one is not reproduced.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from aimco import rng
from aimco.arrays.spec import ArraySpec
from aimco.design import Design
from aimco.device.device import Device
from aimco.ensemble import stack
from aimco.reference import Row, Settings
from aimco.tasks import Data, cropped
from aimco.tile import Tile

SOURCE = (
    "Chen, Peng & Yu 2018 (IEEE TCAD 37:3067), manual of MLP+NeuroSim V3.0, Table II: 400-100-10 on MNIST, 125 epochs of 8000 images, "
    "mean of the last five"
)
NEEDS = "mnist"

SOFTWARE, SOFTWARE_WITHIN = 96.5, 0.5  # %, "96 to 97"


@dataclass(frozen=True)
class Published:
    """What the table says of a device: accuracy, %, the pulses up and down that cross its range, and what it does not say."""

    accuracy: float
    up: int
    down: int
    missing: str = ""


DEVICES = {
    "epiram": Published(92, 64, 64),
    "pcm-gst": Published(89, 100, 120),
    "fefet-hzo": Published(88, 32, 32),
    "rram-taox-hfox": Published(80, 128, 128),
    "rram-ag-si": Published(72, 97, 100),
    "rram-pcmo": Published(33, 50, 50),
    # in series with its 16.9 to 75 kOhm stands an access transistor of which the table says nothing; with the default of 15 kOhm
    # the program itself gives 9 to 20 % over the first ten epochs
    "rram-alox-hfo2": Published(20, 40, 40, "the table does not give its access transistor"),
}
TOLERANCE = 6.0  # points
_SIZES, _RATES = (400, 100, 10), (0.4, 0.2)
_IMAGES, _EPOCHS, _LAST = 8000, 125, 5
_READ_VOLTAGE = 0.5


class Arrays:
    """The two matrices of the network on arrays of devices, one ensemble member for each device.

    A read is that of the program: rows driven by 0 or 1, currents on the 255 levels of an ADC whose range is that of all rows,
    less a reference at mid-range; W = 2 W_H - 1 for a conductance that is the part W_H of its range (manual, eq. 4), so that a
    device at the top of its range adds one; so do the versions up to 2020, of which the table is, later ones leave out the 2.
    Before the first image the program sets each conductance to the part W_H of the range without g_min below it, cut at g_min:
    weights start too low by 2 g_min / (g_max - g_min), which a range of 4.4 or 6.8 feels. An update is not a coincidence of
    pulse trains but row by row: every device gets round(|dw| / 2 x pulses of its range) equal pulses, which is the operation
    `Tile.pulse_rows`; `aimco.evaluate` has no rule that writes so, hence the loop here. Errors go back through the stored
    weights, without a converter, as the program reads them.
    """

    digitised = True

    def __init__(self, names: Sequence[str], seed: int) -> None:
        members = len(names)
        self.pulses = [torch.tensor([[[getattr(DEVICES[n], way)]] for n in names], dtype=torch.float32) for way in ("up", "down")]
        self.tiles = [
            Tile(ArraySpec.of(design), rows, columns, seeds=(seed,) * members, names=("neurosim", f"layer {k}"))
            for k, (rows, columns) in enumerate(itertools.pairwise(_SIZES))
            for design in (stack([_design(n, rows) for n in names]),)
        ]
        missing = torch.tensor([[[d.g_min / d.half_range]] for d in map(Device.named, names)], dtype=torch.float32)
        for tile, start in zip(self.tiles, _initial(seed), strict=True):
            tile.program(start - missing)

    def read(self, k: int, x: torch.Tensor) -> torch.Tensor:
        """Net inputs (E, B, columns) of a layer, x (E, B, rows) of 0 and 1."""
        return self.tiles[k].mvm(x)

    def read_t(self, k: int, d: torch.Tensor) -> torch.Tensor:
        """Errors (E, B, rows) at the inputs of a layer."""
        return self.tiles[k].crossbar.mvm_t(d)

    def update(self, k: int, x: torch.Tensor, d: torch.Tensor) -> None:
        """dw = x d, in whole pulses; x >= 0, so that the sign is that of d (both (E, 1, lines))."""
        up, down = self.pulses
        wanted = d / 2 * torch.where(d > 0, up, down)
        if wanted.abs().max() * x.max() < 0.5:
            return
        driven = x.amax((0, 1)).nonzero().flatten()  # the others, most of an image, take none
        pulses = torch.zeros(self.tiles[k].shape, dtype=torch.int32)
        pulses.index_copy_(1, driven, torch.round(x[..., driven].transpose(1, 2) * wanted).int())
        self.tiles[k].pulse_rows(pulses)


class Floats:
    """The same in software: weights of any value between -1 and 1."""

    digitised = False

    def __init__(self, seed: int) -> None:
        self.weights = [start.clone() for start in _initial(seed)]

    def read(self, k: int, x: torch.Tensor) -> torch.Tensor:
        """Net inputs of a layer."""
        return torch.matmul(x, self.weights[k])

    def read_t(self, k: int, d: torch.Tensor) -> torch.Tensor:
        """Errors at the inputs of a layer."""
        return torch.matmul(d, self.weights[k].transpose(1, 2))

    def update(self, k: int, x: torch.Tensor, d: torch.Tensor) -> None:
        """dw = x d, cut to the range."""
        self.weights[k].add_(torch.matmul(x.transpose(1, 2), d)).clamp_(-1, 1)


def _design(name: str, rows: int) -> Design:
    """A device of the table at the edge of an array with so many rows; without its name, which an ensemble cannot mix."""
    device = Device.named(name)
    numbers = {n: v for n, v in device.as_dict().items() if n not in ("name", "description", "sources")}
    everything = float(rows * device.half_range * _READ_VOLTAGE)  # A: all rows at the top of their range
    return Design.of(
        {
            "device": numbers,
            "periphery": {
                "read_voltage": _READ_VOLTAGE,
                "adc": {"bits": 8.0, "range_A": everything},
                "noise_management": "none",
                "bound_management": "none",
            },
        }
    )


def _initial(seed: int) -> list[torch.Tensor]:
    """Weights -1, -2/3, ... 1 at random, (1, rows, columns) for each layer."""
    draws = [rng.uniform(rng.stream_keys((seed,), "neurosim", "start", k), 0, r * c) for k, (r, c) in enumerate(itertools.pairwise(_SIZES))]
    return [
        torch.from_numpy(np.floor(7 * u).astype(np.float32) / 3 - 1).reshape(1, r, c)
        for u, (r, c) in zip(draws, itertools.pairwise(_SIZES), strict=True)
    ]


def _forward(network: Arrays | Floats, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Hidden activities, what the second array is driven by, and outputs: logistic, the hidden ones passed on as 0 or 1 on hardware."""
    hidden = torch.sigmoid(network.read(0, x))
    driven = (hidden >= 0.5).float() if network.digitised else hidden
    return hidden, driven, torch.sigmoid(network.read(1, driven))


def learn(network: Arrays | Floats, x: torch.Tensor, y: torch.Tensor) -> None:
    """One image, (E, 1, 400) and one-hot (1, 1, 10): descent on sum (y - out)^2 with learning rates 0.4 and 0.2."""
    hidden, _, out = _forward(network, x)
    d = 2 * out * (1 - out) * (y - out)
    back = hidden * (1 - hidden) * network.read_t(1, d)
    network.update(0, x, back * _RATES[0])
    network.update(1, hidden, d * _RATES[1])


def accuracy(network: Arrays | Floats, task: Data, members: int) -> np.ndarray:
    """Test accuracy of each member, %."""
    right = torch.zeros(members)
    for x, y in zip(task.test_x.split(1000), task.test_y.split(1000), strict=True):
        out = _forward(network, x.expand(members, -1, -1))[2]
        right += (out.argmax(-1) == y).float().sum(1)
    return (100 * right / len(task.test_y)).numpy()


def train(network: Arrays | Floats, task: Data, members: int, epochs: int, settings: Settings, label: str) -> np.ndarray:
    """Accuracies (epochs, E): images drawn with replacement, one at a time."""
    count, curve = min(_IMAGES, len(task.train_x)), []
    targets, keys = torch.eye(10), rng.stream_keys((settings.seed,), "neurosim", "order")
    for epoch in range(epochs):
        for k, i in enumerate((rng.uniform(keys, epoch, count)[0] * len(task.train_x)).astype(int)):
            learn(network, task.train_x[i].expand(members, 1, -1), targets[task.train_y[i]].view(1, 1, -1))
            if settings.on_step and k % 100 == 0:
                settings.on_step(label, (epoch + k / count) / epochs)
        curve.append(accuracy(network, task, members))
    return np.stack(curve)


def run(settings: Settings) -> list[Row]:
    """Software, then every device of the table, and whether they are in its order; quick: 5 epochs, for information."""
    whole = cropped(settings.load("mnist"), 20, 20)
    task = replace(whole, train_x=(whole.train_x >= 0.5).float(), test_x=(whole.test_x >= 0.5).float())
    epochs, names = 5 if settings.quick else _EPOCHS, list(DEVICES)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # products of one image are too small to share
    try:
        software = train(Floats(settings.seed), task, 1, epochs, settings, "software")[-_LAST:].mean()
        devices = train(Arrays(names, settings.seed), task, len(names), epochs, settings, "devices")[-_LAST:].mean(0)
    finally:
        torch.set_num_threads(threads)
    ours = {name: float(a) for name, a in zip(names, devices, strict=True)}
    if settings.quick:
        return [Row(n, None, a, None, "%") for n, a in {"software": float(software), **ours}.items()]
    return [
        Row("software", SOFTWARE, float(software), SOFTWARE_WITHIN, "%"),
        *(Row(n, DEVICES[n].accuracy, ours[n], TOLERANCE, "%", why=DEVICES[n].missing) for n in names),
        Row(f"pairs out of order, of those more than {TOLERANCE:g} points apart", None, out_of_order(ours), 0.0, "", expected=0.0),
    ]


def out_of_order(ours: Mapping[str, float]) -> int:
    """Pairs of devices that are published more than the tolerance apart and are not in that order here."""
    pairs = itertools.permutations(ours, 2)
    return sum(DEVICES[a].accuracy - DEVICES[b].accuracy > TOLERANCE and ours[a] <= ours[b] for a, b in pairs)
