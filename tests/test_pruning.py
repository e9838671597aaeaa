"""Pruning ends points by what earlier generations did, as Optuna's pruners would, and touches no other point."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import optuna
import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.pruners import MedianPruner, SuccessiveHalvingPruner

import aimco as ai
from aimco.cli import main
from aimco.record import InputError
from aimco.studies import default_storage, front, run, trials
from aimco.studies.pruning import Pruning, Watch
from studies import SMALL, same, small, stopped

EPOCHS = 4
MANY = {
    "base": SMALL["base"] | {"training": {"epochs": EPOCHS, "batch": 5}},
    "limit": 300,
    "space": {"rule.lr": {"low": 0.01, "high": 1.0, "log": True}},
    "objectives": ["accuracy"],
}
HALVING = {"pruning": {"rule": "halving", "first": 1, "factor": 2}}


def many(**changes):
    return small(**(MANY | changes))


def url(folder: Path, name: str = "s") -> str:
    return default_storage(folder / f"{name}.toml")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Without pruning."""
    return run(many(), storage=url(tmp_path_factory.mktemp("whole")))


@pytest.fixture(scope="module")
def pruned(tmp_path_factory):
    return run(many(**HALVING), storage=url(tmp_path_factory.mktemp("pruned")))


def test_pruning_changes_no_trial_that_it_leaves(whole, pruned):
    ended = [t for t in pruned if t.state == "pruned"]
    assert 0 < len(ended) < len(pruned)
    assert same([t for t in pruned if t not in ended], [t for t in whole if t.state == "complete" and pruned[t.number] not in ended])
    for t in ended:
        assert t.epochs < EPOCHS
        assert t.curves == {name: curve[: t.epochs] for name, curve in whole[t.number].curves.items()}
        assert t.values == {"accuracy": t.curves["test_accuracy"][-1]}
        assert f"ended after {t.epochs} of {EPOCHS} epochs" in t.reason
    assert not [t for t in ended if t.number < 4], "the first generation has nothing before it"
    assert front(pruned)[0].state == "complete"


@pytest.mark.parametrize("changes", [HALVING, {"pruning": {"rule": "median", "startup": 4}, "sampler": "tpe"}])
def test_a_pruned_study_goes_on_as_if_never_stopped(tmp_path, changes):
    """Stopped in the middle of a pack of the second generation, and near its end."""
    unbroken = run(many(**changes), storage=url(tmp_path, "unbroken"))
    assert {t.state for t in unbroken} == {"complete", "pruned"}

    for after in (5, 7):
        stopped(many(**changes), url(tmp_path), after)
    assert same(run(many(**changes), storage=url(tmp_path)), unbroken)
    assert same(trials(many(**changes), url(tmp_path)), unbroken)


CURVES = st.lists(st.lists(st.integers(0, 8), min_size=EPOCHS, max_size=EPOCHS), min_size=1, max_size=12)


@settings(max_examples=30)
@given(CURVES, st.integers(1, 3), st.integers(1, 3), st.sampled_from(["median", "halving"]))
def test_points_asked_one_by_one_end_where_optunas_pruners_end_them(curves, first, other, rule):
    """On the best accuracies so far, which is what both are told."""
    ours = (
        Pruning(rule="median", first=first, startup=other) if rule == "median" else Pruning(rule="halving", first=first, factor=other + 1)
    )
    median = MedianPruner(n_startup_trials=other, n_warmup_steps=first)
    theirs = median if rule == "median" else SuccessiveHalvingPruner(min_resource=first, reduction_factor=other + 1)
    memory = optuna.create_study(direction="maximize", pruner=theirs)
    complete, pruned = [], []
    for curve in curves:
        best = [float(max(curve[: e + 1])) for e in range(EPOCHS)]
        watch, trial, done = Watch(ours.bars(complete, pruned), 1), memory.ask(), EPOCHS
        for epoch in range(1, EPOCHS):
            trial.report(best[epoch - 1], epoch)
            goes_on = watch.go_on(epoch, np.array([curve[epoch - 1]], np.float32))
            assert goes_on != trial.should_prune()
            if not goes_on:
                done = epoch
                break
        else:
            trial.report(best[-1], EPOCHS)
        memory.tell(trial, best[-1] if done == EPOCHS else None, state=_state(done))
        (complete if done == EPOCHS else pruned).append([float(v) for v in curve[:done]])


def _state(done: int) -> optuna.trial.TrialState:
    return optuna.trial.TrialState.COMPLETE if done == EPOCHS else optuna.trial.TrialState.PRUNED


def test_a_pack_ends_when_all_its_points_are_below_the_bar_and_costs_what_it_did():
    design = many().base.replace("training.epochs", 2)
    longer = design.replace("training.epochs", EPOCHS)
    asked = []

    def go_on(epoch, accuracies):
        asked.append((epoch, len(accuracies)))
        return epoch < 2

    ended = ai.evaluate_many([longer, longer], seeds=[0, 1], limit=100, go_on=go_on)
    assert asked == [(1, 2), (2, 2)]
    for row, short in zip(ended, ai.evaluate_many([design, design], seeds=[0, 1], limit=100), strict=True):
        assert row.curves == short.curves
        assert row.counts == short.counts
        assert row.energy_J == short.energy_J
        assert row.latency_s == short.latency_s


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"objectives": ["accuracy", "energy"]}, r"pruning must be left out where .* got accuracy \(max\), energy \(min\)"),
        (
            {"objectives": ["energy"]},
            r"pruning must be left out where a metric of the task is not the one objective, got energy \(min\)",
        ),
        ({"objectives": [{"name": "accuracy", "direction": "min"}]}, r"got accuracy \(min\)"),
        ({"constraints": {"area": {"at_most": 1.0}}}, "pruning must be left out beside constraints, got area"),
        ({"pruning": {"rule": "medain"}}, "pruning.rule must be 'median' or 'halving', got medain"),
        ({"pruning": {"rule": "median", "factor": 2}}, "pruning.factor must be left out where rule = 'median'"),
        ({"pruning": {"rule": "halving", "first": 0}}, "pruning.first must be in 1"),
    ],
)
def test_pruning_that_has_no_meaning_is_refused(changes, words):
    with pytest.raises(InputError, match=words):
        many(**(HALVING | changes))


def test_what_was_pruned_is_told_and_kept(tmp_path, capsys, monkeypatch, pruned):
    monkeypatch.chdir(tmp_path)
    Path("small.toml").write_text(tomli_w.dumps(SMALL | MANY | HALVING))
    ended = [t for t in pruned if t.state == "pruned"]
    assert main(["study", "small.toml"]) == 0
    assert f"pruned, {len(ended)} of 8: after" in capsys.readouterr().out
    assert main(["study", "small.toml", "--json"]) == 0
    output = json.loads(capsys.readouterr().out)
    assert output["trials"] == {"complete": 8 - len(ended), "pruned": len(ended)}
    assert [(t["trial"], t["epochs"]) for t in output["pruned"]] == [(t.number, t.epochs) for t in ended]
    page = Path("small-study/report.html").read_text()
    rows = list(csv.DictReader(Path("small-study/trials.csv").read_text().splitlines()))
    assert f"{len(ended)} pruned" in page
    for t in ended:
        assert f"pruned after {t.epochs} epochs" in page
        assert (rows[t.number]["state"], rows[t.number]["epochs"]) == ("pruned", str(t.epochs))
