"""End-to-end analog networks of designs: devices in the circuit, pulses by the rule, counts and cost."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import aimco as ai
from aimco import tasks
from aimco.circuit import adjoint
from aimco.circuit.settling import slowest
from aimco.design import Design
from aimco.learning.equilibrium import Equilibrium
from aimco.record import InputError
from aimco.resistive.network import ResistiveNetwork
from aimco.resistive.pictures import unmoved


def design(**parts) -> Design:
    network = {"kind": "resistive", "hidden": [20]}
    return Design.of({"device": "ideal", "network": network, "rule": {"kind": "equilibrium"}, "training": {"epochs": 1}} | parts)


def digits(samples: int = 30) -> tuple[torch.Tensor, torch.Tensor]:
    task = tasks.load("digits", limit=samples)
    return task.train_x, task.train_y


def settle_s(network: ResistiveNetwork) -> float:
    """Time of one operating point of a network as it is."""
    assert network.meter is not None
    return network.meter.settle_s(network.circuit())


DEVICES = [{"device": "rpu"}, {"device": "igzo-6t1c"}, {"device": "pcm", "cell": {"kind": "pair"}}]


@pytest.mark.parametrize("parts", DEVICES)
def test_pulses_move_conductances_as_ideal_moves_would(parts):
    """Over the same batch the change that pulses made points the way of the gradient, device by device in the mean."""
    network, (x, y) = ResistiveNetwork.of_design(design(**parts), 64, 10), digits()
    before = [g.detach().clone() for g in network.conductances]
    rule = Equilibrium(update_mode="proportional")
    target = 0.3 * torch.nn.functional.one_hot(y, 10).double()
    slopes = rule.gradients(network.circuit(), rule.solve(network, x, target))
    network.learn_from(x, y, 200.0)
    for k, (now, old) in enumerate(zip(network.conductances, before, strict=True)):
        moved, wanted = now.detach() - old, -slopes[k]
        if network.parts.paired:
            moved, wanted = moved.clamp(min=0), (wanted + slopes[k + 2]).clamp(min=0)
        assert float(torch.cosine_similarity(moved.flatten(), wanted.flatten(), dim=0)) > 0.4


def test_conductances_are_those_of_the_devices_and_stay_within_their_range():
    network, (x, y) = ResistiveNetwork.of_design(design(device="rpu"), 64, 10), digits()
    network.learn_from(x, y, 1000.0)
    held = network.matrices["crossbar 1"].conductances()[0][0]
    assert torch.equal(network.conductances[0].detach(), held)
    assert float(held.min()) > 0


def test_the_gradient_of_pairs_is_that_of_the_adjoint():
    """Lines of both signs: both devices of a pair, cosine 0.99999 and 1 % in length."""
    parts = {"device": "pcm", "cell": {"kind": "pair"}, "rule": {"kind": "equilibrium", "update_mode": "ideal", "beta": 1e-7}}
    network, (x, y) = ResistiveNetwork.of_design(design(**parts).replace("network.circuit.tolerance_V", 1e-13), 64, 10), digits()
    target = 0.3 * torch.nn.functional.one_hot(y, 10).double()
    phases = network.rule.solve(network, x, target)
    error = network.read(phases.free) - target
    exact, _ = adjoint.gradients(network.circuit(), network.lines(phases.x), phases.free, torch.cat((error, -error), 1))
    for ours, theirs in zip(network.rule.gradients(network.circuit(), phases), exact, strict=True):
        assert float(torch.cosine_similarity(ours.flatten(), theirs.flatten(), dim=0)) >= 0.99999
        assert float(ours.norm() / theirs.norm()) == pytest.approx(1, abs=0.01)


def test_a_network_of_devices_is_differentiable_and_counts_each_operating_point_once():
    """The gradient of its outputs at the inputs by central differences."""
    network, (x, _) = ResistiveNetwork.of_design(design(device="rpu").replace("network.circuit.tolerance_V", 1e-13), 64, 10), digits(2)
    x = x.double().requires_grad_()
    network(x).sum().backward()
    assert network.counts["circuit"]["settles"] == 2
    step = torch.zeros_like(x)
    step[1, 20] = 1e-4
    ends = [float(network(x.detach() + sign * step).detach().sum()) for sign in (1, -1)]
    assert (ends[0] - ends[1]) / 2e-4 == pytest.approx(float(x.grad[1, 20]), rel=1e-6)


def test_spread_and_noise_come_from_the_seed():
    """The same seed gives the same circuit and the same run; another gives others; noise is new at each sample."""
    spread = dict.fromkeys(("diode_spread", "gain_spread", "conductance_spread"), 0.1) | {"source_noise_V": 0.01, "readout_noise_V": 0.01}
    spec = design(network={"kind": "resistive", "hidden": [20], "circuit": spread | {"offset_spread_V": 0.01}})
    x, _ = digits()
    first, again, other = (ResistiveNetwork.of_design(spec, 64, 10, seed)(x) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    network = ResistiveNetwork.of_design(spec, 64, 10)
    assert not torch.equal(network(x), network(x))
    assert len(network.parts.gain[0]) == len(network.parts.diodes[0].high) == 20


def test_mirrored_halves_rectify_and_empty_devices_start_at_the_lowest():
    """Voltages of the first half of a layer stay above the diodes' drop, of the others below; the gradient is that of the adjoint."""
    circuit = {"mirrored": True, "low_V": 0.0, "high_V": 12.0, "empty": 0.5, "gain": 1.0, "input_V": 20.0, "tolerance_V": 1e-12}
    rule = {"kind": "equilibrium", "update_mode": "ideal", "beta": 1e-8}
    spec = design(network={"kind": "resistive", "hidden": [21], "circuit": circuit}, rule=rule)
    network, (x, y) = ResistiveNetwork.of_design(spec, 64, 10), digits()
    empty = network.conductances[0].detach() <= network.parts.g_min
    assert float(empty.double().mean()) == pytest.approx(0.5, abs=0.05)
    phases = network.rule.solve(network, x, torch.nn.functional.one_hot(y, 10).double())
    hidden = phases.free.nodes[0]
    assert float(hidden[:, :11].min()) > -0.6
    assert float(hidden[:, 11:].max()) < 0.6
    error = network.read(phases.free) - torch.nn.functional.one_hot(y, 10)
    exact, _ = adjoint.gradients(network.circuit(), network.lines(phases.x), phases.free, torch.cat((error, -error), 1))
    for ours, theirs in zip(network.rule.gradients(network.circuit(), phases), exact, strict=True):
        assert float(torch.cosine_similarity(ours.flatten(), theirs.flatten(), dim=0)) >= 0.99999
    ideal = ResistiveNetwork.of_design(spec.replace("network.circuit.diodes", "ideal"), 64, 10)
    point = ideal.solve(ideal.inputs(x), ideal.forced(ideal.inputs(x)))
    assert float(point.nodes[0][:, :11].min()) == 0 == float(point.nodes[0][:, 11:].max())


