"""evaluate(design, task, seed) -> Result: one record in, one row out."""

from __future__ import annotations

import contextlib
import io
import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

import aimco
from aimco import tasks
from aimco.arrays.doors import NotFinite, finite
from aimco.clock import Clock
from aimco.cost.activity import measured
from aimco.design import Design
from aimco.divergence import Diverged, chance
from aimco.ensemble import stack
from aimco.files import sha256
from aimco.ledger import Counts
from aimco.networks.build import WHOLE, build
from aimco.nn.analog import AnalogLayer
from aimco.nn.layers import analog_layers
from aimco.notes import leaks, notes
from aimco.optim import descent_of
from aimco.periphery import across
from aimco.phases import PHASES, Phases, bill, by_operation
from aimco.record import InputError, write_atomic
from aimco.result import Result
from aimco.tasks import Task

_SHARED_ABOVE = 4_000_000  # multiplications of the largest product of a batch from which torch's threads pay
OnEpoch = Callable[[int, int, float], None]
OnProgress = Callable[[float], None]
OnTrained = Callable[[nn.Sequential], None]
GoOn = Callable[[int, np.ndarray], bool]
_TELL_EVERY = 0.25  # s


def evaluate(
    design: Design,
    task: str | Task = "digits",
    *,
    data_dir: str | None = None,
    seed: int = 0,
    limit: int | None = None,
    on_epoch: OnEpoch | None = None,
    on_progress: OnProgress | None = None,
    checkpoint: str | None = None,
    on_trained: OnTrained | None = None,
) -> Result:
    """Train the network of a design on a task and price what it did.

    Args:
        design: what to build and how to train it. task: "digits", "mnist", "program" or a loaded task.
        data_dir: folder of the task's files. seed: of devices, initial weights, noise and order of samples.
        limit: use only the first training samples. on_epoch: called with (epoch, epochs, test accuracy).
        on_progress: called with the fraction of the run that is done, a few times a second.
        checkpoint: file that is written after each epoch; a run that finds its own there goes on from it, bit for bit.
        on_trained: called with the network at the end.

    Raises:
        InputError: unknown task, missing or broken data, impossible limit; training that diverges, with the epoch.

    Example:
        >>> design = Design(device="ideal", training={"epochs": 1, "batch": 50})
        >>> evaluate(design, seed=1).task
        'digits'
    """
    options = {"on_epoch": on_epoch, "on_progress": on_progress, "checkpoint": checkpoint, "on_trained": on_trained}
    return _together([design], task, [seed], data_dir, limit, refuse=True, options=options)[0]


def evaluate_many(
    designs: Sequence[Design],
    task: str | Task = "digits",
    *,
    seeds: Sequence[int],
    data_dir: str | None = None,
    limit: int | None = None,
    on_epoch: OnEpoch | None = None,
    on_progress: OnProgress | None = None,
    go_on: GoOn | None = None,
    checkpoint: str | None = None,
    on_trained: OnTrained | None = None,
) -> list[Result]:
    """Train designs that differ only in numbers together, along the ensemble axis; each gets the draws of its own run.

    Resistive and spiking networks are trained one after the other, and to the end; so are all once the training of one diverges, which
    then has the accuracy of chance from that epoch on, and a note.

    Args:
        go_on: asked between epochs with (epochs done, test accuracy of each member (E,)); all end where it says no, and are priced
            for what they did.
    """
    if len(designs) != len(seeds) or not designs:
        raise InputError(f"seeds must be one per design, got {len(seeds)} for {len(designs)} designs")
    shared: dict[str, Any] = {"on_epoch": on_epoch, "on_trained": on_trained}
    several = len(designs) > 1
    if not several or designs[0].network.kind not in WHOLE:
        options = shared | {"on_progress": on_progress, "checkpoint": checkpoint, "go_on": go_on}
        with contextlib.suppress(Diverged):  # of one of several
            return _together(designs, task, seeds, data_dir, limit, refuse=several, options=options)
    results = _one_by_one(designs, task, seeds, on_progress, checkpoint, shared | {"data_dir": data_dir, "limit": limit})
    for epoch in range(1, designs[0].training.epochs if go_on else 1):
        assert go_on is not None
        go_on(epoch, np.array([r.curves["test_accuracy"][epoch - 1] for r in results]))
    return results


