"""What benchmarks share: medians, rows, and the device that is timed."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from aimco.device.device import Device
from aimco.plain_data import PlainData

OnCase = Callable[[str], None]


def median(work: Callable[[], object], *, runs: int = 9, warm: int = 2, clock: Callable[[], float] = time.perf_counter) -> float:
    """Median seconds of one call, by a clock."""
    for _ in range(warm):
        work()
    times = []
    for _ in range(runs):
        start = clock()
        work()
        times.append(clock() - start)
    return statistics.median(times)


def row(case: str, value: float, unit: str, peer: str, peer_value: float) -> PlainData:
    """One case as it is kept; the ratio is our speed over the peer's, of times in ms and of rates."""
    faster = peer_value / value if unit.startswith("ms") else value / peer_value
    return {"case": case, "value": value, "unit": unit, "peer": peer, "peer_value": peer_value, "ratio": faster}


def rpu_like(family: str) -> Device:
    """1200 states with the spreads and the cycle-to-cycle noise of the RPU specification, for every family."""
    base = Device.named("soft-bounds")
    steps = {n: getattr(base.response, n) for n in ("step_up", "step_down")}
    return base.replace("response", {"kind": family} | steps)
