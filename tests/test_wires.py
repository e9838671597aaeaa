"""Wired crossbars: reads against ngspice and plain nodal analysis, gradients, and networks on arrays whose wires drop voltage."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aimco.arrays import netlist
from aimco.arrays.crossbar import Crossbar
from aimco.arrays.spec import ArraySpec
from aimco.arrays.wired import WiredArray
from aimco.arrays.wires import Wires
from aimco.descent import Descent
from aimco.design import Design
from aimco.device.device import Device
from aimco.ensemble import stack
from aimco.mapping import AnalogMatrix, Array
from aimco.nn.linear import Linear
from aimco.peers.wires import superlu
from aimco.record import InputError
from aimco.tasks import batches, load

EVERY = Wires(word_ohm=3.0, bit_ohm=1.5, driver_ohm=200.0, sense_ohm=50.0, tolerance=1e-12)
LINES = {
    "every": EVERY,
    "both sides": EVERY.replace("both_sides", True),
    "wires alone": Wires(word_ohm=1.0, bit_ohm=2.0, tolerance=1e-12),
    "wires, both sides": Wires(word_ohm=5.0, bit_ohm=5.0, both_sides=True, tolerance=1e-12),
    "word lines alone": Wires(word_ohm=5.0, tolerance=1e-12),
    "bit lines alone": Wires(bit_ohm=5.0, tolerance=1e-12),
    "ends alone": Wires(driver_ohm=500.0, sense_ohm=100.0, tolerance=1e-12),
    "ideal": Wires(tolerance=1e-12),
}


def cells(rows: int, columns: int, seed: int = 0, open_share: float = 0.2) -> torch.Tensor:
    """.01 to 100 uS, evenly in the logarithm, some 0."""
    draws = np.random.default_rng(seed)
    return torch.from_numpy(10.0 ** draws.uniform(-8, -4, (rows, columns)) * (draws.random((rows, columns)) >= open_share))


def volts(count: int, lines: int, seed: int = 0) -> torch.Tensor:
    return 0.2 * torch.randn(count, lines, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def farthest(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return float((ours - theirs).abs().max() / theirs.abs().max())


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("lines", LINES)
def test_reads_are_those_of_ngspice(ngspice, lines, transposed):
    """Currents to 1e-10 of the largest, whichever resistances there are and from whichever side the array is read."""
    g, v = cells(9, 12), volts(1, 12 if transposed else 9)
    array = WiredArray(g, LINES[lines])
    ours = array.mvm_t(v) if transposed else array.mvm(v)
    theirs, _ = netlist.wired_currents(g, LINES[lines], v[0], transposed)
    assert farthest(ours[0], theirs) <= 1e-10


@given(
    rows=st.integers(1, 32),
    columns=st.integers(1, 32),
    seed=st.integers(0, 10_000),
    share=st.sampled_from([0.0, 0.5, 0.95, 1.0]),
    ohm=st.sampled_from([0.1, 5.0, 1e3]),
    both=st.booleans(),
    transposed=st.booleans(),
)
@settings(max_examples=15, deadline=None)
def test_random_patterns_are_those_of_ngspice(ngspice, rows, columns, seed, share, ohm, both, transposed):
    """Any shape and any share of open cells, all of them included."""
    wires = Wires(word_ohm=ohm, bit_ohm=2 * ohm, sense_ohm=10.0, both_sides=both, tolerance=1e-12)
    g, v = cells(rows, columns, seed, share), volts(1, columns if transposed else rows, seed)
    ours = (WiredArray(g, wires).mvm_t if transposed else WiredArray(g, wires).mvm)(v)[0]
    theirs, _ = netlist.wired_currents(g, wires, v[0], transposed)
    assert float((ours - theirs).abs().max()) <= 1e-10 * float(theirs.abs().max()) + 1e-20


def patterns(n: int) -> dict[str, torch.Tensor]:
    """Conductances that solvers find hard: open, closed, in stripes, blocks, corners."""
    low, high = 1e-8, 1e-4
    i, j = torch.arange(n, dtype=torch.float64)[:, None], torch.arange(n, dtype=torch.float64)[None]
    whole = torch.ones(n, n, dtype=torch.float64)
    return {
        "closed": high * whole,
        "open": 0 * whole,
        "uniform": 1e-6 + 9.9e-5 * torch.rand(n, n, generator=torch.Generator().manual_seed(0), dtype=torch.float64),
        "logarithmic": cells(n, n),
        "sparse": cells(n, n, 1, 0.98),
        "rows in turn": torch.where(i % 2 == 0, high, low) * whole,
        "columns in turn": torch.where(j % 2 == 0, high, 0.0) * whole,
        "checkerboard": torch.where((i + j) % 2 == 0, high, 0.0) * whole,
        "near corner": torch.where((i > n / 2) & (j < n / 2), high, low) * whole,
        "far corner": torch.where((i < n / 2) & (j > n / 2), high, 0.0) * whole,
        "diagonal": high * torch.eye(n, dtype=torch.float64),
        "one column": torch.where(j == n - 1, high, 0.0) * whole,
    }


@pytest.mark.parametrize("name", patterns(1))
def test_the_tolerance_is_kept_in_every_pattern(name):
    """96 x 96 at 20 Ohm, where nearly all is lost, against elimination: within the tolerance asked, loose or tight."""
    g, v = patterns(96)[name], volts(3, 96)
    exact = torch.from_numpy(superlu(g.numpy(), 20.0, v.numpy()))
    for tolerance in (1e-3, 1e-6, 1e-11):
        ours = WiredArray(g, Wires(word_ohm=20.0, bit_ohm=20.0, tolerance=tolerance)).mvm(v)
        assert bool(((ours - exact).abs().amax(1) <= tolerance * exact.abs().amax(1) + 1e-24).all())


@pytest.mark.slow
@pytest.mark.parametrize("name", patterns(1))
def test_large_arrays_are_solved_in_every_pattern(name):
    """1024 x 1024 at 5 Ohm, both directions: reciprocity ties the two reads together, c.(W^T v) = (W c).v."""
    g, v, c = patterns(1024)[name], volts(1, 1024), volts(1, 1024, 1)
    array = WiredArray(g, Wires(word_ohm=5.0, bit_ohm=5.0, tolerance=1e-9))
    columns, rows = array.mvm(v), array.mvm_t(c)
    scale = max(float((columns.abs() @ c.abs().T).max()), 1e-30)
    assert abs(float((columns * c).sum() - (rows * v).sum())) <= 1e-7 * scale


@pytest.mark.parametrize("lines", LINES)
@pytest.mark.parametrize("transposed", [False, True])
def test_gradients_of_cells_and_voltages_are_exact(lines, transposed):
    """Central differences of every current (torch's gradcheck), in units of 10 uS."""
    g = (cells(4, 5, open_share=0.0) / 1e-5 + 1e-2).requires_grad_()
    v = volts(2, 5 if transposed else 4).requires_grad_()

    def read(g: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        array = WiredArray(1e-5 * g, LINES[lines])
        return 1e5 * (array.mvm_t(v) if transposed else array.mvm(v))

    assert torch.autograd.gradcheck(read, (g, v))


def test_a_gradient_reaches_open_cells():
    """The slope at 0 S, where only one side exists."""
    g = torch.zeros(3, 3, dtype=torch.float64, requires_grad=True)
    v = torch.tensor([[0.1, 0.2, 0.3]], dtype=torch.float64)
    WiredArray(g, EVERY).mvm(v).sum().backward()
    assert torch.allclose(g.grad, v.T.expand(3, 3), rtol=1e-9)


@pytest.mark.parametrize("shape", [(6, 40), (40, 6), (17, 16)])
def test_the_effective_matrix_makes_every_read_one_product(shape):
    wires = EVERY.replace("both_sides", True)
    array, (v, c) = WiredArray(cells(*shape), wires), (volts(4, n) for n in shape)
    matrix = array.matrix()
    assert farthest(v @ matrix, array.mvm(v)) < 1e-11
    assert farthest(c @ matrix.T, array.mvm_t(c)) < 1e-11


def test_wires_without_resistance_change_nothing():
    g = cells(20, 30)
    assert torch.equal(WiredArray(g, Wires()).matrix(), g)


def test_the_first_order_is_right_to_first_order_and_says_its_error():
    """A hundredth of the resistance leaves a ten-thousandth of the error; lumped ends of lone lines are exact."""
    g = cells(24, 24, open_share=0.0)
    for both in (False, True):
        wires = [Wires(word_ohm=r, bit_ohm=r, both_sides=both, tolerance=1e-12) for r in (1.0, 0.01)]
        (coarse, error), (_, small) = (WiredArray(g, w).first_order() for w in wires)
        assert small < 2e-4 * error < 2e-6
        exact = WiredArray(g, wires[0]).mvm(torch.ones(1, 24, dtype=torch.float64))[0]
        assert farthest(coarse.sum(0), exact) == pytest.approx(error, rel=1e-6)
    for one in (Wires(driver_ohm=1e4), Wires(sense_ohm=1e4)):
        assert WiredArray(g, one).first_order()[1] < 1e-12


def test_float32_voltages_give_float32_currents():
    array = WiredArray(cells(5, 4).float(), EVERY)
    assert array.mvm(torch.ones(2, 5)).dtype == torch.float32


@pytest.mark.parametrize(
    ("message", "build"),
    [
        ("word_ohm must be at least 0 Ohm, got -1", lambda: Wires(word_ohm=-1.0)),
        ("sense_ohm must be at least 0 Ohm", lambda: Wires(sense_ohm=-0.1)),
        ("tolerance must be", lambda: Wires(tolerance=0.0)),
        (r"conductances must have the shape \(rows, columns\)", lambda: WiredArray(torch.zeros(0, 4), EVERY)),
        (r"conductances must have the shape \(rows, columns\)", lambda: WiredArray(torch.zeros(4), EVERY)),
        ("conductances must be finite and at least 0 S, got -1e-06 S", lambda: WiredArray(torch.full((2, 2), -1e-6), EVERY)),
        ("conductances must be finite and at least 0 S, got nan S", lambda: WiredArray(torch.full((2, 2), torch.nan), EVERY)),
        (r"WiredArray.mvm: voltages must have the shape \(vectors, 3\)", lambda: WiredArray(cells(3, 2), EVERY).mvm(torch.zeros(1, 2))),
        (r"WiredArray.mvm_t: voltages must have the shape \(vectors, 2\)", lambda: WiredArray(cells(3, 2), EVERY).mvm_t(torch.zeros(1, 3))),
        ("voltages must be finite", lambda: WiredArray(cells(3, 2), EVERY).mvm(torch.full((1, 3), torch.inf))),
    ],
)
def test_wires_and_reads_that_cannot_be_are_refused_by_name(message, build):
    with pytest.raises(InputError, match=message):
        build()


ARRAY = Wires(word_ohm=400.0, bit_ohm=300.0, driver_ohm=1e3, sense_ohm=500.0, tolerance=1e-12)


def crossbar(rows: int = 7, columns: int = 9, **options) -> Crossbar:
    array = Crossbar(ArraySpec(Device.named("soft-bounds"), array=Array(wires=ARRAY), **options), rows, columns)
    array.program(0.4 * torch.randn(array.shape, generator=torch.Generator().manual_seed(0)))
    return array


@pytest.mark.parametrize("reference", ["mid-range", "symmetry-point"])
def test_a_crossbar_reads_two_wired_circuits_against_each_other(ngspice, reference):
    """The array of cells minus the array of their references, each with its own wires, both ways round, by ngspice."""
    array, half, mid = crossbar(reference=reference), *(float(getattr(Device.named("soft-bounds"), n)) for n in ("half_range", "mid_range"))
    held = [s.double().expand(array.shape)[0] * half + mid for s in (array.state.double() + array.origin, array.origin)]
    for transposed, read in ((False, array.mvm), (True, array.mvm_t)):
        v = volts(1, 9 if transposed else 7).float()
        currents, against = (netlist.wired_currents(g.clamp(min=0), ARRAY, v[0].double(), transposed)[0] for g in held)
        assert torch.allclose(read(v[None])[0, 0].double(), (currents - against) / half, rtol=1e-5, atol=1e-6)


def test_a_row_read_alone_is_a_product_with_a_unit_vector():
    array = crossbar()
    assert torch.allclose(array.mvm(torch.eye(7)[None])[0, 4], array.line(4)[0], atol=1e-6)


def test_single_vectors_and_the_effective_matrix_read_the_same():
    """One vector is solved for; a batch beyond the number of rows makes the matrix; an update throws it away."""
    array, fresh, v = crossbar(), crossbar(), volts(20, 7).float()[None]
    together = array.mvm(v)
    assert torch.allclose(together[:, :1], fresh.mvm(v[:, :1]), atol=1e-6)
    array.pulse_rows(torch.ones(array.shape, dtype=torch.int32))
    assert not torch.allclose(array.mvm(v), together, atol=1e-5)


def test_wires_of_no_resistance_leave_every_bit():
    plain, wired = (Crossbar(ArraySpec(Device.named("soft-bounds"), array=Array(wires=w)), 6, 5) for w in (None, Wires()))
    v = volts(4, 6).float()[None]
    assert torch.equal(plain.mvm(v), wired.mvm(v))
    assert Design.of({"device": "rpu"}).as_dict()["array"] == {"rows": 4096, "cols": 4096}


def test_members_of_an_ensemble_have_wires_of_their_own():
    """A study may sweep the resistance along the ensemble axis; a member reads as it does alone."""
    base = Design.of({"device": "soft-bounds", "array": {"wires": {"word_ohm": 10.0}}})
    together = stack([base, base.replace("array.wires.word_ohm", 1e5)])
    parts = [(ArraySpec.of(d), 8, 6) for d in (together, base, base.replace("array.wires.word_ohm", 1e5))]
    both, *alone = (AnalogMatrix(*p, seeds=(0,) * n) for p, n in zip(parts, (2, 1, 1), strict=True))
    v, target = volts(3, 8).float()[None], 0.3 * torch.randn(1, 8, 6, generator=torch.Generator().manual_seed(0))
    for matrix in (both, *alone):
        matrix.program(target)
    read = both.mvm(v.expand(2, -1, -1).contiguous())
    assert all(torch.equal(read[e], one.mvm(v)[0]) for e, one in enumerate(alone))
    assert not torch.allclose(read[0], read[1], rtol=1e-2)


def test_training_through_wires_goes_on_bit_for_bit():
    def trained(steps: int, array: Crossbar) -> Crossbar:
        for k in range(array.done["updates"], steps):
            x, d = (volts(1, n, k).float()[None] for n in (7, 9))
            array.pulse(x, array.mvm(x) - array.mvm_t(d)[..., :1] + d, np.array([0.1]))
        return array

    whole, part, rest = trained(6, crossbar()), trained(3, crossbar()), crossbar()
    part.mvm(volts(9, 7).float()[None])
    rest.restore(part.checkpoint())
    assert rest.checkpoint()["read"].tolist() == part.checkpoint()["read"].tolist() != [0]
    assert torch.equal(trained(6, rest).state, whole.state)
    assert torch.equal(trained(6, part).state, whole.state)


def network(wires: dict[str, float] | None, weights: list[torch.Tensor] | None = None) -> torch.nn.Sequential:
    """64-24-10 on digits, on devices of 0 to 1 uS: trained on the arrays, or given weights."""
    parts = {"device": "ideal", "network": {"hidden": [24], "activation": "tanh"}, "array": {"wires": wires} if wires else {}}
    task = load("digits")
    design = Design.of(parts)
    model = design.network.build(task, design, (0,))
    layers = [layer for layer in model if isinstance(layer, Linear)]
    for layer, weight in zip(layers, weights or [], strict=False):
        layer.matrices[layer.rule.weight_array].program(weight)
    descent = Descent(model, task.goal)
    for epoch in range(0 if weights else 3):
        for index in batches(task, 10, epoch, 0):
            descent.step(task.train_x[index][None], task.train_y[index][None], 0.1)
    return model


def test_training_through_wires_recovers_what_a_blind_network_loses():
    """Weights learned without wires lose accuracy on arrays that have them; weights learned through the wires lose less than half."""
    wires, task = {"word_ohm": 1500.0, "bit_ohm": 1500.0}, load("digits")
    blind = network(None)
    weights = [layer.stored for layer in blind if isinstance(layer, Linear)]
    ideal, moved, aware = (
        float(task.goal.judge(m, task.test_x, task.test_y)["accuracy"][0]) for m in (blind, network(wires, weights), network(wires))
    )
    assert ideal - moved > 0.05
    assert ideal - aware < (ideal - moved) / 2


def test_a_tolerance_that_cannot_be_met_is_an_error_that_says_by_how_much():
    """Lines of 1e9 Ohm per segment against cells of 0.1 mS: rounding is all that is left."""
    array = WiredArray(patterns(64)["closed"], Wires(word_ohm=1e9, bit_ohm=1e9, tolerance=1e-13))
    with pytest.raises(RuntimeError, match=r"not solved: currents of vector \d are .* of the largest off after \d+ steps, asked 1e-13"):
        array.mvm(volts(2, 64))
