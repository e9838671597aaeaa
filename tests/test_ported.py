"""Resistive networks in arrays with wires: operating points against ngspice, gradients and learning with the parasitic array inside."""

from __future__ import annotations

import itertools

import pytest
import torch

from aimco import tasks
from aimco.arrays.ports import crossbar_ports
from aimco.arrays.vertical import Stack, VerticalWires
from aimco.arrays.wires import Wires
from aimco.circuit import adjoint, spice
from aimco.circuit.circuit import ResistiveCircuit
from aimco.circuit.elements import Ideal, Shockley
from aimco.circuit.port_reduction import IdealPorts, PortReducedCircuit
from aimco.circuit.solvers import solve
from aimco.design import Design
from aimco.learning.equilibrium import Equilibrium
from aimco.record import InputError
from aimco.resistive.network import ResistiveNetwork
from aimco.resistive.parts import Parts

SIZES = (7, 6, 5, 4)
PLANAR = Wires(word_ohm=2e3, bit_ohm=1e3, driver_ohm=5e3, sense_ohm=500.0)
STACK = Stack(layers=3, pillar_ohm=4e3, select_ohm=1e4, bit_ohm=300.0, word_ohm=200.0)
ARRAYS = {
    "planar": [PLANAR, PLANAR.replace("both_sides", True), Wires(bit_ohm=5e3)],
    "vertical": [STACK.holding(a, b) for a, b in itertools.pairwise(SIZES)],
    "mixed": [STACK.holding(*SIZES[:2]), None, PLANAR],
}


def crossbars(seed: int = 0) -> list[torch.Tensor]:
    """.1 to 10 uS, some 0."""
    draws = torch.Generator().manual_seed(seed)
    shapes = list(itertools.pairwise(SIZES))
    drawn = [(torch.rand(2, *shape, generator=draws, dtype=torch.float64)) for shape in shapes]
    return [(1e-7 + 1e-5 * value) * (other > 0.1) for value, other in drawn]


def network(arrays: list, paired: bool, diodes: Shockley) -> PortReducedCircuit:
    ports = [[crossbar_ports(g, a) for g, a in zip(crossbars(seed), arrays, strict=True)] for seed in (0, 1)]
    return PortReducedCircuit(ports[0], diodes, 4.0, [0.01, -0.02], inverted=ports[1] if paired else None)


def driven(samples: int) -> tuple[torch.Tensor, torch.Tensor]:
    draws = torch.Generator().manual_seed(0)
    return tuple(scale * torch.randn(samples, n, generator=draws, dtype=torch.float64) for scale, n in ((1.0, SIZES[0]), (1e-6, SIZES[-1])))


def cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(torch.cosine_similarity(a.flatten(), b.flatten(), dim=0))


@pytest.mark.parametrize("paired", [False, True])
@pytest.mark.parametrize("arrays", ARRAYS)
def test_nodes_are_those_of_ngspice_with_every_wire(ngspice, arrays, paired):
    """Two hidden layers, offsets of amplifiers, all inner nodes in the deck: every node to 1e-10 V."""
    net, (volts, amperes) = network(ARRAYS[arrays], paired, Shockley(as_ngspice=True)), driven(2)
    ours = solve(net, volts, amperes, tolerance=1e-12)
    for k in range(2):
        theirs, _ = spice.operating_point(net, volts[k], amperes[k])
        assert max(float((u[k] - v).abs().max()) for u, v in zip(ours.nodes, theirs, strict=True)) <= 1e-10


def test_without_resistance_it_is_the_layered_network():
    """A hundredth of an Ohm per segment moves no voltage by more than a few microvolts."""
    plain, (volts, amperes) = ResistiveCircuit(crossbars(), offset=0.01), driven(3)
    for wires in (None, Wires(), Wires(word_ohm=1e-2, bit_ohm=1e-2)):
        net = PortReducedCircuit([crossbar_ports(g, wires) for g in crossbars()], offset=0.01)
        pairs = [solve(n, volts, amperes, tolerance=1e-12) for n in (net, plain)]
        assert max(float((a - b).abs().max()) for a, b in zip(pairs[0].nodes, pairs[1].nodes, strict=True)) < 1e-5
        powers = [n.dissipation(volts, n.forced(volts), s.nodes) for n, s in zip((net, plain), pairs, strict=True)]
        torch.testing.assert_close(powers[0], powers[1], rtol=1e-5, atol=0)


