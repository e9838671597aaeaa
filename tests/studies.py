"""Small studies on digits: 150 updates, with which points end between chance and 75 %."""

from __future__ import annotations

from typing import Any

import pytest

from aimco.studies import Study, run

SMALL: dict[str, Any] = {
    "name": "small",
    "base": {"device": "rpu", "network": {"hidden": [16]}, "training": {"epochs": 1, "batch": 2}},
    "limit": 300,
    "space": {
        "rule.lr": {"low": 0.01, "high": 1.0, "log": True},
        "cell.weight_max": {"low": 0.5, "high": 2.0},
    },
    "objectives": ["accuracy", "energy"],
    "sampler": "random",
    "trials": 8,
    "pack": 2,
    "generation": 4,
}


def small(**changes: Any) -> Study:
    return Study.of(SMALL | changes)


class Stopped(Exception):
    """What ends a run in the middle."""


def stopped(study: Study, storage: str, after: int) -> None:
    """Run a study until so many trials are done, and stop it there."""

    def interrupt(trial: Any, done: int, size: int) -> None:
        if done == after:
            raise Stopped

    with pytest.raises(Stopped):
        run(study, storage=storage, on_trial=interrupt)


def same(one: list, other: list) -> bool:
    """Whether two runs of a study found the same, their times aside."""

    def list_facts(trials: list) -> list:
        return [(t.number, t.point, t.state, t.values, t.feasible, t.design, t.curves, t.reason) for t in trials]

    return list_facts(one) == list_facts(other)
