"""What every device, response, array, cell and rule must do. A new one is covered by being there: its file is all it needs."""

from __future__ import annotations

import io
import tomllib

import numpy as np
import pytest
import torch

import aimco as ai
from aimco.arrays.crossbar import Crossbar
from aimco.device.device import Device, catalogue
from aimco.ensemble import stack
from designs import design
from kinds import ARRAYS, CELLS, RESPONSES, RULES, TOYS, short

IN_ARRAYS = [kind for kind in RULES if kind != "digital"]


def devices() -> dict[str, Device]:
    """The catalogue, and one device of each response with 200 states and spread."""
    by_name = {name: Device.named(name) for name in catalogue()}
    for kind in RESPONSES:
        response = {"kind": kind, "step_up": 0.01, "step_down": 0.009}
        spread = {"step": 0.2, "g_max": 0.1}
        by_name[f"a {short(kind)} device"] = Device.of({"g_min": 0.0, "g_max": 2.0, "response": response, "spread": spread})
    return by_name


DEVICES = devices()


def array_of(device: Device, **options) -> Crossbar:
    return Crossbar(device, 8, 8, **options)


BRISK = {
    ("residual", "linear"): {"transfer_every": 1, "slower": 1},
    ("residual", "conv2d"): {"transfer_every": 20},
    ("mixed-precision", "conv2d"): {"transfer_every": 1},
    ("tiki-taka", "conv2d"): {"transfer_unit": "batch", "lr_fast": 0.1},
}


@pytest.mark.parametrize("name", DEVICES)
def test_a_device_moves_where_it_is_pulsed_and_keeps_its_bounds(name):
    array = array_of(DEVICES[name])
    low, high = array.sampled.bounds()
    for direction in (1, -1):
        before = array.state.mean()
        array.pulse_rows(torch.full(array.shape, direction * 200, dtype=torch.int32))
        idle = direction < 0 and DEVICES[name].response.one_sided
        assert array.state.mean() == before if idle else (array.state.mean() - before) * direction > 0
        assert (array.state >= low).all()
        assert (array.state <= high).all()


# No state balances the steps of these devices: each is the same everywhere and unlike the other, or in one direction, or grows towards the
# bounds. Those of the second set are balanced at all states.
UNBALANCED = {"rpu", "rram-hfs2", "pcm", "pcm-noisy", "pcm-gst", "a constant-step device", "a jump-table device", "a pcm device"}
BALANCED = {"ideal", "rpu-10000-states"}


@pytest.mark.parametrize("name", DEVICES)
def test_up_and_down_cancel_at_the_symmetry_point(name):
    """To a thousandth of a step; or the point is at a bound, where no state balances them; or all do, and it is mid-range."""
    sampled = array_of(DEVICES[name]).sampled
    point = sampled.symmetry_point()
    up, down = sampled.steps(point)
    low, high = sampled.bounds()
    at_bound = (point - low < 1e-5) | (high - point < 1e-5)
    assert (((up + down).abs() <= 1e-3 * up.abs() + 1e-7) | at_bound).all()
    assert bool(at_bound.all()) == (name in UNBALANCED)
    everywhere = all(torch.equal(*map(torch.abs, sampled.steps(g))) for g in (low, (low + high) / 2, high))
    assert everywhere == (name in BALANCED)
    assert not everywhere or (point == 0).all()


@pytest.mark.parametrize("kind", ["constant-step", "soft-bounds", "linear-step", "power", "exponential"])
def test_a_device_of_equal_steps_has_its_symmetry_point_at_mid_range(kind):
    """However many states it has, and for a family of steps that are mirrored; a step that is larger by a millionth is not equal."""
    for states in range(100, 3001, 7):
        step = 2e-6 / states
        device = Device.of({"g_min": 1e-6, "g_max": 3e-6, "response": {"kind": kind, "step_up": step, "step_down": step}})
        if kind == "exponential":
            device = device.replace("response.a_down", device.response.a_up).replace("response.gamma_down", device.response.gamma_up)
        assert device.sample((2, 2), (0,), "q").symmetry_point().abs().max() < 1e-5
    if kind == "constant-step":
        drifts = device.replace("response.step_up", step * (1 + 1e-6)).sample((2, 2), (0,), "q")
        assert (drifts.symmetry_point() == 1).all()


def test_devices_balanced_over_a_part_of_the_range_are_at_the_state_nearest_to_mid_range(tmp_path):
    """Steps are equal from 0.25 to 0.5 half ranges, up pulses move more below, down pulses more above."""
    file = tmp_path / "plateau.py"
    file.write_text(
        "from aimco.device.response import Response\n\n\nclass Plateau(Response):\n    @staticmethod\n    def step(g, up, p):\n"
        "        more = max(0.25 - g, 0) - max(g - 0.5, 0)\n"
        "        return p.step_up * (1 + more) if up else -p.step_down * (1 - more)\n"
    )
    device = Device.of({"g_min": 0.0, "g_max": 2.0, "response": {"kind": f"{file}:Plateau", "step_up": 0.01, "step_down": 0.01}})
    assert device.sample((2, 2), (0,), "q").symmetry_point().numpy() == pytest.approx(0.25, abs=1e-5)


