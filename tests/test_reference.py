"""References: published figures and the runs that reproduce them."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import brentq

from aimco import reference
from aimco.arrays.crossbar import Crossbar
from aimco.cli import main
from aimco.device.device import Device
from aimco.reference import Row, neurosim_mlp


def test_a_row_passes_within_its_tolerance():
    assert Row("error", 2.3, 2.6, 0.4, "%").passes
    assert not Row("error", 2.3, 2.8, 0.4, "%").passes
    assert Row("at most", 0.3, -0.5, 0.4, "%", upper=True).passes
    assert not Row("at most", 0.3, 0.8, 0.4, "%", upper=True).passes
    assert Row("at least", 8.0, 11.0, 0.0, "", lower=True).passes
    assert not Row("at least", 8.0, 7.9, 0.0, "", lower=True).passes
    assert Row("for information", None, 9.9, None, "%").passes


def test_every_reference_says_its_source(capsys):
    assert main(["reference", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [r["reference"] for r in listed] == reference.names()
    assert all(r["source"] for r in listed)


_NO_DATA = ("adc-regression", "igzo-xor", "neurosim-fc", "neurram", "rasch2024-fig4", "rasch2024-update-time", "retention-reference")


@pytest.mark.parametrize("name", [*_NO_DATA, "rpu-tile", "zero-shift-cost"])
def test_what_needs_no_data_is_reproduced(name):
    """The quick run of each reference that needs no files: every row with a verdict passes."""
    report = reference.run(name, reference.Settings(quick=True))
    assert [row["row"] for row in report["rows"] if not row["pass"]] == []


def test_the_edge_of_collapse_is_found_or_said_to_be_nowhere():
    from aimco.reference.wu2024_fcn import edge

    assert edge({0.7: 11.35, 0.72: 90.0, 0.76: 11.35, 0.8: 97.0}) == pytest.approx(0.78)
    assert edge({0.7: 90.0, 0.8: 97.0}) == 0
    assert edge({0.7: 90.0, 0.8: 11.35}) == float("inf")


@pytest.mark.parametrize(("words", "message"), [(["rpu-baseline"], "did you mean rpu-baseline-mnist"), ([], "needs a NAME")])
def test_unknown_references_are_refused(capsys, words, message):
    assert main(["reference", "run", *words]) == 2
    assert message in capsys.readouterr().err


def test_a_reference_names_the_data_it_misses(capsys):
    assert main(["reference", "run", "rpu-baseline-mnist", "--quick"]) == 2
    assert "--data-dir" in capsys.readouterr().err


def test_a_report_is_printed_and_written(mnist_dir, tmp_path, capsys):
    words = ["--quick", "--limit", "300", "--data-dir", str(mnist_dir), "--out", str(tmp_path), "--json"]
    assert main(["reference", "run", "rpu-baseline-mnist", *words]) == 0
    report = json.loads(capsys.readouterr().out)
    assert json.loads((tmp_path / "rpu-baseline-mnist-quick.json").read_text()) == report
    assert set(report) == {"reference", "source", "quick", "rows", "pass"}
    assert set(report["rows"][0]) == {"row", "published", "ours", "tolerance", "unit", "pass"}


# What the manual of MLP+NeuroSim V3.0 says of its devices: pulses up and down, nonlinearity up and down, noise per pulse in ranges.
NEUROSIM = {
    "rram-ag-si": (97, 100, 2.4, -4.88, 0.035),
    "rram-taox-hfox": (128, 128, 0.04, -0.63, 0.037),
    "rram-taox-tio2": (102, 102, 1.85, -1.79, 0.01),
    "rram-pcmo": (50, 50, 3.68, -6.76, 0.01),
    "rram-alox-hfo2": (40, 40, 1.94, -0.61, 0.05),
    "pcm-gst": (100, 120, 0.105, 2.4, 0.015),
    "epiram": (64, 64, 0.5, -0.5, 0.02),
    "fefet-hzo": (32, 32, 1.75, 1.46, 0.005),
}


def rise(pulse: np.ndarray, a: float) -> np.ndarray:
    """G between 0 and 1 after a fraction of the pulses that cross the range: (1 - exp(-P/A)) / (1 - exp(-1/A))."""
    return np.expm1(-pulse / a) / np.expm1(-1 / a)


def curvature(label: float) -> float:
    """A of a nonlinearity label, which is 10.1 times the largest distance of the curve from a straight line."""
    grid = np.linspace(0, 1, 2001)
    found: Any = brentq(lambda a: 10.1015 * (rise(grid, a) - grid).max() - abs(label), 0.02, 100)
    return math.copysign(found, label)


@pytest.mark.parametrize(
    "name",
    [
        "ambrogio2018",
        "burr2014",
        "kendall2020",
        "kohda2020",
        "li2025-lenet",
        "neurosim-mlp",
        "osana2026",
        "scellier2024",
        "wu2024-cnn",
        "xiao2026-fcn",
    ],
)
def test_a_quick_reference_runs_on_few_images(name, mnist_dir, capsys):
    assert main(["reference", "run", name, "--quick", "--limit", "100", "--data-dir", str(mnist_dir), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert all(0 <= row["ours"] <= 100 for row in rows if row["unit"] == "%")


def test_the_published_order_has_no_pair_out_of_order():
    published = {name: d.accuracy for name, d in neurosim_mlp.DEVICES.items()}
    assert neurosim_mlp.out_of_order(published) == 0
    assert neurosim_mlp.out_of_order(published | {"epiram": 70.0}) == 2


def test_a_weight_gets_whole_pulses():
    """dw = 3.4 / 64 of the range of 2: three pulses on each driven row, none on the others."""
    network = neurosim_mlp.Arrays(["epiram"], 0)
    (x, d), before = (torch.zeros(1, 1, n) for n in (100, 10)), network.tiles[1].counts["coincidences"]
    x[..., :5], d[..., 3] = 1, -2 * 3.4 / 64
    network.update(1, x, d)
    assert network.tiles[1].counts["coincidences"] - before == 15


def test_weights_start_too_low_by_what_the_program_leaves_out():
    """Conductances (w + 1) / 2 (g_max - g_min), cut at g_min: w is read 2 g_min / (g_max - g_min) too low, to half a step."""
    names = ["rram-pcmo", "epiram"]
    network = neurosim_mlp.Arrays(names, 0)
    ratio = torch.tensor([[[6.84]], [[50.2]]])  # on/off, as published
    expected = (neurosim_mlp._initial(0)[0] - 2 / (ratio - 1)).clamp(min=-1)
    step = max(float((2 * d.step / (2 * d.half_range)).max()) for d in map(Device.named, names))
    torch.testing.assert_close(network.tiles[0].weights, expected, rtol=0, atol=step)


def test_a_read_adds_the_weights_on_the_levels_of_the_converter():
    network = neurosim_mlp.Arrays(["rram-ag-si", "fefet-hzo"], 0)
    x = (torch.arange(400) % 2).float().expand(2, 3, 400)
    exact = torch.bmm(x, network.tiles[0].weights)
    torch.testing.assert_close(network.read(0, x), exact, rtol=0, atol=200 / 127 + 1e-4)


@pytest.mark.parametrize("name", NEUROSIM)
def test_pulses_run_through_the_published_curve(name):
    up, down, *labels, _ = NEUROSIM[name]
    device = Device.named(name).replace("cycle_noise_range", 0.0)
    array = Crossbar(device, 1, 1)
    array.reset(torch.ones(1, 1, 1, dtype=torch.bool))
    for count, sign, label in ((up, 1, labels[0]), (down, -1, labels[1])):
        there = [float(array.state)]
        for _ in range(count):
            array.apply(torch.full((1, 1, 1), sign))
            there.append(float(array.state))
        position = np.linspace(0, 1, count + 1)[::sign]
        np.testing.assert_allclose((np.array(there) + 1) / 2, rise(position, curvature(label)), atol=0.01)


def test_the_label_of_a_curve_is_that_of_the_published_table():
    for label, a in ((0.5, 2.519877), (1.46, 0.848677), (2.4, 0.499181), (4.88, 0.200303), (6.76, 0.100251)):
        assert curvature(label) == pytest.approx(a, rel=1e-3)
        assert curvature(-label) == pytest.approx(-a, rel=1e-3)


@pytest.mark.parametrize("name", NEUROSIM)
def test_a_pulse_has_the_published_noise(name):
    assert Device.named(name).cycle_noise_range == NEUROSIM[name][-1]
