"""What an advice says: what was tried, what was confirmed, what the device costs and what the circuit must give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.stats import t as student

from aimco.design import Design
from aimco.studies.settings import with_setting

LEVEL = 0.95  # of intervals


@dataclass(frozen=True)
class Candidate:
    """A way to learn on the device: a rule, a cell, and what arrays are read against.

    Args:
        rule: Kind of the rule.
        cell: Kind of the cell.
        reference: Reference policy of the rule; None for rules that have none.
        design: With the rule's own rates.
    """

    rule: str
    cell: str
    reference: str | None
    design: Design

    @property
    def name(self) -> str:
        """In words, as "agad, pair"."""
        read = {None: "", "none": ""}.get(self.reference, f", against its {(self.reference or '').replace('-', ' ')}")
        return f"{self.rule}, {self.cell}{read}"


@dataclass(frozen=True)
class Refusal:
    """A way to learn that the device does not admit.

    Args:
        rule: Kind of the rule.
        cell: Kind of the cell.
        reference: Reference policy, if the rule has any.
        reason: The field that would admit it, and why, in one sentence.
    """

    rule: str
    cell: str
    reference: str | None
    reason: str


@dataclass(frozen=True)
class Trial:
    """A setting that was tried.

    Args:
        candidate: Whose setting it is.
        setting: Dotted field -> value; fields not named are the candidate's.
        share: Of the schedule that was run, 0 to 1.
        score: Per cent of a perfect result; NaN where the run failed.
        reason: Why it failed.
    """

    candidate: Candidate
    setting: dict[str, float]
    share: float
    score: float
    reason: str = ""

    @property
    def design(self) -> Design:
        """The candidate with this setting."""
        return with_setting(self.candidate.design, self.setting)


def interval(scores: Sequence[float]) -> tuple[float, float]:
    """Mean and half the 95 % interval of numbers; infinite for one."""
    n, values = len(scores), np.asarray(scores, float)
    half = float(student.ppf(0.5 + LEVEL / 2, n - 1) * values.std(ddof=1) / np.sqrt(n)) if n > 1 else float("inf")
    return float(values.mean()), half


@dataclass(frozen=True)
class Confirmed:
    """A design that was run to the end on seeds that no search saw.

    Args:
        candidate: What it is.
        setting: Its tuned fields.
        scores: Per cent of a perfect result, of each seed.
        metrics: Mean of each metric and cost over the seeds.
        result: Mean counts, energy by part, notes.
    """

    candidate: Candidate
    setting: dict[str, float]
    scores: tuple[float, ...]
    metrics: dict[str, float]
    result: dict[str, Any]

    @property
    def score(self) -> float:
        """Mean of the seeds, per cent."""
        return float(np.mean(self.scores))

    @property
    def margin(self) -> float:
        """Half the 95 % interval of the mean; infinite for one seed."""
        return interval(self.scores)[1]

    @property
    def design(self) -> Design:
        """The candidate with its setting."""
        return with_setting(self.candidate.design, self.setting)


def ties(first: Confirmed, other: Confirmed) -> bool:
    """Whether the seeds do not tell two designs apart: the interval of their mean difference, seed by seed, holds 0."""
    mean, margin = interval(np.subtract(first.scores, other.scores).tolist())
    return mean <= margin


@dataclass(frozen=True)
class Influence:
    """What one line of the datasheet does to the best design.

    Args:
        parameter: Dotted field.
        name: In words, as "cycle-to-cycle noise".
        change: What was done to it, as "halved".
        value: Its value then.
        gain: Points of the mean score above the best design's, of the same seeds.
        margin: Half the 95 % interval of the gain.
    """

    parameter: str
    name: str
    change: str
    value: float
    gain: float
    margin: float

    @property
    def matters(self) -> bool:
        """Whether the interval of the gain leaves out 0."""
        return abs(self.gain) > self.margin


@dataclass(frozen=True)
class Demand:
    """What the circuit must give: a number worsened until a point is lost.

    Args:
        parameter: Dotted field.
        name: In words, as "ADC resolution".
        unit: Of the values.
        values: That were tried, from good to bad.
        lost: Points of the mean score lost at each.
        margins: Half the 95 % interval of each loss, of paired seeds; infinite for one seed.
        needed: The worst value with less than a point lost; None where the first tried already loses one.
    """

    parameter: str
    name: str
    unit: str
    values: tuple[float, ...]
    lost: tuple[float, ...]
    margins: tuple[float, ...]
    needed: float | None


@dataclass
class Answer:
    """What makes a device learn.

    Args:
        device: Its name.
        task: That was learned, in a word.
        task_text: The task as commands take it.
        metric: Name of what scores are per cent of.
        chance: Score of a network that gives the same outputs for every sample, per cent.
        command: That gives this answer again.
        trials: Settings that were tried.
        admitted: Rules of the ways to learn that the device admits.
        refused: What the device does not admit.
        digital: Software on the same network and schedule, confirmed.
        confirmed: Leaders, best first.
        influences: Lines of the datasheet around the best design.
        demands: What the circuit must give.
        notes: What is not as it seems.
        finished: Whether all that was planned was done.
        stopped: Whether Ctrl-C ended it.
        took_s: Wall-clock time, s.
    """

    device: str
    task: str
    task_text: str
    metric: str
    chance: float
    command: str
    trials: list[Trial] = field(default_factory=list)
    admitted: set[str] = field(default_factory=set)
    refused: list[Refusal] = field(default_factory=list)
    digital: Confirmed | None = None
    confirmed: list[Confirmed] = field(default_factory=list)
    influences: list[Influence] = field(default_factory=list)
    demands: list[Demand] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    finished: bool = False
    stopped: bool = False
    took_s: float = 0.0

    @property
    def best(self) -> Confirmed | None:
        """The best that was confirmed; None where nothing was."""
        return self.confirmed[0] if self.confirmed else None

    def best_trials(self) -> list[Trial]:
        """The best setting of each candidate, of those that ran longest, best first."""
        best: dict[str, Trial] = {}
        for trial in self.trials:
            known = best.get(trial.candidate.name)
            if known is None or _rank(trial) > _rank(known):
                best[trial.candidate.name] = trial
        return sorted(best.values(), key=_rank, reverse=True)


def _rank(trial: Trial) -> tuple[float, float]:
    return trial.share, -np.inf if np.isnan(trial.score) else trial.score
