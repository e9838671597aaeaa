"""Half-selected devices: what pulses on their row or column alone do to them."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch

from aimco import rng
from aimco.arrays.crossbar import Crossbar
from aimco.arrays.pulses import Pulses
from aimco.arrays.spec import ArraySpec
from aimco.design import Design
from aimco.device.device import Device
from aimco.kernels import reference
from aimco.periphery import Periphery
from aimco.record import InputError

PART = 0.1
PLAIN = Device.named("ideal")
STEP = float(PLAIN.step / PLAIN.half_range)


def crossbar(part: float | None, rows: int = 5, columns: int = 7, device: Device = PLAIN, **options) -> Crossbar:
    pulses = options.pop("pulses", Pulses())
    part_device = device if part is None else device.replace("half_select", part)
    return Crossbar(ArraySpec(part_device, periphery=Periphery(pulses=pulses)), rows, columns, **options)


def vectors(batch: int, lines: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(1, batch, lines, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("device", ["soft-bounds", "rpu", "pcm"])
def test_absent_or_zero_leaves_every_bit(device):
    arrays = [crossbar(part, device=Device.named(device)) for part in (None, 0.0)]
    for array in arrays:
        array.pulse_rows(torch.arange(35, dtype=torch.int32).reshape(1, 5, 7) % 5)
        array.pulse(vectors(3, 5), vectors(3, 7, 1), np.array([0.1]))
    assert torch.equal(arrays[0].state, arrays[1].state)


def test_a_design_without_it_keeps_its_name():
    design = Design.of({"device": "rpu"})
    assert "half_select" not in design.as_dict()["device"]
    assert design.replace("device.half_select", PART).hash() != design.hash()


def test_writing_one_device_disturbs_its_row_and_column_alone():
    """n pulses up: n steps for it, a tenth of n for those on its lines, nothing elsewhere."""
    array, pulses = crossbar(PART), torch.zeros(1, 5, 7, dtype=torch.int32)
    pulses[0, 2, 3] = 10
    array.pulse_rows(pulses)
    wanted = torch.zeros(5, 7)
    wanted[2], wanted[:, 3], wanted[2, 3] = PART * 10 * STEP, PART * 10 * STEP, 10 * STEP
    torch.testing.assert_close(array.state[0], wanted, rtol=1e-4, atol=1e-7)


def test_lines_fired_one_by_one_disturb_as_single_writes_do():
    """Two rows, pulses of both signs, against the rule written out device by device."""
    array, pulses = crossbar(PART), torch.zeros(1, 5, 7, dtype=torch.int32)
    pulses[0, 1, :4], pulses[0, 4, 2:] = torch.tensor([3, -2, 5, 0]), torch.tensor([-4, 1, 0, 2, -1])
    array.pulse_rows(pulses[:, [1, 4]].contiguous(), np.array([1, 4]))
    wanted = pulses[0].float()
    for i in range(5):
        for j in range(7):
            for n, sign in ((pulses[0].clamp(min=0), 1), ((-pulses[0]).clamp(min=0), -1)):
                wanted[i, j] += sign * PART * float(n[i].max() - n[i, j] + n[:, j].sum() - n[i, j])
    torch.testing.assert_close(array.state[0], wanted * STEP, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("shape", [(5, 7), (9, 4)])
@pytest.mark.parametrize("polarity", [0, 1, -1])
def test_half_selects_of_trains_are_those_counted_slot_by_slot(shape, polarity):
    """The array moved by the plain definition's coincidences and half-selects, steps being constant."""
    x, d, lr = vectors(2, shape[0]), vectors(2, shape[1], 1), 0.02
    array = crossbar(PART, *shape, pulses=Pulses(mode="exact"))
    array.pulse(x, d, np.array([lr]), polarity)
    plain = crossbar(None, *shape, pulses=Pulses(mode="exact"))
    plain.pulse(x, d, np.array([lr]), polarity)
    sides, wanted = (lambda a: a.T) if shape[0] > shape[1] else (lambda a: a), np.zeros(shape)
    keys = np.stack([rng.stream_keys((0,), "array", n) for n in ("x", "d", "pulse")], 1)[0]
    for b in range(2):
        lines = (d, x) if shape[0] > shape[1] else (x, d)
        one, other = (v[0, b].numpy() for v in lines)
        rows, columns = reference.trains(one, other, lr, STEP, (31, True, True, shape[0] > shape[1]), keys, b)
        up, down = reference.half_selects(one, other, rows, columns, polarity)
        wanted += sides(up - down)
    torch.testing.assert_close((array.state - plain.state)[0].double(), torch.from_numpy(PART * STEP * wanted), rtol=1e-3, atol=1e-5 * STEP)


