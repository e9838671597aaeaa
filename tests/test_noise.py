"""What conductances do by themselves: 1/f noise, telegraph noise, the noise of writing and of resetting.

Standard errors: a variance over n independent devices is known to sqrt(2/n), a standard deviation to sqrt(1/(2 n)); tolerances are
four of these or more, so that no seed is lucky.
"""

from __future__ import annotations

import copy
import io
import pickle

import numpy as np
import pytest
import torch
from scipy import optimize, signal, stats

import aimco as ai
from aimco import rng
from aimco.arrays.crossbar import Crossbar
from aimco.device.device import Device
from aimco.device.noises import NoiseSource
from aimco.device.noises.flicker import Flicker
from aimco.ensemble import stack
from aimco.kernels.flicker import DRAWS, RESTS

T_R = 250e-9  # duration of a read in the law of phase-change memory
PCM = {"amplitude": 0.0088, "power": 0.65, "limit": 0.2, "f_low": 1e-10, "f_high": 0.02234 / T_R, "starts": "programmed"}
ONE_OVER_F = {"amplitude": 0.01, "f_low": 0.01, "f_high": 100.0}
TELEGRAPH = {"amplitude": 0.1, "capture_s": 0.01, "emission_s": 0.03}


def device(**parts) -> Device:
    """Constant steps, 1000 states, 0 to 2 S: the conductance is the state plus one; parts by kinds of noise become its sources."""
    sources = [{"kind": kind} | parts.pop(kind) for kind in NoiseSource.kinds() if kind in parts]
    return Device.of(
        {"noise": sources}
        | {"g_min": 0.0, "g_max": 2.0, "response": {"kind": "constant-step", "step_up": 0.002, "step_down": 0.002}}
        | parts
    )


def noise(array: Crossbar) -> np.ndarray:
    """Relative change of each conductance as reads see it, (devices,)."""
    seen = array.mvm(torch.eye(array.shape[1])[None])[0]
    return ((seen - array.state[0]) / (array.state[0] + 1)).double().numpy().ravel()


def reads(array: Crossbar, dt: float, count: int) -> np.ndarray:
    """The noise of `count` reads dt apart, (count, devices)."""
    rows = []
    for _ in range(count):
        array.elapse(dt)
        rows.append(noise(array))
    return np.array(rows)


# 1/f noise


def test_the_spectrum_falls_as_1_over_f_in_the_band():
    """Slope -1 +- 0.05 and S f = amplitude^2 within 5 %, from 0.3 to 10 Hz in a band of 0.01 to 100 Hz, by Welch on 200 devices."""
    dt = 0.005
    trace = reads(Crossbar(device(flicker=ONE_OVER_F), 10, 20), dt, 2**13)
    f, s = signal.welch(trace, 1 / dt, nperseg=2**12, axis=0)
    inside = (f > 0.3) & (f < 10)
    f, s = f[inside], s[inside].mean(1)
    bins = np.geomspace(0.3, 10, 12)  # equal weight for each octave
    where = np.digitize(f, bins)
    points = [(np.log(f[where == k]).mean(), np.log((s * f)[where == k].mean())) for k in range(1, len(bins)) if (where == k).any()]
    slope, _ = np.polyfit(*np.array(points).T, 1)
    assert slope == pytest.approx(0, abs=0.05)  # of S f
    assert np.exp(np.mean([p[1] for p in points])) == pytest.approx(0.01**2, rel=0.05)


@pytest.mark.parametrize("band", [(1.0, 5.0), (0.01, 100.0), (1e-6, 1e7)])
def test_the_variance_is_that_of_the_band(band):
    """amplitude^2 ln(f_high/f_low) within 6 % (20,000 devices: 1 %), at first and after long and short times in any order."""
    array = Crossbar(device(flicker={"amplitude": 0.01, "f_low": band[0], "f_high": band[1]}), 100, 200)
    for dt in (0.0, 1e-7, 1e-3, 46500.0, 1e-6, 1e-2, 1e3, 0.3, 1e9, 1e-4):
        array.elapse(dt)
        assert np.var(noise(array)) == pytest.approx(0.01**2 * np.log(band[1] / band[0]), rel=0.06)


def test_the_spectrum_ripples_by_less_than_a_percent():
    """Sum of the Lorentzians of the processes times f, well inside the band, against 1."""
    rates, counts, width = Flicker.of(ONE_OVER_F | {"f_low": 1e-4, "f_high": 1e4}).processes(1)
    f = np.geomspace(0.1, 10, 100)[:, None]
    assert np.allclose((width[0] ** 2 * 4 * rates / (rates**2 + (2 * np.pi * f) ** 2)).sum(1) * f[:, 0], 1, atol=0.01)
    assert counts[0] == rates.shape[1] == 16


