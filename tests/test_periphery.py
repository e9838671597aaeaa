"""Converters, sense amplifiers and integrators: ideal limits, what spread and noise do, bits one after the other, ranges from data."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from aimco.arrays.spec import ArraySpec
from aimco.binary.folded import fold
from aimco.binary.layers import SplitLinear
from aimco.cell.reference import Reference
from aimco.device.device import Device
from aimco.kernels import reference
from aimco.mapping import AnalogMatrix, Array
from aimco.periphery import Periphery, on_levels
from aimco.record import InputError
from aimco.tile import Tile

DEVICE = Device.of({"g_min": 0.0, "g_max": 2.0, "response": {"kind": "constant-step", "step_up": 0.01, "step_down": 0.01}})
UNIT = 0.2  # A: half the range of a device, 1 S, at the read voltage, 0.2 V


def tile(rows: int = 20, columns: int = 16, seeds: tuple[int, ...] = (0,), weight: float = 1.0, **periphery) -> Tile:
    """Devices at random states; noise management off unless asked for, so that a current of 1 is a number of 1."""
    parts = {"noise_management": "none", "bound_management": "none"} | periphery
    array = Tile(ArraySpec(DEVICE, Reference(weight_max=weight), periphery=Periphery.of(parts)), rows, columns, seeds=seeds, names=("law",))
    states = torch.rand(rows, columns, generator=torch.Generator().manual_seed(0)) - 0.5
    array.crossbar.state.copy_(states.expand(len(seeds), -1, -1))
    return array


def inputs(members: int = 1, batch: int = 30, lines: int = 20) -> torch.Tensor:
    return (2 * torch.rand(batch, lines, generator=torch.Generator().manual_seed(1)) - 1).expand(members, -1, -1).contiguous()


def test_twenty_four_bits_are_float():
    """Levels 2^-23 of the range apart: twice that for the DAC's share in a sum of 20, and float32."""
    fine = tile(dac={"bits": 24.0}, adc={"bits": 24.0, "range_A": 10 * UNIT}, noise_management="abs-max")
    torch.testing.assert_close(fine.mvm(inputs()), tile().mvm(inputs()), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "parts",
    [
        {"adc": {"noise_A": 0.0, "offset_A": 0.0, "gain_spread": 0.0}},
        {"integrator": {"capacitance_F": 1e-12}},
        {"adc": {"shared_by": 4}, "dac": {"shared_by": 2}},
    ],
)
def test_ideal_parts_change_nothing(parts):
    assert torch.equal(tile(**parts).mvm(inputs()), tile().mvm(inputs()))


def test_a_zero_point_shifts_every_read_of_its_converter_alike():
    array, exact = tile(columns=4000, seeds=(0, 1), adc={"offset_A": 0.3 * UNIT, "shared_by": 4}), tile(columns=4000, seeds=(0, 1))
    shift = array.mvm(inputs(2)) - exact.mvm(inputs(2))
    torch.testing.assert_close(shift, shift[:, :1].expand_as(shift), rtol=0, atol=1e-5)
    offsets = shift[:, 0].view(2, 1000, 4)
    torch.testing.assert_close(offsets, offsets[:, :, :1].expand_as(offsets), rtol=0, atol=1e-5)
    assert offsets.std() == pytest.approx(0.3, rel=0.1)  # 2000 draws: 1.6 % in one sigma
    assert abs(np.corrcoef(offsets[0, :, 0], offsets[1, :, 0])[0, 1]) < 0.15
    alone = tile(columns=4000, seeds=(1,), adc={"offset_A": 0.3 * UNIT, "shared_by": 4}).mvm(inputs())
    assert torch.equal(alone[0], array.mvm(inputs(2))[1])


def test_converters_of_rows_and_columns_differ():
    array, exact = tile(20, 20, adc={"offset_A": UNIT}), tile(20, 20)
    ahead, back = array.mvm(inputs()) - exact.mvm(inputs()), array.mvm_t(inputs()) - exact.mvm_t(inputs())
    assert (ahead[0, 0] - back[0, 0]).abs().min() > 1e-4


