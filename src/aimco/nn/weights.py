"""Weights that live in arrays: how they are made, read and written as torch's, saved and loaded."""

from __future__ import annotations

import hashlib
import json
import math
import pickle
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from aimco import rng
from aimco.arrays.spec import ArraySpec, Blueprint
from aimco.ensemble import PerMember, per_member, repeat
from aimco.ledger import Counts
from aimco.mapping import AnalogMatrix
from aimco.nn.arguments import flag
from aimco.nn.handle import AnalogParameter
from aimco.nn.layers import Arrays
from aimco.nn.layout import Layout
from aimco.nn.passes import Role
from aimco.plain_data import Saved
from aimco.record import InputError

_FILL = 0.6  # part of the range of a cell that initial weights take up under a scale by fan-in
_PARTS = ("device", "cell", "array", "periphery", "rule")  # of a design: what saved arrays belong to


class WeightsInArrays(Arrays):
    """A matrix of weights held in arrays, as a torch module with torch's weight and bias.

    Args:
        layout: sizes of the matrix. bias: whether outputs have an offset. design: device, cell, array, periphery, network and rule.
        name: of this layer, for its random streams. seeds: one per ensemble member.
    """

    def __init__(self, layout: Layout, bias: bool, design: Blueprint, name: str, seeds: Sequence[int]) -> None:
        super().__init__()
        if not all(hasattr(design, part) for part in (*_PARTS, "network")):
            raise InputError(f"design must be an aimco.Design, got {type(design).__name__}")
        if design.rule.teaches != "layers":
            raise InputError(f"rule.kind must be a rule of layers, got {design.rule.kind}, which teaches another network")
        self.layout, self.name, self.seeds = layout, name, tuple(seeds)
        self.rule = repeat(design.rule, layout.groups).model_copy(update={"lr": design.rule.lr})  # rates are those of members
        self.members, self.arrays = len(self.seeds), len(self.seeds) * layout.groups  # ensemble members; matrices beside each other
        self.inputs, self.outputs = layout.inputs, layout.outputs
        bias = flag("bias", bias) and design.network.bias != "none"
        self.learns_scale = design.network.output_scale == "learned"
        self.bias_row = bias and design.network.bias == "array" and bool(self.rule.arrays())
        limit = 1 / math.sqrt(layout.inputs) if layout.limit is None else layout.limit
        self.scale = self._scale(design, limit)
        start = self._draw("weight", (self.inputs + self.bias_row, self.outputs), limit)
        offset = self.layout.as_bias(self._draw("bias", (1, self.outputs), limit)) if bias and not self.bias_row else None
        groups = layout.groups
        parts = repeat(design.device, groups), repeat(design.cell, groups), repeat(design.array, groups), repeat(design.periphery, groups)
        self._made_of = parts
        self._build()
        if not self.matrices:
            self.weight = nn.Parameter(self.layout.as_weight(start))
            self.register_parameter("bias", None if offset is None else nn.Parameter(offset))
            return
        self.rule_state = self.rule.start(self.matrices)
        matrix, first = self.matrices[self.rule.weight_array], start if self.scale is None else start / self._scale_of_arrays()
        matrix.program(first)
        messages = matrix.missed(first)
        self.written = tuple(messages[k :: layout.groups] for k in range(layout.groups))
        shapes: dict[Role, tuple[int, ...]] = {"weight": layout.weight_shape, "bias": (layout.groups * self.outputs,)}
        self._shapes = {role: (*self._lead, *shape) for role, shape in shapes.items()}
        parameters = {role: AnalogParameter(self, role, shape) for role, shape in self._shapes.items()}  # pyright: ignore[reportArgumentType]
        self.weight, row = parameters["weight"], parameters["bias"] if self.bias_row else None  # pyright: ignore[reportAttributeAccessIssue]
        self.register_parameter("bias", row if offset is None else nn.Parameter(offset))  # pyright: ignore[reportArgumentType]

    def _build(self) -> None:
        """Make the arrays, not yet written."""
        made_of = ArraySpec(*self._made_of)
        size = self.inputs + self.bias_row, self.outputs
        self.ref: weakref.ref[Any] = weakref.ref(self)  # for gradients, which belong to the layer's own parameters
        self._constants: dict[tuple[int, float], torch.Tensor] = {}
        self.matrices = {
            n: AnalogMatrix(spec.within(made_of), *size, seeds=self._seeds, names=(self.name, n)) for n, spec in self.rule.arrays().items()
        }

    @property
    def _seeds(self) -> tuple[int, ...]:
        """One for each matrix: those of the members, of each group its own."""
        groups = self.layout.groups
        return self.seeds if groups == 1 else tuple(rng.stream_key(seed, "group", k) for seed in self.seeds for k in range(groups))

    def _draw(self, what: str, shape: tuple[int, int], limit: float) -> torch.Tensor:
        keys = rng.stream_keys(self._seeds, self.name, what)
        draws = torch.from_numpy(rng.uniform(keys, 0, shape[0] * shape[1], np.float32))
        return draws.mul_(2).sub_(1).mul_(limit).reshape(self.arrays, *shape)

    def _scale(self, design: Blueprint, limit: float) -> nn.Parameter | None:
        """What the outputs are multiplied by, (E, 1, 1): one number of each member, if the network has it."""
        if self.learns_scale:
            return nn.Parameter(torch.ones(self.members, 1, 1))
        if design.network.output_scale == "none" or not self.rule.arrays():
            return None
        top = per_member(design.cell.weight_max, self.members)
        return nn.Parameter(torch.from_numpy(limit / (_FILL * top)).float()[:, None, None], requires_grad=False)

    # ledgers: those of the matrices of all groups are one, for each member

    @property
    def counts(self):
        return {name: Counts(self._of_members(counts)) for name, counts in super().counts.items()}

    @property
    def timed(self):
        return {name: self._of_members(counts) for name, counts in super().timed.items()}

    @property
    def shapes(self):
        groups = self.layout.groups
        return {name: shape if groups == 1 else (*shape, groups) for name, shape in super().shapes.items()}

    def elapse(self, seconds):
        super().elapse(np.repeat(seconds, self.layout.groups) if np.ndim(seconds) and self.layout.groups > 1 else seconds)

    def _of_members(self, counts: Mapping[str, PerMember]) -> Mapping[str, PerMember]:
        """Amounts of each ensemble member, of those of each matrix (E groups,), or of all matrices alike."""
        groups = self.layout.groups
        if groups == 1:
            return counts
        return {n: np.reshape(v, (-1, groups)).sum(1) if np.ndim(v) else v * groups for n, v in counts.items()}

    # shapes: matrices are (E groups, rows, columns), torch's weights (E, outputs, inputs, kernel), without E for one member

    @property
    def _lead(self) -> tuple[int, ...]:
        return (self.members,) if self.members > 1 else ()

    def _scale_of_arrays(self) -> torch.Tensor:
        """The scale of each matrix, (E groups, 1, 1)."""
        assert self.scale is not None
        return self.scale.detach().repeat_interleave(self.layout.groups, 0)

    @property
    def made_of(self) -> str:
        """Rule, device and arrays, as `repr` shows them."""
        if not self.matrices:
            return f"rule={self.rule.kind}" + (f", members={self.members}" if self.members > 1 else "")
        arrays = ", ".join(f"{n}: {m.arrays} x ({m.row_spans[0].stop} x {m.column_spans[0].stop})" for n, m in self.matrices.items())
        device = self._made_of[0]
        text = f"rule={self.rule.kind}, device={device.name or device.response.kind}, arrays=({arrays})"
        return text + (f", members={self.members}" if self.members > 1 else "")

    @property
    def title(self) -> str:
        """How messages call it."""
        return f"the layer {type(self).__name__}{self.layout.weight_shape[1::-1]} named {self.name!r}"

    @property
    def stored(self) -> torch.Tensor:
        """The weights of the layer, (E groups, rows, outputs), the sum of its arrays, each times its coefficient: for tests and plots."""
        if not self.matrices:
            return self.layout.as_matrix(self.weight.detach())
        return self.rule.stored(self.matrices, self.rule_state)

    # weights

    def read_parameter(self, role: Role) -> torch.Tensor:
        """The weight or the bias in torch's shape, times the scale of the outputs; not counted."""
        matrix = self.stored if self.scale is None else self.stored * self._scale_of_arrays()
        return (
            self.layout.as_bias(matrix[:, self.inputs :])
            if role == "bias"
            else self.layout.as_weight(matrix[:, : self.inputs]).contiguous()
        )

    def write_parameter(self, role: Role, values: torch.Tensor, only: torch.Tensor | None = None) -> None:
        """Write and verify the weight or the bias, of torch's shape; the elements of a mask alone, all when absent."""
        lines = slice(self.inputs, None) if role == "bias" else slice(0, self.inputs)
        as_lines = (lambda t: t.reshape(self.arrays, 1, -1)) if role == "bias" else (lambda t: self.layout.as_matrix(t.contiguous()))
        stored, matrix = self.stored, self.matrices[self.rule.weight_array]
        target, mask = stored.clone(), torch.zeros(stored.shape, dtype=torch.bool)
        target[:, lines] = as_lines(values) if self.scale is None else as_lines(values) / self._scale_of_arrays()
        mask[:, lines] = True if only is None else as_lines(only)
        matrix.program(matrix.weights + (target - stored), mask)  # other arrays keep their shares

    @torch.no_grad()
    def set_weights(self, weight: torch.Tensor, bias: torch.Tensor | None = None) -> None:
        """Write weights, by write-and-verify where they are in arrays.

        Args:
            weight: In torch's shape; with E members (E, ...), or of all of them alike.
            bias: (outputs,); left as it is when absent.

        Raises:
            InputError: another shape, numbers that are not finite or beyond the range of the cells, a bias that the layer does not have.
        """
        for role, values in (("weight", weight), ("bias", bias)):
            parameter = getattr(self, role)
            if values is None:
                continue
            if parameter is None:
                raise InputError(f"{self.title} has no bias to be set; see design.network.bias")
            if not isinstance(values, torch.Tensor) or tuple(values.shape) not in (
                tuple(parameter.shape),
                tuple(parameter.shape[len(self._lead) :]),
            ):
                got = tuple(values.shape) if isinstance(values, torch.Tensor) else type(values).__name__
                raise InputError(f"the {role} of {self.title} must be a tensor {tuple(parameter.shape)}, got {got}")
            self._check_range(role, values)
            parameter.copy_(values.detach())

    def _check_range(self, role: str, values: torch.Tensor) -> None:
        largest = float(values.abs().max()) if values.numel() else 0.0
        if not math.isfinite(largest):
            raise InputError(f"the {role} of {self.title} must be finite")
        if not self.matrices or (role == "bias" and not self.bias_row):
            return
        top = per_member(self._made_of[1].weight_max, self.members)
        reach = float((top * (1.0 if self.scale is None else self.scale.detach().abs().flatten().numpy())).max())
        if largest > reach * 1.001:
            raise InputError(
                f"the {role} of {self.title} must be within what its cells hold, {reach:g}, got {largest:g}; "
                "set cell.weight_max of the design, or network.output_scale"
            )

    # states

    @property
    def fingerprint(self) -> dict[str, str]:
        """What saved arrays must agree with, part by part."""
        parts = (*self._made_of, self.rule)
        contents = {name: part.as_dict() | {"lr": None} for name, part in zip(_PARTS, parts, strict=True)}
        return {
            name: hashlib.sha256(json.dumps(data, sort_keys=True, default=str).encode()).hexdigest()[:16] for name, data in contents.items()
        }

    def get_extra_state(self) -> Saved:
        state = super().get_extra_state()
        shape = [self.arrays, self.inputs + self.bias_row, self.outputs]
        return state | {"design": self.fingerprint, "shape": shape, "name": self.name, "seeds": list(self.seeds)} if state else {}

    def set_extra_state(self, state: Saved) -> None:
        if not self.matrices or not state:
            return
        other = [part for part, code in state.get("design", {}).items() if code != self.fingerprint[part]]
        if other:
            raise InputError(
                f"the saved state of {self.title} must be of the same design, got another {' and '.join(other)}; build it with the design "
                "that was saved, or load only weight and bias"
            )
        shape = [self.arrays, self.inputs + self.bias_row, self.outputs]
        if state.get("shape", shape) != shape:
            raise InputError(f"the saved state of {self.title} must be of arrays {shape} (members, rows, columns), got {state['shape']}")
        named = state.get("name", self.name), tuple(state.get("seeds", self.seeds))
        if named != (self.name, self.seeds):  # draws go on as those of the layer that was saved
            self.name, self.seeds = named
            self._build()
            self.rule_state = self.rule.start(self.matrices)
        super().set_extra_state(state)

    def __getstate__(self) -> dict[str, object]:
        """What is copied or sent to another process: arrays as bytes, since torch would let processes share them half."""
        arrays = {n: self.__dict__[n] for n in ("matrices", "rule_state") if n in self.__dict__}
        left = {n: v for n, v in self.__dict__.items() if n not in arrays and n != "ref"}
        return left | {"_constants": {}, "_arrays": pickle.dumps(arrays)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__({n: v for n, v in state.items() if n != "_arrays"} | pickle.loads(state["_arrays"]))
        self.ref = weakref.ref(self)

    def _save_to_state_dict(self, destination: dict[str, object], prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        if not self.matrices:
            destination.pop(f"{prefix}_extra_state")
        for role, parameter in self.in_arrays().items():
            destination[prefix + role] = parameter if keep_vars else parameter.values()

    def in_arrays(self) -> dict[str, AnalogParameter]:
        """Weight and bias, so far as they are in arrays."""
        return {n: p for n, p in self._parameters.items() if isinstance(p, AnalogParameter)}

    def _load_from_state_dict(
        self,
        state_dict: Mapping[str, Any],
        prefix: str,
        local_metadata: object,
        strict: bool,
        missing: list[str],
        unexpected: list[str],
        errors: list[str],
    ) -> None:
        """Arrays go on where they were saved; weights and biases of a digital layer are written into them."""
        extra, roles = f"{prefix}_extra_state", self.in_arrays()
        rest = {k: v for k, v in state_dict.items() if k.removeprefix(prefix) not in roles}
        lacking: list[str] = []
        super()._load_from_state_dict(rest, prefix, local_metadata, strict, lacking, unexpected, errors)
        saved = bool(state_dict.get(extra)) and bool(self.matrices)
        given = {role: state_dict[prefix + role] for role in roles if prefix + role in state_dict}
        excused = {extra, *(prefix + role for role in roles)} | ({f"{prefix}scale"} if given and not saved else set())
        missing.extend(key for key in lacking if key not in excused)
        if saved:
            return
        missing.extend(prefix + role for role in roles if role not in given)
        try:
            for role, values in given.items():
                if values.shape != roles[role].shape:
                    raise InputError(f"size mismatch for {prefix + role}: {tuple(roles[role].shape)} is wanted, got {tuple(values.shape)}")
                self._check_range(role, values)
                roles[role].write(values)
        except InputError as error:
            errors.append(str(error))

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> WeightsInArrays:
        """Digital parameters follow `to`, `half` and the like; arrays stay float32 on the CPU, and refuse what this cannot stand for."""
        if self.matrices:
            moved = fn(torch.zeros(1))
            if moved.device.type != "cpu":
                raise InputError(f"{self.title} must stay on the CPU, where its arrays are simulated, got {moved.device}")
            if moved.dtype is torch.float64:
                raise InputError(
                    f"{self.title} holds its states in float32 and cannot be made double; leave it so: its outputs have the input's dtype"
                )
            return self
        return super()._apply(fn, recurse)