@pytest.mark.parametrize("long", [1e4, 3.0, 0.05])
def test_the_noise_remembers_as_long_as_its_slow_processes(long):
    """Correlation sum_k exp(-lambda_k t)/K within 0.04 (20,000 devices: 0.007), also where sums are taken apart after a long time."""
    law = Flicker.of(ONE_OVER_F)
    array = Crossbar(device(flicker=dict(law)), 100, 200)
    array.elapse(long)
    first, past = noise(array), 0.0
    for dt in (1e-5, 1e-3, 0.1, 1e-3, 2.0, 30.0):
        array.elapse(dt)
        past += dt
        expected = np.exp(-law.processes(1)[0] * past).mean()
        assert np.corrcoef(first, noise(array))[0, 1] == pytest.approx(expected, abs=0.04)


def test_time_in_one_piece_fluctuates_as_time_in_many():
    """Changes over one second, two-sample Kolmogorov-Smirnov over 4000 devices, and their variance within 10 % (2.2 %)."""
    law = Flicker.of(ONE_OVER_F)
    pieces = np.random.default_rng(0).random(300)
    changes = []
    for seed, times in enumerate(([1.0], pieces / pieces.sum())):
        array = Crossbar(device(flicker=dict(law)), 40, 100, seeds=(seed,))
        array.elapse(2.0)
        before = noise(array)
        for dt in times:
            array.elapse(float(dt))
        changes.append(noise(array) - before)
    assert stats.ks_2samp(*changes).pvalue > 1e-3
    rates, counts, width = law.processes(1)
    expected = 0.01**2 * width[0] ** 2 * 2 * (counts[0] - np.exp(-rates).sum())
    assert [np.var(c) for c in changes] == pytest.approx([expected] * 2, rel=0.1)


def fluctuations(array):
    """State of the one source of noise of an array, the time that has passed included."""
    array.state  # noqa: B018
    (tensors,) = array._aging.noise.state.values()
    return tensors


def test_a_step_is_its_plain_definition():
    """x exp(-lambda t) + sqrt(1 - exp(-2 lambda t)) z with the draws of `aimco.rng`, to the grid of 2^-16; the total is the sum."""
    array = Crossbar(device(flicker=ONE_OVER_F), 10, 20)
    for _ in range(2):
        array.elapse(1e-4)
        state = fluctuations(array)
    before, waited = state["x"].clone().numpy()[0], state["waited"].clone().numpy()[0] + 0.004
    array.elapse(0.004)
    state = fluctuations(array)
    after, moved = state["x"].numpy()[0], 0
    key = rng.stream_key(0, "array", "flicker")
    for k, rate in enumerate(Flicker.of(ONE_OVER_F).processes(1)[0][0]):
        if rate * waited[k] < RESTS:
            assert np.array_equal(before[k], after[k])
            continue
        start = np.uint32(rng.base(key, 2 * DRAWS + k))
        z = rng.rough_normal(rng.hash32(start + np.arange(200, dtype=np.uint32)))
        assert np.allclose(after[k], np.exp(-rate * waited[k]) * before[k] + np.sqrt(-np.expm1(-2 * rate * waited[k])) * z, atol=2**-15)
        moved += 1
    assert 2 < moved < len(after)
    assert np.array_equal(after.sum(0), state["total"][0].numpy())


def test_processes_leave_their_sum_as_if_they_had_never_been_in_it():
    """After a long time and a short one: unit variances and no correlations, within 0.05 (20,000 devices: 0.01, 0.007)."""
    array = Crossbar(device(flicker={"amplitude": 0.01, "f_low": 1.0, "f_high": 100.0}), 100, 200)
    for dt in (100.0, 1e-4):
        array.elapse(dt)
        fluctuations(array)
    assert np.allclose(np.cov(fluctuations(array)["x"][0].double().numpy()), np.eye(4), atol=0.05)


