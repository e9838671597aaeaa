"""The lines of a derived specification: each a number of the device or of its periphery, and how it is swept."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from aimco.design import Design
from aimco.learning import Rule
from aimco.learning.tiki_taka_v2 import TikiTakaV2
from aimco.plain_data import PlainData, PlainView
from aimco.record import InputError

STEP, BOUND = 0.001, 0.6  # of a weight: the near-ideal device has 2 BOUND / STEP = 1200 states
_HALF_RANGE, _READ_VOLTAGE = 1e-6, 0.2  # S, V: their size has no effect on accuracy
_NO_BOUND, _NEVER = 1e6, 1e12
RESTING = 4000.0  # samples: of the near-ideal leaking device
Point = Mapping[str, float]


@dataclass(frozen=True)
class Sweep:
    """One line.

    Args:
        key: how a point names it. name, unit: for tables. base: of the near-ideal device. values: tried first, from good to bad.
        recalled: threshold of the published specification, from memory and not checked against the paper, in the same unit.
        scale: what tables multiply values by.
        quantity: of a device, as requirements name it, if it is one.
    """

    key: str
    name: str
    unit: str
    base: float
    values: tuple[float, ...]
    recalled: float | None = None
    scale: float = 1.0
    quantity: str | None = None

    @property
    def rises(self) -> bool:
        """Whether larger values are worse."""
        return self.values[-1] > self.values[0]

    @property
    def starts_at_base(self) -> bool:
        """Whether the near-ideal value is a point of the curve: one that is neither 0 nor unlimited."""
        return 0 < self.base < _NO_BOUND

    def eased(self, worst: float, fraction: float) -> float:
        """The value at a fraction of the tolerated deviation from the near-ideal one: in 1/value where larger is better and unlimited."""
        if not self.rises and self.base >= _NO_BOUND:
            return worst / fraction
        return self.base + fraction * (worst - self.base)


_SPREADS = (0.2, 0.4, 0.7, 1.1, 1.8, 3.0)
SWEEPS = (
    Sweep("step", "step of a weight, dw_min", "", STEP, (0.002, 0.005, 0.01, 0.02, 0.05, 0.1), 0.01, quantity="states"),
    Sweep("step_spread", "step, device to device", "%", 0.0, _SPREADS, 1.1, 100.0, "step_spread"),
    Sweep("cycle_noise", "step, cycle to cycle", "%", 0.0, (0.5, 1.0, 1.5, 2.5, 5.0, 10.0), 1.5, 100.0, "cycle_noise"),
    Sweep("bound", "largest weight", "", BOUND, (0.5, 0.4, 0.3, 0.2, 0.15, 0.1), 0.3),
    Sweep("range_spread", "range, device to device", "%", 0.0, (0.2, 0.4, 0.6, 0.8, 1.2, 2.0), 0.8, 100.0, "range_spread"),
    Sweep("imbalance", "up/down step, all devices: ratio - 1", "%", 0.0, (0.01, 0.03, 0.1, 0.3, 1.0, 3.0), 0.05, 100.0, "step_ratio"),
    Sweep("asymmetry", "up/down step, device to device", "%", 0.0, (0.01, 0.03, 0.06, 0.12, 0.25, 0.6), 0.06, 100.0, "asymmetry_spread"),
    Sweep("output_noise", "noise of an output", "", 0.0, (0.03, 0.06, 0.1, 0.2, 0.4, 0.8), 0.1),
    Sweep("output_bound", "largest output", "", _NO_BOUND, (12.0, 6.0, 3.0, 2.0, 1.0, 0.5), 3.0),
    Sweep("retention", "retention of weights", "samples", _NEVER, (1e6, 3e5, 1e5, 3e4, 1e4, 3e3), quantity="retention"),
)
_FAST = Sweep("fast_retention", "retention of gradients", "samples", _NEVER, (3e4, 1e4, 3e3, 1e3, 300.0, 100.0, 30.0), quantity="retention")


RESPONSES = ("linear-step", "constant-step", "soft-bounds")  # of near-ideal devices


@dataclass(frozen=True)
class Bench:
    """Network and schedule that a task is judged on.

    Args:
        hidden: sizes of the hidden layers. epochs, batch: schedule. lr: learning rate, the rule's own when absent.
        last: epochs at the end whose mean accuracy counts.
        penalty: allowed, points, where none is given. seeds: where no number is given.
        response: one of RESPONSES, of the near-ideal device, the same for all rules. The first has steps that fall by a tenth from
            mid-range to either bound, so that steps of different size balance at a state.
        network: of the design, in place of fully connected layers of the sizes `hidden`.
    """

    task: str
    hidden: tuple[int, ...]
    epochs: int
    batch: int
    lr: float | None
    last: int
    penalty: float
    seeds: int
    response: str = RESPONSES[0]
    network: PlainView | None = None

    def __post_init__(self) -> None:
        if self.response not in RESPONSES:
            raise InputError(f"response must be one of {', '.join(RESPONSES)}, got {self.response!r}")


BENCHES = (
    Bench("digits", (32,), epochs=10, batch=10, lr=None, last=4, penalty=1.0, seeds=6),
    Bench("mnist", (256, 128), epochs=6, batch=10, lr=None, last=2, penalty=0.3, seeds=3),
)


ANY = Bench("", (32,), epochs=10, batch=10, lr=None, last=4, penalty=1.0, seeds=3)  # of a task without a bench of its own


def bench(task: str) -> Bench:
    """The bench of a task, by its name."""
    return next((candidate for candidate in BENCHES if candidate.task == task), replace(ANY, task=task))


def known_rule(rule: str) -> type[Rule]:
    """The class of a rule that learns in arrays. Raises InputError for another."""
    try:
        rule_class = Rule.of_kind(rule)
    except InputError as error:
        raise InputError(f"rule {error}") from None
    if rule_class.teaches != "layers" or not rule_class().arrays():
        raise InputError(f"rule must teach layers in arrays to ask anything of a device, got {rule}; take for example sgd or tiki-taka-v2")
    return rule_class


def waits(rule: type[Rule]) -> bool:
    """Whether it reads devices against where they leak to, so that they must leak."""
    return getattr(rule(), "reference", None) == "resting-point"


def sweeps(rule: type[Rule]) -> tuple[Sweep, ...]:
    """The lines that a rule is asked; one with arrays of two kinds of device is asked the retention of each."""
    if waits(rule):
        return (*SWEEPS, replace(_FAST, base=RESTING, values=tuple(v for v in _FAST.values if v < RESTING)))
    return (*SWEEPS, _FAST) if issubclass(rule, TikiTakaV2) else SWEEPS


def ideal(rule: type[Rule]) -> dict[str, float]:
    """The near-ideal point."""
    return {line.key: line.base for line in sweeps(rule)}


def design(setup: Bench, rule: str, point: Point) -> Design:
    """The design at a point: spreads, noises and limits that the point names, everything else without loss.

    The response is that of the bench, whatever the rule. The step is kept in weights while the largest weight varies. One sample takes
    1 s, so that retention is in samples. Outputs that saturate are not read again, so that the largest output is seen.
    """
    cls = known_rule(rule)
    one = _HALF_RANGE * _READ_VOLTAGE / point["bound"]  # A: current of a weight of 1 driven by an input of 1
    learning: PlainData = {"kind": rule} | ({} if setup.lr is None else {"lr": setup.lr})
    if getattr(cls(), "reference", None) == "auto":
        learning["reference"] = "symmetry-point"  # at every point, however its steps balance
    if issubclass(cls, TikiTakaV2):
        learning["slow_device"] = _device(setup.response, point, point["retention"])
    return Design.of(
        {
            "device": _device(setup.response, point, point.get("fast_retention", point["retention"])),
            "cell": {"kind": "reference", "weight_max": point["bound"]},
            "periphery": {
                "read_voltage": _READ_VOLTAGE,
                "adc": {"range_A": math.inf if point["output_bound"] >= _NO_BOUND else point["output_bound"] * one},
                "output_noise": point["output_noise"] * one,
                "bound_management": "none",
            },
            "network": dict(setup.network or {"hidden": list(setup.hidden), "activation": "sigmoid"}),
            "rule": learning,
            "training": {"epochs": setup.epochs, "batch": setup.batch, "sample_s": 1.0},
        }
    )


def _device(response: str, point: Point, retention: float) -> PlainData:
    step, ratio = point["step"] / point["bound"] * _HALF_RANGE, 1 + point["imbalance"]
    up, down = 2 * step * ratio / (1 + ratio), 2 * step / (1 + ratio)
    spread = {"step": point["step_spread"], "asymmetry": point["asymmetry"], "g_max": point["range_spread"], "g_min": point["range_spread"]}
    floor = 4 * point["range_spread"] * _HALF_RANGE  # no bound falls below 0 S, so that the spread is the one asked for
    return {
        "name": "specified device",
        "g_min": floor,
        "g_max": floor + 2 * _HALF_RANGE,
        "response": {"kind": response, "step_up": up, "step_down": down},
        "spread": {name: value for name, value in spread.items() if value},
        "cycle_noise": point["cycle_noise"],
        "retention_s": math.inf if retention >= _NEVER else retention,
    }
