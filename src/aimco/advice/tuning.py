"""Search of each candidate's rates: successive halving over samples and epochs, the settings of a candidate along the ensemble axis.

Each rung trains longer and fewer. A candidate is judged by its best setting of the last rung that it reached, so that no rule is judged
by the rates of another. The first values of a candidate lie around those that its rule takes for the device by itself, by a Sobol
sequence; later ones are asked of Optuna's TPE.

Source: Jamieson and Talwalkar 2016 (AISTATS), successive halving; Bergstra 2011 (NeurIPS), TPE.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial

from aimco.advice.answer import Candidate, Trial
from aimco.advice.jobs import Job, Jobs
from aimco.data.data import Data
from aimco.studies.pack import Outcome
from aimco.studies.settings import settings_around
from aimco.tunable import Tunable

Setting = dict[str, float]
OnTrials = Callable[[Sequence[Trial]], None]
_LAST = 4  # part of the epochs, at the end, whose mean score counts
_FEW = 2000  # samples below which no rung takes a part of them


@dataclass(frozen=True)
class Rung:
    """One rung of the halving.

    Args:
        share: Of the epochs of the schedule.
        samples: Part of the training samples.
        again: Settings that come up from the rung below.
        new: Settings that are tried for the first time.
        keep: Candidates that come up to it, at most.
        until: Part of the time for tuning after which it ends, and the next begins with what is known; where time is short.
    """

    share: float
    samples: float
    again: int
    new: int
    keep: int
    until: float = 1.0


RUNGS = (Rung(0.2, 0.5, 0, 8, 1000, 0.5), Rung(0.4, 1.0, 3, 9, 12, 0.75), Rung(1.0, 1.0, 5, 11, 4, 1.0))
QUICK = (Rung(0.2, 0.5, 0, 3, 24, 0.5), Rung(1.0, 1.0, 2, 2, 3, 1.0))
Ends = Callable[[Candidate | None], float]


def tune(candidates: Sequence[Candidate], jobs: Jobs, seed: int, on_trials: OnTrials, rungs: Sequence[Rung], ends: Ends) -> None:
    """Try settings of candidates, rung by rung, until the deadline of the jobs; a rung has a part of the time until then.

    Args:
        candidates: The most promising first: where time is short, the last are not tried.
        jobs: What runs them.
        seed: Of devices, noise and order, the same for all settings.
        on_trials: Given the trials of each candidate and rung as they are done.
        rungs: What is tried on each.
        ends: Given the leader, if any, when tuning must end so that it can be confirmed in time.
    """
    trials: dict[str, list[Trial]] = {c.name: [] for c in candidates}
    left, began = list(candidates), time.monotonic()
    for rung in rungs:
        jobs.deadline = began + rung.until * (ends(left[0] if trials[left[0].name] else None) - began) if left else began
        left = sorted(left, key=lambda c: -_best(trials[c.name]))[: rung.keep]
        asked = [trial for candidate in left for trial in _asked_of(candidate, rung, trials[candidate.name], jobs, seed)]

        def on_pack(outcomes: Mapping[int, Outcome], asked: Sequence[Trial] = asked) -> None:
            on_trials([_judged(asked[k], outcome, jobs.data) for k, outcome in outcomes.items()])

        outcomes = jobs.run([_job(trial, rung, jobs, seed) for trial in asked], on_pack)
        for trial, outcome in zip(asked, outcomes, strict=True):  # in this order, however workers came to an end
            if outcome is not None:
                trials[trial.candidate.name].append(_judged(trial, outcome, jobs.data))
        reached = {trial.candidate.name for trial, outcome in zip(asked, outcomes, strict=True) if outcome is not None}
        left = sorted(_distinct([c for c in left if c.name in reached], trials), key=lambda c: -_best(trials[c.name]))


def _distinct(candidates: Sequence[Candidate], trials: Mapping[str, Sequence[Trial]]) -> list[Candidate]:
    """Candidates without those that did to the last digit what another did: cells that differ in circuit alone, rules in their defaults.

    Of these the one of the plainer rule stays.
    """
    distinct: dict[tuple[float, ...], Candidate] = {}
    for candidate in sorted(candidates, key=lambda c: len(type(c.design.rule).__mro__)):
        distinct.setdefault(tuple(t.score for t in trials[candidate.name]), candidate)
    return list(distinct.values())


def _best(trials: Sequence[Trial]) -> float:
    """The best score of the longest rung of a candidate; of one that was not tried, as if it were perfect."""
    longest = max((t.share for t in trials), default=0.0)
    return max((t.score for t in trials if t.share == longest and not math.isnan(t.score)), default=-math.inf if trials else math.inf)


def _asked_of(candidate: Candidate, rung: Rung, before: Sequence[Trial], jobs: Jobs, seed: int) -> list[Trial]:
    """Settings of a candidate to try on a rung, without a score."""
    schedule, samples = candidate.design.training, len(jobs.data.train_x)
    share = _epochs(rung, schedule.epochs) / schedule.epochs * min(1.0, (_limit(rung, jobs) or samples) / samples)
    return [Trial(candidate, setting, share, math.nan) for setting in _settings(candidate, rung, before, seed)]


def _job(trial: Trial, rung: Rung, jobs: Jobs, seed: int) -> Job:
    """The run of a trial: part of the schedule and of the samples."""
    schedule = trial.candidate.design.training
    design = trial.design.replace("training.epochs", _epochs(rung, schedule.epochs))
    if schedule.decay_every is not None:
        design = design.replace("training.decay_every", _epochs(rung, schedule.decay_every))
    return Job(design, (seed,), _limit(rung, jobs))


def _epochs(rung: Rung, epochs: int) -> int:
    return max(1, round(rung.share * epochs))


def _limit(rung: Rung, jobs: Jobs) -> int | None:
    """Training samples of a rung; all of them when None."""
    samples = len(jobs.data.train_x)
    return None if samples <= _FEW or rung.samples == 1 else max(_FEW, round(rung.samples * samples))


def _judged(trial: Trial, outcome: Outcome, data: Data) -> Trial:
    return replace(trial, score=score_of(outcome, data), reason=outcome["reason"])


def score_of(outcome: Outcome, data: Data) -> float:
    """Per cent of a perfect result, the mean of the last epochs; NaN of a run that failed."""
    if outcome["state"] == "failed":
        return math.nan
    curves = {m.name: outcome["curves"][f"test_{m.name}"] for m in data.goal.metrics}
    last = max(1, len(curves[data.goal.main.name]) // _LAST)
    return data.goal.score({name: float(np.mean(curve[-last:])) for name, curve in curves.items()}, data.test_y)


def _settings(candidate: Candidate, rung: Rung, before: Sequence[Trial], seed: int) -> list[Setting]:
    """Settings of a rung: the best of the rung below, then new ones."""
    tunables = candidate.design.rule.tunables(candidate.design)
    if not tunables:
        return [{}]
    if not before:
        return settings_around(candidate.design, tunables, rung.new, seed)
    longest = max(t.share for t in before)
    best = sorted((t for t in before if t.share == longest and not math.isnan(t.score)), key=lambda t: -t.score)[: rung.again]
    return [t.setting for t in best] + _asked(tunables, [t for t in before if t.share == longest], rung.new, seed)


def _asked(tunables: Sequence[Tunable], before: Sequence[Trial], count: int, seed: int) -> list[Setting]:
    """New settings from Optuna's TPE, which knows those tried on the rung below."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    ranges: dict[str, BaseDistribution] = {t.path: FloatDistribution(t.low, t.high, log=True) for t in tunables}
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=4, constant_liar=True)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for trial in before:
        if trial.setting and not math.isnan(trial.score):
            study.add_trial(create_trial(state=TrialState.COMPLETE, value=trial.score, params=trial.setting, distributions=ranges))
    return [dict(study.ask(ranges).params) for _ in range(count)]
