"""Compiled kernels equal their plain definitions, and are compiled once."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from aimco import kernels, rng
from aimco.arrays.crossbar import Crossbar
from aimco.arrays.pulses import Pulses
from aimco.arrays.spec import ArraySpec
from aimco.cell.reference import Reference
from aimco.device.device import Device
from aimco.device.response import Response, scalar_functions
from aimco.kernels import reference
from aimco.periphery import Periphery
from aimco.tile import Tile

STEPS = {"step_up": 0.02, "step_down": 0.018}


@pytest.mark.parametrize("managed", [False, True])
@pytest.mark.parametrize("family", Response.kinds())
@pytest.mark.parametrize(("size", "polarity"), [((7, 19), 0), ((19, 7), 0), ((7, 19), 1), ((19, 7), -1)])
def test_the_compiled_update_equals_its_definition(family, managed, size, polarity):
    """The same trains and draws: as many coincidences, states to float32 rounding."""
    spread = {"step": 0.3, "asymmetry": 0.1, "g_max": 0.3, "g_min": 0.3}
    device = Device.of({"g_min": 0.0, "g_max": 2.0, "cycle_noise": 0.2, "cycle_noise_additive": 0.1, "spread": spread}
                       | {"response": {"kind": family} | STEPS})  # fmt: skip
    pulses = Pulses(length=13, update_management=managed, update_bl_management=managed, mode="exact")
    spec, on_side, shape = ArraySpec(device, periphery=Periphery(pulses=pulses)), size[0] > size[1], tuple(sorted(size))
    array = Crossbar(spec, *size, names=("law",))
    sampled, keys = array.sampled, [int(k) for k in array.keys["pulse"][0]]
    values = {n: t.numpy() if t.ndim == 1 else t[0].numpy() for n, t in sampled.values.items()}
    parameters = {n: np.broadcast_to(v.T if on_side else v, shape) for n, v in values.items()}
    scalar = scalar_functions(device.response).pulse
    draws = np.random.default_rng(0)
    x, d = draws.standard_normal((1, 6, size[0])).astype(np.float32), draws.standard_normal((1, 6, size[1])).astype(np.float32)
    lr, state, hits = 0.05, np.zeros(shape, np.float32), 0
    options = (pulses.length, managed, managed, on_side)
    array.pulse(torch.from_numpy(x), torch.from_numpy(d), np.array([lr]), polarity)
    x, d = (d, x) if on_side else (x, d)  # an array with more rows than columns lies on its side
    for number in range(6):
        rows, columns = reference.trains(x[0, number], d[0, number], lr, float(array.step[0]), options, np.array(keys, np.uint64), number)
        sent = (x[0, number], d[0, number], rows, columns, keys[2], number)
        hits += reference.update(scalar, state, parameters, *sent, polarity, device.response.tables())
    assert hits == array.counts["coincidences"].sum() > 50
    np.testing.assert_allclose(array.state[0].numpy(), state.T if on_side else state, atol=2e-6)


MOST, CAUTION, ROUNDS = 1000, 10, 12
WRITTEN = {"g_min": 0.0, "g_max": 2.0, "cycle_noise": 0.4, "spread": {"step": 0.3, "g_max": 0.2, "g_min": 0.2}}
SHAPES = [(5, 7), (7, 5)]


def written(array: Crossbar, resets: int = 0) -> list[reference.Written]:
    """The devices of an array as their definition takes them, row after row; resets: number of the first draws of RESETs."""
    (_, rows, columns), sampled = array.shape, array.sampled
    values = {n: np.broadcast_to((t if t.ndim == 1 else t[0]).numpy(), (rows, columns)) for n, t in sampled.values.items()}
    scalar = scalar_functions(array.device.response, fixed=False).pulse
    keys = [rng.base(int(array.keys["apply"][0]), k) for k in range(ROUNDS)]
    low, high = (bound[0].numpy() for bound in sampled.bounds())
    z = [rng.normal(array.keys["resets"], resets + k, (rows, columns))[0].numpy() for k in range(ROUNDS)]
    sigma, bottom = float(array.device.reset_noise / array.device.half_range), sampled.reset_point()[0].numpy()
    after = np.clip(bottom + np.float32(sigma) * np.stack(z), low, high)
    return [
        reference.Written(
            scalar,
            SimpleNamespace(**{n: float(v[i, j]) for n, v in values.items()}),
            float(array.state[0, i, j]),
            keys,
            (j, i) if array.on_its_side else (i, j),
            after[:, i, j].tolist(),
        )
        for i, j in np.ndindex(rows, columns)
    ]


def same_writes(array: Crossbar, devices: list[reference.Written]) -> None:
    np.testing.assert_allclose(array.state[0].numpy().ravel(), [d.state for d in devices], atol=2e-6)
    assert array.counts["program_pulses"].item() == sum(d.sent for d in devices) > 50


@pytest.mark.parametrize("size", SHAPES)
def test_compiled_writes_both_ways_equal_their_definition(size):
    array = Crossbar(Device.of(WRITTEN | {"response": {"kind": "soft-bounds"} | STEPS}), *size, names=("law",))
    devices, step = written(array), float(array.step[0])
    target = torch.linspace(-0.6, 0.6, 35).reshape(1, *size)
    array.program(target, rounds=ROUNDS)
    low, high = (limit[0].numpy().ravel() for limit in array.limits())
    for device, wanted in zip(devices, np.clip(target.numpy().ravel(), low, high), strict=True):
        reference.write(device, float(wanted), step / 2, step, ROUNDS, MOST)
    same_writes(array, devices)
    assert array.counts["program_rounds"].item() == max(d.needed for d in devices) > 2


ONE_SIDED = WRITTEN | {"reset_noise": 0.02, "response": {"kind": "pcm", "step_up": 0.02}}


@pytest.mark.parametrize("retry", [True, False])
@pytest.mark.parametrize("size", SHAPES)
def test_compiled_writes_upwards_equal_their_definition(size, retry):
    array = Crossbar(Device.of(ONE_SIDED), *size, names=("law",))
    array.state.fill_(0.1)
    devices, step = written(array), float(array.step[0])
    target = torch.linspace(-0.6, 0.6, 35).reshape(1, *size)
    array.program(target, rounds=ROUNDS, retry=retry)
    low, high = (limit[0].numpy().ravel() for limit in array.limits())
    for device, wanted in zip(devices, np.clip(target.numpy().ravel(), low, high), strict=True):
        reference.raise_one(device, float(wanted), step / 2, CAUTION * step, ROUNDS, MOST, retry)
    same_writes(array, devices)
    assert array.counts["program_rounds"].item() == max(d.needed for d in devices) > 2
    assert np.sum(array.counts.get("resets", 0)) == sum(d.returned for d in devices)
    assert (sum(d.returned for d in devices) > 5) == retry


@pytest.mark.parametrize("size", SHAPES)
def test_compiled_writes_of_pairs_equal_their_definition(size):
    coarse = {"cycle_noise": 1.5, "response": {"kind": "pcm", "step_up": 0.1}, "programming": {"method": "iterative", "rounds": ROUNDS}}
    device = Device.of(ONE_SIDED | coarse)
    pair = [Crossbar(device, *size, names=("law", name)) for name in ("plus", "minus")]
    step = float(pair[0].step[0])
    difference = torch.linspace(-1.9, 1.9, 35).reshape(1, *size)
    devices = [written(array, resets=1) for array in pair]
    pair[0].program_difference(pair[1], difference)
    for one, array in zip(devices, pair, strict=True):
        for plus, after_first in zip(one, written(array), strict=True):
            plus.state = after_first.resets[0]  # the write RESETs all devices first
    for plus, minus, wanted in zip(*devices, difference.numpy().ravel(), strict=True):
        reference.raise_pair(plus, minus, float(wanted), step / 2, CAUTION * step, ROUNDS, MOST)
    for array, device_state in zip(pair, devices, strict=True):
        same_writes(array, device_state)
    assert pair[0].counts["program_rounds"].item() == max(d.needed for d in devices[0]) > 2
    assert sum(d.returned for d in devices[0]) > 0


@pytest.mark.parametrize("also", [{}, {"cycle_noise": 0.5, "cycle_noise_additive": 0.2}])
def test_noise_in_parts_of_the_range_is_alike_up_and_down(also):
    """0.004 of the range is 0.008 half ranges, beside 0.5 and 0.2 of steps of 0.01 up and 0.02 down; 4 pulses, 10,000 devices, 3 %."""
    response = {"kind": "constant-step", "step_up": 0.01, "step_down": 0.02}
    device = Device.of({"g_min": 0.0, "g_max": 2.0, "cycle_noise_range": 0.004, "response": response} | also)
    for pulses, step in ((4, 0.01), (-4, 0.02)):
        array = Crossbar(device, 100, 100)
        array.pulse_rows(torch.full(array.shape, pulses, dtype=torch.int32))
        wanted = 4 * (0.008**2 + (0.5**2 + 0.2**2 if also else 0.0) * step**2)
        assert array.state.var().item() == pytest.approx(wanted, rel=0.06)


@pytest.mark.parametrize("mode", ["exact", "aggregated"])
@pytest.mark.parametrize("size", [(20, 40), (40, 20)])
def test_the_sides_of_a_pair_share_the_coincidences(mode, size):
    """What steps up in one and what steps up in the other, of the same trains, is all; both only rise, by as much as it would move."""
    device = Device.of({"g_min": 0.0, "g_max": 2.0, "response": {"kind": "constant-step", "step_up": 1e-3, "step_down": 1e-3}})
    draws = torch.Generator().manual_seed(0)
    x, d = torch.randn(1, 5, size[0], generator=draws), torch.randn(1, 5, size[1], generator=draws)
    spec = ArraySpec(device, periphery=Periphery(pulses=Pulses(mode=mode)))
    arrays = {polarity: Crossbar(spec, *size, names=("law",)) for polarity in (0, 1, -1)}
    for polarity, array in arrays.items():
        array.pulse(x, d, np.array([0.002]), polarity)
    hits = {polarity: array.counts["coincidences"].sum() for polarity, array in arrays.items()}
    assert hits[1] + hits[-1] == hits[0] > 1000
    assert (arrays[1].state >= 0).all()
    assert (arrays[-1].state >= 0).all()
    assert torch.allclose(arrays[1].state - arrays[-1].state, arrays[0].state, atol=1e-6)


def noisy_tile(**periphery) -> Tile:
    """20 x 8 devices at random states, 9-bit ADC, 5-bit DAC, noise of lines and of devices."""
    device = Device.of(
        {"g_min": 0.0, "g_max": 2.0, "read_noise": 0.02, "response": {"kind": "constant-step", "step_up": 0.01, "step_down": 0.01}}
    )
    parts = {"read_voltage": 0.5, "dac": {"bits": 5.0}, "adc": {"bits": 9.0, "range_A": 0.75}, "output_noise": 0.02} | periphery
    tile = Tile(ArraySpec(device, Reference(weight_max=1.5), periphery=Periphery.of(parts)), 20, 8, seeds=(3, 4), names=("law",))
    tile.crossbar.state.copy_(torch.rand(2, 20, 8, generator=torch.Generator().manual_seed(0)) - 0.5)
    return tile


@pytest.mark.parametrize("management", ["abs-max", "none"])
def test_a_read_equals_its_definition(management):
    """y = w max|x| ADC(G^T DAC(x / max|x|) + noise), the ADC's input beyond its range read again at half the voltages."""
    tile, adc = noisy_tile(noise_management=management), 0.75 / 0.5
    x = torch.randn(2, 30, 20, generator=torch.Generator().manual_seed(1)).clamp(-1, 1)
    y = tile.mvm(x).numpy()
    repeats = np.zeros(2, int)
    for e, b in np.ndindex(2, 30):
        v, state = x[e, b].numpy(), tile.crossbar.state[e].numpy()
        for attempt in range(11):
            scale = (np.abs(v).max() if management == "abs-max" else 1.0) * 2.0**attempt
            volts = reference.quantised(np.clip(v / scale, -1, 1), 5)
            words = rng.hash32(np.uint32(rng.base(int(tile.crossbar.noise_keys("mvm", attempt)[e]), b)) + np.arange(8, dtype=np.uint32))
            sigma = np.hypot(0.02 / 0.5, 0.02 * np.sqrt((volts**2).sum()))
            current = volts @ state + sigma * rng.rough_normal(words)
            if np.abs(current).max() <= adc:
                break
            repeats[e] += 1
        expected = reference.quantised(np.clip(current / adc, -1, 1), 9) * adc * scale * 1.5
        np.testing.assert_allclose(y[e, b], expected, atol=1.01 * adc * scale * 1.5 / 255)  # rounding may tip a level
        assert np.mean(np.abs(y[e, b] - expected) > 1e-5) < 0.2
    assert repeats.sum() > 0
    assert tile.counts["mvm"].tolist() == (30 + repeats).tolist()
    assert tile.counts["adc"].tolist() == (8 * (30 + repeats)).tolist()


