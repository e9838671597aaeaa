"""Operations that learning rules are written in, and what the rules do with them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import aimco as ai
from aimco.arrays.crossbar import Crossbar
from aimco.arrays.spec import ArraySpec
from aimco.cell import Cell
from aimco.device.device import Device
from aimco.ensemble import stack
from aimco.kernels import filters
from aimco.learning import Rule, split_at_transfers, transfer_counter, transfer_schedule
from aimco.mapping import AnalogMatrix
from aimco.nn.linear import Linear
from aimco.periphery import Periphery
from aimco.tile import Tile
from aimco.zero_shift import rest, zero_shift
from designs import LAYER_RULES

STEADY = {"g_min": 0.0, "g_max": 2.0, "response": {"kind": "constant-step", "step_up": 0.01, "step_down": 0.02}}
SOFT = {"g_min": 0.0, "g_max": 2.0, "response": {"kind": "soft-bounds", "step_up": 0.02, "step_down": 0.02}}


def design(rule: dict, **parts) -> ai.Design:
    return ai.Design.of({"device": SOFT, "rule": rule} | parts)


@pytest.mark.parametrize("size", [(4, 6), (6, 4)])
def test_pulses_on_a_row_step_its_devices_alone(size):
    """n up steps of 0.01 or down steps of 0.02, each device its own number; two slots for each of the most pulses."""
    array = Crossbar(Device.of(STEADY), *size, seeds=(0, 1))
    pulses = torch.zeros(2, size[1], dtype=torch.int32)
    pulses[0, 0], pulses[1, 1] = 3, -2
    array.pulse_rows(pulses[:, None], np.array([2]))
    wanted = torch.zeros(2, *size)
    wanted[0, 2, 0], wanted[1, 2, 1] = 0.03, -0.04
    torch.testing.assert_close(array.state, wanted, atol=1e-6, rtol=0)
    counted = {n: array.counts[n].tolist() for n in ("slots", "row_pulses", "column_pulses", "coincidences")}
    assert counted == {"slots": [6, 4], "row_pulses": [3, 2], "column_pulses": [3, 2], "coincidences": [3, 2]}


def test_pulses_on_a_row_of_pairs_only_raise_devices():
    device = Device.of(STEADY | {"response": {"kind": "pcm", "step_up": 0.01}})
    tile = Tile(ArraySpec(device, Cell.of({"kind": "pair"})), 3, 3)
    before = tile.crossbar.state[0, 0, 0].item()
    tile.pulse_rows(torch.tensor([[[2, -2, 0]]], dtype=torch.int32), np.array([1]))
    moved = tile.weights[0, 1]
    assert moved[0] > 0.009
    assert moved[1] < -0.009
    assert moved[2] == 0
    assert all((crossbar.state >= before).all() for crossbar in tile.crossbars)


@pytest.mark.parametrize("cell", ["reference", "pair"])
def test_a_row_is_read_as_the_product_with_one_input(cell):
    """The same numbers, noise and counts as a read of all rows with a 1 on one of them."""
    device = Device.of(STEADY | {"read_noise": 0.01})
    lossy = {"dac": {"bits": 5.0}, "adc": {"bits": 7.0, "range_A": 0.05}, "output_noise": 0.01}
    for parts in ({}, lossy):
        tiles = [Tile(ArraySpec(device, Cell.of({"kind": cell}), periphery=Periphery.of(parts)), 5, 7, seeds=(1, 2)) for _ in range(2)]
        for tile in tiles:
            for k, crossbar in enumerate(tile.crossbars):
                crossbar.state.copy_(torch.rand(2, 5, 7, generator=torch.Generator().manual_seed(k)) - 0.4)
        one = torch.zeros(2, 1, 5)
        one[..., 3] = 1
        torch.testing.assert_close(tiles[0].read_row(3), tiles[1].mvm(one)[:, 0], atol=1e-6, rtol=0)
        reads = [{n: np.asarray(tile.counts[n]).tolist() for n in ("mvm", "adc", "dac", "cell_reads")} for tile in tiles]
        assert reads[0] == reads[1]


@pytest.mark.parametrize("members", [1, 9])
@pytest.mark.parametrize("size", [(30, 50), (50, 30)])
@pytest.mark.parametrize(
    "parts", [{}, {"array": {"rows": 20}}, {"device": "pcm-noisy"}, {"device": SOFT | {"half_select": 0.01}}, {"cell": {"kind": "pair"}}]
)
def test_reads_between_samples_are_pulses_and_reads_in_turn(size, members, parts):
    """In one launch or one after the other, also over several arrays: the same states, reads and counts."""
    spec = ai.Design.of({"device": SOFT | {"spread": {"step": 0.3}, "cycle_noise": 0.3}} | parts)
    options = (ArraySpec.of(spec), *size)
    together, apart = (AnalogMatrix(*options, seeds=tuple(range(members))) for _ in range(2))
    draws = torch.Generator().manual_seed(0)
    x, d = (torch.randn(members, 7, n, generator=draws) for n in size)
    lr = np.linspace(0.001, 0.002, 7 * members).reshape(members, 7)
    after, rows = np.array([1, 4, 5]), np.array([7, 0, 29])
    seen = together.pulse_and_read(x, d, lr, after, rows)
    for t, part in enumerate((slice(0, 2), slice(2, 5), slice(5, 6), slice(6, 7))):
        apart.pulse(x[:, part], d[:, part], np.ascontiguousarray(lr[:, part]))
        if t < len(rows):
            torch.testing.assert_close(seen[:, t], apart.read_row(int(rows[t])), atol=0, rtol=0)
    torch.testing.assert_close(together.weights, apart.weights, atol=0, rtol=0)
    counts = [{n: np.asarray(c).tolist() for n, c in m.counts.items()} for m in (together, apart)]
    assert counts[0] == counts[1]


def test_no_row_is_read_twice_in_a_run():
    """3 rows, a read every 2 samples, 13 samples: runs of at most 3 reads, that go on where the batch before ended."""
    state, reads_of_rows = transfer_counter(), []
    for samples in (1, 13, 0, 4):
        ends = 0
        for run, after, rows, reads in transfer_schedule(2, state, samples, 3):
            assert run.start == ends
            assert len(set(rows.tolist())) == len(rows)
            reads_of_rows += [(int(r), int(n)) for r, n in zip(rows, reads, strict=True)]
            assert (after < run.stop - run.start).all()
            ends = run.stop
        assert ends == samples
    assert reads_of_rows == [(n % 3, n) for n in range(9)]
    assert (int(state["since"]), int(state["reads"])) == (0, 9)


def test_a_turn_may_be_counted_in_batches():
    """Every second batch, at its end, whatever its size; one without samples is none."""
    state = transfer_counter()
    sizes = (5, 1, 0, 7, 3, 2)
    runs = [list(transfer_schedule(2, state, n, 3, unit="batch")) for n in sizes]
    assert [[after.tolist() for _, after, _, _ in run] for run in runs] == [[[]], [[0]], [[]], [[]], [[2]], [[]]]
    again = transfer_counter()
    x = [torch.zeros(1, n, 1) for n in sizes]
    assert [[read for read, *_ in split_at_transfers(2, again, part, part, unit="batch")] for part in x] == [
        [None],
        [0],
        [],
        [None],
        [1],
        [None],
    ]
    assert state == again


def test_pulses_up_and_down_in_turn_settle_at_the_symmetry_point():
    """To e^-5 of the first distance after 5/d pairs, d = 2/states: what is left of 0.5 is below 0.004, with no noise."""
    array = Crossbar(Device.of(SOFT | {"spread": {"asymmetry": 0.2, "step": 0.1}}), 6, 5)
    array.state.fill_(0.5)
    array.pulse_up_down(2 * round(2.5 / 0.02))
    assert (array.state - array.sampled.symmetry_point()).abs().max() < 0.02 / 2 + 0.004
    assert array.counts["coincidences"] == 250 * 30


def test_a_reference_that_is_written_is_what_states_are_read_against():
    array = Crossbar(ArraySpec(Device.of(SOFT), reference="measured"), 3, 4)
    array.state.copy_(torch.linspace(-0.5, 0.5, 12).reshape(1, 3, 4))
    physical = array.state + array.origin
    array.set_reference(array.state.clone())
    assert array.state.abs().max() == 0
    torch.testing.assert_close(array.state + array.origin, physical)
    array.pulse_rows(torch.ones(array.shape, dtype=torch.int32))
    torch.testing.assert_close(array.state, 0.02 * (1 - physical), atol=1e-6, rtol=0)


def test_an_offset_reference_leaves_the_devices_where_they_are():
    """Standard deviation of 3600 references within four of its standard errors; means as well."""
    exact, offset = (Crossbar(ArraySpec(Device.of(SOFT), reference="symmetry-point", reference_error=e), 60, 60) for e in (0.0, 0.3))
    torch.testing.assert_close(exact.state + exact.origin, offset.state + offset.origin, atol=1e-6, rtol=0)
    assert offset.state.std().item() == pytest.approx(0.3, rel=4 / 7200**0.5)
    assert abs(offset.state.mean().item()) < 4 * 0.3 / 60


@given(st.lists(st.floats(-5, 5, width=32), min_size=2, max_size=8), st.integers(1, 3))
def test_the_filter_loses_nothing(reads, most):
    """What went in is what is held and what left as whole parts; pulses are these, at most `most`."""
    h, sent = np.zeros((1, 1, 1), np.float32), np.zeros((1, 1, 1), np.int32)
    left = 0.0
    for v in reads:
        before = float(h[0, 0, 0])
        filters.gather(h, np.zeros(1, np.int64), np.array([[[v]]], np.float32), np.ones(1, np.float32), np.array([most]), sent)
        whole = np.trunc(np.float32(before) + np.float32(v))
        assert abs(float(h[0, 0, 0])) < 1
        assert sent[0, 0, 0] == np.clip(whole, -most, most)
        left += whole
    assert left + float(h[0, 0, 0]) == pytest.approx(sum(reads), abs=1e-4)


def test_tiki_taka_moves_one_row_of_c_after_the_other_by_what_it_reads_of_a():
    """lr transfer_lr v on the row that was read, none on others, every second sample; means of 400 members within 4 standard errors."""
    fine = {"g_min": 0.0, "g_max": 2.0, "response": {"kind": "constant-step", "step_up": 1e-3, "step_down": 1e-3}}
    rule = {"kind": "tiki-taka", "transfer_every": 2, "transfer_lr": 0.5, "reference": "none"}
    layer = Linear(3, 2, False, design=design(rule, device=fine), seeds=range(400))
    a, c = layer.matrices["A"], layer.matrices["C"]
    held = torch.tensor([[0.4, -0.2], [0.3, 0.1], [-0.5, 0.25]])
    a.tiles[0][0].crossbar.state.copy_(held.expand(400, 3, 2))
    nothing = torch.zeros(400, 1, 3), torch.zeros(400, 1, 2)
    for sample in range(8):
        before = c.weights.clone()
        layer.rule.update(layer.matrices, layer.rule_state, *nothing, 0.1)
        moved, wanted = c.weights - before, torch.zeros(3, 2)
        if sample % 2:
            row = sample // 2 % 3
            wanted[row] = 0.1 * 0.5 * held[row]
        error = moved.std(0) / 400**0.5
        assert ((moved.mean(0) - wanted).abs() <= 4 * error + 1e-6).all()
        assert (error < 1e-3).all()


def test_tiki_taka_v2_is_its_pseudo_code():
    """A sample at a time on steady devices: A by pulses, one row read every 2 samples, W by whole parts of the filter."""
    rule = {"kind": "tiki-taka-v2", "lr": 0.5, "lr_fast": 0.05, "scale_fast": False, "transfer_every": 2, "granularity": 2.0}
    rule |= {"reference": "none", "max_pulses": 1}
    layer = Linear(3, 2, False, design=design(rule, device=STEADY), name="linear", seed=0)  # of draws that touch no whole number
    a, w, h = layer.matrices["A"], layer.matrices["W"], np.zeros((3, 2))
    x, d = torch.rand(1, 24, 3, generator=torch.Generator().manual_seed(0)), torch.ones(1, 24, 2)
    expected = w.weights[0].numpy().copy()
    for t in range(24):
        layer.rule.update(layer.matrices, layer.rule_state, x[:, t : t + 1], d[:, t : t + 1], 0.5)
        if t % 2 == 1:
            k = t // 2 % 3
            h[k] += 0.5 * 2 * 3 * a.weights[0, k].numpy() / (2.0 * w.step[0])
            fired = np.trunc(h[k])
            h[k] -= fired
            expected[k] += np.where(fired > 0, 0.01, np.where(fired < 0, -0.02, 0))
    np.testing.assert_allclose(w.weights[0].numpy(), expected, atol=1e-5)
    assert (expected != 0).all()


def test_choppers_flip_as_often_as_they_should_and_move_the_dynamic_reference():
    """Of 3000 reads of 4 rows a tenth flips, within 4 standard deviations; p_ref is p where a row's sign has just changed."""
    layer = Linear(4, 2, False, design=design({"kind": "agad", "transfer_every": 1}))
    state, flips, chopper = layer.rule_state, 0, torch.ones(4)
    x, d = torch.rand(1, 1, 4), torch.randn(1, 1, 2)
    for t in range(3000):
        before = state["p_ref"].clone()
        layer.rule.update(layer.matrices, state, x, d, 0.01)
        changed = state["chopper"][0] != chopper
        assert changed.sum() == changed[t % 4].sum()
        if changed.any():
            assert torch.equal(state["p_ref"][0, t % 4], state["p"][0, t % 4])
        else:
            assert torch.equal(state["p_ref"], before)
        flips, chopper = flips + int(changed.sum()), state["chopper"][0].clone()
    assert abs(flips - 300) < 4 * np.sqrt(3000 * 0.1 * 0.9)


