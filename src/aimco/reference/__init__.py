"""Published figures and the runs that reproduce them, ours beside theirs. A reference is one file here.

Its module has SOURCE (what is reproduced, and where it was published), NEEDS (the task's data, or None), and
`run(settings) -> list[Row]`. The file's name with dashes is the name of the reference.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from aimco.design import Design
from aimco.evaluation import evaluate_many
from aimco.record import InputError, _meant
from aimco.tasks import Task, load

OnStep = Callable[[str, float], None]


@dataclass(frozen=True)
class Row:
    """One published figure and ours.

    Args:
        row: what is compared. published, ours: in `unit`. tolerance: largest difference that counts as reproduced;
            None when the row is for information and no verdict is asked of it. upper, lower: whether the published figure is
            a limit that ours may stay below, or above.
    """

    row: str
    published: float | None
    ours: float
    tolerance: float | None
    unit: str
    upper: bool = False
    lower: bool = False

    @property
    def passes(self) -> bool:
        """Whether ours is within the tolerance."""
        if self.published is None or self.tolerance is None:
            return True
        above = self.ours - self.published
        return (self.lower or above <= self.tolerance) and (self.upper or -above <= self.tolerance)

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return {name: value for name, value in asdict(self).items() if name not in ("upper", "lower")} | {"pass": self.passes}


@dataclass(frozen=True)
class Settings:
    """How to run a reference.

    Args:
        quick: a shorter version, minutes. data_dir: folder of the task's files. seed: of devices, noise and order.
        limit: use only the first training samples, and as many of the test, to try a run out.
        checkpoints: folder in which a long run keeps where it is, to go on from there; none when absent.
        on_step: called with (what is running, fraction of it done).
    """

    quick: bool = False
    data_dir: str | None = None
    seed: int = 0
    limit: int | None = None
    checkpoints: str | None = None
    on_step: OnStep | None = None

    def train(self, label: str, designs: Sequence[Design], task: Task, *, last: int = 1) -> list[float]:
        """Test accuracy of designs trained together, %, the mean of the `last` epochs; progress is told under a label."""

        now = label

        def on_epoch(epoch: int, epochs: int, accuracy: float) -> None:
            nonlocal now
            now = f"{label}: {100 * accuracy:.2f} %"
            on_progress(epoch / epochs)

        def on_progress(done: float) -> None:
            if self.on_step:
                self.on_step(now, done)

        results = evaluate_many(designs, task, seeds=[self.seed] * len(designs), on_epoch=on_epoch, on_progress=on_progress)
        return [100 * float(np.mean(r.curves["test_accuracy"][-last:])) for r in results]

    def load(self, task: str) -> Task:
        """The samples of a task; where training samples are limited, as many of those of the test at most."""
        whole = load(task, data_dir=self.data_dir, seed=self.seed, limit=self.limit)
        return replace(whole, test_x=whole.test_x[: self.limit], test_y=whole.test_y[: self.limit])


def names() -> list[str]:
    """The references there are."""
    return sorted(m.name.replace("_", "-") for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))


def module(name: str) -> Any:
    """The module of a reference.

    Raises:
        InputError: no reference of this name.
    """
    if name not in names():
        raise InputError(f"reference {name!r} is unknown{_meant(name, names())}; the references are {', '.join(names())}")
    return importlib.import_module(f"{__name__}.{name.replace('-', '_')}")


def run(name: str, settings: Settings) -> dict[str, Any]:
    """Reproduce a published figure: {"reference", "source", "quick", "rows", "pass"}."""
    chosen = module(name)
    rows: Sequence[Row] = chosen.run(settings)
    return {
        "reference": name,
        "source": chosen.SOURCE,
        "quick": settings.quick,
        "rows": [row.as_json() for row in rows],
        "pass": all(row.passes for row in rows),
    }
