"""Laws of the pulsed update: moments, the symmetry point, and what asymmetry does to gradient descent."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch

from aimco import rng
from aimco.arrays.crossbar import Crossbar
from aimco.arrays.pulses import Pulses
from aimco.arrays.spec import ArraySpec
from aimco.device.device import Device
from aimco.periphery import Periphery

FIXED = Pulses(length=10, update_management=False, update_bl_management=False, mode="exact")


def soft_bounds(states: float = 200, **changes) -> Device:
    """The device of Rasch 2024 with bounds +-1, in units where half the range is 1 S."""
    step = 2 / states
    base = {"g_min": 0.0, "g_max": 2.0, "response": {"kind": "soft-bounds", "step_up": step, "step_down": step}}
    return Device.of(base | changes)


def sent(device: Device, pulses: Pulses) -> ArraySpec:
    return ArraySpec(device, periphery=Periphery(pulses=pulses))


def test_mean_and_variance_of_the_stochastic_update():
    """E = BL dw C^2 x d and Var = BL dw^2 q (1 - q), q = C^2 x d: Gokmen & Vlasov 2016, within 3 sigma of 1e5 draws."""
    step, lr, draws = 0.001, 0.005, 100_000
    device = Device.of({"g_min": 0.0, "g_max": 2.0, "response": {"kind": "constant-step", "step_up": step, "step_down": step}})
    array = Crossbar(sent(device, FIXED), 1, draws // 100)
    x, d = torch.full((1, 1, 1), 0.6), torch.full((1, 1, draws // 100), 0.5)
    changes = []
    for _ in range(100):
        array.state.zero_()
        array.pulse(x, d, np.array([lr]))
        changes.append(array.state.numpy().ravel().copy())
    dw = np.concatenate(changes)
    q = lr / (10 * step) * 0.6 * 0.5
    mean, variance = 10 * step * q, 10 * step**2 * q * (1 - q)
    # columns of one row share the row's train, so means of 100 batches are what is independent
    spread = np.std([c.mean() for c in changes]) / 10
    assert abs(dw.mean() - mean) < 3 * spread
    assert abs(dw.var() - variance) < 0.03 * variance


@pytest.mark.parametrize("mode", ["exact", "aggregated"])
@pytest.mark.parametrize("management", [False, True])
def test_expected_change_is_lr_x_d(mode, management):
    """E[dW] = lr x d^T for either sign, with and without update management, within 4 sigma."""
    pulses = Pulses(length=31, update_management=management, update_bl_management=management, mode=mode)
    device = Device.of({"g_min": 0.0, "g_max": 2.0, "response": {"kind": "constant-step", "step_up": 0.001, "step_down": 0.001}})
    array = Crossbar(sent(device, pulses), 4, 3)
    x, d, n = torch.tensor([[[0.5, -0.2, 0.0, 1.0]]]), torch.tensor([[[0.3, -0.6, 0.1]]]), 3000
    total, squares = torch.zeros(1, 4, 3), torch.zeros(1, 4, 3)
    for _ in range(n):
        array.state.zero_()
        array.pulse(x, d, np.array([0.01]))
        total, squares = total + array.state, squares + array.state**2
    mean = total / n
    sigma = ((squares / n - mean**2) / n).sqrt() + 1e-9
    assert ((mean - 0.01 * x[0].T @ d[0]).abs() < 4 * sigma + 1e-6).all()


def test_symmetry_point_of_soft_bounds_is_the_closed_form():
    """w* = 2 r / ((g + r)/w_max - (g - r)/w_min): Rasch 2024."""
    sampled = soft_bounds(spread={"step": 0.3, "asymmetry": 0.3, "g_max": 0.3, "g_min": 0.3}, spread_law="lognormal").sample((20, 20), [0])
    up, down, high, low = (sampled.values[n].double() for n in ("step_up", "step_down", "g_max", "g_min"))
    expected = (up - down) / (up / high - down / low)
    assert torch.allclose(sampled.symmetry_point().double(), expected, atol=2e-6)


def test_up_down_pairs_settle_at_the_symmetry_point():
    """The distance to it shrinks by exp(-2 d) per pair (d = step over half the range): within 5 %."""
    device = soft_bounds(states=200, spread={"asymmetry": 0.1})
    array = Crossbar(device, 10, 10)
    target = array.sampled.symmetry_point()
    array.state.fill_(0.8)
    before = (array.state - target).abs().mean()
    pairs = 50
    for _ in range(pairs):
        array.pulse_rows(torch.ones(array.shape, dtype=torch.int32))
        array.pulse_rows(-torch.ones(array.shape, dtype=torch.int32))
    left = ((array.state - target).abs().mean() / before).item()
    assert left == pytest.approx(math.exp(-2 * 0.01 * pairs), rel=0.05)


@pytest.mark.parametrize(("states", "published"), [(20, 0.067), (200, 0.021)])
def test_residual_spread_after_up_down_pairs(states, published):
    """std = sqrt(d/2) s_c2c around the symmetry point: 0.067 at 20 states, 0.021 at 200; within 15 % (finite d at 20 states)."""
    array = Crossbar(soft_bounds(states=states, cycle_noise_additive=0.3), 40, 50)
    for _ in range(4 * states):
        array.pulse_rows(torch.ones(array.shape, dtype=torch.int32))
        array.pulse_rows(-torch.ones(array.shape, dtype=torch.int32))
    assert array.state.std().item() == pytest.approx(math.sqrt(1 / states) * 0.3, rel=0.15)
    assert array.state.std().item() == pytest.approx(published, rel=0.15)


def test_sgd_on_an_asymmetric_device_minimises_the_regularised_loss():
    """Implicit l2: E[g] + E[|g|] w / tau = 0 (Wu 2024) on a scalar linear model, within 5 %."""
    tau, truth, noise, members = 1.0, 0.5, 1.0, 2000
    array = Crossbar(sent(soft_bounds(states=4000), Pulses(length=31)), 1, members)
    w_mean = []
    for step in range(3000):
        error = truth + noise * rng.normal(rng.stream_keys((step,), "implicit"), 0, (1, members)) - array.state
        array.pulse(torch.ones(1, 1, 1), error.contiguous(), np.array([0.01]))
        if step >= 2000:
            w_mean.append(array.state.mean().item())
    mean_weight = float(np.mean(w_mean))

    def balance(w: float) -> float:
        z = (truth - w) / noise
        absolute = noise * (math.sqrt(2 / math.pi) * math.exp(-z * z / 2) + z * math.erf(z / math.sqrt(2)))
        return (truth - w) - absolute * w / tau

    low, high = 0.0, truth
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if balance(middle) > 0 else (low, middle)
    assert mean_weight == pytest.approx(low, rel=0.05)


def test_one_step_for_all_coincidences_has_the_moments_of_pulse_by_pulse():
    """Aggregated against exact, 20,000 devices: means within 1 %, spreads within 5 %."""
    moments = {}
    for mode in ("exact", "aggregated"):
        array = Crossbar(sent(soft_bounds(states=1000, cycle_noise=0.3), FIXED.replace("mode", mode).replace("length", 31)), 100, 200)
        for _ in range(20):
            array.pulse(torch.ones(1, 1, 100) * 0.8, torch.ones(1, 1, 200) * 0.8, np.array([0.06]))
        moments[mode] = array.state
    assert moments["exact"].mean().item() == pytest.approx(moments["aggregated"].mean().item(), rel=0.01)
    assert moments["exact"].std().item() == pytest.approx(moments["aggregated"].std().item(), rel=0.05)


def test_draws_do_not_depend_on_the_batch_split():
    x, d = (
        torch.randn(1, 10, 30, generator=torch.Generator().manual_seed(0)),
        torch.randn(1, 10, 20, generator=torch.Generator().manual_seed(1)),
    )
    whole, split = (Crossbar(Device.named("soft-bounds"), 30, 20) for _ in range(2))
    whole.pulse(x, d, np.array([0.01]))
    for part in (slice(0, 3), slice(3, 4), slice(4, 10)):
        split.pulse(x[:, part].contiguous(), d[:, part].contiguous(), np.array([0.01]))
    assert torch.equal(whole.state, split.state)
    assert {n: np.asarray(v).tolist() for n, v in whole.counts.items()} == {n: np.asarray(v).tolist() for n, v in split.counts.items()}


def test_draws_do_not_depend_on_the_threads():
    import numba

    states, before = [], numba.get_num_threads()
    for threads in (1, numba.config.NUMBA_NUM_THREADS, before):
        numba.set_num_threads(threads)
        array = Crossbar(Device.named("rpu"), 300, 300)
        array.pulse(torch.ones(1, 8, 300), torch.ones(1, 8, 300), np.array([0.005]))
        states.append(array.state)
    assert all(torch.equal(states[0], state) for state in states)


def test_a_member_has_the_draws_of_its_solo_run():
    seeds = (3, 7, 11)
    x, d = torch.rand(1, 5, 30), torch.randn(1, 5, 20)
    together = Crossbar(Device.named("soft-bounds"), 30, 20, seeds=seeds)
    together.pulse(x.expand(3, -1, -1).contiguous(), d.expand(3, -1, -1).contiguous(), np.full(3, 0.01))
    for e, seed in enumerate(seeds):
        solo = Crossbar(Device.named("soft-bounds"), 30, 20, seeds=(seed,))
        solo.pulse(x, d, np.array([0.01]))
        assert torch.equal(solo.state[0], together.state[e])


@pytest.mark.parametrize("members", [1, 9])
@pytest.mark.parametrize("reference", ["mid-range", "symmetry-point"])
@pytest.mark.parametrize(("rows", "columns"), [(40, 12), (12, 40)])
@pytest.mark.parametrize("mode", ["exact", "aggregated", "auto"])
def test_pulses_that_wait_end_where_pulses_at_once_do(monkeypatch, members, reference, rows, columns, mode):
    """A large array applies its pulses row by row when there are many: reads, states and counts are those of one that never waits."""
    device = Device.named("rpu").replace("spread", {"step": 0.3, "asymmetry": 0.2})
    seeds, given = tuple(range(members)), ArraySpec(device, None, None, Periphery(pulses=Pulses(length=7, mode=mode)), reference)
    at_once = Crossbar(given, rows, columns, seeds=seeds)
    monkeypatch.setattr("aimco.arrays.pulse_generator._FAR", 0)
    monkeypatch.setattr("aimco.arrays.pulse_generator._FOR_EACH", 40)  # a dozen samples
    waiting, draws, waited = Crossbar(given, rows, columns, seeds=seeds), torch.Generator().manual_seed(0), False
    rate, line = np.full((members, 5), 0.02), 0
    for k in range(12):
        x = torch.randn(members, 5, rows, generator=draws) * (torch.rand(members, 5, rows, generator=draws) < 0.5)
        d = torch.randn(members, 5, columns, generator=draws) * (0 if k == 7 else 1)
        after = np.array([0, 0, 3])[: k % 4]
        lines = (line + np.arange(len(after))) % rows
        line += len(after)
        seen, first = waiting.pulse_and_read(x, d, rate, after, lines), 0
        for t, last in enumerate((*(after + 1).tolist(), 5)):
            if last > first:
                at_once.pulse(x[:, first:last].contiguous(), d[:, first:last].contiguous(), rate[:, first:last].copy())
            if t < len(lines):
                assert torch.equal(seen[:, t], at_once.line(int(lines[t])))
            first = last
        waited |= waiting.pulse_generator.waiting > 0
        if k == 5:
            waiting.pulse(x, d, rate)
            at_once.pulse(x, d, rate)
        if k == 8:
            saved = waiting.checkpoint()
            waiting = Crossbar(given, rows, columns, seeds=seeds)
            waiting.restore(saved)
        if k == 10:
            waiting = copy.deepcopy(waiting)
    assert waited and torch.equal(waiting.state, at_once.state)
    assert {n: np.asarray(v).tolist() for n, v in waiting.counts.items()} == {n: np.asarray(v).tolist() for n, v in at_once.counts.items()}
