"""The price of ADCs against resolution, rate and node: the regression on published ones, and one converter outside it."""

from __future__ import annotations

from aimco.cost.converters import regression
from aimco.cost.technology import Technology
from aimco.reference import Row, Settings

SOURCE = "Andrulis et al., arXiv 2404.06553: energy and area of ADCs by regression on Murmann's survey; Shafiee et al., ISCA 2016 (ISAAC)"
NEEDS = None

CASES = {  # node nm, bits, rate Hz: pJ, um2, by the published formula, computed apart from this program
    (32.0, 8, 1.2e9): (1.846, 6311.0),
    (32.0, 8, 100e6): (1.711, 3937.0),
    (22.0, 5, 100e6): (0.4625, 1835.0),
    (65.0, 8, 10e6): (6.486, 7821.0),
}


def run(settings: Settings) -> list[Row]:
    """Four values of the formula to four digits, and ISAAC's converter within 20 %: its area is not reproduced."""
    rows = []
    for (node, bits, rate), (energy, area) in CASES.items():
        ours = regression(bits, rate, node)
        name = f"{node:g} nm, {bits} bits, {rate / 1e6:g} MS/s"
        rows.append(Row(f"energy, {name}", None, 1e12 * ours.energy_J, 5e-4 * energy, "pJ", expected=energy))
        rows.append(Row(f"area, {name}", None, 1e12 * ours.area_m2, 5e-4 * area, "um^2", expected=area))
    known = Technology.named("isaac-32nm")
    assert known.adc_J is not None and known.adc_m2 is not None
    ours = regression(known.adc_bits, known.adc_Hz, known.node_nm)
    rows.append(Row("energy, ISAAC", 1e12 * known.adc_J, 1e12 * ours.energy_J, 0.2e12 * known.adc_J, "pJ"))
    why = "for the area of one converter the regression is no guide"
    return [*rows, Row("area, ISAAC", 1e12 * known.adc_m2, 1e12 * ours.area_m2, 0.2e12 * known.adc_m2, "um^2", why=why)]
