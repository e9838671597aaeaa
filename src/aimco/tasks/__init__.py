"""Tasks: what a network is asked to learn, one file each, and how one is found by its name.

A task is a record of its options, and gives `Data`: samples, and a goal with its loss and metrics. `digits` needs nothing, `mnist` reads
four IDX files, `program` asks an array to become a given matrix, `arrays` takes the user's own files. A user's own task is a subclass of
`Task` in a file of theirs, named as "my_task.py:MyTask".
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from aimco import user_code
from aimco.data.data import Data, Sample, batches, cropped, ensemble_batches, first, is_whole
from aimco.data.files import SUFFIXES
from aimco.data.goals import Classification, Goal, Metric, Regression
from aimco.data.own import checked, data_of
from aimco.errors import did_you_mean
from aimco.files import OWN, parse_toml, resolved
from aimco.plain_data import PlainData
from aimco.record import InputError, Kinded

__all__ = [
    "Classification",
    "Data",
    "Goal",
    "Metric",
    "Regression",
    "Sample",
    "Task",
    "batches",
    "cropped",
    "ensemble_batches",
    "load",
    "names",
    "sample_of",
    "task_of",
]


class Task(Kinded):
    """What is learned (abstract): a record of options that loads `Data`.

    Example:
        A file `circle.py` with one's own task, used as `--task circle.py:Circle`:

        >>> import torch
        >>> from aimco.tasks import Classification, Data, Task
        >>> class Circle(Task):
        ...     radius: float = 0.7
        ...     def data(self, data_dir=None, seed=0, limit=None):
        ...         x = 2 * torch.rand(500, 2, generator=torch.Generator().manual_seed(seed)) - 1
        ...         y = (x.norm(dim=1) < self.radius).long()
        ...         return Data("circle", Classification(2), x[:400][:limit], y[:400][:limit], x[400:], y[400:], (2,))
        >>> Circle(radius=0.5).data().classes
        2
    """

    kinds_in: ClassVar[str] = "aimco.tasks"

    def data(self, data_dir: str | os.PathLike[str] | None = None, seed: int = 0, limit: int | None = None) -> Data:
        """Training and test samples (abstract).

        Args:
            data_dir: Folder of the task's files, where it has some.
            seed: Of what the task draws; data sets and their split do not depend on it.
            limit: Use only the first training samples; all when absent.
        """
        raise NotImplementedError

    def text(self) -> str:
        """What names it where one text must, as in `--task`; see `task_of`.

        Example:
            >>> task_of("my_data.npz").text()
            'my_data.npz'
        """
        data = self.as_dict()
        changed = {n: v for n, v in data.items() if n != "kind" and v != type(self).model_fields[n].default}
        if not changed:
            return self.kind
        return "{ " + ", ".join(f"{n} = {json.dumps(v)}" for n, v in ({"kind": self.kind} | changed).items()) + " }"

    def sample(self, data_dir: str | os.PathLike[str] | None = None) -> Sample:
        """What a sample is, for a price without a run; from the data where the task does not know it."""
        return load(self, data_dir=data_dir).sample


def sample_of(task: object, data_dir: str | os.PathLike[str] | None = None) -> Sample:
    """What a sample is, of a task as `load` takes it: of `Data` and arrays at hand too."""
    if isinstance(task, str | os.PathLike | Mapping | Task):
        return task_of(task).sample(data_dir)
    return load(task).sample


def names() -> list[str]:
    """The tasks that come with data."""
    return [name for name in Task.kinds() if name != "arrays"]


def task_of(task: object) -> Task:
    """The record of a task.

    Args:
        task: A name, "file.py:Class", a file or a folder of data, a FILE.toml, a table with a `kind`, or a `Task`.

    Raises:
        InputError: Anything else; an unknown name, a missing file.

    Example:
        >>> task_of("mnist").kind
        'mnist'
    """
    if isinstance(task, Task):
        return task
    if isinstance(task, Mapping):
        return Task.of(task)
    if not isinstance(task, str | os.PathLike):
        return Task.of({"kind": _named(repr(task))})
    name = os.fspath(task)
    if name.lstrip().startswith("{"):
        return Task.of(_inline(name))
    if name.endswith(".toml"):
        return Task.load(resolved(name))
    if Path(name).suffix.lower() in SUFFIXES or (name not in Task.kinds() and Path(os.path.expanduser(name)).is_dir()):
        return Task.of({"kind": "arrays", "path": name})
    return Task.of({"kind": name if OWN in name else _named(name)})


def _inline(text: str) -> PlainData:
    """The table of a text like "{ kind = 'arrays', path = 'x.npz' }"."""
    try:
        return parse_toml(f"task = {text}", "task")["task"]
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"task {text} is not a TOML table: {error}") from None


def _named(name: str) -> str:
    """A name that is known."""
    if name not in names():
        others = "a FILE of arrays (.npz, .npy, .csv, .pt), a FOLDER of images, or FILE.py:CLASS"
        raise InputError(f"task {name!r} is unknown{did_you_mean(name, names())}; the tasks are {', '.join(names())}, {others}")
    return name


def load(task: object, *, data_dir: str | os.PathLike[str] | None = None, seed: int = 0, limit: int | None = None) -> Data:
    """Samples of a task.

    Args:
        task: As `task_of` takes, or `Data`, which is given back; a torch Dataset, or a pair of arrays (x, y).
        data_dir: Folder of the task's files; used by `mnist`.
        seed: Of the target and the inputs of `program`; data sets and their split do not depend on it.
        limit: Use only the first training samples, no more than there are; all when absent.

    Raises:
        InputError: An unknown name; a limit out of range; a file that is missing or not what it should be.

    Example:
        >>> load("digits").image
        (1, 8, 8)
    """
    if not is_whole(seed):
        raise InputError(f"seed must be a whole number, got {seed!r}; give for example 0")
    if limit is not None and not (is_whole(limit) and limit >= 1):
        raise InputError(f"limit must be a whole number of at least 1, got {limit!r}; leave it out to use every training sample")
    if isinstance(task, Data):
        n = first(limit, len(task.train_x), task.name)
        return checked(replace(task, train_x=task.train_x[:n], train_y=task.train_y[:n]) if limit is not None else task, task.name)
    if not isinstance(task, str | os.PathLike | Mapping | Task):
        return data_of(task, limit=limit)
    record = task_of(task)
    if user_code.is_own(type(record)):
        user_code.check_methods(type(record), Task, {"data": "data(self, data_dir, seed, limit)"}, {})
    with user_code.located(type(record)):
        data = record.data(data_dir, int(seed), limit)
    if user_code.is_own(type(record)):
        place = f"{user_code.where_is(type(record), 'data')}: {type(record).__name__}.data"
        if not isinstance(data, Data):
            raise InputError(f"{place} must return aimco.tasks.Data, got {type(data).__name__}")
        return checked(data, place)
    return data
