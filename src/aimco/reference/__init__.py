"""Published figures and the runs that reproduce them, ours beside theirs. A reference is one file here.

Its module has SOURCE (what is reproduced, and where it was published), NEEDS (the task's data, or None), and
`run(settings) -> list[Row]`. The file's name with dashes is the name of the reference.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Literal, get_args

import numpy as np

from aimco.checkpoint import Checkpoint
from aimco.design import Design
from aimco.errors import did_you_mean
from aimco.evaluation import evaluate_many
from aimco.files import sha256
from aimco.plain_data import PlainData
from aimco.record import InputError
from aimco.tasks import Data, load

OnStep = Callable[[str, float], None]


Limit = Literal["at most", "at least"]
Status = Literal["reproduced", "not reproduced", "met", "missed", "no verdict"]
REPRODUCED, NOT_REPRODUCED, MET, MISSED, NO_VERDICT = STATUSES = get_args(Status)


@dataclass(frozen=True)
class Row:
    """One figure of ours, beside the published one or beside what is expected of it for another reason.

    A row has a verdict where it has a tolerance. Only a published figure can be reproduced; what is expected is met or missed.

    Args:
        row: What is compared.
        published: What the source published, in `unit`; None where it published nothing to compare with.
        ours: Our figure, in `unit`.
        tolerance: Largest difference that counts as reproduced, or met, in `unit`; None where no verdict is asked for.
        unit: Unit of the numbers; "" for a count or a ratio.
        expected: What ours is compared with where nothing was published, in `unit`: a closed form, another program's output, a demand.
        limit: Whether the figure is a limit, with a verdict on one side alone: of a published figure, because its source has a limit.
        why: Why a row has a limit, why a published figure has no verdict, or why it is not reproduced.

    Raises:
        ValueError: A tolerance is negative; or a row has a verdict without one figure to compare with, or a limit or a missing verdict
            without a reason.
    """

    row: str
    published: float | None
    ours: float
    tolerance: float | None
    unit: str
    expected: float | None = None
    limit: Limit | None = None
    why: str = ""

    def __post_init__(self) -> None:
        if self.published is not None and self.expected is not None:
            raise ValueError(f"{self.row}: a figure is published or expected, not both")
        if self.tolerance is not None and not self.tolerance >= 0:
            raise ValueError(f"{self.row}: a tolerance is at least 0, got {self.tolerance}")
        if self.tolerance is not None and self._wanted is None:
            raise ValueError(f"{self.row}: a tolerance needs a published or an expected figure")
        if self.limit and (self.tolerance is None or not self.why):
            raise ValueError(f"{self.row}: a limit needs a tolerance, and a reason")
        if self.published is not None and self.tolerance is None and not self.why:
            raise ValueError(f"{self.row}: a published figure without a tolerance needs a reason")

    @property
    def _wanted(self) -> float | None:
        return self.expected if self.published is None else self.published

    @property
    def passes(self) -> bool | None:
        """Whether ours is within the tolerance, on the side of the limit or on both; None where no verdict is asked for."""
        if self.tolerance is None or self._wanted is None:
            return None
        above = float(self.ours - self._wanted)
        return bool((self.limit == "at least" or above <= self.tolerance) and (self.limit == "at most" or -above <= self.tolerance))

    @property
    def status(self) -> Status:
        """What the row says: of a published figure, of an expected one, or nothing."""
        if self.passes is None:
            return NO_VERDICT
        if self.published is None:
            return MET if self.passes else MISSED
        return REPRODUCED if self.passes else NOT_REPRODUCED

    def as_json(self) -> PlainData:
        """Plain data; `pass` is null where there is no verdict."""
        return asdict(self) | {"pass": self.passes, "status": self.status}


@dataclass(frozen=True)
class Settings:
    """How to run a reference.

    Args:
        quick: a shorter version, minutes. data_dir: folder of the task's files. seed: of devices, noise and order.
        limit: use only the first training samples, and as many of the test, to try a run out.
        checkpoints: folder that keeps the state of each run after every epoch, from which it resumes; none when absent.
        on_step: called with (what is running, fraction of it done).
    """

    quick: bool = False
    data_dir: str | None = None
    seed: int = 0
    limit: int | None = None
    checkpoints: str | None = None
    on_step: OnStep | None = None

    def train(self, label: str, designs: Sequence[Design], task: Data, *, last: int = 1) -> list[float]:
        """Test accuracy of designs trained together, %, the mean of the `last` epochs; progress is told under a label."""

        now = label

        def on_epoch(epoch: int, epochs: int, accuracy: float) -> None:
            nonlocal now
            now = f"{label}: {100 * accuracy:.2f} %"
            on_progress(epoch / epochs)

        def on_progress(done: float) -> None:
            if self.on_step:
                self.on_step(now, done)

        seeds = [self.seed] * len(designs)
        results = evaluate_many(
            designs, task, seeds=seeds, checkpoint=self._checkpoint(designs, seeds, task), on_epoch=on_epoch, on_progress=on_progress
        )
        return [100 * float(np.mean(r.curves["test_accuracy"][-last:])) for r in results]

    def _checkpoint(self, designs: Sequence[Design], seeds: Sequence[int], task: Data) -> str | None:
        """The file of a run, named by what makes one run another."""
        if self.checkpoints is None:
            return None
        Path(self.checkpoints).mkdir(parents=True, exist_ok=True)
        return str(Path(self.checkpoints, f"{sha256(repr(Checkpoint.of_run(designs, seeds, task)).encode())[:16]}.pt"))

    def load(self, task: str) -> Data:
        """The samples of a task; where training samples are limited, as many of those of the test at most."""
        whole = load(task, data_dir=self.data_dir, seed=self.seed, limit=self.limit)
        return replace(whole, test_x=whole.test_x[: self.limit], test_y=whole.test_y[: self.limit])


def names() -> list[str]:
    """The references there are."""
    return sorted(m.name.replace("_", "-") for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))


def module(name: str) -> ModuleType:
    """The module of a reference.

    Raises:
        InputError: no reference of this name.
    """
    if name not in names():
        raise InputError(f"reference {name!r} is unknown{did_you_mean(name, names())}; the references are {', '.join(names())}")
    return importlib.import_module(f"{__name__}.{name.replace('-', '_')}")


def run(name: str, settings: Settings) -> PlainData:
    """Reproduce a published figure: {"reference", "source", "quick", "rows", "tally", "pass"}.

    `pass` is null where no row has a verdict. `tally` counts rows by status, and has how many figures were published.
    """
    chosen = module(name)
    rows: Sequence[Row] = chosen.run(settings)
    verdicts = [row.passes for row in rows if row.passes is not None]
    return {
        "reference": name,
        "source": chosen.SOURCE,
        "quick": settings.quick,
        "rows": [row.as_json() for row in rows],
        "tally": tally(rows),
        "pass": all(verdicts) if verdicts else None,
    }


def tally(rows: Sequence[Row]) -> dict[str, int]:
    """Rows of each status, and of these the published figures: the share reproduced is "reproduced" over "published"."""
    counts = Counter(row.status for row in rows)
    return {status: counts[status] for status in STATUSES} | {"published": sum(row.published is not None for row in rows)}
