"""Large arrays are made in parts: what is drawn does not depend on them, and memory grows with what is kept alone."""

from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch

from aimco import rng
from aimco.arrays import pulse_generator
from aimco.arrays.crossbar import Crossbar
from aimco.device import sampled as parts_of_arrays
from aimco.device.device import Device
from test_contracts import DEVICES

MEGABYTE = 2**20
MAKE = """
import resource, sys
import aimco as ai
design = ai.Design(device=sys.argv[2])
ai.nn.Linear(4, 4, design=design, seed=0)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
layer = ai.nn.Linear(int(sys.argv[1]), int(sys.argv[1]), design=design, seed=0)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


def peak_MB(size: int, device: str) -> float:
    """Memory that making a layer took beyond that of a small one, in a process of its own."""
    return float(subprocess.run([sys.executable, "-c", MAKE, str(size), device], check=True, capture_output=True, text=True).stdout)


@pytest.mark.parametrize("part", [slice(0, 3), slice(3, 70), slice(69, 70)])
def test_normal_numbers_of_some_rows_are_those_of_all(part):
    keys = np.array([3, 2**63 + 5], np.uint64)
    whole = rng.normal(keys, 7, (70, 501))
    assert torch.equal(rng.normal(keys, 7, (70, 501), part), whole[:, part])


def test_uniform_numbers_in_single_precision_are_those_in_double_rounded():
    keys = np.array([3], np.uint64)
    count = 2**15 + 3  # more than are drawn at once
    assert np.array_equal(rng.uniform(keys, 0, count, np.float32), rng.uniform(keys, 0, count).astype(np.float32))


@pytest.mark.parametrize(("rows", "columns"), [(40, 50), (50, 40)])
@pytest.mark.parametrize("name", ["rram-array-om", "rpu", "pcm"])
def test_an_array_in_parts_is_that_made_at_once(name, rows, columns, monkeypatch):
    device, seeds, target = Device.named(name), (1, 2), torch.zeros(2, rows, columns)
    arrays = []
    for at_once in (2**30, 700):
        monkeypatch.setattr(parts_of_arrays, "_AT_ONCE", at_once)
        arrays.append(Crossbar(device, rows, columns, seeds=seeds))
        arrays[-1].program(target)
    whole, in_parts = arrays
    assert len(parts_of_arrays.row_parts(2, rows, columns)) > 1
    assert all(torch.equal(t, in_parts.sampled.values[n]) for n, t in whole.sampled.values.items())
    assert torch.equal(whole.sampled.trusted(), in_parts.sampled.trusted())
    assert torch.equal(whole.sampled.symmetry_point(), in_parts.sampled.symmetry_point())
    assert np.array_equal(whole.sampled.reverses, in_parts.sampled.reverses)
    assert torch.equal(whole.state, in_parts.state)


def test_a_copy_of_devices_is_as_large_as_their_numbers_and_pulses_alike():
    array = Crossbar(Device.named("rram-array-om"), 60, 80)
    text = pickle.dumps(array.sampled)
    held = sum(t.numel() for t in array.sampled.values.values()) * 4
    assert len(text) < 1.2 * held + 20_000  # the device itself takes some
    again = pickle.loads(pickle.dumps(array))
    x, d = torch.ones(1, 3, 60), torch.linspace(-1, 1, 240).reshape(1, 3, 80)
    for each in (array, again):
        each.pulse(x, d, 0.1)
    assert torch.equal(array.state, again.state)


def test_a_layer_takes_little_more_memory_than_its_devices():
    """Of a device with four numbers of its own: these once by row and once by device, states, and targets as they are written."""
    kept = 9 * 4 * 2048 * 2049 / MEGABYTE
    assert peak_MB(2048, "rpu") < 2.2 * kept


@pytest.mark.slow
def test_a_layer_of_4096_x_4096_takes_less_than_a_gigabyte():
    assert peak_MB(4096, "rpu") < 1000


FAMILIES = {device.response.kind: device for device in DEVICES.values() if not device.response.one_sided}


@pytest.mark.parametrize("family", FAMILIES)
def test_large_arrays_of_every_family_are_written_as_small_ones_are(family, monkeypatch):
    """Threads share the rows of large arrays; what is written does not depend on it."""
    target = 0.5 * torch.linspace(-1, 1, 64).reshape(1, 8, 8)

    def written() -> torch.Tensor:
        array = Crossbar(FAMILIES[family], 8, 8)
        array.program(target)
        return array.state

    small = written()
    monkeypatch.setattr(pulse_generator, "_FAR", 1)
    assert torch.equal(written(), small)
