"""What is kept of a study, so that it can go on after any end and be read back without running.

The default is one SQLite file beside the study. Each write is a transaction, so a process that is killed leaves the last
whole one and no lock; a file of JSON lines can end in half a line, to which the next process would append, and its lock
outlives a killed holder. Only the coordinator writes, whatever the number of workers. Any other storage of Optuna that has a
URL does as well (PostgreSQL, MySQL).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import optuna
from optuna.storages import BaseStorage, RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

import aimco
from aimco.plain_data import PlainView
from aimco.record import InputError
from aimco.studies.axis import label
from aimco.studies.space import Point, Study
from aimco.studies.trial import State, Trial

_STATES: dict[State, TrialState] = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
_LOCAL = "sqlite:///"


def default_storage(study_file: str | os.PathLike[str]) -> str:
    """URL of the SQLite file beside a study's file."""
    return _LOCAL + str(Path(study_file).resolve().with_suffix(".db"))


def trials(study: Study, storage: str) -> list[Trial]:
    """The finished trials of a study, by number. Raises InputError where the storage has no such study."""
    path = storage.removeprefix(_LOCAL)
    if storage.startswith(_LOCAL) and not Path(path).is_file():
        raise InputError(f"storage {storage}: there is no such file; run the study first, or name its storage")
    with opened(study, storage, must_be_there=True) as store:
        return [store.trial(record) for record in store.records() if record.state.is_finished()]


class Store:
    """One study in its storage."""

    def __init__(self, study: Study, storage: BaseStorage, number: int) -> None:
        self.study, self._storage, self._number = study, storage, number

    def records(self) -> list[FrozenTrial]:
        """All trials, by number."""
        return sorted(self._storage.get_all_trials(self._number), key=lambda record: record.number)

    def add(self, record: FrozenTrial) -> None:
        """Keep a point that is to be run, whole or not at all."""
        self._storage.create_new_trial(self._number, record)

    def tell(self, record: FrozenTrial, outcome: PlainView) -> Trial:
        """Keep what came of a point: its content first, then its state, so that a trial that counts is whole."""
        content = {"seeds": list(self.study.seeds)} | dict(outcome)
        values = [outcome["values"][o.name] for o in self.study.objectives] if outcome["state"] == "complete" else None
        self._storage.set_trial_user_attr(record._trial_id, "outcome", content)
        self._storage.set_trial_state_values(record._trial_id, _STATES[outcome["state"]], values)
        return self.trial(self._storage.get_trial(record._trial_id))

    def trial(self, record: FrozenTrial) -> Trial:
        """A finished record as public data."""
        outcome = record.user_attrs["outcome"]
        state: State = next(name for name, state in _STATES.items() if state == record.state)
        names = ("values", "feasible", "seeds", "design", "curves", "result", "wall_s", "reason")
        directions = {o.name: o.best for o in self.study.objectives}
        return Trial(record.number, point_of(self.study, record), state, directions=directions, **{n: outcome[n] for n in names})


def point_of(study: Study, record: FrozenTrial) -> Point:
    """Field -> value of a record, choices as they were written."""
    point = {}
    for path in (p for p in study.order if p in record.params):
        choices = study.space[path].choices
        value = record.params[path]
        point[path] = value if choices is None else choices[[label(c) for c in choices].index(value)]
    return point


@contextlib.contextmanager
def opened(study: Study, url: str, *, must_be_there: bool = False) -> Iterator[Store]:
    """The study in the storage of a URL, made when it is not there. Raises InputError for a different one of this name."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = _storage(url)
    try:
        yield Store(study, storage, _number(study, storage, url, must_be_there))
    finally:
        if isinstance(storage, RDBStorage):
            storage.remove_session()
            storage.engine.dispose()


def _storage(url: str) -> BaseStorage:
    if url.startswith(_LOCAL):
        Path(url.removeprefix(_LOCAL)).parent.mkdir(parents=True, exist_ok=True)
    try:
        return RDBStorage(url)
    except ImportError as error:
        raise InputError(f"storage {url} needs a database driver ({error}); install it, or leave --storage out") from None
    except Exception as error:
        message = str(error).splitlines()[0]
        raise InputError(f"storage {url} cannot be opened ({message}); give for example sqlite:///FILE.db") from None


def _number(study: Study, storage: BaseStorage, url: str, must_be_there: bool) -> int:
    """The storage's number of the study, which is checked to be the same, or made."""
    known = {s.study_name: s._study_id for s in storage.get_all_studies()}
    content = {"identity": study.identity(), "toml": study.dumps(), "aimco": aimco.__version__}
    number = known.get(study.name)
    if number is None and must_be_there:
        raise InputError(f"storage {url} has no study {study.name!r} to go on with; leave --resume out to start it")
    if number is None:
        ways = {"max": StudyDirection.MAXIMIZE, "min": StudyDirection.MINIMIZE}
        number = storage.create_new_study([ways[o.best] for o in study.objectives], study.name)
    attributes = storage.get_study_user_attrs(number).get("study")
    if attributes is None and not storage.get_all_trials(number):  # new, or killed before the next line
        storage.set_study_user_attr(number, "study", content)
    elif attributes is None or attributes["identity"] != content["identity"]:
        raise InputError(f"storage {url} holds a different study named {study.name!r}; give this one another name, or another --storage")
    return number


@contextlib.contextmanager
def alone(url: str) -> Iterator[None]:
    """Refuse a second coordinator on the same local file; the system drops the hold with the process, however it ends."""
    if not url.startswith(_LOCAL):
        yield
        return
    path = Path(url.removeprefix(_LOCAL) + ".lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(f"storage {url} is in use by another run of a study; wait for it, or name another --storage") from None
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
