"""Cost is a pure, additive function of counts; published figures of the RPU tile."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import aimco
from aimco.cost import Price, Technology, price, sample_latency, table
from aimco.design import Design
from aimco.ledger import Counts
from aimco.record import InputError

DESIGN = Design.of({"device": "rpu"})
AMOUNTS = st.integers(0, 10**12)


def of(counts: Counts, design: Design = DESIGN):
    return price(design, {"layer": {"W": counts}}, shapes={"layer": {"W": (256, 128)}})


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
    technology = Technology.named("rpu-2016")
    assert (4096 * technology.pitch_m) ** 2 == pytest.approx(2.684e-6, rel=1e-3)
    seconds = price(DESIGN, {"layer": {"W": Counts(mvm=1)}}).latency_s
    assert 2 * 4096**2 / seconds == pytest.approx(419.4e12, rel=1e-3)


@pytest.mark.parametrize("name", Technology.names())
def test_every_number_of_a_technology_has_a_source_and_a_tolerance(name):
    technology = Technology.named(name)
    assert all(technology.sources.values())
    numbers = set(technology.as_dict()) - {"name", "sources", "tolerances"}
    assert numbers - {"layout"} <= set(technology.sources) <= numbers
    assert set(technology.tolerances) == set(technology.sources)


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
    shared = DESIGN.replace("periphery.adc.lines", 8)
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


def test_a_sample_takes_a_read_an_update_and_a_transposed_read_of_all_but_the_first_layer():
    p = DESIGN.periphery
    expected = 3 * p.read_s + 2 * 2 * p.pulses.length * p.pulse_s
    assert sample_latency(DESIGN, [1, 1]) == pytest.approx(expected)


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
