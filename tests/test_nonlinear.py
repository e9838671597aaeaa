"""Wired crossbars of cells that are not linear: against ngspice, their limits, and gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aimco.arrays import netlist
from aimco.arrays.laws import Law
from aimco.arrays.laws.selector import Selector
from aimco.arrays.laws.self_rectifying import SelfRectifying
from aimco.arrays.laws.sinh import Sinh
from aimco.arrays.nonlinear import WiredNonlinear
from aimco.arrays.wired import WiredArray
from aimco.arrays.wires import Wires
from aimco.record import InputError

LAWS = {
    "sinh": Sinh(scale_V=0.05),
    "selector": Selector(threshold_V=0.15, width_V=0.01, leak=1e-3),
    "self-rectifying": SelfRectifying(ratio=200.0, width_V=0.01),
}
WIRES = Wires(word_ohm=300.0, bit_ohm=150.0, driver_ohm=1e3, sense_ohm=50.0, tolerance=1e-11)


def cells(rows: int, columns: int, seed: int = 0) -> torch.Tensor:
    """.1 to 100 uS, a tenth of them 0."""
    draws = np.random.default_rng(seed)
    return torch.from_numpy(10.0 ** draws.uniform(-7, -4, (rows, columns)) * (draws.random((rows, columns)) > 0.1))


def volts(count: int, lines: int, seed: int = 0) -> torch.Tensor:
    return 0.3 * torch.randn(count, lines, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def farthest(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return float((ours - theirs).abs().max() / theirs.abs().max())


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("law", LAWS)
def test_reads_are_those_of_ngspice(ngspice, law, transposed):
    """9 x 12 cells as behavioural sources: currents to 1e-8 of the largest, which is what ngspice solves these to."""
    g, v = cells(9, 12), volts(1, 12 if transposed else 9)
    array = WiredNonlinear(g, WIRES, LAWS[law])
    theirs, _ = netlist.wired_currents(g, WIRES, v[0], transposed, law=LAWS[law])
    assert farthest((array.mvm_t if transposed else array.mvm)(v)[0], theirs) <= 1e-8


@given(
    law=st.sampled_from([Sinh(scale_V=0.02), Selector(threshold_V=0.3, width_V=0.003), SelfRectifying(ratio=1e6, width_V=0.003)]),
    rows=st.integers(1, 20),
    columns=st.integers(1, 20),
    seed=st.integers(0, 10_000),
    ohm=st.sampled_from([0.0, 1.0, 1e3, 1e5]),
    both=st.booleans(),
)
@settings(max_examples=15, deadline=None)
def test_every_read_settles_and_currents_are_kept(law, rows, columns, seed, ohm, both):
    """Steep laws, any wires: what flows in at the drivers flows out at the sense ends, and each cell follows its law."""
    wires = Wires(word_ohm=ohm, bit_ohm=ohm, driver_ohm=10.0, sense_ohm=10.0, both_sides=both, tolerance=1e-9)
    g, v = cells(rows, columns, seed), volts(2, rows, seed)
    columns_read, across = WiredNonlinear(g, wires, law).solve(v, False)
    flows = g * torch.from_numpy(law.per_siemens(across.numpy())[0])
    largest = columns_read.abs().amax(1, keepdim=True)
    assert bool(((flows.sum(1) - columns_read).abs() <= 1e-8 * largest + 1e-20).all())


@pytest.mark.parametrize("law", [Sinh(scale_V=100.0), Selector(threshold_V=0.0, width_V=1e-6, leak=1e-9), SelfRectifying(ratio=1.0)])
def test_laws_that_are_straight_read_as_linear_cells(law: Law):
    g, v = cells(8, 6), volts(3, 8)
    assert farthest(WiredNonlinear(g, WIRES, law).mvm(v), WiredArray(g, WIRES).mvm(v)) < 1e-5


def test_a_selector_stops_half_selected_cells():
    """One row at full voltage, the others at half: what half-selected cells add is what leaks."""
    g, v = torch.full((16, 16), 1e-5, dtype=torch.float64), torch.full((1, 16), 0.25, dtype=torch.float64)
    v[0, 3] = 0.5
    alone = torch.zeros_like(v)
    alone[0, 3] = 0.5
    wires = Wires(word_ohm=1.0, bit_ohm=1.0, tolerance=1e-9)
    shares = [
        float(a.mvm(alone)[0, 0] / a.mvm(v)[0, 0]) for a in (WiredArray(g, wires), WiredNonlinear(g, wires, Selector(threshold_V=0.4)))
    ]
    assert shares[0] < 0.15 and shares[1] > 0.9


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("transposed", [False, True])
def test_gradients_of_cells_and_voltages_are_exact(law, transposed):
    """Central differences of every current (torch's gradcheck), in units of 10 uS."""
    g = (cells(3, 4) / 1e-5 + 1e-2).requires_grad_()
    v = volts(2, 4 if transposed else 3).requires_grad_()

    def read(g: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        array = WiredNonlinear(1e-5 * g, WIRES, LAWS[law])
        return 1e5 * (array.mvm_t(v) if transposed else array.mvm(v))

    assert torch.autograd.gradcheck(read, (g, v), atol=1e-4, rtol=1e-4)


def test_what_is_too_steep_is_an_error_that_says_how_far_off():
    with pytest.raises(RuntimeError, match=r"not solved: currents of vector 0 are up to .* asked 1e-11; allow a larger"):
        WiredNonlinear(cells(4, 4), WIRES, Sinh(scale_V=1e-5)).mvm(volts(1, 4))


@pytest.mark.parametrize(
    ("message", "build"),
    [
        (r"scale_V must be in \(0, 100\] V, got 0", lambda: Sinh(scale_V=0.0)),
        ("threshold_V must be in 0..100 V, got -1", lambda: Selector(threshold_V=-1.0)),
        ("leak must be", lambda: Selector(leak=0.0)),
        ("ratio must be", lambda: SelfRectifying(ratio=0.5)),
        ("wires.method must be exact", lambda: WiredNonlinear(cells(2, 2), Wires(word_ohm=1.0, method="first-order"), Sinh())),
        ("conductances must be finite and at least 0 S", lambda: WiredNonlinear(-cells(2, 2), WIRES, Sinh())),
        (
            r"WiredArray.mvm: voltages must have the shape \(vectors, 3\)",
            lambda: WiredNonlinear(cells(3, 2), WIRES, Sinh()).mvm(torch.zeros(1, 2)),
        ),
    ],
)
def test_cells_that_cannot_be_are_refused_by_name(message, build):
    with pytest.raises(InputError, match=message):
        build()