def test_regular_choppers_send_an_offset_into_the_filter_and_out_again():
    """No gradient, references that are off: rows change sign at each 10th or 4th read; two such periods leave H and W as they were."""
    rule = {
        "kind": "chopped-tiki-taka-v2",
        "flips": "regular",
        "transfer_every": 1,
        "reference_error": 0.3,
        "lr": 0.1,
        "granularity": 200.0,
    }
    periods = np.array([10, 4])
    layer = Linear(3, 2, False, design=stack([design(rule | {"flip": 1 / n}) for n in periods.tolist()]), name="layer 0", seeds=[0, 1])
    state, w = layer.rule_state, layer.matrices["W"]
    before, off = w.weights.clone(), -layer.matrices["A"].weights
    gain = torch.from_numpy(layer.rule.gain(layer.matrices["A"], w, 0.1))[:, None, None]
    for t in range(3 * 20):
        layer.rule.update(layer.matrices, state, torch.ones(2, 1, 3), torch.zeros(2, 1, 2), 0.1)
        reads = t // 3 + 1
        turned, rest = reads // periods % 2, reads % periods
        if t % 3 == 2:
            assert (state["chopper"][:, 0].numpy() < 0).tolist() == (turned == 1).tolist()
            left = torch.from_numpy(np.where(turned == 1, periods - rest, rest)).float()[:, None, None]
            torch.testing.assert_close(state["h"], -left * gain * off, atol=1e-4, rtol=1e-4)
    assert off.abs().max() > 0.1
    assert torch.equal(w.weights, before)


