"""Networks of a design, one kind a file: what is built for a task, how it is trained, and what is said of it.

A kind is a record of its options. `aimco.networks.mlp` is the shortest. A user's own network is a function in a file of theirs that returns
an ordinary `torch.nn.Module`, named as "my_net.py:net" (see `TorchModel`), or a subclass of `Network`.
"""

from __future__ import annotations

import contextlib
import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, Self, TypeVar

from pydantic import Field, create_model, field_validator, model_validator

from aimco import user_code
from aimco.arrays.spec import Blueprint
from aimco.plain_data import PlainData
from aimco.record import InputError, Kinded, PathError
from aimco.shapes import Shape

if TYPE_CHECKING:
    import torch
    from matplotlib.figure import Figure
    from torch import nn

    from aimco.data.data import Data
    from aimco.descent import Trainer
    from aimco.ensemble import Rate
    from aimco.tasks import Sample

M = TypeVar("M", bound="nn.Module")
Taught = Literal["layers", "circuit", "spikes", "software"]
MOST_UNITS = 1_000_000
_ONCE = {
    "hidden": [32],
    "activation": "sigmoid",
    "bias": "array",
    "output_scale": "none",
    "channels": [16, 32],
    "kernel_size": 5,
    "pool": 2,
}


class Design(Blueprint, Protocol):
    """An `aimco.Design`, as networks see it."""

    def model_copy(self, *, update: Mapping[str, object]) -> Self: ...

    def replace(self, path: str, value: object) -> Self: ...


class Technology(Protocol):
    """An `aimco.cost.technology.Technology`, as networks see it."""

    @property
    def name(self) -> str: ...

    @property
    def neuron_m2(self) -> float | None: ...

    @property
    def synapse_J(self) -> float | None: ...

    def need(self, name: str, for_what: str) -> float: ...


class Network(Kinded):
    """The network to train (abstract)."""

    kinds_in: ClassVar[str] = "aimco.networks"
    taught: ClassVar[Taught] = "layers"  # which rules teach it: those whose `teaches` is the same
    ensembles: ClassVar[bool] = True  # whether designs that differ only in numbers are trained together

    @classmethod
    def default_kind(cls, data):
        return "mlp"

    @model_validator(mode="before")
    @classmethod
    def _once_of_all(cls, data: object) -> object:
        """Leave out fields that every network had once, where they have the value that they had in saved designs."""
        if not isinstance(data, Mapping):
            return data
        return {
            n: v for n, v in data.items() if n in cls.model_fields or n not in _ONCE or (list(v) if isinstance(v, tuple) else v) != _ONCE[n]
        }

    def check(self, design: Design) -> None:
        """Refuse a design that the network cannot be built of: raises PathError for the field to change."""

    def build(self, data: Data, design: Design, seeds: Sequence[int]) -> nn.Module:
        """The network for a task (abstract).

        Args:
            data: What it learns from.
            design: Of which it is built; of several members, their numbers laid side by side.
            seeds: One for each ensemble member.

        Raises:
            InputError: A task that the network cannot learn.
        """
        raise NotImplementedError

    def trainer(self, model: nn.Module, data: Data) -> Trainer:
        """What trains a network that was built (abstract)."""
        raise NotImplementedError

    def shapes(self, sample: Sample) -> list[Shape]:
        """Its matrices for samples of a shape, without a row for a bias: what `aimco cost` prices.

        Raises:
            InputError: A network that only a run can price.
        """
        raise InputError(f"network.kind {self.kind} cannot be priced by its shapes; aimco run prices it")

    def placed(self, shapes: Sequence[Shape], design: Design) -> list[Shape]:
        """Matrices as the arrays of a design hold them: each with the row of its bias, where the network has one."""
        return [replace(s, rows=s.rows + (self.bias_row and s.bias)) for s in shapes]

    @property
    def bias_row(self) -> bool:
        """Whether each matrix has a row that is driven by a constant, as a bias."""
        return False

    def area_m2(self, rows: float, columns: float, technology: Technology) -> float | None:
        """Area beside the cells of one array where it has no converters, m^2; None where it has DACs and ADCs."""
        return None

    def notes(self, technology: Technology) -> list[str]:
        """Approximations in force."""
        return []

    def pictures(self, model: nn.Module, data: Data) -> Mapping[str, Figure]:
        """Figures of a trained network by their title, beyond its learning curve."""
        return {}

    @classmethod
    def of_kind(cls, kind, saved=None):
        return _live.get(kind) or super().of_kind(kind, saved)

    @classmethod
    def adopted(cls, thing, name):
        return network_of(thing, name) if callable(thing) and not (isinstance(thing, type) and issubclass(thing, Network)) else thing


