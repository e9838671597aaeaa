"""The counts of a network from the shapes of its layers alone, without a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from typing import ClassVar, Self

from pydantic import Field, model_validator

from aimco.cost.latency import Cut
from aimco.cost.price import Price, price
from aimco.cost.technology import Technology
from aimco.design import Design
from aimco.ledger import Counts
from aimco.record import InputError, Listed, PathError, Record, at

SAMPLES = {"digits": ((1, 8, 8), 10), "mnist": ((1, 28, 28), 10)}  # of tasks: channels, height and width; classes


class Layer(Record):
    """One layer: fully connected, or a convolution where it has a kernel.

    Args:
        outputs: of the layer. kernel: size of its square kernel. stride, padding: of the convolution. pool: size of the squares pooled
            after it.
    """

    outputs: int = Field(ge=1, le=1_000_000, description="outputs")
    kernel: int | None = Field(default=None, ge=1, le=1000, description="size of the kernel of a convolution")
    stride: int = Field(default=1, ge=1, le=1000, description="stride of the convolution")
    padding: int = Field(default=0, ge=0, le=1000, description="padding of the convolution")
    pool: int = Field(default=1, ge=1, le=1000, description="size of the squares pooled")


@dataclass(frozen=True)
class Shape:
    """The matrix of one layer: rows x columns, and the vectors that one sample gives it."""

    name: str
    rows: int
    columns: int
    vectors: int


class Network(Listed):
    """Layers by their shapes.

    Args:
        image: channels, height and width of a sample; (n, 1, 1) where samples are n numbers. layers: in order. source: where from.

    Example:
        >>> [(s.rows, s.columns, s.vectors) for s in Network.named("vgg8").shapes()][1::6]
        [(1152, 128, 1024), (1024, 10, 1)]
    """

    listed_in: ClassVar[Path] = Path(__file__).parent / "networks"

    name: str
    image: tuple[int, int, int] = Field(strict=False, description="channels, height and width of a sample")
    layers: tuple[Layer, ...] = Field(strict=False, min_length=1, max_length=1000, description="layers in order")
    source: str = "assumed"

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if min(self.image) < 1:
            raise at("image", f"must hold sizes of at least 1, got {list(self.image)}")
        self.shapes()
        return self

    @classmethod
    def of_design(cls, design: Design, image: tuple[int, int, int], classes: int) -> Network:
        """The network that a design asks for on samples of this size."""
        asked, layers = design.network, []
        if asked.kind not in ("mlp", "lenet"):
            raise InputError(f"network.kind must be mlp or lenet to be priced by its shapes, got {asked.kind}; aimco run prices it")
        if asked.kind == "lenet":
            layers = [{"outputs": out, "kernel": asked.kernel_size, "pool": asked.pool} for out in asked.channels]
        layers += [{"outputs": size} for size in (*asked.hidden, classes)]
        return cls.of({"name": asked.kind, "image": image, "layers": layers})

    def shapes(self) -> list[Shape]:
        """Matrix of each layer, without a row for a bias."""
        (channels, height, width), found = self.image, []
        for k, layer in enumerate(self.layers):
            name = f"layer {k + 1}"
            if layer.kernel is None:
                found.append(Shape(name, channels * height * width, layer.outputs, 1))
                channels, height, width = layer.outputs, 1, 1
                continue
            high, wide = ((n + 2 * layer.padding - layer.kernel) // layer.stride + 1 for n in (height, width))
            if min(high, wide) < layer.pool:
                raise PathError(f"layers.{k}", f"must leave pixels of {height} x {width}, got kernel {layer.kernel} and pool {layer.pool}")
            found.append(Shape(name, channels * layer.kernel**2, layer.outputs, high * wide))
            channels, height, width = layer.outputs, high // layer.pool, wide // layer.pool
        return found


def inference(design: Design, network: Network, *, pipelined: bool = True, both_sides: bool = False) -> Price:
    """Price of one sample's inference: every array that holds a share of the weights multiplies the vectors of its layer.

    Args:
        pipelined, both_sides: see `price`.
    """
    counts = {
        s.name: {n: _forward(design, s) if n in design.rule.shares() else Counts() for n in _arrays(design)} for s in _on(design, network)
    }
    return _priced(design, network, counts, pipelined, both_sides)


def training(design: Design, network: Network, *, pipelined: bool = True) -> Price:
    """Price of one training sample: a read and a parallel update of every layer, a transposed read of all but the first.

    Updates are trains of full length on the first array of the rule, rows and columns firing with the mean |u| of values spread evenly
    with the technology's <u^2>: in (3 <u^2>)^(1/2) / 2 of the slots. Transfers of the rule and its digital work are left out: a run counts
    them.
    """
    firing = sqrt(3 * Technology.named(design.technology).mean_square_input) / 2
    counts: dict[str, dict[str, Counts]] = {}
    for k, shape in enumerate(_on(design, network)):
        first = next(iter(_arrays(design)))
        counts[shape.name] = {}
        for name in _arrays(design):
            done = _forward(design, shape) if name in design.rule.shares() else Counts()
            if k and name in design.rule.shares():
                done += _back(design, shape)
            counts[shape.name][name] = done + (_update(design, shape, firing) if name == first else Counts())
    return _priced(design, network, counts, pipelined, True)


def operations(network: Network) -> int:
    """Multiplications and additions of one sample's inference, 2 rows columns for every vector."""
    return sum(2 * s.rows * s.columns * s.vectors for s in network.shapes())


