"""Leaders on seeds that no search saw, beside software on the same network and schedule."""

from __future__ import annotations

import math
from collections.abc import Sequence

from aimco.advice.answer import Candidate, Confirmed, Trial
from aimco.advice.jobs import Job, Jobs
from aimco.studies.pack import Outcome


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


def in_software(candidate: Candidate, jobs: Jobs, seeds: Sequence[int]) -> Confirmed | None:
    """Software with the best of a few learning rates; None where the time is up."""
    rates = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
    outcomes = jobs.run([Job(candidate.design.replace("rule.lr", lr), tuple(seeds)) for lr in rates])
    pairs = zip(rates, outcomes, strict=True)
    done = [confirmed(candidate, {"rule.lr": lr}, o, jobs) for lr, o in pairs if o is not None and o["state"] != "failed"]
    return max((c for c in done if not math.isnan(c.score)), key=lambda c: c.score, default=None)
