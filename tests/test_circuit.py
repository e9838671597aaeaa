"""Layered resistive networks: their operating points against ngspice and their gradients against differences and the circuit's own."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aimco.circuit import adjoint, descent, spice
from aimco.circuit.circuit import ResistiveCircuit
from aimco.circuit.elements import DiodePair, Ideal, PiecewiseLinear, Shockley
from aimco.circuit.solvers import solve, solve_forced
from aimco.record import InputError

MEASURED = PiecewiseLinear(volts=(0.0, 0.2, 0.3), amperes=(0.0, 1e-7, 1e-4))
SIZES = [(4, 6, 2), (8, 12, 10, 4), (30, 20, 10)]


def crossbars(sizes: tuple[int, ...], seed: int = 0, dtype: torch.dtype = torch.float64) -> list[torch.Tensor]:
    draws = torch.Generator().manual_seed(seed)
    return [1e-7 + 1e-5 * torch.rand(a, b, generator=draws, dtype=dtype) for a, b in itertools.pairwise(sizes)]


def driven(sizes: tuple[int, ...], samples: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Voltages of about a volt at the inputs, currents of about a microampere into the outputs."""
    draws = torch.Generator().manual_seed(seed)
    return tuple(scale * torch.randn(samples, n, generator=draws, dtype=torch.float64) for scale, n in ((1.0, sizes[0]), (1e-6, sizes[-1])))


def farthest(a: list[torch.Tensor], b: list[torch.Tensor]) -> float:
    return max(float((u - v).abs().max()) for u, v in zip(a, b, strict=True))


@pytest.mark.parametrize("method", ["descent", "newton"])
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize(("diodes", "nearest"), [(Shockley(as_ngspice=True), 1e-11), (Shockley(), 1e-8), (MEASURED, 1e-8)])
def test_nodes_are_those_of_ngspice(ngspice, sizes, diodes, nearest, method):
    """With ngspice's own reverse law to 1e-11 V, in both decks; other laws are formulas in the deck, of less precision there."""
    net, (volts, amperes) = ResistiveCircuit(crossbars(sizes), diodes), driven(sizes, 2)
    ours = solve(net, volts, amperes, tolerance=1e-12, method=method)
    for k, folded in enumerate((False, True)):
        theirs, _ = spice.operating_point(net, volts[k], amperes[k], folded=folded)
        assert farthest([u[k] for u in ours.nodes], theirs) <= nearest


@given(
    hidden=st.lists(st.integers(1, 9), min_size=1, max_size=3),
    seed=st.integers(0, 10_000),
    spread=st.booleans(),
    paired=st.booleans(),
)
@settings(max_examples=12, deadline=None)
def test_random_networks_are_those_of_ngspice(ngspice, hidden, seed, spread, paired):
    """Any depth, offsets of amplifiers, gains and diodes that differ from node to node, and pairs with lines of both signs."""
    sizes, draws = (5, *hidden, 3), torch.Generator().manual_seed(seed)

    def around(mean: float, n: int) -> torch.Tensor:
        return mean * (1 + 0.2 * (2 * torch.rand(n, generator=draws, dtype=torch.float64) - 1))

    high = [around(0.3, n) for n in hidden]
    diodes = [Shockley(high=h, low=-h, as_ngspice=True) for h in high] if spread else Shockley(as_ngspice=True)
    gains = [around(4.0, n) for n in hidden] if spread else 4.0
    inverted = crossbars(sizes, seed + 1) if paired else None
    net = ResistiveCircuit(crossbars(sizes, seed), diodes, gains, [around(0.01, n) for n in hidden], inverted=inverted)
    volts, amperes = driven(sizes, 1, seed)
    ours = solve(net, volts, amperes, tolerance=1e-12, steps=20_000)
    theirs, _ = spice.operating_point(net, volts[0], amperes[0])
    assert farthest([u[0] for u in ours.nodes], theirs) <= 1e-11


def test_power_taken_is_power_brought():
    """Resistors and diodes take what sources, amplifiers and currents bring (Tellegen), also with lines of both signs."""
    sizes = (6, 5, 4)
    net = ResistiveCircuit(crossbars(sizes), Shockley(), 4.0, inverted=[None, crossbars(sizes, 1)[1]])
    volts, amperes = driven(sizes, 3)
    solution = solve(net, volts, amperes, tolerance=1e-12)
    u, y = solution.nodes
    p = net.driven(0, u)
    from_sources = (volts * (volts * net.plus[0].sum(1) - u @ net.plus[0].T)).sum(1)
    out_of_amplifiers = (p * (p * (net.plus[1] + net.inverted[1]).sum(1) - y @ net.conductances[1].T)).sum(1)
    into_amplifiers = (u * (p * (net.plus[1] + net.inverted[1]).sum(1) - y @ net.conductances[1].T)).sum(1) / 4.0
    brought = from_sources + out_of_amplifiers - into_amplifiers + (amperes * y).sum(1)
    assert net.dissipation(volts, net.forced(volts), solution.nodes).tolist() == pytest.approx(brought.tolist(), rel=1e-9)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-6)])
