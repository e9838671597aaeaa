"""Cost is a pure, additive function of counts; published figures of the RPU tile; networks by their shapes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import aimco
from aimco.cli import main
from aimco.cost import Architecture, Price, Technology, inference, of_design, price, table, training
from aimco.cost.converters import adc, comparisons, conversion_s, dac, regression, steps
from aimco.design import Design
from aimco.ledger import Counts
from aimco.nn.layers import analog_layers
from aimco.periphery import Periphery
from aimco.record import InputError
from aimco.tasks import Sample, load
from kinds import TECHNOLOGIES, short

DESIGN = Design.of({"device": "rpu"})
AMOUNTS = st.integers(0, 10**12)


def vector_s(periphery: Periphery, technology: Technology, *, pipelined: bool = True) -> float:
    """Closed form of the time of one vector: every input cycle reads the array and ends in a conversion of every line.

    The lines of an ADC take turns: the array is read again for each, or, where there is a rate, read once and held.
    """
    cycles = periphery.dac.shared_by * periphery.dac.pulses
    read = cycles * (1 if periphery.adc.rate_Hz else periphery.adc.shared_by) * periphery.read_s
    convert = cycles * periphery.adc.shared_by * conversion_s(periphery, technology)
    return max(read, convert) if pipelined else read + convert


def of(counts: Counts, design: Design = DESIGN):
    return price(design, {"layer": {"W": counts}}, shapes={"layer": {"W": (256, 128)}})


def test_joules_are_compared_by_their_size():
    """Of this suite itself: nothing is near another number only because both are small."""
    assert pytest.approx(1.001e-14) != 1e-14
    assert pytest.approx(1e-14 * (1 + 1e-9)) == 1e-14


def test_nothing_costs_no_energy():
    assert of(Counts()).energy_J["total"] == 0
    assert of(Counts()).latency_s == 0


@given(AMOUNTS, AMOUNTS, AMOUNTS)
def test_energy_is_additive(reads, hits, conversions):
    a, b = Counts(cell_reads=reads, adc=conversions), Counts(coincidences=hits, row_pulses=hits)
    assert of(a + b).energy_J["total"] == pytest.approx(of(a).energy_J["total"] + of(b).energy_J["total"])


def test_doubling_the_read_voltage_quadruples_the_read_energy():
    twice = DESIGN.replace("periphery.read_voltage", 2 * DESIGN.periphery.read_voltage)
    assert of(Counts(cell_reads=100), twice).energy_J["read"] == pytest.approx(4 * of(Counts(cell_reads=100)).energy_J["read"])


def test_the_rpu_tile_has_its_published_area_and_rate():
    """2.684 mm2 and 419.4 TOp/s: Gokmen & Vlasov 2016."""
    one = price(DESIGN, {"layer": {"W": Counts(mvm=1)}}, shapes={"layer": {"W": (4096, 4096)}}, both_sides=False)
    assert one.by("component", "area_m2")["array"] == pytest.approx(2.684e-6, rel=1e-3)
    assert 2 * 4096**2 / one.latency_s == pytest.approx(419.4e12, rel=1e-3)


@pytest.mark.parametrize("name", Technology.names())
def test_every_number_of_a_technology_has_a_source_and_a_tolerance(name):
    technology = Technology.named(name)
    assert all(technology.sources.values())
    numbers = set(technology.as_dict()) - {"name", "sources", "tolerances"}
    assert numbers - {"layout"} <= set(technology.sources) <= numbers
    assert set(technology.tolerances) == set(technology.sources)


@pytest.mark.parametrize("name", TECHNOLOGIES, ids=short)
def test_every_technology_prices_inference_and_training(name):
    design = DESIGN.replace("technology", name)
    seen, learned = (price_of(design, Architecture.named("vgg8")) for price_of in (inference, training))
    assert 0 < seen.energy_J["total"] < learned.energy_J["total"]
    assert 0 < seen.interval_s < seen.latency_s < learned.latency_s
    assert 0 < seen.area_m2 < learned.area_m2 or name == "igzo-1um"  # whose converters are outside the array


def test_an_unknown_technology_is_refused():
    with pytest.raises(InputError, match="did you mean rpu-2016"):
        Technology.named("rpu2016")


def test_the_sourced_parts_of_a_busy_rpu_tile_draw_less_than_the_published_power():
    """84,000 GOp/s/W at 419.4 TOp/s is 4.99 W with everything in it; array and converters alone must stay below."""
    n = 4096
    busy = price(DESIGN, {"layer": {"W": Counts(mvm=1, cell_reads=n * n, dac=n, adc=n)}}, shapes={"layer": {"W": (n, n)}})
    assert 0.01 < busy.energy_J["total"] / busy.latency_s < 4.99


def test_a_matrix_cut_over_arrays_reads_in_the_time_of_one_and_charges_shorter_lines():
    cut = DESIGN.replace("array.cols", 64)
    assert of(Counts(mvm=2, row_pulses=20), cut).latency_s == of(Counts(mvm=1, row_pulses=10)).latency_s
    assert of(Counts(row_pulses=20), cut).energy_J["update"] == pytest.approx(of(Counts(row_pulses=10)).energy_J["update"])


def test_update_energy_is_line_charge_plus_coincidences():
    p, t = DESIGN.periphery, Technology.named("rpu-2016")
    line = 7 * 128 * t.line_capacitance_F * p.update_voltage**2 / 4
    hits = 5 * p.update_voltage**2 * DESIGN.device.mid_range * p.pulse_s
    assert of(Counts(row_pulses=7, coincidences=5)).energy_J["update"] == pytest.approx(line + hits)


def test_a_shared_adc_saves_area_and_costs_time():
    shared = DESIGN.replace("periphery.adc.shared_by", 8)
    assert of(Counts(mvm=1), shared).latency_s == pytest.approx(8 * of(Counts(mvm=1)).latency_s)
    assert of(Counts(), shared).area_m2 < of(Counts()).area_m2


def test_static_power_is_paid_for_every_array_and_second(tmp_path):
    path = tmp_path / "warm.toml"
    Technology.named("rpu-2016").replace("array_static_W", 2.0).save(path)
    warm = of(Counts(mvm=10), DESIGN.replace("technology", str(path)))
    assert warm.energy_J["static"] == pytest.approx(2.0 * warm.latency_s)


def test_numpy_counts_give_plain_json_and_numbers_per_sample():
    cost = price(DESIGN, {"layer": {"W": {"adc": np.int64(10), "mvm": np.array([4])}}}, samples=2)
    assert json.loads(json.dumps(cost.as_dict()))["per_sample"]["energy_J"] == pytest.approx(cost.energy_J["adc"] / 2)
    assert cost.per_sample["latency_s"] == pytest.approx(cost.latency_s / 2)
    assert aimco.price is price


def test_counts_of_an_ensemble_are_refused():
    with pytest.raises(InputError, match="one ensemble member"):
        of(Counts(mvm=1, coincidences=np.array([1, 2])))


@given(AMOUNTS, AMOUNTS)
def test_shares_of_the_table_add_up_to_one(reads, conversions):
    cost: Price = of(Counts(cell_reads=reads, adc=conversions))
    rows = table(cost)
    assert sum(joules for _, joules, _ in rows) == pytest.approx(cost.energy_J["total"])
    assert sum(share for *_, share in rows) == pytest.approx(1 if cost.energy_J["total"] else 0)


def test_a_pair_takes_the_area_of_two_devices_and_the_time_of_one():
    """The same converters; twice the cross-points, both read and pulsed at once."""
    single = Design.of({"device": "soft-bounds", "training": {"epochs": 1, "batch": 50}, "network": {"hidden": [8]}})
    pair = single.replace("cell", {"kind": "pair"})
    one, two = (aimco.evaluate(d, limit=100) for d in (single, pair))
    pitch = Technology.named("rpu-2016").pitch_m
    weights = 65 * 8 + 9 * 10
    assert two.area_m2 - one.area_m2 == pytest.approx(weights * pitch**2)
    assert two.counts["mvm"] == one.counts["mvm"]
    assert two.counts["cell_reads"] == 2 * one.counts["cell_reads"]


RPU = Technology.named("rpu-2016")
EIGHT_BITS = DESIGN.replace("periphery.adc", {"bits": 8.0, "range_A": 1e-5, "rate_Hz": 1.28e9})
SMALL = Design.of({"device": "ideal", "array": {"rows": 16, "cols": 16}, "network": {"hidden": [24]}})


@given(st.floats(4, 14), st.floats(1e5, 1e9), st.sampled_from([22.0, 32.0, 65.0, 130.0]))
def test_an_adc_of_more_bits_or_an_older_node_takes_more(bits, rate, node):
    """Whole bits, since the figure of merit goes by them and one more can make the next fraction cheaper."""
    b = round(bits)
    here, finer, older = regression(b, rate, node), regression(b + 2, rate, node), regression(b, rate, 2 * node)
    assert finer.energy_J > here.energy_J < older.energy_J
    assert finer.area_m2 > here.area_m2 < older.area_m2


def test_a_sar_scales_its_record_as_the_regression_goes():
    known = adc(EIGHT_BITS.periphery, RPU)
    assert known.energy_J == pytest.approx(RPU.adc_J)
    assert known.area_m2 == pytest.approx(RPU.adc_m2)
    six = adc(EIGHT_BITS.replace("periphery.adc.bits", 6.0).periphery, RPU)
    assert six.energy_J / known.energy_J == pytest.approx(regression(6, 1.28e9, 32).energy_J / regression(8, 1.28e9, 32).energy_J)


@pytest.mark.parametrize(("kind", "cycles", "decisions"), [("sar", 8, 8), ("ramp", 256, 256), ("flash", 1, 255)])
def test_kinds_of_adc_trade_time_for_comparators(kind, cycles, decisions):
    assert (steps(kind, 8), comparisons(kind, 8)) == (cycles, decisions)
    design = EIGHT_BITS.replace("periphery.adc", {"bits": 8.0, "range_A": 1e-5, "kind": kind})
    slow = vector_s(design.periphery, RPU, pipelined=False) - design.periphery.read_s
    assert slow == pytest.approx(cycles / RPU.clock_Hz)
    if kind != "sar":
        assert adc(design.periphery, RPU).energy_J == pytest.approx(decisions * RPU.comparator_J)


def test_lines_that_are_held_share_an_adc_for_nothing_until_it_is_slower_than_the_array():
    """80 ns of a read are 102 conversions at 1.28 GS/s: sharing costs time from 103 lines on."""
    times = {k: vector_s(EIGHT_BITS.replace("periphery.adc.shared_by", k).periphery, RPU) for k in (1, 64, 128)}
    assert times[1] == times[64] == EIGHT_BITS.periphery.read_s
    assert times[128] == pytest.approx(128 / 1.28e9)


@given(st.sampled_from([1, 2, 4, 8]), st.sampled_from([1, 2, 4, 8]))
def test_rows_that_share_a_dac_take_as_many_reads_and_conversions(outputs, inputs):
    design = DESIGN.replace("periphery.adc.shared_by", outputs).replace("periphery.dac.shared_by", inputs)
    one, shared = of(Counts(mvm=1, adc=128)), of(Counts(mvm=1, adc=128), design)
    assert shared.latency_s == pytest.approx(outputs * inputs * one.latency_s)
    assert shared.energy_J["adc"] == pytest.approx(inputs * one.energy_J["adc"])
    assert shared.energy_J["accumulate"] == pytest.approx(128 * (inputs - 1) * RPU.digital_J)


def test_the_time_of_counted_reads_is_that_of_so_many_vectors():
    done = Counts(mvm=3, mvm_t=2, adc=3 * 128 + 2 * 256)
    for pipelined in (True, False):
        cost = price(EIGHT_BITS, {"a": {"W": done}}, shapes={"a": {"W": (256, 128)}}, pipelined=pipelined)
        assert cost.latency_s == pytest.approx(5 * vector_s(EIGHT_BITS.periphery, RPU, pipelined=pipelined))


def test_a_dac_of_more_bits_takes_as_many_pulses():
    coarse, fine = (dac(DESIGN.replace("periphery.dac.bits", b).periphery, RPU) for b in (2.0, 8.0))
    assert (coarse.energy_J, coarse.area_m2) == (RPU.dac_J, RPU.dac_m2)
    assert fine.energy_J == pytest.approx(7 * coarse.energy_J)


def test_every_joule_second_and_square_metre_has_its_place():
    cost = training(SMALL.replace("technology", "isaac-32nm"), of_design(SMALL, Sample((1, 8, 8), 10)))
    for what in ("layer", "operation", "component", "part"):
        assert sum(cost.by(what).values()) == pytest.approx(cost.energy_J["total"])
    assert sum(cost.by("layer", "latency_s").values()) == sum(cost.by("operation", "latency_s").values()) == pytest.approx(cost.latency_s)
    assert sum(cost.by("component", "area_m2").values()) == pytest.approx(cost.area_m2)
    assert {"read", "transposed read", "pulse", "hold"} == set(cost.by("operation"))
    assert 0 < cost.interval_s < cost.latency_s
    assert 0 < cost.utilisation < 1


@pytest.mark.parametrize(
    ("cell", "periphery"),
    [
        ("reference", {}),
        ("pair", {}),
        ("reference", {"dac": {"bits": 5.0, "serial": True, "shared_by": 2}, "adc": {"bits": 8.0, "range_A": 1e-5, "shared_by": 4}}),
        ("reference", {"sense": {}}),
    ],
)
def test_counts_by_shapes_are_those_of_a_run(cell, periphery):
    """One image through a network cut over arrays of 16 x 16."""
    design = SMALL.replace("device", "soft-bounds").replace("cell", {"kind": cell}).replace("periphery", periphery)
    task = load("digits", seed=0)
    model = design.network.build(task, design, [0])
    layers = analog_layers(model)
    before = {name: layer.counts["W"] for name, layer in layers.items()}
    model(task.test_x[:1])
    done = {name: {"W": (layer.counts["W"] - before[name]).member(0)} for name, layer in layers.items()}
    shapes = {name: {"W": layer.shapes["W"]} for name, layer in layers.items()}
    run, known = price(design, done, shapes=shapes, both_sides=False), inference(design, of_design(design, Sample((1, 8, 8), 10)))
    assert known.energy_J == pytest.approx(run.energy_J)
    assert (known.latency_s, known.area_m2) == (pytest.approx(run.latency_s), pytest.approx(run.area_m2))


def test_transfers_are_told_from_updates():
    """The rows of C that Tiki-Taka pulses one by one, and the rows of A that it reads for them."""
    tiki = Design.of({"device": "soft-bounds", "rule": {"kind": "tiki-taka"}, "network": {"hidden": [8]}, "training": {"epochs": 1}})
    task, parts = load("digits", limit=100), []
    aimco.evaluate(tiki, task, on_trained=parts.append)
    layers = analog_layers(parts[0])
    counts = {n: {a: c.member(0) for a, c in layer.counts.items()} for n, layer in layers.items()}
    cost = price(tiki, counts, shapes={n: layer.shapes for n, layer in layers.items()})
    assert all(cost.by("operation")[name] > 0 for name in ("read", "transposed read", "pulse", "transfer", "refresh"))


def test_vgg8_has_its_published_shapes():
    shapes = Architecture.named("vgg8").shapes()
    assert [(s.rows, s.columns) for s in shapes[:-1]] == [
        (27, 128),
        (1152, 128),
        (1152, 256),
        (2304, 256),
        (2304, 512),
        (4608, 512),
        (8192, 1024),
    ]
    assert sum(s.rows * s.columns for s in shapes) == 12_973_440


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("periphery.adc.shared_by=3", "periphery.adc.shared_by must divide array.cols = 4096, got 3"),
        ("periphery.dac.shared_by=7", "periphery.dac.shared_by must divide array.rows = 4096, got 7"),
        ("periphery.adc.kind=ram", "periphery.adc.kind must be"),
        ("periphery.adc.bits=40.0", "periphery.adc.bits must be in 2..24 or inf, got 40"),
        ("periphery.dac.kind=flash", "periphery.dac.kind "),
        ("technology=igzo-1um periphery.adc.kind=ramp", "technology igzo-1um has no comparator_J, which an ADC of kind ramp needs"),
    ],
)
def test_what_cannot_be_priced_is_refused_by_name(tmp_path, capsys, change, words):
    path = str(tmp_path / "d.toml")
    DESIGN.save(path)
    assert main(["cost", path, "--set", *change.split()]) == 2
    assert words in capsys.readouterr().err


def test_a_flash_of_many_bits_and_a_technology_without_a_needed_number_are_refused():
    with pytest.raises(InputError, match=r"periphery\.adc\.bits must be at most 10 in an ADC of kind flash, got 12"):
        DESIGN.replace("periphery.adc", {"bits": 12.0, "range_A": 1e-5, "kind": "flash"})
    with pytest.raises(InputError, match=r"rule\.kind must be a rule of arrays to be priced, got digital"):
        inference(Design.of({"device": "ideal", "rule": {"kind": "digital"}}), Architecture.named("vgg8"))
    bare = Technology.named("rram-130nm")
    with pytest.raises(InputError, match="technology rram-130nm has no amplifier_W, which a resistive network needs"):
        bare.need("amplifier_W", "a resistive network")
    with pytest.raises(InputError, match=r"tolerances\.adc_J must be a factor of at least 1, got 0\.5"):
        RPU.replace("tolerances", {"adc_J": 0.5})


def test_a_network_that_leaves_no_pixels_is_refused():
    layer = {"outputs": 8, "kernel": 9}
    with pytest.raises(InputError, match=r"layers\.1 must leave pixels of 2 x 2"):
        Architecture.of({"name": "deep", "image": [1, 10, 10], "layers": [layer, layer]})


def test_the_command_tells_and_draws_what_a_network_costs(tmp_path, capsys):
    path = str(tmp_path / "d.toml")
    DESIGN.save(path)
    assert main(["cost", path, "--network", "vgg8", "--out", str(tmp_path), "--json"]) == 0
    output = json.loads(capsys.readouterr().out)
    assert output == json.loads((tmp_path / "cost.json").read_text())
    assert output["inference"]["TOPS/W"] * output["inference"]["energy_J"]["total"] == pytest.approx(2 * 615_917_568e-12)
    assert sum(output["training_sample"]["energy_J_by_operation"].values()) == pytest.approx(output["training_sample"]["energy_J"]["total"])
    assert (tmp_path / "cost.png").read_bytes().startswith(b"\x89PNG")
    assert main(["cost", path]) == 0
    assert "utilisation" in capsys.readouterr().out
