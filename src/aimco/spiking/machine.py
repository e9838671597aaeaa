"""The spiking Boltzmann machine of a design: label units, learning on chip by pulses of the devices, and what is read out of it."""

from __future__ import annotations

import numpy as np
import torch

from aimco import rng
from aimco.arrays.doors import finite
from aimco.arrays.spec import ArraySpec, Blueprint
from aimco.kernels import spikes
from aimco.ledger import Counts
from aimco.mapping import AnalogMatrix
from aimco.nn.layers import Arrays
from aimco.record import InputError
from aimco.spiking.record import Spiking
from aimco.spiking.sampler import FREE, Ran, SpikingRbm


class SpikingBoltzmannMachine(Arrays):
    """Visible units for the inputs and, several a class, for the label; hidden units; one array between them.

    Under ideal moves weights are numbers; else they are pairs of devices, G+ written in the data phase and G- in the reconstruction
    phase, and what neurons see is what the devices hold after each sample: with their steps, spread, drift and 1/f noise.

    Args:
        design: an `aimco.Design` with a network of kind spiking-rbm. inputs, classes: of the task. seed: of devices, weights and noise.
    """

    def __init__(self, design: Blueprint, inputs: int, classes: int, seed: int = 0) -> None:
        super().__init__()
        self.record: Spiking = design.network.spiking
        self.rule, self.inputs, self.classes, self.seed = design.rule, inputs, classes, seed
        self.device, self.weight_max = design.device, float(design.cell.weight_max)
        self.hidden = design.network.hidden[0]
        self.machine = SpikingRbm(inputs + classes * self.record.labels, self.hidden, self.record, seeds=(seed,))
        self.rule_state = {"phases": torch.zeros((), dtype=torch.int64)}
        self.matrices = {}
        if self.rule.arrays():
            shape = (self.machine.visible, self.hidden)
            self.matrices = {"W": AnalogMatrix(ArraySpec.of(design), *shape, seeds=(seed,), names=("spiking", "W"))}
            self.step = float(np.mean(self.device.step)) / float(np.mean(self.device.half_range)) * float(np.mean(design.cell.weight))
            first = torch.from_numpy(self.machine.weights).clamp(-self.weight_max, self.weight_max)
            self.matrices["W"].program(first)
            self.written = (self.matrices["W"].missed(first),)
            self._take()

    def _take(self) -> None:
        """Weights are what the devices hold now, (g+ - g-) weight_max/(g_max - g_min)."""
        plus, minus = (device.numpy() for device in self.matrices["W"].noisy_state())
        least = -float(np.mean(self.device.mid_range)) / float(np.mean(self.device.half_range))
        spikes.fill(self.machine.tiles, plus, minus, np.float32(least), np.float32(self.weight_max / 2))

    def clamped(self, x: torch.Tensor, labels: torch.Tensor | None = None) -> np.ndarray:
        """Probabilities of visible units, (S, V): of `shown` inputs, cut to low..high; label units free without labels.

        Raises:
            InputError: labels that are no classes.
        """
        inputs = np.clip(self.shown(x).numpy(), self.record.low, self.record.high)
        label = np.full((len(x), self.classes * self.record.labels), FREE)
        if labels is not None:
            if len(labels) != len(x) or not ((labels >= 0) & (labels < self.classes)).all():
                raise InputError(
                    f"labels must be one class in 0..{self.classes - 1} for each of {len(x)} samples, got {labels.tolist()[:5]}"
                )
            on = np.repeat(np.arange(self.classes)[None] == labels.numpy()[:, None], self.record.labels, 1)
            label = np.where(on, self.record.high, self.record.low)
        return np.concatenate((inputs, label), 1)

    def shown(self, x: torch.Tensor) -> torch.Tensor:
        """What inputs are to the machine, (B, inputs): 1 above the threshold and 0 below; without a threshold as they are.

        Raises:
            InputError: inputs that are not finite.
        """
        flat, threshold = finite("a spiking machine", "inputs", x.flatten(1)), self.record.threshold
        return flat if threshold is None else (flat > threshold).to(flat.dtype)

    @torch.no_grad()
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Minus the free energy of each class with inputs x, (B, classes): digital, on weights as they are now."""
        v, (weights, bias) = self.shown(x), (torch.from_numpy(a[0]) for a in (self.machine.weights, self.machine.bias))
        visible, hidden = bias.split((self.machine.visible, self.hidden))
        inputs, labels = weights.split((self.inputs, self.machine.visible - self.inputs))
        label = torch.eye(self.classes).repeat_interleave(self.record.labels, 1)
        into = (v @ inputs + hidden)[:, None] + label @ labels
        bias_term = (v @ visible[: self.inputs])[:, None] + label @ visible[self.inputs :]
        return bias_term + torch.nn.functional.softplus(into).sum(2)

    @torch.no_grad()
    def learn_from(self, x: torch.Tensor, labels: torch.Tensor, lr: float) -> torch.Tensor:
        """Learn from samples one after the other; returns the mean square difference of what units do in both phases."""
        clamped = self.clamped(x, labels)
        runs = [self._written(one[None], lr) for one in clamped] if self.matrices else [self.machine.learn(clamped, lr)]
        return torch.tensor(np.mean([self._apart(ran) for ran in runs]))

    def _apart(self, ran: Ran) -> float:
        share = ran.rates[0, :, : self.machine.visible] * self.record.neuron.refractory_s
        return float(np.square(share[0::2] - share[1::2]).mean())

    def _written(self, clamped: np.ndarray, lr: float) -> Ran:
        """One sample on the array: its phases, then the SET pulses of each."""
        machine, matrix = self.machine, self.matrices["W"]
        tiles, parts = [machine.tiles.copy()], []
        for gate in (1, -1):
            parts.append(machine.phase(clamped if gate > 0 else np.full_like(clamped, FREE), lr, gate))
            tiles.append(machine.tiles.copy() if gate > 0 else machine.tiles)
        for k, sign in enumerate((1, -1)):
            pulses = np.empty((machine.visible, machine.hidden), np.int32)
            number, key = int(self.rule_state["phases"]), np.uint64(rng.stream_key(self.seed, "spiking", "pulses"))
            spikes.asked(tiles[k][0], tiles[k + 1][0], np.float32(self.step), np.int32(self.rule.max_pulses), key, number, pulses)
            matrix.pulse_rows(sign * torch.from_numpy(pulses)[None])
            self.rule_state["phases"] += 1
        self._take()
        return Ran(np.concatenate([p.counts for p in parts], 1), np.concatenate([p.seconds for p in parts]), [])

    def label_rates(self, x: torch.Tensor, seconds: float = 1.0) -> torch.Tensor:
        """Mean rate of the label units of each class with the inputs clamped, Hz, (B, classes): the read-out by spikes alone."""
        ran = self.machine.sample(self.clamped(x), seconds)
        rates = ran.rates[0, :, self.inputs : self.machine.visible]
        return torch.from_numpy(rates.reshape(len(x), self.classes, -1).mean(2))

    def completed(self, x: torch.Tensor, known: torch.Tensor, seconds: float = 0.2) -> torch.Tensor:
        """Inputs as the machine completes them, (B, inputs) in 0..1: those `known` (inputs,) stay clamped, the label is free.

        The others are first clamped off, so that nothing of the sample before is left, and then free.
        """
        occluded = self.clamped(x)
        occluded[:, : self.inputs][:, ~known.numpy()] = self.record.low
        p = np.repeat(occluded, 2, 0)
        p[1::2, : self.inputs][:, ~known.numpy()] = FREE
        return self._shares(p, seconds)[1::2]

    def dreamt(self, labels: torch.Tensor, seconds: float = 0.5) -> torch.Tensor:
        """Inputs that the machine makes for labels, (B, inputs) in 0..1."""
        p = self.clamped(torch.zeros(len(labels), self.inputs), labels)
        p[:, : self.inputs] = FREE
        return self._shares(p, seconds)

    def _shares(self, p: np.ndarray, seconds: float) -> torch.Tensor:
        rates = self.machine.sample(p, seconds, quiet_s=0.05).rates[0, :, : self.inputs]
        return torch.from_numpy(rates * self.record.neuron.refractory_s).clamp(max=1)

    def elapse(self, seconds):
        super().elapse(seconds)
        if self.matrices:
            self._take()

    @property
    def analog(self):
        return True

    @property
    def shapes(self):
        return {"W": (self.machine.visible, self.hidden)}

    @property
    def counts(self):
        visible, hidden = (int(n) for n in self.machine.events[0])
        units = self.machine.visible + self.hidden
        ran = Counts(blif_spikes=visible, lif_spikes=hidden, synaptic_ops=visible * self.hidden + hidden * self.machine.visible)
        ran.add(walk_steps=self.machine.steps * self.machine.over.clocks * units, spiking_s=self._spiking_s)
        return {"W": Counts()} | super().counts | {"neurons": ran}

    @property
    def timed(self):
        return super().timed | {"neurons": {"spiking_s": self._spiking_s}}

    @property
    def _spiking_s(self) -> float:
        return self.machine.steps * self.record.dt_s

    def notes(self, member=0):
        return [
            *super().notes(member),
            "classes are told apart by free energy, computed digitally on the weights as they are; its cost is not counted",
        ]

    def get_extra_state(self):
        saved = {name: torch.from_numpy(array.copy()) for name, array in self._held().items()} | {"steps": torch.tensor(self.machine.steps)}
        return super().get_extra_state() | {"machine": saved, "rule": {n: t.clone() for n, t in self.rule_state.items()}}

    def set_extra_state(self, state):
        super().set_extra_state(state)
        saved = state["machine"]
        self.machine.steps = int(saved["steps"])
        for name, array in self._held().items():
            array[:] = saved[name].numpy()

    def _held(self) -> dict[str, np.ndarray]:
        """Everything that the machine holds and changes."""
        machine = self.machine
        return {"tiles": machine.tiles, "threshold": machine.threshold, "events": machine.events, **machine.state}
