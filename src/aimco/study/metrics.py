"""What a study may ask of a design: numbers of its Result, each with a unit and a natural direction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from aimco.evaluation import Result


@dataclass(frozen=True)
class Metric:
    """One number of a Result.

    Args:
        direction: which is better. unit: SI, "" for a fraction. of: the number. says: one line for tables.
    """

    direction: Literal["max", "min"]
    unit: str
    of: Callable[[Result], float]
    says: str


METRICS: dict[str, Metric] = {
    "accuracy": Metric("max", "", lambda r: r.accuracy, "fraction of test samples classified right after the last epoch"),
    "energy": Metric("min", "J", lambda r: r.energy_J["total"], "energy of the whole run: first weights, training, test samples"),
    "energy_train": Metric("min", "J", lambda r: r.energy_J["train"], "energy of training alone"),
    "energy_sample": Metric("min", "J", lambda r: r.energy_J["training_sample"], "energy of one training sample"),
    "energy_inference": Metric("min", "J", lambda r: r.energy_J["inference_sample"], "energy of one sample's inference"),
    "energy_write": Metric("min", "J", lambda r: r.energy_J["write"], "energy of writing first weights and references"),
    "latency": Metric("min", "s", lambda r: r.latency_s["training_sample"], "time of one training sample"),
    "latency_inference": Metric("min", "s", lambda r: r.latency_s["inference_sample"], "time of one sample's inference"),
    "training_time": Metric("min", "s", lambda r: r.latency_s["train"], "time of training on the hardware"),
    "area": Metric("min", "m^2", lambda r: r.area_m2, "area of arrays and converters"),
    "loss": Metric("min", "", lambda r: r.curves["train_loss"][-1], "training loss of the last epoch"),
}
