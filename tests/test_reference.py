"""References: published figures and the runs that reproduce them."""

from __future__ import annotations

import json

import pytest

from aimco import reference
from aimco.cli import main
from aimco.reference import Row


def test_a_row_passes_within_its_tolerance():
    assert Row("error", 2.3, 2.6, 0.4, "%").passes
    assert not Row("error", 2.3, 2.8, 0.4, "%").passes
    assert Row("at most", 0.3, -0.5, 0.4, "%", upper=True).passes
    assert not Row("at most", 0.3, 0.8, 0.4, "%", upper=True).passes
    assert Row("for information", None, 9.9, None, "%").passes


def test_every_reference_says_its_source(capsys):
    assert main(["reference", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [r["reference"] for r in listed] == reference.names()
    assert all(r["source"] for r in listed)


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
