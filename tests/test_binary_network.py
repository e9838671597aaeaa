"""A binary network of a design: the chip computes what software does, errs where devices and amplifiers do, and costs what it did."""

from __future__ import annotations

import dataclasses
import math
import subprocess
import sys

import pytest
import torch

import aimco as ai
from aimco.binary.folded import digitised, fold
from aimco.binary.layers import BinaryDescent
from aimco.binary.network import BinaryNetwork
from aimco.cost.network import inference, of_design, training
from aimco.data.data import batches
from aimco.phases import PHASES
from aimco.record import InputError
from aimco.tasks import load, task_of

EXACT = ai.Device.named("ideal").replace("programming_noise", [0.0, 0.0, 0.0]).as_dict()  # a write that leaves +-1 to the bit


def design(device="ideal", **parts) -> ai.Design:
    plain = {
        "device": EXACT if device == "exact" else device,
        "array": {"rows": 32},
        "periphery": {"sense": {}},
        "network": {"kind": "binary", "hidden": [48, 64]},
        "rule": {"kind": "off-chip"},
        "training": {"epochs": 4, "batch": 40},
    }
    return ai.Design.of(plain | parts)


@pytest.fixture(scope="module")
def digits():
    return load("digits")


def trained(spec: ai.Design, data, **options) -> tuple[ai.Result, BinaryNetwork]:
    models: list = []
    result = ai.evaluate(spec, data, on_trained=models.append, **options)
    return result, models[0][0].eval()


def right(outputs: torch.Tensor, data) -> float:
    return float((outputs.argmax(1) == data.test_y).float().mean())


PLACES = {
    "split": {},
    "rows left over": {"array": {"rows": 24}},  # 64 inputs are three groups of 22
    "columns cut": {"array": {"rows": 32, "cols": 20}},
    "not split": {"array": {"rows": 4096}},
    "converted": {"periphery": {}, "array": {"rows": 24, "cols": 20}},
}


@pytest.mark.parametrize("place", PLACES)
def test_an_ideal_chip_computes_what_the_software_network_does(place, digits):
    """To the bit in every layer, with the majority votes of the network that was trained split."""
    result, network = trained(design("exact", **PLACES[place]), digits)
    x = digits.test_x
    for ours, wanted in zip(network.bits_on_chip(x), network.bits_in_software(x), strict=True):
        assert torch.equal(ours, wanted)
    x = network.padding(x)
    for layer, arrays in zip(network.hidden, network.bits, strict=True):
        assert torch.equal(arrays(x), fold(layer)(x))
        x = arrays(x)
    assert torch.equal(network.on_chip(digits.test_x), network.in_software(digits.test_x))
    assert result.accuracy == right(network.in_software(digits.test_x), digits) > 0.85


def test_normalisation_of_either_sign_is_a_threshold_on_the_chip(digits):
    """Gains of both signs and of 0, in every layer: amplifiers then say +1 above their threshold, below it, or always the same."""
    network = BinaryNetwork(design("exact"), digits.train_x, 10).train()
    network.in_software(digits.train_x[:200])
    with torch.no_grad():
        for layer in network.hidden:
            for p in (layer.norm.weight, layer.norm.bias):
                p.copy_(torch.randn(len(p), generator=torch.Generator().manual_seed(len(p))))
            layer.norm.weight[0] = 0
    network.eval().write()
    assert torch.equal(network.on_chip(digits.test_x), network.in_software(digits.test_x))


def test_a_chip_written_by_ideal_pulses_is_as_good_as_software(digits):
    result, network = trained(design(), digits)
    assert result.accuracy == right(network.in_software(digits.test_x), digits)


def test_the_first_layer_takes_inputs_at_full_scale(digits):
    """Inputs eight times as large change nothing: a rate of first-layer weights does not depend on them, and sums scale with thresholds."""
    larger = dataclasses.replace(digits, train_x=8 * digits.train_x, test_x=8 * digits.test_x)
    _, network = trained(design("exact"), larger)
    assert network.bits[0].full_scale == 8 * float(digits.train_x.abs().max())
    assert torch.equal(network.on_chip(larger.test_x), network.in_software(larger.test_x))


def test_converters_are_those_of_the_sums_of_groups(digits):
    """ADCs of three bits: a layer is `folded.digitised`, but for sums half-way between two levels."""
    full = 9.0
    ampere = 0.5e-6 * 0.2  # half range of the ideal device at the read voltage
    adc = {"bits": 3.0, "range_A": full * ampere}
    periphery = {"adc": adc, "bound_management": "none", "noise_management": "none"}
    _, network = trained(design("exact", periphery=periphery, array={"rows": 24}), digits)
    x = network.bits_in_software(digits.test_x)[0].detach()
    wanted = digitised(fold(network.hidden[1]), 2, 3.0, x)
    wanted.largest = full
    assert float((network.bits[1](x) != wanted(x)).float().mean()) < 0.002
    assert float((wanted(x) != fold(network.hidden[1])(x)).float().mean()) > 0.02


