"""aimco: from a device to the algorithm that makes it learn, with energy, time and area, and back."""

from __future__ import annotations

import importlib
import warnings

TYPE_CHECKING = False  # type checkers take it for that of `typing`, whose import is most of what this one would cost
__version__ = "0.1.0"

# Written out, and again below for type checkers: they read neither a computed list nor `__getattr__`.
__all__ = [
    "AnalogMatrix",
    "Array",
    "ArraySpec",
    "Cell",
    "Converter",
    "Counts",
    "Crossbar",
    "Data",
    "Design",
    "Device",
    "InputError",
    "Network",
    "NoiseSource",
    "Periphery",
    "Pulses",
    "Record",
    "Requirement",
    "Response",
    "Result",
    "Rule",
    "Study",
    "Task",
    "Technology",
    "Tile",
    "Training",
    "advise",
    "bench",
    "catalogue",
    "convert",
    "cost",
    "counts",
    "demo",
    "devices",
    "estimate",
    "evaluate",
    "evaluate_many",
    "fit",
    "learning",
    "networks",
    "nn",
    "optim",
    "price",
    "quantity",
    "reference",
    "report",
    "requirements",
    "studies",
    "study",
    "tasks",
    "units",
]

_WHERE = {
    "AnalogMatrix": "mapping", "Array": "arrays.kinds", "ArraySpec": "arrays.spec", "Cell": "cell", "Converter": "periphery",
    "Counts": "ledger", "Crossbar": "arrays.crossbar", "Data": "data.data", "Design": "design", "Device": "device.device",
    "InputError": "record", "Network": "networks", "NoiseSource": "device.noises", "Periphery": "periphery", "Pulses": "arrays.pulses",
    "Record": "record", "Requirement": "device.requirement", "Response": "device.response", "Result": "result", "Rule": "learning",
    "Study": "studies.space", "Task": "tasks", "Technology": "cost.technology", "Tile": "tile", "Training": "design",
    "advise": "api.advise",
    "catalogue": "device.device", "convert": "nn.convert", "counts": "nn.layers", "devices": "api.devices", "estimate": "api.costs",
    "evaluate": "api.runs", "evaluate_many": "api.runs", "fit": "api.devices", "price": "cost.price", "quantity": "record",
    "requirements": "api.requirements", "study": "api.studies",
}  # fmt: skip
_MODULES = ("bench", "cost", "demo", "learning", "networks", "nn", "optim", "reference", "report", "studies", "tasks", "units")
_MOVED = {"load_task": ("tasks", "load")}  # name of before -> module and name of today; kept for one release

if TYPE_CHECKING:
    from aimco import bench, cost, demo, learning, networks, nn, optim, reference, report, studies, tasks, units
    from aimco.api.advise import advise
    from aimco.api.costs import estimate
    from aimco.api.devices import devices, fit
    from aimco.api.requirements import requirements
    from aimco.api.runs import evaluate, evaluate_many
    from aimco.api.studies import study
    from aimco.arrays.crossbar import Crossbar
    from aimco.arrays.kinds import Array
    from aimco.arrays.pulses import Pulses
    from aimco.arrays.spec import ArraySpec
    from aimco.cell import Cell
    from aimco.cost.price import price
    from aimco.cost.technology import Technology
    from aimco.data.data import Data
    from aimco.design import Design, Training
    from aimco.device.device import Device, catalogue
    from aimco.device.noises import NoiseSource
    from aimco.device.requirement import Requirement
    from aimco.device.response import Response
    from aimco.learning import Rule
    from aimco.ledger import Counts
    from aimco.mapping import AnalogMatrix
    from aimco.networks import Network
    from aimco.nn.convert import convert
    from aimco.nn.layers import counts
    from aimco.periphery import Converter, Periphery
    from aimco.record import InputError, Record, quantity
    from aimco.result import Result
    from aimco.studies.space import Study
    from aimco.tasks import Task
    from aimco.tile import Tile


def __getattr__(name: str) -> object:
    """Public names are imported when first used: `import aimco` itself costs nothing."""
    if name in _WHERE:
        return getattr(importlib.import_module(f"aimco.{_WHERE[name]}"), name)
    if name in _MODULES:
        return importlib.import_module(f"aimco.{name}")
    if name in _MOVED:
        module, today = _MOVED[name]
        warnings.warn(
            f"aimco.{name} is now aimco.{module}.{today}; the old name goes with the next release", DeprecationWarning, stacklevel=2
        )
        return getattr(importlib.import_module(f"aimco.{module}"), today)
    raise AttributeError(f"module 'aimco' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