def _arrays(design: Design) -> list[str]:
    names = list(design.rule.arrays())
    if not names:
        raise InputError(f"rule.kind must be a rule of arrays to be priced, got {design.rule.kind}; take sgd")
    return names


def _on(design: Design, network: Network) -> list[Shape]:
    """Matrices with the row of a bias, where the design has one."""
    bias = design.network.bias == "array"
    return [Shape(s.name, s.rows + bias, s.columns, s.vectors) for s in network.shapes()]


def _priced(design: Design, network: Network, counts: Mapping[str, Mapping[str, Counts]], pipelined: bool, both_sides: bool) -> Price:
    shapes = {s.name: dict.fromkeys(_arrays(design), (s.rows, s.columns)) for s in _on(design, network)}
    return price(design, counts, samples=1, shapes=shapes, pipelined=pipelined, both_sides=both_sides)


def _forward(design: Design, s: Shape) -> Counts:
    """Reads of one sample."""
    cut, v = Cut.of(design, s.rows, s.columns), s.vectors
    return _read(design, s, v * s.rows * cut.across, v * s.columns * cut.down, v * s.columns * (cut.down - 1)) + Counts(mvm=v * cut.arrays)


def _back(design: Design, s: Shape) -> Counts:
    """Transposed reads of one sample."""
    cut, v = Cut.of(design, s.rows, s.columns), s.vectors
    return _read(design, s, v * s.columns * cut.down, v * s.rows * cut.across, v * s.rows * (cut.across - 1)) + Counts(mvm_t=v * cut.arrays)


def _read(design: Design, s: Shape, driven: int, converted: int, added: int) -> Counts:
    """Values driven and converted, pulse by pulse where a value is several, whose results are shifted and added; arrays added."""
    each = design.periphery.dac.pulses
    cells = s.vectors * s.rows * s.columns * len(design.cell.signs)
    ends = {"adc" if design.periphery.sense is None else "sensed": converted * each}
    return Counts(dac=driven * each, **ends, cell_reads=cells * each, digital_ops=added + 2 * converted * (each - 1))


def _update(design: Design, s: Shape, firing: float) -> Counts:
    """Pulses of one sample."""
    cut, fired = Cut.of(design, s.rows, s.columns), s.vectors * design.periphery.pulses.length * firing
    managed = design.periphery.pulses.update_management or design.periphery.pulses.update_bl_management
    return Counts(
        updates=s.vectors * cut.arrays,
        slots=2 * s.vectors * design.periphery.pulses.length * cut.arrays,
        row_pulses=fired * s.rows * cut.across,
        column_pulses=fired * s.columns * cut.down,
        coincidences=fired * firing * s.rows * s.columns,
        digital_ops=s.vectors * (s.rows * cut.across + s.columns * cut.down) if managed else 0,
    )
