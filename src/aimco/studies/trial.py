"""One finished point of a study: what was chosen, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from aimco.plain_data import PlainData

State = Literal["complete", "pruned", "failed"]


@dataclass(frozen=True)
class Trial:
    """One finished point of a study.

    Args:
        number: from 0, in the order of asking. point: dotted path of the design -> value chosen, absent where a condition left it out.
        state: "pruned" has a reason and the accuracy it had when it was ended, "failed" has a reason and no values.
        values: objective -> mean over seeds, raw, SI. feasible: whether it keeps the constraints. seeds: of its runs.
        design: TOML text. directions: objective -> "max" or "min".
        curves: name -> mean over seeds, one number per epoch.
        result: accuracy, accuracy_seeds, energy_J and latency_s by part, area_m2, counts, metrics (all by name), notes, versions.
        wall_s: time of its runs, those trained together sharing theirs alike. reason: why it was pruned or failed.
    """

    number: int
    point: PlainData
    state: State = "complete"
    values: dict[str, float] = field(default_factory=dict)
    feasible: bool = True
    seeds: Sequence[int] = (0,)
    design: str = ""
    directions: dict[str, str] = field(default_factory=dict)
    curves: dict[str, list[float]] = field(default_factory=dict)
    result: PlainData = field(default_factory=dict)
    wall_s: float = 0.0
    reason: str = ""

    @property
    def epochs(self) -> int:
        """That it was trained for and that count."""
        return max(map(len, self.curves.values()), default=0)
