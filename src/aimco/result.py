"""Result: the row that comes out of a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aimco.design import Design

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Result:
    """What one design did on one task.

    Args:
        accuracy: fraction of test samples classified right after the last epoch; for `program` minus the weight error eps_w.
        curves: one number per epoch: test_accuracy, train_loss.
        energy_J, latency_s: of the whole run ("total") and of its phases, from the counts: "write", first weights and references found at
            the start; "train"; "infer", test samples after each epoch. "training_sample" and "inference_sample": of one sample of
            the last two, 0 where there was none. Energy also by part, over all phases.
        area_m2: of arrays and converters. counts: totals by operation; counts_by_phase: by phase.
        activity: of the arrays in training, layer -> array -> `aimco.cost.Activity` as plain data; what `aimco cost --activity` takes.
        notes: approximations in force.
    """

    accuracy: float
    curves: dict[str, list[float]]
    energy_J: dict[str, float]
    latency_s: dict[str, float]
    area_m2: float
    counts: dict[str, Any]
    counts_by_phase: dict[str, dict[str, Any]]
    activity: dict[str, dict[str, dict[str, float]]]
    design: Design
    design_hash: str
    task: str
    seed: int
    wall_s: float
    versions: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Plain data, as `aimco run --json` prints it."""
        names = (
            "accuracy",
            "energy_J",
            "latency_s",
            "area_m2",
            "counts",
            "counts_by_phase",
            "activity",
            "curves",
            "design_hash",
            "seed",
            "task",
            "wall_s",
            "versions",
            "notes",
        )
        return {name: getattr(self, name) for name in names}

    def plot(self, path: str) -> None:
        """Learning curve as a picture: test accuracy (%) and training loss against epochs."""
        self.figure().savefig(path, dpi=150)

    def figure(self) -> Figure:
        """What `plot` draws."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(6, 4), layout="constrained")
        axis = figure.subplots()
        epochs = range(1, len(self.curves["test_accuracy"]) + 1)
        axis.plot(epochs, [100 * a for a in self.curves["test_accuracy"]], color="tab:blue", label="test accuracy")
        axis.set(xlabel="epoch", ylabel="test accuracy (%)", title=f"{self.design.device.name}, {self.design.rule.kind}, {self.task}")
        loss = axis.twinx()
        loss.plot(epochs, self.curves["train_loss"], color="tab:orange", label="training loss")
        loss.set_ylabel("training loss")
        figure.legend(loc="outside lower center", ncols=2)
        return figure
