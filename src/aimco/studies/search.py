"""Which points to try next: a function of the study and of the trials before, and of nothing else.

A generation is asked as a whole, before any of its results is used, and the draws of its sampler are keyed by (seed, first
number). So the points do not depend on the number of workers or on their timing, and a study that was killed asks the same
ones again. Grid, random and Sobol points are functions of their number alone. TPE and NSGA-II are Optuna's, run on a copy of
the finished trials in memory.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from datetime import datetime

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, NSGAIISampler, TPESampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from aimco.plain_data import PlainData
from aimco.studies.axis import Axis, Choice, label
from aimco.studies.space import Choose, Study


def ask(study: Study, before: Sequence[FrozenTrial], count: int) -> list[FrozenTrial]:
    """The next `count` points as records to run, `before` being all trials up to here, finished."""
    if study.sampler in ("tpe", "nsga2"):
        return _asked_of_optuna(study, before, count)
    return [_record(study, choose) for choose in _chosen_by_number(study, len(before), count)]


def _chosen_by_number(study: Study, first: int, count: int) -> list[Choose]:
    if study.sampler == "grid":
        return [lambda path, axis, whole, point=point: point[path] for point in study.grid()[first : first + count]]
    places = _sobol(study, first, count) if study.sampler == "sobol" else _random(study, first, count)
    column = {path: k for k, path in enumerate(study.order)}
    return [lambda path, axis, whole, row=row: axis.at_unit(float(row[column[path]]), whole) for row in places]


def _sobol(study: Study, first: int, count: int) -> np.ndarray:
    from scipy.stats import qmc  # a second and a half

    points = qmc.Sobol(len(study.order), scramble=True, rng=np.random.default_rng(study.seed))
    if first:
        points.fast_forward(first)
    with warnings.catch_warnings():  # balance asks for a power of two in all, which is the user's choice
        warnings.simplefilter("ignore", UserWarning)
        return points.random(count)


def _random(study: Study, first: int, count: int) -> np.ndarray:
    return np.stack([np.random.default_rng([study.seed, number]).random(len(study.order)) for number in range(first, first + count)])


def _record(study: Study, choose: Choose, system_attrs: PlainData | None = None) -> FrozenTrial:
    """A point to run, with the distributions that it came from."""
    params: PlainData = {}
    distributions: dict[str, BaseDistribution] = {}

    def chosen(path: str, axis: Axis, whole: bool) -> Choice:
        value = choose(path, axis, whole)
        params[path] = value if axis.choices is None else label(value)
        distributions[path] = distribution(axis, whole)
        return value

    study.draw(chosen)
    record = create_trial(state=TrialState.RUNNING, params=params, distributions=distributions, system_attrs=system_attrs)
    record.datetime_start = datetime.now()
    return record


def distribution(axis: Axis, whole: bool) -> BaseDistribution:
    """An axis in Optuna's terms; choices by their labels."""
    if axis.choices is not None:
        return CategoricalDistribution([label(c) for c in axis.choices])
    low, high = axis.range
    if whole:
        return IntDistribution(int(low), int(high), log=axis.log, step=int(axis.step or 1))
    return FloatDistribution(low, high, log=axis.log, step=axis.step)


def _asked_of_optuna(study: Study, before: Sequence[FrozenTrial], count: int) -> list[FrozenTrial]:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    ways = {"max": StudyDirection.MAXIMIZE, "min": StudyDirection.MINIMIZE}
    memory = optuna.create_study(directions=[ways[o.best] for o in study.objectives], sampler=_sampler(study, len(before)))
    memory.add_trials([_remembered(study, record) for record in before])
    records = []
    for _ in range(count):
        trial = memory.ask()
        choose = _suggested(trial)
        points: PlainData = study.draw(choose)
        asked = memory.get_trials(deepcopy=False)[trial.number]
        records.append(_record(study, lambda path, axis, whole, p=points: p[path], dict(asked.system_attrs)))
    return records


def _sampler(study: Study, first: int) -> BaseSampler:
    seed = int(np.random.SeedSequence([study.seed, first]).generate_state(1)[0])
    if study.sampler == "nsga2":
        return NSGAIISampler(population_size=study.generation, seed=seed)
    return TPESampler(seed=seed)


def _suggested(trial: optuna.Trial) -> Choose:
    def choose(path: str, axis: Axis, whole: bool) -> Choice:
        if axis.choices is not None:
            labels = [label(c) for c in axis.choices]
            return axis.choices[labels.index(trial.suggest_categorical(path, labels))]
        low, high = axis.range
        if whole:
            return trial.suggest_int(path, int(low), int(high), step=int(axis.step or 1), log=axis.log)
        return trial.suggest_float(path, low, high, step=axis.step, log=axis.log)

    return choose


def _remembered(study: Study, record: FrozenTrial) -> FrozenTrial:
    """A finished trial as the sampler sees it: feasible where no constraint is exceeded, and with how far it came where it was pruned."""
    complete = record.state == TrialState.COMPLETE
    excess = record.user_attrs["outcome"]["excess"] if complete and study.constraints else None
    curves = record.user_attrs["outcome"]["curves"]
    curve = curves[f"test_{study.objectives[0].name}"] if record.state == TrialState.PRUNED else []
    return create_trial(
        state=record.state,
        values=record.values if complete else None,
        params=record.params,
        distributions=record.distributions,
        system_attrs=record.system_attrs,
        constraints=excess,
        intermediate_values=dict(enumerate(curve, 1)),
    )
