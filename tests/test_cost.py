"""Cost is a pure, additive function of counts; published figures of the RPU tile."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimco.cost.price import Technology, price
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


def test_every_number_of_a_technology_has_a_source():
    technology = Technology.named("rpu-2016")
    assert set(technology.as_dict()) - {"name", "sources"} == set(technology.sources)


def test_an_unknown_technology_is_refused():
    with pytest.raises(InputError, match="did you mean rpu-2016"):
        Technology.named("rpu2016")
