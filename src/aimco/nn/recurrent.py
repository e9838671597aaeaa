"""Recurrent layers whose weights live in arrays: `RNN`, `LSTM` and `GRU`, with torch's signatures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence

from aimco.arrays.spec import Blueprint
from aimco.nn.analog import AnalogLayer
from aimco.nn.arguments import flag, on_cpu, one_of, share, whole
from aimco.nn.layout import Layout, place
from aimco.record import InputError

State = tuple[torch.Tensor, ...]


class Matrix(AnalogLayer):
    """One matrix of a recurrent layer: gates from inputs, from states, or from both side by side."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Gates (E, batch, gates) of vectors (E, batch, inputs)."""
        y = self.affine(x if self.members > 1 else x[0])
        return y if self.members > 1 else y[None]

    def extra_repr(self) -> str:
        return f"{self.inputs}, {self.outputs}, bias={self.bias is not None}, {self.made_of}"


class Recurrent(nn.Module):
    """Layers and directions of cells that are read once for each time step (abstract).

    Each time step is one vector on the rows and one sample of the update. Torch's two biases are one where a cell has one matrix.

    Args:
        input_size: Size of the input.
        hidden_size: Size of the state.
        num_layers: Layers on top of each other.
        bias: Whether gates have offsets; `design.network.bias` says where they live.
        batch_first: Whether the input is (batch, seq, inputs).
        dropout: Share of outputs set to 0 between layers in training.
        bidirectional: Whether a second cell goes backward in time.
        design: An `aimco.Design`.
        name: See `Linear`.
        seed: See `Linear`.
        seeds: See `Linear`; with E > 1 inputs, outputs and states have the members before all other axes.
    """

    gates: ClassVar[int] = 1
    states: ClassVar[int] = 1  # tensors that a cell carries from step to step
    parted: ClassVar[bool] = False  # whether inputs and states have a matrix each

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        design: Blueprint,
        name: str | None = None,
        seed: int | None = None,
        seeds: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        on_cpu(device, dtype)
        if whole("proj_size", proj_size, 0):
            raise InputError("proj_size must be 0: projected states are not held in arrays; put an aimco.nn.Linear after the layer")
        self.input_size, self.hidden_size = whole("input_size", input_size), whole("hidden_size", hidden_size)
        self.num_layers, self.dropout = whole("num_layers", num_layers), share("dropout", dropout)
        self.bias, self.batch_first = flag("bias", bias), flag("batch_first", batch_first)
        self.bidirectional = flag("bidirectional", bidirectional)
        self.name, self.seeds = place(type(self).__name__.lower(), name, seed, seeds)
        for layer in range(self.num_layers):
            inputs = self.input_size if layer == 0 else self.hidden_size * self.directions
            for end in self._ends(layer):
                for what, size in (("ih", inputs), ("hh", self.hidden_size)) if self.parted else (("", inputs + self.hidden_size),):
                    layout = Layout(size, self.gates * self.hidden_size, limit=1 / math.sqrt(self.hidden_size))
                    place_ = f"{what}_{end}".lstrip("_")
                    self.add_module(place_, Matrix(layout, bias, design, f"{self.name} {place_}", self.seeds))

    def _ends(self, layer: int) -> list[str]:
        return [f"l{layer}", f"l{layer}_reverse"][: self.directions]

    @property
    def directions(self) -> int:
        """Cells of one layer."""
        return 2 if self.bidirectional else 1

    @property
    def members(self) -> int:
        """Ensemble members."""
        return len(self.seeds)

    def cell(self, end: str, x: torch.Tensor, states: State) -> State:
        """States after one time step (abstract): x (E, batch, inputs), states (E, batch, hidden) each."""
        raise NotImplementedError

    def forward(
        self, x: torch.Tensor | PackedSequence, hx: torch.Tensor | State | None = None
    ) -> tuple[torch.Tensor | PackedSequence, torch.Tensor | State]:
        """Outputs of all time steps and the last states, as in torch.

        Args:
            x: (seq, batch, inputs), (batch, seq, inputs) with batch_first, (seq, inputs), or a PackedSequence of one member.
            hx: States before the first step, (layers directions, batch, hidden) each; zeros when absent.

        Raises:
            InputError: An input or states of another shape.
        """
        if isinstance(x, PackedSequence):
            return self._packed(x, hx)
        steps, batched = self._steps(x)
        first = self._first(hx, steps.shape[2], batched, steps)
        y, last = self._run(list(steps.unbind(1)), first)
        out = torch.stack(y, 1)
        if not batched:
            out, last = out[:, :, 0], tuple(s[:, :, 0] for s in last)
        elif self.batch_first:
            out = out.transpose(1, 2)
        if self.members == 1:
            out, last = out[0], tuple(s[0] for s in last)
        return out, last if self.states > 1 else last[0]

    def _packed(self, x: PackedSequence, hx: torch.Tensor | State | None) -> tuple[PackedSequence, torch.Tensor | State]:
        if self.members > 1:
            raise InputError(f"a PackedSequence must be of one member, and the {type(self).__name__} has {self.members}; pad it instead")
        sizes = x.batch_sizes.tolist()
        steps = [part[None] for part in x.data.split(sizes)]
        if x.sorted_indices is not None and hx is not None:
            hx = tuple(s[:, x.sorted_indices] for s in hx) if isinstance(hx, tuple) else hx[:, x.sorted_indices]
        y, last = self._run(steps, self._first(hx, sizes[0], True, x.data))
        ends = tuple(s[0] if x.unsorted_indices is None else s[0][:, x.unsorted_indices] for s in last)
        packed = PackedSequence(torch.cat([part[0] for part in y]), x.batch_sizes, x.sorted_indices, x.unsorted_indices)
        return packed, ends if self.states > 1 else ends[0]

    def _run(self, steps: list[torch.Tensor], first: State) -> tuple[list[torch.Tensor], State]:
        """Outputs (E, batch, directions hidden) of each step, and last states (E, layers directions, batch, hidden) each."""
        last: list[State] = []
        for layer in range(self.num_layers):
            sides = []
            for k, end in enumerate(self._ends(layer)):
                begin = tuple(s[:, layer * self.directions + k] for s in first)
                outputs, states = self._scan(end, steps, begin, backward=k == 1)
                sides.append(outputs)
                last.append(states)
            steps = sides[0] if len(sides) == 1 else [torch.cat(pair, 2) for pair in zip(*sides, strict=True)]
            if self.dropout and self.training and layer < self.num_layers - 1:
                steps = [nn.functional.dropout(s, self.dropout) for s in steps]
        return steps, tuple(torch.stack([states[n] for states in last], 1) for n in range(self.states))

    def _scan(self, end: str, steps: list[torch.Tensor], first: State, backward: bool) -> tuple[list[torch.Tensor], State]:
        """One cell through time; sequences that are shorter than others are left where they end."""
        for what in ("ih_", "hh_") if self.parted else ("",):
            getattr(self, f"{what}{end}").passes = len(steps)
        outputs, states = [], first
        for x in reversed(steps) if backward else steps:
            size, whole_batch = x.shape[1], states[0].shape[1]
            some = states if size == whole_batch else tuple(s[:, :size] for s in states)
            new = self.cell(end, x, some)
            states = new if size == whole_batch else tuple(torch.cat((n, s[:, size:]), 1) for n, s in zip(new, states, strict=True))
            outputs.append(new[0])
        return outputs[::-1] if backward else outputs, states

    def _steps(self, x: torch.Tensor) -> tuple[torch.Tensor, bool]:
        """The input as (E, seq, batch, inputs), and whether it was a batch."""
        axes = x.ndim - (self.members > 1)
        if axes not in (2, 3) or (self.members > 1 and x.shape[0] != self.members) or x.shape[-1] != self.input_size or 0 in x.shape:
            order = "(batch, seq, inputs)" if self.batch_first else "(seq, batch, inputs)"
            more = f" with {self.members} members before it" if self.members > 1 else ""
            raise InputError(
                f"the input of {type(self).__name__} {self.name!r} must be {order} or (seq, inputs){more}, with {self.input_size} inputs, "
                f"got {tuple(x.shape)}"
            )
        x = x if self.members > 1 else x[None]
        if axes == 2:
            return x[:, :, None], False
        return (x.transpose(1, 2) if self.batch_first else x), True

    def _first(self, hx: torch.Tensor | State | None, batch: int, batched: bool, like: torch.Tensor) -> State:
        """States before the first step, (E, layers directions, batch, hidden) each."""
        shape = (self.num_layers * self.directions, *((batch,) if batched else ()), self.hidden_size)
        lead = (self.members,) if self.members > 1 else ()
        if hx is None:
            return (torch.zeros(self.members, shape[0], batch, self.hidden_size, dtype=like.dtype),) * self.states
        given = hx if isinstance(hx, tuple | list) else (hx,)
        if len(given) != self.states or any(tuple(s.shape) != lead + shape for s in given):
            got = ", ".join(str(tuple(s.shape)) for s in given)
            raise InputError(f"states of {type(self).__name__} {self.name!r} must be {self.states} of {lead + shape}, got {got}")
        return tuple(s.reshape(self.members, shape[0], batch, self.hidden_size) for s in given)

    def _load_from_state_dict(self, state_dict: dict[str, torch.Tensor], prefix: str, *others: object) -> None:
        """Weights of torch's layer become those of the matrices."""
        for layer in range(self.num_layers):
            for end in self._ends(layer):
                self._adopt(state_dict, prefix, end)
        super()._load_from_state_dict(state_dict, prefix, *others)

    def _adopt(self, state: dict[str, torch.Tensor], prefix: str, end: str) -> None:
        names = [f"{prefix}{what}_{end}" for what in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
        if not all(n in state for n in names[:2]):
            return
        (w_ih, w_hh), biases = (state.pop(n) for n in names[:2]), [state.pop(n) for n in names[2:] if n in state]
        if self.parted:
            state[f"{prefix}ih_{end}.weight"], state[f"{prefix}hh_{end}.weight"] = w_ih, w_hh
            state.update({f"{prefix}{what}_{end}.bias": b for what, b in zip(("ih", "hh"), biases, strict=False)})
            return
        state[f"{prefix}{end}.weight"] = torch.cat((w_ih, w_hh), -1)
        if biases:
            state[f"{prefix}{end}.bias"] = torch.stack(biases).sum(0)

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}, num_layers={self.num_layers}, bidirectional={self.bidirectional}"


