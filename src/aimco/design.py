"""Design: the one record of everything from the device to the training schedule."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, PrivateAttr, field_validator, model_validator

from aimco import user_code
from aimco.cell import Cell
from aimco.cell.reference import Reference
from aimco.device.device import Device
from aimco.files import resolved
from aimco.learning import Rule
from aimco.learning.sgd import Sgd
from aimco.mapping import Array
from aimco.periphery import Periphery
from aimco.record import InputError, PathError, Record, at
from aimco.resistive.record import Circuit
from aimco.spiking.record import Spiking

_TAUGHT_BY = {"resistive": "equilibrium", "spiking-rbm": "contrastive-divergence"}  # networks that are no chain of layers


class Network(Record):
    """The network to train.

    Args:
        kind: "mlp", fully connected; "lenet", for images: convolution, activation, max-pooling in turn, then fully connected
            (LeCun 1998; channels, kernels and pools as Gokmen 2017, Front. Neurosci. 11:538); "resistive", one circuit of crossbars,
            diodes and amplifiers (Kendall 2020), of which `circuit` tells; or "spiking-rbm", a Boltzmann machine of spiking neurons
            (Neftci 2014), of which `spiking` tells. To the last two only `hidden` applies of the rest.
        hidden: sizes of the hidden fully connected layers, (32,) when absent, (128,) for lenet, (500,) for spiking-rbm.
        activation: after each hidden layer and convolution, sigmoid when absent, tanh for lenet.
        channels, kernel_size, pool: of lenet: outputs of each convolution, size of its square kernel, size of the squares pooled.
        bias: "array" gives each matrix a row driven by a constant 1; "digital" adds offsets in float; "none" has none.
        output_scale: the outputs of each matrix are multiplied by one digital number, which is "learned" by descent, from 1 on, or
            makes the initial weights fill 0.6 of the range of the cells whatever the "fan-in".
    """

    kind: Literal["mlp", "lenet", "resistive", "spiking-rbm"] = "mlp"
    hidden: tuple[int, ...] = Field(default=(32,), strict=False, max_length=32, description="sizes of the hidden layers")
    activation: Literal["sigmoid", "tanh", "relu"] = "sigmoid"
    bias: Literal["array", "digital", "none"] = "array"
    output_scale: Literal["none", "learned", "fan-in"] = "none"
    channels: tuple[int, ...] = Field(default=(16, 32), strict=False, min_length=1, max_length=8, description="outputs of convolutions")
    kernel_size: int = Field(default=5, ge=1, le=1000, description="size of the kernels")
    pool: int = Field(default=2, ge=1, le=1000, description="size of the squares pooled")
    circuit: Circuit | None = Field(default=None, description="diodes and amplifiers of a resistive network")
    spiking: Spiking | None = Field(default=None, description="neurons and time of a spiking network")

    @model_validator(mode="before")
    @classmethod
    def _as_published(cls, data: Any) -> Any:
        kind = data.get("kind") if isinstance(data, Mapping) else None
        own: dict[Any, dict[str, Any]] = {
            "lenet": {"hidden": (128,), "activation": "tanh"},
            "resistive": {"circuit": {}},
            "spiking-rbm": {"hidden": (500,), "spiking": {}},
        }
        return own[kind] | dict(data) if kind in own else data

    @model_validator(mode="after")
    def _of_its_kind(self) -> Self:
        for name, kind in (("circuit", "resistive"), ("spiking", "spiking-rbm")):
            if getattr(self, name) is not None and self.kind != kind:
                raise at(name, f"must be absent in a network of kind {self.kind}; set network.kind = '{kind}'")
        if self.kind == "spiking-rbm" and len(self.hidden) != 1:
            raise at("hidden", f"must hold one layer in a network of kind spiking-rbm, got {list(self.hidden)}")
        return self

    @field_validator("hidden", "channels")
    @classmethod
    def _sizes(cls, sizes: tuple[int, ...]) -> tuple[int, ...]:
        if any(not 1 <= size <= 1_000_000 for size in sizes):
            raise ValueError(f"must hold sizes in 1..1000000, got {list(sizes)}")
        return sizes


class Training(Record):
    """The schedule.

    Args:
        epochs: passes over the training set. batch: samples per step. decay_every, decay: the learning rate is multiplied by
            `decay` after each `decay_every` epochs. sample_s: time that passes in the devices with
            each sample, s; what its operations are priced at when absent.
    """

    epochs: int = Field(default=10, ge=1, le=100_000, description="passes over the training set")
    batch: int = Field(default=10, ge=1, le=100_000, description="samples per step")
    decay_every: int | None = Field(default=None, ge=1, description="epochs between reductions of the learning rate")
    decay: float = Field(default=0.5, gt=0, le=1, description="factor of each reduction")
    sample_s: float | None = Field(default=None, gt=0, description="time per sample, s")

    def lr_factor(self, epoch: int) -> float:
        """Factor on the learning rate in an epoch, the first being 0."""
        return self.decay ** (epoch // self.decay_every) if self.decay_every else 1.0


class Design(Record):
    """One experiment: device, cell, array, periphery, network, rule, training and technology.

    Args:
        device: a `Device`, a catalogue name or a file.toml. technology: name of a technology file or a file.toml.
            Paths in a TOML file count from its folder.

    Example:
        >>> design = Design(device="ideal", rule={"kind": "sgd", "lr": 0.05})
        >>> design.replace("training.epochs", 3).training.epochs
        3
        >>> Design.of(design.as_dict()) == design
        True
    """

    device: Device
    cell: Cell = Reference()
    array: Array = Array()
    periphery: Periphery = Periphery()
    network: Network = Network()
    rule: Rule = Sgd()
    training: Training = Training()
    technology: str = "rpu-2016"
    _technology_file: bytes | None = PrivateAttr(default=None)  # content of a user's, as it was when the design was made

    @field_validator("device", mode="before")
    @classmethod
    def _named(cls, device: Any) -> Any:
        if not isinstance(device, str):
            return device
        try:
            return Device.named(device)
        except PathError as error:
            raise at(error.path, error.problem) from None
        except InputError as error:
            raise at("", str(error).removeprefix("device ")) from None

    @field_validator("technology")
    @classmethod
    def _not_empty(cls, technology: str) -> str:
        if not technology:
            raise ValueError("must name a technology, got ''; for example rpu-2016")
        return str(resolved(technology)) if technology.endswith(".toml") else technology

    @model_validator(mode="after")
    def _array_fits(self) -> Self:
        try:
            with user_code.located(type(self.array)):
                self.array.check(self)
            if user_code.is_own(type(self.array)):
                from aimco.arrays.trial import check_array

                check_array(self.array)
        except PathError as error:
            raise at(error.path, error.problem) from None
        except InputError as error:
            raise at("array", str(error)) from None
        return self

    @model_validator(mode="after")
    def _converters_fit(self) -> Self:
        for converter, size, side in (("adc", self.array.cols, "cols"), ("dac", self.array.rows, "rows")):
            lines = getattr(self.periphery, converter).lines
            if size % lines:
                raise at(f"periphery.{converter}.lines", f"must divide array.{side} = {size}, got {lines}; take a divisor of it")
        return self

    @model_validator(mode="after")
    def _rule_fits(self) -> Self:
        try:
            with user_code.located(type(self.rule)):
                self.rule.check(self)
        except PathError as error:
            raise at(error.path, error.problem) from None
        except InputError as error:
            raise at("rule", str(error)) from None
        needed = _TAUGHT_BY.get(self.network.kind)
        if needed and self.rule.network != self.network.kind:
            raise at("rule.kind", f"must be {needed} in a network of kind {self.network.kind}, got {self.rule.kind}")
        if self.network.kind == "resistive" and not self.network.hidden:
            raise at("network.hidden", "must hold at least one layer in a resistive network, got none")
        return self

    @model_validator(mode="after")
    def _own_rule_works(self) -> Self:
        if user_code.is_own(type(self.rule)):
            from aimco.rule_trial import check_rule

            try:
                check_rule(self)
            except InputError as error:
                raise at("rule", str(error)) from None
        return self

    @model_validator(mode="after")
    def _hold_technology(self) -> Self:
        file = Path(self.technology)
        self._technology_file = file.read_bytes() if file.suffix == ".toml" and file.is_file() else None
        return self

    def files(self) -> dict[str, bytes]:
        return super().files() | ({} if self._technology_file is None else {self.technology: self._technology_file})

    def code(self) -> str:
        return super().code() + (self._technology_file or b"").decode(errors="replace")

    @field_validator("cell", "array", "periphery", "network", "rule", "training", mode="before")
    @classmethod
    def _table(cls, part: Any) -> Any:
        if not isinstance(part, Mapping | Record):
            raise at("", f"must be a table, got {part!r}")
        return part
