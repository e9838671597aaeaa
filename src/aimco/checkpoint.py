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
        designs: Whose fields are named where a saved state is of others.
    """

    def __init__(self, path: str | None, model: nn.Module, phases: Phases, run: Sequence[object], designs: Sequence[Design] = ()) -> None:
        self.path, self.model, self.phases, self.run = path, model, phases, list(run)
        self.designs = [] if path is None else [_fields(design) for design in designs]

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
            saved = torch.load(self.path, weights_only=True)  # numbers and text: nothing that runs
            if saved["run"] != self.run:
                raise InputError(f"checkpoint {self.path}: must be of {self._difference(saved)}; remove it or name another")
            if lacking := [key for key in self.model.state_dict() if key not in saved["model"]]:
                raise KeyError(lacking[0])  # a layer would write its weights anew, without a word
            self.model.load_state_dict(saved["model"])
            self.phases.restore(saved["phases"])
            return {name: list(curve.numpy()) for name, curve in saved["curves"].items()}
        except InputError:
            raise
        except Exception as error:
            raise InputError(f"checkpoint {self.path}: must be a file that aimco wrote, got {_damage(error)}; remove it") from None

    def _difference(self, saved: Mapping[str, object]) -> str:
        """What a saved state must be of, and what it is of: the first field or part that differs."""
        before = saved.get("designs")
        for mine, other in zip(self.designs, before if isinstance(before, list) else [], strict=False):
            for field in dict.fromkeys([*mine, *other]):
                if mine.get(field) != other.get(field):
                    return f"a design with {field} = {mine.get(field, 'absent')}, got {other.get(field, 'absent')}"
        for name, mine, other in zip(("design", "seed", "task", "data", "version", "phases"), self.run, saved["run"], strict=False):  # type: ignore[arg-type]
            if mine != other:
                return f"the same {name}, got another"
        return "the same design, task, seed and version"

    def save(self, curves: Mapping[str, Sequence[np.ndarray]]) -> None:
        """Write the state after an epoch, whole or not at all."""
        if self.path is None:
            return
        buffer = io.BytesIO()
        arrays = {name: torch.from_numpy(np.stack(curve)) for name, curve in curves.items()}
        state = {"model": self.model.state_dict(), "phases": self.phases.checkpoint(), "curves": arrays}
        torch.save({"run": self.run, "designs": self.designs} | state, buffer)
        write_atomic(self.path, buffer.getvalue())


def _fields(design: Design) -> dict[str, str]:
    """Dotted fields of a design as text."""

    def flat(name: str, value: object) -> dict[str, str]:
        if isinstance(value, Mapping):
            return {path: text for key, inner in value.items() for path, text in flat(f"{name}.{key}" if name else key, inner).items()}
        return {name: str(value)}

    return flat("", design.as_dict())


def _damage(error: Exception) -> str:
    """An error of a damaged file, short."""
    return f"{type(error).__name__} ({str(error).splitlines()[0][:80]})" if str(error) else type(error).__name__