@pytest.mark.parametrize(
    ("rule", "parts", "field"),
    [
        ({"kind": "tiki-taka-v2", "reference": "resting-point"}, {}, r"device\.retention_s must be finite"),
        ({"kind": "chopped-retention-tiki-taka"}, {}, r"device\.retention_s must be finite"),
        ({"kind": "tiki-taka-v2", "reference": "symmetry-point"}, {"cell": {"kind": "pair"}}, r"cell\.kind must be of one device"),
        ({"kind": "e-rider"}, {"cell": {"kind": "pair"}}, r"cell\.kind must be of one device"),
        ({"kind": "agad", "reference_error": 0.1}, {}, r"rule\.reference_error must be 0 where rule\.reference is none"),
        ({"kind": "sgd", "reference": "resting-point"}, {}, r"device\.retention_s must be finite"),
        ({"kind": "tiki-taka-v2", "reference_pulse_s": 1e-6}, {}, r"rule\.reference_pulse_s must be absent without rule\.reference_pulses"),
        ({"kind": "tiki-taka-v2", "reference_wait_s": 1.0}, {}, r"rule\.reference_wait_s must be absent where rule\.reference is auto"),
        ({"kind": "probabilistic-write"}, {}, r"device\.programming_noise must be given"),
        ({"kind": "weight-transfer"}, {}, r"cell\.kind must be capacitor-pcm"),
    ],
)
def test_a_design_that_lacks_what_its_rule_needs_is_refused(rule, parts, field):
    with pytest.raises(ai.InputError, match=field):
        design(rule, **parts)


