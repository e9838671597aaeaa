"""Studies: a space of designs, searched, run in parallel, kept in a storage and read back from it."""

from aimco.studies.axis import Axis
from aimco.studies.front import front, hypervolume, knee
from aimco.studies.run import run
from aimco.studies.sensitivity import sensitivity
from aimco.studies.space import Bound, Objective, Study
from aimco.studies.store import default_storage, trials
from aimco.studies.trial import Trial

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
