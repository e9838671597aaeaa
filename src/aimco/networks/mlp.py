"""Fully connected layers."""

from __future__ import annotations

from dataclasses import replace

from aimco.networks import Hidden
from aimco.shapes import chain


class Mlp(Hidden):
    """Fully connected layers with an activation between; one matrix without bias where the task is one."""

    def build(self, data, design, seeds):
        from aimco.nn.chain import fully_connected

        hidden = () if data.goal.one_matrix else self.hidden
        return fully_connected([data.inputs, *hidden, data.outputs], self.activation, design, seeds, bias=not data.goal.one_matrix)

    def shapes(self, sample):
        shapes = chain(sample.shape, [*(() if sample.one_matrix else self.hidden), sample.outputs])
        return [replace(s, bias=not sample.one_matrix) for s in shapes]
