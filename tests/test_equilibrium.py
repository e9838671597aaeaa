"""Equilibrium propagation against back-propagation through the same circuit."""

from __future__ import annotations

import copy

import pytest
import torch

from aimco import tasks
from aimco.arrays.wires import Wires
from aimco.circuit.circuit import ResistiveCircuit
from aimco.circuit.elements import Ideal, Shockley
from aimco.circuit.solvers import solve_forced
from aimco.learning.equilibrium import Equilibrium
from aimco.record import InputError
from aimco.resistive.network import ResistiveNetwork
from aimco.resistive.parts import Parts


def batch(inputs: int, outputs: int) -> tuple[torch.Tensor, torch.Tensor]:
    draws = torch.Generator().manual_seed(0)
    return (
        torch.rand(8, inputs, generator=draws, dtype=torch.float64),
        torch.nn.functional.one_hot(torch.arange(8) % outputs, outputs).double(),
    )


def adjoint_slopes(network: ResistiveNetwork, x: torch.Tensor, target: torch.Tensor) -> list[torch.Tensor]:
    network.zero_grad()
    ((network(x) - target) ** 2).sum().div(2).backward()
    return [g.grad for g in network.conductances]  # pyright: ignore[reportReturnType]


@pytest.mark.parametrize("beta", [1e-8, 1e-7, 1e-6, 1e-5, 1e-4])
@pytest.mark.parametrize("sizes", [[10, 12, 3], [10, 12, 8, 3]])
def test_the_centred_gradient_is_that_of_the_adjoint(sizes, beta):
    """In each layer: cosine at least 0.99999 and the same length within 1 %. Voltages are settled to 1e-13 V, far below what beta moves."""
    network, (x, target) = ResistiveNetwork(sizes, Parts(tolerance=1e-13)), batch(sizes[0], sizes[-1])
    rule = Equilibrium(beta=beta)
    solution = rule.gradients(network.circuit(), rule.solve(network, x, target))
    for ours, exact in zip(solution, adjoint_slopes(network, x, target), strict=True):
        assert float(torch.cosine_similarity(ours.flatten(), exact.flatten(), dim=0)) >= 0.99999
        assert float(ours.norm() / exact.norm()) == pytest.approx(1, abs=0.01)


def test_nudging_one_way_is_biased_by_order_beta():
    """Ten times the nudge, ten times the bias."""
    network, (x, target) = ResistiveNetwork([10, 12, 3], Parts(tolerance=1e-13)), batch(10, 3)
    exact, bias = adjoint_slopes(network, x, target), []
    for beta in (1e-7, 1e-6):
        rule = Equilibrium(beta=beta, centred=False)
        solution = rule.gradients(network.circuit(), rule.solve(network, x, target))
        bias.append(float((solution[1] - exact[1]).norm()))
    assert bias[1] / bias[0] == pytest.approx(10, rel=0.1)


@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("diodes", [Shockley(), Ideal()])
def test_power_found_on_the_way_is_that_of_every_conductance_and_diode(diodes, centred):
    network, (x, target) = ResistiveNetwork([20, 12, 3], Parts(diodes, gain=2.0, offset=0.01, tolerance=1e-12)), batch(20, 3)
    phases, fixed = network.phases(x, target, 1e-6, centred=centred), network.forced(x)
    for state, injected in ((phases.free, 0), (phases.towards, -1), (phases.away, centred)):
        assert state.power is not None
        nudge = injected * 1e-6 * torch.cat((phases.error, -phases.error), 1)
        anew = solve_forced(network.circuit(), fixed, nudge, tolerance=1e-12)
        torch.testing.assert_close(state.nodes, anew.nodes, rtol=0, atol=3e-12)
        whole = network.circuit().dissipation(network.lines(x), fixed, state.nodes)
        assert float(state.power.sum()) + network.source_power(x) == pytest.approx(float(whole.sum()), rel=1e-9)