def _together(
    designs: Sequence[Design],
    task: str | Task,
    seeds: Sequence[int],
    data_dir: str | None,
    limit: int | None,
    *,
    refuse: bool,
    options: dict[str, Any],
) -> list[Result]:
    """Rows of designs that are trained together. Raises `Diverged` where told to refuse that."""
    started = time.perf_counter()
    loaded = tasks.load(task, data_dir=data_dir, seed=seeds[0], limit=limit) if isinstance(task, str) else task
    together = stack(list(designs))
    model = build(together, loaded, seeds)
    phases = Phases(model)
    phases.end("write")
    meter, kept = _Meter(options.get("on_progress")), _Checkpoint(options.get("checkpoint"), model, phases, designs, loaded, seeds)
    curves, diverged = {}, None
    with _threads_for(model, designs[0].training.batch):
        try:
            curves = _train(model, designs, loaded, list(seeds), options.get("on_epoch"), options.get("go_on"), meter, kept)
        except Diverged as error:
            if refuse:
                raise
            diverged = error
            phases.end(error.phase)
    wall = time.perf_counter() - started
    if options.get("on_trained"):
        options["on_trained"](model)
    if diverged is not None:
        return [_diverged(phases, designs[0], loaded, seeds[0], kept.curves, diverged, wall)]
    samples, each = _samples(loaded, len(curves["train_loss"])), wall / len(designs)
    return [_result(phases, d, loaded, s, e, curves, samples, each) for e, (d, s) in enumerate(zip(designs, seeds, strict=True))]


def _diverged(
    phases: Phases, design: Design, task: Task, seed: int, curves: dict[str, list[np.ndarray]], error: Diverged, wall_s: float
) -> Result:
    """The row of a run that diverged: chance from that epoch on, priced for what it did."""
    left = design.training.epochs - error.epoch + 1
    told = zip(("test_accuracy", "train_loss"), chance(task), strict=True)
    whole = {n: np.stack([*curves[n][: error.epoch - 1], *[np.array([v])] * left]) for n, v in told}
    before = _samples(task, error.epoch - 1)
    begun = {"train": len(task.train_x) if error.phase == "infer" else 0, "infer": 0} | {error.phase: error.samples}
    row = _result(phases, design, task, seed, 0, whole, {phase: n + begun[phase] for phase, n in before.items()}, wall_s)
    return replace(row, notes=[*row.notes, error.note])


def _samples(task: Task, epochs: int) -> dict[str, int]:
    """Samples of the phases of so many epochs."""
    return {"train": len(task.train_x) * epochs, "infer": len(task.test_x) * epochs if task.kind == "classify" else 0}


def _one_by_one(
    designs: Sequence[Design],
    task: str | Task,
    seeds: Sequence[int],
    on_progress: OnProgress | None,
    checkpoint: str | None,
    options: dict[str, Any],
) -> list[Result]:
    """Runs of their own for designs that cannot share one."""

    def run(k: int) -> Result:
        def part(done: float) -> None:
            if on_progress is not None:
                on_progress((k + done) / len(designs))

        kept = None if checkpoint is None else f"{checkpoint}.{k}"
        return evaluate_many([designs[k]], task, seeds=[seeds[k]], on_progress=part, checkpoint=kept, **options)[0]

    return [run(k) for k in range(len(designs))]


class _Meter:
    """Tells how far a run is, not too often."""

    def __init__(self, on_progress: OnProgress | None) -> None:
        self.on_progress, self.told = on_progress, 0.0

    def tell(self, done: float) -> None:
        if self.on_progress and time.perf_counter() - self.told > _TELL_EVERY:
            self.told = time.perf_counter()
            self.on_progress(done)