@pytest.mark.parametrize("name", DEVICES)
def test_time_in_one_piece_is_time_in_many(name):
    """hold(a) then hold(b) is hold(a + b), for seconds and for 775 minutes."""
    device = DEVICES[name].replace("retention_s", 46500.0)
    arrays = [array_of(device) for _ in range(2)]
    for array in arrays:
        array.state.copy_(array.sampled.bounds()[1] / 2)
    arrays[0].elapse(775 * 60 + 80e-9)
    arrays[1].elapse(80e-9)
    arrays[1].elapse(775 * 60)
    assert torch.allclose(arrays[0].state, arrays[1].state, atol=1e-6)
    rest = arrays[0].sampled.resting_point()
    plain = "retention_s" not in device.spread and device.drift is None
    assert not plain or torch.allclose(arrays[0].state - rest, (arrays[0].sampled.bounds()[1] / 2 - rest) * 0.36788, atol=1e-4)


def test_devices_rest_and_leak_each_in_its_own_way():
    """tau exp(s z) and resting points with spread: logs of what is left have the spread asked for, within 5 %."""
    device = DEVICES["a soft-bounds device"].replace("retention_s", 100.0).replace("spread", {"retention_s": 0.3, "resting_g": 0.1})
    array = Crossbar(device, 60, 60)
    rest = array.sampled.resting_point()
    assert rest.std().item() == pytest.approx(0.1, rel=0.05)
    array.state.copy_(rest + 0.5)
    array.elapse(50.0)
    rates = -torch.log((array.state - rest) / 0.5)
    assert torch.log(rates).std().item() == pytest.approx(0.3, rel=0.05)
    array.elapse(1e9)
    assert torch.allclose(array.state, rest, atol=1e-6)


@pytest.mark.parametrize("steps", ["one", "a thousand", "random"])
def test_a_capacitor_of_775_minutes_holds_a_share_of_1_over_e(steps):
    """36.8 +- 0.1 % after 775 minutes, however the time is cut."""
    device = DEVICES["a constant-step device"].replace("retention_s", 775 * 60.0).replace("resting_g", 1.0).replace("spread", {})
    array = Crossbar(device, 4, 4)
    array.state.fill_(0.8)
    draws = np.random.default_rng(0).random(300)
    for part in {"one": [1.0], "a thousand": [1e-3] * 1000, "random": draws / draws.sum()}[steps]:
        array.elapse(float(part) * 775 * 60)
    assert (array.state / 0.8).mean().item() == pytest.approx(0.3679, abs=1e-3)


def test_time_gathers_for_each_member_of_an_ensemble_by_itself():
    """tau = 10 s and 1e5 s, 20,000 times 0.5 ms with a look at the states after each: 0.8 exp(-t/tau) is left, 0.2943 and 0.7999.

    0.5 ms show in single precision in the first member (5e-5 of tau) and not in the second (5e-9), whose time must go on gathering.
    """
    device = DEVICES["a constant-step device"].replace("resting_g", 1.0).replace("spread", {})
    taus, dt, times = (10.0, 1e5), 5e-4, 20_000
    array = Crossbar(stack([device.replace("retention_s", tau) for tau in taus]), 3, 2, seeds=(0, 1))
    array.state.fill_(0.8)
    for _ in range(times):
        array.elapse(dt)
        array.state  # noqa: B018
    for state, tau in zip(array.state, taus, strict=True):
        left = 0.8 * np.exp(-times * dt / tau)
        assert state.numpy() == pytest.approx(left, abs=1e-6)


@pytest.mark.parametrize("name", ["igzo-6t1c", "capacitor-cmos", "pcm"])
@pytest.mark.parametrize("asked", [False, True])
def test_a_time_cut_however_small_leaves_the_same(name, asked):
    """200 s at once, and as 20,000 times 10 ms with or without a look at the states in between: to the rounding of single precision.

    10 ms are 2e-7 of 775 minutes, less than a state in single precision can show each time.
    """
    device = Device.named(name)
    device = device.replace("retention_s", 46500.0) if device.drift is None else device
    arrays = [Crossbar(device, 5, 4) for _ in range(2)]
    for array in arrays:
        array.state.copy_(array.sampled.bounds()[1] * 0.6)
        array.elapse(1.0)
    arrays[0].elapse(200.0)
    for _ in range(20_000):
        arrays[1].elapse(0.01)
        if asked:
            arrays[1].state  # noqa: B018
    assert (arrays[0].state - array.sampled.bounds()[1] * 0.6).abs().min() > 1e-3
    assert torch.allclose(arrays[0].state, arrays[1].state, rtol=0, atol=1.2e-7)


def test_pulses_between_short_times_do_not_stop_the_leak():
    """Up and down in turn, 5,000 times with 10 ms after each, leaves what 50 s leave, to a few roundings of the pulses themselves."""
    device = Device.of(
        {"g_min": 0.0, "g_max": 2.0, "retention_s": 46500.0, "response": {"kind": "constant-step", "step_up": 2**-10, "step_down": 2**-10}}
    )
    array = Crossbar(device, 4, 4)
    array.state.fill_(0.75)
    for k in range(5000):
        array.pulse_rows(torch.full(array.shape, 1 - 2 * (k % 2), dtype=torch.int32))
        array.elapse(0.01)
    expected = 0.75 * np.exp(-50 / 46500)
    assert array.state.numpy() == pytest.approx(expected, abs=2e-5)


