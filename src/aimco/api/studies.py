"""`study`: a search over designs, and what it found."""

from __future__ import annotations

import functools
import os
import shlex
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from aimco import html_parts, studies
from aimco.api.progress import Progress, reported
from aimco.design import Design
from aimco.device.requirement import Requirement
from aimco.frames import dataframe
from aimco.plain_data import PlainData, PlainView
from aimco.record import InputError
from aimco.report import study as page
from aimco.report.tables import columns
from aimco.report.tolerance import tolerances
from aimco.report.view import About, View, verdict
from aimco.studies.sensitivity import Sensitivity
from aimco.studies.space import Study
from aimco.studies.summary import bounds, describe_progress, document, options, table
from aimco.studies.trial import Trial

if TYPE_CHECKING:
    from pandas import DataFrame


FILES = ("report.html", "trials.csv", "trials.parquet")  # of every study, beside those named by its points


@dataclass(frozen=True, repr=False)
class StudyResult:
    """What a search found.

    Args:
        study: That was searched.
        trials: All that are finished, by number.
        file: Of the study, if it has one.
        storage: URL that keeps it; None where nothing is kept.
        data_dir: Folder of the task's files.
    """

    study: Study
    trials: list[Trial]
    file: str | None = None
    storage: str | None = None
    data_dir: str | None = None

    @property
    def front(self) -> list[Trial]:
        """The Pareto front, best of the first objective first; of one objective the best trial."""
        return studies.front(self.trials)

    @property
    def knee(self) -> Trial | None:
        """The point of the front farthest from the line between its ends; None where no trial is feasible."""
        return studies.knee(self.front)

    @property
    def hypervolume(self) -> float:
        """Volume between the front and the worst complete trial, in the product of the objectives' units."""
        return studies.hypervolume(self.trials)

    @functools.cached_property
    def sensitivity(self) -> list[Sensitivity]:
        """How each objective depends on the axes; empty where fewer than ten trials (or twice the axes) are complete."""
        return studies.sensitivity(self.study, self.trials)

    def design(self, number: int | None = None) -> Design:
        """The design of a trial, by its number; that of the knee when absent.

        Raises:
            InputError: No such trial, or one that is no design.
        """
        best = self.knee
        trial = best if number is None else next((t for t in self.trials if t.number == number), None)
        if trial is None:
            raise InputError(f"trial {'of the front' if number is None else number} is missing; there are {len(self.trials)} trials")
        return self.study.design(trial.point)

    def table(self) -> Table:
        """The front, best of the first objective first; the knee is marked."""
        return table(self.study, self.trials)

    def as_json(self, folder: str | os.PathLike[str] | None = None) -> PlainData:
        """Plain data, as `aimco study --json` prints it.

        Args:
            folder: Of the report, which the commands that repeat a point name; NAME-study when absent.
        """
        return document(self.study, self.trials, self.storage or "", self._folder(folder), self.data_dir)

    def to_dataframe(self) -> DataFrame:
        """One row for each trial as a pandas table, with the columns of trials.csv, indexed by the number of the trial.

        Raises:
            InputError: pandas is not installed.
        """
        return dataframe(columns(self._view)).set_index("number")

    def report(self, folder: str | os.PathLike[str] | None = None, *, requirements: Sequence[str | Requirement] = ()) -> Path:
        """Write report.html, its pictures, trials.csv and the design of each point.

        Args:
            folder: Made where it is missing; NAME-study when absent.
            requirements: That the page holds the devices against, by name, FILE.toml or record.

        Returns:
            The page.
        """
        at = Path(self._folder(folder))
        file = self.file
        if file is None:
            file = str(at / "study.toml")
            self.study.save(file)
        asked = [r if isinstance(r, Requirement) else Requirement.named(r) for r in requirements]
        words = [("--data-dir", self.data_dir)] if self.data_dir is not None else []
        words += [("--requirement", r) for r in requirements if isinstance(r, str)]
        about = replace(
            self._view.about,
            command=shlex.join(["aimco", "study", file, *(word for pair in words for word in pair)]),
            tolerance=tolerances([*self.front, *self.trials], asked),
            sensitivity=self.sensitivity,
        )
        page.write(self.trials, at, about)
        return at / "report.html"

    def _folder(self, folder: str | os.PathLike[str] | None) -> str:
        return f"{self.study.name}-study" if folder is None else os.fspath(folder)

    @functools.cached_property
    def _view(self) -> View:
        about = About(
            {o.name: o.best for o in self.study.objectives},
            title=self.study.name,
            task=self.study.task.text(),
            options=shlex.join(options(self.study, self.data_dir)),
            constraints=bounds(self.study),
        )
        return View(self.trials, about)

    def __len__(self) -> int:
        return len(self.trials)

    def __repr__(self) -> str:
        return f"StudyResult({self.study.name}: {describe_progress(self.study, self.trials, len(self.trials), self.study.size())})"

    def _repr_html_(self) -> str:
        """What the study found in sentences, and the front as a table, for notebooks."""
        return html_parts.card(self.study.name, html_parts.listed(verdict(self._view)), html_parts.of_table(self.table()))


