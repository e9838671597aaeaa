"""Kirchhoff's laws by an independent circuit simulator."""

from __future__ import annotations

import re
import subprocess

import torch

from aimco.arrays.crossbar import Crossbar
from aimco.device.device import Device


def test_a_crossbar_read_is_the_operating_point_of_its_circuit(ngspice, tmp_path):
    """Column currents of 5 x 4 conductances between driven rows and grounded columns, within 1e-5."""
    device = Device.named("rpu")
    array = Crossbar(device, 5, 4)
    array.pulse_rows(torch.randint(-300, 300, array.shape, dtype=torch.int32, generator=torch.Generator().manual_seed(0)))
    conductance, volts = device.conductance(array.state)[0], [0.2, -0.1, 0.05, 0.15, -0.2]
    deck = ["crossbar"] + [f"vr{i} r{i} 0 {v}" for i, v in enumerate(volts)] + [f"vc{j} c{j} 0 0" for j in range(4)]
    deck += [f"x{i}{j} r{i} c{j} {1 / conductance[i, j].item():.12g}".replace("x", "r", 1) for i in range(5) for j in range(4)]
    deck += [".control", "set numdgt=10", "op", *(f"print i(vc{j})" for j in range(4)), ".endc", ".end"]
    (tmp_path / "deck.cir").write_text("\n".join(deck) + "\n")
    out = subprocess.run(["ngspice", "-b", str(tmp_path / "deck.cir")], capture_output=True, text=True, check=False).stdout
    simulated = [float(re.search(rf"i\(vc{j}\) = (\S+)", out)[1]) for j in range(4)]  # type: ignore[index]
    mid, half = float(device.mid_range), float(device.half_range)
    drive = torch.tensor([[volts]])
    ours = array.mvm(drive)[0, 0].double() * half + mid * sum(volts)
    assert torch.allclose(torch.tensor(simulated, dtype=torch.float64), ours, rtol=1e-5, atol=1e-14)