@pytest.mark.parametrize("pieces", [1, 7])
def test_a_conductance_drifts_by_the_power_of_time(pieces):
    """ln g against ln t has the slope -nu that was published for its conductance, within 2 %, however the time is cut."""
    parts = {"g_min": 0.1e-6, "g_max": 25e-6, "drift": {"spread_min": 0.0, "spread_max": 0.0}}
    device = Device.of(parts | {"response": {"kind": "soft-bounds", "step_up": 1e-7, "step_down": 1e-7}})
    array = Crossbar(device, 1, 3)
    g_0 = torch.tensor([[[2.0, 10.0, 24.0]]]) * 1e-6
    array.state.copy_(torch.as_tensor(device.normalised(g_0.double())).float())
    for _ in range(pieces):
        array.elapse((20e6 - 20) / pieces)
    exponents = -torch.log(device.conductance(array.state) / g_0[0].double()) / np.log(1e6)

    def published(g: torch.Tensor) -> torch.Tensor:
        return (-0.0155 * torch.log(g.double() / 25e-6) + 0.0244).clamp(0.049, 0.1)

    assert torch.allclose(exponents, published(g_0[0]), rtol=0.02)
    array.pulse_rows(torch.ones(array.shape, dtype=torch.int32))
    before = device.conductance(array.state)
    array.elapse(20.0)  # programmed anew: the clock starts again at t_0
    assert torch.allclose(-torch.log(device.conductance(array.state) / before) / np.log(2), published(before), rtol=0.02)


@pytest.mark.parametrize("name", DEVICES)
def test_a_device_is_plain_data_and_drawn_from_its_seed(name):
    device = DEVICES[name]
    assert Device.of(device.as_dict()) == device
    one, same, other = (device.sample((4, 4), [seed]).values for seed in (1, 1, 2))
    assert all(torch.equal(one[n], same[n]) for n in one)
    assert not device.spread or any(not torch.equal(one[n], other[n]) for n in one)


@pytest.mark.parametrize("law", ["normal", "lognormal"])
def test_devices_differ_by_the_spread_asked_for(law):
    """Steps by 30 % together and 10 % between up and down, bounds by 5 and 20 %: standard deviations of 10,000, within 3 % (0.7 %)."""
    asked = {"step": 0.3, "asymmetry": 0.1, "g_max": 0.05, "g_min": 0.2}
    response = {"kind": "soft-bounds", "step_up": 0.01, "step_down": 0.009}
    device = Device.of({"g_min": 1.0, "g_max": 3.0, "response": response, "spread": asked, "spread_law": law})
    values = {name: value.double() for name, value in device.sample((100, 100), [0]).values.items() if name in (*response, *asked)}
    up, down = values["step_up"] / 0.01, values["step_down"] / 0.009
    together = (up + down) / 2
    spread = torch.log(together) if law == "lognormal" else together
    spreads = {"step": spread.std(), "asymmetry": ((up - down) / 2).std(), "g_max": values["g_max"].std(), "g_min": values["g_min"].std()}
    assert {name: value.item() for name, value in spreads.items()} == pytest.approx(asked, rel=0.03)
    assert (values["g_max"].mean().item(), -values["g_min"].mean().item()) == pytest.approx((1, 1), abs=4 * 0.2 / 100)
    assert spread.mean().item() == pytest.approx(0 if law == "lognormal" else 1, abs=4 * 0.3 / 100)


@pytest.mark.parametrize("name", catalogue())
def test_every_number_of_the_catalogue_has_a_source(name):
    device = Device.named(name)
    assert device.sources
    assert all(device.sources.values())


MICRO = {"g_min": 1e-7, "g_max": 1e-5, "response": {"kind": "constant-step", "step_up": 1e-8, "step_down": 1e-8}}


@pytest.fixture(params=ARRAYS, ids=short)
def stands_in(request) -> ai.Design:
    """A design of weights in arrays of 16 x 8 cells of one kind, of devices of 0.1 to 10 uS."""
    return design(array={"kind": request.param, "rows": 16, "cols": 8}, device=MICRO)


def written(spec: ai.Design, rows: int = 16, columns: int = 8, seeds: tuple[int, ...] = (0,)) -> ai.AnalogMatrix:
    matrix = ai.AnalogMatrix(ai.ArraySpec.of(spec), rows, columns, seeds=seeds)
    matrix.program(1.4 * torch.rand(1, rows, columns, generator=torch.Generator().manual_seed(0)) - 0.7)
    return matrix


def test_an_array_is_plain_data_in_a_design(stands_in):
    assert ai.Design.of(tomllib.loads(stands_in.dumps())) == stands_in
    assert ai.Design.of(stands_in.as_dict()).hash() == stands_in.hash()
    assert stands_in.replace("array.cols", 4).array.kind == stands_in.array.kind


