"""Weights and activations of +-1, trained in software, in arrays that sense amplifiers or ADCs read."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from pydantic import Field, field_validator

from aimco.binary.plan import placement
from aimco.networks import Network, Taught, checked_sizes, one_member, only
from aimco.record import PathError, quantity
from aimco.shapes import chain
from aimco.units import s


class Binary(Network):
    """Fully connected layers of +-1 weights with batch normalisation, and a sign after each hidden layer.

    With sense amplifiers (`periphery.sense`) a layer of more inputs than `array.rows` is split: one amplifier for each group and output,
    and a majority vote. Without them ADCs convert the sums, and digital adders merge the arrays.

    Args:
        hidden: Sizes of the hidden layers.
        output_bits: Bits of an output that sense amplifiers find one after the other, a read of the array each; as many as tell all
            sums apart when absent. ADCs are those of `periphery.adc`.
        read_after_s: Time between writing and the test, s >= 0: devices drift and leak.

    Source: Courbariaux 2016 (arXiv 1602.02830); Kim 2018 (arXiv 1811.02187).
    """

    taught: ClassVar[Taught] = "software"
    ensembles: ClassVar[bool] = False

    hidden: tuple[int, ...] = Field(default=(128,), strict=False, max_length=32, description="sizes of the hidden layers")
    output_bits: int | None = Field(default=None, ge=1, le=24, description="bits of an output that sense amplifiers find")
    read_after_s: float = quantity(s, 0.0, ge=0, doc="time between writing and the test")

    @field_validator("hidden")
    @classmethod
    def _sizes(cls, sizes: tuple[int, ...]) -> tuple[int, ...]:
        if not sizes:
            raise ValueError("must hold at least one layer in a binary network, got none")
        return checked_sizes(sizes)

    def check(self, design):
        if design.cell.weight_max < 1:
            raise PathError("cell.weight_max", f"must be at least 1 for weights of +-1, got {design.cell.weight_max:g}")
        if design.training.batch < 2:
            raise PathError("training.batch", f"must be at least 2 to normalise by, got {design.training.batch}; 40 to 200 is usual")
        if design.periphery.sense is None and self.output_bits is not None:
            asked = "must be absent without sense amplifiers (periphery.sense)"
            raise PathError("network.output_bits", f"{asked}, got {self.output_bits}; set periphery.adc.bits")
        for size in self.hidden:
            place = placement(design, size, 1, first=False, last=False)
            if place.sensed and place.groups > 2 * -(-size // design.array.rows):
                asked = f"must hold sizes that array.rows = {design.array.rows} cuts into equal groups"
                raise PathError("network.hidden", f"{asked}, got {size}: it has no larger group than {place.rows}")

    def build(self, data, design, seeds):
        from torch import nn

        from aimco.binary.network import BinaryNetwork

        one_member(self, data, seeds)
        return nn.Sequential(BinaryNetwork(design, data.train_x, data.outputs, seeds[0]))

    def trainer(self, model, data):
        from aimco.binary.network import BinaryNetwork
        from aimco.descent import WrittenAfterwards

        return WrittenAfterwards(only(model, BinaryNetwork))

    def shapes(self, sample):
        return chain(sample.shape, [*self.hidden, sample.outputs])

    def placed(self, shapes, design):
        last, placed = len(shapes) - 1, []
        for k, shape in enumerate(shapes):
            p = placement(design, shape.rows, shape.columns, first=k == 0, last=k == last, bits=self.output_bits)
            beside = {"groups": p.groups * shape.groups, "vectors": p.reads * shape.vectors}
            placed.append(replace(shape, rows=p.rows, digital=p.digital * shape.vectors * shape.groups, bias=False, **beside))
        return placed

    def notes(self, technology):
        return [
            "a chip is written anew with the weights of each epoch and judged; writing is priced once, that of the last epoch",
            "thresholds of normalisation are exact; the circuits that make them are not priced",
        ]

    def pictures(self, model, data):
        from aimco.binary.network import BinaryNetwork
        from aimco.binary.pictures import figure

        return {"binary network": figure(only(model, BinaryNetwork), data.test_x, data.test_y)}
