"""First use: commands in processes of their own, with nothing compiled and with everything kept from before."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from aimco.bench.timing import OnCase, row
from aimco.plain_data import PlainData

_RUNS = 3
_DESIGN = 'device = {device}\nrule = {{ kind = "sgd", lr = 0.1 }}\ntraining = {{ epochs = 2, batch = 10 }}\n'
_OWN = '{ g_min = 0.0, g_max = 1e-6, response = { kind = "mine.py:Mine", step_up = 1e-9, step_down = 1e-9 } }'
_RESPONSE = """from math import exp

from aimco.device.response import Response


class Mine(Response):
    @staticmethod
    def step(g, up, p):
        return p.step_up * exp(-g) if up else -p.step_down * exp(g)
"""
_Spent = tuple[float, float]  # ms of the processor, ms that passed


def start(on_case: OnCase) -> list[PlainData]:
    """`aimco run` of small designs, ms of the processor of a fresh process, beside the import of torch in one.

    cold: nothing was compiled before. warm: the same command once more. after-another: a design with a user's own response, where
    another device ran before.
    """
    cases: dict[str, list[_Spent]] = {}
    peers = []
    for _ in range(_RUNS):
        for case, spent in _first_uses(on_case).items():
            cases.setdefault(case, []).append(spent)
        peers.append(_python("-c", "import torch")[0])
    peer = statistics.median(peers)
    rows = []
    for case, all_spent in cases.items():
        processor, passed = (statistics.median(times) for times in zip(*all_spent, strict=True))
        rows.append(row(case, processor, "ms", "import of torch alone", peer) | {"wall_ms": passed})
    return rows


def _first_uses(on_case: OnCase) -> dict[str, _Spent]:
    """What each case takes, once, with caches of their own."""
    spent = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "catalogue.toml").write_text(_DESIGN.format(device='"rpu"'))
        (folder / "own.toml").write_text(_DESIGN.format(device=_OWN))
        (folder / "mine.py").write_text(_RESPONSE)
        for case, design, cache in (
            ("run/catalogue/cold", "catalogue", "first"),
            ("run/catalogue/warm", "catalogue", "first"),
            ("run/own-response/after-another", "own", "first"),
            ("run/own-response/cold", "own", "second"),
            ("run/own-response/warm", "own", "second"),
        ):
            on_case(case)
            spent[case] = _python("-m", "aimco", "run", str(folder / f"{design}.toml"), "--limit", "400", "--json", cache=folder / cache)
        on_case("import/aimco")
        spent["import/aimco"] = _python("-c", "import aimco")
    return spent


def _python(*words: str, cache: Path | None = None) -> _Spent:
    """What a process takes that keeps what it compiles in a folder."""
    import resource  # not on Windows

    places = {} if cache is None else {"XDG_CACHE_HOME": str(cache), "NUMBA_CACHE_DIR": str(cache / "numba")}
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, *words], env=os.environ | places, check=True, capture_output=True)
    passed, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1e3 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime), 1e3 * passed
