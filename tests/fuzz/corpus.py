"""Right inputs of every kind: files, and the command that takes them."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w

from aimco.cli import main
from aimco.cost.technology import Technology
from aimco.device.device import Device
from aimco.device.requirement import Requirement

Files = dict[str, bytes]


@dataclass(frozen=True)
class Input:
    """One right input.

    Args:
        kind: Of the table of results.
        words: The command.
        files: Content by name, below the current folder.
        damaged: Names of those that are damaged; the words are when empty.
    """

    kind: str
    words: tuple[str, ...]
    files: Mapping[str, bytes]
    damaged: tuple[str, ...] = ()


def toml(data: Mapping[str, Any]) -> bytes:
    """TOML text."""
    return tomli_w.dumps(data).encode()


_TRAINING = {"epochs": 1, "batch": 5}
_NETWORK = {"hidden": [4]}
_BASE: dict[str, Any] = {"device": "rpu", "network": _NETWORK, "rule": {"kind": "sgd", "lr": 0.1}, "training": _TRAINING}
_SPIKING: dict[str, Any] = {
    "device": "ideal",
    "cell": {"kind": "pair6t2r"},
    "network": {"kind": "spiking-rbm", "hidden": [6]},
    "rule": {"kind": "contrastive-divergence"},
    "training": {"epochs": 1, "batch": 5},
}

DESIGNS: dict[str, dict[str, Any]] = {
    "crossbar": _BASE,
    "datasheet": _BASE | {"device": Device.named("rram-array-om").as_dict()},
    "agad": _BASE | {"rule": {"kind": "agad", "lr": 0.1}, "cell": {"kind": "reference"}},
    "pairs": _BASE | {"device": "pcm", "cell": {"kind": "pair"}, "rule": {"kind": "mixed-precision"}},
    "periphery": _BASE
    | {
        "periphery": {"adc": {"kind": "sar", "bits": 6.0, "range_A": 1e-5}, "dac": {"bits": 6.0}},
        "array": {"rows": 32, "cols": 32, "wires": {"word_ohm": 1.0}},
    },
    "capacitor": _BASE | {"device": "igzo-6t1c", "cell": {"kind": "reference"}, "rule": {"kind": "retention-tiki-taka"}},
    "noise": _BASE | {"device": "pcm-noisy", "cell": {"kind": "pair"}},
    "flicker": _BASE
    | {
        "device": Device.named("rram-array-om").as_dict()
        | {"noise": [{"kind": "flicker", "amplitude": 0.01, "f_low": 1e-3, "f_high": 1e3}]}
    },
    "binary": _BASE | {"network": {"kind": "binary", "hidden": [8]}, "rule": {"kind": "off-chip"}},
    "residual": _BASE | {"device": "rram-hfs2", "rule": {"kind": "residual"}},
    "spiking": _SPIKING,
    "resistive": _BASE
    | {"device": "ideal", "network": {"kind": "resistive", "hidden": [4]}, "rule": {"kind": "equilibrium", "lr": 1.0, "target_V": 1.0}},
}

TOYS = Path(__file__).parents[1] / "toys"
NETWORK = b"""from torch import nn


def net(shape, outputs, width: int = 4):
    return nn.Sequential(nn.Flatten(), nn.Linear(shape[-1] * shape[-2] * shape[-3], width), nn.Tanh(), nn.Linear(width, outputs))