@pytest.mark.parametrize("rule", [kind for kind in LAYER_RULES if kind != "digital"])
def test_a_rule_is_plain_data(rule):
    rule_record = Rule.of({"kind": rule})
    assert Rule.of(rule_record.as_dict()) == rule_record


def measured(states: float, **device) -> ai.AnalogMatrix:
    """30 x 30 devices with soft bounds whose references are to be written."""
    step = 2 / states
    device = {"spread": {"asymmetry": 0.2}, "response": {"kind": "soft-bounds", "step_up": step, "step_down": step}} | device
    spec = ai.Design.of({"device": {"g_min": 0.0, "g_max": 2.0} | device})
    return ai.AnalogMatrix(ArraySpec.of(spec, "measured"), 30, 30)


def test_zero_shifting_stops_when_it_is_there():
    """With 200 states a hundredth is left after 461 pulses: a tolerance of 0.001 half ranges stops long before 20,000, within it."""
    matrix = measured(200)
    crossbar = matrix.tiles[0][0].crossbar
    crossbar.state.fill_(0.6)
    outcome = zero_shift(matrix, 20_000, tolerance=1e-3, check_every=100)
    assert 500 < outcome.pulses < 1500
    assert (crossbar.origin - crossbar.sampled.symmetry_point()).abs().max() < 5e-3
    assert matrix.counts["coincidences"] == outcome.pulses * 900
    assert matrix.counts["row_reads"] == outcome.reads * 30
    assert matrix.counts["programmed"] == 900