class Layered(Network):
    """A network of layers, whose matrices are read and taught by a rule (abstract).

    Args:
        bias: "array" gives each matrix a row driven by a constant 1; "digital" adds offsets in float; "none" has none.
        output_scale: the outputs of each matrix are multiplied by one digital number, which is "learned" by descent, from 1 on, or
            makes the initial weights fill 0.6 of the range of the cells whatever the "fan-in".
    """

    bias: Literal["array", "digital", "none"] = "array"
    output_scale: Literal["none", "learned", "fan-in"] = "none"

    @property
    def bias_row(self):
        return self.bias == "array"

    def trainer(self, model, data):
        from aimco.descent import trainer_of

        return trainer_of(model, data.goal)


class Hidden(Layered):
    """A network of layers of which the last ones are fully connected (abstract).

    Args:
        hidden: sizes of the hidden fully connected layers.
        activation: after each hidden layer and convolution.
    """

    hidden: tuple[int, ...] = Field(default=(32,), strict=False, max_length=32, description="sizes of the hidden layers")
    activation: Literal["sigmoid", "tanh", "relu"] = "sigmoid"

    @field_validator("hidden")
    @classmethod
    def _sizes(cls, sizes: tuple[int, ...]) -> tuple[int, ...]:
        return checked_sizes(sizes)


def checked_sizes(sizes: tuple[int, ...]) -> tuple[int, ...]:
    """Sizes of layers, each in range."""
    if any(not 1 <= size <= MOST_UNITS for size in sizes):
        raise ValueError(f"must hold sizes in 1..{MOST_UNITS}, got {list(sizes)}")
    return sizes


def one_member(network: Network, data: Data, seeds: Sequence[int]) -> None:
    """Refuse a task without classes, and several members, of a network that learns classes alone and by itself."""
    if data.classes is None or data.train_y.ndim > 1:
        needs = "needs classes to tell apart, one label for each sample"
        raise InputError(f"network.kind {network.kind} {needs}, and task {data.name} has none; take digits or mnist")
    if len(seeds) > 1:
        raise InputError(f"network.kind {network.kind} must be built for one member at a time, got {len(seeds)}; evaluate_many does so")


def only(model: nn.Module, kind: type[M]) -> M:
    """The one part of a network that is no chain of layers."""
    part = next(model.children())
    assert isinstance(part, kind)
    return part


_GIVEN = ("inputs", "outputs", "shape")  # arguments of a user's function that come from the task
_PARTS = ("device", "cell", "array", "periphery", "rule")


class TorchModel(Layered):
    """An ordinary torch model, whose layers are put on arrays (abstract: each function makes a kind of its own).

    The function is called with those of `inputs`, `outputs` and `shape` (of a sample) that it has arguments for; its other arguments are
    fields of the network, as in `network = { kind = "my_net.py:net", width = 16 }`, and can be searched by a study. First weights are
    torch's, drawn by the seed of the run. Its members are trained one after the other.

    Args:
        analog: patterns of names of the layers on arrays, with * for any part; all that can be when absent.
        parts: pattern -> fields of the design that the layers it names have of their own, {"head" = {"cell.weight_max" = 2.0}}.
    """

    ensembles: ClassVar[bool] = False
    function: ClassVar[Callable[..., object]]
    function_name: ClassVar[str] = ""

    bias: Literal["array", "digital"] = "array"  # type: ignore[assignment]
    analog: tuple[str, ...] = Field(default=("*",), strict=False, min_length=1, description="names of the layers on arrays")
    parts: dict[str, PlainData] = Field(default={}, description="fields of the design that some layers have of their own")

    @classmethod
    def kind_name(cls) -> str:
        try:
            file = inspect.getsourcefile(cls.function)
        except TypeError:
            file = None
        return f"{file or 'notebook.py'}:{cls.function_name}"

    def check(self, design):
        for pattern in self.parts:
            self._design(design, pattern)

    def _design(self, design: Design, pattern: str) -> Design:
        """The design of the layers that a pattern names."""
        for path, value in self.parts[pattern].items():
            if path.split(".")[0] not in _PARTS:
                raise PathError(f"network.parts.{pattern}", f"must change fields of {', '.join(_PARTS)}, got {path}")
            design = design.model_copy(update={"network": design.network.model_copy(update={"parts": {}})}).replace(path, value)
        return design

    def _model(self, shape: tuple[int, ...], inputs: int, outputs: int, seed: int) -> nn.Module:
        """What the function returns, its first weights drawn by the seed."""
        import torch

        from aimco.rng import keep_generators

        given = {"inputs": inputs, "outputs": outputs, "shape": shape}
        arguments = inspect.signature(self.function).parameters
        options = {n: getattr(self, n) if n in type(self).model_fields else given[n] for n in arguments}
        with keep_generators(), self._located():
            torch.manual_seed(seed)
            model = type(self).function(**options)
        if not isinstance(model, torch.nn.Module):
            raise InputError(f"network.kind {self.kind} must return a torch.nn.Module, got {type(model).__name__}")
        return model

    @contextlib.contextmanager
    def _located(self) -> Iterator[None]:
        """Errors of the user's model in one sentence, with file and line."""
        try:
            yield
        except InputError:
            raise
        except Exception as error:
            fault = user_code.own_fault(error)
            message = str(error).splitlines()[0] if str(error) else "no message"
            raise InputError(fault or f"network.kind {self.kind}: {type(error).__name__}: {message}") from error

    def build(self, data: Data, design, seeds):
        from torch import nn

        from aimco.nn.chain import Images
        from aimco.nn.convert import convert, set_vectors, shapes_of

        model = self._model(data.shape, data.inputs, data.outputs, seeds[0])
        with self._located():
            shapes = shapes_of(model, data.shape, self.analog)
        designs = {pattern: self._design(design, pattern) for pattern in self.parts}
        net = convert(model, design, analog=self.analog, designs=designs, seed=seeds[0])
        set_vectors(net, shapes)
        return nn.Sequential(*([Images(data.shape)] if len(data.shape) > 1 else []), net)

    def trainer(self, model, data):
        return _Located(super().trainer(model, data), self)

    def shapes(self, sample: Sample):
        from aimco.nn.convert import shapes_of

        with self._located():
            return shapes_of(self._model(sample.shape, math.prod(sample.shape), sample.outputs, 0), sample.shape, self.analog)