CIRCUITS = [
    {"diodes": "ideal", "mirrored": True, "low_V": 0.0, "high_V": 1.0, "empty": 0.5},
    {"gain_spread": 0.1, "offset_spread_V": 0.01, "diode_spread": 0.1, "readout_noise_V": 0.01},
    {"source_noise_V": 0.01, "readout_noise_V": 0.01},
]


@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("circuit", CIRCUITS)
def test_a_compiled_step_is_settling_and_learning_with_the_same_noise_and_ledger(circuit, centred):
    class Apart(ResistiveNetwork):
        fused = False  # pyright: ignore[reportAssignmentType]

    network = {"kind": "resistive", "hidden": [21], "circuit": circuit}
    spec = design(network=network, rule={"kind": "equilibrium", "update_mode": "ideal", "centred": centred})
    together, apart = ResistiveNetwork.of_design(spec, 64, 10, 3), Apart.of_design(spec, 64, 10, 3)
    x, y = digits()
    for part in (slice(0, 16), slice(16, 17)):
        costs = [float(n.learn_from(x[part], y[part], 10.0)) for n in (together, apart)]
        assert costs[0] == pytest.approx(costs[1], rel=1e-6)
    assert together.fused and together.rule_state == apart.rule_state
    for name, total in together.meter.totals.items():
        assert float(total) == pytest.approx(float(apart.meter.totals[name]), rel=1e-6)
    for ours, theirs in zip(together.conductances, apart.conductances, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-14)


def test_nodes_that_tell_no_sample_from_another_are_counted():
    u = torch.randn(50, 6, generator=torch.Generator().manual_seed(0))
    u[:, 1], u[:, 4] = 0.0, 12 + 1e-3 * u[:, 0]
    assert unmoved(u) == 2 and unmoved(torch.zeros(50, 3)) == 0