def test_an_array_reads_the_product_with_its_weights_as_well_as_it_can(stands_in):
    """Within a quarter, of weights over several arrays and both ways round; nothing is read of no voltage, or of states that are 0."""
    matrix, draws = written(stands_in, 24, 10), torch.Generator().manual_seed(0)
    for read, v, w in ((matrix.mvm, torch.randn(1, 5, 24, generator=draws), matrix.weights),
                       (matrix.mvm_t, torch.randn(1, 5, 10, generator=draws), matrix.weights.transpose(1, 2))):  # fmt: skip
        ideal = v @ w
        assert ((read(v) - ideal).norm() / ideal.norm()) < 0.25
        assert not read(torch.zeros_like(v)).any()
    matrix.program(torch.zeros(1, 24, 10))
    for tile in (tile for line in matrix.tiles for tile in line):
        tile.crossbar.state.zero_()
    assert matrix.mvm(torch.randn(1, 2, 24, generator=draws)).abs().max() < 1e-6


def test_an_array_reads_a_vector_as_it_reads_a_batch(stands_in):
    """One after the other, all together, and each row of an identity as a row that is read alone."""
    matrix, x = written(stands_in), torch.randn(1, 20, 16, generator=torch.Generator().manual_seed(0))
    apart = torch.cat([written(stands_in).mvm(x[:, k : k + 1]) for k in (0, 7, 19)], 1)
    assert torch.allclose(matrix.mvm(x)[:, [0, 7, 19]], apart, atol=1e-5)
    assert torch.allclose(matrix.mvm(torch.eye(16)[None]), matrix.read_rows(), atol=1e-5)


def test_both_sides_of_a_linear_array_read_one_matrix(stands_in):
    """d (x W) = x (d W^T): the circuit is reciprocal. Where cells are not linear, currents of twice the voltage are not twice as large."""
    matrix, draws = written(stands_in), torch.Generator().manual_seed(0)
    x, d = torch.randn(1, 1, 16, generator=draws), torch.randn(1, 1, 8, generator=draws)
    x, d = x / x.abs().max(), d / d.abs().max()
    linear = bool(((matrix.mvm(x) * d).sum() - (matrix.mvm_t(d) * x).sum()).abs() < 1e-5)
    assert linear == stands_in.array.linear
    plain = written(stands_in.replace("periphery.noise_management", "none"))
    assert torch.allclose(plain.mvm(x), 2 * plain.mvm(x / 2), rtol=1e-4, atol=1e-6) == stands_in.array.linear


def test_a_pulse_on_one_device_is_read_in_its_column(stands_in):
    matrix, pulses = written(stands_in), torch.zeros(1, 16, 8, dtype=torch.int32)
    before = matrix.read_rows()
    pulses[0, 5, 3] = 40
    matrix.pulse_rows(pulses)
    moved = (matrix.read_rows() - before)[0]
    assert moved.abs().argmax() == 5 * 8 + 3
    assert moved[5, 3] > 0.05
    assert (moved.abs() > 0.02).sum() == 1


def test_a_member_and_a_checkpoint_of_an_array_read_as_alone(stands_in):
    both, x = written(stands_in, seeds=(1, 2)), torch.randn(1, 3, 16, generator=torch.Generator().manual_seed(0))
    read = both.mvm(x.expand(2, -1, -1).contiguous())
    assert all(torch.equal(read[e], written(stands_in, seeds=(seed,)).mvm(x)[0]) for e, seed in enumerate((1, 2)))
    other = ai.AnalogMatrix(ai.ArraySpec.of(stands_in), 16, 8, seeds=(1, 2))
    other.restore(both.checkpoint())
    for k in range(8):
        assert torch.equal(*(m.mvm(x[:, k % 3 : k % 3 + 1].expand(2, -1, -1).contiguous()) for m in (both, other)))


def test_a_layer_learns_in_an_array_and_is_priced(stands_in):
    """Four patterns, 30 batches: the loss falls by a third, and the area is that of the cells, or less where they are stacked."""
    spec = stands_in.replace("rule.lr", 0.3)
    draws, losses = torch.Generator().manual_seed(0), []
    patterns, y = torch.rand(4, 12, generator=draws), torch.randint(4, (30, 8), generator=draws)
    model = ai.nn.Linear(12, 4, design=spec)
    optimizer = ai.optim.InMemory(model.parameters(), lr=0.3)
    for k in range(30):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(patterns[y[k]]), y[k])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) < 0.67 * sum(losses[:5])
    areas = [ai.price(d, {"one": {"W": ai.Counts()}}, shapes={"one": {"W": (12, 4)}}) for d in (spec, design())]
    cells = [sum(i.area_m2 for i in price.items if i.component == "array") for price in areas]
    assert cells[0] == pytest.approx(cells[1] / spec.array.layers) != 0


def plain_cell(kind: str, weight_max: float = 2.0) -> dict:
    """A cell of some kind; further devices in it are fine and without spread or noise, so that what is written can be held."""
    fine = Device.named("pcm").replace("spread", {}).replace("cycle_noise", 0.0).replace("response.step_up", 4e-8)
    return {"kind": kind, "weight_max": weight_max} | ({"pcm": fine.as_dict()} if kind == "capacitor-pcm" else {})