def test_a_gain_multiplies_every_read_of_its_converter():
    array, exact = tile(columns=2000, adc={"gain_spread": 0.1}), tile(columns=2000)
    ratio = array.mvm(inputs()) / exact.mvm(inputs())
    torch.testing.assert_close(ratio, ratio[:, :1].expand_as(ratio), rtol=1e-3, atol=0)
    assert ratio[0, 0].std() == pytest.approx(0.1, rel=0.1)  # 2000 draws


def test_noise_of_conversions_adds_to_that_of_lines():
    array = tile(output_noise=0.3 * UNIT, adc={"noise_A": 0.4 * UNIT})
    error = array.mvm(inputs(batch=2000)) - tile().mvm(inputs(batch=2000))
    assert error.std() == pytest.approx(0.5, rel=0.02)


@pytest.mark.parametrize("management", ["none", "abs-max"])
@pytest.mark.parametrize("bits", [2.0, 5.0, 8.0])
def test_bits_one_after_the_other_read_as_all_at_once(bits, management):
    """With an exact ADC, to float32."""
    serial, parallel = ({"dac": {"bits": bits, "serial": s}, "noise_management": management} for s in (True, False))
    torch.testing.assert_close(tile(**serial).mvm(inputs()), tile(**parallel).mvm(inputs()), rtol=0, atol=2e-5)
    torch.testing.assert_close(tile(**serial).read_row(3), tile(**parallel).read_row(3), rtol=0, atol=2e-5)


def test_each_bit_goes_through_the_adc():
    """y = sum 2^k ADC(G^T s_k) / (2^(bits-1) - 1), with s_k the bits of the input, signed."""
    array = tile(weight=1.5, dac={"bits": 4.0, "serial": True}, adc={"bits": 5.0, "range_A": 3 * UNIT})
    x, state = inputs()[0].numpy(), array.crossbar.state[0].numpy()
    whole = np.round(x * 7).astype(int)
    parts = [np.sign(whole) * (np.abs(whole) >> k & 1) @ state for k in range(3)]
    expected = sum(2**k * 3 * reference.quantised(np.clip(part / 3, -1, 1), 5) / 7 for k, part in enumerate(parts))
    error = np.abs(array.mvm(inputs())[0].numpy() / 1.5 - expected)
    assert error.max() < 1.01 * 4 * 3 / 15 / 7  # a rounding that tips a level of the highest bit
    assert np.mean(error > 1e-4) < 0.01


@pytest.mark.parametrize("bits", [3, 8])
def test_noise_of_bits_is_weighed_like_them(bits):
    """sigma sqrt(sum 4^k) / (2^n - 1), n = bits - 1 pulses: less than one conversion's noise."""
    array = tile(columns=200, output_noise=0.3 * UNIT, dac={"bits": float(bits), "serial": True})
    error = array.mvm(inputs(batch=200)) - tile(columns=200, dac={"bits": float(bits)}).mvm(inputs(batch=200))
    n = bits - 1
    assert error.std() == pytest.approx(0.3 * np.sqrt((4**n - 1) / 3) / (2**n - 1), rel=0.03)


def test_members_may_differ_in_their_bits():
    both = Periphery.of({"noise_management": "none", "dac": {"bits": 5.0, "serial": True}, "output_noise": 0.1 * UNIT})
    both = Periphery.model_construct(**dict(both) | {"dac": type(both.dac).model_construct(**dict(both.dac) | {"bits": (3.0, 5.0)})})
    array = Tile(ArraySpec(DEVICE, Reference(weight_max=1.0), periphery=both), 20, 16, seeds=(0, 1), names=("law",))
    array.crossbar.state.copy_(tile(seeds=(0, 1)).crossbar.state)
    alone = [tile(seeds=(e,), dac={"bits": b, "serial": True}, output_noise=0.1 * UNIT) for e, b in enumerate((3.0, 5.0))]
    together = array.mvm(inputs(2))
    for e in (0, 1):
        torch.testing.assert_close(together[e], alone[e].mvm(inputs())[0], rtol=0, atol=1e-5)
        assert array.counts.member(e) == {n: np.asarray(v).item() for n, v in alone[e].counts.items()}


def test_every_pulse_is_counted():
    array = tile(dac={"bits": 5.0, "serial": True})
    array.mvm(inputs())
    counts = {n: array.counts[n] for n in ("mvm", "dac", "adc", "cell_reads", "digital_ops")}
    assert counts == {"mvm": 30, "dac": 4 * 30 * 20, "adc": 4 * 30 * 16, "cell_reads": 4 * 30 * 320, "digital_ops": 2 * 3 * 30 * 16}
    assert Periphery.of({"dac": {"bits": 5.0, "serial": True, "shared_by": 2}, "adc": {"shared_by": 8}}).read_cycles == 64


