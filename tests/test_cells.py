"""Laws of single cells: what several devices do for one weight."""

from __future__ import annotations

import pytest
import torch

import aimco as ai

QUIET = {"kind": "constant-step", "step_up": 5e-9, "step_down": 5e-9}
NOISY_PCM = {"g_min": 0.0, "g_max": 25e-6, "cycle_noise": 1.5, "spread": {"step": 0.3}, "response": {"kind": "pcm", "step_up": 2e-7}}


def matrix(cell: dict, device: dict, rows: int = 1, columns: int = 2000) -> ai.AnalogMatrix:
    design = ai.Design.of({"device": device, "cell": cell})
    return ai.AnalogMatrix(ai.ArraySpec.of(design), rows, columns)


def program_error(cell: dict, device: dict, **training) -> float:
    """eps_w of a 20 x 20 matrix taught by descent."""
    rule = training.pop("rule", {"kind": "sgd"}) | {"lr": training.pop("lr", 0.03)}
    parts = {"device": device, "cell": cell, "rule": rule, "training": {"epochs": 4, "batch": 1} | training}
    return -ai.evaluate(ai.Design.of(parts), "program", limit=5000).accuracy


@pytest.mark.parametrize("count", [1, 4, 9])
def test_n_devices_have_n_times_as_many_states_and_average_their_noise(count):
    """One update of a weight: its mean is lr x d whatever N; its step is that of one device over N; its spread falls as 1/sqrt(N)."""
    device = {"g_min": 0.0, "g_max": 1e-6, "response": QUIET, "cycle_noise": 0.5}
    array = matrix({"kind": "multi-device", "count": count}, device)
    single = matrix({"kind": "reference"}, device)
    assert float(array.step[0]) == pytest.approx(float(single.step[0]) / count)
    x, d = torch.ones(1, 1, 1), torch.full((1, 1, 2000), 0.5)
    for _ in range(36):
        array.pulse(x, d, 0.02)
        single.pulse(x, d, 0.02)
    assert array.weights.mean().item() == pytest.approx(36 * 0.02 * 0.5, rel=0.02)
    # pulses of 1/N of a step: N times as many of them make the same change, with 1/sqrt(N) of its spread
    assert array.weights.std().item() == pytest.approx(single.weights.std().item() / count**0.5, rel=0.1)


def test_devices_of_a_cell_take_updates_in_turn():
    device = {"g_min": 0.0, "g_max": 1e-6, "response": QUIET}
    array = matrix({"kind": "multi-device", "count": 3}, device, columns=4)
    array.pulse(torch.ones(1, 4, 1), torch.ones(1, 4, 4), 0.05)
    tile = array.tiles[0][0]
    assert [c.done["updates"] for c in tile.crossbars] == [2, 1, 1]
    assert array.counts["updates"] == 4
    assert array.counts["slots"] == sum(c.counts["slots"] for c in tile.crossbars)


@pytest.mark.slow
def test_more_devices_of_poor_quality_learn_what_one_pair_does_not():
    """Noisy phase-change devices on `program`: the error falls with N."""
    errors = [
        program_error({"kind": "multi-device", "count": n, "differential": True, "weight_max": 2.0, "refresh_every": 100}, NOISY_PCM)
        for n in (1, 4)
    ]
    assert errors[1] < 0.75 * errors[0]


LEAKY = {"g_min": 0.0, "g_max": 1e-6, "retention_s": 4e-4, "resting_g": 0.5e-6, "response": QUIET | {"step_up": 1e-9, "step_down": 0.9e-9}}


@pytest.mark.slow
def test_what_a_leaky_capacitor_learns_is_kept_by_its_pair():
    """A capacitor that forgets within some 500 samples, with transfers every 200: the error is a third of that of the capacitor alone."""
    cell = {"kind": "capacitor-pcm", "weight_max": 2.0, "pcm": fine_pcm(4e-8)}
    alone = program_error({"kind": "reference", "weight_max": 2.0}, LEAKY, sample_s=8e-7)
    error = program_error(cell, LEAKY, rule={"kind": "weight-transfer", "transfer_every": 200}, sample_s=8e-7)
    assert error < 0.6 * alone


def test_the_sign_of_a_capacitor_turns_at_each_transfer():
    cell = {"kind": "capacitor-pcm", "pcm": fine_pcm(1e-8)}
    array = matrix(cell, {"g_min": 0.0, "g_max": 1e-6, "response": QUIET}, columns=50)
    tile, x, d = array.tiles[0][0], torch.ones(1, 1, 1), torch.ones(1, 1, 50)
    signs = []
    for k in range(6):
        array.pulse(x, d, 0.02)
        if k % 2:
            array.transfer(invert=True)
        signs.append(tile.signs[0])
    assert signs == [1, -1, -1, 1, 1, -1]
    assert array.weights.mean().item() == pytest.approx(6 * 0.02, rel=0.3)


@pytest.mark.parametrize("invert", [False, True])
def test_a_transfer_keeps_the_weights_and_empties_the_capacitor(invert):
    """To one step of the capacitor, though the steps of the pair are coarse: what they miss, less than one, stays in the capacitor."""
    cell = {"kind": "capacitor-pcm", "pcm": fine_pcm(1e-7)}
    array = matrix(cell, {"g_min": 0.0, "g_max": 1e-6, "response": QUIET}, rows=3, columns=50)
    array.program(torch.linspace(-0.7, 0.1, 150).reshape(1, 3, 50))
    tile = array.tiles[0][0]
    for _ in range(3):
        tile.crossbar.program(torch.full(tile.shape, 0.8))
        before = array.weights.clone()
        array.transfer(invert)
        assert (array.weights - before).abs().max() <= float(array.step[0])
        assert tile.crossbar.state.abs().max() < 0.3


