"""`evaluate` and `evaluate_many` with progress, and a run kept in a folder as `aimco run --out` keeps it."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Unpack

from torch import nn

from aimco import evaluation, tasks
from aimco.api.progress import OnStep, Progress, reported
from aimco.data.data import Data
from aimco.design import Design
from aimco.outputs import saving
from aimco.result import Result
from aimco.tasks import Task, task_of
from aimco.terminal import as_json, keep
from aimco.training import GoOn, Watching

FILES = ("report.html", "result.json", "design.toml", "learning-curve.png")  # that every kept run has


def evaluate(
    design: Design,
    task: object = "digits",
    *,
    seed: int = 0,
    data_dir: str | None = None,
    limit: int | None = None,
    checkpoint: str | None = None,
    out: str | os.PathLike[str] | None = None,
    progress: Progress = None,
    **watching: Unpack[Watching],
) -> Result:
    """Train the network of a design on a task and price what it did: `aimco run`.

    Args:
        design: What to build and how to train it.
        task: What to learn, as `aimco.tasks.load` takes it: a name, a file of arrays, "file.py:Class", `Data`, a torch Dataset.
        seed: Of devices, initial weights, noise and order of samples.
        data_dir: Folder of the task's files.
        limit: Use only the first training samples.
        checkpoint: File that is written after each epoch; a run that finds its own there resumes from it, bit for bit.
        out: Folder that keeps report.html, result.json, the design and its pictures.
        progress: True or False for a bar or none, or a function of (what is running, fraction done). When absent, a bar appears on a
            terminal or in a notebook after 2 s.
        **watching: `Watching`: on_epoch, on_progress, on_trained.

    Raises:
        InputError: Unknown task, missing or broken data, impossible limit; training that diverges, with the epoch.
        OSError: The result cannot be written; the error has it as `result`, and names the file in which it was saved elsewhere.

    Example:
        >>> import aimco as ai
        >>> ai.evaluate(ai.Design(device="ideal", training={"epochs": 1, "batch": 50}), limit=50).task
        'digits'
    """
    loaded, trained = tasks.load(task, data_dir=data_dir, seed=seed, limit=limit), []

    def on_trained(model: nn.Module) -> None:
        trained.append(model)
        if (called := watching.get("on_trained")) is not None:
            called(model)

    with reported(progress, f"{design.device.name}, {design.rule.kind}") as on_step:
        options: Watching = {**_watch(watching, on_step, loaded), "on_trained": on_trained}
        result = evaluation.evaluate(design, loaded, seed=seed, checkpoint=checkpoint, **options)
    if out is not None:
        from aimco.report import run as report  # brings optuna

        again = _command(os.fspath(out), task, {"--seed": seed, "--data-dir": data_dir, "--limit": limit})
        with saving("run", result, lambda: as_json(result.as_json(), indent=1)):
            keep(os.fspath(out), "result", result.as_json())
            report.write(result, os.fspath(out), again, design.network.pictures(trained[0], loaded))
    return result


def evaluate_many(
    designs: Sequence[Design],
    task: object = "digits",
    *,
    seeds: Sequence[int],
    data_dir: str | None = None,
    limit: int | None = None,
    go_on: GoOn | None = None,
    checkpoint: str | None = None,
    progress: Progress = None,
    **watching: Unpack[Watching],
) -> list[Result]:
    """Train designs that differ only in numbers together, along the ensemble axis; each gets the draws of its own run.

    Networks that do not train together (`Network.ensembles`) are trained one after the other, and to the end; so are all once the training
    of one diverges, which then has the metrics of chance from that epoch on, and a note.

    Args:
        designs: One for each member.
        task: As of `evaluate`; loaded with the first seed.
        seeds: One for each member.
        data_dir: As of `evaluate`; so are limit, checkpoint and progress.
        limit: Use only the first training samples.
        go_on: Asked between epochs with (epochs done, test metric of each member (E,)); all end where it says no, and are priced
            for what they did.
        checkpoint: File that a stopped run resumes from.
        progress: As of `evaluate`.
        **watching: As of `evaluate`.

    Raises:
        InputError: As of `evaluate`; not one seed for each design.
    """
    loaded = tasks.load(task, data_dir=data_dir, seed=seeds[0] if len(seeds) else 0, limit=limit)
    with reported(progress, f"{len(designs)} designs on {loaded.name}") as on_step:
        options = _watch(watching, on_step, loaded)
        return evaluation.evaluate_many(designs, loaded, seeds=seeds, go_on=go_on, checkpoint=checkpoint, **options)


def _watch(watching: Watching, on_step: OnStep, loaded: Data) -> Watching:
    """The functions of a run: those of the caller, and the bar."""
    label = ""

    def on_epoch(epoch: int, epochs: int, value: float) -> None:
        nonlocal label
        label = loaded.goal.main.text(value)
        on_step(label, epoch / epochs)
        if (called := watching.get("on_epoch")) is not None:
            called(epoch, epochs, value)

    def on_progress(done: float) -> None:
        on_step(label, done)
        if (called := watching.get("on_progress")) is not None:
            called(done)

    return {**watching, "on_epoch": on_epoch, "on_progress": on_progress}


def _command(out: str, task: object, options: Mapping[str, object]) -> str:
    """The command that makes a run again from the design beside its page."""
    if not isinstance(task, str | os.PathLike | Mapping | Task):
        return "aimco.evaluate(design, task): the task is data in memory, which no command can name"
    words = ["aimco", "run", str(Path(out) / "design.toml"), "--task", task if isinstance(task, str) else task_of(task).text()]
    return shlex.join(words + [word for name, value in options.items() if value is not None for word in (name, str(value))])