@pytest.mark.parametrize("kind", CELLS, ids=short)
def test_a_cell_holds_what_is_programmed(kind):
    """Weights of an array programmed with verify: within one step of the target, inside the range."""
    spec = design(cell=plain_cell(kind)).replace("device.spread", {})
    one_sided = {"kind": "pcm", "step_up": spec.device.response.step_up}
    for device in (spec.device, spec.device.replace("response", one_sided)) if spec.cell.rises_only else (spec.device,):
        matrix = ai.AnalogMatrix(ai.ArraySpec(device).within(spec), 6, 5)
        target = torch.linspace(-1.5, 1.5, 30).reshape(1, 6, 5)
        matrix.program(target)
        assert (matrix.weights - target).abs().max() <= float(
            matrix.step[0]
        ) * 12  # after a RESET the first pcm step is 9 times that at mid-range
        assert torch.allclose(matrix.mvm(torch.eye(6)[None]), matrix.weights, atol=1e-6)


@pytest.mark.parametrize("cell", CELLS, ids=short)
def test_the_expected_update_of_a_cell_is_lr_x_d(cell):
    """The mean over 400 arrays of one weight each, up and down, within 5 sigma; counts of one read and one update."""
    spec = design(cell=plain_cell(cell, 1.5)).replace("device.spread", {}).replace("device.response.kind", "constant-step")
    for d in (0.4, -0.4):
        matrix = ai.AnalogMatrix(ai.ArraySpec.of(spec), 1, 400)
        before = matrix.weights.clone()
        for _ in range(10):
            matrix.pulse(torch.ones(1, 1, 1), torch.full((1, 1, 400), d), 0.02)
        moved = matrix.weights - before
        assert abs(moved.mean().item() - 10 * 0.02 * d) < 0.1 * 10 * 0.02 * abs(d)
        assert matrix.counts["updates"] == 10


def program_error(**cell) -> float:
    """eps_w of a 20 x 20 matrix taught to pairs of phase-change devices."""
    device = {"g_min": 0.0, "g_max": 25e-6, "cycle_noise": 0.3, "spread": {"step": 0.2}, "response": {"kind": "pcm", "step_up": 5e-8}}
    parts = {"device": device, "rule": {"kind": "sgd", "lr": 0.03}, "training": {"epochs": 6, "batch": 1}}
    spec = ai.Design.of(parts | {"cell": {"kind": "pair", "weight_max": 2.0} | cell})
    return ai.evaluate(spec, "program", limit=5000).metrics["weight_error"]


@pytest.mark.slow
def test_a_pair_with_refresh_keeps_learning_and_one_without_fills_up():
    """Within 1.3 times of refreshing a hundred times as often; without refresh both devices are full and the matrix is lost."""
    often, seldom, never = program_error(refresh_every=10), program_error(refresh_every=1000), program_error(refresh_every=None)
    assert seldom < 1.3 * often
    assert never > 3 * seldom


def test_a_pair_has_no_symmetry_point_to_be_read_against():
    with pytest.raises(ai.InputError, match=r"cell\.kind must be of one device, as reference"):
        ai.nn.Linear(4, 3, design=design("tiki-taka", cell={"kind": "pair"}).replace("rule.reference", "symmetry-point"))


def network(layer: str, spec: ai.Design) -> torch.nn.Module:
    """A layer of 12 inputs and 4 outputs of some kind; as a convolution of a 3 x 4 image, as time steps of its rows of 4."""
    if layer == "linear":
        return ai.nn.Linear(12, 4, design=spec)
    if layer == "conv2d":
        conv = ai.nn.Conv2d(1, 4, 2, design=spec)
        return torch.nn.Sequential(torch.nn.Unflatten(1, (1, 3, 4)), conv, torch.nn.Flatten(2), Last())
    return torch.nn.Sequential(torch.nn.Unflatten(1, (3, 4)), ai.nn.LSTM(4, 4, batch_first=True, design=spec), Last())


class Last(torch.nn.Module):
    """What is said of four classes: the output after the last time step, or the mean over an image, on a scale that softmax feels."""

    def forward(self, y):
        return 4 * (y[0][:, -1] if isinstance(y, tuple) else y.mean(2))


@pytest.mark.parametrize("layer", ["linear", "conv2d", "lstm"])
@pytest.mark.parametrize("rule", RULES, ids=short)
def test_a_rule_learns_in_a_layer(rule, layer):
    """Noisy copies of four patterns, arrays cut in parts, 60 batches: the loss falls by a fifth, or by a tenth where weights are shared."""
    spec = design(rule, array={"rows": 7, "cols": 3}).replace("rule.lr", 0.3)
    brisk = {"lr_fast": 1.0} if hasattr(spec.rule, "scale_fast") else BRISK.get((rule, layer), {})
    for name, value in brisk.items():  # for so few samples
        spec = spec.replace(f"rule.{name}", value)
    spec = spec.replace("rule.transfer_every", 100) if rule == "weight-transfer" else spec  # else the capacitors are full
    draws = torch.Generator().manual_seed(0)
    patterns, y = torch.rand(4, 12, generator=draws), torch.randint(4, (60, 10), generator=draws)
    x = patterns[y] + 0.1 * torch.randn(60, 10, 12, generator=draws)
    model = network(layer, spec)
    optimizer, losses = ai.optim.InMemory(model.parameters(), lr=0.3), []
    for k in range(60):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(x[k]), y[k])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-10:]) < (0.8 if layer == "linear" else 0.9) * sum(losses[:10])
    assert all(c.get("updates", 0) + c.get("programmed", 0) > 0 for arrays in ai.counts(model).values() for c in arrays.values())


