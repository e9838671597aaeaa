"""Layers: `Linear` and `Conv2d` (and, in `lstm`, `LSTM`) whose weights live in arrays, as ordinary torch modules.

Forward is a read of the array, backward a transposed read, and the update, done by `aimco.optim.InMemory`, a pulsed write.
Everything else (activations, losses, data loaders, state_dict) is torch's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from aimco import rng
from aimco.arrays import doors
from aimco.ensemble import per_member
from aimco.ledger import Counts
from aimco.mapping import AnalogMatrix
from aimco.record import InputError

_FILL = 0.6  # part of the range of a cell that initial weights take up under a scale by fan-in
_MOST_PENDING = 4096  # backward passes kept for one optimizer step


class AnalogParameter(nn.Parameter):
    """Handle of the weights of one layer in an optimizer: holds no numbers itself, the arrays do."""

    layer: AnalogLayer

    def __new__(cls, layer: AnalogLayer) -> AnalogParameter:
        handle = torch.Tensor._make_subclass(cls, torch.zeros(0), True)
        handle.layer = layer
        return handle

    def __deepcopy__(self, memo: dict[int, Any]) -> AnalogParameter:
        return memo.setdefault(id(self), AnalogParameter(memo.get(id(self.layer), self.layer)))


class _Product(torch.autograd.Function):
    """y = x W on the arrays; the gradient at the inputs comes from the transposed read."""

    @staticmethod
    def forward(ctx, x, handle, layer):
        rows = layer.as_rows(x)
        ctx.layer, ctx.rows, ctx.shape = layer, rows, x.shape
        return layer.as_outputs(layer.rule.mvm(layer.matrices, layer.rule_state, rows), x.shape)

    @staticmethod
    def backward(ctx, gradient):
        layer = ctx.layer
        gradient = gradient.reshape(layer.members, -1, layer.outputs)
        if layer.training:
            layer.remember(ctx.rows, gradient.neg())
        if not ctx.needs_input_grad[0]:
            return None, None, None
        z = layer.rule.mvm_t(layer.matrices, layer.rule_state, gradient)[..., : layer.inputs]
        return layer.as_inputs(z, ctx.shape), None, None


class Arrays(nn.Module):
    """A part of a network that holds matrices in arrays: what evaluation, cost and checkpoints ask of it (abstract)."""

    matrices: dict[str, AnalogMatrix]
    rule_state: dict[str, torch.Tensor]
    written: tuple[list[str], ...] = ()  # of each matrix that was written at the start, what notes say of it, by member

    @property
    def analog(self) -> bool:
        """Whether it does anything that is counted."""
        return bool(self.matrices)

    @property
    def counts(self) -> dict[str, Counts]:
        """Ledger of each array."""
        return {name: matrix.counts for name, matrix in self.matrices.items()}

    @property
    def shapes(self) -> dict[str, tuple[int, int]]:
        """Rows and columns of each array."""
        return {name: matrix.shape[1:] for name, matrix in self.matrices.items()}

    @property
    def timed(self) -> dict[str, Mapping[str, Any]]:
        """Those counts of each array that take time, see `aimco.cost.latency.TIMED`, quickly: pulses may go on waiting."""
        return {name: matrix.timed for name, matrix in self.matrices.items()}

    def notes(self, member: int = 0) -> list[str]:
        """Approximations in force in it, for one ensemble member."""
        return [said[member] for said in self.written if said[member]]

    def hold(self, seconds: Any) -> None:
        """Let time pass in the arrays."""
        for matrix in self.matrices.values():
            matrix.hold(seconds)

    def get_extra_state(self) -> dict[str, Any]:
        """Arrays and rule state: what a checkpoint needs beside the parameters, to go on bit for bit."""
        if not self.matrices:
            return {}
        saved = {name: matrix.checkpoint() for name, matrix in self.matrices.items()}
        return {"matrices": saved, "rule": {n: t.clone() for n, t in self.rule_state.items()}}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        for name, saved in state.get("matrices", {}).items():
            self.matrices[name].restore(saved)
        for name, tensor in state.get("rule", {}).items():
            self.rule_state[name].copy_(tensor)


class AnalogLayer(Arrays):
    """A matrix of weights held in arrays and taught by a rule: what `Linear` and `Conv2d` share.

    Args:
        inputs, outputs: size of the matrix. bias: whether outputs have an offset. design: device, cell, array, periphery,
            network and rule. name: of this layer, for its random streams. seeds: one per ensemble member.
    """

    vectors = 1  # that one sample is on the rows

    def __init__(self, inputs: int, outputs: int, bias: bool, design: Any, name: str, seeds: Sequence[int]) -> None:
        super().__init__()
        self.inputs, self.outputs, self.rule, self.seeds = inputs, outputs, design.rule, tuple(seeds)
        bias = bias and design.network.bias != "none"
        self.learns_scale = design.network.output_scale == "learned"
        self.bias_row = bias and design.network.bias == "array" and bool(self.rule.arrays())
        rows = inputs + self.bias_row
        self._ones = torch.ones(self.members, 1, 1)
        limit = 1 / math.sqrt(inputs)
        self.scale = self._scale(design, limit)
        start = self._draw(name, "weight", (rows, outputs), limit)
        self.bias = nn.Parameter(self._shape_bias(self._draw(name, "bias", (1, outputs), limit))) if bias and not self.bias_row else None
        parts = (design.cell, design.array, design.periphery, rows, outputs)
        self.matrices = {
            n: AnalogMatrix(
                needs.device or design.device,
                *parts,
                seeds=self.seeds,
                names=(name, n),
                reference=needs.reference,
                reference_error=needs.error,
            )
            for n, needs in self.rule.arrays().items()
        }
        if not self.matrices:
            self.weight = nn.Parameter(start)
            return
        self.rule_state = self.rule.start(self.matrices)
        matrix, first = self.matrices[self.rule.weights_on], start if self.scale is None else start / self.scale.detach()
        matrix.program(first)
        self.written = (matrix.missed(first),)
        self.handle = AnalogParameter(self)  # pyright: ignore[reportArgumentType]
        self._pending: list[tuple[torch.Tensor, torch.Tensor]] = []

    def _draw(self, name: str, what: str, shape: tuple[int, int], limit: float) -> torch.Tensor:
        keys = rng.stream_keys(self.seeds, name, what)
        draws = torch.from_numpy(rng.uniform(keys, 0, shape[0] * shape[1])).float()
        return (limit * (2 * draws - 1)).reshape(len(self.seeds), *shape)

    def _scale(self, design: Any, limit: float) -> nn.Parameter | None:
        """What the outputs are multiplied by, (E, 1, 1): one number of each matrix, if the network has it."""
        if self.learns_scale:
            return nn.Parameter(torch.ones(self.members, 1, 1))
        if design.network.output_scale == "none" or not self.rule.arrays():
            return None
        top = per_member(design.cell.weight_max, self.members)
        return nn.Parameter(torch.from_numpy(limit / (_FILL * top)).float()[:, None, None], requires_grad=False)

    def _shape_bias(self, bias: torch.Tensor) -> torch.Tensor:
        return bias if len(self.seeds) > 1 else bias.reshape(-1)

    @property
    def members(self) -> int:
        """Ensemble members."""
        return len(self.seeds)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = _Product.apply(x, self.handle, self) if self.matrices else self.as_outputs(self.read(self.as_rows(x)), x.shape)
        return self.after(y)

    def after(self, y: torch.Tensor) -> torch.Tensor:
        """What is done to outputs digitally: the learned scale and the offset, where the design has them."""
        y = y if self.scale is None else y * (self.scale if y.ndim == 3 else self.scale[0])
        return y if self.bias is None else y + self.bias

    def as_rows(self, x: torch.Tensor) -> torch.Tensor:
        """Inputs as vectors on the rows, (E, B, rows), the constant 1 of the bias row included."""
        rows = x.reshape(1, -1, self.inputs) if self.members == 1 else x if x.ndim == 3 else x.expand(self.members, *x.shape)
        if self.bias_row:
            if self._ones.shape[1] != rows.shape[1]:
                self._ones = torch.ones(self.members, rows.shape[1], 1)
            rows = torch.cat((rows, self._ones), 2)
        return rows

    def as_outputs(self, y: torch.Tensor, shape: torch.Size) -> torch.Tensor:
        """Outputs (E, B, outputs) in the shape that belongs to an input of this shape."""
        return y.reshape(*shape[:-1], self.outputs) if self.members == 1 else y

    def as_inputs(self, z: torch.Tensor, shape: torch.Size) -> torch.Tensor:
        """Errors at the inputs (E, B, inputs) in the shape of the input; summed over members that shared it."""
        return z.reshape(shape) if self.members == 1 or len(shape) == 3 else z.sum(0)

    @property
    def stored(self) -> torch.Tensor:
        """The weights of the layer, (E, rows, outputs), the sum of the shares of its arrays: for tests and plots."""
        if not self.matrices:
            return self.weight.detach()
        return self.rule.stored(self.matrices, self.rule_state)

    def read(self, rows: torch.Tensor) -> torch.Tensor:
        """The product (E, B, outputs) with vectors on the rows."""
        return self.rule.mvm(self.matrices, self.rule_state, rows) if self.matrices else torch.bmm(rows, self.weight)

    def read_t(self, d: torch.Tensor) -> torch.Tensor:
        """Errors at the inputs (E, B, inputs) of errors at the outputs."""
        d = d if self.scale is None else d * self.scale
        z = self.rule.mvm_t(self.matrices, self.rule_state, d) if self.matrices else torch.bmm(d, self.weight.transpose(1, 2))
        return z[..., : self.inputs]

    def teach(self, rows: torch.Tensor, product: torch.Tensor, d: torch.Tensor, lr: Any) -> None:
        """Learn from what was read and the errors d at the outputs (minus the gradient); what is not in arrays by plain descent."""
        if self.bias is not None:
            self.bias.add_((d.sum(1, keepdim=True) * lr).reshape(self.bias.shape))
        if self.scale is not None:
            slope = (product * d).sum((1, 2), keepdim=True)
            d = d * self.scale
            if self.learns_scale:
                self.scale.add_(slope * lr)
        if self.matrices:
            self.rule.update(self.matrices, self.rule_state, rows, d, lr)
        else:
            self.weight.add_(torch.bmm(rows.transpose(1, 2), d) * lr)

    def remember(self, x: torch.Tensor, d: torch.Tensor) -> None:
        """Keep inputs and errors of a backward pass until the optimizer's step."""
        if len(self._pending) >= _MOST_PENDING:
            raise InputError(f"{_MOST_PENDING} backward passes without a step: train with aimco.optim.InMemory, which updates the arrays")
        self._pending.append((x, d))

    def forget(self) -> None:
        """Drop what backward passes left, as zero_grad does for gradients."""
        self._pending.clear()

    def learn(self, lr: Any) -> None:
        """Update the arrays from all backward passes since the last step."""
        pending, self._pending = self._pending, []
        for name, k in (("input", 0), ("gradient", 1)):
            for sides in pending:
                doors.finite("InMemory.step", f"the {name} of a layer", sides[k])
        for x, d in pending:
            self.rule.update(self.matrices, self.rule_state, x, d, lr)