def test_a_stopped_run_goes_on_bit_for_bit(tmp_path):
    spec = design(device="rpu", training={"epochs": 2, "batch": 50})
    whole = ai.evaluate(spec, "digits", seed=1, limit=300)
    file = str(tmp_path / "run.pt")

    def stop(epoch: int, epochs: int, accuracy: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ai.evaluate(spec, "digits", seed=1, limit=300, checkpoint=file, on_epoch=stop)
    resumed = ai.evaluate(spec, "digits", seed=1, limit=300, checkpoint=file)
    assert resumed.curves == whole.curves
    assert resumed.counts == whole.counts


def test_energy_is_the_power_of_the_operating_points_times_their_time():
    """No converter works; a tenth of the time takes a tenth of the energy of the circuit."""
    spec = design(rule={"kind": "equilibrium", "update_mode": "ideal"}).replace("network.circuit.settle_s", 1e-7)
    slow = ai.evaluate(spec, "digits", limit=100)
    fast = ai.evaluate(spec.replace("network.circuit.settle_s", 1e-8), "digits", limit=100)
    assert slow.energy_J["adc"] == slow.energy_J["dac"] == 0
    assert slow.energy_J["circuit"] == pytest.approx(10 * fast.energy_J["circuit"])
    assert slow.counts["settles"] == 300 + 360  # three phases for each training sample, one for each test sample
    assert slow.latency_s["total"] == pytest.approx(660e-7)
    assert slow.area_m2 > 0


@pytest.mark.parametrize("parts", [{"device": "rpu"}, {"rule": {"kind": "equilibrium", "update_mode": "ideal"}}])
def test_looking_at_the_ledger_changes_no_price(parts):
    """The circuit of a trained network is another than that of the first samples, whoever looked at it when."""
    spec, (x, y) = design(**parts), digits()
    watched, alone = ResistiveNetwork.of_design(spec, 64, 10), ResistiveNetwork.of_design(spec, 64, 10)
    for k in range(0, 30, 10):
        for network in (watched, alone):
            network.learn_from(x[k : k + 10], y[k : k + 10], 3000.0)
        assert watched.counts["circuit"]["settle_s"] == watched.timed["circuit"]["settle_s"] > 0
    assert settle_s(watched) != pytest.approx(settle_s(ResistiveNetwork.of_design(spec, 64, 10)), rel=1e-5)
    assert watched.counts == alone.counts


def test_the_slowest_mode_is_that_of_the_matrices():
    """Against the eigenvalues of a dense Jacobian."""
    network = ResistiveNetwork.of_design(design(network={"kind": "resistive", "hidden": [6, 5]}), 4, 2)
    net = network.circuit()
    sizes = [g.shape[1] for g in net.conductances]
    jacobian, at = torch.diag(torch.cat(net.a)), [0, 6, 11]
    for k, g in enumerate(net.conductances[1:]):
        rows, columns = slice(at[k], at[k] + g.shape[0]), slice(at[k + 1], at[k + 1] + g.shape[1])
        jacobian[rows, columns], jacobian[columns, rows] = -g, -g.T
    lines = torch.cat([torch.full((n,), float(rows + after)) for n, rows, after in zip(sizes, (9, 6, 5), (5, 4, 0), strict=True)])
    values = torch.linalg.eigvals(torch.diag(1e-15 * lines.double()) @ torch.linalg.inv(jacobian)).real
    assert slowest(net, 1e-15) == pytest.approx(float(values.max()), rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_the_example_learns_digits(seed):
    """examples/resistive.toml, by pulses of equal small steps: 96 % at least."""
    assert ai.evaluate(Design.load(Path(__file__).parents[1] / "examples" / "resistive.toml"), "digits", seed=seed).accuracy >= 0.96


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rule": {"kind": "sgd"}}, "rule.kind must be equilibrium"),
        ({"network": {"kind": "mlp"}}, "network.kind must be resistive"),
        ({"cell": {"kind": "capacitor-pcm"}}, "cell.kind must be reference or pair"),
        ({"network": {"kind": "resistive", "hidden": []}}, "network.hidden must hold"),
        ({"network": {"kind": "resistive", "circuit": {"gain": 0.0}}}, "network.circuit.gain must be"),
        ({"network": {"kind": "resistive", "circuit": {"low_V": 0.5}}}, "network.circuit.low_V must be at most"),
        ({"network": {"kind": "mlp", "circuit": {}}, "rule": {"kind": "sgd"}}, "network.circuit is not a field"),
    ],
)
def test_what_is_no_circuit_is_refused_when_the_design_is_read(change, message):
    with pytest.raises(InputError, match=message):
        design(**change)


def test_a_task_without_classes_is_refused():
    with pytest.raises(InputError, match="needs classes"):
        ai.evaluate(design(), "program", limit=10)


def test_crossbars_stand_in_one_kind_of_array():
    """Wires beside a three-dimensional array would have no effect."""
    spec = design(array={"rows": 200, "cols": 100, "wires": {"word_ohm": 1.0}})
    spec = spec.replace("network.circuit.vertical", {"layers": 8, "pillar_ohm": 1e3})
    with pytest.raises(InputError, match=r"network\.circuit\.vertical must be absent where array\.kind is wired"):
        ResistiveNetwork.of_design(spec, 8, 2)
