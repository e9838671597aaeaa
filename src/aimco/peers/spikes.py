"""Brian2 on the work of a spiking Boltzmann machine, in an interpreter of its own."""

from __future__ import annotations

import contextlib
import functools
import json
import math
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aimco.kernels import spikes
from aimco.plain_data import PlainData
from aimco.record import InputError
from aimco.spiking.sampler import SpikingRbm

_PROGRAM = Path(__file__).with_name("spikes_brian2.py")


@dataclass(frozen=True)
class Ran:
    """One run of Brian2.

    Args:
        version: of it. visible_Hz, hidden_Hz: mean rates over all phases. seconds: of the processor in the run, without compiling.
    """

    version: str
    visible_Hz: float
    hidden_Hz: float
    seconds: float


@contextlib.contextmanager
def brian2(
    python: str, machine: SpikingRbm, probabilities: np.ndarray, lr: float = 0.0, *, exact: bool = False
) -> Iterator[Callable[[], Ran]]:
    """A compiled program that goes through a data phase and a reconstruction phase for each sample (S, V); each call runs it once.

    It starts from the weights of the machine, and from biases of zero.

    Args:
        python: interpreter that has brian2. machine: of one member, with white noise. lr: of learning; 0 for none.
        exact: steps of neurons as ours are, exact for currents that decay or rest; else the method of Euler and Maruyama.

    Raises:
        InputError: an interpreter without brian2, or none.
    """
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder) / "work.npz", **_work(machine, probabilities, lr), exact=exact)
        log = Path(folder) / "said.txt"
        try:
            with log.open("w") as errors:
                pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": errors}
                program = subprocess.Popen([python, "-P", str(_PROGRAM), folder], text=True, **pipes)
        except OSError as error:
            raise _missing(python, error.strerror) from None
        with program:
            yield functools.partial(_again, program, python, log)


def _again(program: subprocess.Popen, python: str, log: Path) -> Ran:
    """Ask for one run, and wait for what it tells."""
    with contextlib.suppress(BrokenPipeError):
        program.stdin.write("\n")  # pyright: ignore[reportOptionalMemberAccess]
        program.stdin.flush()  # pyright: ignore[reportOptionalMemberAccess]
    for line in program.stdout:  # pyright: ignore[reportOptionalIterable]
        if line.startswith("{"):
            return Ran(**json.loads(line))
    raise _missing(python, (log.read_text().strip() or "no message").splitlines()[-1])


def _missing(python: str, why: str | None) -> InputError:
    return InputError(f"peer must be the interpreter of an environment with brian2, got {python} ({why}); `make brian2` makes one")


def _work(machine: SpikingRbm, probabilities: np.ndarray, lr: float) -> PlainData:
    """All that the program reads, currents in A."""
    record, beta = machine.record, machine.fitted.beta
    neuron, over, learned = record.neuron, machine.over, record.phase_s - record.burn_in_s
    law = machine.law(lr, learned)[0]
    drives = np.zeros((2 * len(probabilities), machine.visible))
    drives[::2] = np.log(probabilities / (1 - probabilities)) / beta
    bins = math.gcd(round(record.phase_s / record.dt_s), round(record.burn_in_s / record.dt_s))
    quiet, steps = round(record.burn_in_s / record.dt_s) // bins, round(record.phase_s / record.dt_s) // bins
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
        "bias_Hz": record.bias_Hz,
        "weights": machine.weights[0],
        "drives": drives,
        "gates": gates,
        "gate_s": bins * record.dt_s,
        "dt": record.dt_s,
        "phase_s": record.phase_s,
        "seed": machine.seeds[0],
    }
