"""Spiking Boltzmann machines of designs: labels, pulses of pairs, counts, price, checkpoints."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import aimco as ai
from aimco import tasks
from aimco.design import Design
from aimco.kernels import spikes
from aimco.record import InputError
from aimco.spiking import pictures as spiking
from aimco.spiking.machine import SpikingBoltzmannMachine
from aimco.spiking.sampler import free_energy

PAIR = {"device": "pcm", "cell": {"kind": "pair6t2r", "weight_max": 2.0}, "rule": {"kind": "contrastive-divergence", "update_mode": "set"}}


def design(**parts) -> Design:
    network = {"kind": "spiking-rbm", "hidden": [20], "spiking": {"phase_s": 0.02, "burn_in_s": 0.005}}
    whole = {"device": "ideal", "network": network, "rule": {"kind": "contrastive-divergence"}, "technology": "spiking-90nm"}
    return Design.of(whole | {"training": {"epochs": 1}} | parts)


def digits(samples: int = 20) -> tasks.Data:
    return tasks.load("digits", limit=samples)


def test_a_run_prices_what_its_neurons_did():
    result = ai.evaluate(design(), digits())
    n = result.counts
    assert n["spiking_s"] == pytest.approx(20 * 0.04)
    assert n["synaptic_ops"] == n["blif_spikes"] * 20 + n["lif_spikes"] * 104
    assert result.energy_J["synapse"] == pytest.approx(8.95e-12 * n["synaptic_ops"])
    assert result.energy_J["walk"] == 0
    assert result.latency_s["training_sample"] == pytest.approx(0.04)


def test_random_walks_are_counted_clock_by_clock():
    walkers = design().replace("network.spiking.neuron.noise", "random-walk")
    network, task = SpikingBoltzmannMachine(walkers, 64, 10), digits(2)
    network.learn_from(task.train_x, task.train_y, 0.1)
    assert network.counts["neurons"]["walk_steps"] == 2 * 4000 * 124


def test_a_machine_learns_digits():
    """100 samples shown three times: far above the tenth that chance gives."""
    learned = design(training={"epochs": 3, "batch": 20}).replace("network.spiking.phase_s", 0.05)
    assert ai.evaluate(learned, digits(100)).accuracy > 0.5


def test_pulses_make_the_changes_of_a_phase_on_average():
    """1000 draws of changes of 0.3, 2 and 20 pulses; the last is cut. 4 standard errors of a draw that is up by one."""
    before = np.zeros((1, 1, 4, 4), np.float32)
    after = before.copy()
    after[0, 0, 0, :3] = 0.03, -0.2, 2.0
    total, pulses = np.zeros((4, 4)), np.empty((4, 4), np.int32)
    for number in range(1000):
        spikes.asked(before, after, np.float32(0.1), np.int32(8), np.uint64(7), number, pulses)
        total += pulses
    assert total[0, 0] / 1000 == pytest.approx(0.3, abs=4 * 0.46 / 1000**0.5)
    assert total[0, 1] / 1000 == pytest.approx(2.0, abs=0.01)
    assert total[0, 2] == 8000
    assert total.sum() == total[0, :3].sum()


def test_the_data_phase_raises_one_device_of_a_pair_and_the_reconstruction_phase_the_other():
    network, task = SpikingBoltzmannMachine(design(**PAIR).replace("device.cycle_noise", 0.0), 64, 10), digits(4)
    before = [g.clone() for g in network.matrices["W"].conductances()]
    network.learn_from(task.train_x, task.train_y, 0.3)
    moved = [after - old for after, old in zip(network.matrices["W"].conductances(), before, strict=True)]
    assert all((change >= 0).all() for change in moved)
    on = (task.train_x > 0.5).any(0)
    raised, lowered = (change[0, :64].sum(1) for change in moved)
    assert raised[~on].sum() < 0.1 * raised[on].sum()  # off in all data phases, they have traces of the phases before at most
    assert lowered[on].sum() > 0


def test_neurons_see_the_difference_of_the_conductances_of_a_pair():
    """With 1/f noise, drift, and an array cut in four; to rounding of float32."""
    noisy = design(**PAIR, array={"rows": 60, "cols": 15}).replace(
        "device.noise.flicker", {"amplitude": 0.03, "f_low": 1e-3, "f_high": 1e3}
    )
    network = SpikingBoltzmannMachine(noisy, 64, 10)
    network.elapse(10.0)
    plus, minus = network.matrices["W"].conductances()
    np.testing.assert_allclose(network.machine.weights, (plus - minus) * 2.0 / 25e-6, atol=1e-5)


def test_pulses_move_weights_as_ideal_moves_would():
    """Of the same samples and weights: correlation of both changes, few pulses of devices with steps and noise of their own."""
    task, changes = digits(10), []
    machine = SpikingBoltzmannMachine(design(**PAIR), 64, 10)
    ideal = SpikingBoltzmannMachine(design(), 64, 10)
    ideal.machine.weights = machine.machine.weights
    for network in (ideal, machine):
        before = network.machine.weights
        network.learn_from(task.train_x, task.train_y, 0.3)
        changes.append((network.machine.weights - before).ravel())
    assert np.corrcoef(*changes)[0, 1] > 0.3


def test_refresh_resets_full_pairs_and_keeps_their_weights():
    cell = PAIR["cell"] | {"refresh_every": 2, "full": 0.0, "wasted": 0.0}
    network, task = SpikingBoltzmannMachine(design(**(PAIR | {"cell": cell})), 64, 10), digits(2)
    first = int(np.sum(network.counts["W"]["resets"]))
    assert 104 * 20 * 2 <= first < 1.1 * 104 * 20 * 2  # a few pairs are full while they are written, and start again
    network.learn_from(task.train_x, task.train_y, 0.1)
    assert network.counts["W"]["resets"] > first


def test_a_run_goes_on_from_its_checkpoint_bit_for_bit(tmp_path):
    spec, task, path = design(**PAIR, training={"epochs": 2}), digits(6), str(tmp_path / "run.pt")
    whole = ai.evaluate(spec, task)
    half = SpikingBoltzmannMachine(spec, 64, 10)
    half.learn_from(task.train_x, task.train_y, 0.1)
    torch.save(half.get_extra_state(), path)
    other = SpikingBoltzmannMachine(spec, 64, 10)
    other.set_extra_state(torch.load(path))
    for network in (half, other):
        network.learn_from(task.train_x, task.train_y, 0.1)
    assert np.array_equal(half.machine.tiles, other.machine.tiles)
    assert half.counts == other.counts
    assert whole.counts["updates"] == 24


def test_hidden_pixels_are_completed_and_labels_are_read_by_rates():
    network, task = SpikingBoltzmannMachine(design(), 64, 10), digits(3)
    known = torch.arange(64) < 32
    completion = network.completed(task.train_x, known)
    assert completion.shape == (3, 64) and ((completion >= 0) & (completion <= 1)).all()
    on = (task.train_x > 0.5)[:, :32].float()
    assert (completion[:, :32] - on).abs().mean() < 0.1
    assert network.dreamt(torch.arange(10)).shape == (10, 64)
    assert network.label_rates(task.train_x, 0.1).shape == (3, 10)


def test_classes_are_told_apart_by_minus_the_free_energy():
    network, task = SpikingBoltzmannMachine(design(), 64, 10), digits(5)
    network.machine.bias = np.random.default_rng(0).normal(size=network.machine.bias.shape)
    label = torch.eye(10).repeat_interleave(4, 1)
    units = torch.cat((network.shown(task.train_x)[:, None].expand(-1, 10, -1), label[None].expand(5, -1, -1)), 2)
    weights, bias = torch.from_numpy(network.machine.weights), torch.from_numpy(network.machine.bias)
    assert torch.allclose(network(task.train_x), -free_energy(weights, bias, units[None])[0], atol=1e-4)


def test_inputs_without_a_threshold_are_probabilities():
    grey = SpikingBoltzmannMachine(design().replace("network.spiking.threshold", None), 64, 10)
    x = torch.linspace(0, 1, 64)[None]
    assert np.allclose(grey.clamped(x)[0, :64], np.clip(x.numpy(), 1e-5, 0.98))
    assert torch.equal(grey.shown(x), x)
    assert np.unique(SpikingBoltzmannMachine(design(), 64, 10).clamped(x)[0, :64]) == pytest.approx([1e-5, 0.98])


def test_what_is_completed_does_not_depend_on_the_sample_before():
    """The same digit after a blank and after a full one: rates of 0.5 s apart by chance alone, 1/sqrt(125) at most, 5 of them."""
    network, task, known = SpikingBoltzmannMachine(design(), 64, 10), digits(1), torch.arange(64) < 32
    after = [network.completed(torch.cat((torch.full((1, 64), v), task.train_x)), known, 0.5)[1] for v in (0.0, 1.0)]
    assert (after[0] - after[1]).abs().mean() < 5 / 125**0.5 / 2


def test_the_picture_has_fields_a_raster_and_patterns():
    network, task = SpikingBoltzmannMachine(design(), 64, 10), digits(3)
    titles = [axis.get_title() for axis in spiking.figure(network, task.train_x, task.train_y, task.image).axes]
    assert sum(bool(title) for title in titles) == 4


def test_labels_that_are_no_classes_are_refused():
    network, task = SpikingBoltzmannMachine(design(), 64, 10), digits(2)
    for labels in (task.train_y[:1], torch.tensor([3, 10])):
        with pytest.raises(InputError, match=r"labels must be one class in 0\.\.9 for each of 2 samples"):
            network.clamped(task.train_x, labels)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"rule": {"kind": "sgd"}}, "rule.kind must be contrastive-divergence in a network of kind spiking-rbm"),
        ({"rule": PAIR["rule"]}, "cell.kind must be pair6t2r or pair"),
        ({"network": {"kind": "mlp"}}, "network.kind must be spiking-rbm for the rule contrastive-divergence"),
        ({"network": {"kind": "spiking-rbm", "hidden": [3, 4]}}, "network.hidden must hold one layer"),
        ({"network": {"kind": "mlp", "spiking": {}}, "rule": {"kind": "sgd"}}, "network.spiking is not a field"),
        ({"network": {"kind": "spiking-rbm", "spiking": {"dt_s": 0.01}}}, "network.spiking.dt_s must be at most neuron.refractory_s"),
    ],
)
def test_designs_that_cannot_be_are_refused_by_name(parts, message):
    with pytest.raises(InputError, match=message):
        design(**parts)


def test_a_task_without_labels_is_refused():
    with pytest.raises(InputError, match=r"network\.kind spiking-rbm needs classes"):
        ai.evaluate(design(), tasks.load("program", limit=5))


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
@pytest.mark.parametrize("threshold", [0.5, "none"])
def test_inputs_that_are_not_finite_are_refused(wrong, threshold):
    """A threshold would make a 0 or a 1 of them."""
    network, x = SpikingBoltzmannMachine(design().replace("network.spiking.threshold", threshold), 8, 2), torch.rand(2, 8)
    x[0, 0] = wrong
    for use in (network, lambda x: network.learn_from(x, torch.tensor([0, 1]), 0.1), network.label_rates):
        with pytest.raises(InputError, match=f"a spiking machine: inputs must be finite, got {wrong}"):
            use(x)


@pytest.mark.slow
def test_mnist_is_learned(mnist_dir):
    """5000 digits once each at a rate that falls to zero, 10,000 test digits: about 91 %, and 0.3 % of standard error."""
    task = tasks.load("mnist", data_dir=mnist_dir, limit=5000)
    network = {"kind": "spiking-rbm", "spiking": {"dt_s": 4e-4, "phase_s": 0.1, "threshold": "none", "start": 0.03}}
    machine = SpikingBoltzmannMachine(
        Design.of({"device": "ideal", "network": network, "rule": {"kind": "contrastive-divergence"}}), 784, 10
    )
    for first in range(0, 5000, 250):
        part = slice(first, first + 250)
        machine.learn_from(task.train_x[part], task.train_y[part], 0.08 * (1 - first / 5000))
    right = torch.cat([machine(x) for x in task.test_x.split(500)]).argmax(1) == task.test_y
    assert right.float().mean() > 0.9
