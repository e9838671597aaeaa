"""evaluate(design, task, seed) -> Result: one record in, one row out."""

from __future__ import annotations

import contextlib
import io
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

import aimco
from aimco import tasks
from aimco.clock import Clock
from aimco.cost.activity import measured
from aimco.cost.technology import Technology
from aimco.design import Design
from aimco.ensemble import stack
from aimco.ledger import Counts
from aimco.networks.analog import AnalogLayer
from aimco.networks.build import WHOLE, build
from aimco.networks.layers import Arrays, analog_layers
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
        InputError: unknown task, missing or broken data, impossible limit.

    Example:
        >>> design = Design(device="ideal", training={"epochs": 1, "batch": 50})
        >>> evaluate(design, seed=1).task
        'digits'
    """
    options = {"on_epoch": on_epoch, "on_progress": on_progress, "checkpoint": checkpoint, "on_trained": on_trained}
    return evaluate_many([design], task, seeds=[seed], data_dir=data_dir, limit=limit, **options)[0]


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

    Resistive and spiking networks are trained one after the other, and to the end.

    Args:
        go_on: asked between epochs with (epochs done, test accuracy of each member (E,)); all end where it says no, and are priced
            for what they did.
    """
    if len(designs) != len(seeds) or not designs:
        raise InputError(f"seeds must be one per design, got {len(seeds)} for {len(designs)} designs")
    if len(designs) > 1 and designs[0].network.kind in WHOLE:
        options = {"data_dir": data_dir, "limit": limit, "on_epoch": on_epoch, "on_trained": on_trained}
        results = _one_by_one(designs, task, seeds, on_progress, checkpoint, options)
        for epoch in range(1, designs[0].training.epochs if go_on else 1):
            assert go_on is not None
            go_on(epoch, np.array([r.curves["test_accuracy"][epoch - 1] for r in results]))
        return results
    started = time.perf_counter()
    loaded = tasks.load(task, data_dir=data_dir, seed=seeds[0], limit=limit) if isinstance(task, str) else task
    together = stack(list(designs))
    model = build(together, loaded, seeds)
    phases = Phases(model)
    phases.end("write")
    with _threads_for(model, designs[0].training.batch):
        curves = _train(
            model,
            designs,
            loaded,
            list(seeds),
            on_epoch,
            go_on,
            _Meter(on_progress),
            _Checkpoint(checkpoint, model, phases, designs, loaded, seeds),
        )
    wall = time.perf_counter() - started
    if on_trained:
        on_trained(model)
    return [
        _result(model, phases, d, loaded, s, e, curves, wall / len(designs)) for e, (d, s) in enumerate(zip(designs, seeds, strict=True))
    ]


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
        self.run = [hashes, list(seeds), task.name, len(task.train_x), aimco.__version__, list(PHASES)]

    def load(self) -> dict[str, list[np.ndarray]]:
        """Curves so far, the model put to where it was."""
        if self.path is None or not os.path.exists(self.path):
            return {"test_accuracy": [], "train_loss": []}
        try:
            saved = torch.load(self.path)
            same = saved["run"] == self.run
        except Exception as error:
            raise InputError(f"checkpoint {self.path}: must be a file that aimco wrote, got {type(error).__name__}; remove it") from None
        if not same:
            raise InputError(f"checkpoint {self.path}: must be of the same design, task, seed and version; remove it or name another")
        self.model.load_state_dict(saved["model"])
        self.phases.restore(saved["phases"])
        return {name: list(curve.numpy()) for name, curve in saved["curves"].items()}

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
    clock = Clock(model, designs) if analog_layers(model) and any(map(_leaks, designs)) else None
    for epoch in range(len(curves["train_loss"]), training.epochs):
        if epoch and go_on and not go_on(epoch, curves["test_accuracy"][-1]):
            break
        lr = across([d.rule.lr * d.training.lr_factor(epoch) for d in designs], members)
        model.train()
        total = torch.zeros(members)
        for k, index in enumerate(tasks.ensemble_batches(task, training.batch, epoch, seeds)):
            meter.tell((epoch + k * training.batch / len(task.train_x)) / training.epochs)
            picked = torch.from_numpy(index)
            total += descent.step(task.train_x[picked], task.train_y[picked], lr) * index.shape[1]
            if clock is not None:
                _pass_time(clock, designs, index.shape[1])
        phases.end("train")
        curves["train_loss"].append((total / len(task.train_x)).numpy())
        curves["test_accuracy"].append(accuracy(model, task, members).numpy())
        phases.end("infer")
        if clock is not None:
            clock.skip()  # the simulator looks at the network: on the chip its training goes on at once
        checkpoint.save(curves)
        if on_epoch:
            on_epoch(epoch + 1, training.epochs, float(curves["test_accuracy"][-1].mean()))
    return {n: np.stack(v) for n, v in curves.items()}