def test_power_taken_is_power_brought():
    """Devices, wires and diodes take what sources, amplifiers and currents bring: by the voltages across each device and wire."""
    net, (volts, amperes) = network(ARRAYS["vertical"], False, Shockley()), driven(3)
    solution = solve(net, volts, amperes, tolerance=1e-12)
    p = [volts, *(net.driven(k, u) for k, u in enumerate(solution.nodes[:-1]))]
    brought = (amperes * solution.outputs).sum(1)
    for k, (line, crossbar) in enumerate(zip(p, net.crossbars, strict=True)):
        current = line @ crossbar.at_rows - solution.nodes[k] @ crossbar.between.T  # out of what drives the lines
        brought += (line * current).sum(1) - ((solution.nodes[k - 1] * current).sum(1) / 4.0 if k else 0.0)
    torch.testing.assert_close(net.dissipation(volts, net.forced(volts), solution.nodes), brought, rtol=1e-9, atol=0)


def test_the_adjoint_is_the_slope_of_the_cost():
    """Central differences in single devices of each crossbar inside its wires, to 1e-5 of the largest."""
    g, (volts, _), arrays = [crossbar + 1e-8 for crossbar in crossbars()], driven(2), ARRAYS["vertical"]

    def settled(g: list[torch.Tensor]):
        net = PortReducedCircuit([crossbar_ports(crossbar, array) for crossbar, array in zip(g, arrays, strict=True)])
        return net, solve(net, volts, tolerance=1e-13)

    net, solution = settled(g)
    slopes, _ = adjoint.gradients(net, volts, solution, solution.outputs)
    for k, (i, j) in ((0, (1, 2)), (1, (4, 0)), (2, (3, 1))):
        ends, step = [], 1e-3 * float(g[k].max())
        for sign in (1, -1):
            moved = [crossbar.clone() for crossbar in g]
            moved[k][i, j] += sign * step
            ends.append(float(settled(moved)[1].outputs.square().sum() / 2))
        assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(float(slopes[k][i, j]), abs=1e-5 * float(slopes[k].abs().max()))


@pytest.mark.parametrize("paired", [False, True])
@pytest.mark.parametrize("arrays", ["planar", "vertical"])
def test_the_rule_of_two_states_is_the_adjoint_inside_the_array(arrays, paired):
    """Every device by the voltage across itself: cosine at least 0.99999 in each crossbar; ideal wires would point elsewhere."""
    sizes = [6, 9, 3]
    nodes = [7 if paired else 13, 9, 6]
    stacks = [PLANAR] * 2 if arrays == "planar" else [STACK.holding(a, b) for a, b in itertools.pairwise(nodes)]
    draws = torch.Generator().manual_seed(0)
    x, target = torch.rand(8, 6, generator=draws, dtype=torch.float64), torch.nn.functional.one_hot(torch.arange(8) % 3, 3).double()
    net, blind = (ResistiveNetwork(sizes, Parts(paired=paired, tolerance=1e-13, arrays=a)) for a in (stacks, None))
    slopes = []
    for each_net in (net, blind):
        ((each_net(x) - target) ** 2).sum().div(2).backward()
        slopes.append([g.grad for g in (*each_net.conductances, *each_net.inverted)])
    for beta in (1e-7, 1e-5):
        rule = Equilibrium(beta=beta)
        solution = rule.gradients(net.circuit(), rule.solve(net, x, target))
        for ours, exact in zip(solution, slopes[0], strict=True):
            assert cosine(ours, exact) >= 0.99999
            assert float(ours.norm() / exact.norm()) == pytest.approx(1, abs=0.01)
    assert min(cosine(a, b) for a, b in zip(*slopes, strict=True)) < 0.999