@pytest.mark.parametrize("rule", IN_ARRAYS, ids=short)
def test_a_checkpoint_resumes_bit_for_bit(rule):
    noisy = design(rule, periphery={"output_noise": 1e-10, "dac": {"bits": 7.0}, "adc": {"bits": 9.0, "range_A": 1e-7}})
    x, y = torch.rand(12, 10), torch.randint(3, (12,))

    def train(model, optimizer, steps):
        for _ in range(steps):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()

    models = [ai.nn.Linear(10, 3, design=noisy) for _ in range(2)]
    first = ai.optim.InMemory(models[0].parameters(), lr=0.1)
    train(models[0], first, 5)
    buffer = io.BytesIO()
    torch.save({"model": models[0].state_dict(), "optimizer": first.state_dict()}, buffer)
    train(models[0], first, 5)
    buffer.seek(0)
    saved = torch.load(buffer)
    second = ai.optim.InMemory(models[1].parameters(), lr=0.3)
    models[1].load_state_dict(saved["model"])
    second.load_state_dict(saved["optimizer"])
    train(models[1], second, 5)
    for name in models[0].matrices:
        assert torch.equal(models[0].matrices[name].weights, models[1].matrices[name].weights)
        assert str(models[0].matrices[name].counts) == str(models[1].matrices[name].counts)


@pytest.mark.parametrize("rule", IN_ARRAYS, ids=short)
def test_an_ensemble_member_equals_its_solo_run(rule):
    """States over 100 updates, and different learning rates beside each other: float32 rounding at most."""
    x = torch.rand(100, 10, 16, generator=torch.Generator().manual_seed(0))
    y = torch.randint(4, (100, 10), generator=torch.Generator().manual_seed(1))
    rates, seeds = (0.05, 0.1, 0.2), (1, 2, 3)

    def train(members, lr):
        model = torch.nn.Sequential(
            ai.nn.Linear(16, 8, design=design(rule), name="a", seeds=members),
            torch.nn.Sigmoid(),
            ai.nn.Linear(8, 4, design=design(rule), name="b", seeds=members),
        )
        optimizer = ai.optim.InMemory(model.parameters(), lr=lr)
        for k in range(100):
            optimizer.zero_grad()
            out = model(x[k].expand(len(members), *x[k].shape) if len(members) > 1 else x[k]).reshape(-1, 4)
            (torch.nn.functional.cross_entropy(out, y[k].repeat(len(members)), reduction="none").sum() / 10).backward()
            optimizer.step()
        return model

    together = train(seeds, torch.tensor(rates)[:, None, None])
    for e, (seed, lr) in enumerate(zip(seeds, rates, strict=True)):
        solo = train((seed,), lr)
        for k in (0, 2):
            for name in solo[k].matrices:
                assert torch.allclose(solo[k].matrices[name].weights[0], together[k].matrices[name].weights[e], atol=1e-6)


@pytest.mark.parametrize("name", catalogue())
def test_no_device_of_the_catalogue_conducts_less_than_nothing(name):
    """Of 10,000 devices no bound is below 0 S, and the bounds have the mean and the spread of the datasheet to 4 standard errors.

    A bound is at least 0.01 half ranges from the middle, which a spread of 0.6 brings to bear: the law is that of max(1 + s z, 0.01).
    """
    device = Device.named(name)
    sampled = device.sample((100, 100), [0])
    low, high = sampled.bounds()
    assert (device.conductance(low) >= -1e-7 * device.g_max).all()
    assert device.notes() == []
    for state, bound in ((-low, "g_min"), (high, "g_max")):
        z = np.linspace(-8, 8, 160_001)
        values, chance = np.maximum(1 + device.spread.get(bound, 0.0) * z, 0.01), np.exp(-z * z / 2) / np.exp(-z * z / 2).sum()
        mean = float((values * chance).sum())
        std = float(np.sqrt(((values - mean) ** 2 * chance).sum()))
        assert state.double().mean().item() == pytest.approx(mean, abs=4 * std / 100 + 1e-6)
        assert state.double().std().item() == pytest.approx(std, rel=4 / np.sqrt(20_000), abs=1e-6)


