"""Design: the one record of everything from the device to the training schedule."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pydantic import Field, PrivateAttr, field_validator, model_validator

from aimco import user_code
from aimco.cell import Cell
from aimco.cell.reference import Reference
from aimco.device.device import Device
from aimco.files import resolved
from aimco.learning import Rule
from aimco.learning.sgd import Sgd
from aimco.mapping import Array
from aimco.networks import Network, TorchModel, of_plain
from aimco.networks.mlp import Mlp
from aimco.periphery import Periphery
from aimco.plain_data import PlainView
from aimco.record import InputError, PathError, Record, field_error

if TYPE_CHECKING:
    from torch import nn


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
        device: a `Device`, a catalogue name or a file.toml. network: a `Network`, a table, or a function that returns a torch module.
        technology: name of a technology file or a file.toml.
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
    network: Network = Mlp()
    rule: Rule = Sgd()
    training: Training = Training()
    technology: str = "rpu-2016"
    _technology_file: bytes | None = PrivateAttr(default=None)  # content of a user's, as it was when the design was made

    if TYPE_CHECKING:  # what the fields take, beside what they become

        def __init__(
            self,
            *,
            device: Device | str | PlainView,
            cell: Cell | PlainView = ...,
            array: Array | PlainView = ...,
            periphery: Periphery | PlainView = ...,
            network: Network | PlainView | Callable[..., nn.Module] = ...,
            rule: Rule | PlainView = ...,
            training: Training | PlainView = ...,
            technology: str = ...,
        ) -> None: ...

    def __repr_args__(self) -> Iterator[tuple[str, object]]:
        """The device by its name, where it is that of the catalogue."""
        for name, value in super().__repr_args__():
            yield name, value.name if name == "device" and isinstance(value, Device) and _of_catalogue(value) else value

    @field_validator("device", mode="before")
    @classmethod
    def _named(cls, device: object) -> object:
        if not isinstance(device, str):
            return device
        try:
            return Device.named(device)
        except PathError as error:
            raise field_error(error.path, error.problem) from None
        except InputError as error:
            raise field_error("", str(error).removeprefix("device ")) from None

    @field_validator("technology")
    @classmethod
    def _not_empty(cls, technology: str) -> str:
        if not technology:
            raise ValueError("must name a technology, got ''; for example rpu-2016")
        return str(resolved(technology)) if technology.endswith(".toml") else technology

    @model_validator(mode="after")
    def _own_cell_works(self) -> Self:
        if user_code.is_own(type(self.cell)):
            from aimco.cell_trial import check_cell

            try:
                check_cell(self.cell)
            except InputError as error:
                raise field_error("cell", str(error)) from None
        return self

    @model_validator(mode="after")
    def _own_network_fits(self) -> Self:
        """Methods of a user's own network are there, spelt and called as their base has them."""
        kind = type(self.network)
        if user_code.is_own(kind) and not issubclass(kind, TorchModel):
            try:
                user_code.check_methods(kind, Network, {"build": "build(self, data, design, seeds)"}, {})
            except InputError as error:
                raise field_error("network", str(error)) from None
        return self

    @model_validator(mode="after")
    def _array_fits(self) -> Self:
        try:
            with user_code.located(type(self.array)):
                self.array.check(self)
            if user_code.is_own(type(self.array)):
                from aimco.arrays.trial import check_array

                check_array(self.array)
        except PathError as error:
            raise field_error(error.path, error.problem) from None
        except InputError as error:
            raise field_error("array", str(error)) from None
        return self

    @model_validator(mode="after")
    def _converters_fit(self) -> Self:
        for converter, size, side in (("adc", self.array.cols, "cols"), ("dac", self.array.rows, "rows")):
            shared_by = getattr(self.periphery, converter).shared_by
            if size % shared_by:
                raise field_error(
                    f"periphery.{converter}.shared_by", f"must divide array.{side} = {size}, got {shared_by}; take a divisor of it"
                )
        return self

    @model_validator(mode="after")
    def _rule_teaches(self) -> Self:
        rule, network = self.rule, self.network
        if rule.teaches == network.taught:
            return self
        if rule.teaches != "layers":
            fit = [kind for kind in Network.kinds() if Network.of_kind(kind).taught == rule.teaches]
            raise field_error("network.kind", f"must be {' or '.join(fit)} for the rule {rule.kind}, got {network.kind}")
        fit = [kind for kind in Rule.kinds() if Rule.of_kind(kind).teaches == network.taught]
        raise field_error("rule.kind", f"must be {' or '.join(fit)} in a network of kind {network.kind}, got {rule.kind}")

    @model_validator(mode="after")
    def _rule_fits(self) -> Self:
        try:
            with user_code.located(type(self.network)):
                self.network.check(self)
            with user_code.located(type(self.rule)):
                self.rule.check(self)
        except PathError as error:
            raise field_error(error.path, error.problem) from None
        except InputError as error:
            raise field_error("rule", str(error)) from None
        return self

    @model_validator(mode="after")
    def _own_rule_works(self) -> Self:
        if user_code.is_own(type(self.rule)):
            from aimco.rule_trial import check_rule

            try:
                check_rule(self.rule, self.device, self.cell)
            except InputError as error:
                raise field_error("rule", str(error)) from None
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
    def _table(cls, part: object) -> object:
        if not isinstance(part, Mapping | Record):
            raise field_error("", f"must be a table, got {part!r}")
        return part

    @field_validator("network", mode="before")
    @classmethod
    def _function(cls, network: object) -> object:
        return of_plain(network)


def _of_catalogue(device: Device) -> bool:
    """Whether a device is the one of its name that comes with aimco."""
    return device.name in Device.names() and Device.named(device.name) == device
