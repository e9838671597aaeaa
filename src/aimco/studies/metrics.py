"""What a study may ask of a design: numbers of its Result, each with a unit and a natural direction."""

from __future__ import annotations

from collections.abc import Callable

from aimco.data.goals import KNOWN, Metric
from aimco.evaluation import Result

COSTS: dict[str, tuple[Metric, Callable[[Result], float]]] = {
    metric.name: (metric, of)
    for metric, of in (
        (Metric("energy", "min", "J", about="energy of the whole run"), lambda r: r.energy_J["total"]),
        (Metric("energy_train", "min", "J", about="energy of training alone"), lambda r: r.energy_J["train"]),
        (Metric("energy_sample", "min", "J", about="energy of one training sample"), lambda r: r.energy_J["training_sample"]),
        (Metric("energy_inference", "min", "J", about="energy of one sample's inference"), lambda r: r.energy_J["inference_sample"]),
        (Metric("energy_write", "min", "J", about="energy of writing first weights and references"), lambda r: r.energy_J["write"]),
        (Metric("latency", "min", "s", about="time of one training sample"), lambda r: r.latency_s["training_sample"]),
        (Metric("latency_inference", "min", "s", about="time of one sample's inference"), lambda r: r.latency_s["inference_sample"]),
        (Metric("training_time", "min", "s", about="time of training on the hardware"), lambda r: r.latency_s["train"]),
        (Metric("area", "min", "m^2", about="area of arrays and converters"), lambda r: r.area_m2),
        (Metric("device_pulses", "min", about="pulses on a device by training, mean of the busiest array"), lambda r: r.device_pulses),
        (Metric("loss", "min", about="training loss of the last epoch"), lambda r: r.curves["train_loss"][-1]),
    )
}
METRICS: dict[str, Metric] = {m.name: m for m in KNOWN} | {name: metric for name, (metric, _) in COSTS.items()}


def metric(name: str) -> Metric:
    """The metric of a name; of a user's own task, a number of which nothing is known."""
    return METRICS.get(name) or Metric(name, "max")


def metrics_of(result: Result) -> dict[str, float]:
    """All metrics of a result: those of its task, then what it cost."""
    return result.metrics | {name: of(result) for name, (_, of) in COSTS.items()}
