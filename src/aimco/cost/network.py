"""The counts of a network from the shapes of its layers alone, without a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Protocol, Self

from pydantic import Field, model_validator

from aimco import user_code
from aimco.cost.activity import Activity, choose
from aimco.cost.latency import Cut
from aimco.cost.price import Price, price
from aimco.design import Design
from aimco.ledger import Counts, Work
from aimco.record import InputError, Listed, PathError, Record, field_error
from aimco.shapes import Shape, convolved
from aimco.tasks import Sample

_IDLE = Activity(slots=0.0, row_pulses=0.0, column_pulses=0.0, coincidences=0.0)


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


class Shapes(Protocol):
    """Whatever has matrices of known shapes."""

    @property
    def name(self) -> str:
        """For tables."""
        ...

    def shapes(self) -> list[Shape]:
        """Its matrices, in the order in which a sample reaches them."""
        ...


@dataclass(frozen=True)
class Matrices:
    """The matrices of a network.

    Args:
        name: Of the network.
        matrices: In the order in which a sample reaches them.
    """

    name: str
    matrices: Sequence[Shape]

    def shapes(self) -> list[Shape]:
        return list(self.matrices)


def of_design(design: Design, sample: Sample) -> Matrices:
    """The matrices of the network that a design asks for, on samples of a shape.

    Raises:
        InputError: A network that only a run can price.
    """
    network = design.network
    with user_code.located(type(network)):
        return Matrices(network.kind.rpartition("/")[2], network.shapes(sample))


class Architecture(Listed):
    """Layers by their shapes.

    Args:
        image: channels, height and width of a sample; (n, 1, 1) where samples are n numbers. layers: in order. source: where from.

    Example:
        >>> [(s.rows, s.columns, s.vectors) for s in Architecture.named("vgg8").shapes()][1::6]
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
            raise field_error("image", f"must hold sizes of at least 1, got {list(self.image)}")
        self.shapes()
        return self

    def shapes(self) -> list[Shape]:
        """Matrix of each layer, without a row for a bias."""
        (channels, height, width), shapes = self.image, []
        for k, layer in enumerate(self.layers):
            name = f"layer {k + 1}"
            if layer.kernel is None:
                shapes.append(Shape(name, channels * height * width, layer.outputs, 1, back=None if k else 0))
                channels, height, width = layer.outputs, 1, 1
                continue
            after, pooled = convolved((height, width), layer.kernel, stride=layer.stride, padding=layer.padding, pool=layer.pool)
            if min(*after, *pooled) < 1:
                raise PathError(f"layers.{k}", f"must leave pixels of {height} x {width}, got kernel {layer.kernel} and pool {layer.pool}")
            shapes.append(Shape(name, channels * layer.kernel**2, layer.outputs, after[0] * after[1], back=None if k else 0))
            channels, (height, width) = layer.outputs, pooled
        return shapes


def inference(design: Design, network: Shapes, *, pipelined: bool = True, both_sides: bool = False) -> Price:
    """Price of one sample's inference: every array that holds a share of the weights multiplies the vectors of its layer.

    Args:
        pipelined, both_sides: see `price`.
    """
    read, beside = design.rule.coefficients(), design.rule.weight_array
    counts = {
        s.name: {
            n: _of_all(s, _forward(design, s)) + Counts(digital_ops=s.digital if n == beside else 0) if n in read else Counts()
            for n in _arrays(design)
        }
        for s in _on(design, network)
    }
    return _priced(design, network, counts, pipelined, both_sides)


def training(design: Design, network: Shapes, *, activity: Sequence[Mapping[str, Activity]] | None = None, pipelined: bool = True) -> Price:
    """Price of one training sample: a read of every layer, a transposed read of all but the first, and the updates of the rule.

    Shapes tell how much is read, converted and updated, and when rows are transferred; how many pulses that takes is the activity. Of a
    rule that does not tell its work (`Rule.work`) only the parallel update of its first array is priced. Refresh of cells is left out.

    Args:
        activity: of the arrays of each layer, in order, as a run of it measures (`Result.activity`); assumed when absent.
        pipelined: see `price`.

    Raises:
        InputError: the network or its rule cannot be priced by shapes, or the activity is of other layers or arrays.
    """
    shapes, names = _on(design, network), _arrays(design)
    works = [work_of(design, s) for s in shapes]
    busy = choose(design, works, [s.rows for s in shapes], activity)
    counts = {
        s.name: {n: _of_all(s, _trained(design, s, n, work.get(n, Work()), activities.get(n, _IDLE))) for n in names}
        for s, work, activities in zip(shapes, works, busy, strict=True)
    }
    return _priced(design, network, counts, pipelined, design.rule.on_chip)


def _of_all(s: Shape, counts: Counts) -> Counts:
    """Counts of the matrices of all groups, of those of one."""
    return counts if s.groups == 1 else Counts({name: s.groups * amount for name, amount in counts.items()})