def test_a_process_that_rested_counts_from_the_programming():
    """One process that rested nearly all its time, written just before its step: variance 1 - exp(-2 lambda age) within 6 % (1 %)."""
    law = {"amplitude": 0.01, "f_low": 1.0, "f_high": 2.0, "starts": "programmed"}
    array = Crossbar(device(flicker=law), 100, 200)
    rates, _, width = Flicker.of(law).processes(1)
    array.elapse(0.99 * RESTS / rates[0, 0])
    array.pulse_rows(torch.ones(array.shape, dtype=torch.int32))
    array.elapse(0.02 * RESTS / rates[0, 0])
    assert np.var(noise(array)) == pytest.approx((0.01 * width[0]) ** 2 * (1 - np.exp(-2 * 0.02 * RESTS)), rel=0.06)


def test_the_noise_stands_still_between_holds():
    array = Crossbar(device(flicker=ONE_OVER_F, telegraph=TELEGRAPH), 8, 12)
    x = torch.rand(1, 3, 8)
    assert torch.equal(array.mvm(x), array.mvm(x))
    before = array.mvm(x)
    array.elapse(1.0)
    assert not torch.equal(array.mvm(x), before)
    assert torch.allclose(array.mvm_t(torch.eye(12)[None])[0], array.mvm(torch.eye(8)[None])[0].T, atol=1e-6)


def test_no_noise_reads_a_conductance_below_nothing():
    array = Crossbar(device(flicker=ONE_OVER_F | {"amplitude": 1.0}), 30, 30)
    array.elapse(1.0)
    assert noise(array).min() == -1


# phase-change memory


def published(ratio, t):
    """sigma/g of Nandakumar 2019, Joshi 2020."""
    return np.minimum(0.0088 * ratio**-0.65, 0.2) * np.sqrt(np.log((t + T_R) / (2 * T_R)))


def test_the_growth_of_the_noise_of_phase_change_memory_in_closed_form():
    """sqrt(sum_k (1 - exp(-2 lambda_k t)) d ln lambda) against sqrt(ln((t + t_r)/(2 t_r))), within 1 % from 10 us to 1e6 s."""
    rates, _, width = Flicker.of(PCM).processes(1)
    for t in np.geomspace(1e-5, 1e6, 60):
        assert width[0] * np.sqrt((1 - np.exp(-2 * rates[0] * t)).sum()) == pytest.approx(published(1.0, t) / 0.0088, rel=0.01)


def test_devices_follow_the_published_noise_of_phase_change_memory():
    """Standard deviations of 10,000 devices (0.7 %) at each of three conductances, within 3 %, from 10 us to 1e6 s."""
    array = Crossbar(device(flicker=PCM), 3, 10_000)
    g = torch.tensor([0.4, 1.0, 2.0])
    array.state.copy_((g - 1)[None, :, None].expand(array.shape))
    now = 0.0
    for t in (1e-5, 1e-4, 1e-2, 1.0, 1e3, 1e6):
        array.elapse(t - now)
        now = t
        assert noise(array).reshape(3, -1).std(1) == pytest.approx(published(g.numpy() / 2, t), rel=0.03)


def test_programming_starts_the_noise_again():
    """Of devices written after 1000 s and of the others, within 4 % (0.7 %), from the write on, also written twice at once."""
    array = Crossbar(device(flicker=PCM), 2, 10_000)
    array.elapse(1000.0)
    written = torch.tensor([[[1], [0]]], dtype=torch.int32).expand(array.shape)
    for dt in (1e-4, 0.01):
        array.pulse_rows(written)
        past = 0.0
        for part in (0.5, 0.1, 0.4):
            array.elapse(part * dt)
            past += part * dt
            fresh, old = noise(array).reshape(2, -1).std(1)
            assert fresh == pytest.approx(published(0.5, past), rel=0.04)
            assert old == pytest.approx(published(0.5, 1000.0), rel=0.04)


def test_leak_and_drift_are_no_programming():
    """What time does to a state leaves its noise: nearly the same a moment later."""
    array = Crossbar(device(flicker=PCM, retention_s=1e3, drift={}), 30, 30)
    array.state.fill_(0.5)
    array.elapse(100.0)
    before = noise(array)
    array.elapse(1e-5)
    assert np.corrcoef(before, noise(array))[0, 1] > 0.8


def test_writing_with_verify_leaves_no_old_noise():
    array = Crossbar(device(flicker=PCM), 10, 10)
    array.elapse(1000.0)
    assert noise(array).std() > 0
    only = torch.zeros(array.shape, dtype=torch.bool)
    only[:, :5] = True
    array.program(torch.full(array.shape, 0.5), only=only)
    assert (noise(array)[:50] == 0).all()
    assert (noise(array)[50:] != 0).any()


# telegraph noise


