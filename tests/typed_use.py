"""What a user writes in an editor: pyright checks this file, and the last test of `test_public_face.py` runs it."""

from __future__ import annotations

from typing import assert_type

import torch

import aimco as ai
from aimco.api.devices import FitResult
from aimco.api.requirements import Specification
from aimco.api.studies import StudyResult
from aimco.report.cost import Costs


def design() -> ai.Design:
    """Tables where records are meant."""
    return ai.Design(
        device="rpu",
        cell={"kind": "pair"},
        array={"rows": 64, "cols": 64},
        periphery={"adc": {"kind": "sar"}},
        network={"hidden": []},
        rule={"kind": "sgd", "lr": 0.05},
        training={"epochs": 1, "batch": 50},
        technology="rpu-2016",
    )


def network(inputs: int, outputs: int) -> torch.nn.Module:
    """A torch model."""
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(inputs, outputs))


def with_torch() -> ai.Design:
    """A function that returns a torch model, in place of a table."""
    return ai.Design(device="ideal", network=network)


def records() -> ai.Design:
    """Records where tables would do as well."""
    return ai.Design(device=ai.Device.named("ideal"), training=ai.Training(epochs=1), array=ai.Array(), periphery=ai.Periphery())


def study() -> ai.Study:
    """A search without a file."""
    return ai.Study(
        name="rates",
        base=design(),
        space={"rule.lr": {"low": 0.01, "high": 1.0, "log": True}},
        objectives=["accuracy", {"name": "energy", "direction": "min"}],
        constraints={"area": {"at_most": 1e-6}},
        sampler="sobol",
        trials=2,
        limit=50,
    )


def results() -> None:
    """Types of what the functions give."""
    result = assert_type(ai.evaluate(design(), limit=50, on_epoch=lambda epoch, epochs, metric: None), ai.Result)
    assert_type(result.accuracy, float)
    values = assert_type(ai.study(study(), progress=False), StudyResult)
    assert_type(values.design(), ai.Design)
    costs = assert_type(ai.estimate(design(), activity=result), Costs)
    assert costs.inference.energy_J["total"] > 0


def not_run(file: str) -> ai.Device | None:
    """Types of what takes long."""
    answer = assert_type(ai.requirements("sgd", "digits", penalty=1.0, parameters=["step"]), Specification)
    answer.verdict("rpu")
    converted = assert_type(ai.convert(torch.nn.Linear(2, 2), design()), torch.nn.Module)
    ai.optim.InMemory(converted.parameters(), lr=0.1)
    return assert_type(ai.fit(file, family="linear-step"), FitResult).device
