"""Long short-term memory whose one matrix of weights lives in arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from aimco.networks.layers import AnalogLayer
from aimco.record import InputError

State = tuple[torch.Tensor, torch.Tensor]


class LSTM(AnalogLayer):
    """One layer of long short-term memory, its matrix in arrays: `torch.nn.LSTM` for analog hardware.

    (i, f, g, o) = (x_t, h_{t-1}) W + b, c_t = sigmoid(f) c_{t-1} + sigmoid(i) tanh(g), h_t = sigmoid(o) tanh(c_t)

    W has inputs + hidden rows, one more where the bias is in the array, and 4 hidden columns, gates in the order of torch; torch's two
    biases are one here. Each time step is one vector on the rows and one sample of the update, with the error at the four gates.
    Source: Hochreiter & Schmidhuber 1997 with the forget gate of Gers 2000; in arrays Gokmen 2018 (Front. Neurosci. 12:745).

    Args:
        input_size, hidden_size: as in torch. bias: as in torch; `design.network.bias` says where it lives. batch_first: as in torch.
        design: an `aimco.Design`. name, seeds: see `Linear`; with E > 1 the input is (seq, batch, inputs), shared by the members, or
            (E, seq, batch, inputs), and outputs and states have the leading axis E.

    Example:
        >>> import torch, aimco as ai
        >>> layer = ai.nn.LSTM(4, 3, design=ai.Design(device="ideal"))
        >>> y, (h, c) = layer(torch.ones(5, 2, 4))
        >>> y.shape, h.shape
        (torch.Size([5, 2, 3]), torch.Size([1, 2, 3]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        batch_first: bool = False,
        *,
        design: Any,
        name: str = "lstm",
        seeds: Sequence[int] = (0,),
    ) -> None:
        super().__init__(input_size + hidden_size, 4 * hidden_size, bias, design, name, seeds)
        self.input_size, self.hidden_size, self.batch_first = input_size, hidden_size, batch_first

    def forward(self, x: torch.Tensor, state: State | None = None) -> tuple[torch.Tensor, State]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Outputs of all time steps and the last state.

        Args:
            x: (seq, batch, inputs), or (batch, seq, inputs) with batch_first. state: h and c before the first step, (1, batch, hidden)
                each; zeros when absent.

        Returns:
            y: h of each step, in the shape of x. (h, c): the last ones, (1, batch, hidden) each.

        Raises:
            InputError: an input of another shape.
        """
        steps = self._steps(x)
        h, c = self._first(state, steps.shape[2])
        outputs = []
        for x_t in steps.unbind(1):
            i, f, g, o = self._gates(torch.cat((x_t, h), 2)).chunk(4, 2)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            outputs.append(h)
        y = torch.stack(outputs, 2 if self.batch_first else 1)
        last = h[:, None], c[:, None]
        return (y, last) if self.members > 1 else (y[0], (last[0][0], last[1][0]))

    def _gates(self, rows: torch.Tensor) -> torch.Tensor:
        """The four gates before their nonlinearities, (E, batch, 4 hidden)."""
        y = super().forward(rows if self.members > 1 else rows[0])
        return y if self.members > 1 else y[None]

    def _steps(self, x: torch.Tensor) -> torch.Tensor:
        """The input as (E, seq, batch, inputs)."""
        lead = x.shape[:-3]
        if x.ndim < 3 or lead not in ((), (self.members,) * (self.members > 1)) or x.shape[-1] != self.input_size or 0 in x.shape:
            axes = "(batch, seq, inputs)" if self.batch_first else "(seq, batch, inputs)"
            more = f", or with {self.members} members before it," if self.members > 1 else ""
            raise InputError(f"the input of an LSTM must be {axes}{more} with {self.input_size} inputs, got {tuple(x.shape)}")
        if x.ndim == 3:
            x = x.expand(self.members, *x.shape)
        return x.transpose(1, 2) if self.batch_first else x

    def _first(self, state: State | None, batch: int) -> State:
        """h and c before the first step, (E, batch, hidden) each."""
        if state is None:
            zeros = torch.zeros(self.members, batch, self.hidden_size)
            return zeros, zeros
        h, c = (v.reshape(-1, batch, self.hidden_size).expand(self.members, -1, -1) for v in state)
        return h, c

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}, rule={self.rule.kind}" + (f", ensemble={self.members}" if self.members > 1 else "")
