"""One record in, one row out."""

from __future__ import annotations

import json

import aimco as ai


def design(**parts) -> ai.Design:
    return ai.Design.of({"device": "rpu", "network": {"hidden": [16]}, "training": {"epochs": 2, "batch": 20}} | parts)


def test_the_same_seed_gives_the_same_row():
    first, second, other = (ai.evaluate(design(), limit=200, seed=seed) for seed in (1, 1, 2))
    assert first.curves == second.curves
    assert first.counts == second.counts
    assert first.curves != other.curves
    assert json.loads(json.dumps(first.as_json()))["design_hash"] == design().hash()


def test_every_result_has_energy_time_and_area():
    result = ai.evaluate(design(), limit=100)
    assert result.energy_J["total"] > 0
    assert result.latency_s["training_sample"] > 0
    assert result.area_m2 > 0
    assert result.counts["updates"] == 2 * 2 * 100


def test_an_ensemble_gives_the_rows_of_solo_runs():
    rates = (0.05, 0.2)
    designs = [design().replace("rule.lr", lr) for lr in rates]
    together = ai.evaluate_many(designs, "digits", seeds=[0, 0], limit=200)
    for one, row in zip(designs, together, strict=True):
        solo = ai.evaluate(one, limit=200)
        assert abs(solo.accuracy - row.accuracy) < 0.02
        assert solo.counts["updates"] == row.counts["updates"]


def test_program_reaches_the_target():
    programmed = ai.evaluate(
        design(cell={"kind": "reference", "weight_max": 2.0}, training={"epochs": 2, "batch": 2}), "program", limit=3000
    )
    assert programmed.accuracy > -0.1


def test_a_leaking_device_forgets():
    leaking = design().replace("device.retention_s", 1e-5).replace("training.sample_s", 1e-6)
    assert ai.evaluate(leaking, limit=300).accuracy < ai.evaluate(design(), limit=300).accuracy
