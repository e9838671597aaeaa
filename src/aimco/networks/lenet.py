"""Convolutions, then fully connected layers."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from aimco.networks import Hidden, checked_sizes
from aimco.record import InputError
from aimco.shapes import Shape, chain, convolved


class Lenet(Hidden):
    """For images: convolution, activation and max-pooling in turn, then fully connected.

    Args:
        channels: outputs of each convolution.
        kernel_size: size of its square kernel.
        pool: size of the squares pooled.

    Source: LeCun 1998; channels, kernels and pools as Gokmen 2017 (Front. Neurosci. 11:538).
    """

    hidden: tuple[int, ...] = Field(default=(128,), strict=False, max_length=32, description="sizes of the hidden layers")
    activation: Literal["sigmoid", "tanh", "relu"] = "tanh"
    channels: tuple[int, ...] = Field(default=(16, 32), strict=False, min_length=1, max_length=8, description="outputs of convolutions")
    kernel_size: int = Field(default=5, ge=1, le=1000, description="size of the kernels")
    pool: int = Field(default=2, ge=1, le=1000, description="size of the squares pooled")

    @field_validator("channels")
    @classmethod
    def _outputs(cls, sizes: tuple[int, ...]) -> tuple[int, ...]:
        return checked_sizes(sizes)

    def build(self, data, design, seeds):
        from aimco.nn.chain import convolutional

        self._sizes_of(data.shape, data.name)
        return convolutional(self, data.shape, data.outputs, design, seeds)

    def _sizes_of(self, shape: tuple[int, ...], name: str) -> list[tuple[list[int], list[int]]]:
        """Height and width after each convolution, and after its pooling.

        Raises:
            InputError: Samples that are no images, or too small.
        """
        if len(shape) != 3:
            raise InputError(
                f"network.kind {self.kind} needs images, and the samples of task {name} are none; take mlp, or a task of images"
            )
        size, sizes = list(shape[1:]), []
        for _ in self.channels:
            after, pooled = convolved(size, self.kernel_size, pool=self.pool)
            if min(*after, *pooled) < 1:
                asked = f"{len(self.channels)} convolutions of {self.kernel_size} with pooling of {self.pool}"
                raise InputError(f"network.kernel_size must leave pixels of the images of {name}, {shape[1:]}, got {asked}")
            sizes.append((after, pooled))
            size = pooled
        return sizes

    def shapes(self, sample):
        sizes, channels, shapes = self._sizes_of(sample.shape, "this shape"), sample.shape[0], []
        for k, (out, (after, _)) in enumerate(zip(self.channels, sizes, strict=True)):
            shapes.append(Shape(f"layer {k + 1}", channels * self.kernel_size**2, out, after[0] * after[1], back=None if k else 0))
            channels = out
        return shapes + chain((channels, *sizes[-1][1]), [*self.hidden, sample.outputs], first=len(shapes))
