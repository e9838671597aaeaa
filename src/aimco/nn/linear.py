"""`Linear`: a layer of weights in arrays."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from aimco.arrays.spec import Blueprint
from aimco.nn.analog import AnalogLayer
from aimco.nn.arguments import on_cpu, whole
from aimco.nn.layout import Layout, place
from aimco.record import InputError


class Linear(AnalogLayer):
    """y = x W^T + b with W in arrays: `torch.nn.Linear` for analog hardware.

    Args:
        in_features: Size of the input.
        out_features: Size of the output.
        bias: Whether outputs have an offset; `design.network.bias` says where it lives.
        device: As in torch; the CPU alone.
        dtype: As in torch; float32 alone.
        design: An `aimco.Design`.
        name: Of the layer, for its random streams; layers of one name and seed are alike.
        seed: Of devices, first weights and noise; drawn from torch's generator when absent.
        seeds: One for each of E ensemble members, in place of `seed`; the input is then (E, ..., in), the output (E, ..., out).

    Example:
        >>> import torch, aimco as ai
        >>> layer = ai.nn.Linear(4, 3, design=ai.Design(device="ideal"))
        >>> layer(torch.ones(2, 4)).shape
        torch.Size([2, 3])
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        design: Blueprint,
        name: str | None = None,
        seed: int | None = None,
        seeds: Sequence[int] | None = None,
    ) -> None:
        on_cpu(device, dtype)
        self.in_features, self.out_features = whole("in_features", in_features), whole("out_features", out_features)
        super().__init__(Layout(self.in_features, self.out_features), bias, design, *place("linear", name, seed, seeds))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.ndim == 0 or x.shape[-1] != self.inputs or (self.members > 1 and (x.ndim < 2 or x.shape[0] != self.members)):
            wanted = f"({self.members}, ..., {self.inputs}), members first" if self.members > 1 else f"(..., {self.inputs})"
            raise InputError(f"the input of {self.title} must be {wanted}, got {tuple(x.shape)}")
        return self.affine(x)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}, {self.made_of}"
