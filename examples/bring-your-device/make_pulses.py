"""Write pulses.csv and retention.csv: what a parameter analyser would have measured on four made-up devices.

Usage: python make_pulses.py [FOLDER]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

from aimco import Crossbar, Device

DEVICES, CYCLES, PULSES = 4, 3, 150
READ_NOISE_S = 10e-9
DEVICE = {
    "name": "made-up",
    "g_min": 1e-6,
    "g_max": 5e-6,
    "response": {"kind": "soft-bounds", "step_up": 80e-9, "step_down": 64e-9},
    "spread": {"step": 0.2, "g_max": 0.1, "g_min": 0.1},
    "cycle_noise": 0.3,
    "retention_s": 7200.0,
}


def pulses() -> str:
    """Conductance after each pulse, up and down in turn: one row for each reading."""
    device = Device.of(DEVICE)
    array = Crossbar(device, 1, DEVICES, seeds=[7])
    array.state.copy_(array.sampled.bounds()[0])
    noise = np.random.default_rng(7)
    lines = ["device,cycle,pulse,polarity,conductance_uS"]
    readings: list[list[str]] = [[] for _ in range(DEVICES)]
    for cycle in range(CYCLES):
        for word, sign in (("up", 1), ("down", -1)):
            for _ in range(PULSES):
                array.pulse_rows(torch.full(array.shape, sign, dtype=torch.int32))
                seen = device.conductance(array.state)[0, 0].numpy() + READ_NOISE_S * noise.standard_normal(DEVICES)
                for k, g in enumerate(seen):
                    readings[k].append(f"{k + 1},{cycle + 1},{len(readings[k]) + 1},{word},{1e6 * g:.4f}")
    return "\n".join([*lines, *(line for group in readings for line in group)]) + "\n"


def retention() -> str:
    """Distance of one device from its resting point, read every ten minutes for four hours."""
    device = Device.of(DEVICE)
    array = Crossbar(device, 1, 1, seeds=[7])
    array.state.fill_(0.8)
    noise = np.random.default_rng(8)
    lines = ["time_min,conductance_uS"]
    for minute in range(0, 250, 10):
        g = float(array.state) * float(device.half_range) + 0.5 * READ_NOISE_S * noise.standard_normal()
        lines.append(f"{minute},{1e6 * g:.4f}")
        array.elapse(600.0)
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent)
    (folder / "pulses.csv").write_text(pulses())
    (folder / "retention.csv").write_text(retention())
