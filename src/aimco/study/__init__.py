"""Studies: a space of designs, searched, run in parallel, kept in a storage and read back from it."""

from aimco.study.axis import Axis
from aimco.study.front import front, hypervolume, knee
from aimco.study.run import run
from aimco.study.sensitivity import sensitivity
from aimco.study.space import Bound, Objective, Study
from aimco.study.store import default_storage, trials
from aimco.study.trial import Trial

__all__ = [
    "Axis",
    "Bound",
    "Objective",
    "Study",
    "Trial",
    "default_storage",
    "front",
    "hypervolume",
    "knee",
    "run",
    "sensitivity",
    "trials",
]