def test_lines_that_fire_draw_devices_to_their_symmetry_point():
    """A row that fires against columns that do not: up and down half-selects cancel where the steps are equal, and nowhere else."""
    device = Device.named("soft-bounds")
    array = crossbar(0.3, 4, 4, device=device)
    point = array.sampled.symmetry_point()[0]
    array.state.copy_(array.state + 0.5)
    off = (array.state[0] - point).abs()
    x, d = torch.zeros(1, 200, 4), torch.zeros(1, 200, 4)
    x[:, :, 0], d[:, :, 3] = 1.0, 1e-6
    for _ in range(20):
        array.pulse(x, d, np.array([1e3]))
    left = (array.state[0] - point).abs() / off
    assert float(left[0, :3].max()) < 0.7
    assert bool((left[1:, :3] == 1).all())


def test_it_goes_on_bit_for_bit():
    def trained(steps: int, array: Crossbar) -> Crossbar:
        for k in range(array.done["updates"] // 3, steps):
            array.pulse(vectors(3, 5, k), vectors(3, 7, k + 100), np.array([0.1]))
        return array

    whole, part, rest = (crossbar(PART, device=Device.named("soft-bounds")) for _ in range(3))
    trained(6, whole)
    rest.restore(trained(3, part).checkpoint())
    assert torch.equal(trained(6, rest).state, whole.state)


@pytest.mark.parametrize("again", [copy.deepcopy, lambda array: pickle.loads(pickle.dumps(array))])
def test_a_copy_goes_on_bit_for_bit(again):
    array = crossbar(PART, device=Device.named("soft-bounds"))
    array.pulse(vectors(3, 5), vectors(3, 7, 1), np.array([0.1]))
    other = again(array)
    for one in (array, other):
        one.pulse(vectors(3, 5, 2), vectors(3, 7, 3), np.array([0.1]))
    assert torch.equal(array.state, other.state)


def test_a_member_is_disturbed_as_it_would_be_alone():
    """Two members, one with pulses enough to go in several parts, the other with few."""
    pulses = torch.zeros(2, 5, 7, dtype=torch.int32)
    pulses[0, 2, 3], pulses[1, 2, 3] = 900, 3
    both = crossbar(PART, device=Device.named("soft-bounds"), seeds=(1, 2))
    both.pulse_rows(pulses)
    for member in range(2):
        alone = crossbar(PART, device=Device.named("soft-bounds"), seeds=(member + 1,))
        alone.pulse_rows(pulses[member : member + 1])
        assert torch.equal(both.state[member], alone.state[0])


def test_devices_that_writes_of_others_disturb_are_written_again():
    """At the end every device is within the window, though each write moves the others on its lines."""
    array = crossbar(0.02, device=Device.named("soft-bounds"), columns=5)
    target = torch.linspace(-0.4, 0.4, 25).reshape(1, 5, 5)
    array.program(target, rounds=60)
    assert (array.state - target).abs().max() <= 0.51 * float(array.step[0])


def test_parts_that_cannot_be_are_refused_by_name():
    for value in (-0.1, 1.5):
        with pytest.raises(InputError, match=r"half_select must be in 0\.\.1, got"):
            PLAIN.replace("half_select", value)
