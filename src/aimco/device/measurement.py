from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Trace:
    device: str
    cycle: np.ndarray
    level: np.ndarray
    polarity: np.ndarray
    pulses: np.ndarray
    time_s: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Measurement:
    traces: list
    unit: str
    source: str
    notes: list
    pulse_width_s: float | None = None
    read_voltage: float | None = None
