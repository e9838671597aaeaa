"""Energy and speed of a measured chip against the precision of inputs and outputs (Wan et al. 2022).

A signed input of n bits is given in n - 1 pulses, one for each bit of its magnitude. What a pulse of bit k leaves on an output is
integrated 2^k times. More than four bits are given in two phases, each converted, and joined digitally. An output has two bits more
than the input of its phase, and takes one step for each, of four operations of its neuron where an integration is one (assumed).
Word lines and inputs are driven once a pulse. The table has no others to fit than three numbers of the technology rram-130nm:
an operation of a neuron (0.353 pJ), an input pulse of a line (5.32 pJ) and the time of a step (0.69 us). Word lines are geometry.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

from aimco.cost.price import Price, price
from aimco.design import Design
from aimco.ledger import Counts
from aimco.reference import Row, Settings

SOURCE = (
    "Wan et al., Nature 608:504 (2022): NeuRRAM, 130 nm, 48 cores of 256 x 256, by bits of outputs and inputs (Extended Data Fig. 12); "
    "a multiplication and its addition are two operations, energies are per operation; three numbers of ours are fitted to this table"
)
NEEDS = None

RATES = {  # bits of outputs, of inputs: TOPS, TOPS/W
    (3, 1): (2.122, 43.08),
    (4, 2): (1.793, 40.33),
    (5, 3): (1.165, 23.09),
    (6, 4): (0.7439, 15.95),
    (8, 6): (0.4177, 8.257),
    (10, 8): (0.2639, 6.437),
}
SPLIT = {(3, 1): (8.99, 10.62, 3.45), (6, 4): (21.76, 29.11, 11.51), (10, 8): (50.52, 75.86, 27.51)}  # fJ per operation
_COMPONENTS = {"neurons and control": ("adc", "integrate"), "input pulses": ("dac", "wires"), "word lines": ("select",)}
_SIDE, _CORES = 256, 48
_OPERATIONS = 2 * _SIDE**2
_MOST = 4  # bits of a magnitude that are given in one phase


class Phase(NamedTuple):
    """Pulses, integrations and bits of one phase of a multiplication."""

    pulses: int
    integrations: int
    bits: int


def phases(inputs: int) -> list[Phase]:
    """Those of a multiplication with inputs of so many bits; an input of one bit is its sign, given in one pulse."""
    magnitude = max(inputs - 1, 1)
    parts = [magnitude] if magnitude <= _MOST else [-(-magnitude // 2), magnitude // 2]
    return [Phase(n, 2**n - 1, n + (3 if inputs > 1 else 2)) for n in parts]


def multiplied(phase: Phase) -> Price:
    """Price of one phase of one core."""
    design = Design.of(
        {
            "device": "rram-taox-hfox",
            "array": {"rows": _SIDE, "cols": _SIDE},
            "periphery": {"read_s": 0.69e-6, "read_voltage": 0.3, "adc": {"bits": float(phase.bits), "range_A": 1e-4}},
            "technology": "rram-130nm",
        }
    )
    n, pulses = _SIDE, phase.pulses
    counts = Counts(mvm=pulses, dac=n * pulses, adc=n, integrations=n * (phase.integrations - pulses))
    return price(design, {"core": {"W": counts}}, shapes={"core": {"W": (n, n)}}, pipelined=False)


def run(settings: Settings) -> list[Row]:
    """TOPS/W and TOPS within 15 % for every precision, and their order; the energy by component within 30 %."""
    rows, efficiencies = [], []
    for (out, bits), (tops, efficiency) in RATES.items():
        parts = [multiplied(phase) for phase in phases(bits)]
        energy, seconds = sum(p.energy_J["total"] for p in parts), sum(p.latency_s for p in parts)
        name = f"outputs of {out} bits, inputs of {bits}"
        efficiencies.append(_OPERATIONS / energy / 1e12)
        rows.append(Row(f"{name}: efficiency", efficiency, efficiencies[-1], 0.15 * efficiency, "TOPS/W"))
        rows.append(Row(f"{name}: throughput", tops, _OPERATIONS * _CORES / seconds / 1e12, 0.15 * tops, "TOPS"))
        for (component, which), known in zip(_COMPONENTS.items(), SPLIT.get((out, bits), ()), strict=False):
            ours = sum(p.energy_J[part] for p in parts for part in which) / _OPERATIONS
            rows.append(Row(f"{name}: {component}", known, 1e15 * ours, 0.3 * known, "fJ"))
    rising = sum(later >= before for before, later in itertools.pairwise(efficiencies))
    return [*rows, Row("precisions that are no less efficient than the one before", None, float(rising), 0.0, "", expected=0.0)]