@pytest.mark.parametrize("serial", [False, True])
def test_a_range_is_taken_from_the_first_vectors(serial):
    adc = {"bits": 6.0, "calibration": "percentile", "percentile": 90.0}
    array = tile(dac={"bits": 5.0, "serial": serial}, adc=adc)
    whole = torch.round(inputs()[0] * 15)
    planes = [whole.sign() * (whole.abs().int() >> k & 1) for k in range(4)] if serial else [whole / 15]
    currents = torch.cat([plane @ array.crossbar.state[0] for plane in planes]).abs()
    array.mvm(inputs())
    assert array.chain.limits["mvm"][0] == pytest.approx(np.percentile(currents.numpy(), 90), rel=1e-5)
    before = array.chain.limits["mvm"].copy()
    array.mvm(2 * inputs())
    assert array.chain.limits["mvm"] == before
    assert np.isnan(array.chain.limits["mvm_t"])
    array.calibrate(0.5 * inputs())
    assert array.chain.limits["mvm"] < before


def test_a_range_from_data_is_within_that_of_the_converter_and_in_checkpoints():
    adc = {"bits": 6.0, "calibration": "percentile", "range_A": 0.1 * UNIT}
    array, other = tile(adc=adc), tile(adc=adc)
    array.mvm(torch.zeros(1, 1, 20))
    assert np.isnan(array.chain.limits["mvm"])  # zeros say nothing of a range
    array.mvm(inputs())
    assert array.chain.limits["mvm"] == pytest.approx(0.1)
    other.restore(array.checkpoint())
    assert np.array_equal(other.chain.limits["mvm"], array.chain.limits["mvm"])


def test_a_calibrated_adc_loses_less_than_one_that_takes_in_everything():
    exact, batch = tile().mvm(inputs()), inputs()
    wide = tile(adc={"bits": 4.0, "range_A": 20 * UNIT})
    fitted = tile(adc={"bits": 4.0, "calibration": "percentile", "percentile": 99.0})
    assert (fitted.mvm(batch) - exact).square().mean() < 0.1 * (wide.mvm(batch) - exact).square().mean()


def test_a_sense_amplifier_leaves_the_sign_and_a_tie_is_up():
    array = tile(sense={})
    bits, exact = array.mvm(inputs()), tile().mvm(inputs())
    assert torch.equal(bits, torch.where(exact >= 0, 1.0, -1.0))
    assert (array.mvm(torch.zeros(1, 1, 20)) == 1).all()
    assert (array.counts["sensed"], array.counts.get("adc", 0)) == (31 * 16, 0)


def test_the_zero_point_of_a_sense_amplifier_flips_what_is_near_it():
    exact, spread = tile(columns=500).mvm(inputs()), 0.2
    flipped = tile(columns=500, sense={"offset_A": spread * UNIT}).mvm(inputs()) * exact < 0
    assert 0.01 < flipped.float().mean() < 0.2
    assert exact[flipped].abs().max() < 5 * spread


def test_amplifiers_in_arrays_leave_the_bits_of_a_folded_layer():
    """One array for each group, its threshold in a row that is always driven."""
    layer = SplitLinear(24, 6, 3).eval()
    with torch.no_grad():
        layer.norm.running_mean.uniform_(-3.1, 3.1)  # pyright: ignore[reportOptionalMemberAccess]
    folded, x = fold(layer), torch.sign(inputs(lines=24)[0])
    votes = torch.zeros(30, 6)
    for k in range(3):
        array = tile(9, 6, sense={})
        array.crossbar.state.copy_(torch.cat((folded.weight[k], -folded.threshold[k : k + 1])) / 4)
        rows = torch.cat((x.view(30, 3, 8)[:, k], torch.ones(30, 1)), 1)
        votes += array.mvm(rows[None])[0]
    assert torch.equal(torch.where(votes >= 0, 1.0, -1.0), layer(x))


