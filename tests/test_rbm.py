"""Contrastive divergence on an array."""

from __future__ import annotations

import pytest
import torch

import aimco as ai
from aimco import tasks
from aimco.mapping import AnalogMatrix
from aimco.record import InputError
from aimco.spiking.rbm import Rbm
from aimco.spiking.sampler import free_energy

CELLS = {"reference": {}, "pair6t2r": {"refresh_every": 50}}  # pairs that fill up no longer learn


def machine(device: str = "ideal", cell: str = "reference", rows: int = 74, columns: int = 30, **options) -> Rbm:
    d = ai.Design.of({"device": device, "cell": {"kind": cell, "weight_max": 2.0} | CELLS[cell]})
    matrix = AnalogMatrix(ai.ArraySpec.of(d), rows, columns)
    start = torch.randn(1, rows, columns, generator=torch.Generator().manual_seed(0))
    matrix.program((0.1 * start).clamp(-2, 2))
    return Rbm(matrix, **options)


def test_a_batch_moves_weights_by_the_difference_of_correlations():
    """Without reconstruction the change is lr mean(v h^T): the ideal device makes it to a few of its steps."""
    rbm, v = machine(rows=6, columns=4), (torch.rand(50, 6, generator=torch.Generator().manual_seed(1)) > 0.5).float()
    before, h = rbm.matrix.weights.clone(), rbm.up(v)
    rbm.matrix.pulse(v[None], h[None], 0.5 / 50)
    assert torch.allclose(rbm.matrix.weights[0] - before[0], 0.5 * v.T @ h / 50, atol=0.02)


@pytest.mark.parametrize(("device", "cell"), [("ideal", "reference"), ("ideal", "pair6t2r")])
def test_digits_are_told_apart_by_free_energy(device, cell):
    """500 digits shown twice; chance is a tenth."""
    task, rbm = tasks.load("digits", limit=500), machine(device, cell)
    labels = torch.eye(10)
    v = torch.cat(((task.train_x > 0.5).float(), labels[task.train_y]), 1)
    for batch in (*v.split(1), *v.split(1)):
        rbm.learn(batch, 0.03)
    x = (task.test_x > 0.5).float()
    units = torch.cat((x[:, None].expand(-1, 10, -1), labels[None].expand(len(x), -1, -1)), 2)
    energy = free_energy(rbm.matrix.weights, torch.cat((rbm.visible, rbm.hidden))[None], units[None])[0]
    assert (energy.argmin(1) == task.test_y).float().mean() > 0.5
    assert rbm.matrix.counts["mvm"] >= 2000 and rbm.matrix.counts["mvm_t"] >= 1000


def test_no_step_is_refused():
    with pytest.raises(InputError, match="steps must be at least 1"):
        machine(steps=0)
