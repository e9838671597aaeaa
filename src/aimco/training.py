"""The training loop: epochs of batches, the time that passes meanwhile, the test after each, and what was counted by phase."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import torch
from torch import nn

from aimco import rng
from aimco.arrays.doors import NotFinite
from aimco.checkpoint import Checkpoint, Curves
from aimco.clock import Clock
from aimco.data.data import Data, ensemble_batches
from aimco.descent import Trainer
from aimco.design import Design
from aimco.divergence import Diverged
from aimco.nn.analog import AnalogLayer
from aimco.nn.layers import analog_layers
from aimco.notes import leaks
from aimco.periphery import broadcast_members
from aimco.phases import Phases, check_price
from aimco.rng import keep_generators

_SHARED_ABOVE = 4_000_000  # multiplications of the largest product of a batch from which torch's threads pay
_TELL_EVERY = 0.25  # s

OnEpoch = Callable[[int, int, float], None]
OnProgress = Callable[[float], None]
OnTrained = Callable[[nn.Module], None]
GoOn = Callable[[int, np.ndarray], bool]


class Watching(TypedDict, total=False):
    """Functions that a run calls.

    Args:
        on_epoch: After each epoch, with (epoch, epochs, test metric).
        on_progress: A few times a second, with the fraction of the run that is done.
        on_trained: At the end, with the network.
    """

    on_epoch: OnEpoch | None
    on_progress: OnProgress | None
    on_trained: OnTrained | None


@dataclass(frozen=True)
class Watch:
    """Who is told of a run.

    Args:
        on_epoch: Called with (epoch, epochs, test metric).
        on_progress: Called with the fraction of the run that is done, a few times a second.
        go_on: Asked between epochs with (epochs done, test metric of each member (E,)); the run ends where it says no.
        on_trained: Called with the network at the end.
        checkpoint: File that is written after each epoch, and that a run resumes from.
    """

    on_epoch: OnEpoch | None = None
    on_progress: OnProgress | None = None
    go_on: GoOn | None = None
    on_trained: OnTrained | None = None
    checkpoint: str | None = None


class Run:
    """A network, what it learns from, and what has come of it so far.

    Args:
        model: Just built.
        phases: Its counts.
        designs: Of the members.
        data: What they learn from.
        seeds: Of the members.
        watch: Who is told.
    """

    def __init__(self, model: nn.Module, phases: Phases, designs: Sequence[Design], data: Data, seeds: Sequence[int], watch: Watch) -> None:
        self.model, self.phases, self.designs, self.data, self.seeds, self.watch = model, phases, list(designs), data, list(seeds), watch
        run = [] if watch.checkpoint is None else Checkpoint.of_run(designs, seeds, data)
        self.checkpoint = Checkpoint(watch.checkpoint, model, phases, run, designs)
        names = [f"test_{metric.name}" for metric in data.goal.metrics]
        self.main, self.curves = names[0], {name: [] for name in (*names, "train_loss")}
        self._last_report = 0.0
        check_price(self.designs[0], phases)

    def train(self) -> None:
        """Train to the end, from where the checkpoint has it.

        Raises:
            Diverged: Numbers that are not finite any more.
        """
        with _threads_for(self.model, self.designs[0].training.batch):
            self._train()

    def _train(self) -> None:
        training = self.designs[0].training
        trainer = self.designs[0].network.trainer(self.model, self.data)
        self.curves |= self.checkpoint.load()
        clock = Clock(self.model, self.designs) if analog_layers(self.model) and any(map(leaks, self.designs)) else None
        for epoch in range(len(self.curves["train_loss"]), training.epochs):
            if epoch and self.watch.go_on and not self.watch.go_on(epoch, self.curves[self.main][-1]):
                break
            self.model.train()
            with keep_generators():
                torch.manual_seed(rng.stream_key(self.seeds[0], "torch", epoch) % 2**63)  # of dropout and the like in users' models
                loss = self._epoch(trainer, epoch, clock)
            self.phases.end("train")
            if trainer.write():
                self.phases.end("write")
            with self._locate_divergence(epoch, "infer", len(self.data.test_x)):
                metrics = self.data.goal.judge(self.model, self.data.test_x, self.data.test_y, len(self.seeds))
            self._note(loss, metrics)
            self.phases.end("infer")
            if clock is not None:
                clock.skip()  # no simulated time passes during evaluation: on the chip, training would continue at once
            self.checkpoint.save(self.curves)
            if self.watch.on_epoch:
                self.watch.on_epoch(epoch + 1, training.epochs, float(self.curves[self.main][-1].mean()))

    def _note(self, loss: torch.Tensor, metrics: dict[str, torch.Tensor]) -> None:
        """Add an epoch to the curves."""
        self.curves["train_loss"].append((loss / len(self.data.train_x)).numpy())
        for name, values in metrics.items():
            self.curves[f"test_{name}"].append(values.numpy())

    def _epoch(self, trainer: Trainer, epoch: int, clock: Clock | None) -> torch.Tensor:
        """Learn from all samples once; the sum of the losses, (E,)."""
        training, data, total = self.designs[0].training, self.data, torch.zeros(len(self.seeds))
        lr = broadcast_members([d.rule.lr * d.training.lr_factor(epoch) for d in self.designs], len(self.seeds))
        for k, index in enumerate(ensemble_batches(data, training.batch, epoch, self.seeds)):
            self._progress((epoch + k * training.batch / len(data.train_x)) / training.epochs)
            picked = torch.from_numpy(index)
            with self._locate_divergence(epoch, "train", k * training.batch + index.shape[1]):
                total += trainer.step(data.train_x[picked], data.train_y[picked], lr) * index.shape[1]
                if clock is not None:
                    self._pass_time(clock, index.shape[1])
            if not epoch and not k:
                check_price(self.designs[0], self.phases)
        return total

    def _pass_time(self, clock: Clock, samples: int) -> None:
        """After a batch, as long as its work took, or as the designs say."""
        if self.designs[0].training.sample_s is None:
            clock.step()
        else:
            clock.elapse(np.array([d.training.sample_s for d in self.designs]) * samples)

    def _progress(self, done: float) -> None:
        if self.watch.on_progress and time.perf_counter() - self._last_report > _TELL_EVERY:
            self._last_report = time.perf_counter()
            self.watch.on_progress(done)

    @contextlib.contextmanager
    def _locate_divergence(self, epoch: int, phase: str, samples: int) -> Iterator[None]:
        """When, and with which fields, numbers stopped being finite; samples of the phase in this epoch, those at work included."""
        try:
            yield
        except NotFinite as error:
            raise Diverged(epoch + 1, error, self.designs[0], phase, samples) from None

    def diverged(self, error: Diverged) -> dict[str, int]:
        """Give all epochs from one on the metrics of chance; samples of the phases up to then."""
        left = self.designs[0].training.epochs - error.epoch + 1
        goal = self.data.goal
        metrics, loss = goal.chance(self.data.test_y)[0], goal.chance(self.data.train_y)[1]
        values = {f"test_{name}": value for name, value in metrics.items()} | {"train_loss": loss}
        self.curves = {n: [*self.curves[n][: error.epoch - 1], *[np.array([v])] * left] for n, v in values.items()}
        self.phases.end(error.phase)
        begun = {"train": len(self.data.train_x) if error.phase == "infer" else 0, "infer": 0} | {error.phase: error.samples}
        return {phase: n + begun[phase] for phase, n in self.samples(error.epoch - 1).items()}

    def samples(self, epochs: int | None = None) -> dict[str, int]:
        """Samples of the phases of so many epochs; of those that were trained when absent."""
        epochs = len(self.curves["train_loss"]) if epochs is None else epochs
        tested = 0 if self.data.goal.one_matrix else len(self.data.test_x)
        return {"train": len(self.data.train_x) * epochs, "infer": tested * epochs}


@contextlib.contextmanager
def _threads_for(model: nn.Module, batch: int) -> Iterator[None]:
    """One thread for products too small to share: waking others costs as much, and far more beside another program."""
    threads = torch.get_num_threads()
    layers = [m for m in model.modules() if isinstance(m, AnalogLayer)]
    small = layers and batch * max(m.members * m.vectors * m.inputs * m.outputs for m in layers) < _SHARED_ABOVE
    torch.set_num_threads(1 if small else threads)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


__all__ = ["Curves", "GoOn", "OnEpoch", "OnProgress", "OnTrained", "Run", "Watch", "Watching"]