class _Checkpoint:
    """The file that a long run goes on from; nothing is written when there is none."""

    def __init__(
        self, path: str | None, model: nn.Module, phases: Phases, designs: Sequence[Design], task: Task, seeds: Sequence[int]
    ) -> None:
        self.path, self.model, self.phases = path, model, phases
        hashes = [d.hash() for d in designs] if path is not None else []
        self.curves: dict[str, list[np.ndarray]] = {"test_accuracy": [], "train_loss": []}
        self.run = [hashes, list(seeds), task.name, len(task.train_x), aimco.__version__, list(PHASES)]

    def load(self) -> dict[str, list[np.ndarray]]:
        """Curves so far, the model put to where it was."""
        if self.path is None or not os.path.exists(self.path):
            return self.curves
        try:
            saved = torch.load(self.path)
            same = saved["run"] == self.run
        except Exception as error:
            raise InputError(f"checkpoint {self.path}: must be a file that aimco wrote, got {type(error).__name__}; remove it") from None
        if not same:
            raise InputError(f"checkpoint {self.path}: must be of the same design, task, seed and version; remove it or name another")
        self.model.load_state_dict(saved["model"])
        self.phases.restore(saved["phases"])
        self.curves = {name: list(curve.numpy()) for name, curve in saved["curves"].items()}
        return self.curves

    def save(self, curves: dict[str, list[np.ndarray]]) -> None:
        """Write the state after an epoch, whole or not at all."""
        if self.path is None:
            return
        buffer = io.BytesIO()
        told = {name: torch.from_numpy(np.stack(curve)) for name, curve in curves.items()}
        state = {"model": self.model.state_dict(), "phases": self.phases.checkpoint(), "curves": told}
        torch.save({"run": self.run} | state, buffer)
        write_atomic(self.path, buffer.getvalue())


@contextlib.contextmanager
def _threads_for(model: nn.Sequential, batch: int) -> Iterator[None]:
    """One thread for products too small to share: waking others costs as much, and far more beside another program."""
    threads = torch.get_num_threads()
    layers = [m for m in model.children() if isinstance(m, AnalogLayer)]
    small = layers and batch * max(m.members * m.vectors * m.inputs * m.outputs for m in layers) < _SHARED_ABOVE
    torch.set_num_threads(1 if small else threads)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _train(
    model: nn.Sequential,
    designs: Sequence[Design],
    task: Task,
    seeds: list[int],
    on_epoch: OnEpoch | None,
    go_on: GoOn | None,
    meter: _Meter,
    checkpoint: _Checkpoint,
) -> dict[str, np.ndarray]:
    """Train in place; curves (epochs, E)."""
    members, training, phases = len(seeds), designs[0].training, checkpoint.phases
    descent = descent_of(model, "cross-entropy" if task.kind == "classify" else "squared")
    curves = checkpoint.load()
    clock = Clock(model, designs) if analog_layers(model) and any(map(leaks, designs)) else None
    for epoch in range(len(curves["train_loss"]), training.epochs):
        if epoch and go_on and not go_on(epoch, curves["test_accuracy"][-1]):
            break
        lr = across([d.rule.lr * d.training.lr_factor(epoch) for d in designs], members)
        model.train()
        total = _epoch(descent, designs, task, seeds, epoch, lr, meter, clock)
        phases.end("train")
        with _told_of_divergence(designs[0], epoch, "infer", _samples(task, 1)["infer"]):
            reached = accuracy(model, task, members)
        curves["train_loss"].append((total / len(task.train_x)).numpy())
        curves["test_accuracy"].append(reached.numpy())
        phases.end("infer")
        if clock is not None:
            clock.skip()  # no simulated time passes during evaluation: on the chip, training would continue at once
        checkpoint.save(curves)
        if on_epoch:
            on_epoch(epoch + 1, training.epochs, float(curves["test_accuracy"][-1].mean()))
    return {n: np.stack(v) for n, v in curves.items()}


