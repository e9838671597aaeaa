"""Laws of single cells: what several devices do for one weight."""

from __future__ import annotations

import pytest
import torch

import aimco as ai

QUIET = {"kind": "constant-step", "step_up": 5e-9, "step_down": 5e-9}
NOISY_PCM = {"g_min": 0.0, "g_max": 25e-6, "cycle_noise": 1.5, "spread": {"step": 0.3}, "response": {"kind": "pcm", "step_up": 2e-7}}


def matrix(cell: dict, device: dict, rows: int = 1, columns: int = 2000) -> ai.AnalogMatrix:
    made = ai.Design.of({"device": device, "cell": cell})
    return ai.AnalogMatrix(made.device, made.cell, made.array, made.periphery, rows, columns)


def program_error(cell: dict, device: dict, **training) -> float:
    """eps_w of a 20 x 20 matrix taught by descent."""
    rule = {"kind": "sgd", "lr": training.pop("lr", 0.03)}
    parts = {"device": device, "cell": cell, "rule": rule, "training": {"epochs": 4, "batch": 1} | training}
    return -ai.evaluate(ai.Design.of(parts), "program", limit=5000).accuracy


@pytest.mark.parametrize("count", [1, 4, 9])
def test_n_devices_have_n_times_as_many_states_and_average_their_noise(count):
    """One update of a weight: its mean is lr x d whatever N; its step is that of one device over N; its spread falls as 1/sqrt(N)."""
    device = {"g_min": 0.0, "g_max": 1e-6, "response": QUIET, "cycle_noise": 0.5}
    made = matrix({"kind": "multi-device", "count": count}, device)
    single = matrix({"kind": "reference"}, device)
    assert float(made.step[0]) == pytest.approx(float(single.step[0]) / count)
    x, d = torch.ones(1, 1, 1), torch.full((1, 1, 2000), 0.5)
    for _ in range(36):
        made.pulse(x, d, 0.02)
        single.pulse(x, d, 0.02)
    assert made.weights.mean().item() == pytest.approx(36 * 0.02 * 0.5, rel=0.02)
    # pulses of 1/N of a step: N times as many of them make the same change, with 1/sqrt(N) of its spread
    assert made.weights.std().item() == pytest.approx(single.weights.std().item() / count**0.5, rel=0.1)


def test_devices_of_a_cell_take_updates_in_turn():
    device = {"g_min": 0.0, "g_max": 1e-6, "response": QUIET}
    made = matrix({"kind": "multi-device", "count": 3}, device, columns=4)
    made.pulse(torch.ones(1, 4, 1), torch.ones(1, 4, 4), 0.05)
    tile = made.tiles[0][0]
    assert [c.done["updates"] for c in tile.crossbars] == [2, 1, 1]
    assert made.counts["updates"] == 4
    assert made.counts["slots"] == sum(c.counts["slots"] for c in tile.crossbars)


def test_more_devices_of_poor_quality_learn_what_one_pair_does_not():
    """Noisy phase-change devices on `program`: the error falls with N."""
    errors = [
        program_error({"kind": "multi-device", "count": n, "differential": True, "weight_max": 2.0, "refresh_every": 100}, NOISY_PCM)
        for n in (1, 4)
    ]
    assert errors[1] < 0.75 * errors[0]


LEAKY = {"g_min": 0.0, "g_max": 1e-6, "retention_s": 4e-4, "resting_g": 0.5e-6, "response": QUIET | {"step_up": 1e-9, "step_down": 0.9e-9}}


def test_what_a_leaky_capacitor_learns_is_kept_by_its_pair():
    """A capacitor that forgets within some 500 samples, with transfers every 200: the error is a third of that of the capacitor alone."""
    fine = ai.Device.named("pcm").replace("response.step_up", 4e-8).replace("cycle_noise", 0.3).replace("drift", None)
    cell = {"kind": "capacitor-pcm", "weight_max": 2.0, "pcm": fine.as_dict(), "transfer_every": 200}
    alone = program_error({"kind": "reference", "weight_max": 2.0}, LEAKY, sample_s=8e-7)
    kept = program_error(cell, LEAKY, sample_s=8e-7)
    assert kept < 0.6 * alone


def test_the_sign_of_a_capacitor_turns_at_each_transfer():
    fine = ai.Device.named("pcm").replace("response.step_up", 1e-8).replace("cycle_noise", 0.3)
    cell = {"kind": "capacitor-pcm", "transfer_every": 2, "pcm": fine.as_dict()}
    made = matrix(cell, {"g_min": 0.0, "g_max": 1e-6, "response": QUIET}, columns=50)
    tile, x, d = made.tiles[0][0], torch.ones(1, 1, 1), torch.ones(1, 1, 50)
    signs = []
    for _ in range(6):
        made.pulse(x, d, 0.02)
        signs.append(tile.signs[0])
    assert signs == [1, -1, -1, 1, 1, -1]
    assert made.weights.mean().item() == pytest.approx(6 * 0.02, rel=0.3)


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
        made = matrix({"kind": "capacitor6t1c", "zero": zero, "zero_error": error}, device)
        crossbar = made.tiles[0][0].crossbar
        if zero == "resting-point":
            made.hold(1e3)
        else:
            crossbar.state.copy_(crossbar.sampled.symmetry_point() - crossbar.origin)
        assert made.weights.std().item() == pytest.approx(error, rel=0.1, abs=1e-5)


def test_a_spiking_cell_has_six_transistors_and_is_a_pair():
    cell = ai.Cell.of({"kind": "pair6t2r"})
    assert cell.transistors == 6
    assert cell.signs == (1, -1)
    assert ai.Cell.of(cell.as_dict()) == cell