def _pass_time(clock: Clock, designs: Sequence[Design], samples: int) -> None:
    """After a batch, as long as its work took, or as the designs say."""
    if designs[0].training.sample_s is None:
        clock.step()
    else:
        clock.hold(np.array([d.training.sample_s for d in designs]) * samples)


def _leaks(design: Design) -> bool:
    """Whether time changes any device of the arrays that the rule asks for."""
    made_of = [needs.device or design.device for needs in design.rule.arrays().values()]
    return any(device.leaks for made in made_of for device in design.cell.devices(made))


@torch.no_grad()
def accuracy(model: nn.Sequential, task: Task, members: int = 1, batch: int = 1000) -> torch.Tensor:
    """Fraction of test samples classified right by each member, (E,); for `program` minus eps_w = std(W - target)."""
    model.eval()
    if task.kind == "program":
        layer = model[0]
        assert isinstance(layer, AnalogLayer)
        assert task.target is not None
        return -(layer.stored - task.target).flatten(1).std(1)
    right = torch.zeros(members)
    for x, y in zip(task.test_x.split(batch), task.test_y.split(batch), strict=True):
        seen = x.expand(members, *x.shape) if members > 1 else x
        right += (model(seen).argmax(-1) == y).reshape(members, -1).float().sum(1)
    return right / len(task.test_x)


def _result(
    model: nn.Sequential, phases: Phases, design: Design, task: Task, seed: int, e: int, curves: dict[str, np.ndarray], wall: float
) -> Result:
    epochs = len(curves["train_loss"])
    samples = {"train": len(task.train_x) * epochs, "infer": len(task.test_x) * epochs if task.kind == "classify" else 0}
    energy, latency, area = bill(design, phases, e, samples)
    done = by_operation(phases, e)
    vectors = {name: m.vectors for name, m in model.named_modules() if isinstance(m, AnalogLayer)}
    busy = measured(design, phases.member("train", e), phases.shapes, {n: v * samples["train"] for n, v in vectors.items()})
    return Result(
        accuracy=float(curves["test_accuracy"][-1, e]),
        curves={n: [float(v) for v in c[:, e]] for n, c in curves.items()},
        energy_J=energy,
        latency_s=latency,
        area_m2=area,
        counts=dict(Counts.total(done.values())),
        counts_by_phase={phase: {n: amount for n, amount in c.items() if amount} for phase, c in done.items()},
        activity={layer: {name: own.as_dict() for name, own in arrays.items()} for layer, arrays in busy.items()},
        design=design,
        design_hash=design.hash(),
        task=task.name,
        seed=seed,
        wall_s=wall,
        versions={"aimco": aimco.__version__, "torch": torch.__version__, "numpy": np.__version__, "python": platform.python_version()},
        notes=_notes(design, analog_layers(model)) + _time_notes(design, latency["training_sample"]),
    )


def _time_notes(design: Design, priced_s: float) -> list[str]:
    """Whose time devices leaked for, where that is not the priced one."""
    asked = design.training.sample_s
    if asked is None or not priced_s or not _leaks(design):
        return []
    return [f"devices leak for training.sample_s = {asked:.3g} s a sample; latency_s is of the operations, {priced_s:.3g} s a sample"]


def _notes(design: Design, layers: Mapping[str, Arrays]) -> list[str]:
    """Approximations in force."""
    notes, parts, wires = list(design.rule.notes()), list(layers.values()), design.array.wires
    notes += [note for part in parts for note in part.notes()]
    if design.network.kind == "spiking-rbm" and Technology.named(design.technology).synapse_J is None:
        notes.append(f"technology {design.technology} has no energies of spikes, which are not priced; take spiking-90nm or spiking-28nm")
    if any(part.matrices for part in parts) and design.device.response.one_sided and not design.cell.rises_only:
        notes.append("the device is one-sided: weights can only rise; a cell of two, as cell.kind = 'pair', would let them fall")
    if parts and design.cell.transfers and not design.rule.transfers:
        notes.append("the pairs of the cells keep the first weights: rule.kind = 'weight-transfer' would move to them what is learned")
    if design.network.kind not in WHOLE and any(m.arrays > 1 for part in parts for m in part.matrices.values()):
        notes.append("matrices larger than the array are cut; partial sums are added digitally")
    if parts and design.device.half_select is not None:
        notes.append("half-selected devices move by their mean steps, after each batch or write")
    if parts and wires is not None and not wires.ideal:
        notes.append("wires drop voltage in reads; pulses and write-and-verify reach each device at full voltage")
        if design.network.kind != "resistive" and wires.method == "first-order":
            notes.append("reads through wires are right to first order in their resistance")
    return notes
