"""Max-Cut by spiking neurons: two copies of each vertex, noise that falls."""

from __future__ import annotations

import numpy as np
import pytest

from aimco.record import InputError
from aimco.spiking.max_cut import MaxCut, cut
from aimco.spiking.record import Spiking
from aimco.spiking.sampler import boltzmann

RING = np.roll(np.eye(6), 1, 1) + np.roll(np.eye(6), -1, 1)


def test_a_cut_is_the_weight_of_the_edges_between_both_sides():
    graph = np.array([[0.0, 2, 1], [2, 0, 0], [1, 0, 0]])
    assert cut(graph, np.array([[1, 0, 0], [1, 1, 0], [1, 1, 1]])).tolist() == [3, 1, 0]


def test_the_boltzmann_weight_of_copies_that_agree_is_the_exponential_of_the_cut():
    """All 64 sides of a ring, from all 4096 states of its machine; to rounding of float32."""
    solver = MaxCut(RING, coupling=0.7, tie=2.0)
    p = boltzmann(solver.machine.weights[0].astype(float), solver.drives[0, 0, solver.machine.units].astype(float))
    both = np.arange(64)
    sides = (both[:, None] >> np.arange(6)) & 1
    log = np.log(p[both + 64 * both])
    np.testing.assert_allclose(log - log[0], 0.7 * cut(RING, sides), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("noise", ["random-walk", "white"])
def test_an_even_ring_is_cut_at_every_edge(noise):
    result = MaxCut(RING, record=Spiking.of({"neuron": {"noise": noise}}), seeds=(0, 1)).anneal([3.0, 1.7, 1.0], 0.1)
    assert result.best.tolist() == [6, 6]
    assert np.array_equal(cut(RING, result.sides), result.best)
    assert result.cuts[:, 2].mean() > result.cuts[:, 0].mean()
    assert (result.agree[:, 2] > 0.9).all()


@pytest.mark.parametrize("graph", [np.eye(3), np.array([[0.0, 1], [2, 0]]), -RING, np.zeros((2, 3))])
def test_what_is_no_graph_is_refused(graph):
    with pytest.raises(InputError, match="graph must be symmetric"):
        MaxCut(graph)


def test_windows_longer_than_the_run_and_neurons_without_noise_are_refused():
    with pytest.raises(InputError, match="window_s must be above 0 and at most seconds"):
        MaxCut(RING).anneal([1.0], 0.01, window_s=0.02)
    with pytest.raises(InputError, match=r"neuron\.noise must be white or random-walk"):
        MaxCut(RING, record=Spiking.of({"neuron": {"noise": "device"}})).anneal([1.0], 0.01)
