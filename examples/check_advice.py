"""Whether an advice can be relied on: held against a random search of ten times its budget, and against itself with other seeds.

    python examples/check_advice.py random --workers 2 --out docs/results
    python examples/check_advice.py seeds --workers 2 --out docs/results

random: for each device as many whole runs of settings drawn at random, over all ways and the whole ranges of their fields, as cost ten
times what the search of `aimco advise` costs. The best of them are played off and confirmed as those of an advice are, on the same seeds.
seeds: the same question with three seeds of the search, without limit of time, and whether two rules that both times are told apart by
their intervals come in the same order.
Both are resumed where they were left.
"""

from __future__ import annotations

import itertools
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tyro

import aimco as ai
from aimco.advice import Question, ties
from aimco.advice.answer import Candidate, Confirmed, Trial
from aimco.advice.candidates import candidates
from aimco.advice.confirm import confirm, play_off
from aimco.advice.jobs import Job, Jobs
from aimco.advice.tuning import RUNGS, score_of
from aimco.studies.settings import with_setting
from aimco.studies.workers import evaluator
from aimco.tasks import load
from aimco.terminal import keep

TIMES = 10  # the budget of an advice
LEADERS = 4
CONFIRMING, PLAYING = (1, 2, 3, 4, 5), (6, 7, 8)  # those of an advice whose seed is 0
SEEDS = (0, 1, 2)


def drawn(ways: Sequence[Candidate], count: int, generator: np.random.Generator) -> list[Trial]:
    """Settings at random: a way, and each of its fields anywhere in its range, even in the logarithm."""
    trials = []
    for _ in range(count):
        way = ways[int(generator.integers(len(ways)))]
        fields = way.design.rule.tunables(way.design)
        setting = {t.path: float(np.exp(generator.uniform(math.log(t.low), math.log(t.high)))) for t in fields}
        trials.append(Trial(way, setting, 1.0, math.nan))
    return trials


def budget(ways: int) -> int:
    """Whole runs that the search of an advice costs."""
    return round(sum(min(ways, rung.keep) * (rung.again + rung.new) * rung.share for rung in RUNGS))


def best_at_random(device: str, workers: int, folder: Path) -> tuple[Confirmed, int]:
    """The best of a random search, confirmed, and its number of runs."""
    question = Question(device, workers=workers)
    ways, _ = candidates(question.base)
    count, data = TIMES * budget(len(ways)), load("digits")
    trials = drawn(ways, count, np.random.default_rng(2024))
    with evaluator(workers) as evaluate:
        jobs = Jobs(evaluate, data, "digits", folder=folder / device)
        outcomes = jobs.run([Job(with_setting(t.candidate.design, t.setting), (question.seed,)) for t in trials])
        scored = [Trial(t.candidate, t.setting, 1.0, score_of(o, data)) for t, o in zip(trials, outcomes, strict=True) if o is not None]
        ranked = sorted((t for t in scored if not math.isnan(t.score)), key=lambda t: -t.score)
        leaders = list({t.candidate.name: t.candidate for t in ranked}.values())[:LEADERS]
        return confirm(play_off(leaders, ranked, jobs, PLAYING, 4), jobs, CONFIRMING)[0], count


def against_random(device: str, workers: int, out: str) -> dict[str, Any]:
    """A row: the advice of the committed table beside the best of a random search."""
    table = json.loads((Path(out) / "advise-digits.json").read_text())
    advice = next(r for r in table["rows"] if r["device"] == device)
    best, runs = best_at_random(device, workers, Path("build/random"))
    row = {"device": device, "advised": advice["best"], "score": advice["score"], "runs": runs}
    row |= {"random": best.candidate.name, "random score": best.score, "random margin": best.margin, "setting": best.setting}
    return row | {"worse by": best.score - advice["score"]}


def across_seeds(device: str, workers: int) -> dict[str, Any]:
    """A row: what is advised with each seed, and pairs of rules whose order changes beyond the intervals of both."""
    answers = [ai.advise(device, workers=workers, seed=seed, around=False, progress=False) for seed in SEEDS]
    orders = []
    for answer in answers:
        ranked: dict[str, Confirmed] = {}
        for one in answer.confirmed:  # the best of each rule
            ranked.setdefault(one.candidate.rule, one)
        orders.append({(a, b) for a, b in itertools.permutations(ranked, 2) if above(ranked[a], ranked[b])})
    turned = sorted({pair for first, second in itertools.permutations(orders, 2) for pair in first if pair[::-1] in second})
    told = [[{"way": c.candidate.name, "score": c.score, "margin": c.margin} for c in answer.confirmed] for answer in answers]
    return {"device": device, "seeds": list(SEEDS), "confirmed": told, "turned": turned}


def above(first: Confirmed, second: Confirmed) -> bool:
    """Whether the seeds tell that the first is better."""
    return first.score > second.score and not ties(first, second)


def main(
    check: tyro.conf.Positional[Literal["random", "seeds"]], device: list[str] | None = None, workers: int = 2, out: str = "docs/results"
) -> None:
    """Make a table of devices.

    Args:
        check: Against what.
        device: Names; all of the catalogue when none is named.
        workers: Local processes.
        out: Folder of the table, advise-CHECK.json, and of advise-digits.json.
    """
    path = Path(out) / f"advise-{check}.json"
    table = json.loads(path.read_text()) if path.exists() else {"task": "digits", "aimco": ai.__version__, "rows": []}
    done = {r["device"] for r in table["rows"]}
    for name in device or ai.Device.names():
        if name in done:
            continue
        row = against_random(name, workers, out) if check == "random" else across_seeds(name, workers)
        table["rows"].append(row)
        keep(out, f"advise-{check}", table)
        words = (
            f"advised {row['score']:.1f} %, random {row['random score']:.1f} %"
            if check == "random"
            else f"turned: {row['turned'] or 'none'}"
        )
        print(f"{name}: {words}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    tyro.cli(main)
