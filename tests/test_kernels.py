"""Compiled kernels equal their plain definitions, and are compiled once."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from aimco import rng
from aimco.arrays.crossbar import Crossbar
from aimco.arrays.pulses import Pulses
from aimco.device.device import Device
from aimco.device.response import scalar_pulse
from aimco.kernels import reference

STEPS = {"step_up": 0.02, "step_down": 0.018}
FAMILIES: dict[str, dict[str, float]] = {"constant-step": {}, "soft-bounds": {}, "power": {}, "exponential": {}}


@pytest.mark.parametrize("managed", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_compiled_update_equals_its_definition(family, managed):
    """The same trains and draws: as many coincidences, states to float32 rounding."""
    spread = {"step": 0.3, "asymmetry": 0.1, "g_max": 0.3, "g_min": 0.3}
    device = Device.of({"g_min": 0.0, "g_max": 2.0, "cycle_noise": 0.2, "cycle_noise_additive": 0.1, "spread": spread}
                       | {"response": {"kind": family} | STEPS | FAMILIES[family]})  # fmt: skip
    pulses = Pulses(length=13, update_management=managed, update_bl_management=managed, mode="exact")
    array, shape = Crossbar(device, 9, 7, pulses=pulses, names=("law",)), (9, 7)
    sampled, keys = array.sampled, [int(k) for k in array.keys["pulse"][0]]
    parameters = {n: np.broadcast_to(t.numpy() if t.ndim == 1 else t[0].numpy(), shape) for n, t in sampled.values.items()}
    scalar = scalar_pulse(device.response)
    draws = np.random.default_rng(0)
    x, d = draws.standard_normal((1, 6, 9)).astype(np.float32), draws.standard_normal((1, 6, 7)).astype(np.float32)
    lr, state, hits = 0.05, np.zeros(shape, np.float32), 0
    options = (pulses.length, managed, managed)
    array.pulse(torch.from_numpy(x), torch.from_numpy(d), np.array([lr]))
    for number in range(6):
        rows, columns = reference.trains(x[0, number], d[0, number], lr, float(array.step[0]), options, np.array(keys, np.uint64), number)
        hits += reference.update(scalar, state, parameters, x[0, number], d[0, number], rows, columns, keys[2], number)
    assert hits == array.counts["coincidences"].sum() > 50
    np.testing.assert_allclose(array.state[0].numpy(), state, atol=2e-6)


def test_compiled_noise_equals_its_definition():
    from aimco.kernels.noise import fill

    keys = rng.stream_keys((5, 6), "noise")
    out = np.empty((2, 3, 100), np.float32)
    fill(out, keys, 4)
    for e in range(2):
        for b in range(3):
            start = np.uint32(rng.base(int(keys[e]), 4 + b))
            words = rng.hash32(start + np.arange(100, dtype=np.uint32))
            assert np.allclose(out[e, b], rng.rough_normal(words), atol=1e-6)


def test_a_second_process_compiles_nothing(tmp_path):
    script = (
        "import numpy as np, torch\n"
        "from aimco.arrays.crossbar import Crossbar\n"
        "from aimco.device.device import Device\n"
        "from aimco.kernels import trains\n"
        "array = Crossbar(Device.named('constant-step-test.toml'), 8, 8)\n"
        "array.pulse(torch.ones(1, 2, 8), torch.ones(1, 2, 8), np.array([0.01]))\n"
        "array.apply(torch.ones(1, 8, 8))\n"
        "made = array._scratch['kernel']\n"
        "print(sum(f.stats.cache_misses[s] for f in (trains.encode, made.update, made.apply) for s in f.stats.cache_misses))\n"
    )
    Device.of({"g_min": 0.0, "g_max": 2.0, "response": {"kind": "constant-step"} | STEPS}).save(tmp_path / "constant-step-test.toml")
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path), "NUMBA_CACHE_DIR": str(tmp_path / "numba")}

    def misses() -> int:
        done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return int(done.stdout)

    assert misses() > 0
    assert misses() == 0