"""
_MY_DEVICE: dict[str, Any] = {
    "name": "mine",
    "g_min": 1e-6,
    "g_max": 3e-6,
    "response": {"kind": "my_response.py:Saturating", "step_up": 1e-8, "step_down": 1e-8},
}


def _pulses(rows: int = 40) -> bytes:
    """A sweep up and down of one device, twice."""
    lines = ["pulse,polarity,conductance (uS)"]
    for cycle in range(2):
        for k in range(rows):
            up = k < rows // 2
            level = 5 * (1 - np.exp(-k / 8)) + 1 if up else 1 + 5 * np.exp(-(k - rows // 2) / 8)
            lines.append(f"{cycle * rows + k},{'up' if up else 'down'},{level + 0.01 * (k % 3):.4f}")
    return ("\n".join(lines) + "\n").encode()


def _retention() -> bytes:
    return ("time (s),conductance (uS)\n" + "".join(f"{10.0**k:g},{5 - 0.3 * k:.3f}\n" for k in range(6))).encode()


def _jump_tables() -> Files:
    """Changes per pulse by state and quantile, of pulses up and down."""
    levels, chances = np.linspace(1e-6, 1e-5, 8), np.linspace(0, 1, 5)

    def table(sign: int) -> bytes:
        change = [sign * (1 + k) * 1e-7 * (1 - levels / 2e-5) for k in range(len(chances))]
        rows = [levels, chances, *change]
        return ("dG title\n" + "\n".join(" ".join(f"{v:.3e}" for v in row) for row in rows) + "\n").encode()

    return {"increasing.txt": table(1), "decreasing.txt": table(-1)}


def _idx(count: int) -> Files:
    """Four files as of MNIST."""
    rng, files = np.random.default_rng(1), {}
    for part, n in (("train", count), ("t10k", count // 2)):
        images = rng.integers(0, 256, (n, 28, 28), np.uint8)
        labels = (np.arange(n) % 10).astype(np.uint8)
        files[f"data/{part}-images-idx3-ubyte.gz"] = gzip.compress(struct.pack(">4I", 0x0803, n, 28, 28) + images.tobytes())
        files[f"data/{part}-labels-idx1-ubyte.gz"] = gzip.compress(struct.pack(">2I", 0x0801, n) + labels.tobytes())
    return files


def _npz() -> bytes:
    rng, buffer = np.random.default_rng(2), io.BytesIO()
    x = rng.random((60, 6)).astype(np.float32)
    np.savez(buffer, x=x, y=x.argmax(1))
    return buffer.getvalue()


def _csv() -> bytes:
    rng = np.random.default_rng(3)
    rows = [",".join([*(f"{v:.3f}" for v in x), str(int(x.argmax()))]) for x in rng.random((60, 6))]
    return ("\n".join(["a,b,c,d,e,f,label", *rows]) + "\n").encode()


def _made(words: list[str], files: Files, wanted: str) -> bytes:
    """A file that a command writes: a checkpoint, a database, a result."""
    import tempfile

    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            for name, content in files.items():
                Path(name).parent.mkdir(parents=True, exist_ok=True)
                Path(name).write_bytes(content)
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as said:
                assert main(words) == 0, said.getvalue()
            return Path(wanted).read_bytes()
        finally:
            os.chdir(before)


def _run(*more: str) -> tuple[str, ...]:
    return ("run", "d.toml", "--limit", "20", "--json", *more)


_STUDY: dict[str, Any] = {
    "name": "s",
    "base": _BASE,
    "space": {"rule.lr": {"low": 0.01, "high": 1.0, "log": True}, "device.cycle_noise": {"choices": [0.0, 0.1]}},
    "trials": 3,
    "limit": 20,
}


def inputs() -> list[Input]:
    """All right inputs."""
    out = [Input("design", _run(), {"d.toml": toml(design)}, ("d.toml",)) for design in DESIGNS.values()]
    out += [
        Input("cost", ("cost", "d.toml", "--json"), {"d.toml": toml(DESIGNS[name])}, ("d.toml",))
        for name in ("crossbar", "datasheet", "pairs", "periphery")
    ]
    out += [Input("arguments", _run("--set", "rule.lr=0.1", "device.cycle_noise=0.1"), {"d.toml": toml(_BASE)})]
    out += [Input("arguments", ("devices", "rpu", "--requirement", "rpu", "--json"), {})]
    out += [Input("arguments", ("cost", "d.toml", "--network", "vgg8", "--task", "digits", "--json"), {"d.toml": toml(_BASE)})]
    few = ("--limit", "40", "--epochs", "1", "--json")
    asked = ("requirements", "--rule", "sgd", "--parameter", "asymmetry", "--seeds", "2", "--no-tune", "--task", "digits", *few)
    out += [
        Input("arguments", asked, {}),
        Input("arguments", ("advise", "rpu", "--rule", "sgd", "--minutes", "0.01", "--no-around", *few), {}),
    ]
    out += [Input("arguments", ("fit", "p.csv", "-o", "mine.toml", "--g-min", "1e-7", "--json"), {"p.csv": _pulses()})]
    out += [Input("arguments", ("study", "s.toml", "--workers", "1", "--out", "o", "--json"), {"s.toml": toml(_STUDY)})]
    out += [Input("arguments", ("reference", "run", "adc-regression", "--out", "o", "--json"), {})]
    out += _records() + _tables() + _arrays() + _python() + _states()
    return out


def _records() -> list[Input]:
    technology = toml(Technology.named("rram-130nm").as_dict())
    requirement = toml(Requirement.named("rpu").as_dict())
    layers = toml({"name": "two", "image": [1, 8, 8], "layers": [{"outputs": 4, "kernel": 3, "pool": 2}, {"outputs": 2}], "source": "none"})
    design = {"d.toml": toml(_BASE | {"technology": "t.toml"}), "t.toml": technology}
    catalogue = [toml(Device.named(name).as_dict()) for name in Device.names()]
    return [
        *[Input("device", ("devices", "dev.toml", "--json"), {"dev.toml": device}, ("dev.toml",)) for device in catalogue],
        Input("requirement", ("devices", "rpu", "--requirement", "r.toml", "--json"), {"r.toml": requirement}, ("r.toml",)),
        Input("technology", ("cost", "d.toml", "--json"), design, ("t.toml",)),
        Input("technology", _run(), design, ("t.toml",)),
        Input("network", ("cost", "d.toml", "--network", "n.toml", "--json"), {"d.toml": toml(_BASE), "n.toml": layers}, ("n.toml",)),
        Input("study", ("study", "s.toml", "--json"), {"s.toml": toml(_STUDY)}, ("s.toml",)),
    ]


def _tables() -> list[Input]:
    fit = ("fit", "p.csv", "--json")
    tables = _jump_tables()
    return [
        *[Input("measurement", fit, {"p.csv": _pulses()}, ("p.csv",)) for _ in range(3)],
        Input("measurement", ("fit", "p.csv", "r.csv", "--json"), {"p.csv": _pulses(), "r.csv": _retention()}, ("r.csv",)),
        Input("measurement", ("fit", *tables, "--json"), tables, tuple(tables)),
    ]


def _arrays() -> list[Input]:
    design = {"d.toml": toml(_BASE)}
    return [
        Input("IDX", _run("--task", "mnist", "--data-dir", "data"), design | _idx(40), tuple(_idx(40))),
        Input("arrays", _run("--task", "a.npz"), design | {"a.npz": _npz()}, ("a.npz",)),
        Input("arrays", _run("--task", "a.csv"), design | {"a.csv": _csv()}, ("a.csv",)),
    ]


def _python() -> list[Input]:
    """The toys that the suites of each kind run on."""

    def one(file: str, design: dict[str, Any], *more: str) -> Input:
        return Input("own Python", _run(*more), {"d.toml": toml(design), file: (TOYS / file).read_bytes()}, (file,))

    wide = Input("own Python", _run(), {"d.toml": toml(_BASE | {"network": {"kind": "mine.py:net"}}), "mine.py": NETWORK}, ("mine.py",))
    noise = [{"kind": "my_noise.py:Wander"}]
    return [
        wide,
        one("my_rule.py", _BASE | {"rule": {"kind": "my_rule.py:Sparse", "lr": 0.1}}),
        one("my_cell.py", _BASE | {"cell": {"kind": "my_cell.py:Twins"}}),
        one("my_noise.py", _BASE | {"device": Device.named("rram-array-om").as_dict() | {"noise": noise}}),
        one("my_response.py", _BASE | {"device": _MY_DEVICE}),
        one("my_task.py", _BASE, "--task", "my_task.py:Quadrants"),
    ]


def _states() -> list[Input]:
    design, study = {"d.toml": toml(_BASE)}, {"s.toml": toml(_STUDY)}
    run = list(_run("--checkpoint", "c.pt"))
    checkpoint = _made(run, design, "c.pt")
    database = _made(["study", "s.toml"], study, "s.db")
    result = _made(["run", "d.toml", "--limit", "20", "--out", "o"], design, "o/result.json")
    return [
        Input("checkpoint", tuple(run), design | {"c.pt": checkpoint}, ("c.pt",)),
        Input("storage", ("study", "s.toml", "--json"), study | {"s.db": database}, ("s.db",)),
        Input("activity", ("cost", "d.toml", "--activity", "a.json", "--json"), design | {"a.json": result}, ("a.json",)),
    ]
