"""A spiking Boltzmann machine in Brian2 (Stimberg, Brette and Goodman 2019), C++ standalone on one thread.

A program for an interpreter that has brian2, started by `aimco.peers.spikes`; nothing of aimco is imported. Its argument is a folder with
work.npz. For each line that it reads it runs once, from the same start, and writes one JSON document: the rates of both layers over all
phases, Hz, and the seconds of the processor, without compiling and without set-up.
"""

import json
import sys
from pathlib import Path

import brian2 as b2  # pyright: ignore[reportMissingImports]
import numpy as np

LAYER = """
dv/dt = (-leak_S*v + rest_A + Ir + {drive})/(membrane_F*second) + diffusion*xi*second**-.5 : 1 (unless refractory)
dIr/dt = -Ir/(synapse_s*second) : 1
dp/dt = -p/(stdp_s*second) : 1
"""
EXACT = """
v = v_kept*v + v_synaptic*Ir + v_constant*(rest_A + {drive}) + v_noise*randn()
Ir = Ir_kept*Ir
p = p_kept*p
"""
BIAS = "Ir_post += b*bias_kick\nb += gate(t)*bias_rate*p_post"


def layer(units, work, drive, exact):
    """One layer of neurons. `exact` steps as aimco does, else by the method of Euler and Maruyama."""

    def step(equations, variables=None, method_options=None):
        return EXACT.format(drive=drive)

    given = {"threshold": "v > threshold_V", "reset": "v = reset_V\np += 1", "refractory": float(work["refractory_s"]) * b2.second}
    group = b2.NeuronGroup(units, LAYER.format(drive=drive), method=step if exact else "euler", **given)
    biased = b2.PoissonGroup(units, float(work["bias_Hz"]) * b2.Hz)
    kicks = b2.Synapses(biased, group, "b : 1", on_pre=BIAS)
    kicks.connect(j="i")
    return group, b2.SpikeMonitor(group, record=False), [group, biased, kicks]


def machine(work):
    """The network, and the counters of both layers."""
    visible, hidden = work["weights"].shape
    seen, seen_count, parts = layer(visible, work, "drive(t, i)", bool(work["exact"]))
    unseen, unseen_count, more = layer(hidden, work, "0", bool(work["exact"]))
    both = b2.Synapses(
        seen, unseen, "w : 1", on_pre="Ir_post += w*kick\nw += gate(t)*rate*p_post", on_post="Ir_pre += w*kick\nw += gate(t)*rate*p_pre"
    )
    both.connect(True)
    both.w = work["weights"].ravel()
    return b2.Network(*parts, *more, both, seen_count, unseen_count), (seen_count, unseen_count)


def main():
    folder = Path(sys.argv[1])
    work = np.load(folder / "work.npz")
    b2.set_device("cpp_standalone", build_on_run=False)
    b2.prefs.codegen.cpp.extra_compile_args_gcc = ["-w", "-O3", "-ffast-math", "-march=native"]
    b2.prefs.logging.std_redirection = False
    b2.seed(int(work["seed"]))
    b2.defaultclock.dt = float(work["dt"]) * b2.second
    net, counters = machine(work)
    names = {name: float(work[name]) for name in work.files if not work[name].ndim}
    names["drive"] = b2.TimedArray(work["drives"], dt=float(work["phase_s"]) * b2.second)
    names["gate"] = b2.TimedArray(work["gates"], dt=float(work["gate_s"]) * b2.second)
    seconds = len(work["drives"]) * float(work["phase_s"])
    net.run(seconds * b2.second, namespace=names)
    b2.device.build(directory=str(folder / "code"), compile=True, run=False)
    for _ in sys.stdin:
        b2.device.run(with_output=False)
        rates = [int(c.num_spikes) / len(c.source) / seconds for c in counters]
        report = {"version": b2.__version__, "visible_Hz": rates[0], "hidden_Hz": rates[1], "seconds": b2.device._last_run_time}
        print(json.dumps(report), flush=True)


if __name__ == "__main__":
    main()
