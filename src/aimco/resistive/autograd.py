"""Output voltages of a resistive network under autograd."""

from __future__ import annotations

import torch

from aimco.circuit import adjoint


class Outputs(torch.autograd.Function):
    """Output voltages; backward is the adjoint of the circuit."""

    @staticmethod
    def forward(ctx, sources, driven, network, *conductances):
        ctx.circuit = network.circuit()
        ctx.point = network.solve(driven, network.forced(driven))
        ctx.save_for_backward(sources)
        return ctx.point.outputs.clone()

    @staticmethod
    def backward(ctx, at_outputs):
        (sources,) = ctx.saved_tensors
        point = ctx.point.to(sources.dtype)
        slopes, at_sources = adjoint.gradients(ctx.circuit, sources, point, at_outputs.to(sources.dtype))
        return at_sources, None, None, *slopes
