"""A derived specification: the lines of each rule, alone and together, and the requirement that judges devices by them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

from aimco.device.device import Device
from aimco.device.requirement import Line, Requirement, Verdict
from aimco.plain_data import PlainData
from aimco.studies.parameters import BOUND, Bench, Sweep
from aimco.studies.threshold import Threshold


@dataclass(frozen=True)
class Finding:
    """One line under one rule.

    Args:
        sweep: Which.
        threshold: Alone, all else near-ideal.
        values: Tried, (V,).
        accuracy: Mean accuracy at each, %.
        settings: Rates of the rule at each, dotted field -> value.
        joint: The value in the joint specification; None where no joint one was found.
    """

    sweep: Sweep
    threshold: Threshold
    values: list[float]
    accuracy: list[float]
    settings: list[dict[str, float]]
    joint: float | None = None

    def as_json(self) -> PlainData:
        """Plain data."""
        plain = {name: getattr(self.sweep, name) for name in ("key", "name", "unit", "base", "recalled")}
        return (
            plain
            | asdict(self.threshold)
            | {"joint": self.joint, "values": self.values, "accuracy": self.accuracy, "settings": self.settings}
        )


@dataclass(frozen=True)
class Joint:
    """All lines together, each at one fraction of its tolerated deviation.

    Args:
        fraction: the largest tried that keeps the allowed penalty; None when none did. accuracy, lost: verified there, % and points.
        tried: (fraction, points lost) of all runs.
    """

    fraction: float | None
    accuracy: float | None
    lost: float | None
    tried: list[tuple[float, float]]


@dataclass(frozen=True)
class Derived:
    """The specification of one rule.

    Args:
        software, near_ideal: accuracy, %, of the network in floating point and on the near-ideal device, means over seeds.
        deviation: standard deviation of the near-ideal accuracy over seeds, points. sample_s: time of one training sample, s.
        setting: rates on the near-ideal device, dotted field -> value.
    """

    rule: str
    software: float
    near_ideal: float
    deviation: float
    findings: list[Finding]
    joint: Joint
    sample_s: float
    notes: list[str] = field(default_factory=list)
    setting: dict[str, float] = field(default_factory=dict)

    def requirement(self, task: str, allowed: float) -> Requirement:
        """The lines that are of a device, as a table to judge by: jointly verified values, or single tolerances where there are none."""
        lines = [line for finding in self.findings if (line := _line(finding, self.sample_s)) is not None]
        how = "each alone" if self.joint.fraction is None else "all together"
        about = f"derived: {self.rule} on {task} within {allowed:g} points of the near-ideal device, {how}"
        return Requirement(name=f"{self.rule} on {task}", description=about, source="aimco requirements", lines=tuple(lines))

    def as_json(self) -> PlainData:
        """Plain data."""
        plain = {name: getattr(self, name) for name in ("rule", "software", "near_ideal", "deviation", "sample_s", "notes", "setting")}
        return plain | {"lines": [f.as_json() for f in self.findings], "joint": asdict(self.joint)}


def _line(finding: Finding, sample_s: float) -> Line | None:
    quantity, value = finding.sweep.quantity, finding.joint or finding.threshold.value
    if quantity is None:
        return None
    if quantity == "states":
        return Line(name="states", quantity=quantity, at_least=2 * BOUND / value, unit="levels")
    if quantity == "retention":
        return Line(name=finding.sweep.name, quantity=quantity, at_least=value * sample_s, unit="s")
    if quantity == "step_ratio":
        return Line(name="up/down step, all devices", quantity=quantity, at_most=1 + value)
    return Line(name=finding.sweep.name, quantity=quantity, at_most=value)


@dataclass(frozen=True)
class Answer:
    """The specifications of all rules that were asked for.

    Args:
        task: In a word.
        penalty: Allowed, points.
        seeds: Trained with.
        samples: Trained with.
        bench: Network and schedule.
        rules: The specification of each.
        tuned: Whether rates were chosen anew at each point.
    """

    task: str
    penalty: float
    seeds: int
    samples: int
    bench: Bench
    rules: list[Derived]
    tuned: bool = True

    def as_json(self) -> PlainData:
        """Plain data."""
        plain = {name: getattr(self, name) for name in ("task", "penalty", "seeds", "samples", "tuned")}
        return plain | {"bench": asdict(self.bench), "rules": [d.as_json() for d in self.rules], "relaxed": self.relaxed()}

    def relaxed(self) -> list[PlainData]:
        """For each line the factor by which each rule relaxes it against the first rule that has it, > 1 being looser."""
        having: dict[str, list[tuple[str, Finding]]] = {}
        for derived in self.rules:
            for finding in derived.findings:
                having.setdefault(finding.sweep.key, []).append((derived.rule, finding))
        rows = []
        for key, ((against, first), *others) in having.items():
            factors = {rule: _factor(first, other) for rule, other in others}
            rows.append({"line": first.sweep.name, "key": key, "against": against, "factors": factors})
        return rows

    def verdicts(self, device: Device) -> dict[str, Verdict]:
        """A device against the requirement of each rule."""
        return {d.rule: d.requirement(self.task, self.penalty).verdict(device) for d in self.rules}


def _factor(first: Finding, other: Finding) -> PlainData:
    """How many times looser the second is; only a least factor, or None, where a threshold is a bound."""
    a, b = first.threshold, other.threshold
    factor = b.value / a.value if first.sweep.rises else a.value / b.value
    at_least = (b.kind == "any" and a.kind != "any") or (a.kind == "none" and b.kind != "none")
    known = at_least or (a.kind == "crossed" and b.kind == "crossed")
    return {"factor": factor if known else None, "at_least": at_least}