def test_a_matrix_over_several_arrays_counts_votes():
    matrix = AnalogMatrix(ArraySpec(DEVICE, Reference(weight_max=1.0), Array(rows=7, cols=16), Periphery.of({"sense": {}})), 20, 16)
    for (piece,) in matrix.tiles:
        piece.crossbar.state.uniform_(-1, 1)
    votes = [
        torch.where(inputs()[..., r] @ piece.weights >= 0, 1.0, -1.0) for r, (piece,) in zip(matrix.row_spans, matrix.tiles, strict=True)
    ]
    assert torch.equal(matrix.mvm(inputs()), sum(votes))
    assert matrix.counts["sensed"] == 3 * 30 * 16


def test_a_matrix_calibrates_each_of_its_arrays():
    adc = {"bits": 6.0, "calibration": "percentile", "percentile": 100.0}
    matrix = AnalogMatrix(ArraySpec(DEVICE, Reference(weight_max=1.0), Array(rows=10, cols=8), Periphery.of({"adc": adc})), 20, 16)
    for line in matrix.tiles:
        for piece in line:
            piece.crossbar.state.uniform_(-1, 1)
    matrix.calibrate(inputs())
    matrix.calibrate(inputs(lines=16), "mvm_t")
    ranges = [piece.chain.limits[side][0] for line in matrix.tiles for piece in line for side in ("mvm", "mvm_t")]
    assert len(set(ranges)) == 8
    assert np.isfinite(ranges).all()


def test_an_integrator_leaks_and_fills_up():
    """dQ/dt = I - Q / tau from 0 to T, against an integration by steps; then cut at C V."""
    read_s, leak_s = 80e-9, 50e-9
    array = tile(integrator={"capacitance_F": 1e-9, "leak_s": leak_s})
    left = solve_ivp(lambda t, q: 1 - q / leak_s, (0, read_s), [0.0], rtol=1e-10, atol=1e-20).y[0, -1] / read_s
    torch.testing.assert_close(array.mvm(inputs()), tile().mvm(inputs()) * left, rtol=1e-5, atol=1e-6)
    full = tile(integrator={"capacitance_F": 1e-9, "swing_V": 0.5 * UNIT * read_s / 1e-9})
    torch.testing.assert_close(full.mvm(inputs()), tile().mvm(inputs()).clamp(-0.5, 0.5), rtol=1e-5, atol=1e-6)


def test_levels_of_currents_are_those_of_the_kernel():
    v = torch.linspace(-2, 2, 401)
    expected = 1.5 * reference.quantised(np.clip(v.numpy() / 1.5, -1, 1), 5)
    assert np.mean(np.abs(on_levels(v, 5, 1.5).numpy() - expected) > 1e-6) < 0.01
    assert torch.equal(on_levels(v, float("inf"), 3.0), v)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"adc": {"bits": 40.0}}, "adc.bits must be in 2..24 or inf, got 40"),
        ({"adc": {"bits": 1.0}}, "adc.bits must be at least 2, got 1.0"),
        ({"dac": {"serial": True}}, "dac.bits must be finite for inputs that are sent bit by bit, got inf; give 2..24"),
        ({"dac": {"serial": True, "bits": 4.5}}, "dac.bits must be a whole number for inputs that are sent bit by bit, got 4.5"),
        ({"adc": {"gain_spread": 1.0}}, "adc.gain_spread must be in [0, 1), got 1.0"),
        ({"adc": {"percentile": 0.0}}, "adc.percentile must be in (0, 100], got 0.0"),
        ({"sense": {}, "adc": {"bits": 4.0, "range_A": 1.0}}, "adc must be left out beside sense amplifiers"),
        ({"sense": {}, "dac": {"bits": 4.0, "serial": True}}, "dac.serial must be false with sense amplifiers"),
        ({"integrator": {}}, "integrator.capacitance_F is missing"),
        ({"adc": {"bits": 4.0}}, "adc.range_A must be finite for an ADC of 4 bits, got inf; give its largest current in A"),
    ],
)
def test_what_cannot_be_built_is_refused_by_name(parts, message):
    with pytest.raises(InputError) as caught:
        Periphery.of(parts)
    assert message in str(caught.value)


def test_a_range_without_calibration_is_not_taken_from_vectors():
    with pytest.raises(InputError, match=r"periphery.adc.calibration must be percentile"):
        tile().calibrate(inputs())