def test_traps_are_filled_for_their_share_of_the_time():
    """tau_e/(tau_c + tau_e) = 3/4 within 0.02 (20,000 devices: 0.003); two levels, whose mean is the programmed conductance."""
    array = Crossbar(device(telegraph=TELEGRAPH), 100, 200)
    for dt in (0.0, 1e-3, 1e4, 0.02):
        array.elapse(dt)
        seen = noise(array)
        assert np.unique(seen.round(3)) == pytest.approx([-0.025, 0.075])
        assert (seen < 0).mean() == pytest.approx(0.75, abs=0.02)


def test_a_trap_forgets_at_the_sum_of_its_rates():
    """Autocorrelation exp(-t (1/tau_c + 1/tau_e)) within 0.03 (0.007), however the time is cut."""
    array = Crossbar(device(telegraph=TELEGRAPH), 100, 200)
    first, past = noise(array), 0.0
    for dt in (1e-4, 1e-3, 5e-3, 1e-3, 0.01, 0.1):
        array.elapse(dt)
        past += dt
        assert np.corrcoef(first, noise(array))[0, 1] == pytest.approx(np.exp(-past * (100 + 100 / 3)), abs=0.03)


def test_the_spectrum_of_a_trap_is_a_lorentzian():
    """Corner (1/tau_c + 1/tau_e)/(2 pi) = 21.2 Hz and plateau 4 var/rate within 6 %, by Welch on 200 devices."""
    dt, rate = 5e-4, 100 + 100 / 3
    trace = reads(Crossbar(device(telegraph=TELEGRAPH), 10, 20), dt, 2**13)
    f, s = signal.welch(trace, 1 / dt, nperseg=2**11, axis=0)
    f, s = f[2:200], s[2:200].mean(1)
    plateau = 4 * 0.1**2 * 0.75 * 0.25 / rate
    (level, corner), _ = optimize.curve_fit(lambda f, a, c: np.log(a * plateau / (1 + (f / c) ** 2)), f, np.log(s), (1, 30))
    assert corner == pytest.approx(rate / (2 * np.pi), rel=0.06)
    assert level == pytest.approx(1, rel=0.06)


def test_some_devices_have_traps_each_with_its_own_times():
    """A fraction of 0.3 within 0.02 (0.003); logs of the times spread by 0.5 within 5 %; three traps make four levels."""
    array = Crossbar(device(telegraph=TELEGRAPH | {"fraction": 0.3, "spread": 0.5}), 100, 200)
    rates, share = (fluctuations(array)[n][0, 0].double().numpy() for n in ("rates", "share"))
    assert (rates > 0).mean() == pytest.approx(0.3, abs=0.02)
    assert (noise(array) != 0).mean() == pytest.approx(0.3, abs=0.02)
    rates, share = rates[rates > 0], share[rates > 0]
    for tau, nominal in ((1 / (rates * share), 0.01), (1 / (rates * (1 - share)), 0.03)):
        assert np.log(tau).std() == pytest.approx(0.5, rel=0.05)
        assert np.log(tau).mean() == pytest.approx(np.log(nominal), abs=0.03)
    several = Crossbar(device(telegraph=TELEGRAPH | {"traps": 3}), 100, 200)
    several.elapse(1.0)
    assert len(np.unique(noise(several).round(3))) == 4


# writing


def test_writing_misses_by_the_programming_noise():
    """Standard deviation c0 + c1 r + c2 r^2 within 4 % (10,000 devices: 0.7 %), added once, whatever the verify did before."""
    c = (0.02, 0.15, -0.1)
    array = Crossbar(device(programming_noise=c), 4, 10_000)
    r = np.array([0.2, 0.4, 0.5, 0.7])
    target = torch.as_tensor(2 * r - 1).float()[None, :, None].expand(array.shape)
    for _ in range(2):
        array.program(target)
        miss = (array.state - target)[0]
        assert miss.std(1).numpy() == pytest.approx(c[0] + c[1] * r + c[2] * r**2, rel=0.04)
        assert miss.mean(1).numpy() == pytest.approx(np.zeros(4), abs=0.005)
    before, only = array.state.clone(), torch.zeros(array.shape, dtype=torch.bool)
    only[:, 1] = True
    array.program(target, only=only)
    assert torch.equal(array.state[:, [0, 2, 3]], before[:, [0, 2, 3]])
    assert not (array.state[:, 1] == before[:, 1]).all()