def test_zero_shifting_gives_up_where_noise_hides_the_way():
    matrix = measured(200, cycle_noise_additive=1.0)
    matrix.tiles[0][0].crossbar.state.fill_(0.6)
    assert zero_shift(matrix, 100_000, tolerance=1e-6, check_every=100).pulses < 5000


def test_pulses_and_leak_balance_where_both_are_at_work():
    """Up and down steps -+ d w and a leak of t/tau of the distance to rest: w (d + t/tau) = rest t/tau, noise-free."""
    matrix = measured(200, spread={}, retention_s=1.0, resting_g=1.8)
    zero_shift(matrix, 800, check_every=2, pulse_s=0.02)
    balance = 0.8 * 0.02 / (0.01 + 0.02)
    assert matrix.tiles[0][0].crossbar.origin.mean().item() == pytest.approx(balance, abs=0.02)


def test_resting_points_are_found_by_waiting():
    """After 8 tau the reference is within e^-8 of the resting points, and the wait is in the counts."""
    matrix = measured(200, retention_s=10.0, spread={"resting_g": 0.1})
    crossbar = matrix.tiles[0][0].crossbar
    crossbar.state.fill_(0.6)
    assert rest(matrix, 80.0).reads == 1
    assert (crossbar.origin - crossbar.sampled.resting_point()).abs().max() < 1e-3
    assert matrix.counts["hold_s"] == 80.0


