"""Benchmarks: medians, and ratios to a peer timed in the same run."""

from __future__ import annotations

import functools
import os
import platform
from collections.abc import Callable

import torch

from aimco.bench.arrays import fit, hold, pulse
from aimco.bench.circuits import circuit, wires
from aimco.bench.costs import cost
from aimco.bench.spikes import rbm
from aimco.bench.start import start
from aimco.bench.timing import OnCase
from aimco.bench.training import train, variants
from aimco.errors import did_you_mean
from aimco.plain_data import PlainData
from aimco.record import InputError

NAMES: dict[str, Callable[[OnCase], list[PlainData]]] = {
    "pulse": pulse,
    "train": train,
    "hold": hold,
    "fit": fit,
    "circuit": circuit,
    "wires": wires,
    "variants": variants,
    "rbm": rbm,
    "cost": cost,
    "start": start,
}


def run(name: str, on_case: OnCase | None = None, *, peer: str | None = None) -> PlainData:
    """Rows of one benchmark: case, value, unit, peer, peer_value, ratio (our speed over the peer's).

    Args:
        peer: interpreter of the environment that a peer is installed in; for rbm, Brian2.

    Raises:
        InputError: no benchmark of this name, or no peer of it in an environment of its own.
    """
    if name not in NAMES:
        raise InputError(f"benchmark {name!r} is unknown{did_you_mean(name, list(NAMES))}; the benchmarks are {', '.join(NAMES)}")
    if peer is not None and name != "rbm":
        raise InputError(f"peer must be left out for {name}, got {peer}; rbm alone has one in an environment of its own")
    work = NAMES[name] if peer is None else functools.partial(rbm, peer=peer)
    rows = work(on_case or (lambda case: None))
    machine = f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}"
    return {"bench": name, "threads": torch.get_num_threads(), "machine": machine, "rows": rows}
