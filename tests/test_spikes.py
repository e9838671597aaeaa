"""Spiking neurons, the kernel of event-driven contrastive divergence, and the machine around one array."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import expit, logit

import aimco as ai
from aimco.kernels import spikes, spikes_reference
from aimco.neurons import NEFTCI, Neuron, fit, half_A, rates, step, tangent
from aimco.record import InputError
from aimco.spiking.record import Spiking
from aimco.spiking.sampler import FREE, SpikingRbm, boltzmann, free_energy

DT = 1e-4


def test_steps_are_exact_for_decaying_and_for_resting_currents():
    """One step of 1 ms equals a hundred of 10 us without noise, to rounding."""
    neuron = Neuron(noise="none", threshold_V=50.0)
    v, current, waiting = np.array([0.02]), np.array([3e-9]), np.zeros(1)
    fine, coarse = neuron.over(1e-5), neuron.over(1e-3)
    whole = step(neuron, coarse, v, current, waiting, np.array([1e-9]), np.zeros(1))
    for _ in range(100):
        v, current, waiting, _ = step(neuron, fine, v, current, waiting, np.array([1e-9]), np.zeros(1))
    assert whole[0][0] == pytest.approx(v[0], rel=1e-12)
    assert whole[1][0] == pytest.approx(current[0], rel=1e-12)


def test_equal_time_constants_are_the_limit_of_those_close_by():
    equal, close = (Neuron(synapse_s=tau).over(DT).synaptic for tau in (1e-3, 1e-3 * (1 + 1e-6)))
    assert equal == pytest.approx(close, rel=1e-5)


def test_noise_of_a_step_has_the_variance_of_two_half_steps():
    half, whole = (Neuron().over(dt) for dt in (5e-5, 1e-4))
    assert whole.noise_V**2 == pytest.approx((half.leak**2 + 1) * half.noise_V**2, rel=1e-12)


def test_a_random_walk_spreads_as_white_noise_when_its_step_over_the_root_of_its_clock_is_sigma_over_c():
    walker, white = (Neuron(noise=noise, leak_S=1e-15) for noise in ("random-walk", "white"))
    assert walker.walk / math.sqrt(walker.walk_s) == pytest.approx(42.4)
    assert walker.over(DT).spread_V == pytest.approx(white.over(DT).noise_V, rel=1e-6)


def test_after_firing_a_neuron_is_silent_for_the_refractory_time():
    neuron = Neuron(noise="none")
    v, current, waiting, times = np.zeros(1), np.zeros(1), np.zeros(1), []
    for t in range(200):
        v, current, waiting, fired = step(neuron, neuron.over(DT), v, current, waiting, np.array([1e-3]), np.zeros(1))
        times += [t] if fired[0] else []
    assert set(np.diff(times)) == {40}


@pytest.mark.parametrize("noise", ["white", "random-walk"])
def test_rates_by_first_passage_are_those_of_simulated_neurons(noise):
    """2000 neurons for 0.08 s; 4 standard errors of a count that is at most that of independent spikes."""
    neuron, many = Neuron(noise=noise), 2000
    over, fitted = neuron.over(DT), fit(neuron, DT)
    amperes = fitted.rest_A + np.array([-2.0, 0.0, 2.0]) / fitted.beta
    random = np.random.default_rng(0)
    constant = np.repeat(amperes, many)
    v, current, waiting, count = (np.zeros(constant.size) for _ in range(4))
    for t in range(1000):
        z = random.normal(size=v.size) if noise == "white" else 2 * random.binomial(10, 0.5, v.size) - 10.0
        v, current, waiting, fired = step(neuron, over, v, current, waiting, constant, over.noise_V * z)
        count += fired & (t >= 200)
    seen = count.reshape(3, many).mean(1) / 0.08
    expected = rates(neuron, DT, amperes)
    assert np.all(np.abs(seen - expected) < 4 * np.sqrt(expected / 0.08 / many))


def test_the_fitted_rate_curve_is_a_sigmoid_within_3_percent_of_the_largest_rate():
    """Root mean square over logits -6..6; the largest difference is 4.3 %, as the log rate of a leaky neuron is no line in its current."""
    fitted = fit(Neuron(), DT)
    amperes = np.linspace(-6, 6, 25) / fitted.beta
    apart = (rates(Neuron(), DT, fitted.rest_A + amperes) - fitted.rate(amperes)) * 4e-3
    assert np.sqrt(np.mean(apart**2)) < 0.03
    assert np.abs(apart).max() < 0.045


def test_no_beta_and_gamma_make_the_published_neuron_a_sigmoid_within_4_percent():
    """Minimax over logits -6..6, its start being the least squares of `fit`."""
    fitted, grid, x = fit(Neuron(), DT), np.linspace(-9, 9, 61), np.linspace(-6, 6, 97)
    log = logit(rates(Neuron(), DT, fitted.rest_A + grid / fitted.beta) * 4e-3)

    def largest(p):
        return np.abs(expit(np.interp(p[1] + x / p[0], grid, log)) - expit(x)).max()

    assert 0.04 < minimize(largest, [1.0, 0.0], method="Nelder-Mead").fun < largest([1.0, 0.0])


@pytest.mark.parametrize("dt", [2e-5, 1e-4])
def test_a_membrane_ten_times_as_leaky_is_a_sigmoid_within_3_percent_everywhere(dt):
    """It forgets in a 40th of the refractory time, so that spikes come at random with a rate of their current alone."""
    neuron = Neuron(leak_S=1e-8)
    fitted, logits = fit(neuron, dt), np.linspace(-6, 6, 49)
    apart = rates(neuron, dt, fitted.rest_A + logits / fitted.beta) * 4e-3 - expit(logits)
    assert np.abs(apart).max() < 0.03


def test_half_the_largest_rate_is_that_of_the_current_found_for_it():
    for neuron in (Neuron(), Neuron(noise="random-walk", walk_V=0.5)):
        assert rates(neuron, DT, np.array(half_A(neuron, DT))) * 4e-3 == pytest.approx(0.5, abs=1e-4)


def test_beta_and_gamma_depend_on_the_step_and_near_the_published_ones_as_it_shrinks():
    betas = [fit(Neuron(), dt).beta for dt in (2e-4, 1e-4, 5e-5)]
    assert betas == sorted(betas)
    assert betas[-1] == pytest.approx(NEFTCI.beta, rel=0.06)


@pytest.mark.parametrize("noise", ["white", "random-walk", "device", "none"])
def test_the_kernel_equals_its_definition_spike_for_spike(noise, monkeypatch):
    """Weights and biases to rounding: the compiled loop contracts products and sums."""
    record = Spiking.of({"neuron": {"noise": noise, "threshold_spread": 0.1}, "phase_s": 0.02, "burn_in_s": 0.005})
    probabilities = np.random.default_rng(0).choice([0.98, 1e-5], (2, 7))
    ours, plain = (SpikingRbm(7, 6, record, seeds=(1, 2)) for _ in range(2))
    run = ours.learn(probabilities, 0.03, most_spikes=2000)
    monkeypatch.setattr(spikes, "run", spikes_reference.run)
    defined = plain.learn(probabilities, 0.03, most_spikes=2000)
    assert all(np.array_equal(a, b) for a, b in zip(run.raster, defined.raster, strict=True))
    assert np.array_equal(run.counts, defined.counts) and np.array_equal(ours.events, plain.events)
    np.testing.assert_allclose(ours.weights, plain.weights, atol=1e-6)
    np.testing.assert_allclose(ours.bias, plain.bias, atol=1e-6)


def test_noise_of_weights_adds_up_in_quadrature_over_the_spikes_of_a_step():
    """Twelve visible neurons made to fire in the first step, 400 machines of one set of weights: 4 standard errors."""
    machine = SpikingRbm(12, 3, Spiking.of({"neuron": {"noise": "device", "weight_noise": 0.5}}), seeds=range(400))
    machine.weights = weights = np.random.default_rng(0).normal(0, 1, (12, 3))
    drives = machine.drives(np.full((1, 12), 1 - 1e-9)) * 100
    machine.run(drives, np.array([[1, 0, 0, 0]]))
    read = machine.state["current"][:, machine.units[12:]]
    spread = 0.5 * np.sqrt((weights**2).sum(0))
    assert machine.events[:, 0].tolist() == [12] * 400
    assert (np.abs(read.mean(0) - weights.sum(0)) < 4 * spread / 20).all()
    assert (np.abs(read.std(0) / spread - 1) < 4 / np.sqrt(800)).all()


def test_a_member_does_not_depend_on_its_ensemble():
    probabilities = np.full((2, 6), 0.9)
    many, one = SpikingRbm(6, 5, seeds=(3, 8)), SpikingRbm(6, 5, seeds=(8,))
    assert np.array_equal(many.learn(probabilities, 0.1).counts[1], one.learn(probabilities, 0.1).counts[0])
    assert np.array_equal(many.weights[1], one.weights[0])


def test_tiles_hold_any_shape():
    weights = np.random.default_rng(0).normal(size=(2, 7, 9)).astype(np.float32)
    assert np.array_equal(spikes.untiled(spikes.tiled(weights), 7, 9), weights)


def test_nothing_is_learned_in_the_burn_in_or_without_spikes():
    machine = SpikingRbm(6, 5)
    before = machine.weights
    machine.sample(np.full((1, 6), FREE), 0.2)
    assert np.array_equal(machine.weights, before)


def test_learning_moves_weights_by_the_difference_of_correlations():
    """Clamped on together in the data phase, weights of a pair rise by lr (<v h> - <v h>_model); signs alone, over 40 samples."""
    machine = SpikingRbm(8, 4, Spiking(start=0.0))
    probabilities = np.full((40, 8), 1e-5)
    probabilities[:, :4] = 0.98
    machine.learn(probabilities, 0.1)
    change = machine.weights[0]
    assert change[:4].mean() > 0.2
    assert change[4:].mean() < 0


def test_the_machine_samples_from_the_boltzmann_distribution():
    """5 x 5 units, weights and biases N(0, 0.5): the divergence falls with time, to below 0.12 after 10 s."""
    divergences = [divergence(seconds) for seconds in (1.0, 3.0, 10.0)]
    assert divergences == sorted(divergences, reverse=True)
    assert divergences[-1] < 0.12


@pytest.mark.slow
def test_the_sampled_distribution_is_within_a_divergence_of_5_hundredths_after_100_seconds():
    assert divergence(100.0) < 0.05


def test_a_leakier_membrane_samples_closer_to_the_distribution():
    assert divergence(10.0, leak_S=1e-8) < 0.7 * divergence(10.0)


def divergence(seconds: float, **neuron: float) -> float:
    """KL(sampled | exact) of a machine of 5 x 5 units, nats."""
    machine, random = SpikingRbm(5, 5, Spiking.of({"neuron": neuron})), np.random.default_rng(3)
    machine.weights, machine.bias = random.normal(0, 0.5, (5, 5)), random.normal(0, 0.5, 10)
    exact = boltzmann(machine.weights[0], machine.bias[0])
    ran = machine.sample(np.full((1, 5), FREE), seconds, most_spikes=int(3000 * seconds))
    states = machine.states(ran, skip_s=0.05) @ (1 << np.arange(10))
    q = np.bincount(states, minlength=1024) / len(states)
    return float((q[q > 0] * np.log(q[q > 0] / exact[q > 0])).sum())


def test_free_energy_is_minus_the_log_of_the_sum_over_hidden_states():
    random = np.random.default_rng(1)
    weights, bias = random.normal(size=(4, 3)), random.normal(size=7)
    p = boltzmann(weights, bias).reshape(8, 16).sum(0)  # hidden bits are the high ones
    units = torch.tensor((np.arange(16)[:, None] >> np.arange(4)) & 1, dtype=torch.float64)
    energy = free_energy(torch.from_numpy(weights)[None], torch.from_numpy(bias)[None], units[None])[0]
    np.testing.assert_allclose(torch.softmax(-energy, 0).numpy(), p, rtol=1e-10)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"dt_s": 5e-3}, "dt_s must be at most neuron.refractory_s"),
        ({"burn_in_s": 0.06}, "burn_in_s must be shorter than phase_s"),
        ({"high": 1.0}, "high must be"),
        ({"low": 0.0}, "low must be"),
        ({"neuron": {"noise": "random-walk"}, "dt_s": 1.5e-5}, "dt_s must be 1..32 whole clocks"),
        ({"neuron": {"noise": "device", "leak_S": 1e-8}}, "neuron.leak_S must be at most 6 membrane_F/refractory_s without noise"),
        ({"neuron": {"reset_V": 0.2}}, "neuron.reset_V must be below threshold_V"),
    ],
)
def test_bad_input_is_refused_by_name(parts, message):
    with pytest.raises(InputError, match=message):
        Spiking.of(parts)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"membrane_F": 1e-9}, "neuron.membrane_F must be at most 3e-11 F with leak_S = 1e-09 S, .*, got 1e-09; look at the power of ten"),
        ({"noise": "random-walk", "walk_V": 1e-6}, "neuron.walk_V must be near 0.0003 V or above, .*, got 1e-06; raise it"),
        ({"sigma": 0.0}, r"neuron.sigma must be above 0 A sqrt\(s\) with noise = 'white', got 0"),
    ],
)
def test_a_membrane_that_noise_hardly_moves_is_refused_at_once(parts, message):
    """Its curve of rates would be found on thousands of potentials: minutes and gigabytes."""
    with pytest.raises(InputError, match=message):
        Spiking(neuron=Neuron(**parts))


def test_a_fit_refuses_it_too():
    with pytest.raises(InputError, match="membrane_F must be at most 3e-11 F"):
        fit(Neuron(membrane_F=1e-9), DT)


def test_the_membrane_named_as_the_largest_is_accepted():
    """And its curve of rates is found in seconds."""
    assert 0 < fit(Spiking(neuron=Neuron(membrane_F=3e-11)).neuron, DT).gamma < 250


def test_phases_and_training_of_too_many_steps_are_refused_before_they_begin():
    with pytest.raises(InputError, match=r"phase_s must be at most 1e\+07 steps of dt_s = 1e-05 s, got 1000"):
        Spiking(phase_s=1000, dt_s=1e-5)
    design = ai.Design(
        device="pcm", network={"kind": "spiking-rbm", "hidden": [5]}, rule={"kind": "contrastive-divergence"}, training={"epochs": 10**5}
    )
    with pytest.raises(
        InputError, match=r"network.spiking.dt_s must be such that training takes at most 1e\+10 steps, got 1.4e\+11 of 10+ epochs"
    ):
        ai.evaluate(design, "digits")


def test_probabilities_outside_0_to_1_are_refused():
    with pytest.raises(InputError, match="probabilities must be above 0 and below 1"):
        SpikingRbm(3, 2).drives(np.array([[0.5, 1.0, FREE]]))


@pytest.mark.parametrize("leak", [1e-10, 1e-9])
def test_a_neuron_without_noise_touches_its_sigmoid_at_half_the_largest_rate(leak):
    """Against the closed form, a hundredth of 1/beta beside the middle: what is left is of second order."""
    neuron = Neuron(noise="none", leak_S=leak)
    fitted, tau, swing = tangent(neuron), neuron.membrane_F / leak, neuron.threshold_V * leak
    amperes = fitted.rest_A + np.array([-0.01, 0.0, 0.01]) / fitted.beta
    exact = 1 / (neuron.refractory_s + tau * np.log(amperes / (amperes - swing)))
    assert exact == pytest.approx(fitted.rate(amperes - fitted.rest_A), rel=1e-3)
    assert exact[2] - exact[0] == pytest.approx(125 / 2 * 0.02, rel=1e-3)


def test_a_neuron_that_is_a_step_without_noise_is_refused():
    with pytest.raises(InputError, match="leak_S must be at most 6 membrane_F/refractory_s without noise"):
        tangent(Neuron(noise="none", leak_S=1e-8))


def test_a_neuron_without_noise_has_no_curve_of_rates():
    with pytest.raises(InputError, match="noise must be white or random-walk"):
        fit(Neuron(noise="none"), DT)