class _Located:
    """A trainer whose errors in the user's model are told with file and line."""

    def __init__(self, trainer: Trainer, network: TorchModel) -> None:
        self.trainer, self.network = trainer, network

    def step(self, x: torch.Tensor, y: torch.Tensor, lr: Rate) -> torch.Tensor:
        with self.network._located():
            return self.trainer.step(x, y, lr)

    def write(self) -> bool:
        return self.trainer.write()


def network_of(function: Callable[..., object], name: str | None = None) -> type[TorchModel]:
    """The kind of network that a function, or a class of torch modules, makes.

    Args:
        function: Returns a `torch.nn.Module`.
        name: That its file knows it by.

    Raises:
        InputError: Arguments without a name or a default.

    Example:
        >>> import torch
        >>> def net(inputs, outputs, width: int = 16):
        ...     return torch.nn.Sequential(torch.nn.Linear(inputs, width), torch.nn.ReLU(), torch.nn.Linear(width, outputs))
        >>> network_of(net)(width=8).width
        8
    """
    known = name or getattr(function, "__name__", type(function).__name__)
    if not known.isidentifier():  # a lambda has no name
        known = f"lambda_{inspect.getsourcelines(function)[1]}"
    if (function, known) not in _kinds:
        kind = _kinds[function, known] = _build_kind(function, known)
        if name is None:
            _live[kind.kind_name()] = kind
    return _kinds[function, known]


_kinds: dict[tuple[object, str], type[TorchModel]] = {}  # one class for each function
_live: dict[str, type[TorchModel]] = {}  # of functions that a program handed over: its file need not be read again


def _build_kind(function: Callable[..., object], name: str) -> type[TorchModel]:
    place = user_code.where(function)
    fields: dict[str, Any] = {}
    for n, p in inspect.signature(function).parameters.items():
        if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD, p.POSITIONAL_ONLY):
            raise InputError(f"{place}: {name} must take arguments by name, got {p}")
        if n in _GIVEN:
            continue
        if n in TorchModel.model_fields or hasattr(TorchModel, n):
            raise InputError(f"{place}: {name} must not have an argument {n!r}, which every network has; give it another name")
        if p.default is p.empty:
            given = ", ".join(_GIVEN)
            raise InputError(f"{place}: {name} must have a default for {n!r}; only {given} are given by the task")
        fields[n] = (_type(p), Field(default=p.default))
    doc = {"__doc__": function.__doc__, "__module__": function.__module__}
    kind = create_model(name, __base__=TorchModel, __module__=function.__module__, **fields)
    kind.__doc__ = doc["__doc__"]
    kind.function, kind.function_name = staticmethod(function), name  # type: ignore[assignment]
    return kind


def _type(parameter: inspect.Parameter) -> object:
    """Type of a field: of its default, since annotations may be texts."""
    kind = type(parameter.default)
    return tuple if kind is list else kind if kind in (int, float, bool, str, tuple) else Any


def of_plain(data: object) -> object:
    """What a design takes as its network: a function or a class of torch modules becomes a record."""
    return network_of(data)() if callable(data) and not isinstance(data, Mapping | Network) else data
