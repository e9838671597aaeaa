"""What makes up for wires: compensation, smaller arrays, and the margin of single-cell reads."""

from __future__ import annotations

import math

import pytest
import torch

from aimco.arrays.mitigation import compensated, effective, in_tiles, read_margin
from aimco.arrays.vertical import VerticalWires, residual
from aimco.arrays.wired import WiredArray
from aimco.arrays.wires import Wires
from aimco.record import InputError

WIRES = Wires(word_ohm=5.0, bit_ohm=5.0, tolerance=1e-12)
STACK = VerticalWires(layers=8, rows=4, columns=8, pillar_ohm=1e3)


def cells(rows: int, columns: int) -> torch.Tensor:
    return 1e-6 + 4.9e-5 * torch.rand(rows, columns, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("wires", [WIRES, STACK.replace("pillar_ohm", 300.0)])
def test_compensation_makes_the_effective_matrix_the_one_wanted(wires):
    """Devices with room: to a thousandth."""
    wanted = cells(32, 8) / 5
    compensation = compensated(wanted, wires, gain=1.0)
    assert compensation.error <= 1e-3 and compensation.at_bounds == 0
    left = effective(compensation.conductances, wires) - wanted
    assert float(left.norm() / wanted.norm()) == pytest.approx(compensation.error, rel=1e-6)


def test_without_a_gain_the_largest_within_the_bounds_is_taken():
    """No device goes beyond g_max, one reaches it, and what is left is a gain."""
    wanted, top = cells(32, 32), 5e-5
    compensation = compensated(wanted, WIRES, g_max=top)
    assert compensation.gain < 1 and compensation.error <= 1e-3
    assert float(compensation.conductances.max()) == pytest.approx(top, rel=0.01)
    v = torch.rand(4, 32, dtype=torch.float64)
    assert residual(v @ effective(compensation.conductances, WIRES), v @ wanted)[1] < 1e-3
    assert residual(v @ effective(wanted, WIRES), v @ wanted)[1] > 5e-3


def test_what_the_bounds_stop_is_told():
    compensation = compensated(cells(64, 64), WIRES, g_max=5e-5, gain=1.0)
    assert compensation.at_bounds > 0.01 and compensation.error > 1e-3


def test_smaller_arrays_lose_less_and_single_cells_what_their_ends_take():
    g, v = cells(32, 24), torch.rand(4, 32, dtype=torch.float64)
    errors = [residual(v @ in_tiles(g, WIRES, n, n), v @ g)[1] for n in (32, 16, 4)]
    assert errors[0] > 1.5 * errors[1] > 2.25 * errors[2]
    assert torch.equal(in_tiles(g, WIRES, 32, 24), WiredArray(g, WIRES).matrix())
    torch.testing.assert_close(in_tiles(g, WIRES, 1, 1), 1 / (1 / g + 10.0))


@pytest.mark.parametrize("word_lines", ["combs", "planes"])
def test_other_word_lines_decide_whether_a_cell_can_be_read(word_lines):
    """Grounded, only wires stand in between; floating, other layers lead around; at half, they add currents of their own."""
    wires = STACK.replace("word_lines", word_lines)
    grounded, half, floating = (read_margin(wires, 1e-5, 1e-7, unselected=u).margin for u in ("grounded", "half", "floating"))
    assert 0.95 < grounded <= 0.99 + 1e-3
    assert half < floating < grounded
    assert 0.7 < half * (1 + (wires.layers - 1) / 2) < 1


def test_floating_word_lines_have_a_closed_form():
    """Two planes, two pillars: held at 0 V by their bit lines there is no way around; behind transistors as resistive as a cell, three
    cells lead around, and Kirchhoff's law by hand gives V g/2 and V g/5 for a cell that is on, and off by ten."""
    none = dict.fromkeys(("word_ohm", "pillar_ohm", "select_ohm", "bit_ohm"), 0.0)
    wires = VerticalWires(layers=2, rows=1, columns=2, word_lines="planes", **none)
    assert read_margin(wires, 1e-5, 1e-6).margin == pytest.approx(0.9, rel=1e-9)
    around = read_margin(wires.replace("select_ohm", 1e5), 1e-5, 1e-6)
    assert (around.on_A, around.off_A) == pytest.approx((5e-7, 2e-7), rel=1e-9)


@pytest.mark.parametrize(
    ("message", "build"),
    [
        ("g_min must be at least 0 and below g_max", lambda: compensated(cells(4, 4), WIRES, g_min=2.0, g_max=1.0)),
        ("gain must be above 0, got 0", lambda: compensated(cells(4, 4), WIRES, gain=0.0)),
        ("wanted must be at least 0 S", lambda: compensated(-cells(4, 4), WIRES)),
        ("wanted must be finite, got nan", lambda: compensated(cells(4, 4) * math.nan, WIRES)),
        ("rows and columns of an array must be at least 1", lambda: in_tiles(cells(4, 4), WIRES, 0, 4)),
        ("off_S must be at least 0 and below on_S", lambda: read_margin(STACK, 1e-6, 1e-5)),
        (r"cell must be below \(layers, rows, columns\)", lambda: read_margin(STACK, 1e-5, 1e-6, cell=(8, 0, 0))),
        ("unselected must be grounded, half or floating", lambda: read_margin(STACK, 1e-5, 1e-6, unselected="third")),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_is_refused_by_name(message, build):
    with pytest.raises(InputError, match=message):
        build()