@pytest.mark.parametrize(
    ("parts", "least"),
    [
        ({"device": ai.Device.named("ideal").replace("spread", {"g_max": 0.5}).as_dict()}, 0.01),
        ({"periphery": {"sense": {"offset_A": 3e-7}}}, 0.02),
        ({"device": ai.Device.named("ideal").replace("read_noise", 3e-7).as_dict()}, 0.02),
    ],
    ids=["spread", "offsets", "read noise"],
)
def test_devices_and_amplifiers_that_err_cost_accuracy(parts, least, digits):
    """Against the software network of the same run, which learned the same weights."""
    result, network = trained(design(**parts), digits)
    ideal, _ = trained(design(), digits)
    assert right(network.in_software(digits.test_x), digits) == ideal.accuracy
    assert result.accuracy < ideal.accuracy - least


def test_zero_points_of_amplifiers_are_as_wide_as_the_design_says():
    """Sums of no input are the zero points, in weights: 2e-7 A is two devices at half range and full voltage."""
    spec = design(periphery={"sense": {"offset_A": 2e-7}}, network={"kind": "binary", "hidden": [4000]}, array={"rows": 32})
    network = BinaryNetwork(spec, torch.ones(50, 64), 10)
    zero = network.bits[0].sums(torch.zeros(1, 64))
    assert zero.shape == (1, 2, 4000)
    assert float(zero.std()) == pytest.approx(2.0, rel=0.03)
    assert not torch.equal(zero[0, 0], zero[0, 1])


def test_devices_that_leak_forget_until_they_are_read(digits):
    leaky = ai.Device.named("ideal").replace("retention_s", 1.0).as_dict()
    waits = [trained(design(leaky, network={"kind": "binary", "hidden": [48, 64], "read_after_s": t}), digits) for t in (0.0, 0.1, 3.0)]
    fresh, soon, late = (network.bits[0].matrices["group 0"].weights.abs().mean() for _, network in waits)
    assert float(soon / fresh) == pytest.approx(math.exp(-0.1), rel=1e-3)
    assert float(late / fresh) == pytest.approx(math.exp(-3.0), rel=1e-3)
    assert waits[2][0].accuracy < waits[0][0].accuracy - 0.05


def test_a_layer_counts_what_the_folded_layer_does(digits):
    """Of 70 vectors; the rows left over of the first layer are driven by nothing, and counted as driven."""
    _, network = trained(design("exact"), digits)
    x = digits.test_x[:70]
    for layer, arrays in zip(network.hidden, network.bits, strict=True):
        before = arrays.counts["W"]
        x = arrays(x)
        done = (arrays.counts["W"] - before).member(0)
        assert {n: v for n, v in done.items() if v} == {n: v for n, v in fold(layer).counts(70).items() if v}


def test_outputs_take_a_read_for_each_bit(digits):
    """33 sums of a group of 32 rows are told apart by 6 bits; 4 find what 6 find to a step of 33/8, and are read four times."""
    all_bits, few = (
        trained(design("exact", network={"kind": "binary", "hidden": [48, 64], "output_bits": bits}), digits) for bits in (None, 4)
    )
    x = all_bits[1].bits_on_chip(digits.test_x)[-1]
    exact, coarse = (network.sums(x) for _, network in (all_bits, few))
    assert torch.equal(exact, all_bits[1].last(x)[:, 0])
    assert 0 < float((exact - coarse).abs().max()) <= 2 * 33 / 16 + 1e-4
    reads = [result.counts_by_phase["infer"]["mvm"] // (len(digits.test_x) * 4) for result, _ in (all_bits, few)]
    assert reads == [2 + 2 + 2 * 6, 2 + 2 + 2 * 4]
    votes, sums, normalised = 48 + 64, 10, 2 * 10
    assert all(
        r.counts_by_phase["infer"]["digital_ops"] == 4 * len(digits.test_x) * (votes + sums + normalised) for r, _ in (all_bits, few)
    )


PRICED = {
    **PLACES,
    "pairs of devices": {"cell": {"kind": "pair"}},
    "few bits": {"network": {"kind": "binary", "hidden": [48, 64], "output_bits": 3}},
    "bit-serial": {"periphery": {"dac": {"bits": 4.0, "serial": True}, "adc": {"bits": 6.0, "range_A": 1e-5}}},
    "another technology": {"technology": "isaac-32nm"},
}


@pytest.mark.parametrize("parts", PRICED.values(), ids=PRICED)
def test_shapes_price_a_sample_as_the_run_does(parts, digits):
    spec = design(**parts)
    result, _ = trained(spec.replace("training.epochs", 2), "digits", limit=200)
    layers = of_design(spec, task_of("digits").sample(None))
    predicted = inference(spec, layers)
    assert result.energy_J["inference_sample"] == pytest.approx(predicted.energy_J["total"], rel=1e-9)
    assert result.latency_s["inference_sample"] == pytest.approx(predicted.latency_s, rel=1e-9)
    assert result.area_m2 == pytest.approx(predicted.area_m2, rel=1e-12)
    trained_price = training(spec, layers)
    assert trained_price.energy_J["total"] == 0 == result.energy_J["train"] == result.energy_J["training_sample"]
    assert trained_price.area_m2 == predicted.area_m2
    sensed = spec.periphery.sense is not None
    assert (result.energy_J["sense"] > 0) == sensed == (result.energy_J["adc"] == 0)


def test_shapes_are_priced_without_torch(tmp_path):
    file = tmp_path / "design.toml"
    file.write_text(design().dumps())
    priced = f"from aimco.cli import main; main(['cost', {str(file)!r}]); import sys; print('torch.nn' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", priced], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "TOPS/W" in done.stdout and done.stdout.endswith("False\n")
    assert "One update in training" not in done.stdout


