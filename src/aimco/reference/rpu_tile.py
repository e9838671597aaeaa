"""Rate, area and power of a tile of resistive processing units (Gokmen and Vlasov 2016)."""

from __future__ import annotations

from aimco.cost.price import price
from aimco.design import Design
from aimco.ledger import Counts
from aimco.reference import Row, Settings

SOURCE = "Gokmen & Vlasov, Front. Neurosci. 10:333 (2016): a tile of 4096 x 4096 devices that multiplies in 80 ns"
NEEDS = None

SIDE = 4096
RATE, AREA, POWER = 419.4, 2.684, 4.99  # TOp/s; mm2 of devices; W, by 84,000 GOp/s/W
_POWER_WITHIN = 0.2


def run(settings: Settings) -> list[Row]:
    """Rate and area of the devices to 0.1 %, and the power of the tile within 20 %, which is not reproduced."""
    n = SIDE
    busy = Counts(mvm=1, cell_reads=n * n, dac=n, adc=n)
    shapes = {"layer": {"W": (n, n)}}
    one = price(Design.of({"device": "rpu", "technology": "rpu-2016"}), {"layer": {"W": busy}}, shapes=shapes, both_sides=False)
    area, power = one.by("component", "area_m2"), one.energy_J["total"] / one.latency_s
    why = "integrators and line drivers have no sourced energy and are left out: devices, lines and converters alone"
    return [
        Row("operations per second", RATE, 2 * n * n / one.latency_s / 1e12, 1e-3 * RATE, "TOp/s"),
        Row("area of the devices", AREA, 1e6 * area["array"], 1e-3 * AREA, "mm^2"),
        Row("power of the busy tile, by 84,000 GOp/s/W", POWER, power, _POWER_WITHIN * POWER, "W", why=why),
        Row("area of an ADC and a DAC for each line, beside or below the devices", None, 1e6 * (area["ADC"] + area["DAC"]), None, "mm^2"),
    ]
