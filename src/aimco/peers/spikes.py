"""Brian2 on the work of a spiking Boltzmann machine, in an interpreter of its own."""

from __future__ import annotations

import json
import math
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aimco.kernels import spikes
from aimco.networks.spiking_rbm import SpikingRbm
from aimco.record import InputError

_PROGRAM = Path(__file__).with_name("spikes_brian2.py")


@dataclass(frozen=True)
class Brian2:
    """What Brian2 did.

    Args:
        version: of it. visible_Hz, hidden_Hz: mean rates over all phases. seconds: of each run, without compiling.
    """

    version: str
    visible_Hz: float
    hidden_Hz: float
    seconds: list[float]


def brian2(python: str, machine: SpikingRbm, probabilities: np.ndarray, lr: float = 0.0, *, runs: int = 1, exact: bool = False) -> Brian2:
    """A data phase and a reconstruction phase for each sample (S, V), from the weights and the biases of zero that the machine starts with.

    Args:
        python: interpreter that has brian2. machine: of one member, with white noise. lr: of learning; 0 for none. runs: to be timed.
        exact: steps of neurons as ours are, exact for currents that decay or rest; else the method of Euler and Maruyama.

    Raises:
        InputError: an interpreter without brian2, or none.
    """
    with tempfile.TemporaryDirectory() as folder:
        work: dict[str, Any] = {**_work(machine, probabilities, lr), "runs": runs, "exact": exact}
        np.savez(Path(folder) / "work.npz", **work)
        try:
            ran = subprocess.run([python, "-P", str(_PROGRAM), folder], capture_output=True, text=True, check=True)
        except OSError as error:
            raise InputError(f"peer must be the interpreter of an environment with brian2, got {python} ({error.strerror})") from None
        except subprocess.CalledProcessError as error:
            last = (error.stderr.strip() or "no message").splitlines()[-1]
            raise InputError(f"peer must be the interpreter of an environment with brian2, got {python} ({last})") from None
    return Brian2(**json.loads(ran.stdout.splitlines()[-1]))


def _work(machine: SpikingRbm, probabilities: np.ndarray, lr: float) -> dict[str, Any]:
    """All that the program reads, currents in A."""
    own, beta = machine.record, machine.fitted.beta
    neuron, over, learned = own.neuron, machine.over, own.phase_s - own.burn_in_s
    law = machine.law(lr, learned)[0]
    drives = np.zeros((2 * len(probabilities), machine.visible))
    drives[::2] = np.log(probabilities / (1 - probabilities)) / beta
    bins = math.gcd(round(own.phase_s / own.dt_s), round(own.burn_in_s / own.dt_s))
    quiet, steps = round(own.burn_in_s / own.dt_s) // bins, round(own.phase_s / own.dt_s) // bins
    gates = np.tile(np.repeat([0.0, 1.0, 0.0, -1.0], [quiet, steps - quiet] * 2), len(probabilities))
    named = ("membrane_F", "leak_S", "threshold_V", "reset_V", "refractory_s", "synapse_s", "stdp_s", "diffusion")
    stepped = {"v_kept": over.leak, "v_synaptic": over.synaptic, "v_constant": over.constant, "v_noise": over.noise_V}
    return {
        **{name: getattr(neuron, name) for name in named},
        **stepped,
        "Ir_kept": over.keep,
        "p_kept": over.trace,
        "rest_A": machine.rest_A,
        "kick": 1 / beta,
        "bias_kick": law[spikes.KICK] / beta,
        "rate": law[spikes.RATE],
        "bias_rate": law[spikes.BIAS_RATE],
        "bias_Hz": own.bias_Hz,
        "weights": machine.weights[0],
        "drives": drives,
        "gates": gates,
        "gate_s": bins * own.dt_s,
        "dt": own.dt_s,
        "phase_s": own.phase_s,
        "seed": machine.seeds[0],
    }