def test_smooth_functions_are_those_of_math():
    """Single precision over the range that devices use: relative error below 6e-6."""
    import numba

    from aimco.kernels import smooth

    @numba.njit
    def table(x, v, n, out):
        for j in range(x.size):
            out[0, j], out[1, j], out[2, j] = smooth.exp(x[j]), smooth.log(v[j]), smooth.power(v[j], n[j])

    x = np.linspace(-60, 60, 4001, dtype=np.float32)
    v, n = np.geomspace(1e-6, 1e4, x.size, dtype=np.float32), np.linspace(0, 5, x.size, dtype=np.float32)
    out = np.empty((3, x.size), np.float32)
    table(x, v, n, out)
    expected = np.exp(x.astype(float)), np.log(v.astype(float)), v.astype(float) ** n.astype(float)
    np.testing.assert_allclose(out[0], expected[0], rtol=6e-6)  # the rounding of x itself, 60 x 6e-8, is most of it
    np.testing.assert_allclose(out[1], expected[1], atol=2e-6)
    np.testing.assert_allclose(out[2], expected[2], rtol=6e-6)
    edges = np.empty((3, 2), np.float32)
    table(np.array([-1000, 0], np.float32), np.array([0, 0], np.float32), np.array([0, 2], np.float32), edges)
    assert edges[0].tolist() == pytest.approx([0, 1], abs=1e-37)
    assert edges[2].tolist() == [1, 0]
    table(
        np.zeros(4, np.float32), np.full(4, -1.5, np.float32), np.array([2, 3, 0, 0.5], np.float32), signed := np.empty((3, 4), np.float32)
    )
    assert signed[2, :3].tolist() == pytest.approx([2.25, -3.375, 1])
    assert np.isnan(signed[2, 3])


