"""Gradient descent on a chain of layers, written out: forward reads, transposed reads, pulsed updates.

What a training loop of torch modules does by autograd, here without it, for networks that are layers and activations in
turn. It is what `aimco.evaluate` runs: the work outside the arrays is a handful of calls per layer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import nn

from aimco.arrays.doors import finite
from aimco.nn.linear import Linear
from aimco.record import InputError

Loss = Literal["cross-entropy", "squared"]

SLOPE: dict[type[nn.Module], Callable[[torch.Tensor], torch.Tensor]] = {
    nn.Sigmoid: lambda h: h * (1 - h),
    nn.Tanh: lambda h: 1 - h * h,
    nn.ReLU: lambda h: (h > 0).to(h.dtype),
}


class Descent:
    """Trains a `Sequential` of `Linear`s and activations in turn, in place.

    Args:
        model: layer, activation, layer, ..., layer. loss: of the last layer's outputs, the mean over the batch:
            "cross-entropy" of their softmax, or "squared", sum (y - t)^2 / (2 outputs).

    Raises:
        InputError: another module in the chain.
    """

    def __init__(self, model: nn.Sequential, loss: Loss) -> None:
        parts = list(model)
        self.layers = [m for m in parts[::2] if isinstance(m, Linear)]
        self.activations = [m for m in parts[1::2] if type(m) in SLOPE]
        if len(self.layers) + len(self.activations) != len(parts):
            raise InputError(
                f"the network must be aimco.nn.Linear layers with {', '.join(a.__name__ for a in SLOPE)} between; train others with torch"
            )
        self.error = ERRORS[loss]

    @torch.no_grad()
    def step(self, x: torch.Tensor, y: torch.Tensor, lr: Any) -> torch.Tensor:
        """Learn from one batch.

        Args:
            x: inputs, (E, B, inputs). y: labels (E, B) or targets (E, B, outputs). lr: learning rate, a number or (E, 1, 1).

        Returns:
            Mean loss of each member before the step, (E,).
        """
        rows, products, h = [], [], x
        for k, layer in enumerate(self.layers):
            rows.append(layer.as_rows(h))
            products.append(layer.read(rows[k]))
            h = layer.after(products[k])
            if k < len(self.activations):
                h = self.activations[k](h)
        loss, d = self.error(h, y)
        finite("training", "the loss", loss)  # before pulses that nothing is known of
        errors = [d]
        for k in range(len(self.layers) - 1, 0, -1):
            h = rows[k][..., : self.layers[k].inputs]
            errors.append(self.layers[k].read_t(errors[-1]).mul_(SLOPE[type(self.activations[k - 1])](h)))
        for layer, row, product, d in zip(self.layers, rows, products, reversed(errors), strict=True):
            layer.teach(row, product, d, lr)
        return loss


def _softmax_error(out: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean cross-entropy (E,) and minus its gradient (E, B, classes): (one-hot - softmax) / B."""
    log = torch.log_softmax(out, 2)
    picked = y[..., None]
    loss = log.gather(2, picked).mean((1, 2)).neg_()
    share = 1 / out.shape[1]
    d = log.exp_().mul_(-share)
    return loss, d.scatter_add_(2, picked, torch.full((), share).expand(picked.shape))


def _squared_error(out: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean of sum (out - y)^2 / (2 outputs), (E,), and minus its gradient."""
    error = y - out
    loss = error.square().sum(2).mean(1) / (2 * out.shape[2])
    return loss, error.div_(out.shape[1] * out.shape[2])


ERRORS: dict[Loss, Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]] = {
    "cross-entropy": _softmax_error,
    "squared": _squared_error,
}
