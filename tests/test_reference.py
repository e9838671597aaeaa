"""References: published figures and the runs that reproduce them."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import brentq

from aimco import reference
from aimco.arrays.crossbar import Crossbar
from aimco.cli import main
from aimco.design import Design
from aimco.device.device import Device
from aimco.reference import Row, neurosim_mlp, tally

RESULTS = Path(__file__).parents[1] / "docs/results"


def test_a_published_figure_is_reproduced_within_its_tolerance_on_both_sides():
    assert Row("error", 2.3, 2.6, 0.4, "%").status == "reproduced"
    assert Row("error", 2.3, 2.8, 0.4, "%").status == "not reproduced"
    assert Row("error", 2.3, 1.8, 0.4, "%").status == "not reproduced"


def test_a_limit_binds_on_one_side():
    why = "the source has a limit"
    assert [Row("", 0.3, ours, 0.4, "%", limit="at most", why=why).passes for ours in (-0.5, 0.6, 0.8)] == [True, True, False]
    assert [Row("", 8.0, ours, 0.5, "", limit="at least", why=why).passes for ours in (11.0, 7.6, 7.4)] == [True, True, False]


def test_what_is_expected_is_met_or_missed_and_never_reproduced():
    assert [Row("", None, ours, 0.1, "", expected=1.0).status for ours in (1.05, 1.2)] == ["met", "missed"]


def test_a_row_without_a_tolerance_has_no_verdict():
    row = Row("for information", None, 9.9, None, "%")
    assert (row.status, row.as_json()["pass"]) == ("no verdict", None)


@pytest.mark.parametrize(
    "fields",
    [
        {"published": 1.0, "expected": 1.0, "tolerance": 0.1},
        {"published": None, "tolerance": 0.1},
        {"published": 1.0, "tolerance": 0.1, "limit": "at most"},
        {"published": 1.0, "tolerance": None, "limit": "at most", "why": "no tolerance"},
        {"published": 1.0, "tolerance": None},
        {"published": 1.0, "tolerance": -0.1},
        {"published": None, "expected": -1.0, "tolerance": float("nan")},
    ],
)
def test_a_row_that_could_pass_for_no_reason_is_refused(fields):
    with pytest.raises(ValueError, match=r"a figure is|a tolerance needs|needs a|a tolerance is at least 0"):
        Row(row="error", ours=1.0, unit="%", **fields)


def test_rows_without_a_verdict_are_not_counted_as_reproduced():
    rows = [
        Row("a", 1.0, 1.0, 0.1, ""),
        Row("b", 1.0, 2.0, 0.1, ""),
        Row("c", 1.0, 1.0, None, "", why="no verdict"),
        Row("d", None, 1.0, 0.1, "", expected=1.0),
        Row("e", None, 1.0, None, ""),
    ]
    assert tally(rows) == {"reproduced": 1, "not reproduced": 1, "met": 1, "missed": 0, "no verdict": 2, "published": 3}


# Figures that are published and not reproduced, so that a new one is noticed, and one that is reproduced at last.
NOT_REPRODUCED = {
    "adc-regression": ["area, ISAAC"],
    "burr2014": ["pairs, training", "pairs, test"],
    "li2025-lenet": ["Tiki-Taka", "Tiki-Taka v2", "mixed precision", *(f"residual, {n} arrays" for n in (3, 4, 6))],
    "neurosim-fc": [f"VGG-8, {n} rows: {of}" for n in (32, 64) for of in ("area", "throughput", "efficiency")],
    "neurosim-mlp": ["rram-alox-hfo2"],
    "osana2026": ["1569-100-20, 50 epochs, one run"],
    "rpu-tile": ["power of the busy tile, by 84,000 GOp/s/W"],
    "wu2024-fcn": ["SGD, tau 0.78"],
    "xiao2026-fcn": ["tiki-taka-v2, offset 1"],
}
_MISSED = {
    "ambrogio2018": ["pairs below transfer without inversion"],
    "xiao2026-fcn": [f"{pair}, offset {s}" for s in (0.05, 1) for pair in ("e-rider over agad", "agad over tiki-taka-v2")],
}


def read_report(name: str) -> dict[str, Any]:
    """The report of a whole run that is kept with the program."""
    return json.loads((RESULTS / f"{name}.json").read_text())


KEPT = [name for name in reference.names() if (RESULTS / f"{name}.json").is_file()]


def test_every_reference_but_one_has_a_report():
    assert set(reference.names()) - set(KEPT) == {"wu2024-cnn"}


@pytest.mark.parametrize("name", KEPT)
def test_a_kept_report_says_what_its_rows_say(name):
    """Statuses follow from figures and tolerances; a row has a unit unless it is a count, a ratio or a power."""
    report = read_report(name)
    rows = [Row(**{field: value for field, value in row.items() if field not in ("pass", "status")}) for row in report["rows"]]
    assert [row.as_json() for row in rows] == report["rows"]
    assert report["tally"] == tally(rows)
    assert report["source"] == reference.module(name).SOURCE
    assert not report["quick"]
    assert [row.row for row in rows if row.status == "not reproduced"] == NOT_REPRODUCED.get(name, [])
    assert [row.row for row in rows if row.status == "missed"] == _MISSED.get(name, [])
    assert report["pass"] == (name not in NOT_REPRODUCED and name not in _MISSED)
    assert all(row.unit for row in rows if row.published is not None and "slope" not in row.row)


def test_the_readme_counts_the_kept_reports():
    counts = {status: sum(read_report(name)["tally"][status] for name in KEPT) for status in ("published", "reproduced", "not reproduced")}
    published, reproduced, failed = counts.values()
    message = f"Of the {published} published figures in `docs/results`, {reproduced} are reproduced, {failed} are not, and"
    assert f"{message} {published - reproduced - failed} stand without a verdict." in (RESULTS.parents[1] / "README.md").read_text()


def test_every_reference_says_its_source(capsys):
    assert main(["reference", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [r["reference"] for r in listed] == reference.names()
    assert all(r["source"] for r in listed)


_NO_DATA = (
    "adc-regression",
    "igzo-xor",
    "neurosim-fc",
    "neurram",
    "rasch2024-update-time",
    "retention-reference",
    "rpu-tile",
    "zero-shift-cost",
)
_WHOLE_FIGURE = pytest.param("rasch2024-fig4", marks=pytest.mark.slow)  # a minute of processor


@pytest.mark.parametrize("name", [*_NO_DATA, _WHOLE_FIGURE])
def test_what_needs_no_data_is_reproduced(name):
    """The quick run of each reference that needs no files: every verdict is good but those known not to be."""
    report = reference.run(name, reference.Settings(quick=True))
    assert [row["row"] for row in report["rows"] if row["pass"] is False] == NOT_REPRODUCED.get(name, [])
    assert any(row["pass"] for row in report["rows"])


def test_the_edge_of_collapse_is_found_or_said_to_be_nowhere():
    from aimco.reference.wu2024_fcn import edge

    assert edge({0.7: 11.35, 0.72: 11.35, 0.76: 90.0, 0.8: 97.0}) == pytest.approx(0.74)
    assert edge({0.7: 11.35, 0.72: 90.0, 0.76: 11.35, 0.8: 97.0}) == pytest.approx(0.71)
    assert edge({0.7: 90.0, 0.72: 11.35, 0.8: 97.0}) == 0
    assert edge({0.7: 11.35, 0.8: 11.35}) == float("inf")


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
    assert set(report) == {"reference", "source", "quick", "rows", "tally", "pass"}
    assert set(report["rows"][0]) == {"row", "published", "ours", "tolerance", "unit", "expected", "limit", "why", "pass", "status"}


def test_a_printed_table_tells_what_is_not_reproduced_and_what_has_no_verdict(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["reference", "run", "rpu-tile"]) == 0
    printed = capsys.readouterr().out
    lines = {
        row: next(line for line in printed.splitlines() if row in line) for row in ("operations per", "power of the", "area of an ADC")
    }
    assert [line.split("│")[-2].strip() for line in lines.values()] == ["reproduced", "not reproduced", "no verdict"]
    assert "2 of 3 published figures reproduced, 1 not reproduced" in printed


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
    root: Any = brentq(lambda a: 10.1015 * (rise(grid, a) - grid).max() - abs(label), 0.02, 100)
    return math.copysign(root, label)


ERRORS = ("kendall2020", "osana2026", "scellier2024")
# First training images of a quick run, the accuracy it reaches at least (%), and what does not learn from so few.
QUICK: dict[str, tuple[int, float, tuple[str, ...]]] = {
    "ambrogio2018": (300, 40.0, ()),
    "burr2014": (100, 50.0, ()),
    "kendall2020": (100, 50.0, ()),
    "kohda2020": (500, 40.0, ()),
    "li2025-lenet": (200, 28.0, ("Tiki-Taka", "Tiki-Taka v2", "mixed precision", "residual, 4 arrays", "residual, 6 arrays")),
    "neurosim-mlp": (500, 18.0, ("rram-alox-hfo2",)),
    "osana2026": (100, 50.0, ()),
    "scellier2024": (100, 50.0, ()),
    "wu2024-cnn": (500, 40.0, ("Tiki-Taka",)),
    "xiao2026-fcn": (500, 30.0, ()),
}


@pytest.mark.parametrize("name", QUICK)
def test_a_quick_reference_learns_from_few_images(name, mnist_dir, capsys):
    """Every row of accuracies is above the least asked of it. Chance is 10 %, guessing one class 14 % at most."""
    limit, least, slow = QUICK[name]
    assert main(["reference", "run", name, "--quick", "--limit", str(limit), "--data-dir", str(mnist_dir), "--json"]) == 0
    rows = [row for row in json.loads(capsys.readouterr().out)["rows"] if row["unit"] == "%"]
    accuracies = {row["row"].partition(", tau")[0]: 100 - row["ours"] if name in ERRORS else row["ours"] for row in rows}
    assert set(slow) < set(accuracies)
    assert {row: a for row, a in accuracies.items() if row not in slow and a < least} == {}


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
        states = [float(array.state)]
        for _ in range(count):
            array.pulse_rows(torch.full((1, 1, 1), sign))
            states.append(float(array.state))
        position = np.linspace(0, 1, count + 1)[::sign]
        np.testing.assert_allclose((np.array(states) + 1) / 2, rise(position, curvature(label)), atol=0.01)


def test_the_label_of_a_curve_is_that_of_the_published_table():
    for label, a in ((0.5, 2.519877), (1.46, 0.848677), (2.4, 0.499181), (4.88, 0.200303), (6.76, 0.100251)):
        assert curvature(label) == pytest.approx(a, rel=1e-3)
        assert curvature(-label) == pytest.approx(-a, rel=1e-3)


@pytest.mark.parametrize("name", NEUROSIM)
def test_a_pulse_has_the_published_noise(name):
    assert Device.named(name).cycle_noise_range == NEUROSIM[name][-1]


def test_a_reference_that_is_interrupted_resumes_from_the_last_epoch(tmp_path):
    """Another task, seed or design has a checkpoint of its own."""
    design = Design.of({"device": "ideal", "network": {"hidden": []}, "training": {"epochs": 3, "batch": 50}})
    steps: list[float] = []

    def stop_after_an_epoch(label: str, done: float) -> None:
        if done > 0.5:
            raise KeyboardInterrupt

    settings = reference.Settings(limit=200, checkpoints=str(tmp_path / "kept"))
    data = settings.load("digits")
    with pytest.raises(KeyboardInterrupt):
        replace(settings, on_step=stop_after_an_epoch).train("net", [design], data)
    resumed = replace(settings, on_step=lambda label, done: steps.append(done)).train("net", [design], data)
    assert min(steps) > 1 / 3
    assert resumed == replace(settings, checkpoints=None).train("net", [design], data)
    replace(settings, seed=1).train("net", [design], data)
    assert len(list((tmp_path / "kept").iterdir())) == 2
