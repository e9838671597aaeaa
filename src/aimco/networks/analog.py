"""What all layers share: a matrix of weights in arrays, read forward and back by autograd and taught by a rule.

Forward is a read of the array, backward a transposed read, and the update, done by `aimco.optim.InMemory`, a pulsed write.
Everything else (activations, losses, data loaders, state_dict) is torch's.
"""

from __future__ import annotations

import collections
import contextlib
import hashlib
import json
import math
import pickle
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from aimco import rng
from aimco.ensemble import per_member
from aimco.mapping import AnalogMatrix
from aimco.networks.handle import AnalogParameter, OuterProducts, Pass, Role
from aimco.networks.layers import Arrays
from aimco.record import InputError

_FILL = 0.6  # part of the range of a cell that initial weights take up under a scale by fan-in
_PARTS = ("device", "cell", "array", "periphery", "rule")  # of a design: what saved arrays belong to
_built: collections.Counter[tuple[Any, ...]] = collections.Counter()  # layers without a name so far, by kind and seeds


@dataclass(frozen=True)
class Layout:
    """How the weights of a layer lie in matrices.

    Args:
        inputs, outputs: size of one matrix, the row of the bias left out.
        groups: matrices beside each other, each with inputs of its own.
        kernel: last axes of torch's weight, which are inputs of the matrix.
        limit: initial weights are uniform within -limit..limit; 1 / sqrt(inputs) when absent.
    """

    inputs: int
    outputs: int
    groups: int = 1
    kernel: tuple[int, ...] = ()
    limit: float | None = None

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """Of torch's weight."""
        return (self.groups * self.outputs, self.inputs // math.prod(self.kernel), *self.kernel)


def place(kind: str, name: str | None, seed: int | None, seeds: Sequence[int] | None) -> tuple[str, tuple[int, ...]]:
    """Name and seeds of a layer that is being built: what its devices, first weights and noise follow from.

    Without seeds, one is drawn from torch's generator, as torch draws first weights. With seeds and without a name, the name is the
    kind and how many such layers came before it, so that no two layers are alike.
    """
    if seed is not None and seeds is not None:
        raise InputError("seed and seeds must not be given together: seeds has one for each ensemble member")
    if seeds is not None and (isinstance(seeds, str) or not isinstance(seeds, Iterable) or not len(tuple(seeds))):
        raise InputError(f"seeds must be whole numbers, one for each ensemble member, got {seeds!r}")
    given = None if seed is None and seeds is None else (seed,) if seeds is None else tuple(seeds)
    if given is None:
        return name or kind, (int(torch.randint(2**62, ())),)
    for one in given:
        if isinstance(one, bool) or not hasattr(one, "__index__") or not -(2**63) <= int(one) < 2**64:
            raise InputError(f"seeds must be whole numbers of at most 64 bits, got {one!r}")
    made = tuple(int(one) for one in given)
    if name is None:
        name = f"{kind} {_built[kind, made]}"
        _built[kind, made] += 1
    return name, made


class _Product(torch.autograd.Function):
    """y = x W on the arrays; the gradient at the inputs comes from the transposed read, that at the weights is the pair of vectors."""

    @staticmethod
    def forward(ctx, x, weight, bias, layer, constant):
        rows = layer.as_rows(x, constant)
        ctx.layer, ctx.shape = layer, x.shape
        if ctx.needs_input_grad[1] or ctx.needs_input_grad[2]:
            ctx.save_for_backward(rows)
        return layer.read(rows).reshape(*x.shape[:-1], layer.outputs)

    @staticmethod
    def backward(ctx, gradient):
        layer, learns = ctx.layer, ctx.needs_input_grad[1:3]
        z, pairs = None, (None, None)
        if ctx.needs_input_grad[0]:
            z = _Transposed.apply(gradient, *layer.held(), layer, ctx.shape)
        if any(learns):
            pairs = layer.gradients(learns, *ctx.saved_tensors, gradient.detach().reshape(layer.arrays, -1, layer.outputs))
        return z, *pairs, None, None


class _Transposed(torch.autograd.Function):
    """z = d W^T on the arrays: what `_Product` hands back, itself with gradients, so that a gradient may be part of a loss."""

    @staticmethod
    def forward(ctx, errors, weight, bias, layer, shape):
        ctx.layer = layer
        ctx.save_for_backward(errors)
        return layer.read_back(errors.reshape(layer.arrays, -1, layer.outputs)).reshape(shape)

    @staticmethod
    def backward(ctx, gradient):
        layer, (errors,) = ctx.layer, ctx.saved_tensors
        again = _Product.apply(gradient, *layer.held(), layer, 0.0) if ctx.needs_input_grad[0] else None
        rows = layer.as_rows(gradient.detach(), 0.0)
        pairs = layer.gradients(ctx.needs_input_grad[1:3], rows, errors.detach().reshape(layer.arrays, -1, layer.outputs))
        return again, *pairs, None, None


class AnalogLayer(Arrays):
    """A matrix of weights held in arrays and taught by a rule: what the layers share.

    Args:
        layout: sizes of the matrix. bias: whether outputs have an offset. design: device, cell, array, periphery, network and rule.
        name: of this layer, for its random streams. seeds: one per ensemble member.
    """

    vectors = 1  # that one sample is on the rows

    def __init__(self, layout: Layout, bias: bool, design: Any, name: str, seeds: Sequence[int]) -> None:
        super().__init__()
        if not all(hasattr(design, part) for part in (*_PARTS, "network")):
            raise InputError(f"design must be an aimco.Design, got {type(design).__name__}")
        self.layout, self.rule, self.name, self.seeds = layout, design.rule, name, tuple(seeds)
        self.inputs, self.outputs = layout.inputs, layout.outputs
        bias = bias and design.network.bias != "none"
        self.learns_scale = design.network.output_scale == "learned"
        self.bias_row = bias and design.network.bias == "array" and bool(self.rule.arrays())
        limit = 1 / math.sqrt(layout.inputs) if layout.limit is None else layout.limit
        self.scale = self._scale(design, limit)
        start = self._draw("weight", (self.inputs + self.bias_row, self.outputs), limit)
        offset = self._as_bias(self._draw("bias", (1, self.outputs), limit)) if bias and not self.bias_row else None
        self._made_of = (design.device, design.cell, design.array, design.periphery)
        self._build()
        if not self.matrices:
            self.weight = nn.Parameter(self._as_weight(start))
            self.register_parameter("bias", None if offset is None else nn.Parameter(offset))
            return
        self.rule_state = self.rule.start(self.matrices)
        self.matrices[self.rule.weights_on].program(start if self.scale is None else start / self._scale_of_arrays())
        self.weight = AnalogParameter(self, "weight", (*self._lead, *layout.weight_shape))  # pyright: ignore[reportAttributeAccessIssue]
        row = AnalogParameter(self, "bias", (*self._lead, layout.groups * self.outputs)) if self.bias_row else None
        self.register_parameter("bias", row if offset is None else nn.Parameter(offset))  # pyright: ignore[reportArgumentType]

    def _build(self) -> None:
        """Make the arrays, not yet written."""
        device, *others = self._made_of
        seeds, groups = self.seeds, self.layout.groups
        if groups > 1:
            seeds = tuple(rng.stream_key(seed, "group", k) for seed in self.seeds for k in range(groups))
        size, self._streams = (self.inputs + self.bias_row, self.outputs), seeds
        self._constants: dict[tuple[int, float], torch.Tensor] = {}
        self.matrices = {
            n: AnalogMatrix(
                needs.device or device,
                *others,
                *size,
                seeds=seeds,
                names=(self.name, n),
                reference=needs.reference,
                reference_error=needs.error,
            )
            for n, needs in self.rule.arrays().items()
        }

    def _draw(self, what: str, shape: tuple[int, int], limit: float) -> torch.Tensor:
        seeds = self.seeds
        if self.layout.groups > 1:
            seeds = tuple(rng.stream_key(seed, "group", k) for seed in seeds for k in range(self.layout.groups))
        keys = rng.stream_keys(seeds, self.name, what)
        draws = torch.from_numpy(rng.uniform(keys, 0, shape[0] * shape[1])).float()
        return (limit * (2 * draws - 1)).reshape(len(seeds), *shape)

    def _scale(self, design: Any, limit: float) -> nn.Parameter | None:
        """What the outputs are multiplied by, (E, 1, 1): one number of each member, if the network has it."""
        if self.learns_scale:
            return nn.Parameter(torch.ones(self.members, 1, 1))
        if design.network.output_scale == "none" or not self.rule.arrays():
            return None
        top = per_member(design.cell.weight_max, self.members)
        return nn.Parameter(torch.from_numpy(limit / (_FILL * top)).float()[:, None, None], requires_grad=False)

    # shapes: matrices are (E groups, rows, columns), torch's weights (E, outputs, inputs, kernel), without E for one member

    @property
    def members(self) -> int:
        """Ensemble members."""
        return len(self.seeds)

    @property
    def arrays(self) -> int:
        """Matrices beside each other: members times groups."""
        return len(self.seeds) * self.layout.groups

    @property
    def _lead(self) -> tuple[int, ...]:
        return (self.members,) if self.members > 1 else ()

    def _as_weight(self, matrix: torch.Tensor) -> torch.Tensor:
        """Rows of inputs, (E groups, inputs, columns), as torch's weight; a view where there are no groups."""
        turned = matrix.transpose(1, 2)
        parts = turned if self.layout.groups == 1 else turned.reshape(self.members, -1, self.inputs)
        shaped = parts.unflatten(2, self.layout.weight_shape[1:]) if self.layout.kernel else parts
        return shaped if self.members > 1 else shaped[0]

    def _as_matrix(self, weight: torch.Tensor) -> torch.Tensor:
        """Torch's weight as rows of inputs, (E groups, inputs, columns); a view."""
        return weight.view(self.arrays, self.outputs, self.inputs).transpose(1, 2)

    def _as_bias(self, row: torch.Tensor) -> torch.Tensor:
        return row.reshape(*self._lead, self.layout.groups * self.outputs)

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

    # reads

    @property
    def title(self) -> str:
        """How messages call it."""
        return f"the layer {type(self).__name__}{self.layout.weight_shape[1::-1]} named {self.name!r}"

    def affine(self, x: torch.Tensor) -> torch.Tensor:
        """Outputs of vectors, (E groups, ..., inputs), the first axis left out where it is 1; in the dtype of the input."""
        autocast = torch.is_autocast_enabled("cpu")
        if x.dtype is torch.float32 and not autocast:
            return self.after(self.product(x))
        dtype = torch.get_autocast_dtype("cpu") if autocast else x.dtype
        if not x.is_floating_point():
            raise InputError(f"the input of {self.title} must be floating-point numbers, got {x.dtype}")
        with torch.autocast("cpu", enabled=False):
            return self.after(self.product(x.float())).to(dtype)

    def product(self, x: torch.Tensor) -> torch.Tensor:
        """x W of vectors."""
        if self.matrices:
            return _Product.apply(x, *self.held(), self, 1.0)  # pyright: ignore[reportReturnType]
        return self.read(self.as_rows(x)).reshape(*x.shape[:-1], self.outputs)

    def held(self) -> tuple[AnalogParameter, AnalogParameter | None]:
        """Weight and bias, so far as they are in arrays."""
        weight, bias = self._parameters["weight"] if "weight" in self._parameters else None, self._parameters["bias"] if self.bias_row else None
        if type(weight) is not AnalogParameter:
            raise InputError(f"{self.title} has its weights in arrays, which nothing can be put in place of (a parametrization, pruning, functional_call)")
        return weight, bias  # pyright: ignore[reportReturnType]

    def after(self, y: torch.Tensor) -> torch.Tensor:
        """What is done to outputs digitally: the learned scale and the offset, where the design has them."""
        if self.scale is not None:
            y = y * (self.scale[0, 0, 0] if self.members == 1 else self._across(self.scale.repeat_interleave(self.layout.groups, 0), y))
        if self.bias is None or self.bias_row:
            return y
        return y + (self.bias if self.arrays == 1 else self._across(self.bias, y))

    def _across(self, values: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Numbers of the matrices in the axes of outputs."""
        return values.reshape(self.arrays, *[1] * (y.ndim - 2), -1)

    def as_rows(self, x: torch.Tensor, constant: float = 1.0) -> torch.Tensor:
        """Inputs as vectors on the rows, (E groups, B, rows), the constant of the bias row included."""
        rows = x.reshape(self.arrays, -1, self.inputs)
        if self.bias_row:
            rows = torch.cat((rows, self._constant(rows.shape[1], constant)), 2)
        return rows

    def _constant(self, batch: int, value: float) -> torch.Tensor:
        if (batch, value) not in self._constants:
            self._constants = {(batch, value): torch.full((self.arrays, batch, 1), value)}
        return self._constants[batch, value]

    @property
    def stored(self) -> torch.Tensor:
        """The weights of the layer, (E groups, rows, outputs), the sum of the shares of its arrays: for tests and plots."""
        if not self.matrices:
            return self._as_matrix(self.weight.detach())
        return self.rule.stored(self.matrices, self.rule_state)

    def read(self, rows: torch.Tensor) -> torch.Tensor:
        """The product (E groups, B, outputs) with vectors on the rows."""
        if self.matrices:
            return self.rule.mvm(self.matrices, self.rule_state, rows)
        return torch.bmm(rows, self._as_matrix(self.weight))

    def read_back(self, errors: torch.Tensor) -> torch.Tensor:
        """Errors at the inputs, (E groups, B, inputs), of errors at the product."""
        with torch.autocast("cpu", enabled=False) if torch.is_autocast_enabled("cpu") else contextlib.nullcontext():
            return self.rule.mvm_t(self.matrices, self.rule_state, errors)[..., : self.inputs]

    def read_t(self, d: torch.Tensor) -> torch.Tensor:
        """Errors at the inputs (E, B, inputs) of errors at the outputs."""
        d = d if self.scale is None else d * self.scale
        z = self.rule.mvm_t(self.matrices, self.rule_state, d) if self.matrices else torch.bmm(d, self._as_matrix(self.weight).transpose(1, 2))
        return z[..., : self.inputs]

    # updates

    def teach(self, rows: torch.Tensor, product: torch.Tensor, d: torch.Tensor, lr: Any) -> None:
        """Learn from what was read and the errors d at the outputs (minus the gradient); what is not in arrays by plain descent."""
        if self.bias is not None and not self.bias_row:
            self.bias.add_((d.sum(1, keepdim=True) * lr).reshape(self.bias.shape))
        if self.scale is not None:
            slope = (product * d).sum((1, 2), keepdim=True)
            d = d * self.scale
            if self.learns_scale:
                self.scale.add_(slope * lr)
        if self.matrices:
            self.rule.update(self.matrices, self.rule_state, rows, d, lr)
        else:
            self._as_matrix(self.weight).add_(torch.bmm(rows.transpose(1, 2), d) * lr)

    def gradients(self, needed: Sequence[bool], rows: torch.Tensor, errors: torch.Tensor) -> tuple[OuterProducts | None, OuterProducts | None]:
        """Gradients at weight and bias of one backward pass: its vectors, or what they come to where no optimizer holds the weights."""
        one = Pass(rows, errors)
        return self._gradient(self.weight, one) if needed[0] else None, self._gradient(self.bias, one) if needed[1] else None

    def _gradient(self, parameter: Any, one: Pass) -> OuterProducts:
        if parameter.holders:
            return OuterProducts(self, parameter.role, parameter.shape, [(one, 1.0)])
        return OuterProducts(self, parameter.role, parameter.shape, [], self.gradient_of(parameter.role, one))

    def gradient_of(self, role: Role, one: Pass) -> torch.Tensor:
        """What the vectors of a pass come to at weight or bias, in torch's shape."""
        with torch.autocast("cpu", enabled=False) if torch.is_autocast_enabled("cpu") else contextlib.nullcontext():
            if role == "bias":
                gradient = torch.bmm(one.rows[:, :, self.inputs :].transpose(1, 2), one.errors)
            else:
                gradient = torch.bmm(one.rows[:, :, : self.inputs].transpose(1, 2), one.errors)
        gradient = gradient if self.scale is None else gradient / self._scale_of_arrays()
        return self._as_bias(gradient) if role == "bias" else self._as_weight(gradient)

    def learn(self, rates: Mapping[Role, Any]) -> None:
        """Update the arrays from the gradients that weight and bias hold, each with the learning rate of its optimizer."""
        held: dict[Role, list[tuple[Pass, float]]] = {role: getattr(self, role).grad.passes for role in rates}
        first = next(iter(held.values()))
        if len(held) == 1 + self.bias_row and all(_agree(first, other) for other in held.values()) and len(_different(rates)) == 1:
            for one, scale in first:
                self._update(one.rows, one, scale, rates["weight"])
            return
        for role, passes in held.items():
            for one, scale in passes:
                rows = one.rows.clone()
                rows[:, :, slice(self.inputs, None) if role == "weight" else slice(0, self.inputs)] = 0
                self._update(rows, one, scale, rates[role])

    def _update(self, rows: torch.Tensor, one: Pass, scale: float, lr: Any) -> None:
        if isinstance(lr, torch.Tensor) and self.layout.groups > 1:
            lr = lr.repeat_interleave(self.layout.groups, 0)
        self.rule.update(self.matrices, self.rule_state, rows, one.errors.neg() if scale == 1 else one.errors * -scale, lr)

    # weights

    def read_parameter(self, role: Role) -> torch.Tensor:
        """The weight or the bias in torch's shape, times the scale of the outputs: for users, averages and plots; not counted."""
        matrix = self.stored if self.scale is None else self.stored * self._scale_of_arrays()
        return self._as_bias(matrix[:, self.inputs :]) if role == "bias" else self._as_weight(matrix[:, : self.inputs]).contiguous()

    def write_parameter(self, role: Role, values: torch.Tensor, only: torch.Tensor | None = None) -> None:
        """Write and verify the weight or the bias, of torch's shape; the elements of a mask alone, all when absent."""
        lines = slice(self.inputs, None) if role == "bias" else slice(0, self.inputs)
        as_lines = (lambda t: t.reshape(self.arrays, 1, -1)) if role == "bias" else (lambda t: self._as_matrix(t.contiguous()))
        stored, matrix = self.stored, self.matrices[self.rule.weights_on]
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
            if not isinstance(values, torch.Tensor) or tuple(values.shape) not in (tuple(parameter.shape), tuple(parameter.shape[len(self._lead) :])):
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
        reach = float((top * (1.0 if self.scale is None else self.scale.detach().flatten().numpy())).max())
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
        told = {name: part.as_dict() | {"lr": None} for name, part in zip(_PARTS, parts, strict=True)}
        return {name: hashlib.sha256(json.dumps(data, sort_keys=True, default=str).encode()).hexdigest()[:16] for name, data in told.items()}

    def get_extra_state(self) -> dict[str, Any]:
        state = super().get_extra_state()
        shape = [self.arrays, self.inputs + self.bias_row, self.outputs]
        return state | {"design": self.fingerprint, "shape": shape, "name": self.name, "seeds": list(self.seeds)} if state else {}

    def set_extra_state(self, state: dict[str, Any]) -> None:
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

    def __getstate__(self) -> dict[str, Any]:
        """What is copied or sent to another process: arrays as bytes, since torch would let processes share them half."""
        arrays = {n: self.__dict__[n] for n in ("matrices", "rule_state") if n in self.__dict__}
        return {n: v for n, v in self.__dict__.items() if n not in arrays} | {"_constants": {}, "_arrays": pickle.dumps(arrays)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__({n: v for n, v in state.items() if n != "_arrays"} | pickle.loads(state["_arrays"]))

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        if not self.matrices:
            destination.pop(f"{prefix}_extra_state")
        for role, parameter in self._in_arrays().items():
            destination[prefix + role] = parameter if keep_vars else parameter.values()

    def _in_arrays(self) -> dict[str, AnalogParameter]:
        return {n: p for n, p in self._parameters.items() if isinstance(p, AnalogParameter)}

    def _load_from_state_dict(
        self, state_dict: Mapping[str, Any], prefix: str, local_metadata: Any, strict: bool, missing: Any, unexpected: Any, errors: Any
    ) -> None:
        """Arrays go on where they were saved; weights and biases of a digital layer are written into them."""
        extra, roles = f"{prefix}_extra_state", self._in_arrays()
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

    def _apply(self, fn: Any, recurse: bool = True) -> AnalogLayer:
        """Digital parameters follow `to`, `half` and the like; arrays stay float32 on the CPU, and refuse what this cannot stand for."""
        if self.matrices:
            moved = fn(torch.zeros(1))
            if moved.device.type != "cpu":
                raise InputError(f"{self.title} must stay on the CPU, where its arrays are simulated, got {moved.device}")
            if moved.dtype is torch.float64:
                raise InputError(f"{self.title} holds its states in float32 and cannot be made double; leave it so: its outputs have the input's dtype")
            return self
        return super()._apply(fn, recurse)


def _agree(one: list[tuple[Pass, float]], other: list[tuple[Pass, float]]) -> bool:
    return one is other or (len(one) == len(other) and all(a[0] is b[0] and a[1] == b[1] for a, b in zip(one, other, strict=True)))


def _different(rates: Mapping[Role, Any]) -> list[Any]:
    """Learning rates, each once."""
    kinds: list[Any] = []
    for lr in rates.values():
        if not any(lr is other or (not isinstance(lr, torch.Tensor) and not isinstance(other, torch.Tensor) and lr == other) for other in kinds):
            kinds.append(lr)
    return kinds
