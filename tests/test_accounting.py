"""One clock, counts by phase, half-selected devices: what a run did, when, and what it took."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import aimco as ai
from aimco.arrays.crossbar import Crossbar
from aimco.clock import Clock
from aimco.cost import Technology, inference, of_design, price
from aimco.cost.latency import TIMED
from aimco.descent import trainer_of
from aimco.device.device import Device
from aimco.ensemble import stack
from aimco.kernels.trains import half_selects
from aimco.ledger import Counts
from aimco.nn.layers import analog_layers
from aimco.phases import Phases, bill
from aimco.tasks import Sample, load

RULES = ["sgd", "tiki-taka", "tiki-taka-v2", "residual", "mixed-precision"]
NOISY = {"output_noise": 1e-9, "adc": {"bits": 9.0, "range_A": 2e-9}}  # reads again what saturates, in each member on its own
SERIAL = {"dac": {"bits": 5.0, "serial": True}, "adc": {"bits": 8.0, "range_A": 1e-6}}
HELD = {"adc": {"bits": 8.0, "range_A": 1e-6, "shared_by": 4, "rate_Hz": 1e7}}  # conversions take longer than reads


def design(kind: str = "sgd", **parts: Any) -> ai.Design:
    plain = {"device": "rpu", "rule": {"kind": kind}, "network": {"hidden": [16]}, "training": {"epochs": 1, "batch": 10}}
    return ai.Design.of(plain | parts)


def leaking(kind: str = "sgd", **parts: Any) -> ai.Design:
    return design(kind, **parts).replace("device.retention_s", 1.0)


def held_s(model: nn.Module) -> np.ndarray:
    """Seconds that passed in every device of a model, which must agree."""
    matrices = [m for part in analog_layers(model).values() for m in part.matrices.values()]
    each = np.stack([np.reshape(tile.counts["hold_s"], -1) for m in matrices for line in m.tiles for tile in line])
    np.testing.assert_allclose(each, np.broadcast_to(each[0], each.shape), rtol=1e-12)
    return each[0]


# one clock


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("periphery", [{}, NOISY], ids=["plain", "noisy"])
def test_devices_leak_for_the_time_that_training_is_priced_at(rule, periphery):
    models = []
    spec = leaking(rule, periphery=periphery, training={"epochs": 2, "batch": 10})
    result = ai.evaluate(spec, limit=60, on_trained=models.append)
    assert held_s(models[0]) == pytest.approx(result.latency_s["train"], rel=1e-9)


def test_the_wait_for_slow_conversions_passes_too():
    models, spec = [], leaking(periphery=HELD, technology="isaac-32nm", array={"rows": 32, "cols": 8})
    result = ai.evaluate(spec, limit=40, on_trained=models.append)
    assert held_s(models[0]) == pytest.approx(result.latency_s["train"], rel=1e-9)
    assert result.latency_s["training_sample"] > 3 * 4 / 1e7  # three reads of four conversions


def test_a_training_step_takes_the_time_of_its_operations_by_hand():
    """Of one layer of 30 x 20, cut over arrays of 16 x 16 that work at once, with converters slower than reads."""
    held = {"adc": {"bits": 8.0, "range_A": 1e-5, "shared_by": 4, "rate_Hz": 2e7}, "pulses": {"update_bl_management": False}}
    spec = leaking(periphery=held | {"read_s": 80e-9, "pulse_s": 5e-9}, array={"rows": 16, "cols": 16}, network={"bias": "none"})
    rate = Technology.named(spec.technology).digital_per_s
    layer, x = ai.nn.Linear(30, 20, design=spec, seed=1), torch.rand(7, 30, requires_grad=True)
    clock, optimizer = Clock(layer, [spec]), ai.optim.InMemory(layer.parameters(), lr=0.1)
    before = layer.counts["W"]
    layer(x).sum().backward()
    optimizer.step()
    vector = max(80e-9, 4 / 2e7)  # four columns share an ADC, and rows are converted the same way back
    reads = 2 * 7 * vector
    slots = 7 * 2 * spec.periphery.pulses.length * 5e-9  # every train has all its slots, of both polarities
    added = 7 * 20 + 7 * 30  # of two arrays over each other forward, and beside each other back
    scaled = 7 * 4 * (15 + 10)  # update management looks for the largest value on both sides of each array
    assert clock.step()[0] == pytest.approx(reads + slots + (added + scaled) / rate, rel=1e-12)
    done = (layer.counts["W"] - before).member(0)
    assert (done["mvm"], done["mvm_t"], done["updates"]) == (28, 28, 28)
    priced = price(spec, {"layer": {"W": done}}, shapes={"layer": {"W": (30, 20)}})
    assert priced.by("layer", "latency_s")["layer"] == pytest.approx(reads + slots + (added + scaled) / rate, rel=1e-12)


def test_writing_takes_every_row_of_an_array_in_every_round():
    spec = leaking(periphery={"read_s": 80e-9, "pulse_s": 5e-9}, array={"rows": 16, "cols": 16})
    layer = ai.nn.Linear(29, 20, design=spec, seed=1)  # and a row for the bias
    clock = Clock(layer, [spec])
    rounds = [int(tile.counts["program_rounds"][0]) for line in layer.matrices["W"].tiles for tile in line]
    layer.set_weights(torch.full((20, 29), 0.3))
    more = [int(tile.counts["program_rounds"][0]) for line in layer.matrices["W"].tiles for tile in line]
    each = [b - a for a, b in zip(rounds, more, strict=True)]
    assert min(each) > 0
    assert clock.step()[0] == pytest.approx(sum(each) / 4 * 15 * (5e-9 + 80e-9), rel=1e-12)
    priced = price(spec, {"layer": {"W": Counts(program_rounds=12)}}, shapes={"layer": {"W": (30, 20)}})
    assert priced.latency_s == pytest.approx(12 / 4 * 15 * (5e-9 + 80e-9), rel=1e-12)


class Gated(nn.Module):
    """Two layers beside each other, as in a gated recurrent unit: neither is a child of the model."""

    def __init__(self, spec: ai.Design) -> None:
        super().__init__()
        self.gate, self.new = (ai.nn.Linear(8, 8, design=spec, name=name) for name in ("gate", "new"))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(self.gate(x)) * torch.tanh(self.new(x))


def test_layers_within_layers_are_on_the_clock():
    spec = leaking()
    model = nn.Sequential(Gated(spec), Gated(spec), ai.nn.Linear(8, 2, design=spec, name="out"))
    clock, optimizer, before = Clock(model, [spec]), ai.optim.InMemory(model.parameters(), lr=0.1), ai.counts(model)
    total = 0.0
    for k in range(3):
        optimizer.zero_grad()
        model(torch.full((4, 8), 0.1 * k)).sum().backward()
        optimizer.step()
        total += float(clock.step()[0])
    done = {layer: {n: (c - before[layer][n]).member(0) for n, c in ledgers.items()} for layer, ledgers in ai.counts(model).items()}
    assert len(done) == 5
    priced = price(spec, done, shapes={n: p.shapes for n, p in analog_layers(model).items()}).latency_s
    assert total == pytest.approx(priced, rel=1e-9) == held_s(model)
    assert priced > 3 * 4 * 5 * spec.periphery.read_s


def test_each_member_of_an_ensemble_has_its_own_time():
    designs = [leaking(periphery=NOISY).replace("periphery.pulse_s", t) for t in (1e-9, 1e-7)]
    models: list[Any] = []
    together = ai.evaluate_many(designs, seeds=[0, 0], limit=60, on_trained=models.append)
    passed = held_s(models[0])
    for e, (one, row) in enumerate(zip(designs, together, strict=True)):
        solo: list[Any] = []
        alone = ai.evaluate(one, limit=60, on_trained=solo.append)
        assert passed[e] == pytest.approx(row.latency_s["train"], rel=1e-9)
        assert held_s(solo[0]) == pytest.approx(alone.latency_s["train"], rel=1e-9)
        assert row.latency_s["train"] == pytest.approx(alone.latency_s["train"], rel=0.02)
    assert passed[1] > 1.05 * passed[0]
    vectors = 60 * 3 + 360 * 2  # forward in two layers and back in one, then tests: what is more was read again
    assert all(row.counts["mvm"] + row.counts["mvm_t"] > 1.02 * vectors for row in together)


def test_resistive_and_spiking_networks_are_on_the_same_clock():
    leaks = Device.named("rpu").replace("retention_s", 1.0).as_dict()
    resistive = ai.Design.of(
        {"device": leaks, "network": {"kind": "resistive", "hidden": [8]}, "rule": {"kind": "equilibrium"}, "training": {"epochs": 1}}
    )
    pcm = {"device": Device.named("pcm").as_dict(), "cell": {"kind": "pair6t2r", "weight_max": 2.0}, "training": {"epochs": 1}}
    spiking = {"kind": "spiking-rbm", "hidden": [10], "spiking": {"phase_s": 0.02, "burn_in_s": 0.005}}
    learns = {"kind": "contrastive-divergence", "update_mode": "set"}
    machine = ai.Design.of(pcm | {"network": spiking, "rule": learns, "technology": "spiking-90nm"})
    for spec in (resistive, machine):
        models: list[Any] = []
        result = ai.evaluate(spec, limit=20, on_trained=models.append)
        assert held_s(models[0]) == pytest.approx(result.latency_s["train"], rel=1e-6)
    assert result.latency_s["training_sample"] >= 0.04  # two phases of neurons, and the pulses


@pytest.mark.parametrize("parts", [{}, {"cell": {"kind": "pair", "refresh_every": 7}}, {"cell": {"kind": "multi-device"}}])
@pytest.mark.parametrize("periphery", [{}, NOISY, SERIAL], ids=["plain", "noisy", "serial"])
@pytest.mark.parametrize("size", [4096, 20])
def test_what_the_clock_looks_at_is_what_is_counted(parts, periphery, size):
    spec = design(**parts, periphery=periphery, array={"rows": size, "cols": size})
    task = load("digits", limit=20)
    model = spec.network.build(task, spec, [1, 2])
    trainer_of(model, task.goal).step(task.train_x[None, :10].expand(2, -1, -1), task.train_y[None, :10].expand(2, -1), 0.1)
    for matrix in analog_layers(model)["0"].matrices.values():
        if len(matrix.cell.signs) == 1:
            matrix.pulse_up_down(3)
    for layer in [*analog_layers(model).values(), *analog_layers(copy.deepcopy(model)).values()]:
        for name, quick in layer.timed.items():
            whole = layer.counts[name]
            for count in set(TIMED) & set(whole):
                np.testing.assert_array_equal(np.broadcast_to(quick.get(count, 0), 2), np.broadcast_to(whole[count], 2), err_msg=count)


def test_looking_at_the_clock_leaves_pulses_waiting():
    wide = ai.nn.Linear(500, 300, design=design("tiki-taka-v2"), name="wide")
    wide.rule.update(wide.matrices, wide.rule_state, torch.rand(1, 4, 501), 0.1 * torch.randn(1, 4, 300), 0.1)
    generator = wide.matrices["A"].tiles[0][0].crossbar.pulse_generator
    waiting = generator.waiting
    assert waiting > 0
    assert wide.timed["A"]["slots"] > 0
    assert generator.waiting == waiting


def test_the_users_time_of_a_sample_drives_the_leak_and_is_told():
    models, spec = [], leaking().replace("training.sample_s", 1e-3)
    result = ai.evaluate(spec, limit=50, on_trained=models.append)
    assert held_s(models[0]) == pytest.approx(50e-3)
    assert result.latency_s["train"] < 1e-3
    assert any("training.sample_s = 0.001 s" in note for note in result.notes)
    assert not any("sample_s" in note for note in ai.evaluate(leaking(), limit=50).notes)


GROUPS = {"groups": 2, "name": "one"}


def test_groups_are_priced_and_clocked_as_the_layers_that_they_are():
    """A convolution of two groups beside two of half the channels each: the same work and devices, in the time of one."""
    spec, x = leaking(device="rpu"), torch.rand(3, 4, 6, 6)
    grouped = ai.nn.Conv2d(4, 6, 3, design=spec, seed=1, **GROUPS)
    halves = nn.ModuleList(ai.nn.Conv2d(2, 3, 3, design=spec, seed=k) for k in range(2))
    clocks = Clock(grouped, [spec]), Clock(halves, [spec])
    for done in (grouped(x), halves[0](x[:, :2]), halves[1](x[:, 2:])):
        done.sum().backward()
    took = [clock.step() for clock in clocks]
    assert took[0].shape == (1,) and took[0][0] == pytest.approx(took[1][0] / 2, rel=1e-12)
    prices = []
    for model in (grouped, halves):
        parts = analog_layers(model).items()
        read = {n: {a: {k: v for k, v in c.member(0).items() if k[:5] != "progr"} for a, c in p.counts.items()} for n, p in parts}
        prices.append(price(spec, read, shapes={n: p.shapes for n, p in parts}))
    assert prices[0].energy_J["total"] == pytest.approx(prices[1].energy_J["total"], rel=1e-12) and prices[0].energy_J["adc"] > 0
    assert prices[0].area_m2 == pytest.approx(prices[1].area_m2, rel=1e-12)
    assert prices[0].cells == prices[1].cells == 2 * 19 * 3 and prices[0].places == prices[1].places
    assert prices[0].latency_s == pytest.approx(prices[1].latency_s / 2, rel=1e-12)


def test_each_member_of_a_convolution_with_groups_has_a_ledger_and_a_time():
    designs = [leaking(periphery=NOISY).replace("periphery.read_s", t) for t in (80e-9, 240e-9)]
    layer = ai.nn.Conv2d(4, 6, 3, design=designs[0], seeds=(1, 2), **GROUPS)
    phases, clock = Phases(layer), Clock(layer, designs)
    phases.end("write")
    layer(torch.rand(2, 3, 4, 6, 6))
    phases.end("infer")
    energy = []
    for e, spec in enumerate(designs):
        assert phases.member("infer", e)[""]["W"]["mvm"] >= 2 * 3 * 16
        energy.append(bill(spec, phases, e, {"train": 0, "infer": 3})[0]["infer"])
    assert energy[0] > 0
    with pytest.raises(IndexError):
        phases.member("infer", 2)
    took = clock.step()
    assert took.shape == (2,) and took[1] > 2 * took[0]
    held = layer.matrices["W"].counts["hold_s"]
    np.testing.assert_allclose(held, np.repeat(took, 2), rtol=1e-12)


@pytest.mark.parametrize(
    ("field", "values"),
    [("device.cycle_noise", (0.1, 0.5)), ("device.spread.step", (0.1, 0.3)), ("cell.weight_max", (0.3, 0.6)), ("rule.lr_fast", (0.1, 0.3))],
)
def test_members_of_other_numbers_learn_in_groups_as_alone(field, values):
    """A convolution of two groups, of members that differ in one number, beside each member in a layer of its own."""
    base = ai.Design(device="soft-bounds", rule={"kind": "tiki-taka-v2", "transfer_every": 2})
    designs, x = [base.replace(field, value) for value in values], torch.rand(2, 3, 4, 6, 6)
    together = ai.nn.Conv2d(4, 6, 3, design=stack(designs), seeds=(1, 2), **GROUPS)
    alone = [ai.nn.Conv2d(4, 6, 3, design=spec, seeds=(k + 1,), **GROUPS) for k, spec in enumerate(designs)]
    for layer, batch in ((together, x), *zip(alone, x, strict=True)):
        optimizer = ai.optim.InMemory(layer.parameters(), lr=0.1)
        layer(batch).square().sum().backward()
        optimizer.step()
    for k, layer in enumerate(alone):
        assert torch.equal(together.weight[k].detach() + 0, layer.weight.detach() + 0)


# phases


def test_what_a_sample_takes_does_not_depend_on_how_many_there_are():
    """One epoch of 100 and of 1000 digits, beside the same 360 test samples: 5 % for how pulses change as the network learns."""
    few, many = (ai.evaluate(design(), limit=limit) for limit in (100, 1000))
    for amounts in ("energy_J", "latency_s"):
        mine, theirs = getattr(few, amounts), getattr(many, amounts)
        assert mine["training_sample"] == pytest.approx(theirs["training_sample"], rel=0.05)
        assert mine["inference_sample"] == pytest.approx(theirs["inference_sample"], rel=1e-9)
        assert mine["write"] == pytest.approx(theirs["write"], rel=1e-9)


@pytest.mark.parametrize("rule", ["sgd", "tiki-taka-v2"])
def test_phases_make_up_the_whole_run(rule):
    models: list[Any] = []
    spec = design(rule, training={"epochs": 2, "batch": 10})
    result = ai.evaluate(spec, limit=50, on_trained=models.append)
    for amounts in (result.energy_J, result.latency_s):
        assert amounts["total"] == pytest.approx(sum(amounts[phase] for phase in ("write", "train", "infer")))
        assert amounts["training_sample"] == pytest.approx(amounts["train"] / 100)
        assert amounts["inference_sample"] == pytest.approx(amounts["infer"] / 720)
    for name, amount in result.counts.items():
        assert amount == pytest.approx(sum(counts.get(name, 0) for counts in result.counts_by_phase.values()))
    layers = analog_layers(models[0])
    counts = {n: {a: c.member(0) for a, c in layer.counts.items()} for n, layer in layers.items()}
    whole = price(spec, counts, shapes={n: layer.shapes for n, layer in layers.items()})
    assert whole.energy_J["total"] == pytest.approx(result.energy_J["total"])
    assert whole.latency_s == pytest.approx(result.latency_s["total"])
    assert json.loads(json.dumps(result.as_json()))["counts_by_phase"]["infer"]["mvm"] == 2 * 2 * 360


def test_each_phase_holds_what_belongs_to_it():
    spec = design(rule={"kind": "sgd", "reference": "symmetry-point", "reference_pulses": 20})
    done = ai.evaluate(spec, limit=50).counts_by_phase
    cells = 65 * 16 + 17 * 10
    assert done["write"]["programmed"] >= cells and done["write"]["coincidences"] == 21 * cells
    assert "programmed" not in done["train"] and done["train"]["updates"] == 2 * 50 and done["train"]["mvm"] == 2 * 50
    assert done["infer"].keys() == {"mvm", "dac", "adc", "cell_reads"}


@pytest.mark.parametrize("periphery", [{}, SERIAL, {"sense": {}}], ids=["plain", "serial", "sense"])
@pytest.mark.parametrize("size", [4096, 20])
def test_an_inference_sample_of_a_run_is_priced_as_its_shapes_are(periphery, size):
    spec = design(periphery=periphery, array={"rows": size, "cols": size}, technology="isaac-32nm")
    result, known = ai.evaluate(spec, limit=20), inference(spec, of_design(spec, Sample((1, 8, 8), 10)))
    assert result.energy_J["inference_sample"] == pytest.approx(known.energy_J["total"], rel=1e-12)
    assert result.latency_s["inference_sample"] == pytest.approx(known.latency_s, rel=1e-12)


@pytest.mark.parametrize("rule", ["sgd", "tiki-taka-v2"])
def test_a_run_that_was_stopped_costs_what_it_would_have(tmp_path, rule):
    spec, file = leaking(rule, training={"epochs": 3, "batch": 20}), str(tmp_path / "run.pt")
    whole = ai.evaluate(spec, limit=60)

    def stop(epoch: int, epochs: int, accuracy: float) -> None:
        if epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ai.evaluate(spec, limit=60, checkpoint=file, on_epoch=stop)
    resumed = ai.evaluate(spec, limit=60, checkpoint=file)
    for name in ("energy_J", "latency_s", "counts", "counts_by_phase", "activity", "curves"):
        assert getattr(resumed, name) == getattr(whole, name), name


def test_a_task_without_test_reads_has_no_inference():
    result = ai.evaluate(design(), "program", limit=50)
    assert result.energy_J["inference_sample"] == result.latency_s["infer"] == 0
    assert result.energy_J["training_sample"] == pytest.approx(result.energy_J["train"] / 50)


# half-selected devices

PLAIN = Device.named("ideal")


@pytest.mark.parametrize("polarity", [0, 1, -1])
@pytest.mark.parametrize("shape", [(5, 7), (9, 4)])
def test_half_selects_that_are_priced_are_those_that_disturb(polarity, shape):
    """Device by device from the trains that were sent, against the formula of the price on what was counted."""
    rows, columns = shape
    array, generator = Crossbar(PLAIN, rows, columns), torch.Generator().manual_seed(3)
    x, d = (torch.randn(1, 6, n, generator=generator) for n in shape)
    array.pulse(x, d, np.array([0.02]), polarity)
    flat = (rows, columns) if not array.on_its_side else (columns, rows)
    up, down = np.zeros((1, *flat), np.float32), np.zeros((1, *flat), np.float32)
    half_selects(array.pulse_generator.trains, 6, polarity, up, down)
    n = array.counts.member(0)
    assert n["row_pulses"] > 0 and n["coincidences"] > 0
    assert n["row_pulses"] * columns + n["column_pulses"] * rows - 2 * n["coincidences"] == up.sum() + down.sum()


def part(counts: Counts, spec: ai.Design, shape: tuple[int, int] = (30, 20)) -> float:
    return price(spec, {"layer": {"W": counts}}, shapes={"layer": {"W": shape}}).energy_J["half-select"]


def test_a_half_selected_device_takes_a_quarter_of_a_selected_one():
    spec = design()
    one = spec.periphery.update_voltage**2 * spec.device.mid_range * spec.periphery.pulse_s
    assert part(Counts(row_pulses=3, column_pulses=5, coincidences=2), spec) == pytest.approx((3 * 20 + 5 * 30 - 4) * one / 4)
    assert part(Counts(program_pulses=7), spec) == pytest.approx(7 * (30 + 20 - 2) * one / 4)
    assert part(Counts(resets=7), spec) == part(Counts(program_pulses=7), spec)
    cut = spec.replace("array.rows", 15)  # a pulse on a column is on half as many devices
    assert part(Counts(column_pulses=2), cut) == pytest.approx(part(Counts(column_pulses=1), spec))


def test_no_device_is_half_selected_where_all_are_pulsed_or_transistors_select():
    spec, array = design(), Crossbar(PLAIN, 30, 20)
    array.pulse_up_down(4)
    assert part(array.counts, spec) == 0
    busy = Counts(row_pulses=3, program_pulses=5)
    assert part(busy, spec) > 0
    assert part(busy, spec.replace("technology", "rram-22nm")) == 0
    assert part(busy, spec.replace("cell", {"kind": "capacitor6t1c"})) == 0


def test_half_selected_devices_take_more_than_selected_ones_in_a_run():
    """Where pulses are few, lines pulse many devices for each that they step; transfers and write-and-verify too."""
    for rule in ("sgd", "tiki-taka-v2"):
        spec, models = design(rule), []
        ai.evaluate(spec, limit=50, on_trained=models.append)
        layers = analog_layers(models[0])
        counts = {n: {a: c.member(0) for a, c in layer.counts.items()} for n, layer in layers.items()}
        priced = price(spec, counts, shapes={n: layer.shapes for n, layer in layers.items()})
        by = {i.operation: i.energy_J for i in priced.items if i.part == "half-select"}
        assert by["pulse" if rule == "sgd" else "transfer"] > 0 and by["refresh"] > 0
        hits = sum(c.get("coincidences", 0) for arrays in counts.values() for c in arrays.values())
        one = spec.periphery.update_voltage**2 * spec.device.mid_range * spec.periphery.pulse_s
        assert priced.energy_J["half-select"] - by["refresh"] > hits * one
