"""Points that differ only in numbers, trained together: what one worker does at a time."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from aimco import tasks
from aimco.design import Design
from aimco.evaluation import Result, evaluate_many
from aimco.plain_data import PlainData
from aimco.record import InputError, Record
from aimco.studies.metrics import metrics_of
from aimco.studies.pruning import Watch
from aimco.tasks import Data
from aimco.user_code import own_fault

Outcome = PlainData  # plain data, as it is kept


@dataclass(frozen=True)
class Pack:
    """Points to train together, as plain data that any process can read.

    Args:
        designs: plain data of each point's design. seeds: of its runs; every point is run with all of them.
        task, limit, data_dir: as of `evaluate`. bars: score after each epoch below which a point ends.
        sign: 1 where the score is the main metric of the task, -1 where it is its negative, less being better.
    """

    designs: list[PlainData]
    seeds: list[int]
    task: str
    limit: int | None
    data_dir: str | None
    bars: Sequence[float] = ()
    sign: int = 1


def batch_key(value: object) -> object:
    """What must be equal for designs to train together: everything but floats, which lie along the ensemble axis."""
    if isinstance(value, Record):
        parts = ((n, getattr(value, n)) for n in type(value).model_fields)
        return type(value), tuple((n, v if n in value.shared_fields else batch_key(v)) for n, v in parts)
    if isinstance(value, Mapping):
        return tuple((k, batch_key(v)) for k, v in value.items())
    if isinstance(value, tuple) and all(isinstance(v, Record) for v in value):
        return tuple(batch_key(v) for v in value)
    return float if isinstance(value, float) else value


def packs(designs: Mapping[int, Design], most: int) -> Iterator[list[int]]:
    """Numbers of the points that train together, at most so many, in the order of their first."""
    groups: dict[object, list[int]] = {}
    for number, design in designs.items():
        groups.setdefault(batch_key(design), []).append(number)
    for numbers in groups.values():
        for start in range(0, len(numbers), most):
            yield numbers[start : start + most]


def evaluate_pack(pack: Pack) -> list[Outcome]:
    """Run every point with every seed. A point that no run can be made of fails with its reason, and fails alone."""
    try:
        return _together(pack, pack.designs)
    except Exception as error:
        if len(pack.designs) == 1:
            return [failed(str(error) if isinstance(error, InputError) else own_fault(error) or f"{type(error).__name__}: {error}")]
    return [evaluate_pack(replace(pack, designs=[design]))[0] for design in pack.designs]


def failed(reason: str) -> Outcome:
    """The outcome of a point without a result."""
    return {"state": "failed", "metrics": {}, "curves": {}, "result": {}, "wall_s": 0.0, "reason": reason}


def _together(pack: Pack, plain: Sequence[PlainData]) -> list[Outcome]:
    designs = [Design.of(data) for data in plain]
    members = [d for d in designs for _ in pack.seeds]
    watch = Watch(pack.bars, len(designs))
    sign = pack.sign

    def go_on(epoch: int, values: np.ndarray) -> bool:
        return watch.go_on(epoch, sign * values)

    results = evaluate_many(members, _task(pack), seeds=pack.seeds * len(designs), go_on=go_on if pack.bars else None)
    n = len(pack.seeds)
    each = [results[k * n : (k + 1) * n] for k in range(len(designs))]
    return [_pruned(mine, watch, k) if watch.ended[k] else _outcome(mine) for k, mine in enumerate(each)]


def _task(pack: Pack) -> Data:
    return _loaded(pack.task, tasks.task_of(pack.task).hash(), pack.data_dir, pack.seeds[0], pack.limit)


@functools.lru_cache(maxsize=2)
def _loaded(name: str, content: str, data_dir: str | None, seed: int, limit: int | None) -> Data:
    """Data by the name and the content of their task, which may change within a process."""
    return tasks.load(name, data_dir=data_dir, seed=seed, limit=limit)


def _outcome(results: Sequence[Result]) -> Outcome:
    """One point: means over its seeds."""
    every = [metrics_of(r) for r in results]
    metrics = {name: float(np.mean([one[name] for one in every])) for name in every[0]}
    result = {
        "metric_seeds": {name: [r.metrics[name] for r in results] for name in results[0].metrics},
        "energy_J": {part: float(np.mean([r.energy_J[part] for r in results])) for part in results[0].energy_J},
        "latency_s": {part: float(np.mean([r.latency_s[part] for r in results])) for part in results[0].latency_s},
        "area_m2": metrics["area"],
        "counts": {name: float(np.mean([r.counts[name] for r in results])) for name in results[0].counts},
        "metrics": metrics,
        "notes": list(dict.fromkeys(note for r in results for note in r.notes)),
        "versions": results[0].versions,
    }
    wall = sum(r.wall_s for r in results)
    return {"state": "complete", "metrics": metrics, "curves": _curves(results), "result": result, "wall_s": wall, "reason": ""}


def _curves(results: Sequence[Result]) -> dict[str, list[float]]:
    return {name: np.mean([r.curves[name] for r in results], 0).tolist() for name in results[0].curves}


def _pruned(results: Sequence[Result], watch: Watch, k: int) -> Outcome:
    """A point that ended early, with what it had then; what it did beside others of its pack after that does not count."""
    curves = {name: curve[: watch.ended[k]] for name, curve in _curves(results).items()}
    metrics = {m.name: curves[f"test_{m.name}"][-1] for m in results[0].judged_by}
    reason, wall = watch.reason(k, results[0].design.training.epochs), sum(r.wall_s for r in results)
    return {"state": "pruned", "metrics": metrics, "curves": curves, "result": {}, "wall_s": wall, "reason": reason}