def test_a_second_process_compiles_nothing(tmp_path):
    script = (
        "import numpy as np, torch\n"
        "from aimco.arrays.crossbar import Crossbar\n"
        "from aimco.device.device import Device\n"
        "array = Crossbar(Device.named('constant-step-test.toml'), 8, 8)\n"
        "array.pulse(torch.ones(1, 2, 8), torch.ones(1, 2, 8), np.array([0.01]))\n"
        "array.pulse_rows(torch.ones(1, 8, 8))\n"
        "made = array.pulse_generator.kernel\n"
        "print(sum(f.stats.cache_misses[s] for f in (made.update_rows, made.pulse_devices) for s in f.stats.cache_misses))\n"
    )
    Device.of({"g_min": 0.0, "g_max": 2.0, "response": {"kind": "constant-step"} | STEPS}).save(tmp_path / "constant-step-test.toml")
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path), "NUMBA_CACHE_DIR": str(tmp_path / "numba")}

    def misses() -> int:
        done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return int(done.stdout)

    assert misses() > 0
    assert misses() == 0


TWO_FIRST = """
import hashlib
import numpy as np, torch
from aimco.arrays.crossbar import Crossbar
from aimco.device.device import Device

array = Crossbar(Device.named("soft-bounds"), 8, 8)
array.pulse(torch.ones(1, 2, 8), torch.ones(1, 2, 8), np.array([0.1]))
print(hashlib.sha256(array.state.numpy().tobytes()).hexdigest())
"""


