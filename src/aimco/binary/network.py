"""The binary network of a design: trained in software, written into arrays, and judged as the chip computes it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn

from aimco.arrays.spec import Blueprint
from aimco.binary.chip import BinaryArrays, BitLayer, SumLayer
from aimco.binary.folded import fold
from aimco.binary.layers import BinaryDescent, BinaryLinear, SplitLinear, sign
from aimco.binary.plan import placements
from aimco.plain_data import Saved

_CALIBRATION = 100  # first training samples that ranges of ADCs are taken from


class BinaryNetwork(nn.Module):
    """In training the software network, (B, inputs) -> (B, outputs); in evaluation the chip that was last written.

    Args:
        design: An `aimco.Design` with a network of kind binary.
        train_x: Training samples, (N, inputs).
        outputs: Classes.
        seed: Of first weights, devices, amplifiers and noise.
    """

    def __init__(self, design: Blueprint, train_x: torch.Tensor, outputs: int, seed: int = 0) -> None:
        super().__init__()
        (samples, inputs), training = train_x.shape, design.training
        self.places = placements(design, [inputs, *design.network.hidden, outputs], design.network.output_bits)
        *hidden, last = self.places
        self.padding = nn.ConstantPad1d((0, self.places[0].inputs - inputs), 0.0)  # rows that nothing drives
        self.hidden = [SplitLinear(p.inputs, p.outputs, p.groups, seed=seed, name=f"layer {k}") for k, p in enumerate(hidden)]
        self.last = BinaryLinear(last.inputs, last.outputs, seed=seed, name=f"layer {len(hidden)}")
        self.norm = nn.BatchNorm1d(outputs)
        scale = float(train_x.abs().max()) or 1.0
        self.bits = [BitLayer(design, p, f"layer {k + 1}", seed, 1.0 if k else scale) for k, p in enumerate(hidden)]
        self.sums = SumLayer(design, last, f"layer {len(self.places)}", seed)
        self.software, self.chip = nn.ModuleList(self.hidden), nn.ModuleList([*self.bits, self.sums])
        self.rule, self.steps = design.rule, 0
        self.all_steps = training.epochs * math.ceil(samples / training.batch)
        self.descent = BinaryDescent(self, training.epochs, batch=training.batch, seed=seed)
        self.calibration = None if design.periphery.adc.calibration == "none" else train_x[:_CALIBRATION]

    @property
    def layers(self) -> list[BinaryArrays]:
        """Every layer on the chip, in order."""
        return [*self.bits, self.sums]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.in_software(x) if self.training else self.on_chip(x)

    def in_software(self, x: torch.Tensor) -> torch.Tensor:
        """Outputs (B, outputs) of inputs (B, inputs) without a chip."""
        return self.norm(self.last(self.bits_in_software(x)[-1])[:, 0])

    @torch.no_grad()
    def on_chip(self, x: torch.Tensor) -> torch.Tensor:
        """Outputs (B, outputs) of inputs (B, inputs) as the arrays give them."""
        return self.norm(self.sums(self.bits_on_chip(x)[-1]))

    def bits_in_software(self, x: torch.Tensor) -> list[torch.Tensor]:
        """What goes into each layer after the first, (B, size) each, +-1."""
        return _chained(self.hidden, self.padding(x))

    @torch.no_grad()
    def bits_on_chip(self, x: torch.Tensor) -> list[torch.Tensor]:
        """What goes into each layer after the first as the arrays give it, (B, size) each, +-1."""
        return _chained(self.bits, self.padding(x))

    def learn_from(self, x: torch.Tensor, labels: torch.Tensor, lr: float) -> torch.Tensor:
        """One step in software on samples (B, inputs) and labels (B,); returns the mean loss before.

        A batch of one sample has no statistics to normalise by: nothing is learned of it.
        """
        rate = self.rule.rate(lr, self.steps / self.all_steps)
        self.steps += 1
        return torch.tensor(self.descent.step(x, labels, rate) if len(x) > 1 else 0.0)

    @torch.no_grad()
    def write(self) -> None:
        """Write the weights as they are now into new arrays, and set the thresholds that normalisation makes."""
        for layer, arrays in zip(self.hidden, self.bits, strict=True):
            folded = fold(layer)
            arrays.write(folded.weight)
            arrays.compare_with(folded.threshold, folded.up)
        place = self.sums.place
        self.sums.write(sign(self.last.weight).view(place.groups, place.rows, place.outputs))
        if self.calibration is not None:
            x = self.padding(self.calibration)
            for arrays in self.layers:
                x = arrays.calibrated(x)

    def get_extra_state(self) -> Saved:
        """Where training is: what a checkpoint needs beside weights and arrays."""
        return {"optimizer": self.descent.optimizer.state_dict(), "steps": self.steps}

    def set_extra_state(self, state: Saved) -> None:
        self.descent.optimizer.load_state_dict(state["optimizer"])
        self.steps = state["steps"]


def _chained(layers: Sequence[nn.Module], x: torch.Tensor) -> list[torch.Tensor]:
    """Outputs of each of some layers, one after the other."""
    outputs = []
    for layer in layers:
        x = layer(x)
        outputs.append(x)
    return outputs