def test_a_rule_that_finds_its_reference_pays_for_it():
    rule = {"kind": "tiki-taka-v2", "reference_pulses": 2000}
    layer = Linear(6, 5, False, design=design(rule))
    crossbar = layer.matrices["A"].tiles[0][0].crossbar
    assert crossbar.counts["coincidences"] == 2001 * 30
    assert (crossbar.origin - crossbar.sampled.symmetry_point()).abs().max() < 1e-3
    assert layer.rule.notes() == []


def test_mixed_precision_follows_the_digital_sum():
    """On steady devices W is the start plus the whole steps of lr sum x d^T, and chi holds the rest, within half a step."""
    steady = STEADY | {"response": {"kind": "constant-step", "step_up": 0.01, "step_down": 0.01}}
    layer = Linear(5, 3, False, design=design({"kind": "mixed-precision", "transfer_every": 7}, device=steady))
    w, before = layer.matrices["W"], layer.matrices["W"].weights.clone()
    x, d = torch.randn(1, 28, 5), torch.randn(1, 28, 3)
    for first in range(0, 28, 4):  # batches that do not fit the schedule
        part = slice(first, first + 4)
        layer.rule.update(layer.matrices, layer.rule_state, x[:, part], d[:, part], 0.01)
    wanted = 0.01 * torch.bmm(x.transpose(1, 2), d)
    torch.testing.assert_close(w.weights - before + layer.rule_state["chi"], wanted, atol=1e-5, rtol=0)
    assert layer.rule_state["chi"].abs().max() <= 0.005 + 1e-6


def taught(rule: dict, device: dict, *, samples: int, batch: int, lr: float) -> float:
    """What is left of the error of a 6 x 6 layer that is taught to be a matrix, root mean square over the last quarter."""
    target = 0.3 * torch.randn(6, 6, generator=torch.Generator().manual_seed(0))
    layer = Linear(6, 6, False, design=design(rule, device=device))
    x, late = torch.randn(1, samples, 6, generator=torch.Generator().manual_seed(1)), []
    for k in range(0, samples, batch):
        rows = x[:, k : k + batch]
        product = layer.read(rows)
        layer.teach(rows, product, rows @ target - product, lr)
        if k > 0.75 * samples:
            late.append((layer.stored - target).square().mean().sqrt().item())
    return float(np.mean(late))


def test_each_further_residual_array_makes_the_error_smaller():
    """Devices of 10 states taught to be a 6 x 6 matrix: rounding is 0.058; plain descent leaves 0.18, two arrays 0.06, three 0.02."""
    response = {"kind": "soft-bounds", "step_up": 0.2, "step_down": 0.2}
    coarse = {"g_min": 0.0, "g_max": 2.0, "response": response, "cycle_noise_additive": 0.1}
    rules = [{"kind": "sgd"}] + [{"kind": "residual", "num_arrays": n, "transfer_every": 5} for n in (2, 3)]
    plain, two, three = (taught(rule, coarse, samples=20_000, batch=5, lr=0.05) for rule in rules)
    assert plain == pytest.approx(0.18, abs=0.03)
    assert two < 0.06
    assert three < 0.02


def test_the_reference_of_rider_finds_the_symmetry_points():
    """Under gradients of mean zero A drifts to its symmetry points, and its slow mean with it: from 0.2 away to less than 0.05."""
    device = SOFT | {"spread": {"asymmetry": 0.2}}
    rule = {"kind": "rider", "gamma": 0.0, "memory": 0.004, "transfer_every": 1, "scale_fast": False, "lr_fast": 0.05, "granularity": 200.0}
    layer = Linear(4, 6, False, design=design(rule, device=device))
    crossbar = layer.matrices["A"].tiles[0][0].crossbar
    point = crossbar.sampled.symmetry_point()
    draws = torch.Generator().manual_seed(0)
    assert (crossbar.origin - point).square().mean().sqrt() > 0.1
    for _ in range(600):
        x, d = torch.randn(1, 20, 4, generator=draws), torch.randn(1, 20, 6, generator=draws)
        layer.rule.update(layer.matrices, layer.rule_state, x, d, 0.01)
    points = crossbar.origin[0] + layer.rule_state["q"][0]
    assert (points - point[0]).square().mean().sqrt() < 0.05