def test_writing_is_counted_once_whatever_the_epochs(digits):
    """Devices of all layers, written as cited; reads are of the test samples after every epoch."""
    runs = [trained(design("exact").replace("training.epochs", n), "digits", limit=200)[0] for n in (1, 3)]
    cells = 64 * 48 + 48 * 64 + 64 * 10
    for result, epochs in zip(runs, (1, 3), strict=True):
        phases = result.counts_by_phase
        assert phases["write"]["programmed"] == cells
        assert set(phases["write"]) <= {"programmed", "program_pulses", "program_rounds", "slots"}
        assert phases["train"] == {}
        assert phases["infer"]["sensed"] == epochs * len(digits.test_x) * (2 * 48 + 2 * 64 + 2 * 10 * 6)
        assert set(PHASES) == set(phases)
    assert runs[0].energy_J["write"] == runs[1].energy_J["write"] > 0
    assert runs[0].latency_s["write"] == runs[1].latency_s["write"] > 0


def test_ranges_of_converters_are_taken_from_training_samples_as_part_of_writing(digits):
    spec = design(periphery={"adc": {"bits": 6.0, "calibration": "percentile"}, "bound_management": "none"})
    result, network = trained(spec, digits)
    limits = [tile.chain.limits["mvm"] for layer in network.layers for tile in layer.matrices["group 0"].tiles[0]]
    assert all(0 < float(limit[0]) < math.inf for limit in limits)
    assert result.counts_by_phase["write"]["mvm"] == 2 * 100 * (2 + 2 + 2)
    assert result.accuracy > right(network.in_software(digits.test_x), digits) - 0.05


