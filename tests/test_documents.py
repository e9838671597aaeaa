"""Figures that README quotes are those of the files that commands wrote."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from aimco import bench, cli_figures
from aimco.cli import main

ROOT = Path(__file__).parents[1]

CHAIN, SPARSE = "784-256-128-10/batch10", "soft-bounds/trains5/784-256-128-10/batch10"
TRANSFERS = ("tiki-taka-v2", "agad")
SPEED = {  # how a row of the table of speeds begins -> benchmark, and its cases in the order of the figures
    "SGD of 784-256-128-10": ("train", [f"sgd/soft-bounds/{CHAIN}"]),
    "the same in your own torch loop": ("train", [f"sgd-torch-loop/soft-bounds/{CHAIN}"]),
    "the same on pairs of phase-change devices": ("train", [f"sgd/pcm-pair/{CHAIN}"]),
    "Tiki-Taka v2, AGAD": ("train", [f"tiki-taka-v2/{SPARSE}", f"agad/{SPARSE}"]),
    "16 variants of each": ("train", [f"tiki-taka-v2-ensemble16/{SPARSE}", f"agad-ensemble16/{SPARSE}"]),
    "64 variants of 64-32-10": ("train", ["ensemble64/soft-bounds/64-32-10/batch10"]),
    "convolutional network": ("train", [f"lenet-{kind}/soft-bounds/trains5/28x28-16-32-128-10/batch10" for kind in ("sgd", *TRANSFERS)]),
    "1,000 variants of a device": ("variants", ["sgd/1000-devices/64-16-10/batch5/packs-of-50"]),
    "operating point of 1568-100-20": ("circuit", ["operating-point/shockley/1568-100-20/batch64/float64"]),
    "equilibrium propagation": (
        "circuit",
        [
            "equilibrium-propagation/shockley/1568-100-20/batch64/float64",
            "equilibrium-propagation/ideal/1568-100-10/batch32/float64",
            "equilibrium-propagation/ideal/1568-1024-10/batch32/float64",
        ],
    ),
    "read of a 256 x 256 array": ("wires", ["read/256x256/1-Ohm/batch1"]),
    "pulsed update of 512 x 512": ("pulse", ["dense/soft-bounds/512x512/batch16"]),
}


def speeds() -> list[list[str]]:
    """Cells of the rows of the table of speeds."""
    text = (ROOT / "README.md").read_text()
    table = text[text.index("Speed on two cores") :].split("\n\n")[1]
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in table.splitlines()[2:]]


def agrees(quoted: str, value: float) -> bool:
    """Whether a figure is the value, rounded to the digits that are quoted (zeros before the point may be rounding)."""
    plain = quoted.replace(",", "")
    whole = plain.rstrip("0") if "." not in plain else plain
    unit = 10.0 ** -len(plain.split(".")[1]) if "." in plain else 10.0 ** (len(plain) - len(whole))
    return abs(float(plain) - value) <= 0.5000001 * unit


def test_a_figure_agrees_with_what_rounds_to_it():
    assert agrees("14,800", 14838.5) and agrees("0.10", 0.10394) and agrees("320", 323.46) and agrees("18", 18.13)
    assert not agrees("8,500", 14838.5) and not agrees("0.10", 0.0940) and not agrees("320", 326.0) and not agrees("18", 14.5)


def test_every_row_of_speeds_in_readme_has_its_benchmark():
    assert [next((key for key in SPEED if case.startswith(key)), case) for case, *_ in speeds()] == list(SPEED)


@pytest.mark.parametrize("key", SPEED)
def test_speeds_in_readme_are_those_of_the_benchmarks(key):
    name, cases = SPEED[key]
    rows = json.loads((ROOT / f"benchmarks/{name}.json").read_text())["rows"]
    measured_rows = [next(row for row in rows if row["case"] == case) for case in cases]
    _, ours, beside = next(cells for cells in speeds() if cells[0].startswith(key))
    for cell, what in ((ours, "value"), (beside.split("x ")[0], "ratio")):
        quoted = re.findall(r"\d[\d,]*(?:\.\d+)?", cell.replace(", ", " "))
        assert len(quoted) == len(cases), cell
        for figure, row in zip(quoted, measured_rows, strict=True):
            assert agrees(figure, row[what]), f"{figure} is quoted, {row[what]:.5g} was measured: {row['case']}"


def test_readme_names_the_benchmarks_and_commands_there_are(capsys):
    """Every benchmark by its name, and every command of the command line."""
    readme = (ROOT / "README.md").read_text()
    row = next(line for line in readme.splitlines() if line.startswith("| `aimco bench "))
    assert set(re.findall(r"`(?:aimco bench )?(\w+)`", row)) == set(bench.NAMES)
    listed = re.search(r"NAME is ([^.]*)\.", cli_figures.bench.__doc__ or "")
    assert listed and set(re.split(r", | or ", listed[1])) == set(bench.NAMES)
    assert main(["--help"]) == 0
    commands = set(re.search(r"\{([\w,]+)\}", capsys.readouterr().out).group(1).split(","))
    assert commands >= {"advise", "run", "study"}
    assert commands <= set(re.findall(r"`aimco (\w+)", readme))


def test_the_table_of_devices_is_of_the_committed_answers():
    """README's rows are lines of the table that `make advise` writes, which says what its JSON says."""
    lines = (ROOT / "docs" / "results" / "advise-digits.md").read_text().split("\n\n")[1].splitlines()
    text = (ROOT / "README.md").read_text()
    quoted = [line for line in text[text.index("| device | learns best with") :].split("\n\n")[0].splitlines()[2:]]
    assert len(quoted) >= 6 and set(quoted) <= set(lines)
    answers = {row["device"]: row for row in json.loads((ROOT / "docs" / "results" / "advise-digits.json").read_text())["rows"]}
    assert len(answers) == 30 == len(lines) - 2
    for line in lines[2:]:
        device, way, accuracy = line.strip("| ").split(" | ")[:3]
        row = answers[device]
        assert (way, accuracy) == (row["best"], f"{row['score']:.1f} +- {row['margin']:.1f}")
        assert row["took_s"] <= 90, device


def test_rules_are_near_their_best_with_the_rates_that_they_take_by_themselves():
    """As docs/choosing-a-rule.md says of the committed table."""
    rows = json.loads((ROOT / "docs" / "results" / "default-rates.json").read_text())["rows"]
    gaps = {rule: {r["device"]: r["gap"] for r in rows if r["rule"] == rule} for rule in ("agad", "tiki-taka-v2")}
    assert {len(each) for each in gaps.values()} == {30}
    assert max(gaps["agad"].values()) < 0.55
    behind = {device: gap for device, gap in gaps["tiki-taka-v2"].items() if gap > 2}
    text = (ROOT / "docs" / "choosing-a-rule.md").read_text().partition("`make default-rates` compares")[2]
    assert behind.keys() == set(re.findall(r"`([a-z0-9-]+)`", text))
    assert (round(min(behind.values()), 1), round(max(behind.values()), 1)) == (2.2, 3.4)
