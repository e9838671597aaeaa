"""The protocol of the 5 x 5 array of capacitor cells."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from aimco.reference import Settings, igzo_xor
from aimco.reference.igzo_xor import Chip

SEEDS = (0, 1, 2)
STEP = igzo_xor.PORTIONS * 0.45  # counts of one pulse in the middle of the window
READ_NOISE = 1.7  # counts


def zeroed(seeds: tuple[int, ...] = SEEDS) -> Chip:
    chip = Chip(igzo_xor.near_program(seeds), seeds)
    chip.zero()
    return chip


def test_zeroing_leaves_weights_at_zero_within_the_noise_of_reading():
    """One reading and the rounding of the converter, six standard deviations."""
    assert zeroed().matrix.weights.abs().max() < 6 * np.hypot(READ_NOISE, 0.29) / igzo_xor.COUNTS_PER_WEIGHT


def test_zeroing_leaves_cells_at_their_symmetry_points():
    """Noise c of each pulse, 0.28 counts, against the pull k back, 3e-4 of the way: c / sqrt(2 k) = 11 counts."""
    crossbar = zeroed().matrix.tiles[0][0].crossbar
    off = (crossbar.state + crossbar.origin - crossbar.sampled.symmetry_point()) * igzo_xor.WINDOW
    assert 8 < off.std() < 15
    assert off.mean().abs() < 5


def test_a_change_takes_a_pulse_for_each_hundredth_begun_and_three_hundred_at_most():
    change = torch.tensor([0.0, 0.001, 0.5, -0.255, 2.9, -7.0])
    assert igzo_xor.pulses(change).tolist() == [0, 1, 50, -26, 290, -300]


def test_cells_get_the_pulses_that_the_change_asks_for():
    chip = zeroed()
    before, change = chip.matrix.counts["coincidences"], torch.randn(chip.matrix.shape, generator=torch.Generator().manual_seed(0))
    chip.write(change)
    sent = igzo_xor.pulses(change).abs().sum((1, 2)).numpy()
    np.testing.assert_array_equal(chip.matrix.counts["coincidences"] - before, igzo_xor.PORTIONS * sent)
    np.testing.assert_allclose(chip.writing_s, sent * igzo_xor.PULSE_S)


def test_a_pulse_of_a_microsecond_moves_a_weight_by_ten_measured_steps():
    """Twenty pulses on all cells: the mean of 75 cells whose steps differ by 10 %, and by the slope over 90 counts."""
    chip = zeroed()
    before = chip.matrix.weights.clone()
    chip.write(torch.full(chip.matrix.shape, 0.2))
    moved = (chip.matrix.weights - before).mean().item()
    assert moved == pytest.approx(20 * STEP / igzo_xor.COUNTS_PER_WEIGHT, rel=0.1)


def test_the_array_reads_weights_forward_and_backward():
    """Six standard deviations of the noise of five cells and of rounding; errors below 0.1 are driven tenfold and have a tenth of it."""
    chip = zeroed()
    chip.write(torch.linspace(-0.3, 0.3, 25).reshape(5, 5).expand(chip.matrix.shape))
    weights, noise = chip.matrix.weights + chip.start, 6 * READ_NOISE / igzo_xor.COUNTS_PER_WEIGHT
    x = torch.rand(len(SEEDS), 1, 5, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(chip.forward(x), torch.bmm(x, weights), rtol=0, atol=5**0.5 * noise)
    for d, within in ((0.8, noise), (-0.8, noise), (0.05, noise / 10), (-0.05, noise / 10)):
        error = torch.full((len(SEEDS), 1), d)
        torch.testing.assert_close(chip.backward(error)[:, 0], d * weights[:, :, igzo_xor.OUTPUT], rtol=0, atol=1.5 * within)


def test_a_sample_pulses_the_nine_cells_alone():
    chip = zeroed()
    before = chip.matrix.weights.clone()
    igzo_xor.learn(chip, torch.ones(2), torch.tensor(0.0))
    moved = (chip.matrix.weights - before).abs() > 0.5 * STEP / igzo_xor.COUNTS_PER_WEIGHT
    assert torch.equal(moved.any(0), igzo_xor.placed(torch.ones(1, 2, 3), torch.ones(1, 3))[0] > 0)


def test_time_passes_as_the_protocol_takes_it():
    """Two forward reads, three backward, five rows, and 5 us for each pulse."""
    chip = zeroed()
    before = chip.matrix.counts["hold_s"]
    igzo_xor.learn(chip, torch.ones(2), torch.tensor(0.0))
    np.testing.assert_allclose(chip.matrix.counts["hold_s"] - before, chip.seconds)
    assert chip.reading_s == pytest.approx(10 * igzo_xor.READ_S)


def test_a_start_learns_the_same_alone_and_among_others():
    together, alone = zeroed((4, 5)), zeroed((5,))
    curves = [igzo_xor.train(chip, 3, Settings(), "") for chip in (together, alone)]
    np.testing.assert_array_equal(curves[0][..., 1], curves[1][..., 0])
