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
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import optuna
from optuna.exceptions import StorageInternalError
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
    path = _file(storage)
    if path is not None and not path.is_file():
        raise InputError(f"storage {storage}: there is no such file; run the study first, or name its storage")
    with opened(study, storage, must_be_there=True) as store:
        return [store.trial(record) for record in store.records() if record.state.is_finished()]


class Store:
    """One study in its storage."""

    def __init__(self, study: Study, storage: BaseStorage, number: int, url: str) -> None:
        self.study, self._storage, self._number, self._url = study, storage, number, url
        for record in self.records():
            self._check(record)

    def records(self) -> list[FrozenTrial]:
        """All trials, by number."""
        with _reading(self._url):
            return sorted(self._storage.get_all_trials(self._number, deepcopy=False), key=lambda record: record.number)

    def _check(self, record: FrozenTrial) -> None:
        """Refuse a record that is not whole, before anything is run beside it."""
        try:
            for path, value in point_of(self.study, record).items():
                axis = self.study.space[path]
                if axis.choices is None and not axis.low <= float(value) <= axis.high:  # type: ignore[operator,arg-type]
                    raise ValueError(f"{path} {value} is not in {axis.low}..{axis.high}")
            if record.state.is_finished():
                self.trial(record)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError, StopIteration) as error:
            fault = f"{type(error).__name__} ({error})" if str(error) else type(error).__name__
            fix = "name another --storage, or restore the database"
            raise InputError(f"storage {redacted(self._url)} has a damaged trial {record.number}, {fault}; {fix}") from None

    def add(self, record: FrozenTrial) -> None:
        """Keep a point that is to be run, whole or not at all."""
        with _writing(self._url):
            self._storage.create_new_trial(self._number, record)

    def tell(self, record: FrozenTrial, outcome: PlainView) -> Trial:
        """Keep what came of a point: its content first, then its state, so that a trial that counts is whole."""
        content = {"seeds": list(self.study.seeds)} | dict(outcome)
        values = [outcome["values"][o.name] for o in self.study.objectives] if outcome["state"] == "complete" else None
        with _writing(self._url):
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
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = _storage(url)
    try:
        with _reading(url):
            number = _number(study, storage, url, must_be_there)
        yield Store(study, storage, number, url)
    finally:
        if isinstance(storage, RDBStorage):
            storage.remove_session()
            storage.engine.dispose()


@contextlib.contextmanager
def _reading(url: str) -> Iterator[None]:
    """What a damaged database does when it is read, in one sentence."""
    try:
        yield
    except InputError:
        raise
    except (StorageInternalError, ValueError, LookupError, TypeError, AttributeError) as error:
        cause = str(getattr(error.__cause__, "orig", None) or error.__cause__ or error).splitlines()[0][:200]
        raise InputError(f"storage {redacted(url)} is damaged ({cause}); name another --storage, or restore the database") from None


@contextlib.contextmanager
def _writing(url: str) -> Iterator[None]:
    """A failure to write in one sentence: trials that were finished are kept."""
    try:
        yield
    except StorageInternalError as error:
        cause = str(getattr(error.__cause__, "orig", None) or error.__cause__ or error).splitlines()[0]
        comfort = "what was finished is kept, and the same command resumes once it can be"
        raise InputError(f"storage {redacted(url)} cannot be written ({cause}); {comfort}") from None


def redacted(url: str) -> str:
    """A URL for messages, without its password."""
    return re.sub(r"(://[^:/@]*):[^@]*@", r"\1:***@", url)


def _file(url: str) -> Path | None:
    """The local file of a URL, links followed; None where it is of a server."""
    return Path(os.path.realpath(url.removeprefix(_LOCAL))) if url.startswith(_LOCAL) else None


def check_storage(url: str) -> None:
    """Refuse what would keep nothing, and a local file of something else: raises InputError."""
    if url.startswith("sqlite:") and (not url.startswith(_LOCAL) or url.removeprefix(_LOCAL) in ("", ":memory:")):
        raise InputError(f"storage {url} keeps nothing beyond this run; give for example sqlite:///FILE.db")
    path = _file(url)
    if path is None or not path.is_file() or not path.stat().st_size:
        return
    try:
        with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as database:
            tables = {name for (name,) in database.execute("select name from sqlite_master where type = 'table'")}
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        raise InputError(f"storage {url} cannot be opened ({error}); give for example sqlite:///FILE.db") from None
    if tables and not tables >= {"studies", "trials", "version_info"}:
        raise InputError(f"storage {url} is a database of something else, with {', '.join(sorted(tables)[:3])}; name another file")


def _storage(url: str) -> BaseStorage:
    check_storage(url)
    path = _file(url)
    fresh = path is not None and not path.exists()
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
    # Questions about many trials differ by how many there are: SQLite would keep each of them compiled, for nothing.
    options = None if path is None else {"connect_args": {"cached_statements": 0}}
    try:
        return RDBStorage(url, engine_kwargs=options)
    except ImportError as error:
        raise InputError(f"storage {redacted(url)} needs a database driver ({error}); install it, or leave --storage out") from None
    except Exception as error:
        if fresh and path is not None and path.exists() and not path.stat().st_size:
            path.unlink()  # all that became of it, as on a full disk
        message = redacted(str(error).splitlines()[0])
        raise InputError(f"storage {redacted(url)} cannot be opened ({message}); give for example sqlite:///FILE.db") from None


def _number(study: Study, storage: BaseStorage, url: str, must_be_there: bool) -> int:
    """The storage's number of the study, which is checked to be the same, or made."""
    known = {s.study_name: s._study_id for s in storage.get_all_studies()}
    content = {"identity": study.identity(), "toml": study.dumps(), "aimco": aimco.__version__}
    number = known.get(study.name)
    if number is None and must_be_there:
        raise InputError(f"storage {redacted(url)} has no study {study.name!r} to go on with; leave --resume out to start it")
    if number is None:
        ways = {"max": StudyDirection.MAXIMIZE, "min": StudyDirection.MINIMIZE}
        with _writing(url):
            number = storage.create_new_study([ways[o.best] for o in study.objectives], study.name)
    attributes = storage.get_study_user_attrs(number).get("study")
    if attributes is None and not storage.get_all_trials(number):  # new, or killed before the next line
        with _writing(url):
            storage.set_study_user_attr(number, "study", content)
    elif attributes is None or attributes["identity"] != content["identity"]:
        raise InputError(
            f"storage {redacted(url)} holds a different study named {study.name!r}; give this one another name, or another --storage"
        )
    return number


@contextlib.contextmanager
def alone(url: str) -> Iterator[None]:
    """Refuse a second coordinator on the same local file; the system drops the hold with the process, however it ends."""
    path = _file(url)
    if path is None:
        yield
        return
    lock = path.with_name(f"{path.name}.lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    with open(lock, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            ours = os.path.samestat(os.fstat(file.fileno()), os.stat(lock))
        except OSError:
            ours = False
        if not ours:  # by another, or removed by one that ended just now
            raise InputError(f"storage {url} is in use by another run of a study; wait for it, or name another --storage")
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)