class RNN(Recurrent):
    """h_t = tanh((x_t, h_{t-1}) W + b): `torch.nn.RNN` for analog hardware; see `Recurrent`.

    Args:
        nonlinearity: "tanh" or "relu".
    """

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, nonlinearity: str = "tanh", *args: Any, **options: Any
    ) -> None:
        one_of("nonlinearity", nonlinearity, ("tanh", "relu"))
        super().__init__(input_size, hidden_size, num_layers, *args, **options)
        self.nonlinearity = nonlinearity

    def cell(self, end: str, x: torch.Tensor, states: State) -> State:
        y = getattr(self, end)(torch.cat((x, states[0]), 2))
        return (torch.tanh(y) if self.nonlinearity == "tanh" else torch.relu(y),)


class LSTM(Recurrent):
    """Long short-term memory: `torch.nn.LSTM` for analog hardware; see `Recurrent`.

    (i, f, g, o) = (x_t, h_{t-1}) W + b, c_t = sigmoid(f) c_{t-1} + sigmoid(i) tanh(g), h_t = sigmoid(o) tanh(c_t)

    W has inputs + hidden rows, one more where the bias is in the array, and 4 hidden columns, gates in the order of torch.
    Source: Hochreiter & Schmidhuber 1997 with the forget gate of Gers 2000; in arrays Gokmen 2018 (Front. Neurosci. 12:745).

    Example:
        >>> import torch, aimco as ai
        >>> layer = ai.nn.LSTM(4, 3, design=ai.Design(device="ideal"))
        >>> y, (h, c) = layer(torch.ones(5, 2, 4))
        >>> y.shape, h.shape
        (torch.Size([5, 2, 3]), torch.Size([1, 2, 3]))
    """

    gates, states = 4, 2

    def cell(self, end: str, x: torch.Tensor, states: State) -> State:
        h, c = states
        i, f, g, o = getattr(self, end)(torch.cat((x, h), 2)).chunk(4, 2)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c


class GRU(Recurrent):
    """Gated recurrent units: `torch.nn.GRU` for analog hardware; see `Recurrent`.

    (r, z, n)_x = x_t W_x + b_x, (r, z, n)_h = h_{t-1} W_h + b_h, r = sigmoid(r_x + r_h), z = sigmoid(z_x + z_h),
    n = tanh(n_x + r n_h), h_t = (1 - z) n + z h_{t-1}

    Two matrices of 3 hidden columns each, since r scales what states alone give. Source: Cho 2014 (arXiv 1406.1078), as torch has it.
    """

    gates, parted = 3, True

    def cell(self, end: str, x: torch.Tensor, states: State) -> State:
        (h,) = states
        (r, z, n), (r_h, z_h, n_h) = (getattr(self, f"{w}_{end}")(v).chunk(3, 2) for w, v in (("ih", x), ("hh", h)))
        r, z = torch.sigmoid(r + r_h), torch.sigmoid(z + z_h)
        n = torch.tanh(n + r * n_h)
        return ((1 - z) * n + z * h,)
