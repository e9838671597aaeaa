"""What every task and every network must do. A new one is covered by its line in `kinds`."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import aimco as ai
from aimco.cost import inference, of_design
from aimco.data.own import checked
from aimco.learning import Rule
from aimco.nn.layers import analog_layers
from aimco.tasks import Task, load, task_of
from kinds import NETWORKS, TASKS, short


@pytest.fixture(params=TASKS, ids=short)
def task(request) -> Task:
    """Each task."""
    return task_of(request.param)


def test_a_task_gives_what_data_are(task):
    data = load(task, limit=50)
    assert checked(data, "a task") is data and len(data.train_x) == 50
    assert data.inputs == math.prod(data.shape) and data.goal.metrics


def test_a_task_is_a_function_of_the_seed(task):
    one, same = load(task, seed=1, limit=50), load(task, seed=1, limit=50)
    assert one.digest == same.digest


def test_a_limit_keeps_the_first_samples(task):
    whole, part = load(task, limit=60), load(task, limit=20)
    assert torch.equal(whole.train_x[:20], part.train_x) and torch.equal(whole.test_x, part.test_x)


def test_a_task_is_plain_data_and_a_text(task):
    assert Task.of(task.as_dict()) == task and task_of(task.text()) == task


def test_a_sample_is_that_of_the_data(task):
    data, sample = load(task, limit=20), task.sample()
    assert (sample.shape, sample.outputs, sample.one_matrix) == (data.shape, data.outputs, data.goal.one_matrix)


def test_chance_is_finite_and_worse_than_what_is_learned(task):
    """A network of two layers, or one matrix, betters what a network without knowledge reaches."""
    data = load(task, limit=500)
    network, rule = {"hidden": [24], "activation": "tanh"}, {"kind": "digital", "lr": 0.2}
    design = ai.Design(device="ideal", network=network, rule=rule, training={"epochs": 8})
    result, (metrics, loss) = ai.evaluate(design, data), data.goal.chance(data.test_y)
    name, sign = result.main.name, 1 if result.main.direction == "max" else -1
    assert sign * result.metrics[name] > sign * metrics[name] and np.isfinite(loss)
    assert result.curves["train_loss"][-1] < loss
    assert result.score > data.goal.score(metrics, data.test_y)


def test_the_gradient_of_a_loss_is_its_error(task):
    """Minus the derivative, by differences in double precision."""
    data = load(task, limit=20)
    y = data.train_y[None, :4]
    y = y.double() if y.is_floating_point() else y
    out = torch.randn(*data.goal._shape(y), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    _, d = data.goal.error(out.clone(), y)
    step = torch.randn(out.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    ends = [data.goal.error(out + sign * 1e-6 * step, y)[0].double() for sign in (1, -1)]
    assert float((ends[0] - ends[1]) / 2e-6) == pytest.approx(-float((d.double() * step).sum()), rel=1e-4)


def design_of(kind: str, **parts) -> ai.Design:
    """A small design with a network of a kind, taught by the first rule that can."""
    network = ai.Network.of_kind(kind)
    rule = next(k for k in ["sgd", *Rule.kinds()] if Rule.of_kind(k).teaches == network.taught)
    sizes = {"hidden": [8]} if "hidden" in network.model_fields else {}
    sizes |= {"channels": [2], "kernel_size": 3} if "channels" in network.model_fields else {}
    device = {"name": "d", "g_min": 1e-7, "g_max": 1e-5, "response": {"kind": "constant-step", "step_up": 1e-8, "step_down": 1e-8}}
    base = {"device": device, "network": {"kind": kind} | sizes, "rule": {"kind": rule}, "training": {"epochs": 2, "batch": 10}}
    return ai.Design.of(base | parts)


@pytest.fixture(params=NETWORKS, ids=short)
def design(request) -> ai.Design:
    """A design with each network."""
    return design_of(request.param)


def test_a_network_trains_and_is_priced(design):
    result = ai.evaluate(design, limit=30)
    assert len(result.curves["train_loss"]) == 2 and all(np.isfinite(result.curves["train_loss"]))
    assert result.area_m2 > 0 and result.counts


def test_a_network_resumes_bit_for_bit(design, tmp_path):
    def stop(epoch: int, epochs: int, value: float) -> None:
        raise KeyboardInterrupt

    straight, path = ai.evaluate(design, limit=30, seed=2), str(tmp_path / "state")
    with pytest.raises(KeyboardInterrupt):
        ai.evaluate(design, limit=30, seed=2, checkpoint=path, on_epoch=stop)
    resumed = ai.evaluate(design, limit=30, seed=2, checkpoint=path)
    assert resumed.curves == straight.curves and resumed.counts == straight.counts


def test_members_are_their_own_runs(design):
    """Together or one after the other, as the kind has it: to float32 rounding of an ensemble's products."""
    together = ai.evaluate_many([design, design], seeds=[1, 2], limit=30)
    for result, seed in zip(together, (1, 2), strict=True):
        alone = ai.evaluate(design, limit=30, seed=seed)
        assert result.curves["train_loss"] == pytest.approx(alone.curves["train_loss"], rel=1e-3)


def test_a_price_from_shapes_is_that_of_a_run_or_refused(design):
    sample = task_of("digits").sample()
    try:
        matrices = of_design(design, sample)
    except ai.InputError as error:
        assert "cannot be priced by its shapes" in str(error)
        return
    free = design.replace("periphery.bound_management", "none")
    result, known = ai.evaluate(free, limit=10), inference(free, matrices, both_sides=free.rule.on_chip)
    assert known.energy_J["total"] == pytest.approx(result.energy_J["inference_sample"], rel=1e-9)
    assert known.area_m2 == pytest.approx(result.area_m2, rel=1e-12)


def test_a_network_is_plain_data(design):
    assert ai.Design.of(design.as_dict()) == design
    assert ai.Network.of(design.network.as_dict()) == design.network


def test_pictures_are_figures(design):
    from matplotlib.figure import Figure

    models = []
    data = load("digits", limit=20)
    ai.evaluate(design.replace("training.epochs", 1), data, on_trained=models.append)
    assert all(isinstance(f, Figure) for f in design.network.pictures(models[0], data).values())
    assert analog_layers(models[0])


def test_a_rule_that_does_not_teach_a_network_is_refused(design):
    other = next(k for k in Rule.kinds() if Rule.of_kind(k).teaches != design.network.taught)
    with pytest.raises(ai.InputError, match=r"rule.kind must be|network.kind must be"):
        design.replace("rule", {"kind": other})
