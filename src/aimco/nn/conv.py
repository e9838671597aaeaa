"""Convolutions whose kernel matrix lives in arrays: each patch of the input is one vector on the rows."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import nn

from aimco.arrays.spec import Blueprint
from aimco.nn.analog import AnalogLayer
from aimco.nn.arguments import each, on_cpu, one_of, quote, whole
from aimco.nn.layout import Layout, place
from aimco.record import InputError

Size = int | tuple[int, ...]
_MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "replicate", "circular": "circular"}


class Conv(AnalogLayer):
    """Convolution over `axes` axes (abstract): the matrix has in_channels / groups * kernel rows and out_channels / groups columns.

    With groups each group has a matrix of its own. Source: Gokmen, Onen & Haensch 2017 (Front. Neurosci. 11:538).

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Of the kernel, a number or one for each axis.
        stride: Steps of the kernel.
        padding: Zeros on both sides, or "same" or "valid".
        dilation: Distance between points of the kernel.
        groups: Blocks of channels that do not mix.
        bias: Whether outputs have an offset; `design.network.bias` says where it lives.
        padding_mode: "zeros", "reflect", "replicate" or "circular".
        device: As in torch; the CPU alone.
        dtype: As in torch; float32 alone.
        design: An `aimco.Design`.
        name: See `Linear`.
        seed: See `Linear`.
        seeds: See `Linear`; with E > 1 the input is (E, batch, channels, ...).
    """

    axes = 0

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size | str = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        design: Blueprint,
        name: str | None = None,
        seed: int | None = None,
        seeds: Sequence[int] | None = None,
    ) -> None:
        on_cpu(device, dtype)
        channels, outputs, groups = whole("in_channels", in_channels), whole("out_channels", out_channels), whole("groups", groups)
        if channels % groups or outputs % groups:
            raise InputError(f"groups must divide in_channels and out_channels, got {groups} for {channels} and {outputs}")
        kernel = each("kernel_size", kernel_size, self.axes)
        layout = Layout(channels // groups * math.prod(kernel), outputs // groups, groups, kernel)
        self.stride, self.dilation = each("stride", stride, self.axes), each("dilation", dilation, self.axes)
        self.padding = one_of("padding", padding, ("same", "valid")) if isinstance(padding, str) else each("padding", padding, self.axes, 0)
        self.padding_mode = one_of("padding_mode", padding_mode, tuple(_MODES))
        if self.padding == "same" and any(s != 1 for s in self.stride):
            raise InputError(f"stride must be 1 with padding 'same', got {quote(stride)}")
        self.in_channels, self.out_channels, self.kernel_size, self.groups = channels, outputs, kernel, groups
        super().__init__(layout, bias, design, *place(f"conv{self.axes}d", name, seed, seeds))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        images, batched = self._images(x)
        patches, places = self._patches(images)
        y = self.affine(self._vectors(patches))
        count = images.shape[1]
        y = y.reshape(self.members, self.groups, count, -1, self.outputs).permute(0, 2, 1, 4, 3)
        y = y.reshape(self.members, count, self.out_channels, *places)
        y = y if batched else y[:, 0]
        return y if self.members > 1 else y[0]

    def _images(self, x: torch.Tensor) -> tuple[torch.Tensor, bool]:
        """The input as (E, B, channels, ...), and whether it was a batch."""
        lead, wanted = x.ndim - (self.members > 1) - self.axes - 1, self.axes + 1
        right = lead in (0, 1) and x.shape[-wanted] == self.in_channels and (self.members == 1 or x.shape[0] == self.members)
        if not right:
            more = f"{self.members}, " if self.members > 1 else ""
            raise InputError(
                f"the input of {self.title} must be ({more}batch, {self.in_channels}, {self.axes} axes) or one image, got {tuple(x.shape)}"
            )
        return x.reshape(self.members, *(x.shape[-wanted - 1 : -wanted] if lead else (1,)), *x.shape[-wanted:]), lead == 1

    def _sides(self) -> list[tuple[int, int]]:
        """Padding before and after on each axis."""
        if self.padding == "valid":
            return [(0, 0)] * self.axes
        if self.padding == "same":
            totals = [d * (k - 1) for d, k in zip(self.dilation, self.kernel_size, strict=True)]
            return [(total // 2, total - total // 2) for total in totals]
        return [(int(p), int(p)) for p in self.padding]

    def _patches(self, images: torch.Tensor) -> tuple[torch.Tensor, list[int]]:
        """Patches (E B, places, channels kernel) of images (E, B, channels, ...), and the places along each axis."""
        sides, image = self._sides(), images.reshape(-1, *images.shape[2:])
        spans = [d * (k - 1) + 1 for d, k in zip(self.dilation, self.kernel_size, strict=True)]
        padded = [n + sum(side) for n, side in zip(image.shape[2:], sides, strict=True)]
        if any(n < span for n, span in zip(padded, spans, strict=True)):
            raise InputError(f"the input of {self.title} must be at least {tuple(spans)} large with its padding, got {tuple(padded)}")
        places = [(n - span) // s + 1 for n, span, s in zip(padded, spans, self.stride, strict=True)]
        if any(map(any, sides)):
            flat = [n for side in reversed(sides) for n in side]
            image = nn.functional.pad(image, flat, mode=_MODES[self.padding_mode])
        return Windows.apply(image, self.kernel_size, self.stride, self.dilation), places  # pyright: ignore[reportReturnType]

    def _vectors(self, patches: torch.Tensor) -> torch.Tensor:
        """Patches as vectors (E groups, B, places, inputs), the first axis left out where it is 1."""
        vectors = patches.reshape(self.members, -1, patches.shape[1], self.groups, self.inputs)
        vectors = vectors[:, :, :, 0] if self.groups == 1 else vectors.permute(0, 3, 1, 2, 4).reshape(self.arrays, *vectors.shape[1:3], -1)
        return vectors if self.arrays > 1 else vectors[0]

    def extra_repr(self) -> str:
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding!r}"
        text += f", dilation={self.dilation}" if any(d != 1 for d in self.dilation) else ""
        text += f", groups={self.groups}" if self.groups != 1 else ""
        text += f", padding_mode={self.padding_mode}" if self.padding_mode != "zeros" else ""
        return f"{text}, bias={self.bias is not None}, {self.made_of}"


class Windows(torch.autograd.Function):
    """What the kernel sees at each place of images (N, channels, ...): (N, places, channels kernel), in torch's order of a kernel.

    Copied once, in the order that arrays take; `torch.nn.functional.unfold` copies in another order, to be copied again.
    """

    @staticmethod
    def forward(ctx, image, kernel, stride, dilation):
        ctx.shape, ctx.options = image.shape, (kernel, stride, dilation)
        for k, (size, step, apart) in enumerate(zip(kernel, stride, dilation, strict=True)):
            image = image.unfold(2 + k, apart * (size - 1) + 1, step)[..., ::apart]
        axes = range(2, 2 + len(kernel))
        windows = image.permute(0, *axes, 1, *(a + len(kernel) for a in axes))
        ctx.windows = windows.shape
        return windows.reshape(len(image), math.prod(windows.shape[1 : len(kernel) + 1]), -1)

    @staticmethod
    def backward(ctx, gradient):
        kernel, stride, dilation = ctx.options
        windows = gradient.reshape(ctx.windows)
        total = gradient.new_zeros(ctx.shape[0], *ctx.shape[2:], ctx.shape[1])
        for point in itertools.product(*map(range, kernel)):
            steps = zip(point, windows.shape[1:], stride, dilation, strict=False)
            seen = (slice(p * d, p * d + (n - 1) * s + 1, s) for p, n, s, d in steps)
            total[:, *seen] += windows[(..., *point)]
        return total.movedim(-1, 1), None, None, None


class Conv1d(Conv):
    """`torch.nn.Conv1d` for analog hardware; see `Conv`."""

    axes = 1


class Conv2d(Conv):
    """`torch.nn.Conv2d` for analog hardware; see `Conv`.

    Example:
        >>> import torch, aimco as ai
        >>> layer = ai.nn.Conv2d(3, 8, (3, 5), padding="same", design=ai.Design(device="ideal"))
        >>> layer(torch.ones(2, 3, 9, 9)).shape
        torch.Size([2, 8, 9, 9])
    """

    axes = 2


class Conv3d(Conv):
    """`torch.nn.Conv3d` for analog hardware; see `Conv`."""

    axes = 3
