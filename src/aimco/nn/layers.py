"""Parts of a network that hold matrices in arrays: what evaluation, cost and checkpoints ask of them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from aimco.ensemble import PerMember
from aimco.ledger import Counts
from aimco.mapping import AnalogMatrix
from aimco.plain_data import Saved


class Arrays(nn.Module):
    """A part of a network that holds matrices in arrays: what evaluation, cost and checkpoints ask of it (abstract)."""

    matrices: dict[str, AnalogMatrix]
    rule_state: dict[str, torch.Tensor]
    written: tuple[list[str], ...] = ()  # of each matrix that was written at the start, what notes say of it, by member

    @property
    def analog(self) -> bool:
        """Whether it does anything that is counted."""
        return bool(self.matrices)

    @property
    def counts(self) -> dict[str, Counts]:
        """Ledger of each array."""
        return {name: matrix.counts for name, matrix in self.matrices.items()}

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Rows and columns of each array, and its groups where it is a matrix for each of several."""
        return {name: matrix.shape[1:] for name, matrix in self.matrices.items()}

    @property
    def timed(self) -> dict[str, Mapping[str, PerMember]]:
        """Those counts of each array that take time, see `aimco.cost.latency.TIMED`, quickly: pulses may go on waiting."""
        return {name: matrix.timed for name, matrix in self.matrices.items()}

    def notes(self, member: int = 0) -> list[str]:
        """Approximations in force in it, for one ensemble member."""
        return [messages[member] for messages in self.written if messages[member]]

    def elapse(self, seconds: PerMember) -> None:
        """Let time pass in the arrays."""
        for matrix in self.matrices.values():
            matrix.elapse(seconds)

    def get_extra_state(self) -> Saved:
        """Arrays and rule state: what a checkpoint needs beside the parameters, to go on bit for bit."""
        if not self.matrices:
            return {}
        saved = {name: matrix.checkpoint() for name, matrix in self.matrices.items()}
        return {"matrices": saved, "rule": {n: t.clone() for n, t in self.rule_state.items()}}

    def set_extra_state(self, state: Saved) -> None:
        for name, saved in state.get("matrices", {}).items():
            self.matrices[name].restore(saved)
        for name, tensor in state.get("rule", {}).items():
            self.rule_state[name].copy_(tensor)


def analog_layers(model: nn.Module) -> dict[str, Arrays]:
    """The parts of a model that live in arrays, by their name in the model."""
    return {name: m for name, m in model.named_modules() if isinstance(m, Arrays) and m.analog}


def counts(model: nn.Module) -> dict[str, dict[str, Counts]]:
    """Ledger of every array of a model: layer -> array -> Counts."""
    return {name: layer.counts for name, layer in analog_layers(model).items()}
