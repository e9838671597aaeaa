"""Rates of the spiking Boltzmann machine beside those of Brian2 (Stimberg, Brette and Goodman 2019), learning off.

824 visible and 500 hidden neurons of Neftci 2014 (Front. Neurosci. 7:272), five samples of 100 ms clamped and 100 ms free, from the same
weights. With the same step written out in Brian2 both must agree; with the method of Euler and Maruyama, which is Brian2's own for noise,
they must as the step shrinks: in steps of 0.1 ms its noise is 5 % larger than that of a leaky membrane.

Usage: python neftci2014_brian2.py --peer PYTHON [--quick] [--out FOLDER]      (3 min; writes neftci2014-brian2.json)
       PYTHON is the interpreter of an environment with brian2, which `make brian2` makes
"""

from __future__ import annotations

import json

import numpy as np
import torch
from _figure import keep, options

from aimco.peers.spikes import brian2
from aimco.spiking.record import Spiking
from aimco.spiking.sampler import SpikingRbm

WITHIN = 0.02
CASES = (("same step", 1e-4, 0.1), ("same step", 1e-4, 0.3), ("Euler-Maruyama", 1e-4, 0.1), ("Euler-Maruyama", 2e-5, 0.1))


def compared(peer: str, method: str, dt: float, start: float) -> dict:
    """Mean rates of both layers over all phases, Hz, of ours and of Brian2."""
    record = Spiking(phase_s=0.1, dt_s=dt, start=start)
    machine = SpikingRbm(824, 500, record)
    on = np.random.default_rng(0).random((5, machine.visible)) < 0.19
    p = np.where(on, record.high, record.low)
    with brian2(peer, machine, p, exact=method == "same step") as again:
        theirs = again()
    machine.learn(p, 0.0)
    ours = (machine.events[0] / (machine.visible, machine.hidden) / (2 * len(p) * record.phase_s)).tolist()
    rates = {"visible_Hz": (ours[0], theirs.visible_Hz), "hidden_Hz": (ours[1], theirs.hidden_Hz)}
    result: dict = {"method": method, "dt_s": dt, "start": start, "brian2": theirs.version}
    for name, (rate, other) in rates.items():
        result[name] = {"ours": rate, "brian2": other, "apart": rate / other - 1, "pass": abs(rate / other - 1) <= WITHIN}
    return result


def main() -> None:
    chosen = options(peer=True)
    torch.set_num_threads(1)
    results = [compared(chosen.peer, *case) for case in CASES[: 1 if chosen.quick else None]]
    keep(chosen.out, "neftci2014-brian2", results)
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