# steps over half the nominal range, as their sources give them: what a change of the assumed siemens must leave
NORMALISED = {
    "asymmetric-soft-bounds": (0.01, 0.01),
    "capacitor-cmos": (0.005, 0.005),
    "rpu": (1 / 600, 1 / 600),
    "rpu-10000-states": (2e-4, 2e-4),
    "rram-array-hfo2": (0.4622, 0.4622),
    "rram-array-om": (0.0949, 0.0949),
    "rram-gong2018-soft-bounds": (0.002, 0.002),
    "soft-bounds": (1 / 600, 1 / 600),
    "soft-bounds-rasch2024": (0.05, 0.05),
}


@pytest.mark.parametrize("name", NORMALISED)
def test_steps_are_those_of_the_source_in_units_of_the_range(name):
    device = Device.named(name)
    steps = device.response.step_up / device.half_range, device.response.step_down / device.half_range
    assert steps == pytest.approx(NORMALISED[name], rel=1e-4)


def test_a_spread_that_would_take_devices_below_0_S_is_cut_there_and_noted():
    """g_min at half the range above 0 S, spread of the bounds 0.5: 2.3 % lie 2 spreads below."""
    shape = {"g_min": 1.0, "g_max": 3.0, "response": {"kind": "constant-step", "step_up": 0.01, "step_down": 0.01}}
    device = Device.of(shape | {"spread": {"g_min": 0.5}})
    low = device.sample((100, 100), [0]).bounds()[0]
    assert low.min().item() == -2
    assert (low == -2).double().mean().item() == pytest.approx(0.0228, abs=0.006)
    assert device.notes() == [
        "2% of the devices have their lower bound at 0 S: spread.g_min would take it below, and its mean and spread are less"
    ]
    assert device.notes()[0] in ai.evaluate(design(device=device.as_dict()).replace("training.epochs", 1), limit=10).notes


# Sources of noise. One line here is all that a further kind needs, whose numbers have no defaults.

FRESH = """

class Fresh(Wander):
    def programmed(self, tensors, written):
        tensors["x"].masked_fill_(written, 0)
"""
NOISES = {
    "flicker": {"amplitude": 0.01, "f_low": 0.01, "f_high": 100.0, "power": 0.65},
    "flicker since programming": {"kind": "flicker", "amplitude": 0.01, "f_low": 0.01, "f_high": 100.0, "starts": "programmed"},
    "telegraph": {"amplitude": 0.1, "capture_s": 0.5, "emission_s": 1.5, "traps": 3},
    "Wander": {},
    "Fresh": {},
}
VARIED = {"amplitude": 0.03}  # of another member of an ensemble


def noise_of(name: str, folder) -> dict:
    """Plain data of a source; those of a user stand in a file."""
    (folder / "noises.py").write_text((TOYS / "my_noise.py").read_text() + FRESH)
    kind = f"{folder / 'noises.py'}:{name}" if name[0].isupper() else name
    return {"kind": kind} | NOISES.get(name, {})


def fluctuating(*sources: dict) -> Device:
    """0 to 2 S, steps of a thousandth of it: a device with some sources of noise."""
    steps = {"kind": "constant-step", "step_up": 0.002, "step_down": 0.002}
    return Device.of({"g_min": 0.0, "g_max": 2.0, "response": steps, "noise": list(sources)})


def relative_noise(array: Crossbar) -> np.ndarray:
    """Change of each conductance relative to it, (E, devices)."""
    return ((array.noisy_state() - array.state) / (array.state + 1)).double().flatten(1).numpy()


noises = pytest.mark.parametrize("name", [*ai.NoiseSource.kinds(), *(n for n in NOISES if n not in ai.NoiseSource.kinds())])


@noises
def test_noise_has_no_mean_over_devices(name, tmp_path):
    """At first, and after short and long times, within 5 standard errors of 20,000 devices; there is noise after them."""
    array = Crossbar(fluctuating(noise_of(name, tmp_path)), 100, 200)
    for dt in (0.0, 1e-3, 10.0, 46500.0, 1e-6):
        array.elapse(dt)
        seen = relative_noise(array)[0]
        assert abs(seen.mean()) <= 5 * seen.std() / np.sqrt(seen.size)
    assert 0.001 < seen.std() < 0.5


@noises
def test_noise_is_that_of_the_seed_the_array_and_the_source(name, tmp_path):
    """The same again; other devices, arrays, seeds and times are not correlated with it, nor a second source of the same kind."""
    source = noise_of(name, tmp_path)

    def run(seed, named):
        array = Crossbar(fluctuating(source), 40, 50, seeds=(seed,), names=(named,))
        array.elapse(100.0)
        return relative_noise(array)[0]

    first = run(1, "a")
    assert np.array_equal(first, run(1, "a"))
    for other in (run(2, "a"), run(1, "b"), np.roll(first, 1)):
        assert abs(np.corrcoef(first, other)[0, 1]) < 5 / np.sqrt(first.size)
    twice = Crossbar(fluctuating(source, source), 40, 50)
    twice.elapse(100.0)
    one, two = (relative_noise(array)[0].var() for array in (array_at(100.0, fluctuating(source)), twice))
    assert two / one == pytest.approx(2, rel=5 * np.sqrt(4 / 2000))  # were they the same draws, 4


def array_at(seconds: float, device: Device) -> Crossbar:
    array = Crossbar(device, 40, 50)
    array.elapse(seconds)
    return array


