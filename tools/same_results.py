"""Whether thirteen designs give the same results, to the bit, with the code of two folders.

    git worktree add --detach ../before COMMIT
    .venv/bin/python tools/same_results.py ../before . [--only NAME]

Each design is trained by `python -m aimco run --json` of either folder. Every number of the results is compared, but for what names
the program that made them: the hash of the design, versions, and the time that the simulation took.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

SMALL = "training = { epochs = 2, batch = 10 }\n"
LEAKY = """
[device]
name = "leaky"
g_min = 0.0
g_max = 2e-6
retention_s = 1.0
response = { kind = "soft-bounds", step_up = 2e-9, step_down = 2e-9 }
"""
LINEAR = """
[device]
name = "linear"
g_min = 1e-7
g_max = 1e-5
response = { kind = "constant-step", step_up = 1e-8, step_down = 1e-8 }
"""
SGD = """
device = "rpu"
rule = { kind = "sgd", lr = 0.1 }
"""
TIKI_TAKA_V2 = """
device = "rram-taox-hfox"
rule = { kind = "tiki-taka-v2", lr = 0.1 }
"""
AGAD = """
device = "rpu"
rule = { kind = "agad", lr = 0.1 }
network = { hidden = [24, 16], bias = "digital" }
"""
LEAK = """
rule = { kind = "retention-tiki-taka", lr = 0.1 }
"""
PAIRS = """
device = "pcm-gst"
cell = { kind = "pair", weight_max = 1.0 }
rule = { kind = "sgd", lr = 0.05 }
"""
TRANSFER = """
device = "igzo-6t1c"
cell = { kind = "capacitor-pcm" }
rule = { kind = "weight-transfer", lr = 0.05 }
"""
LENET = """
device = "rpu"
network = { kind = "lenet", channels = [4], kernel_size = 3, hidden = [16] }
rule = { kind = "sgd", lr = 0.05 }
"""
WIRES = """
device = "rpu"
rule = { kind = "sgd", lr = 0.1 }
network = { hidden = [16] }
array = { rows = 40, cols = 16, wires = { word_ohm = 1.0, bit_ohm = 1.0 } }
periphery = { adc = { shared_by = 4 } }
training = { epochs = 1, batch = 10 }
"""
PROGRAM = """
device = "soft-bounds"
rule = { kind = "tiki-taka", lr = 0.1 }
"""
RESISTIVE = """
rule = { kind = "equilibrium", lr = 0.002, update_mode = "ideal" }
network = { kind = "resistive", hidden = [20], circuit = { low_V = -0.3, high_V = 0.3, gain = 4.0 } }
training = { epochs = 1, batch = 10 }
"""
DEVICES = """
rule = { kind = "equilibrium", lr = 0.002 }
network = { kind = "resistive", hidden = [12], circuit = { low_V = -0.3, high_V = 0.3, offset_spread_V = 0.01 } }
array = { rows = 200, cols = 100, wires = { word_ohm = 1.0, bit_ohm = 1.0 } }
training = { epochs = 1, batch = 10 }
"""
SPIKING = """
device = "ideal"
network = { kind = "spiking-rbm", hidden = [40] }
rule = { kind = "contrastive-divergence" }
training = { epochs = 1, batch = 1 }
"""
CHIP = """
device = "pcm-gst"
cell = { kind = "pair6t2r", weight_max = 1.0 }
network = { kind = "spiking-rbm", hidden = [30] }
rule = { kind = "contrastive-divergence", update_mode = "set" }
training = { epochs = 1, batch = 1 }
"""
DESIGNS = {  # name -> (design, other options)
    "sgd": (SGD + SMALL, ["--limit", "400"]),
    "tiki-taka-v2": (TIKI_TAKA_V2 + SMALL, ["--limit", "400"]),
    "agad": (AGAD + SMALL, ["--limit", "400"]),
    "leak": (LEAK + SMALL + LEAKY, ["--limit", "400"]),
    "pairs": (PAIRS + SMALL, ["--limit", "300"]),
    "transfer": (TRANSFER + SMALL, ["--limit", "300"]),
    "lenet": (LENET + SMALL, ["--limit", "200"]),
    "wires": (WIRES, ["--limit", "60"]),
    "program": (PROGRAM + SMALL, ["--task", "program", "--limit", "500"]),
    "resistive": (RESISTIVE + LINEAR, ["--limit", "200"]),
    "resistive-devices": (DEVICES + LINEAR, ["--limit", "20"]),
    "spiking": (SPIKING, ["--limit", "60"]),
    "spiking-devices": (CHIP, ["--limit", "10"]),
}
LEFT_OUT = ("design_hash", "versions", "wall_s", "accuracy", "metrics", "notes", "curves")
JUDGED = ("test_accuracy", "test_weight_error")  # a weight error was an accuracy below 0 once


def result_of(folder: Path, name: str, data_dir: str | None) -> dict[str, Any]:
    """The JSON of a run of a design by the code of a folder."""
    design, options = DESIGNS[name]
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / f"{name}.toml"
        path.write_text(design)
        environment = os.environ | {"PYTHONPATH": str(folder.resolve() / "src"), "PYTHONWARNINGS": "ignore"}
        command = [sys.executable, "-m", "aimco", "run", str(path), "--json", "--seed", "1", *options]
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=place)
    if ran.returncode:
        raise SystemExit(f"{folder}: {name}: {ran.stderr.strip()[-500:]}")
    return json.loads(ran.stdout)


def differences(one: Any, other: Any, path: str = "") -> list[str]:
    """Paths at which two documents differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        return [d for n in one.keys() | other.keys() for d in differences(one.get(n), other.get(n), f"{path}.{n}")]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return [d for k, (a, b) in enumerate(zip(one, other, strict=True)) for d in differences(a, b, f"{path}[{k}]")]
    return [] if one == other else [f"{path}: {one} and {other}"]


def compared(result: dict[str, Any]) -> dict[str, Any]:
    """What of a result must be the same, curves by what they show."""
    curves = result["curves"]
    found: dict[str, Any] = {n: v for n, v in result.items() if n not in LEFT_OUT}
    for name, curve in curves.items():
        said = "judged" if name in JUDGED else name
        found[said] = [abs(v) for v in curve]
    return found


def main() -> None:
    """Compare, and end with status 1 where anything differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--only", choices=DESIGNS, action="append")
    asked = parser.parse_args()
    apart = 0
    for name in asked.only or DESIGNS:
        one, other = (compared(result_of(folder, name, None)) for folder in (asked.before, asked.after))
        found = sorted(differences(one, other))
        apart += bool(found)
        print(f"{name}: {'the same' if not found else f'{len(found)} numbers differ'}", flush=True)
        for line in found[:5]:
            print(f"  {line}")
    raise SystemExit(1 if apart else 0)


if __name__ == "__main__":
    main()