class Linear(AnalogLayer):
    """y = x W + b with W in arrays: `torch.nn.Linear` for analog hardware.

    Args:
        in_features, out_features: as in torch. bias: as in torch; `design.network.bias` says where it lives.
        design: an `aimco.Design`. name: distinguishes layers of one network (same name and seed, same devices).
        seeds: one per ensemble member; with E > 1 the input is (B, in) or (E, B, in), the output (E, B, out).

    Example:
        >>> import torch, aimco as ai
        >>> layer = ai.nn.Linear(4, 3, design=ai.Design(device="ideal"))
        >>> layer(torch.ones(2, 4)).shape
        torch.Size([2, 3])
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, *, design: Any, name: str = "linear", seeds: Sequence[int] = (0,)
    ) -> None:
        super().__init__(in_features, out_features, bias, design, name, seeds)

    def extra_repr(self) -> str:
        return f"{self.inputs}, {self.outputs}, rule={self.rule.kind}" + (f", ensemble={self.members}" if self.members > 1 else "")


class Conv2d(AnalogLayer):
    """Two-dimensional convolution with its kernel matrix in arrays: each patch of the image is one input vector.

    The matrix has in_channels * kernel^2 rows and out_channels columns (Gokmen, Onen & Haensch 2017).

    Args:
        in_channels, out_channels, kernel_size, stride, padding: as in torch, square. bias, design, name, seeds: see `Linear`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int = 0,
        bias: bool = True,
        *,
        design: Any,
        name: str = "conv2d",
        seeds: Sequence[int] = (0,),
    ) -> None:
        super().__init__(in_channels * kernel_size**2, out_channels, bias, design, name, seeds)
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.members > 1 and x.ndim == 4:
            x = x.expand(self.members, *x.shape)
        lead, image = x.shape[:-3], x.shape[-3:]
        patches = nn.functional.unfold(x.reshape(-1, *image), self.kernel_size, padding=self.padding, stride=self.stride)
        vectors = patches.transpose(1, 2).reshape(self.members, -1, self.inputs)
        height, width = ((n + 2 * self.padding - self.kernel_size) // self.stride + 1 for n in image[1:])
        y = super().forward(vectors if self.members > 1 else vectors[0]).reshape(-1, height * width, self.outputs)
        return y.transpose(1, 2).reshape(*lead, self.outputs, height, width)

    def extra_repr(self) -> str:
        size = f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"
        return f"{self.inputs}, {self.outputs}, {size}, rule={self.rule.kind}"


def analog_layers(model: nn.Module) -> dict[str, Arrays]:
    """The parts of a model that live in arrays, by their name in the model."""
    return {name: m for name, m in model.named_modules() if isinstance(m, Arrays) and m.analog}


def counts(model: nn.Module) -> dict[str, dict[str, Counts]]:
    """Ledger of every array of a model: layer -> array -> Counts."""
    return {name: layer.counts for name, layer in analog_layers(model).items()}