def study(
    study: Study | PlainView | str | os.PathLike[str],
    *,
    workers: int = 1,
    cluster: str | None = None,
    storage: str | None = None,
    resume: bool = False,
    data_dir: str | None = None,
    progress: Progress = None,
) -> StudyResult:
    """Search a space of designs: `aimco study`.

    Points are asked in generations and packed before they are given to workers, so the same study gives the same trials whatever the
    workers. A study that has a file or a storage resumes from where it was stopped.

    Args:
        study: A FILE.toml, a `Study`, or a table of its fields.
        workers: Local processes.
        cluster: Address of a Dask scheduler, instead.
        storage: URL of a database that keeps the trials, as "sqlite:///rates.db". When absent: FILE.db beside FILE.toml; nothing is kept of
            a study without a file.
        resume: Refuse to begin anew.
        data_dir: Folder of the task's files.
        progress: True or False for a bar or none, or a function of (what is running, fraction done). When absent, a bar appears on a
            terminal or in a notebook after 2 s.

    Raises:
        InputError: The study is wrong; the storage holds a different study of this name or is in use; the task cannot be loaded.

    Example:
        >>> import aimco as ai
        >>> base = {"device": "ideal", "network": {"hidden": []}, "training": {"epochs": 1, "batch": 50}}
        >>> axis = {"low": 0.01, "high": 1.0, "log": True}
        >>> result = ai.study({"name": "rates", "base": base, "space": {"rule.lr": axis}, "trials": 2, "limit": 100}, progress=False)
        >>> len(result), result.design().rule.kind
        (2, 'sgd')
    """
    file = os.fspath(study) if isinstance(study, str | os.PathLike) else None
    asked = Study.load(file) if file is not None else study if isinstance(study, Study) else Study.of(study)  # type: ignore[arg-type]
    seen: list[Trial] = []
    with reported(progress, asked.name) as on_step, _open_storage(file, storage) as (where, address):

        def on_trial(trial: Trial, done: int, size: int) -> None:
            seen.append(trial)
            on_step(describe_progress(asked, seen, done, size), done / size)

        running = {"workers": workers, "cluster": cluster, "resume": resume}
        trials = studies.run(asked, storage=where, data_dir=data_dir, on_trial=on_trial, **running)
    return StudyResult(asked, trials, file, address, data_dir)


@contextmanager
def _open_storage(file: str | None, storage: str | None) -> Iterator[tuple[str, str | None]]:
    """The storage of a search, and the one that is there afterwards."""
    where = storage or (None if file is None else studies.default_storage(file))
    if where is not None:
        yield where, where
        return
    with tempfile.TemporaryDirectory() as folder:
        yield studies.default_storage(Path(folder) / "study.toml"), None