@pytest.mark.slow
def test_learning_inside_the_array_beats_programming_weights_learned_without_it():
    """Digits, 64-16-10 in 16 layers of 10 kOhm: two passes inside give back most of what programmed conductances lose."""
    digits = tasks.load("digits", seed=0)
    target, order = 0.3 * torch.nn.functional.one_hot(digits.train_y, 10).double(), torch.Generator().manual_seed(0)
    rule, stack = Equilibrium(lr=10.0, layer_lr=(1.0, 0.4)), Stack(layers=16, pillar_ohm=1e4)
    options = {"unit": 4.5e-5, "g_min": 1e-7, "g_max": 1e-4}
    net = ResistiveNetwork([64, 16, 10], Parts(**options))
    inside = ResistiveNetwork([64, 16, 10], Parts(**options, arrays=[stack.holding(129, 16), stack.holding(16, 20)]))
    right = []
    with torch.no_grad():
        for _ in range(3):
            for index in torch.randperm(len(target), generator=order).split(25):
                rule.step(net, digits.train_x[index], target[index])
        right.append(net(digits.test_x))
        for conductances, other in zip(inside.conductances, net.conductances, strict=True):
            conductances.copy_(other)
        right.append(inside(digits.test_x))
        for index in [i for _ in range(2) for i in torch.randperm(len(target), generator=order).split(25)]:
            rule.step(inside, digits.train_x[index], target[index])
        right.append(inside(digits.test_x))
    blind, programmed, learned = (float((y.argmax(1) == digits.test_y).double().mean()) for y in right)
    assert programmed < blind - 0.1
    assert learned > programmed + (blind - programmed) / 2


@pytest.mark.parametrize("parts", [{"array": {"wires": {"word_ohm": 1e3, "bit_ohm": 1e3}}}, {"vertical": {"layers": 4, "pillar_ohm": 1e4}}])
def test_a_design_says_what_its_resistive_network_stands_in(parts):
    stack = {"circuit": {"vertical": parts["vertical"]}} if "vertical" in parts else {}
    base = {"device": "rpu", "network": {"kind": "resistive", "hidden": [8]} | stack, "rule": {"kind": "equilibrium"}}
    wired = ResistiveNetwork.of_design(Design.of(base | {"array": parts.get("array", {})}), 64, 10)
    plain = ResistiveNetwork.of_design(Design.of(base | {"network": {"kind": "resistive", "hidden": [8]}}), 64, 10)
    x = tasks.load("digits", limit=10)
    assert not torch.allclose(wired(x.train_x), plain(x.train_x), rtol=1e-3)
    wired.learn_from(x.train_x, x.train_y, 100.0)
    assert wired.counts["circuit"]["dissipated_W"] > 0
    assert wired.meter.settle_s(wired.circuit()) > 0


def test_networks_in_arrays_that_cannot_be_are_refused_by_name():
    g = crossbars()
    base = {"device": "rpu", "network": {"kind": "resistive", "hidden": [8]}, "rule": {"kind": "equilibrium"}}
    wired = base | {"array": {"wires": {"word_ohm": 1.0}}}
    cases = {
        "vertical.columns must be 6": lambda: crossbar_ports(g[0], STACK.holding(7, 5)),
        "matrix must be at most 6 x 6": lambda: crossbar_ports(g[0], VerticalWires(layers=2, rows=3, columns=6)),
        "diodes must be smooth": lambda: PortReducedCircuit([IdealPorts(crossbar) for crossbar in g], Ideal()),
        "method must be newton where": lambda: solve(network([PLANAR] * 3, False, Shockley()), driven(1)[0], method="descent"),
        "gain one number": lambda: PortReducedCircuit([IdealPorts(crossbar) for crossbar in g], gain=[torch.full((6,), 4.0), 4.0]),
        "crossbar 2 must have 6 rows": lambda: PortReducedCircuit([IdealPorts(g[0]), IdealPorts(g[2])]),
        "conductances of crossbar 1": lambda: PortReducedCircuit([IdealPorts(-crossbar) for crossbar in g]),
        "arrays must be one or None for each of 2": lambda: ResistiveNetwork([3, 4, 2], Parts(arrays=[PLANAR])),
        "vertical.word_lines must be combs": lambda: Design.of(base).replace(
            "network.circuit.vertical", {"layers": 2, "word_lines": "planes"}
        ),
        "array.rows x cols must be at least 129 x 8": lambda: ResistiveNetwork.of_design(
            Design.of(wired).replace("array.rows", 64), 64, 10
        ),
        "network.circuit.precision must be float64": lambda: ResistiveNetwork.of_design(
            Design.of(wired).replace("network.circuit.precision", "float32"), 64, 10
        ),
        "network.circuit.gain_spread must be 0": lambda: ResistiveNetwork.of_design(
            Design.of(wired).replace("network.circuit.gain_spread", 0.1), 64, 10
        ),
    }
    for message, build in cases.items():
        with pytest.raises(InputError, match=message):
            build()
