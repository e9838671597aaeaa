"""Commands that are ended by kill -9 at random moments, and what becomes of their work.

    PYTHONPATH=tests python -m fuzz.kills --times 20 --out docs/results

After each kill the same command is given again, and its result must be that of a command that nobody disturbed. Files that a killed command
left are whole: they are those of the undisturbed one, or are not there.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil
import tyro

from aimco.terminal import keep
from fuzz.corpus import toml

_BASE: dict[str, Any] = {"device": "rpu", "network": {"hidden": [16]}, "rule": {"kind": "sgd", "lr": 0.1}}
_STUDY: dict[str, Any] = {
    "name": "s",
    "base": _BASE | {"training": {"epochs": 2, "batch": 10}},
    "space": {"rule.lr": {"low": 0.01, "high": 1.0, "log": True}, "device.cycle_noise": {"choices": [0.0, 0.1]}},
    "trials": 12,
    "generation": 4,
}
_AIMCO = (sys.executable, "-m", "aimco")
_PULSES = Path(__file__).parents[2] / "examples" / "bring-your-device" / "pulses.csv"
RUN = ("run", "d.toml", "--checkpoint", "c.pt", "--json")
STUDY = ("study", "s.toml", "--workers", "2", "--out", "o", "--json")
FIT = ("fit", str(_PULSES), "-o", "mine.toml", "--json")
REFERENCE = ("reference", "run", "adc-regression", "rpu-tile", "--out", "o", "--json")


def main(times: int = 20, seed: int = 0, out: str | None = None) -> int:
    """Kill commands and see what becomes of their work.

    Args:
        times: Each.
        seed: Of the moments.
        out: Folder of the summary, kills.json.
    """
    rng, rows = random.Random(seed), []
    for name, words, victim in CASES:
        with tempfile.TemporaryDirectory() as folder:
            wanted, took = _whole(words, Path(folder) / "undisturbed")
            good, killed = 0, 0
            for k in range(times):
                fault, hit = _killed(words, Path(folder) / str(k), rng.uniform(0.1, 1.0) * took, victim, wanted)
                good, killed = good + (fault is None), killed + hit
                print(f"{name} {k + 1} of {times}: {fault or 'the same result'}", file=sys.stderr, flush=True)
        rows.append({"case": name, "times": times, "killed at work": killed, "same result": good})
        print(f"{name}: {good} of {times} (killed at work: {killed})", flush=True)
    if out is not None:
        keep(out, "kills", {"rows": rows})
    return int(any(row["same result"] < row["times"] for row in rows))


def _prepared(folder: Path) -> dict[str, Any]:
    """A folder with the inputs, and how a command is started in it."""
    folder.mkdir()
    (folder / "d.toml").write_bytes(toml(_BASE | {"training": {"epochs": 40, "batch": 10}}))
    (folder / "s.toml").write_bytes(toml(_STUDY))
    threads = {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    return {"cwd": folder, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": os.environ | threads, "text": True}


def _whole(words: Sequence[str], folder: Path) -> tuple[dict[str, Any], float]:
    """The result of a command that nobody disturbs, and the seconds that it takes when its kernels are compiled."""
    took = 0.0
    for _ in range(2):
        shutil.rmtree(folder, ignore_errors=True)
        prepared, started = _prepared(folder), time.perf_counter()
        done = subprocess.run([*_AIMCO, *words], **prepared, check=True)
        took = time.perf_counter() - started
    return {"document": _result(done.stdout, folder), "files": _files(folder)}, took


def _killed(
    words: Sequence[str], folder: Path, moment: float, victim: Callable[[psutil.Process], psutil.Process | None], wanted: Any
) -> Any:
    """What is wrong after a kill and the same command again, None when nothing is; whether the kill found it at work."""
    prepared = _prepared(folder)
    process = subprocess.Popen([*_AIMCO, *words], **prepared)
    time.sleep(moment)
    whom = victim(psutil.Process(process.pid)) if process.poll() is None else None
    if whom is not None:
        whom.send_signal(signal.SIGKILL)
    process.communicate()
    for name, content in _files(folder).items():
        if wanted["files"].get(name) != content:
            return f"{name} is not whole", whom is not None
    again = subprocess.run([*_AIMCO, *words], **prepared, check=False)
    if again.returncode:
        return f"the command again: {again.stderr.strip().splitlines()[-1]}", whom is not None
    return (None if _result(again.stdout, folder) == wanted["document"] else "another result"), whom is not None


def _itself(process: psutil.Process) -> psutil.Process | None:
    return process


def _worker(process: psutil.Process) -> psutil.Process | None:
    """A process that works for another."""
    workers = [p for p in process.children(recursive=True) if "spawn_main" in " ".join(p.cmdline())]
    return workers[-1] if workers else None


def _result(text: str, folder: Path) -> Any:
    """A document without what is of the moment and of the place."""
    return _without(json.loads(text.replace(str(folder), ".")))


def _without(data: Any) -> Any:
    if isinstance(data, list):
        return [_without(part) for part in data]
    return {k: _without(v) for k, v in data.items() if k not in ("wall_s", "took_s")} if isinstance(data, dict) else data


def _files(folder: Path) -> dict[str, Any]:
    """What is in the files that are results, by their names, without what is of the moment."""
    files = [p for p in folder.rglob("*") if p.is_file() and p.suffix in (".toml", ".json") and not p.name.startswith(".")]
    return {str(p.relative_to(folder)): _result(p.read_text(), folder) if p.suffix == ".json" else p.read_text() for p in files}


CASES = (
    ("run --checkpoint", RUN, _itself),
    ("study, coordinator", STUDY, _itself),
    ("study, worker", STUDY, _worker),
    ("fit", FIT, _itself),
    ("reference", REFERENCE, _itself),
)

if __name__ == "__main__":
    sys.exit(tyro.cli(main))
