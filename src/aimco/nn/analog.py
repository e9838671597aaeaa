"""What all layers do: read a matrix in arrays forward and back by autograd, and teach it by a rule.

Forward is a read of the array, backward a transposed read, and the update, done by `aimco.optim.InMemory`, a pulsed write.
Everything else (activations, losses, data loaders, state_dict) is torch's.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from aimco.ensemble import Rate
from aimco.nn.handle import AnalogParameter, OuterProducts
from aimco.nn.passes import Pass, Role
from aimco.nn.product import Product
from aimco.nn.weights import WeightsInArrays
from aimco.record import InputError

# What torch.compile has put in place, if anything.
_compiler = torch._C._dynamo.eval_frame.get_eval_frame_callback  # pyright: ignore[reportAttributeAccessIssue]


class AnalogLayer(WeightsInArrays):
    """A matrix of weights held in arrays and taught by a rule: what the layers share; see `WeightsInArrays`."""

    vectors = 1  # that one sample is on the rows
    passes = 1  # in which one sample goes through the layer: its time steps

    def affine(self, x: torch.Tensor) -> torch.Tensor:
        """Outputs of vectors, (E groups, ..., inputs), the first axis left out where it is 1; in the dtype of the input."""
        if _compiler() is not None:  # it must not look into arrays
            return _uncompiled()(self, x)
        if x.dtype is torch.float32 and not torch.is_autocast_enabled("cpu"):
            return self.after(self.product(x))
        return self._converted(x)

    def _converted(self, x: torch.Tensor) -> torch.Tensor:
        """Outputs of vectors that are of another dtype, or to be given in another."""
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
        if not x.is_floating_point():
            raise InputError(f"the input of {self.title} must be floating-point numbers, got {x.dtype}")
        with torch.autocast("cpu", enabled=False):
            return self.after(self.product(x.float())).to(dtype)

    def product(self, x: torch.Tensor) -> torch.Tensor:
        """x W of vectors."""
        if self.matrices:
            return Product.apply(x, *self.held(), self, 1.0)  # pyright: ignore[reportReturnType]
        return self.read(self.as_rows(x)).reshape(*x.shape[:-1], self.outputs)

    def held(self) -> tuple[AnalogParameter, AnalogParameter | None]:
        """Weight and bias, so far as they are in arrays."""
        weight, bias = self._parameters.get("weight"), self._parameters["bias"] if self.bias_row else None
        if type(weight) is not AnalogParameter:
            raise InputError(f"{self.title} has its weights in arrays, which nothing can be put in place of, as by pruning")
        return weight, bias  # pyright: ignore[reportReturnType]

    def after(self, y: torch.Tensor) -> torch.Tensor:
        """What is done to outputs digitally: the learned scale and the offset, where the design has them."""
        if self.scale is not None:
            y = y * (self.scale[0, 0, 0] if self.members == 1 else self._across(self.scale.repeat_interleave(self.layout.groups, 0), y))
        bias = self._parameters["bias"]
        if bias is None or self.bias_row:
            return y
        return y + (bias if self.arrays == 1 else self._across(bias, y))

    def _across(self, values: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Numbers of the matrices in the axes of outputs."""
        return values.reshape(self.arrays, *[1] * (y.ndim - 2), -1)

    def vectors_of(self, shape: Sequence[int]) -> int:
        """Vectors that one sample gives in all passes, of inputs (E groups, batch, ..., inputs), the first axis left out where it is 1."""
        return self.passes * math.prod(shape[1 + (self.arrays > 1) : -1])

    def as_rows(self, x: torch.Tensor, constant: float = 1.0) -> torch.Tensor:
        """Inputs as vectors on the rows, (E groups, B, rows), the constant of the bias row included."""
        rows = x.reshape(self.arrays, -1, self.inputs)
        if self.bias_row:
            rows = torch.cat((rows, self._constant(rows.shape[1], constant)), 2)
        return rows

    def _constant(self, batch: int, value: float) -> torch.Tensor:
        if (batch, value) not in self._constants:
            self._constants = {(batch, value): torch.full((self.arrays, batch, 1), value)}
        return self._constants[batch, value]

    def read(self, rows: torch.Tensor) -> torch.Tensor:
        """The product (E groups, B, outputs) with vectors on the rows."""
        if self.matrices:
            return self.rule.mvm(self.matrices, self.rule_state, rows)
        return torch.bmm(rows, self.layout.as_matrix(self.weight))

    def read_back(self, errors: torch.Tensor) -> torch.Tensor:
        """Errors at the inputs, (E groups, B, inputs), of errors at the product."""
        if torch.is_autocast_enabled("cpu"):
            with torch.autocast("cpu", enabled=False):
                return self.read_back(errors)
        z = self.rule.mvm_t(self.matrices, self.rule_state, errors)
        return z[..., : self.inputs] if self.bias_row else z

    def read_t(self, d: torch.Tensor) -> torch.Tensor:
        """Errors at the inputs (E, B, inputs) of errors at the outputs."""
        d = d if self.scale is None else d * self.scale
        return self.read_back(d) if self.matrices else torch.bmm(d, self.layout.as_matrix(self.weight).transpose(1, 2))

    # updates

    def teach(self, rows: torch.Tensor, product: torch.Tensor, d: torch.Tensor, lr: Rate) -> None:
        """Learn from what was read and the errors d at the outputs (minus the gradient); what is not in arrays by plain descent."""
        bias = self._parameters["bias"]
        if bias is not None and not self.bias_row:
            bias.add_((d.sum(1, keepdim=True) * lr).reshape(bias.shape))
        if self.scale is not None:
            slope = (product * d).sum((1, 2), keepdim=True)
            d = d * self.scale
            if self.learns_scale:
                self.scale.add_(slope * lr)
        if self.matrices:
            self.rule.update(self.matrices, self.rule_state, rows, d, lr)
        else:
            self.layout.as_matrix(self.weight).add_(torch.bmm(rows.transpose(1, 2), d) * lr)

    def gradients(self, needed: Sequence[bool], one: Pass) -> tuple[OuterProducts | None, OuterProducts | None]:
        """Gradients at weight and bias of one backward pass, those that are asked for."""
        weight, bias = needed
        passes = [(one, 1.0)]
        return (
            OuterProducts(self.ref, "weight", self._shapes["weight"], passes) if weight else None,
            OuterProducts(self.ref, "bias", self._shapes["bias"], list(passes)) if bias else None,
        )

    def gradient_of(self, role: Role, one: Pass) -> torch.Tensor:
        """What the vectors of a pass come to at weight or bias, in torch's shape."""
        with torch.autocast("cpu", enabled=False) if torch.is_autocast_enabled("cpu") else contextlib.nullcontext():
            if role == "bias":
                gradient = torch.bmm(one.rows[:, :, self.inputs :].transpose(1, 2), one.errors)
            else:
                gradient = torch.bmm(one.rows[:, :, : self.inputs].transpose(1, 2), one.errors)
        gradient = gradient if self.scale is None else gradient / self._scale_of_arrays()
        return self.layout.as_bias(gradient) if role == "bias" else self.layout.as_weight(gradient)

    def learn(self, due: Mapping[Role, tuple[OuterProducts, Rate]]) -> None:
        """Update the arrays from the gradients at weight and bias, each with the learning rate of its optimizer."""
        (first, rate), *others = due.values()
        together = len(others) == self.bias_row
        for other, lr in others:
            together = together and _same(rate, lr) and first.agrees(other)
        if together:
            for one, scale in first.passes:
                self._update(one.rows, one, scale, rate)
            return
        for role, (gradient, lr) in due.items():
            for one, scale in gradient.passes:
                rows = one.rows.clone()
                rows[:, :, slice(self.inputs, None) if role == "weight" else slice(0, self.inputs)] = 0
                self._update(rows, one, scale, lr)

    def _update(self, rows: torch.Tensor, one: Pass, scale: float, lr: Rate) -> None:
        if isinstance(lr, torch.Tensor) and self.layout.groups > 1:
            lr = lr.repeat_interleave(self.layout.groups, 0)
        if "vectors" in self.rule_state:
            self.rule_state["vectors"].fill_(one.vectors)
        self.rule.update(self.matrices, self.rule_state, rows, one.errors.neg() if scale == 1 else one.errors * -scale, lr)


@functools.cache
def _uncompiled() -> Any:
    return torch.compiler.disable(AnalogLayer.affine)


def _same(lr: Rate, other: Rate) -> bool:
    """Whether two learning rates are one."""
    return lr is other or (not isinstance(lr, torch.Tensor) and not isinstance(other, torch.Tensor) and lr == other)
