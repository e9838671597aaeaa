"""What a price takes: from shapes alone, as a command, and in a run that counts."""

from __future__ import annotations

import contextlib
import functools
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import ParamSpec, TypeVar
from unittest.mock import patch

import torch

from aimco import evaluation
from aimco.bench.timing import OnCase, median, row
from aimco.clock import Clock
from aimco.cost import Architecture, inference, training
from aimco.design import Design
from aimco.ledger import Counts
from aimco.plain_data import PlainData

P = ParamSpec("P")
R = TypeVar("R")


def cost(on_case: OnCase) -> list[PlainData]:
    """Price of one sample's inference and training by the shapes of layers, ms, beside the inference in float; and counting in a run."""
    case, design, network = "vgg8/inference-and-training", Design.of({"device": "rpu"}), Architecture.named("vgg8")
    on_case(case)
    ours = median(lambda: (inference(design, network), training(design, network)))
    products = [(torch.rand(s.vectors, s.rows), torch.rand(s.rows, s.columns)) for s in network.shapes()]
    theirs = median(lambda: [x @ w for x, w in products])
    return [
        row(case, 1e3 * ours, "ms", "products of one image in torch", 1e3 * theirs),
        _command(on_case),
        _counting(on_case),
        _clock(on_case),
    ]


def _command(on_case: OnCase) -> PlainData:
    """The whole of `aimco cost` in an interpreter of its own, ms, beside the import of torch in one."""
    case = "command/vgg8"
    on_case(case)

    def python(*words: str) -> Callable[[], object]:
        return functools.partial(subprocess.run, [sys.executable, *words], check=True, capture_output=True)

    with tempfile.TemporaryDirectory() as folder:
        design = Path(folder, "design.toml")
        design.write_text('device = "rpu"\n')
        ours = median(python("-m", "aimco", "cost", str(design), "--network", "vgg8"), runs=5, warm=1)
    theirs = median(python("-c", "import torch"), runs=5, warm=1)
    return row(case, 1e3 * ours, "ms", "import of torch alone", 1e3 * theirs)


_RUN = Design.of({"device": "rpu", "network": {"hidden": [32]}, "training": {"epochs": 2, "batch": 10}})


def _counting(on_case: OnCase) -> PlainData:
    """A run, ms of the processor, and what of it went into ledgers and their price; the ratio is its share.

    Tallies of compiled kernels are not in it.
    """
    parts = ((Counts, "add"), (evaluation, "result_of"))
    return _share("run/64-32-10/digits/batch10", _RUN, parts, "of it counting and pricing", on_case)


def _clock(on_case: OnCase) -> PlainData:
    """The same where devices leak, and what of it went into the time that each batch takes."""
    leaking = _RUN.replace("device.retention_s", 1.0)
    return _share("leaking/64-32-10/digits/batch10", leaking, ((Clock, "skip"),), "of it the clock", on_case)


def _share(case: str, design: Design, parts: Sequence[tuple[type | ModuleType, str]], words: str, on_case: OnCase) -> PlainData:
    """A run, ms of the processor, and what of it went into some functions."""
    spent = [0.0]
    on_case(case)

    def timed(work: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(work)
        def call(*given: P.args, **named: P.kwargs) -> R:
            start = time.process_time()
            done = work(*given, **named)
            spent[0] += time.process_time() - start
            return done

        return call

    evaluation.evaluate(design, "digits")
    with contextlib.ExitStack() as patches:
        for owner, name in parts:
            patches.enter_context(patch.object(owner, name, timed(getattr(owner, name))))
        whole = median(lambda: evaluation.evaluate(design, "digits"), runs=1, warm=0, clock=time.process_time)
    return row(case, 1e3 * whole, "ms", words, 1e3 * spent[0])
