"""What time does to an array, whoever looks, keeps a checkpoint, changes its references or shares an ensemble with it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from aimco.arrays.crossbar import Crossbar
from aimco.arrays.doors import ReferencePolicy
from aimco.arrays.spec import ArraySpec
from aimco.device.device import Device
from aimco.ensemble import stack

SOFT = {"g_min": 0.0, "g_max": 2.0, "response": {"kind": "soft-bounds", "step_up": 0.02, "step_down": 0.02}}
DRIFTING = Device.of(SOFT | {"drift": {"spread_min": 0.0, "spread_max": 0.0}})
FLICKERING = Device.of(
    SOFT | {"retention_s": 100.0, "noise": [{"kind": "flicker", "amplitude": 0.02, "f_low": 1e-4, "f_high": 1e3, "starts": "programmed"}]}
)
SWITCHING = Device.of(
    SOFT | {"retention_s": 100.0, "noise": [{"kind": "telegraph", "amplitude": 0.02, "capture_s": 2.0, "emission_s": 3.0}]}
)
NOISY = {"flicker": FLICKERING, "telegraph": SWITCHING}


def written(device: Device, *, reference: ReferencePolicy = "mid-range", seeds: tuple[int, ...] = (0,)) -> Crossbar:
    array = Crossbar(ArraySpec(device, reference=reference), 6, 5, seeds=seeds)
    array.state.copy_(torch.linspace(-0.5, 0.5, 30).reshape(6, 5).expand(array.shape))
    array.reset(torch.zeros(array.shape, dtype=torch.bool))  # nothing: the noise is that of these states
    return array


@pytest.mark.parametrize("noise", NOISY)
@pytest.mark.parametrize("look", ["state", "checkpoint", "pickle"])
def test_a_look_changes_no_draw(noise, look):
    arrays = [written(NOISY[noise]) for _ in range(2)]
    for array in arrays:
        array.elapse(1.0)
    assert arrays[0].state is not None if look == "state" else arrays[0].checkpoint() if look == "checkpoint" else arrays[0].__getstate__()
    for array in arrays:
        array.elapse(2.0)
    assert torch.equal(arrays[0].noisy_state(), arrays[1].noisy_state())


@pytest.mark.parametrize("noise", NOISY)
def test_a_member_for_which_no_time_passes_fluctuates_as_alone(noise):
    """Times (0, 5) s in one ensemble of two, and each of them alone."""
    both = written(stack([NOISY[noise]] * 2), seeds=(3, 4))
    both.elapse(np.array([0.0, 5.0]))
    both.elapse(np.array([1.0, 0.0]))
    for member, times in enumerate([(0.0, 1.0), (5.0, 0.0)]):
        alone = written(NOISY[noise], seeds=(3 + member,))
        for time in times:
            alone.elapse(time)
        assert torch.equal(both.noisy_state()[member], alone.noisy_state()[0])


def test_devices_whose_references_change_go_on_drifting():
    """ln g falls by nu ln((t + dt)/t) since they were programmed, whatever they are read against."""
    arrays = [written(DRIFTING, reference="measured") for _ in range(2)]
    for array in arrays:
        array.elapse(1000.0)
    arrays[1].set_reference(arrays[1].state / 2)
    arrays[1].set_reference(torch.full((1, 5), 0.125), 3)
    for array in arrays:
        array.elapse(1e5)
    assert torch.allclose(arrays[0].state + arrays[0].origin, arrays[1].state + arrays[1].origin, atol=2e-7)


def test_devices_whose_references_change_go_on_fluctuating():
    """What has grown since they were programmed is not taken for new."""
    arrays = [written(FLICKERING, reference="measured") for _ in range(2)]
    for array in arrays:
        array.elapse(10.0)
    before = arrays[1].noisy_state().clone()
    arrays[1].set_reference(torch.full(arrays[1].shape, 0.25))
    assert torch.allclose(arrays[1].noisy_state(), before, atol=1e-6)
    for array in arrays:
        array.elapse(10.0)
    assert torch.allclose(arrays[0].noisy_state(), arrays[1].noisy_state(), atol=1e-5)


def test_a_restored_array_relaxes_as_the_one_that_was_kept():
    device = Device.of(SOFT | {"retention_s": 100.0, "resting_g": 1.0, "spread": {"resting_g": 0.1}})
    first, other = written(device, reference="measured"), written(device, reference="measured")
    for array in (first, other):
        array.elapse(10.0)
        assert array.state is not None  # time acts, and the resting points are worked out
    first.set_reference(torch.full(first.shape, 0.25))
    other.restore(first.checkpoint())
    for array in (first, other):
        array.elapse(30.0)
    assert torch.equal(first.state, other.state)


@pytest.mark.parametrize("options", [{"spread": {"retention_s": 1.0}}, {"half_select": 0.3, "spread": {"step": 0.5}}], ids=str)
def test_an_array_of_other_devices_ages_as_the_one_of_its_checkpoint(options):
    """What it worked out from the devices that it was made with is forgotten with them."""
    device, pulses = Device.of(SOFT | {"retention_s": 100.0} | options), torch.zeros(1, 6, 5, dtype=torch.int32)
    pulses[0, 0, 0] = 20
    first, other = (written(device, seeds=(seed,)) for seed in (0, 1))
    for array in (first, other):
        array.elapse(1.0)
        array.pulse_rows(pulses)
    other.restore(first.checkpoint())
    for array in (first, other):
        array.elapse(30.0)
        array.pulse_rows(pulses)
    assert torch.equal(first.state, other.state)