def _epoch(
    descent: Any, designs: Sequence[Design], task: Task, seeds: list[int], epoch: int, lr: Any, meter: _Meter, clock: Clock | None
) -> torch.Tensor:
    """Learn from all samples once; the sum of the losses, (E,)."""
    training, total = designs[0].training, torch.zeros(len(seeds))
    for k, index in enumerate(tasks.ensemble_batches(task, training.batch, epoch, seeds)):
        meter.tell((epoch + k * training.batch / len(task.train_x)) / training.epochs)
        picked = torch.from_numpy(index)
        with _told_of_divergence(designs[0], epoch, "train", k * training.batch + index.shape[1]):
            total += descent.step(task.train_x[picked], task.train_y[picked], lr) * index.shape[1]
            if clock is not None:
                _pass_time(clock, designs, index.shape[1])
    return total


@contextlib.contextmanager
def _told_of_divergence(design: Design, epoch: int, phase: str, samples: int) -> Iterator[None]:
    """When, and with which fields, numbers stopped being finite; samples of the phase in this epoch, those at work included."""
    try:
        yield
    except NotFinite as error:
        raise Diverged(epoch + 1, error, design, phase, samples) from None


def _pass_time(clock: Clock, designs: Sequence[Design], samples: int) -> None:
    """After a batch, as long as its work took, or as the designs say."""
    if designs[0].training.sample_s is None:
        clock.step()
    else:
        clock.hold(np.array([d.training.sample_s for d in designs]) * samples)


@torch.no_grad()
def accuracy(model: nn.Sequential, task: Task, members: int = 1, batch: int = 1000) -> torch.Tensor:
    """Fraction of test samples classified right by each member, (E,); for `program` minus eps_w = std(W - target).

    Raises:
        NotFinite: An output, or a weight of `program`, is no finite number.
    """
    model.eval()
    if task.kind == "program":
        layer = model[0]
        assert isinstance(layer, AnalogLayer)
        assert task.target is not None
        return finite("training", "the weight error", -(layer.stored - task.target).flatten(1).std(1))
    right, sums = torch.zeros(members), []
    for x, y in zip(task.test_x.split(batch), task.test_y.split(batch), strict=True):
        seen = x.expand(members, *x.shape) if members > 1 else x
        out = model(seen)
        sums.append(out.sum(dtype=torch.float64))  # argmax makes a class of anything
        right += (out.argmax(-1) == y).reshape(members, -1).float().sum(1)
    finite("training", "the outputs of test samples", torch.stack(sums))
    return right / len(task.test_x)


def _versions(design: Design) -> dict[str, str]:
    """Of the programs that made a result, and the sha256 of users' files in it."""
    found = {"aimco": aimco.__version__, "torch": torch.__version__, "numpy": np.__version__, "python": platform.python_version()}
    return found | {os.path.basename(path): f"sha256 {sha256(content)}" for path, content in design.files().items()}


def _result(
    phases: Phases,
    design: Design,
    task: Task,
    seed: int,
    e: int,
    curves: dict[str, np.ndarray],
    samples: dict[str, int],
    wall_s: float,
) -> Result:
    energy, latency, area = bill(design, phases, e, samples)
    operations, layers = by_operation(phases, e), analog_layers(phases.model)
    vectors = {name: layer.vectors for name, layer in layers.items() if isinstance(layer, AnalogLayer)}
    busy = measured(design, phases.member("train", e), phases.shapes, {n: v * samples["train"] for n, v in vectors.items()})
    return Result(
        accuracy=float(curves["test_accuracy"][-1, e]),
        curves={n: [float(v) for v in c[:, e]] for n, c in curves.items()},
        energy_J=energy,
        latency_s=latency,
        area_m2=area,
        counts=dict(Counts.total(operations.values())),
        counts_by_phase={phase: {n: amount for n, amount in c.items() if amount} for phase, c in operations.items()},
        activity={layer: {name: own.as_dict() for name, own in arrays.items()} for layer, arrays in busy.items()},
        design=design,
        design_hash=design.hash(),
        task=task.name,
        seed=seed,
        wall_s=wall_s,
        versions=_versions(design),
        notes=notes(design, layers, e, len(task.train_x), latency["training_sample"]),
    )
