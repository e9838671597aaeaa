"""Which fields matter: Sobol indices and importances of each objective over the space of a study.

The trials of a search are not a Saltelli design: there are too few, and they crowd where the search found good ones. So a
surrogate is fitted to the complete trials, and the indices are those of the surrogate over the whole space, drawn evenly.
They are as good as the surrogate, whose cross-validated R^2 is told beside them; below about 0.5 they say little.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from aimco.plain_data import PlainData
from aimco.studies.space import Study
from aimco.studies.trial import Trial

_LEAST = 10  # complete trials, and twice the axes
_FOLDS = 5
_SAMPLES = 512  # of each of the two matrices of the Saltelli estimator; a power of two
_OUT = -1.0  # place of an axis that does not apply


@dataclass(frozen=True)
class Sensitivity:
    """How one objective depends on the axes.

    Args:
        first, total: axis -> Sobol index: share of the variance by this axis alone, and with all its interactions. Estimates, so
            small ones may come out below 0. importance: axis -> loss of R^2 when its column is shuffled among the trials.
        r2: of the surrogate, cross-validated in five folds. surrogate: which of two was the better. trials: it was fitted to.
    """

    objective: str
    first: dict[str, float]
    total: dict[str, float]
    importance: dict[str, float]
    r2: float
    surrogate: str
    trials: int

    def as_json(self) -> PlainData:
        """Plain data."""
        return asdict(self)


def sensitivity(study: Study, trials: Sequence[Trial]) -> list[Sensitivity]:
    """Of each objective; none where fewer than ten trials (or twice the axes) are complete.

    Source: Saltelli et al. 2010, Comput. Phys. Commun. 181:259, as scipy.stats.sobol_indices; importance by permutation, Breiman 2001.
    """
    complete = [t for t in trials if t.state == "complete"]
    if len(complete) < max(_LEAST, 2 * len(study.order)):
        return []
    x = np.array([places(study, t) for t in complete])
    return [_one(study, o.name, x, np.array([t.values[o.name] for t in complete])) for o in study.objectives]


def places(study: Study, trial: Trial) -> list[float]:
    """A trial's place on each axis, in [0, 1]; -1 where the axis does not apply."""
    return [study.space[p].unit(trial.point[p]) if p in trial.point else _OUT for p in study.order]


def _one(study: Study, objective: str, x: np.ndarray, y: np.ndarray) -> Sensitivity:
    from scipy.stats import sobol_indices, uniform
    from sklearn.inspection import permutation_importance

    scale = y.std() or 1.0
    z = (y - y.mean()) / scale
    r2, name, model = max(((_r2(model, x, z), name, model) for name, model in _surrogates().items()), key=lambda candidate: candidate[0])
    model.fit(x, z)

    def predicted(u: np.ndarray) -> np.ndarray:
        columns = u[: len(study.order)].reshape(len(study.order), -1)
        return model.predict(_encoded(study, columns.T)).reshape(u.shape[1:])

    rng = np.random.default_rng(study.seed)
    with warnings.catch_warnings(), np.errstate(invalid="ignore", divide="ignore"):
        warnings.simplefilter("ignore")
        indices = sobol_indices(func=predicted, n=_SAMPLES, dists=[uniform()] * max(len(study.order), 2), rng=rng)  # scipy fails on one

    shuffled = permutation_importance(model, x, z, n_repeats=5, random_state=study.seed)
    first, total = (np.nan_to_num(index)[: len(study.order)] for index in (indices.first_order, indices.total_order))

    def by_axis(values: np.ndarray) -> dict[str, float]:
        return {path: float(v) for path, v in zip(study.order, values, strict=True)}

    return Sensitivity(
        objective, by_axis(first), by_axis(total), by_axis(np.asarray(shuffled["importances_mean"])), float(r2), name, len(x)
    )


def _encoded(study: Study, rows: np.ndarray) -> np.ndarray:
    """Places drawn evenly, put as those of trials are: on the levels, and out where an axis does not apply."""
    if all(study.space[p].choices is None and not study.space[p].when for p in study.order):
        return rows
    known: dict[tuple[float, ...], np.ndarray] = {}
    governed = [k for k, p in enumerate(study.order) if study.space[p].choices is not None]
    encoded = np.array(rows)
    for row in encoded:
        for k in governed:
            axis = study.space[study.order[k]]
            row[k] = axis.unit(axis.at_unit(row[k], False))
        key = tuple(row[governed])
        if key not in known:
            known[key] = _outside(study, row)
        row[known[key]] = _OUT
    return encoded


def _outside(study: Study, row: np.ndarray) -> np.ndarray:
    """Which axes do not apply under the choices of a row."""
    column = {p: k for k, p in enumerate(study.order)}
    point = study.draw(lambda path, axis, whole: axis.at_unit(min(row[column[path]], 1 - 1e-9), whole))
    return np.array([p not in point for p in study.order])


def _surrogates() -> dict[str, Any]:
    from sklearn.ensemble import ExtraTreesRegressor
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import PolynomialFeatures

    return {
        "quadratic": make_pipeline(PolynomialFeatures(2), Ridge(alpha=0.1)),
        "extra trees": ExtraTreesRegressor(100, min_samples_leaf=2, random_state=0),
    }


def _r2(model: object, x: np.ndarray, y: np.ndarray) -> float:
    from sklearn.metrics import r2_score
    from sklearn.model_selection import KFold, cross_val_predict

    folds = KFold(_FOLDS, shuffle=True, random_state=0)
    return float(r2_score(y, cross_val_predict(model, x, y, cv=folds))) if y.std() > 0 else 0.0