def test_deep_networks_settle_to_the_tolerance_in_every_sample(dtype, tolerance):
    """3 hidden layers of 200, 256 samples: each node within the tolerance of a float64 reference settled to 1e-12 V.

    float32 cannot know 3 V to 1e-6 V, and says so.
    """
    sizes = (300, 200, 200, 200, 20)
    exact, (volts, _) = ResistiveCircuit(crossbars(sizes)), driven(sizes, 256)
    reference = solve(exact, volts, tolerance=1e-12)
    net = ResistiveCircuit([g.to(dtype) for g in exact.conductances])
    solution = solve(net, volts.to(dtype), tolerance=tolerance)
    assert farthest([u.double() for u in solution.nodes], reference.nodes) <= tolerance
    if dtype == torch.float32:
        with pytest.raises(RuntimeError, match="use method newton or float64"):
            solve(net, volts.to(dtype), tolerance=1e-6)


@pytest.mark.parametrize("diodes", [Shockley(), MEASURED, Ideal(), Shockley(as_ngspice=True)])
def test_descent_finds_the_point_of_newton_and_less_content_nowhere_else(diodes: DiodePair):
    """Kirchhoff's law holds at every node; ideal diodes hold theirs within bounds."""
    sizes = (20, 15, 12, 4)
    net, (volts, amperes) = ResistiveCircuit(crossbars(sizes), diodes), driven(sizes, 5)
    solution = solve(net, volts, amperes, tolerance=1e-11, method="descent", steps=20_000)
    assert float(solution.residual.max()) < 1e-13
    if isinstance(diodes, Ideal):
        assert all(float(u.abs().max()) <= 0.3 for u in solution.nodes[:-1])
    else:
        assert farthest(solution.nodes, solve(net, volts, amperes, tolerance=1e-11, method="newton").nodes) < 1e-10


def cost(outputs: torch.Tensor) -> torch.Tensor:
    return (outputs**2).sum() / 2 + outputs[:, 0].sum()


@pytest.mark.parametrize("diodes", [Shockley(), MEASURED, Ideal()])
def test_the_adjoint_is_the_slope_of_the_cost(diodes):
    """Central differences of the cost in single conductances and sources, to 1e-5 of the largest."""
    sizes = (6, 5, 4, 3)
    g, (volts, _) = crossbars(sizes), driven(sizes, 2)

    def at(g: list[torch.Tensor], volts: torch.Tensor) -> float:
        return float(cost(solve(ResistiveCircuit(g, diodes), volts, tolerance=1e-13, steps=50_000).outputs))

    net = ResistiveCircuit(g, diodes)
    point = solve(net, volts, tolerance=1e-13, steps=50_000)
    into = point.outputs + torch.nn.functional.one_hot(torch.zeros(2, dtype=torch.int64), 3)
    slopes, at_sources = adjoint.gradients(net, volts, point, into)
    for k, (i, j) in ((0, (1, 2)), (1, (4, 0)), (2, (3, 1))):
        step = 1e-4 * float(g[k][i, j])
        up, down = ([h.clone() for h in g] for _ in range(2))
        up[k][i, j] += step
        down[k][i, j] -= step
        assert (at(up, volts) - at(down, volts)) / (2 * step) == pytest.approx(
            float(slopes[k][i, j]), abs=1e-5 * float(slopes[k].abs().max())
        )
    step = torch.zeros_like(volts)
    step[1, 3] = 1e-5
    assert (at(g, volts + step) - at(g, volts - step)) / 2e-5 == pytest.approx(float(at_sources[1, 3]), abs=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda g: [-g[0], g[1]], "conductances of crossbar 1 must be at least 0 S"),
        (lambda g: [g[0] * torch.tensor([1.0, 0.0, 1.0]), g[1]], "node 1 of layer 1 is floating"),
        (lambda g: [g[0], g[1][:2]], "crossbar 2 must have 3 rows"),
        (lambda g: [g[0] * math.nan, g[1]], "conductances of crossbar 1"),
    ],
)
def test_circuits_that_cannot_be_are_refused_by_name(change, message):
    g = [torch.full((4, 3), 1e-6), torch.full((3, 2), 1e-6)]
    with pytest.raises(InputError, match=message):
        ResistiveCircuit(change(g))