def work_of(design: Design, s: Shape) -> dict[str, Work]:
    """What one training sample does to each array of a layer beside reading; an update of the first where the rule does not tell."""
    work = design.rule.work(s.rows, s.columns, s.vectors, design.training.batch)
    return {_arrays(design)[0]: Work(updates=s.vectors)} if work is None else work


def busyness(design: Design, network: Shapes, activity: Sequence[Mapping[str, Activity]] | None = None) -> list[dict[str, Activity]]:
    """The activity that `training` takes, by layer and array."""
    shapes = _on(design, network)
    return choose(design, [work_of(design, s) for s in shapes], [s.rows for s in shapes], activity)


def _trained(design: Design, s: Shape, name: str, work: Work, busy: Activity) -> Counts:
    """Counts of one training sample on one array of a layer; none where arrays do not learn."""
    if not design.rule.on_chip:
        return Counts()
    done = _updated(design, s, work, busy)
    if name in design.rule.coefficients():
        done += _forward(design, s, busy.reads)
        done += _back(design, s, busy.transposed_reads)
    return done


def operations(network: Shapes) -> int:
    """Multiplications and additions of one sample's inference, 2 rows columns for every vector."""
    return sum(2 * s.rows * s.columns * s.vectors * s.groups for s in network.shapes())


def _arrays(design: Design) -> list[str]:
    names = list(design.rule.arrays())
    if not names:
        raise InputError(f"rule.kind must be a rule of arrays to be priced, got {design.rule.kind}; take sgd")
    return names


def _on(design: Design, network: Shapes) -> list[Shape]:
    """Matrices as the arrays of the design hold them."""
    return design.network.placed(network.shapes(), design)


def _priced(design: Design, network: Shapes, counts: Mapping[str, Mapping[str, Counts]], pipelined: bool, both_sides: bool) -> Price:
    shapes = {s.name: dict.fromkeys(_arrays(design), (s.rows, s.columns, s.groups)) for s in _on(design, network)}
    return price(design, counts, samples=1, shapes=shapes, pipelined=pipelined, both_sides=both_sides)


def _forward(design: Design, s: Shape, again: float = 1) -> Counts:
    """Reads of one sample, each so many times."""
    cut, v = Cut.of(design, s.rows, s.columns), s.vectors
    read = _read(design, s, v * again, s.rows * cut.across, s.columns * cut.down)
    return read + Counts(mvm=v * again * cut.arrays, digital_ops=v * s.columns * (cut.down - 1))


def _back(design: Design, s: Shape, again: float = 1) -> Counts:
    """Transposed reads of one sample, each so many times."""
    cut, v = Cut.of(design, s.rows, s.columns), s.vectors if s.back is None else s.back
    read = _read(design, s, v * again, s.columns * cut.down, s.rows * cut.across)
    return read + Counts(mvm_t=v * again * cut.arrays, digital_ops=v * s.rows * (cut.across - 1))


def _read(design: Design, s: Shape, vectors: float, driven: int, converted: int) -> Counts:
    """Values driven and converted of so many vectors, pulse by pulse where a value is several, whose results are shifted and added."""
    each = design.periphery.dac.pulses
    cells = s.rows * s.columns * len(design.cell.signs)
    done = {"dac": driven, "adc" if design.periphery.sense is None else "sensed": converted, "cell_reads": cells}
    return Counts({name: vectors * amount * each for name, amount in done.items()} | {"digital_ops": 2 * vectors * converted * (each - 1)})


def _updated(design: Design, s: Shape, work: Work, busy: Activity) -> Counts:
    """Updates and transfers of one sample. A transfer is of one row, and so of the arrays side by side that hold it."""
    cut, pulses = Cut.of(design, s.rows, s.columns), design.periphery.pulses
    one_row = cut.across
    trains = (work.updates + work.row_updates) * cut.arrays
    updates = trains + work.rows_pulsed * one_row + work.all_pulsed * cut.arrays
    scaled = trains * (cut.rows + cut.columns) if pulses.update_management or pulses.update_bl_management else 0
    held = replace(s, vectors=1)
    row = _read(design, held, work.rows_read / cut.down, s.rows * cut.across, s.columns * cut.down)
    return row + Counts(
        mvm=work.rows_read * one_row,
        row_reads=work.rows_read * one_row,
        updates=updates,
        row_updates=work.rows_pulsed * one_row + work.all_pulsed * s.rows * cut.across,
        slots=updates * busy.slots,
        row_pulses=updates * busy.row_pulses * cut.rows,
        column_pulses=updates * busy.column_pulses * cut.columns,
        coincidences=updates * busy.coincidences * cut.rows * cut.columns,
        digital_ops=scaled + work.digital,
    )