def test_noise_of_writing_keeps_the_bounds():
    array = Crossbar(device(programming_noise=(0.5, 0.0, 0.0), reset_noise=0.5, spread={"g_min": 0.2, "g_max": 0.2}), 50, 50)
    low, high = array.sampled.bounds()
    for act in (lambda: array.program(torch.zeros(1)), lambda: array.reset(torch.ones(1, dtype=torch.bool))):
        act()
        assert (array.state >= torch.maximum(low, torch.tensor(-1.0))).all()
        assert (array.state <= high).all()
        assert (array.state > low + 1e-3).any()


def test_a_reset_misses_by_its_noise():
    """Standard deviation within 4 % (1.3 %) around reset_g; devices that were not reset keep their state; each reset draws anew."""
    array = Crossbar(device(reset_g=0.5, reset_noise=0.03), 60, 100)
    mask = torch.zeros(array.shape, dtype=torch.bool)
    mask[:, :30] = True
    array.reset(mask)
    first = array.state[mask].clone()
    assert first.std().item() == pytest.approx(0.03, rel=0.04)
    assert first.mean().item() == pytest.approx(-0.5, abs=0.003)
    assert (array.state[~mask] == 0).all()
    array.reset(mask)
    assert np.corrcoef(first, array.state[mask])[0, 1] == pytest.approx(0, abs=0.08)


# contracts

ALL = {
    "flicker": ONE_OVER_F | {"f_high": 1e6, "starts": "programmed"},
    "telegraph": TELEGRAPH | {"traps": 2, "spread": 0.5, "fraction": 0.7},
    "programming_noise": (0.01, 0.02, 0.0),
    "reset_noise": 0.02,
    "retention_s": 1e3,
    "drift": {},
}


def live(array: Crossbar, times=(1e-3, 46500.0, 1e-6, 0.2)) -> None:
    """A life of pulses, writes, resets and time."""
    rows, columns = array.shape[1:]
    for k, dt in enumerate(times):
        array.pulse_rows(torch.arange(rows * columns, dtype=torch.int32).reshape(1, rows, columns) % 3 - 1)
        array.elapse(dt)
        array.program(torch.linspace(-0.5, 0.5, columns).expand(array.shape), only=torch.eye(rows, columns, dtype=torch.bool)[None])
        array.reset((torch.arange(rows * columns).reshape(1, rows, columns) + k) % 5 == 0)
        array.elapse(dt)


@pytest.mark.parametrize("starts", ["settled", "programmed"])
@pytest.mark.parametrize("size", [(7, 5), (5, 7)])
def test_a_checkpoint_resumes_the_noise_bit_for_bit(size, starts):
    noisy = device(**ALL).replace("noise.flicker.starts", starts)
    first, second = (Crossbar(noisy, *size, seeds=(1, 2)) for _ in range(2))
    live(first)
    buffer = io.BytesIO()
    torch.save(first.checkpoint(), buffer)
    buffer.seek(0)
    second.restore(torch.load(buffer))
    copies = [first, second, copy.deepcopy(first), pickle.loads(pickle.dumps(first))]
    for array in copies:
        live(array)
    x = torch.rand(2, 3, size[0])
    for other in copies[1:]:
        assert torch.equal(first.state, other.state)
        assert torch.equal(first.mvm(x), other.mvm(x))


@pytest.mark.parametrize("starts", ["settled", "programmed"])
def test_a_member_fluctuates_as_it_would_alone(starts):
    """Bit for bit, with bands, amplitudes and times of its own."""
    base = device(**ALL).replace("noise.flicker.starts", starts)
    others = [
        base.replace("noise.flicker.f_low", 1e-8).replace("noise.telegraph.amplitude", 0.3),
        base.replace("noise.flicker.f_high", 1e3),
    ]
    members = [base, *(d.replace("reset_noise", 0.1) for d in others)]
    times = np.array([[1e-3, 1.0, 1e-6], [1e5, 1e-3, 1e-2], [1e-6, 1e-8, 1.0]])
    together = Crossbar(stack(members), 6, 9, seeds=(3, 4, 5))
    live(together, list(times.T))
    x = torch.rand(1, 2, 6, generator=torch.Generator().manual_seed(0))
    for e, member in enumerate(members):
        solo = Crossbar(member, 6, 9, seeds=(3 + e,))
        live(solo, [float(t) for t in times[e]])
        assert torch.equal(solo.state[0], together.state[e])
        assert torch.equal(solo._noisy_state()[0], together._noisy_state()[e])
        assert torch.allclose(solo.mvm(x)[0], together.mvm(x.expand(3, -1, -1))[e], atol=1e-6)