def test_elements_that_cannot_be_are_refused_by_name():
    g = [torch.full((4, 3), 1e-6), torch.full((3, 2), 1e-6)]
    cases = {
        "gain of the amplifiers of layer 1": lambda: ResistiveCircuit(g, gain=0.0),
        "diodes.low must be at most diodes.high": lambda: Shockley(low=0.5, high=0.3),
        "diodes.saturation must be above 0": lambda: Shockley(saturation=0.0),
        "diodes.amperes must be at least two rising": lambda: PiecewiseLinear(volts=(0.0, 1.0), amperes=(1.0, 0.0)),
        "sources must be": lambda: solve(ResistiveCircuit(g), torch.zeros(1, 3)),
        "injected must be": lambda: solve(ResistiveCircuit(g), torch.zeros(1, 4), torch.zeros(1, 3)),
        "method must be descent": lambda: solve(ResistiveCircuit(g, Ideal()), torch.zeros(1, 4), method="newton"),
        "diodes must be shockley": lambda: spice.netlist(ResistiveCircuit(g, Ideal()), torch.zeros(4)),
    }
    for message, build in cases.items():
        with pytest.raises(InputError, match=message):
            build()


def test_what_does_not_settle_is_an_error_that_says_where_and_by_how_much():
    net, (volts, _) = ResistiveCircuit(crossbars((8, 12, 10, 4))), driven((8, 12, 10, 4), 3)
    with pytest.raises(RuntimeError, match=r"not settled: sample \d is .* V off after 2 steps of descent, asked 1e-12 V"):
        solve(net, volts, tolerance=1e-12, method="descent", steps=2)


@pytest.mark.parametrize("diodes", [Shockley(), Shockley(high=0.2, low=-0.4, as_ngspice=True), Ideal()])
@pytest.mark.parametrize("drive", [0.1, 1.0, 30.0])
def test_compiled_descent_is_that_of_torch_and_within_the_error_it_tells(diodes, drive):
    """Gains and offsets that differ from node to node, two phases at once from a common start, each within its own estimate."""
    sizes, draws = (41, 30, 6), torch.Generator().manual_seed(0)
    gain = 2 + 4 * torch.rand(30, generator=draws, dtype=torch.float64)
    net, (volts, amperes) = ResistiveCircuit(crossbars(sizes), diodes, [gain], 0.01 * gain), driven(sizes, 4)
    fixed, injected = net.forced(drive * volts), torch.cat((amperes, -amperes))
    free = solve_forced(net, fixed)
    exact = descent.solve(net, fixed.repeat(2, 1), injected, None, 1e-14, 200).nodes
    for tolerance in (1e-3, 1e-6, 1e-12):
        solution = solve_forced(net, fixed, injected, start=free, tolerance=tolerance)
        for ours, reference in zip(solution.nodes, exact, strict=True):
            assert bool(((ours - reference).abs().amax(1) <= solution.error).all()) and float(solution.error.max()) <= tolerance
    towards, away = solution.phases(2)
    assert torch.equal(towards.outputs, solution.outputs[:4]) and torch.equal(away.nodes[0], solution.nodes[0][4:])
    assert float(solution.residual.max()) < 1e-15 * max(1, drive)


def test_compiled_descent_tells_the_sample_that_does_not_settle():
    net, (volts, amperes) = ResistiveCircuit(crossbars((8, 12, 4))), driven((8, 12, 4), 3)
    with pytest.raises(RuntimeError, match=r"not settled: sample [0-2] is .* V off after 1 steps of descent, asked 1e-12 V"):
        solve_forced(net, net.forced(volts), torch.cat((amperes, -amperes)), tolerance=1e-12, steps=1)
    volts[1, 2] = math.nan
    with pytest.raises(RuntimeError, match="sample 1 is"):
        solve(net, volts)


@pytest.mark.parametrize("diodes", [Shockley(), Ideal()])
def test_conductances_in_single_precision_tell_their_rounding(diodes):
    """Within the error told, of a float64 reference with the same conductances; what rounding hides is refused."""
    sizes = (301, 50, 10)
    exact, (volts, _) = ResistiveCircuit([g.float().double() for g in crossbars(sizes)], diodes), driven(sizes, 64)
    volts = volts.float().double()
    net = ResistiveCircuit([g.float() for g in exact.conductances], diodes)
    solution, reference = solve(net, volts.float(), tolerance=2e-6), solve(exact, volts, tolerance=1e-12)
    for ours, true in zip(solution.nodes, reference.nodes, strict=True):
        assert bool(((ours.double() - true).abs().amax(1) <= solution.error).all())
    with pytest.raises(RuntimeError, match="or float64"):
        solve(net, volts.float(), tolerance=1e-8)