@pytest.mark.parametrize(("lit", "centred"), [(0.0, True), (0.2, True), (1.0, True), (0.2, False)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("diodes", [Shockley(), Ideal()])
def test_one_pass_over_the_first_crossbar_is_the_gradient_step_within_the_window(diodes, dtype, lit, centred):
    """`step` against G - lr dC/dG cut to the window, and what is kept of the circuit against one made anew: to rounding."""
    network, (x, target) = ResistiveNetwork([20, 12, 3], Parts(diodes, g_max=2e-5, dtype=dtype)), batch(20, 3)
    x = x * (torch.rand(x.shape, generator=torch.Generator().manual_seed(1)) < lit)
    rule, x, target = Equilibrium(lr=3e5, layer_lr=(1.0,), beta=1e-5, centred=centred), x.to(dtype), target.to(dtype)
    phases = rule.solve(network, x, target)
    slopes = rule.gradients(network.circuit(), phases)
    wanted = [
        (g.detach() - 3e5 * 1e-8 / 8 * s).clamp(network.parts.g_min, network.parts.g_max)
        for g, s in zip(network.conductances, slopes, strict=True)
    ]
    version = network.conductances[0]._version
    assert network.fused
    rule.step(network, x, target)
    near = {"rtol": 1e-12 if dtype == torch.float64 else 1e-5, "atol": 1e-18 if dtype == torch.float64 else 1e-12}
    for g, expected in zip(network.conductances, wanted, strict=True):
        torch.testing.assert_close(g.detach(), expected, **near)
    assert network.conductances[0]._version > version
    assert bool((network.conductances[0] == network.parts.g_min).any()) and bool((network.conductances[0] == network.parts.g_max).any())
    circuit, anew = network.circuit(), ResistiveCircuit([g.detach() for g in network.conductances], diodes)
    torch.testing.assert_close(circuit.a, anew.a, rtol=near["rtol"], atol=0)
    fixed = anew.forced(network.sources(x))
    torch.testing.assert_close(network.forced(x).to(dtype), fixed, rtol=near["rtol"], atol=1e-5 * near["rtol"])
    drawn = float((network.sources(x).double().square() @ anew.out_of_sources.double()).sum())
    assert network.source_power(x) == pytest.approx(drawn, rel=near["rtol"])


def test_devices_with_spread_learn_by_their_slopes_in_the_circuit():
    """What the circuit has is a copy, so no compiled step changes it in place: held conductances move, and the circuit with them."""
    network, (x, target) = ResistiveNetwork([20, 12, 3], Parts(conductance_spread=0.3)), batch(20, 3)
    rule, before = Equilibrium(lr=10.0, layer_lr=(1.0,)), [g.detach().clone() for g in network.conductances]
    factors = [seen / g for seen, g in zip(network.effective_conductances()[0], before, strict=True)]
    slopes = rule.gradients(network.circuit(), rule.solve(network, x, target))
    rule.step(network, x, target)
    for g, was, slope, factor, seen in zip(network.conductances, before, slopes, factors, network.circuit().conductances, strict=True):
        torch.testing.assert_close(g.detach(), (was - 10.0 * 1e-8 / 8 * slope).clamp(min=1e-11), rtol=1e-12, atol=0)
        assert not torch.equal(g, was) and float(factor.std()) > 0.2
        torch.testing.assert_close(seen, g.detach() * factor, rtol=1e-12, atol=0)


@pytest.mark.parametrize("grad", [True, False])
def test_outputs_are_the_same_with_and_without_autograd(grad):
    network, (x, _) = ResistiveNetwork([20, 12, 3]), batch(20, 3)
    with torch.set_grad_enabled(grad):
        y = network(x)
    driven = network.inputs(x)
    assert torch.equal(y, network.read(network.solve(driven, network.forced(driven)))) and y.requires_grad == grad


@pytest.mark.parametrize("lit", [0.1, 1.0])
def test_a_step_of_a_large_layer_over_several_threads_is_the_gradient_step(lit):
    """784-300-10, 32 samples: products and the pass over the crossbar are shared out."""
    network, rule = ResistiveNetwork([784, 300, 10], Parts(Ideal())), Equilibrium(lr=1.0, layer_lr=(1.0,), beta=1e-6)
    draws = torch.Generator().manual_seed(0)
    x = torch.rand(32, 784, generator=draws).double() * (torch.rand(32, 784, generator=draws) < lit)
    target = torch.nn.functional.one_hot(torch.arange(32) % 10, 10).double()
    slopes = rule.gradients(network.circuit(), rule.solve(network, x, target))
    before = [g.detach().clone() for g in network.conductances]
    rule.step(network, x, target)
    for g, was, slope, unit in zip(network.conductances, before, slopes, network.units, strict=True):
        torch.testing.assert_close(
            g.detach(), (was - unit**2 / 32 * slope).clamp(network.parts.g_min, network.parts.g_max), rtol=1e-12, atol=1e-18
        )


@pytest.mark.parametrize("lit", [0.1, 1.0])
def test_shapes_that_do_not_fit_are_refused_whatever_is_lit(lit):
    network, rule = ResistiveNetwork([20, 12, 3]), Equilibrium()
    x = torch.rand(4, 20) * (torch.rand(4, 20) < lit)
    for wrong in (x[:, :19], torch.cat((x, x), 1), x[:0], x[0]):
        with pytest.raises(InputError, match="inputs must be"):
            network.forced(wrong)
    for target in (torch.zeros(8, 3), torch.zeros(1, 3), torch.zeros(4, 2)):
        with pytest.raises(InputError, match=r"target must be \(4, 3\) voltages"):
            rule.step(network, x, target)
        with pytest.raises(InputError, match=r"target must be \(4, 3\) voltages"):
            rule.solve(network, x, target)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_inputs_and_targets_that_are_not_finite_are_refused_by_name(wrong):
    network, (x, target) = ResistiveNetwork([4, 3, 2]), batch(4, 2)
    known, message = network.inputs(x.clone()), f"a resistive network: {{}} must be finite, got {wrong}"
    for t in (x, target):
        t[0, 0] = wrong
    for use in (network, network.sources):
        with pytest.raises(InputError, match=message.format("inputs")):
            use(x)
    for learn in (lambda: network.phases(known, target, 1e-6), lambda: network.fused_step(known, target, 1e-6, (1e-6, 1e-6))):
        with pytest.raises(InputError, match=message.format("target")):
            learn()


def test_a_step_that_does_not_settle_changes_no_conductance():
    network, (x, target) = ResistiveNetwork([20, 12, 3], Parts(tolerance=1e-19)), batch(20, 3)
    before = [g.detach().clone() for g in network.conductances]
    with pytest.raises(RuntimeError, match=r"not settled: sample \d is"):
        Equilibrium().step(network, x, target)
    assert all(torch.equal(g, was) for g, was in zip(network.conductances, before, strict=True))


@pytest.mark.parametrize("assign", [True, False])
def test_conductances_that_were_loaded_are_seen(assign):
    """Into a network that has settled, and into a copy of one that has learned: outputs are those of where they came from."""
    (x, target), other = batch(20, 3), ResistiveNetwork([20, 12, 3], seed=1)
    learned = ResistiveNetwork([20, 12, 3])
    Equilibrium(lr=1e3).step(learned, x, target)
    for network in (ResistiveNetwork([20, 12, 3]), copy.deepcopy(learned)):
        network(x)
        network.load_state_dict(other.state_dict(), assign=assign)
        assert torch.equal(network(x), other(x))


def test_gradients_of_conductances_in_single_precision_are_those_of_double():
    """784-100-10 at beta 1e-6 S, settled to 1e-6 V: cosine at least 0.9999 with the adjoint in float64."""
    single, double = (
        ResistiveNetwork([784, 100, 10], Parts(dtype=dtype, tolerance=t)) for dtype, t in ((torch.float32, 1e-6), (torch.float64, 1e-10))
    )
    x, target = batch(784, 10)
    rule = Equilibrium()
    solution = rule.gradients(single.circuit(), rule.solve(single, x, target))
    for ours, exact in zip(solution, adjoint_slopes(double, x, target), strict=True):
        assert float(torch.cosine_similarity(ours.double().flatten(), exact.flatten(), dim=0)) >= 0.9999


@pytest.mark.parametrize("diodes", [Shockley(), Ideal()])
def test_back_propagation_through_the_circuit_passes_gradcheck(diodes):
    network, (x, _) = ResistiveNetwork([3, 4, 2], Parts(diodes, tolerance=1e-13, unit=1.0)), batch(3, 2)

    def outputs(x: torch.Tensor) -> torch.Tensor:
        return network(x)

    assert torch.autograd.gradcheck(outputs, x[:2].requires_grad_())


@pytest.mark.parametrize("arrays", [None, [Wires(word_ohm=1e3), None]])
@pytest.mark.parametrize("paired", [False, True])
def test_back_propagation_reaches_the_devices_through_their_spread(paired, arrays):
    """Central differences of the cost in single devices, whose conductances in the circuit are their own times a factor."""
    parts = Parts(paired=paired, arrays=arrays, conductance_spread=0.5, tolerance=1e-13)
    network, (x, target) = ResistiveNetwork([3, 4, 2], parts), batch(3, 2)

    def cost() -> torch.Tensor:
        return (network(x) - target).square().sum()

    cost().backward()
    for g in (*network.conductances, *network.inverted):
        slope, ends, step = float(g.grad[2, 1]), [], 1e-3 * float(g.detach()[2, 1])
        for move in (step, -2 * step, step):
            with torch.no_grad():
                g[2, 1] += move
                ends.append(float(cost()))
        assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(slope, rel=1e-5)


def test_back_propagation_in_single_precision_is_that_of_double():
    x, target = batch(20, 3)
    single, double = (ResistiveNetwork([20, 12, 3], Parts(dtype=dtype)) for dtype in (torch.float32, torch.float64))
    for ours, exact in zip(adjoint_slopes(single, x, target), adjoint_slopes(double, x, target), strict=True):
        assert ours.dtype == torch.float32
        assert float(torch.cosine_similarity(ours.double().flatten(), exact.flatten(), dim=0)) >= 0.9999


def test_a_network_without_a_design_counts_nothing_and_has_no_rule():
    network, (x, _) = ResistiveNetwork([20, 12, 3]), batch(20, 3)
    network(x)
    assert not network.analog and "circuit" not in network.counts
    with pytest.raises(InputError, match="without a design has no rule"):
        network.learn_from(x, torch.zeros(8, dtype=torch.int64), 1.0)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: ResistiveNetwork([4, 2]), "at least one hidden layer"),
        (lambda: Parts(g_min=0.0), "g_min must be above 0"),
        (lambda: Equilibrium(beta=0.0), "beta must be"),
    ],
)
def test_what_cannot_learn_is_refused(build, message):
    with pytest.raises(InputError, match=message):
        build()


def test_digits_are_learned_by_two_settled_states():
    """64-50-10 with the 1N4148, three passes: 85 % of test digits at least; 10 % is chance."""
    digits = tasks.load("digits", seed=0)
    network, rule = ResistiveNetwork([64, 50, 10]), Equilibrium(lr=5.0, layer_lr=(1.0, 0.4))
    target = 0.3 * torch.nn.functional.one_hot(digits.train_y, 10).double()
    order = torch.Generator().manual_seed(0)
    for _ in range(3):
        for index in torch.randperm(len(target), generator=order).split(10):
            rule.step(network, digits.train_x[index], target[index])
    with torch.no_grad():
        right = network(digits.test_x).argmax(1) == digits.test_y
    assert float(right.double().mean()) >= 0.85
