"""evaluate(design, task, seed) -> Result: one record in, one row out."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Unpack

import numpy as np

from aimco import tasks, user_code
from aimco.data.data import Data
from aimco.design import Design
from aimco.divergence import Diverged
from aimco.ensemble import stack
from aimco.phases import Phases
from aimco.record import InputError
from aimco.result import Result, result_of
from aimco.training import GoOn, Run, Watch, Watching

__all__ = ["Result", "evaluate", "evaluate_many"]


def evaluate(
    design: Design,
    task: object = "digits",
    *,
    data_dir: str | None = None,
    seed: int = 0,
    limit: int | None = None,
    checkpoint: str | None = None,
    **watching: Unpack[Watching],
) -> Result:
    """Train the network of a design on a task and price what it did.

    `aimco.evaluate` is this with progress, and says what the arguments are.

    Raises:
        InputError: Unknown task, missing or broken data, impossible limit; training that diverges, with the epoch.
    """
    watch = Watch(checkpoint=checkpoint, **watching)
    return _together([design], tasks.load(task, data_dir=data_dir, seed=seed, limit=limit), [seed], watch, refuse=True)[0]


def evaluate_many(
    designs: Sequence[Design],
    task: object = "digits",
    *,
    seeds: Sequence[int],
    data_dir: str | None = None,
    limit: int | None = None,
    go_on: GoOn | None = None,
    checkpoint: str | None = None,
    **watching: Unpack[Watching],
) -> list[Result]:
    """Train designs that differ only in numbers together, along the ensemble axis; each gets the draws of its own run.

    `aimco.evaluate_many` is this with progress, and says what the arguments are.
    """
    if len(designs) != len(seeds) or not designs:
        raise InputError(f"seeds must be one per design, got {len(seeds)} for {len(designs)} designs")
    data = tasks.load(task, data_dir=data_dir, seed=seeds[0], limit=limit)
    watch, several = Watch(go_on=go_on, checkpoint=checkpoint, **watching), len(designs) > 1
    if not several or designs[0].network.ensembles:
        with contextlib.suppress(Diverged):  # of one of several
            return _together(designs, data, seeds, watch, refuse=several)
    results = [
        _together([d], data, [s], _part(watch, k, len(designs)), refuse=False)[0]
        for k, (d, s) in enumerate(zip(designs, seeds, strict=True))
    ]
    for epoch in range(1, designs[0].training.epochs if go_on else 1):
        assert go_on is not None
        go_on(epoch, np.array([r.curves[r.main_curve][epoch - 1] for r in results]))
    return results


def _part(watch: Watch, k: int, count: int) -> Watch:
    """Who is told of the k-th of several runs."""

    def on_progress(done: float) -> None:
        if watch.on_progress is not None:
            watch.on_progress((k + done) / count)

    path = None if watch.checkpoint is None else f"{watch.checkpoint}.{k}"
    return replace(watch, on_progress=on_progress, go_on=None, checkpoint=path)


def _together(designs: Sequence[Design], data: Data, seeds: Sequence[int], watch: Watch, *, refuse: bool) -> list[Result]:
    """Rows of designs that are trained together. Raises `Diverged` where told to refuse that."""
    started, network = time.perf_counter(), designs[0].network
    with user_code.located(type(network)):
        model = network.build(data, stack(list(designs)), seeds)
    phases = Phases(model)
    phases.end("write")
    run, remark, samples = Run(model, phases, designs, data, seeds, watch), [], None
    try:
        run.train()
    except Diverged as error:
        if refuse:
            raise
        remark, samples = [error.note], run.diverged(error)
    wall = (time.perf_counter() - started) / len(designs)
    if watch.on_trained:
        watch.on_trained(model)
    return [result_of(run, e, wall, samples or run.samples(), remark) for e in range(len(designs))]