@pytest.mark.slow  # half a minute, of compilation
def test_two_processes_that_compile_at_once_into_one_empty_cache_both_work(tmp_path):
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path), "NUMBA_CACHE_DIR": str(tmp_path / "numba")}

    def started() -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", TWO_FIRST], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    both = [started(), started()]
    said = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    after = started().communicate()[0]  # from what the two left
    assert said[0][0] == said[1][0] == after != ""


def test_the_first_compilation_is_told_once_and_what_was_kept_is_not(tmp_path):
    script = (
        "import numpy as np\n"
        "from aimco.terminal import telling\n"
        "with telling():\n"
        "    from aimco.kernels.trains import largest\n"
        "    largest(np.ones(3, np.float32)), largest(np.ones((3, 2), np.float32)[:, 0])\n"
    )
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path), "NUMBA_CACHE_DIR": str(tmp_path / "numba")}
    said = [subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True) for _ in range(2)]
    assert [process.stderr for process in said] == [f"{kernels.COMPILING}\n", ""]
    assert [process.stdout for process in said] == ["", ""]


def test_compiled_code_is_dropped_when_a_file_beside_it_changes(tmp_path):
    """Numba keeps what a function calls in another file together with the function, and looks only at its own file."""
    (tmp_path / "caller.py").write_text("from called import x")
    called, cache = tmp_path / "called.py", tmp_path / "kept"
    compiled = cache / "caller.f-1.py311.nbi"
    left = []
    for text in ("x = 1", "x = 1", "x = 2"):
        called.write_text(text)
        kernels.forget_stale(tmp_path, cache)
        left.append(compiled.exists())
        compiled.write_bytes(b"code of f")
    assert left == [False, True, False]
