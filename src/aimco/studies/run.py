"""run(study): ask a generation of points, train them in packs, keep what came of them; and go on from wherever it was left."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from optuna.trial import FrozenTrial, TrialState

from aimco import tasks
from aimco.data.data import Data
from aimco.design import Design
from aimco.record import InputError
from aimco.studies.metrics import COSTS
from aimco.studies.pack import Outcome, Pack, failed, packs
from aimco.studies.search import ask
from aimco.studies.space import Study
from aimco.studies.store import Store, alone, check_storage, opened, point_of
from aimco.studies.trial import Trial
from aimco.studies.workers import Evaluate, check_workers, evaluator

OnTrial = Callable[[Trial, int, int], None]


def run(
    study: Study,
    *,
    storage: str,
    data_dir: str | None = None,
    workers: int = 1,
    cluster: str | None = None,
    resume: bool = False,
    on_trial: OnTrial | None = None,
) -> list[Trial]:
    """Run a study to its end, from where the storage has it. What is finished there is not run again.

    Points are asked in generations and packed before they are given to workers, so the same study gives the same trials whatever the
    workers. Points that were asked and not finished are run again in their packs, under their own numbers.

    Args:
        storage: URL of Optuna, for example `default_storage("study.toml")`. data_dir: folder of the task's files.
        workers: local processes. cluster: address of a Dask scheduler, instead. resume: refuse to start a study that is not there.
        on_trial: called with (trial, finished, all) as each trial is finished.

    Returns:
        All finished trials, by number.

    Raises:
        InputError: the storage holds a different study of this name or is in use; the task cannot be loaded.
    """
    check_workers(workers, cluster)
    check_storage(storage)
    _check_metrics(study, tasks.load(study.task, data_dir=data_dir, seed=study.seeds[0], limit=study.limit))
    size = study.size()
    with alone(storage), opened(study, storage, must_be_there=resume) as store, evaluator(workers, cluster) as evaluate:
        done = sum(record.state.is_finished() for record in store.records())
        for first in range(0, size, study.generation):
            records = _generation(study, store, first, min(study.generation, size - first))
            bars = [] if study.pruning is None else _bars(study, store.records()[:first])
            for trial in _finish(study, store, evaluate, records, bars, data_dir):
                done += 1
                if on_trial:
                    on_trial(trial, done, size)
        return [store.trial(record) for record in store.records() if record.state.is_finished()][:size]


def _sign(study: Study) -> int:
    """What makes a score of the first objective, of which more is better."""
    return 1 if study.objectives[0].best == "max" else -1


def _check_metrics(study: Study, data: Data) -> None:
    """Refuse what the task does not give, and what it gives by the name of a cost."""
    given = [metric.name for metric in data.goal.metrics]
    taken = [name for name in given if name in COSTS]
    if taken:
        raise InputError(f"metrics of task {data.name} must not be named like a cost, got {taken[0]}; the costs are {', '.join(COSTS)}")
    for field, names in (("objectives", [o.name for o in study.objectives]), ("constraints", list(study.constraints))):
        for name in names:
            if name not in COSTS and name not in given:
                raise InputError(f"{field} must be metrics of task {data.name}, {', '.join(given)}, or costs, got {name!r}")
    if study.pruning is not None and study.objectives[0].name != given[0]:
        raise InputError(f"pruning must be by {given[0]}, the main metric of task {data.name}, got {study.objectives[0].name}")


def _generation(study: Study, store: Store, first: int, count: int) -> list[FrozenTrial]:
    """The records of a generation, asked for where they are not there yet."""
    records = store.records()
    if len(records) < first + count:
        for record in ask(study, records[:first], count)[len(records) - first :]:
            store.add(record)
        records = store.records()
    return records[first : first + count]


def _bars(study: Study, before: list[FrozenTrial]) -> list[float]:
    """Scores after each epoch below which the points of the next generation end."""
    if study.pruning is None:
        return []
    name = study.objectives[0].name
    sign = _sign(study)
    complete, pruned = (
        [[sign * v for v in r.user_attrs["outcome"]["curves"][f"test_{name}"]] for r in before if r.state == state]
        for state in (TrialState.COMPLETE, TrialState.PRUNED)
    )
    return study.pruning.bars(complete, pruned)


def _finish(
    study: Study, store: Store, evaluate: Evaluate, records: list[FrozenTrial], bars: list[float], data_dir: str | None
) -> Iterator[Trial]:
    """Run what is not finished of a generation; yields each trial as it is kept."""
    waiting = {r.number: r for r in records if not r.state.is_finished()}
    if not waiting:
        return
    designs: dict[int, Design] = {}
    for record in records:
        try:
            designs[record.number] = study.design(point_of(study, record))
        except InputError as error:
            if record.number in waiting:
                yield store.tell(record, _judged(study, failed(str(error)), None))
    groups = [g for g in packs(designs, study.pack) if any(n in waiting for n in g)]
    task, sign = study.task.text(), _sign(study)
    jobs = [Pack([designs[n].as_dict() for n in g], list(study.seeds), task, study.limit, data_dir, bars, sign) for g in groups]
    for k, outcomes in evaluate(jobs):
        for number, outcome in zip(groups[k], outcomes, strict=True):
            if number in waiting:
                yield store.tell(waiting[number], _judged(study, outcome, designs[number]))


def _judged(study: Study, outcome: Outcome, design: Design | None) -> Outcome:
    """An outcome with its objectives, and how far it is outside of the constraints."""
    metrics, complete = outcome["metrics"], outcome["state"] == "complete"
    excess = {n: bound.excess(metrics[n]) for n, bound in study.constraints.items()} if complete else {}
    return {
        **outcome,
        "values": {o.name: metrics[o.name] for o in study.objectives} if metrics else {},
        "excess": excess,
        "feasible": outcome["state"] != "failed" and all(e <= 0 for e in excess.values()),
        "design": design.dumps() if design else "",
    }
