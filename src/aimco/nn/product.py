"""The product with a matrix in arrays, as autograd sees it."""

from __future__ import annotations

import torch

from aimco.nn.passes import Pass
from aimco.record import InputError


class Product(torch.autograd.Function):
    """y = x W on the arrays; the gradient at the inputs comes from the transposed read, that at the weights is the pair of vectors."""

    @classmethod
    def apply(cls, *args: object) -> torch.Tensor:
        """As torch's, without its search of all arguments for leftovers of `torch.func`, which takes longer than small products."""
        if torch._C._are_functorch_transforms_active():
            raise InputError("torch.func cannot transform what arrays do; take gradients of analog layers by torch.autograd")
        return super(torch.autograd.Function, cls).apply(*args)  # pyright: ignore[reportAttributeAccessIssue]

    @staticmethod
    def forward(ctx, x, weight, bias, layer, constant):
        rows = layer.as_rows(x, constant)
        ctx.layer, ctx.shape = layer, x.shape
        if ctx.needs_input_grad[1] or ctx.needs_input_grad[2]:
            ctx.save_for_backward(rows)
            ctx.sum, ctx.vectors = rows.sum(), layer.vectors_of(x.shape)
        return layer.read(rows).reshape(*x.shape[:-1], layer.outputs)

    @staticmethod
    def backward(ctx, gradient):
        layer, (learns_x, learns_weight, learns_bias, *_) = ctx.layer, ctx.needs_input_grad
        z = weight = bias = None
        in_loss = torch.is_grad_enabled()  # gradients may be part of a loss
        errors = gradient.reshape(layer.arrays, -1, layer.outputs)
        if learns_x:
            z = Transposed.apply(gradient, *layer.held(), layer, ctx.shape) if in_loss else layer.read_back(errors).reshape(ctx.shape)
        if learns_weight or learns_bias:
            errors = errors.detach() if in_loss else errors
            weight, bias = layer.gradients(
                (learns_weight, learns_bias), Pass(ctx.saved_tensors[0], errors, (ctx.sum, errors.sum()), ctx.vectors)
            )
        return z, weight, bias, None, None


class Transposed(torch.autograd.Function):
    """z = d W^T on the arrays: what `Product` hands back, itself with gradients, so that a gradient may be part of a loss."""

    @staticmethod
    def forward(ctx, errors, weight, bias, layer, shape):
        ctx.layer = layer
        ctx.save_for_backward(errors)
        return layer.read_back(errors.reshape(layer.arrays, -1, layer.outputs)).reshape(shape)

    @staticmethod
    def backward(ctx, gradient):
        layer, (errors,) = ctx.layer, ctx.saved_tensors
        again = Product.apply(gradient, *layer.held(), layer, 0.0) if ctx.needs_input_grad[0] else None
        rows = layer.as_rows(gradient.detach(), 0.0)
        errors = errors.detach().reshape(layer.arrays, -1, layer.outputs)
        pairs = layer.gradients(ctx.needs_input_grad[1:3], Pass(rows, errors, (rows.sum(), errors.sum()), layer.vectors_of(gradient.shape)))
        return again, *pairs, None, None
