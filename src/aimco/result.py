"""Result: the row that comes out of a run."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

import aimco
from aimco import html_parts
from aimco.cost.activity import measured, pulses_on_devices
from aimco.data.goals import Metric
from aimco.design import Design
from aimco.files import sha256
from aimco.frames import dataframe
from aimco.ledger import Counts
from aimco.nn.analog import AnalogLayer
from aimco.nn.layers import analog_layers
from aimco.notes import notes
from aimco.phases import bill, by_operation
from aimco.plain_data import PlainData
from aimco.units import text as quantity

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

    from aimco.training import Run

_IN_JSON = (
    "metrics",
    "energy_J",
    "latency_s",
    "area_m2",
    "counts",
    "counts_by_phase",
    "device_pulses",
    "activity",
    "curves",
    "design_hash",
    "seed",
    "task",
    "wall_s",
    "versions",
    "notes",
)


@dataclass(frozen=True)
class Result:
    """What one design did on one task.

    Args:
        metrics: By name, after the last epoch: "accuracy" of a classification, "rmse" and "r2" of a regression, "weight_error" of a
            target matrix, or what the task's own goal gives.
        judged_by: The metrics, with units and directions; the first is the main one.
        curves: One number per epoch: test_ and the name of each metric, train_loss.
        energy_J: Of the whole run ("total") and of its phases, from the counts: "write", first weights and references found at
            the start; "train"; "infer", test samples after each epoch. "training_sample" and "inference_sample": of one sample of
            the last two, 0 where there was none. Energy also by part, over all phases.
        latency_s: As `energy_J`, without parts.
        area_m2: Of arrays and converters.
        counts: Totals by operation.
        counts_by_phase: By phase.
        device_pulses: Pulses on a device of the busiest array by training, mean over its devices; what wears it.
        activity: Of the arrays in training, layer -> array -> `aimco.cost.Activity` as plain data; what `aimco cost --activity` takes.
        design: That was trained.
        design_hash: That names its content.
        task: That it was trained on.
        seed: Of the run.
        wall_s: That the simulation took.
        score: Per cent of a perfect result, see `aimco.tasks.Goal.score`.
        versions: Of the programs that made it, and the sha256 of users' files.
        notes: Approximations in force.
    """

    metrics: dict[str, float]
    judged_by: tuple[Metric, ...]
    curves: dict[str, list[float]]
    energy_J: dict[str, float]
    latency_s: dict[str, float]
    area_m2: float
    counts: PlainData
    counts_by_phase: dict[str, PlainData]
    device_pulses: float
    activity: dict[str, dict[str, dict[str, float]]]
    design: Design
    design_hash: str
    task: str
    seed: int
    wall_s: float
    score: float = float("nan")
    versions: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def main(self) -> Metric:
        """The metric that the network is judged by."""
        return self.judged_by[0]

    @property
    def main_curve(self) -> str:
        """Name of its curve."""
        return f"test_{self.main.name}"

    @property
    def accuracy(self) -> float:
        """Fraction of test samples classified right after the last epoch.

        Raises:
            AttributeError: The task is no classification.
        """
        if "accuracy" not in self.metrics:
            raise AttributeError(f"a result of task {self.task} has no accuracy; its metrics are {', '.join(self.metrics)}")
        return self.metrics["accuracy"]

    def __repr__(self) -> str:
        device, rule = self.design.device.name, self.design.rule.kind
        return f"Result({device}, {rule}, {self.task}: {self.text()}, {self.energy_J['total']:.3g} J, {self.latency_s['total']:.3g} s)"

    def _repr_html_(self) -> str:
        """Metrics, energy, time and area, notes and the learning curve, for notebooks."""
        judged = {m.name.replace("_", " "): m.text(self.metrics[m.name]) for m in self.judged_by}
        costs = {
            "energy": quantity(self.energy_J["total"], "J"),
            "time": quantity(self.latency_s["total"], "s"),
            **{f"one {name} sample": self._sample(f"{name}_sample") for name in ("training", "inference")},
            "area": quantity(self.area_m2, "m^2"),
        }
        curve = self.curves[self.main_curve]
        scale, unit = (100, " (%)") if self.main.percent else (1, f" ({self.main.unit})" if self.main.unit else "")
        beside, epochs = f"test {self.main.name.replace('_', ' ')}{unit}", range(1, len(curve) + 1)
        drawn = html_parts.chart(epochs, [scale * v for v in curve], below="epoch", beside=beside) if len(curve) > 1 else ""
        title = f"{self.design.device.name}, {self.design.rule.kind}, {self.task}, seed {self.seed}"
        return html_parts.card(title, html_parts.facts(judged | costs), drawn, html_parts.listed(self.notes))

    def _sample(self, name: str) -> str:
        """Energy and time of one sample; a dash where there was none."""
        energy, seconds = self.energy_J[name], self.latency_s[name]
        return f"{quantity(energy, 'J')}, {quantity(seconds, 's')}" if energy or seconds else "-"

    def to_dataframe(self) -> DataFrame:
        """The curves as a pandas table, one row for each epoch, indexed by the epoch from 1 on.

        Raises:
            InputError: pandas is not installed.
        """
        epochs = max(map(len, self.curves.values()))
        return dataframe({"epoch": range(1, epochs + 1), **self.curves}).set_index("epoch")

    def text(self) -> str:
        """The main metric in words.

        Example:
            >>> from aimco import Design, evaluate
            >>> evaluate(Design(device="ideal", training={"epochs": 1, "batch": 50}), limit=50).text().split()[0]
            'accuracy'
        """
        return f"{self.main.name.replace('_', ' ')} {self.main.text(self.metrics[self.main.name])}"

    def as_json(self) -> PlainData:
        """Plain data, as `aimco run --json` prints it."""
        return {name: getattr(self, name) for name in _IN_JSON}

    def plot(self, path: str) -> None:
        """Learning curve as a picture: the main metric and the training loss against epochs."""
        self.figure().savefig(path, dpi=150)

    def figure(self) -> Figure:
        """What `plot` draws."""
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator

        figure = Figure(figsize=(6, 4), layout="constrained")
        axis = figure.subplots()
        scale, unit = (100, " (%)") if self.main.percent else (1, f" ({self.main.unit})" if self.main.unit else "")
        name = f"test {self.main.name.replace('_', ' ')}"
        curve = [scale * v for v in self.curves[self.main_curve]]
        epochs = range(1, len(curve) + 1)
        axis.plot(epochs, curve, color="tab:blue", label=name)
        axis.set(xlabel="epoch", ylabel=f"{name}{unit}", title=f"{self.design.device.name}, {self.design.rule.kind}, {self.task}")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        loss = axis.twinx()
        loss.plot(epochs, self.curves["train_loss"], color="tab:orange", label="training loss")
        loss.set_ylabel("training loss")
        figure.legend(loc="outside lower center", ncols=2)
        return figure


def result_of(run: Run, e: int, wall_s: float, samples: Mapping[str, int], remarks: Sequence[str] = ()) -> Result:
    """The row of one member of a run.

    Args:
        run: That was trained.
        e: Of the member.
        wall_s: That its simulation took.
        samples: Of the phases train and infer.
        remarks: To follow the notes.
    """
    design, phases, goal = run.designs[e], run.phases, run.data.goal
    energy, latency, area = bill(design, phases, e, samples)
    operations, layers = by_operation(phases, e), analog_layers(phases.model)
    vectors = {name: layer.vectors for name, layer in layers.items() if isinstance(layer, AnalogLayer)}
    training = phases.member("train", e)
    busy = measured(design, training, phases.shapes, {n: v * samples["train"] for n, v in vectors.items()})
    curves = {name: [float(v) for v in np.stack(curve)[:, e]] for name, curve in run.curves.items()}
    metrics = {metric.name: curves[f"test_{metric.name}"][-1] for metric in goal.metrics}
    return Result(
        metrics=metrics,
        judged_by=goal.metrics,
        curves=curves,
        energy_J=energy,
        latency_s=latency,
        area_m2=area,
        counts=dict(Counts.total(operations.values())),
        counts_by_phase={phase: {n: amount for n, amount in c.items() if amount} for phase, c in operations.items()},
        device_pulses=pulses_on_devices(design, training, phases.shapes),
        activity={layer: {name: activity.as_dict() for name, activity in arrays.items()} for layer, arrays in busy.items()},
        design=design,
        design_hash=design.hash(),
        task=run.data.name,
        seed=run.seeds[e],
        wall_s=wall_s,
        score=goal.score(metrics, run.data.test_y),
        versions=_versions(design),
        notes=[*notes(design, layers, e, len(run.data.train_x), latency["training_sample"]), *run.data.notes, *remarks],
    )


def _versions(design: Design) -> dict[str, str]:
    """Of the programs that made a result, and the sha256 of users' files in it."""
    versions = {"aimco": aimco.__version__, "torch": torch.__version__, "numpy": np.__version__, "python": platform.python_version()}
    return versions | {os.path.basename(path): f"sha256 {sha256(content)}" for path, content in design.files().items()}
