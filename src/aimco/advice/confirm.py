"""Leaders on seeds that no search saw, beside software on the same network and schedule."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from aimco.advice.answer import Candidate, Confirmed, Trial
from aimco.advice.jobs import Job, Jobs
from aimco.studies.pack import Outcome
from aimco.studies.settings import SOFTWARE_RATES


def play_off(leaders: Sequence[Candidate], trials: Sequence[Trial], jobs: Jobs, seeds: Sequence[int], count: int) -> list[Trial]:
    """Of each leader the setting that is best on several seeds, since the best of many on one seed is in part luck.

    Args:
        leaders: Candidates.
        trials: All that were tried.
        jobs: What runs them.
        seeds: Neither those of the search nor those of the confirmation.
        count: Settings of each.
    """
    asked = [trial for leader in leaders for trial in _finalists(leader, trials, count)]
    outcomes = jobs.run([Job(trial.design, tuple(seeds)) for trial in asked])
    best: dict[str, Trial] = {}
    for trial, outcome in zip(asked, outcomes, strict=True):
        if outcome is not None and outcome["state"] != "failed":
            score = confirmed(trial.candidate, trial.setting, outcome, jobs).score
            known = best.get(trial.candidate.name)
            if known is None or score > known.score:
                best[trial.candidate.name] = replace(trial, score=score)
    return [best[leader.name] for leader in leaders if leader.name in best]


def _finalists(leader: Candidate, trials: Sequence[Trial], count: int) -> list[Trial]:
    """The best settings of a candidate, and the rates that its rule takes by itself."""
    tried = [t for t in trials if t.candidate.name == leader.name and not math.isnan(t.score)]
    longest = [t for t in tried if t.share == max(o.share for o in tried)]
    best = sorted(longest, key=lambda t: -t.score)[:count]
    plain = Trial(leader, {}, 1.0, math.nan)
    return best if any(not t.setting for t in best) else [*best, plain]


def confirm(trials: Sequence[Trial], jobs: Jobs, seeds: Sequence[int]) -> list[Confirmed]:
    """Run settings to the end on several seeds; those that the deadline left undone are left out. Best first."""
    outcomes = jobs.run([Job(trial.design, tuple(seeds)) for trial in trials])
    pairs = zip(trials, outcomes, strict=True)
    done = [confirmed(t.candidate, t.setting, o, jobs) for t, o in pairs if o is not None and o["state"] != "failed"]
    return sorted(done, key=lambda c: -c.score)


def confirmed(candidate: Candidate, setting: dict[str, float], outcome: Outcome, jobs: Jobs) -> Confirmed:
    """What an outcome over several seeds says of a design."""
    goal = jobs.data.goal
    seeds = zip(*(outcome["result"]["metric_seeds"][m.name] for m in goal.metrics), strict=True)
    scores = tuple(goal.score(dict(zip((m.name for m in goal.metrics), values, strict=True)), jobs.data.test_y) for values in seeds)
    return Confirmed(candidate, setting, scores, outcome["metrics"], outcome["result"])


def in_software(candidate: Candidate, jobs: Jobs, choosing: Sequence[int], seeds: Sequence[int]) -> Confirmed | None:
    """Software with the best of a few learning rates; None where the time is up.

    Args:
        candidate: The network and schedule in software.
        jobs: What runs it.
        choosing: Seeds on which the rate is chosen.
        seeds: Seeds that are reported.
    """
    trials = [Trial(candidate, {"rule.lr": lr}, 1.0, math.nan) for lr in SOFTWARE_RATES]
    best = next(iter(confirm(trials, jobs, choosing)), None)
    if best is None:
        return None
    return next(iter(confirm([Trial(candidate, best.setting, 1.0, best.score)], jobs, seeds)), None)