@pytest.mark.parametrize("kind", ["rider", "e-rider"])
def test_what_rider_reads_is_w_and_the_chopped_residual(kind):
    """Both products and what is stored agree, W + gamma c (A - Q), after choppers have flipped and references were written."""
    layer = Linear(5, 3, False, design=design({"kind": kind, "gamma": 0.7, "transfer_every": 1, "memory": 0.5}))
    x, d = torch.rand(1, 200, 5), torch.randn(1, 200, 3)
    layer.rule.update(layer.matrices, layer.rule_state, x, d, 0.1)
    chopper = layer.rule_state["chopper"]
    assert (chopper < 0).any() == (kind == "e-rider")
    wanted = layer.matrices["W"].weights + 0.7 * chopper[:, :, None] * layer.matrices["A"].weights
    torch.testing.assert_close(layer.stored, wanted)
    torch.testing.assert_close(layer.read(torch.eye(5)[None]), wanted, atol=1e-6, rtol=0)
    torch.testing.assert_close(layer.read_t(torch.eye(3)[None]), wanted.transpose(1, 2), atol=1e-6, rtol=0)
    assert layer.matrices["A"].counts["programmed"] > 0


def test_references_that_are_written_in_some_members_are_counted_there():
    array = Crossbar(ArraySpec(Device.of(SOFT), reference="measured"), 3, 4, seeds=(0, 1))
    array.set_reference(torch.full((2, 4), 0.2), 1, torch.tensor([True, False]))
    assert array.counts["programmed"].tolist() == [4, 0]
    assert array.origin[0, 1].min().item() == pytest.approx(0.2)
    assert array.origin[1].abs().max() == 0


WRITTEN = STEADY | {"response": {"kind": "constant-step", "step_up": 1e-4, "step_down": 1e-4}, "programming_noise": [0.05, 0.0, 0.0]}


@pytest.mark.parametrize("wanted", [0.01, -0.03])
def test_a_probabilistic_write_moves_by_the_gradient_on_average(wanted):
    """Of 3600 weights a share |g|/sigma is written, by sigma: mean g and variance 2 |g| sigma - g^2, both within 4 standard errors."""
    layer = Linear(60, 60, False, design=design({"kind": "probabilistic-write", "transfer_every": 1}, device=WRITTEN))
    w = layer.matrices["W"]
    w.tiles[0][0].crossbar.state.zero_()
    written = w.counts["programmed"]
    layer.rule.update(layer.matrices, layer.rule_state, torch.ones(1, 1, 60), torch.full((1, 1, 60), wanted), 1.0)
    moved, sigma = w.weights.double(), 0.05
    variance = 2 * abs(wanted) * sigma - wanted**2
    assert abs(moved.mean().item() - wanted) < 4 * np.sqrt(variance / 3600)
    assert moved.var().item() == pytest.approx(variance, rel=0.25)
    share = abs(wanted) / sigma
    assert abs(w.counts["programmed"] - written - 3600 * share) < 4 * np.sqrt(3600 * share * (1 - share))


def test_writing_by_chance_learns_where_writing_always_drowns():
    """A 6 x 6 matrix in devices whose writes are wrong by 0.05: every weight written every time ends there, by chance far below."""
    rule = {"kind": "probabilistic-write", "transfer_every": 10}
    chance, always = (taught(rule | {"noise": n}, WRITTEN, samples=2000, batch=10, lr=0.005) for n in (1.0, 1e-3))
    assert chance < 0.6 * always
