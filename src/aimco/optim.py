"""The optimizer of networks with arrays, and the training of any network with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from aimco.arrays.doors import finite
from aimco.networks.descent import ERRORS, SLOPE, Descent, Loss
from aimco.networks.end_to_end import EndToEnd
from aimco.networks.layers import AnalogParameter, Linear
from aimco.networks.on_chip import OnChip


class InMemory(torch.optim.Optimizer):
    """Analog parameters learn by the rule of their design, all others by plain SGD.

    Args:
        params: parameters or groups, as in torch.optim. lr: learning rate, a number or (E, 1, 1) for an ensemble.

    Example:
        >>> import torch, aimco as ai
        >>> model = ai.nn.Linear(4, 3, design=ai.Design(device="ideal"))
        >>> optimizer = ai.optim.InMemory(model.parameters(), lr=0.1)
        >>> model(torch.ones(2, 4)).sum().backward()
        >>> optimizer.step()
    """

    def __init__(self, params: Iterable[Any], lr: Any = 0.1) -> None:
        if isinstance(lr, float | int) and not lr >= 0:
            raise ValueError(f"lr must be at least 0, got {lr}")
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """One update from all backward passes since zero_grad."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            lr = group["lr"]
            for parameter in group["params"]:
                if isinstance(parameter, AnalogParameter):
                    parameter.layer.learn(lr)
                elif parameter.grad is not None:
                    parameter.sub_(parameter.grad * lr) if isinstance(lr, torch.Tensor) else parameter.add_(parameter.grad, alpha=-lr)
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget gradients and what backward passes left in analog layers."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if isinstance(parameter, AnalogParameter):
                    parameter.layer.forget()
        super().zero_grad(set_to_none)


class DescentByTorch:
    """Trains any `Sequential` in place, by autograd; otherwise as `Descent`."""

    def __init__(self, model: nn.Sequential, loss: Loss) -> None:
        self.model, self.error = model, ERRORS[loss]
        self.optimizer = InMemory(model.parameters())

    def step(self, x: torch.Tensor, y: torch.Tensor, lr: Any) -> torch.Tensor:
        """Learn from one batch; see `Descent.step`."""
        self.optimizer.zero_grad()
        out = self.model(x)
        with torch.no_grad():
            loss, d = self.error(out, y)
            finite("training", "the loss", loss)
        out.backward(d.neg_())
        self.optimizer.param_groups[0]["lr"] = lr
        self.optimizer.step()
        return loss


class ByItself:
    """Trains a network that is no chain of layers in place, as it does itself; otherwise as `Descent`."""

    def __init__(self, network: EndToEnd | OnChip) -> None:
        self.network = network

    def step(self, x: torch.Tensor, y: torch.Tensor, lr: Any) -> torch.Tensor:
        """Learn from one batch; see `Descent.step`."""
        return self.network.learn_from(x[0], y[0], float(lr))[None]


def descent_of(model: nn.Sequential, loss: Loss) -> Descent | DescentByTorch | ByItself:
    """What trains a network: written out where it is a chain of layers and activations."""
    first = model[0]
    if isinstance(first, EndToEnd | OnChip):
        return ByItself(first)
    plain = all(isinstance(m, Linear) or type(m) in SLOPE for m in model)
    return (Descent if plain else DescentByTorch)(model, loss)