@noises
def test_a_member_has_the_noise_that_it_has_alone(name, tmp_path):
    """Of other numbers, seeds and times, among them none: to the rounding of float32."""
    base = fluctuating(noise_of(name, tmp_path))
    members = [base, base.replace("noise.0.amplitude", VARIED["amplitude"]), base]
    times = np.array([[1e-3, 1.0, 0.0], [1e4, 1e-3, 1e-2], [0.0, 1e-8, 1.0]])
    together = Crossbar(stack(members), 6, 9, seeds=(3, 4, 5))
    pulses = torch.arange(54 * 3, dtype=torch.int32).reshape(3, 6, 9) % 7
    for part in times.T:
        together.elapse(part)
        together.pulse_rows(pulses * 20)
    for e, member in enumerate(members):
        solo = Crossbar(member, 6, 9, seeds=(3 + e,))
        for dt in times[e]:
            solo.elapse(float(dt))
            solo.pulse_rows(pulses[e : e + 1] * 20)
        assert np.abs(relative_noise(solo)[0]).max() > 0
        assert torch.allclose(solo.noisy_state()[0], together.noisy_state()[e], rtol=0, atol=1e-6)


@noises
def test_noise_over_a_time_in_parts_has_the_law_of_the_whole(name, tmp_path):
    """Variances after 1 s, and of the change since, at once and in 100 parts: within 5 standard errors of 20,000 devices."""
    pieces, values = np.random.default_rng(0).random(100), []
    for seed, times in enumerate(([1.0], pieces / pieces.sum())):
        array = Crossbar(fluctuating(noise_of(name, tmp_path)), 100, 200, seeds=(seed,))
        array.elapse(0.5)
        before = relative_noise(array)[0]
        for dt in times:
            array.elapse(float(dt))
        after = relative_noise(array)[0]
        values.append((after.var(), (after - before).var()))
        assert (after != before).mean() > 0.3
    assert values[0] == pytest.approx(values[1], rel=5 * np.sqrt(2 * 2 / 20_000))


@noises
def test_noise_resumes_from_a_checkpoint_bit_for_bit(name, tmp_path):
    device = fluctuating(noise_of(name, tmp_path))
    arrays = [Crossbar(device, 7, 5, seeds=(1, 2)) for _ in range(2)]

    def live(array):
        for dt in (1e-3, 0.1, 1e-6):  # less than the noise remembers
            array.pulse_rows(torch.arange(35, dtype=torch.int32).reshape(1, 7, 5) % 3 - 1)
            array.elapse(dt)

    live(arrays[0])
    buffer = io.BytesIO()
    torch.save(arrays[0].checkpoint(), buffer)
    buffer.seek(0)
    arrays[1].restore(torch.load(buffer))
    for array in arrays:
        live(array)
    assert torch.equal(arrays[0].noisy_state(), arrays[1].noisy_state())


@noises
def test_programming_starts_the_noise_of_those_that_count_from_it_and_of_no_other(name, tmp_path):
    """Right after a pulse, and 1 us later: nothing is left of a noise that restarts, nothing is lost of another."""
    device = fluctuating(noise_of(name, tmp_path))
    array = array_at(100.0, device)
    before = relative_noise(array)[0].reshape(40, 50)
    pulses = torch.zeros(array.shape, dtype=torch.int32)
    pulses[:, :20] = 1
    array.pulse_rows(pulses)
    array.elapse(1e-6)
    after = relative_noise(array)[0].reshape(40, 50)
    assert np.corrcoef(before[20:].ravel(), after[20:].ravel())[0, 1] > 0.99
    if device.noise[0].restarts:
        assert after[:20].std() < 0.01 * before.std()
    else:
        assert np.corrcoef(before[:20].ravel(), after[:20].ravel())[0, 1] > 0.99


def test_sources_of_noise_add_up(tmp_path):
    """Each as alone, to the rounding of float32."""
    sources = [noise_of(name, tmp_path) for name in ("flicker", "telegraph", "Wander")]
    parts = [relative_noise(array_at(3.0, fluctuating(source)))[0] for source in sources]
    assert relative_noise(array_at(3.0, fluctuating(*sources)))[0] == pytest.approx(sum(parts), abs=1e-6)


def test_a_users_noise_reaches_a_run(tmp_path):
    """In both members of an ensemble it is the device's alone: what is learned differs from what is learned without."""
    spec = design(device=fluctuating(noise_of("Wander", tmp_path)).as_dict()).replace("training.epochs", 1)
    quiet = spec.replace("device.noise", [])
    one, loud = (ai.evaluate(d, limit=30) for d in (spec, spec.replace("device.noise.Wander.amplitude", 0.5)))
    assert ai.evaluate(quiet, limit=30).curves["train_loss"] != one.curves["train_loss"] != loud.curves["train_loss"]
    together = ai.evaluate_many([spec, spec.replace("device.noise.Wander.amplitude", 0.5)], limit=30, seeds=[0, 0])
    assert [r.curves["train_loss"] for r in together] == [pytest.approx(r.curves["train_loss"], rel=1e-4) for r in (one, loud)]
