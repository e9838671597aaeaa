"""Hypervolume of a study against random search of the same size, over seeds of the sampler.

    python examples/study/compare_random.py examples/study/digits.toml --workers 2 --out compare

All fronts are measured to one corner: the worst of each objective among all trials of all runs. It can be stopped and started again.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

from aimco.record import write_atomic
from aimco.studies import Study, Trial, default_storage, hypervolume, run


def searched(study: Study, sampler: str, seed: int, folder: Path, workers: int) -> list[Trial]:
    """One run with a sampler and a seed."""
    variant = study.replace("name", f"{study.name}-{sampler}-{seed}").replace("sampler", sampler).replace("seed", seed)
    started = time.perf_counter()
    trials = run(variant, storage=default_storage(folder / f"{sampler}-{seed}.toml"), workers=workers)
    print(f"{sampler}, seed {seed}: {len(trials)} trials, {time.perf_counter() - started:.0f} s", flush=True)
    return trials


def worst(study: Study, runs: list[list[Trial]]) -> dict[str, float]:
    """The corner: the worst value of each objective."""
    complete = [t for trials in runs for t in trials if t.state == "complete"]
    ends = {o.name: min if o.best == "max" else max for o in study.objectives}
    return {name: end(t.values[name] for t in complete) for name, end in ends.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--trials", type=int)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--out", default="compare")
    given = parser.parse_args()
    study, folder = Study.load(given.study), Path(given.out)
    study = study.replace("trials", given.trials) if given.trials else study
    runs = {(s, k): searched(study, s, k, folder, given.workers) for k in given.seeds for s in (study.sampler, "random")}
    corner = worst(study, list(runs.values()))
    volumes = {s: [hypervolume(runs[s, k], corner) for k in given.seeds] for s in (study.sampler, "random")}
    mean = {s: statistics.mean(v) for s, v in volumes.items()}
    result = {"corner": corner, "hypervolume": volumes, "mean": mean, "ratio": mean[study.sampler] / mean["random"]}
    write_atomic(folder / "hypervolume.json", json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
