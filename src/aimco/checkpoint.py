"""The file that a long run resumes from."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import nn

import aimco
from aimco.data.data import Data
from aimco.design import Design
from aimco.phases import PHASES, Phases
from aimco.record import InputError, write_atomic

Curves = dict[str, list[np.ndarray]]  # name -> (E,) after each epoch


class Checkpoint:
    """The state of a run after each epoch; nothing is written where there is no path.

    Args:
        path: Of the file.
        model: That is trained.
        phases: Its counts.
        run: What a saved state must be of: designs, seeds and data.
    """

    def __init__(self, path: str | None, model: nn.Module, phases: Phases, run: Sequence[object]) -> None:
        self.path, self.model, self.phases, self.run = path, model, phases, list(run)

    @staticmethod
    def of_run(designs: Sequence[Design], seeds: Sequence[int], data: Data) -> list[object]:
        """What makes one run another."""
        return [[d.hash() for d in designs], list(seeds), data.name, data.digest, aimco.__version__, list(PHASES)]

    def load(self) -> Curves:
        """Curves so far, the model put to where it was; empty where there is no file yet.

        Raises:
            InputError: A file of something else, or of another run.
        """
        if self.path is None or not os.path.exists(self.path):
            return {}
        try:
            saved = torch.load(self.path)
            same = saved["run"] == self.run
        except Exception as error:
            raise InputError(f"checkpoint {self.path}: must be a file that aimco wrote, got {type(error).__name__}; remove it") from None
        if not same:
            raise InputError(f"checkpoint {self.path}: must be of the same design, task, seed and version; remove it or name another")
        self.model.load_state_dict(saved["model"])
        self.phases.restore(saved["phases"])
        return {name: list(curve.numpy()) for name, curve in saved["curves"].items()}

    def save(self, curves: Mapping[str, Sequence[np.ndarray]]) -> None:
        """Write the state after an epoch, whole or not at all."""
        if self.path is None:
            return
        buffer = io.BytesIO()
        arrays = {name: torch.from_numpy(np.stack(curve)) for name, curve in curves.items()}
        state = {"model": self.model.state_dict(), "phases": self.phases.checkpoint(), "curves": arrays}
        torch.save({"run": self.run} | state, buffer)
        write_atomic(self.path, buffer.getvalue())