def test_training_is_that_of_the_binary_layers_alone(digits):
    """The same batches and rates, written out: the weights are those of `BinaryDescent`."""
    spec = design().replace("training.decay_every", 2)
    _, network = trained(spec, digits, seed=3)
    alone = BinaryNetwork(spec, digits.train_x, 10, seed=3).train()
    descent, step, steps = BinaryDescent(alone, 4), 0, 4 * math.ceil(len(digits.train_x) / 40)
    for epoch in range(4):
        for index in batches(digits, 40, epoch, 3):
            rate = 0.3 * 0.5 ** (epoch // 2) * (5e-3 / 0.3) ** (step / steps)
            descent.step(digits.train_x[index], digits.train_y[index], rate)
            step += 1
    for ours, wanted in zip(network.parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(ours, wanted, rtol=1e-6, atol=1e-7)


def test_a_last_batch_of_one_sample_teaches_nothing():
    """41 samples in batches of 40."""
    one, none = (trained(design(), "digits", limit=n)[1] for n in (41, 40))
    assert (one.steps, none.steps) == (8, 4)
    assert all(bool(p.isfinite().all()) for p in one.parameters())


def test_a_run_that_was_stopped_ends_as_if_it_never_was(tmp_path, digits):
    """Noise, spread, drift and converters with ranges of their own; and the chip is there when nothing is left to train."""
    device = ai.Device.named("pcm-noisy").as_dict()
    network = {"kind": "binary", "hidden": [32], "read_after_s": 60.0}
    for periphery in ({"sense": {"offset_A": 1e-8}}, {"adc": {"bits": 6.0, "calibration": "percentile"}}):
        spec = design(device, periphery=periphery, network=network, cell={"kind": "pair"})
        whole, model = trained(spec, "digits", limit=200)

        def stop(epoch: int, epochs: int, value: float) -> None:
            if epoch == 2:
                raise KeyboardInterrupt

        file = str(tmp_path / f"{len(periphery)}{'sense' in periphery}.pt")
        with pytest.raises(KeyboardInterrupt):
            ai.evaluate(spec, "digits", limit=200, checkpoint=file, on_epoch=stop)
        for _ in range(2):  # from the second epoch; and from the last, with no training left
            resumed, again = trained(spec, "digits", limit=200, checkpoint=file)
            assert resumed.curves == whole.curves
            assert resumed.counts_by_phase == whole.counts_by_phase
            assert resumed.energy_J == whole.energy_J
            assert resumed.notes == whole.notes
            for ours, wanted in zip(again.layers, model.layers, strict=True):
                assert torch.equal(ours.matrices["group 0"].weights, wanted.matrices["group 0"].weights)


def test_the_chip_of_an_epoch_does_not_depend_on_those_before(digits):
    """Two epochs of four and the first two of them end on the same devices: those of the seed."""
    spec = design("rpu")
    seen: list = []
    short = trained(spec, "digits", limit=100)[1]
    for layer in short.layers:
        layer.write(torch.ones(layer.place.groups, layer.place.rows, layer.place.outputs))
        seen.append(layer.matrices["group 0"].weights.clone())
        layer.write(-torch.ones(layer.place.groups, layer.place.rows, layer.place.outputs))
        layer.write(torch.ones(layer.place.groups, layer.place.rows, layer.place.outputs))
        assert torch.equal(layer.matrices["group 0"].weights, seen[-1])
        assert not torch.equal(layer.matrices["group 0"].weights, layer.matrices["group 1"].weights)


REFUSED = {
    "another rule": ({"rule": {"kind": "sgd"}}, r"rule.kind must be off-chip in a network of kind binary, got sgd"),
    "another network": ({"network": {"kind": "mlp"}}, r"network.kind must be binary for the rule off-chip, got mlp"),
    "no layer": ({"network": {"kind": "binary", "hidden": []}}, r"network.hidden must hold at least one layer in a binary network"),
    "small weights": (
        {"cell": {"kind": "reference", "weight_max": 0.5}},
        r"cell.weight_max must be at least 1 for weights of \+-1",
    ),
    "one by one": ({"training": {"batch": 1}}, r"training.batch must be at least 2 to normalise by, got 1"),
    "time": ({"training": {"sample_s": 1e-3}}, r"training.sample_s must be absent where nothing is trained on the chip, got 0.001"),
    "no rate": ({"rule": {"kind": "off-chip", "lr": 0.0}}, r"rule.lr must be in \(0, 1000\], got 0.0"),
    "a prime": (
        {"network": {"kind": "binary", "hidden": [48, 61]}},
        r"network.hidden must hold sizes that array.rows = 32 cuts into equal groups, got 61: it has no larger group than 1",
    ),
    "bits of amplifiers that are not there": (
        {"periphery": {}, "network": {"kind": "binary", "output_bits": 4}},
        r"network.output_bits must be absent without sense amplifiers \(periphery.sense\), got 4; set periphery.adc.bits",
    ),
    "both": ({"periphery": {"sense": {}, "adc": {"bits": 4.0}}}, r"periphery.adc"),
}


@pytest.mark.parametrize(("parts", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_is_refused_in_a_sentence(parts, message):
    with pytest.raises(InputError, match=message):
        design(**parts)


def test_tasks_without_classes_are_refused():
    with pytest.raises(InputError, match=r"network.kind binary needs classes to tell apart, .* and task program has none"):
        ai.evaluate(design(), "program")


def test_a_prime_number_of_inputs_fills_its_last_group():
    """61 inputs on arrays of 32 rows: two groups of 31, one row of which nothing drives."""
    network = BinaryNetwork(design(), torch.ones(50, 61), 10)
    assert (network.bits[0].place.groups, network.bits[0].place.rows) == (2, 31)
    assert network.in_software(torch.ones(3, 61)).shape == (3, 10)


def test_members_are_trained_one_after_the_other(digits):
    designs = [design(periphery={"sense": {"offset_A": v}}) for v in (0.0, 1e-7)]
    together = ai.evaluate_many(designs, "digits", seeds=[0, 1], limit=200)
    alone = [ai.evaluate(d, "digits", seed=s, limit=200) for d, s in zip(designs, (0, 1), strict=True)]
    assert [r.curves for r in together] == [r.curves for r in alone]


def test_a_run_says_how_it_was_done_and_shows_its_chip(digits):
    spec = design("rpu")
    result, network = trained(spec, "digits", limit=200)
    message = " ".join(result.notes)
    assert "weights are learned in software: training takes no energy and no time of the chip" in message
    assert "writing is priced once, that of the last epoch" in message
    assert "are not written within" in message
    (picture,) = spec.network.pictures(torch.nn.Sequential(network), digits).values()
    accuracy = 100 * right(network.in_software(digits.test_x), digits)
    assert f"{accuracy:.1f} % in software" in picture.axes[1].get_title()