def test_weights_are_written_with_the_sign_that_the_capacitor_has():
    cell = {"kind": "capacitor-pcm", "pcm": fine_pcm(1e-7)}
    array = matrix(cell, {"g_min": 0.0, "g_max": 1e-6, "response": QUIET}, rows=3, columns=50)
    target = torch.linspace(-0.7, 0.7, 150).reshape(1, 3, 50)
    for sign in (1, -1):
        assert array.tiles[0][0].signs[0] == sign
        array.program(target)
        assert (array.weights - target).abs().max() <= float(array.step[0])
        array.transfer(invert=True)


def test_what_a_cell_cannot_do_is_refused_by_name():
    device = {"g_min": 0.0, "g_max": 1e-6, "response": QUIET}
    with pytest.raises(ai.InputError, match=r"^AnalogMatrix\.transfer: cells of kind reference have none; take capacitor-pcm$"):
        matrix({"kind": "reference"}, device).transfer(invert=True)
    with pytest.raises(ai.InputError, match=r"^Tile\.pulse_up_down: the cell must be of one device, as reference, got multi-device$"):
        matrix({"kind": "multi-device"}, device).pulse_up_down(10)
    with pytest.raises(ai.InputError, match=r"^zero_error must be 0 where zero is mid-range, which is known exactly, got 0\.1$"):
        ai.Cell.of({"kind": "capacitor6t1c", "zero": "mid-range", "zero_error": 0.1})


def test_transfers_come_after_so_many_samples_whatever_the_batch():
    """Signs and weights after 10 samples, one by one and in batches of 4, 4 and 2, a transfer after every third."""
    cell = {"kind": "capacitor-pcm", "pcm": fine_pcm(1e-7)}
    device = {"g_min": 0.0, "g_max": 1e-6, "response": QUIET}
    rule = {"kind": "weight-transfer", "transfer_every": 3}
    design = ai.Design.of({"device": device, "cell": cell, "rule": rule})
    draws = torch.Generator().manual_seed(0)
    x, d, weights = torch.rand(1, 10, 4, generator=draws), torch.rand(1, 10, 5, generator=draws), []
    for batch in (1, 4):
        w = ai.AnalogMatrix(ai.ArraySpec.of(design), 4, 5)
        state = design.rule.start({"W": w})
        for xs, ds in zip(x.split(batch, 1), d.split(batch, 1), strict=True):
            design.rule.update({"W": w}, state, xs, ds, 0.1)
        assert w.tiles[0][0].signs[0] == -1
        weights.append(w.weights)
    assert torch.equal(*weights)


def test_transfers_need_a_cell_that_has_them():
    with pytest.raises(ai.InputError, match=r"^cell\.kind must be capacitor-pcm for rule\.kind = 'weight-transfer', got pair$"):
        ai.Design.of({"device": "pcm", "cell": {"kind": "pair"}, "rule": {"kind": "weight-transfer"}})


def test_a_cell_whose_rule_asks_for_no_transfers_is_noted():
    for kind, expected in (("sgd", True), ("weight-transfer", False), ("digital", False)):
        design = ai.Design.of({"device": "capacitor-cmos", "cell": {"kind": "capacitor-pcm"}, "rule": {"kind": kind}})
        notes = ai.evaluate(design.replace("training.epochs", 1), limit=10).notes
        assert any(n.startswith("the pairs of the cells keep") for n in notes) == expected


def fine_pcm(step: float) -> dict:
    """The phase-change device of the catalogue with small steps, so that little is lost by a write."""
    return ai.Device.named("pcm").replace("response.step_up", step).replace("cycle_noise", 0.3).replace("drift", None).as_dict()


@pytest.mark.parametrize("zero", ["symmetry-point", "resting-point"])
def test_a_capacitor_cell_is_read_against_its_own_zero(zero):
    """A device left at its zero is a weight of zero; what the reference was read wrong by stays in the weight."""
    device = {
        "g_min": 0.0,
        "g_max": 1e-6,
        "resting_g": 0.3e-6,
        "retention_s": 1.0,
        "spread": {"g_max": 0.1, "resting_g": 0.1, "step": 0.1},
        "response": {"kind": "soft-bounds", "step_up": 6e-9, "step_down": 5e-9},
    }
    for error in (0.0, 0.1):
        array = matrix({"kind": "capacitor6t1c", "zero": zero, "zero_error": error}, device)
        crossbar = array.tiles[0][0].crossbar
        if zero == "resting-point":
            array.elapse(1e3)
        else:
            crossbar.state.copy_(crossbar.sampled.symmetry_point() - crossbar.origin)
        assert array.weights.std().item() == pytest.approx(error, rel=0.1, abs=1e-5)


def test_a_spiking_cell_has_six_transistors_and_is_a_pair():
    cell = ai.Cell.of({"kind": "pair6t2r"})
    assert cell.transistors == 6
    assert cell.signs == (1, -1)
    assert ai.Cell.of(cell.as_dict()) == cell
