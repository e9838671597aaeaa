"""aimco: from a device to the algorithm that makes it learn, with energy, time and area, and back."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_WHERE = {
    "Design": "design", "Network": "design", "Training": "design", "Array": "arrays.kinds", "ArraySpec": "arrays.spec",
    "Periphery": "periphery", "Converter": "periphery",
    "Pulses": "arrays.pulses", "Device": "device.device", "Response": "device.response", "catalogue": "device.device", "Cell": "cell",
    "Rule": "learning", "Record": "record", "InputError": "record", "quantity": "record", "Counts": "ledger", "counts": "nn.layers",
    "AnalogMatrix": "mapping", "Tile": "tile", "Crossbar": "arrays.crossbar", "evaluate": "evaluation",
    "evaluate_many": "evaluation", "Result": "evaluation",
    "price": "cost.price", "load_task": "tasks",
}  # fmt: skip
_MODULES = ("nn", "optim", "units", "tasks", "learning", "cost", "report")
__all__ = [*_WHERE, *_MODULES]

if TYPE_CHECKING:
    from aimco import cost, learning, nn, optim, report, tasks, units
    from aimco.arrays.crossbar import Crossbar
    from aimco.arrays.kinds import Array
    from aimco.arrays.pulses import Pulses
    from aimco.arrays.spec import ArraySpec
    from aimco.cell import Cell
    from aimco.cost.price import price
    from aimco.design import Design, Network, Training
    from aimco.device.device import Device, catalogue
    from aimco.device.response import Response
    from aimco.evaluation import Result, evaluate, evaluate_many
    from aimco.learning import Rule
    from aimco.ledger import Counts
    from aimco.mapping import AnalogMatrix
    from aimco.nn.layers import counts
    from aimco.periphery import Converter, Periphery
    from aimco.record import InputError, Record, quantity
    from aimco.tasks import load as load_task
    from aimco.tile import Tile


def __getattr__(name: str) -> Any:
    """Public names are imported when first used: `import aimco` itself costs nothing."""
    if name in _WHERE:
        return getattr(importlib.import_module(f"aimco.{_WHERE[name]}"), "load" if name == "load_task" else name)
    if name in _MODULES:
        return importlib.import_module(f"aimco.{name}")
    raise AttributeError(f"module 'aimco' has no attribute {name!r}")