def test_noise_of_no_size_changes_nothing():
    """States and reads bit for bit those of a device without, and a device without draws nothing."""
    silent = {"flicker": ONE_OVER_F | {"amplitude": 0.0}, "telegraph": TELEGRAPH | {"amplitude": 0.0}, "programming_noise": (0.0, 0.0, 0.0)}
    silent["programming"] = {"method": "iterative"}
    arrays = [Crossbar(device(spread={"step": 0.2}, retention_s=1e3, **parts), 8, 6) for parts in ({}, silent)]
    x = torch.rand(1, 3, 8)
    for array in arrays:
        live(array)
    assert torch.equal(arrays[0].state, arrays[1].state)
    assert torch.equal(arrays[0].mvm(x), arrays[1].mvm(x))
    assert arrays[0]._aging.noise is None
    assert not any(arrays[0].done[n] for n in ("programs", "resets"))
    assert not any(n.startswith("noise") for n in arrays[0].checkpoint()["tensors"])


@pytest.mark.parametrize("kind", ai.Cell.kinds())
def test_tiles_read_the_noise_of_all_their_devices(kind):
    """A network on noisy devices: reads move with time while the stored weights stay; a saved one goes on as if never stopped."""
    spec = ai.Design.of({"device": device(flicker=ONE_OVER_F, telegraph=TELEGRAPH).as_dict(), "cell": {"kind": kind}})
    if kind == "capacitor-pcm":
        spec = spec.replace("cell.pcm.drift", None)
    layers = [ai.nn.Linear(6, 4, design=spec) for _ in range(2)]
    (matrix,) = layers[0].matrices.values()
    before, weights = layers[0](torch.eye(6)), matrix.weights.clone()
    layers[0].elapse(1.0)
    after = layers[0](torch.eye(6))
    assert (after - before).abs().max() > 1e-3
    assert torch.equal(matrix.weights, weights)
    layers[1].load_state_dict(layers[0].state_dict())
    for layer in layers:
        layer.elapse(0.01)
    assert torch.equal(layers[0](torch.eye(6)), layers[1](torch.eye(6)))


@pytest.mark.parametrize(
    ("parts", "problem"),
    [
        ({"flicker": ONE_OVER_F | {"f_high": 1e-3}}, r"noise\.0\.f_high must be greater than f_low = 0\.01 Hz"),
        ({"flicker": {"f_low": 1.0, "f_high": 2.0}}, r"noise\.0\.amplitude is missing"),
        ({"telegraph": TELEGRAPH | {"capture_s": 0.0}}, r"noise\.0\.capture_s must be"),
        ({"programming_noise": [1.0, float("inf"), 0.0]}, "programming_noise must hold three finite numbers"),
        ({"reset_noise": -1.0}, "reset_noise must be"),
    ],
)
def test_wrong_noise_is_refused_in_one_sentence(parts, problem):
    with pytest.raises(ai.InputError, match=problem):
        device(**parts)


def test_noise_survives_its_text():
    noisy = device(**ALL)
    assert Device.of(noisy.as_dict()) == noisy
    assert noisy.leaks
    assert Device.named("pcm-noisy").noise == (Flicker.of(PCM | {"f_high": 8.936e4}),)


def test_tables_of_noise_as_they_were_called_before_are_sources_of_these_kinds():
    """With a warning, in plain data and in paths; "none" and None are no source."""
    response, now = {"kind": "constant-step", "step_up": 0.002, "step_down": 0.002}, device(flicker=ONE_OVER_F, telegraph=TELEGRAPH)
    with pytest.warns(DeprecationWarning, match="flicker and telegraph of a device: write noise ="):
        before = Device.of({"g_min": 0.0, "g_max": 2.0, "response": response, "flicker": ONE_OVER_F, "telegraph": TELEGRAPH})
    assert before == now
    with pytest.warns(DeprecationWarning, match="flicker is now noise.flicker"):
        assert before.replace("flicker.amplitude", 0.5).noise[0].amplitude == 0.5
    with pytest.warns(DeprecationWarning, match="device.telegraph is now device.noise.telegraph"):
        assert ai.Design(device=before).replace("device.telegraph", None).device.noise == now.noise[:1]
    with pytest.warns(DeprecationWarning):
        assert Device.of({"g_min": 0.0, "g_max": 2.0, "response": response, "flicker": None, "telegraph": "none"}).noise == ()
    with pytest.warns(DeprecationWarning), pytest.raises(ai.InputError, match="flicker must be a table, got 3"):
        Device.of({"g_min": 0.0, "g_max": 2.0, "response": response, "flicker": 3})
