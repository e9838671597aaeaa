"""Learning rates in the units of a device."""

import pytest
import torch

from aimco.device.device import Device
from aimco.rates import (
    DESCENT_RATE,
    SIGNAL_RATE,
    DeviceUnits,
    Layer,
    descent_weight_max,
    fast_rate,
    granularity,
    max_pulses,
    signal,
    tiki_taka_rates,
)

UNITS = {name: DeviceUnits.of(Device.named(name)) for name in Device.names()}


def test_a_fast_array_of_soft_bounds_settles_at_its_whole_half_range():
    """F -> 1 for T_r -> inf; the mean step, pulse by pulse, says the same."""
    device = Device.named("soft-bounds").replace("spread", {})
    sampled, state = device.sample((1, 1), [0]), torch.zeros(1, 1, 1)
    for _ in range(6000):  # ten times 1/k
        state += sampled.steps(state)[0]
    assert float(state) == pytest.approx(signal(UNITS["soft-bounds"], 0.3), rel=0.01)


def test_a_fast_array_that_hardly_forgets_ramps():
    """A short time after its zero was taken anew, A holds p dw T_r, by the mean step as by F."""
    device = Device.named("soft-bounds").replace("spread", {})
    sampled, state = device.sample((1, 1), [0]), torch.zeros(1, 1, 1)
    for _ in range(30):
        state += sampled.steps(state)[0]
    assert float(state) == pytest.approx(signal(UNITS["soft-bounds"], 0.3, forgets=100), rel=0.03)


@pytest.mark.parametrize("name", sorted(UNITS))
def test_rates_lie_within_what_rules_accept(name):
    layer = Layer(UNITS[name], 65)
    assert 0 < fast_rate(layer) <= 0.3
    assert 0 < granularity(layer, fast_rate(layer), chopped=True) <= DESCENT_RATE * 65**0.5 / SIGNAL_RATE * (1 + 1e-9)
    assert 10 <= max_pulses(layer.units) <= 1000


def test_the_rate_of_many_states_is_in_proportion_to_them_and_of_few_states_none_of_their_business():
    def rate(states):
        layer = Layer(DeviceUnits(2 / states, 2 / states, 0.3, True), 65)
        return 1 / granularity(layer, fast_rate(layer), chopped=True)

    assert rate(200_000) / rate(20_000) == pytest.approx(10, rel=0.1)
    assert rate(20) == pytest.approx(rate(40), rel=0.15)


def test_noise_asks_for_more_pulses_and_a_pair_for_fewer():
    quiet, loud = (DeviceUnits(0.02, 0.02, noise, True) for noise in (0.0, 5.0))
    assert fast_rate(Layer(loud, 65)) > 1.5 * fast_rate(Layer(quiet, 65))
    assert fast_rate(Layer(quiet, 65, refresh_every=1000)) < fast_rate(Layer(quiet, 65)) / 3


@pytest.mark.parametrize(
    ("name", "balances"), [("soft-bounds", True), ("ecram", True), ("pcm", False), ("pcm-gst", False), ("rram-hfs2", False)]
)
def test_a_reference_at_the_symmetry_point_needs_one_within_the_range(name, balances):
    assert UNITS[name].balances is balances


def test_units_do_not_depend_on_the_spread():
    device = Device.named("soft-bounds")
    assert DeviceUnits.of(device) == DeviceUnits.of(device.replace("spread", {}))


def test_most_pulses_follow_the_states():
    assert max_pulses(UNITS["rpu-10000-states"]) == 1000
    assert max_pulses(UNITS["rram-array-om"]) == 10


def test_a_device_that_settles_between_reads_learns_in_proportion_to_its_initial_weights():
    few = DeviceUnits(0.1, 0.1, 0.3, True)  # forgets within 96 samples, against 600 and 9600 of a traversal's zero: F is 0.86 and 0.99
    small, large = (granularity(Layer(few, rows), fast_rate(Layer(few, rows)), chopped=True) for rows in (100, 1600))
    assert large / small == pytest.approx(4, rel=0.2)


def test_weights_under_descent_range_further_the_more_states_pull_and_the_less_noise():
    base = DeviceUnits(0.01, 0.01, 0.0, True)
    wide = descent_weight_max(base)
    assert descent_weight_max(DeviceUnits(0.01, 0.0, 0.0, False)) == 1
    assert descent_weight_max(DeviceUnits(0.01, 0.01, 5.0, True)) < wide < descent_weight_max(DeviceUnits(0.005, 0.005, 0.0, True))


def test_tiki_taka_takes_the_same_part_of_a_train_whatever_the_batch():
    """Errors of a batch are divided by its size, and A takes them in units of weight."""
    small, large = (tiki_taka_rates(Layer(UNITS["ecram"], 65, batch=batch)) for batch in (10, 50))
    assert large.lr_fast / small.lr_fast == pytest.approx(5)
    assert large.transfer_lr == small.transfer_lr
