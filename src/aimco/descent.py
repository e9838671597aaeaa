"""Gradient descent on a network of layers: written out for a chain of them, by autograd for any other.

Written out, it is what a training loop of torch modules does without autograd: forward reads, transposed reads, pulsed updates, and a
handful of calls per layer outside the arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import nn

from aimco.arrays.doors import finite
from aimco.data.goals import Goal
from aimco.ensemble import Rate
from aimco.nn.linear import Linear
from aimco.optim import InMemory
from aimco.record import InputError

SLOPE: dict[type[nn.Module], Callable[[torch.Tensor], torch.Tensor]] = {
    nn.Sigmoid: lambda h: h * (1 - h),
    nn.Tanh: lambda h: 1 - h * h,
    nn.ReLU: lambda h: (h > 0).to(h.dtype),
}


class Trainer:
    """Trains a network in place (abstract)."""

    outputs_fit = False  # whether outputs were seen to fit the task

    def check_outputs(self, goal: Goal, out: object, y: torch.Tensor) -> None:
        """Refuse outputs (E, B, ...) that are none or of a shape that does not fit targets (E, B, ...), in the first step."""
        if self.outputs_fit:
            return
        if not isinstance(out, torch.Tensor):
            raise InputError(f"the network must give one tensor of outputs, got {type(out).__name__}")
        goal.check_outputs(out, y)
        self.outputs_fit = True

    def step(self, x: torch.Tensor, y: torch.Tensor, lr: Rate) -> torch.Tensor:
        """Learn from one batch.

        Args:
            x: Inputs, (E, B, features).
            y: Labels (E, B, ...) or targets (E, B, ..., outputs).
            lr: Learning rate, a number or (E, 1, 1).

        Returns:
            Mean loss of each member before the step, (E,).
        """
        raise NotImplementedError

    def write(self) -> bool:
        """After an epoch: write into the arrays what was learned outside of them. Returns whether there was anything to write."""
        return False


class Descent(Trainer):
    """Trains a `Sequential` of `Linear`s and activations in turn, in place.

    Args:
        model: Layer, activation, layer, ..., layer.
        goal: Of the last layer's outputs.

    Raises:
        InputError: Another module in the chain.
    """

    def __init__(self, model: nn.Sequential, goal: Goal) -> None:
        parts = list(model)
        self.layers = [m for m in parts[::2] if isinstance(m, Linear)]
        self.activations = [m for m in parts[1::2] if type(m) in SLOPE]
        if len(self.layers) + len(self.activations) != len(parts):
            raise InputError(
                f"the network must be aimco.nn.Linear layers with {', '.join(a.__name__ for a in SLOPE)} between; train others with torch"
            )
        self.goal = goal

    def step(self, x, y, lr):
        with torch.no_grad():
            return self._step(x, y, lr)

    def _step(self, x: torch.Tensor, y: torch.Tensor, lr: Rate) -> torch.Tensor:
        rows, products, h = [], [], x
        for k, layer in enumerate(self.layers):
            rows.append(layer.as_rows(h))
            products.append(layer.read(rows[k]))
            h = layer.after(products[k])
            if k < len(self.activations):
                h = self.activations[k](h)
        self.check_outputs(self.goal, h, y)
        loss, d = self.goal.error(h, y)
        finite("training", "the loss", loss)  # before pulses that nothing is known of
        errors = [d]
        for k in range(len(self.layers) - 1, 0, -1):
            h = rows[k][..., : self.layers[k].inputs]
            errors.append(self.layers[k].read_t(errors[-1]).mul_(SLOPE[type(self.activations[k - 1])](h)))
        for layer, row, product, d in zip(self.layers, rows, products, reversed(errors), strict=True):
            layer.teach(row, product, d, lr)
        return loss


class DescentByTorch(Trainer):
    """Trains any network with layers in arrays in place, by autograd.

    Args:
        model: Of one member, or of an ensemble whose members are the first axis of inputs and outputs.
        goal: Of its outputs.
    """

    def __init__(self, model: nn.Module, goal: Goal) -> None:
        self.model, self.goal = model, goal
        self.optimizer = InMemory(model.parameters())

    def step(self, x, y, lr):
        self.optimizer.zero_grad()
        alone = x.shape[0] == 1
        out = self.model(x[0] if alone else x)
        self.check_outputs(self.goal, out[None] if alone and isinstance(out, torch.Tensor) else out, y)
        with torch.no_grad():
            loss, d = self.goal.error(out[None] if alone else out, y)
            finite("training", "the loss", loss)
        out.backward(d[0].neg_() if alone else d.neg_())
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.step()
        return loss


def trainer_of(model: nn.Module, goal: Goal) -> Trainer:
    """What trains a network of layers: written out where it is a chain of them and activations, of which none is frozen."""
    plain = isinstance(model, nn.Sequential) and all(isinstance(m, Linear) or type(m) in SLOPE for m in model)
    learns = all(p is None or p.requires_grad for m in model.modules() if isinstance(m, Linear) for p in (m.weight, m.bias))
    return Descent(model, goal) if plain and learns and isinstance(model, nn.Sequential) else DescentByTorch(model, goal)


class SelfLearning(Protocol):
    """A network that learns by itself."""

    def learn_from(self, x: torch.Tensor, y: torch.Tensor, lr: float, /) -> torch.Tensor: ...


class Written(SelfLearning, Protocol):
    """One that learns in software."""

    def write(self) -> None: ...


class SelfTaught(Trainer):
    """Trains a network of one member that learns by itself: `learn_from(x, y, lr)` gives the mean loss.

    Args:
        network: The module.
    """

    def __init__(self, network: SelfLearning) -> None:
        self.network = network

    def step(self, x, y, lr):
        return finite("training", "the loss", self.network.learn_from(x[0], y[0], float(lr))[None])


class WrittenAfterwards(SelfTaught):
    """Trains a network in software, whose `write` puts the weights into arrays after each epoch."""

    network: Written

    def __init__(self, network: Written) -> None:
        super().__init__(network)

    def write(self):
        self.network.write()
        return True
