"""What the conformance suites run on: every kind that comes with aimco, and a toy of each as a user would write it."""

from __future__ import annotations

from pathlib import Path

import aimco as ai
from aimco.cost import Technology
from aimco.device.response import Response
from aimco.networks import Network
from aimco.tasks import Task
from designs import LAYER_RULES

TOYS = Path(__file__).parent / "toys"


def toy(name: str) -> str:
    """The kind of a toy: its file and class."""
    return str(TOYS / name)


RESPONSES = [*Response.kinds(), toy("my_response.py:Saturating")]
CELLS = [*ai.Cell.kinds(), toy("my_cell.py:Twins")]
RULES = [*LAYER_RULES, toy("my_rule.py:Sparse")]
TASKS = [*(kind for kind in Task.kinds() if kind not in ("arrays", "mnist")), toy("my_task.py:Quadrants")]  # others need files
NETWORKS = [*Network.kinds(), toy("my_network.py:Wide")]
TECHNOLOGIES = [*Technology.names(), toy("my_technology.toml")]


def short(kind: str) -> str:
    """A kind without its folder, for the names of tests."""
    return kind.rpartition("/")[2]
