"""The weights of an analog layer as torch Parameters, and the gradients that arrays learn from.

An `AnalogParameter` has the shape of torch's weight or bias and holds no numbers: reading it reads the arrays, writing it
writes and verifies. Its gradient, `OuterProducts`, keeps the vectors of each backward pass instead of their product, since
arrays are pulsed by vectors: dL/dW = sum x^T d. Autograd accumulates, optimizers drop and clipping scales it like any other
gradient, so what an optimizer step will pulse is always what `.grad` holds.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn, TypeVar

import numpy as np
import torch
from torch._ops import OpOverload
from torch.utils._pytree import tree_map_only

from aimco.nn.passes import Holder, Pass, Role
from aimco.record import InputError

aten = torch.ops.aten
_DETACH = aten.detach.default

Factor = torch.Tensor | float
T = TypeVar("T")


class InArrays(torch.Tensor):
    """A tensor whose numbers are elsewhere (abstract): operations on it are operations on what it stands for.

    Args:
        layer: whose weights it is about. role: the weight or the bias of the layer.
    """

    layer: Holder
    role: Role

    __torch_function__ = torch._C._disabled_torch_function_impl  # pyright: ignore[reportAssignmentType]

    @classmethod
    def __torch_dispatch__(
        cls, func: OpOverload, types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> object:
        if func is _DETACH and type(args[0]) is OuterProducts:  # of every gradient that is kept: the way must be short
            return args[0]  # shares what it holds, as what is detached does in torch
        return _dispatch(func, args, kwargs or {})

    def values(self) -> torch.Tensor:
        """Its numbers as a plain tensor."""
        raise NotImplementedError

    def numpy(self, *, force: bool = False) -> np.ndarray:
        return self.values().numpy(force=force)

    def tolist(self) -> list:
        return self.values().tolist()

    def __array__(self, *args: Any) -> np.ndarray:
        return self.values().__array__(*args)


class AnalogParameter(InArrays):
    """The weight or the bias of a layer, of which the numbers are in arrays; a `torch.nn.Parameter` to torch.

    Args:
        shape: as in torch, after the members of an ensemble. requires_grad: whether the layer learns.
    """

    holders: weakref.WeakSet[torch.optim.Optimizer]  # optimizers that teach it

    def __new__(cls, layer: Holder | None, role: Role, shape: tuple[int, ...], requires_grad: bool = True) -> AnalogParameter:
        parameter = torch.Tensor._make_wrapper_subclass(cls, shape, dtype=torch.float32, requires_grad=requires_grad)  # type: ignore[attr-defined]
        parameter.role, parameter.holders, parameter._is_param = role, weakref.WeakSet(), True
        if layer is not None:
            parameter.layer = layer
        return parameter

    def values(self) -> torch.Tensor:
        return self.layer.read_parameter(self.role)

    def write(self, values: torch.Tensor, only: torch.Tensor | None = None) -> None:
        """Write and verify in the arrays; the weights of a mask alone, all when absent."""
        self.layer.write_parameter(self.role, values.expand(self.shape).float(), only)

    def __deepcopy__(self, memo: dict[int, Any]) -> AnalogParameter:
        import copy

        if id(self) not in memo:
            memo[id(self)] = copied = AnalogParameter(None, self.role, tuple(self.shape), self.requires_grad)
            copied.layer = copy.deepcopy(self.layer, memo)
        return memo[id(self)]

    def __reduce_ex__(self, protocol: object) -> tuple:
        return AnalogParameter, (None, self.role, tuple(self.shape), self.requires_grad), {"layer": self.layer}

    def __setstate__(self, state: dict[str, Holder]) -> None:
        self.layer = state["layer"]

    def __repr__(self, **_: object) -> str:  # type: ignore[override]
        return f"{self.role} of {self.layer.title}, read from its arrays:\n{self.values()!r}"


class OuterProducts(InArrays):
    """Gradient of an `AnalogParameter`: the passes behind it, each times a number, and what was summed up of others.

    Args:
        passes: vectors of backward passes, and what each is multiplied by. rest: sum of what no optimizer will need the vectors of: where
            none holds the parameter, the vectors of one pass are kept, and of more their sum, in the memory that torch takes.
    """

    rest: torch.Tensor | None

    def __new__(
        cls, of: weakref.ref[Holder], role: Role, shape: tuple[int, ...], passes: list[tuple[Pass, float]], rest: torch.Tensor | None = None
    ) -> OuterProducts:
        products = torch.Tensor._make_wrapper_subclass(cls, shape, dtype=torch.float32)  # type: ignore[attr-defined]
        products.of, products.role, products.rest = of, role, rest
        products._entries, products._count = passes, len(passes)
        return products

    # A sum extends the list of its first term, which sees its own part alone: thousands of time steps add up in linear time.
    _entries: list[tuple[Pass, float]]
    _count: int

    @property
    def passes(self) -> list[tuple[Pass, float]]:
        """Vectors of backward passes, and what each is multiplied by."""
        return self._entries if self._count == len(self._entries) else self._entries[: self._count]

    of: weakref.ref[Holder]  # weak, since a layer holds its parameters and they their gradients

    @property
    def layer(self) -> Holder:
        layer = self.of()
        if layer is None:
            raise InputError("the gradient belongs to an analog layer that is gone; keep the layer while its gradients are used")
        return layer

    @property
    def held(self) -> bool:
        """Whether an optimizer teaches the parameter."""
        return bool(getattr(self.layer, self.role).holders)

    def like(self, passes: list[tuple[Pass, float]], rest: torch.Tensor | None) -> OuterProducts:
        """Another gradient of the same parameter."""
        return OuterProducts(self.of, self.role, self.shape, passes, rest)

    def values(self) -> torch.Tensor:
        total = torch.zeros(self.shape) if self.rest is None else self.rest.clone()
        for one, scale in self.passes:
            total.add_(self.layer.gradient_of(self.role, one), alpha=scale)
        return total

    def scaled(self, factor: float) -> tuple[list[tuple[Pass, float]], torch.Tensor | None]:
        """Passes and rest of this gradient times a number."""
        return [(one, scale * factor) for one, scale in self.passes], None if self.rest is None else self.rest * factor

    def plus(self, other: torch.Tensor, alpha: float = 1.0) -> tuple[list[tuple[Pass, float]], torch.Tensor | None]:
        """Passes and rest of the sum of this gradient and another."""
        if isinstance(other, OuterProducts):
            passes, rest = (other.passes, other.rest) if alpha == 1 else other.scaled(alpha)
        else:
            passes, rest = [], other * alpha
        total = rest if self.rest is None else self.rest if rest is None else self.rest + rest
        if (self._count or self.rest is not None) and not self.held:
            return [], self.like([*self.passes, *passes], total).values()
        if self._count < len(self._entries):
            return [*self.passes, *passes], total
        self._entries.extend(passes)
        return self._entries, total

    @property
    def finite(self) -> bool:
        """Whether no number is NaN or infinite."""
        if self.rest is not None and not self.rest.isfinite().all():
            return False
        return all([one.finite and math.isfinite(scale) for one, scale in self.passes])

    def agrees(self, other: OuterProducts) -> bool:
        """Whether another gradient is of the same passes at the same scales."""
        if self._count != other._count:
            return False
        if self._count == 1 and self._entries[0] is other._entries[0]:
            return True
        for mine, theirs in zip(self.passes, other.passes, strict=True):
            if mine is not theirs and (mine[0] is not theirs[0] or mine[1] != theirs[1]):
                return False
        return True

    def take(self, passes: list[tuple[Pass, float]], rest: torch.Tensor | None) -> OuterProducts:
        """Become another gradient, in place."""
        self._entries, self._count, self.rest = passes, len(passes), rest
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> OuterProducts:
        return memo.setdefault(id(self), self.like(self.passes, self.rest))

    def __repr__(self, **_: object) -> str:  # type: ignore[override]
        return f"gradient at the {self.role} of {self.layer.title}, of {len(self.passes)} backward passes:\n{self.values()!r}"


# What torch does to gradients and parameters. An operation says NotImplemented where it is not about these.


def _same(t: AnalogParameter | OuterProducts, **_: object) -> InArrays:
    if isinstance(t, OuterProducts):
        return t
    return AnalogParameter(t.layer, t.role, tuple(t.shape), False)


def _clone(t: InArrays, **_: object) -> InArrays:
    return t.like(t.passes, t.rest) if isinstance(t, OuterProducts) else NotImplemented


def _new(t: InArrays, size: Sequence[int], *_: object, **__: object) -> InArrays:
    return t.like([], None) if isinstance(t, OuterProducts) and tuple(size) == tuple(t.shape) else NotImplemented


def _add(a: object, b: object, alpha: float = 1) -> InArrays:
    return a.like(*a.plus(b, alpha)) if isinstance(a, OuterProducts) and isinstance(b, OuterProducts) else NotImplemented


def _add_(a: torch.Tensor, b: torch.Tensor, alpha: float = 1) -> InArrays:
    return a.take(*a.plus(b, alpha)) if isinstance(a, OuterProducts) else NotImplemented


def _number(value: torch.Tensor | float) -> float | None:
    """A number, also of a tensor of one."""
    if isinstance(value, torch.Tensor):
        return value.item() if value.numel() == 1 and not isinstance(value, InArrays) else None
    return value


def _mul(a: Factor, b: Factor) -> InArrays:
    a, b = (a, b) if isinstance(a, OuterProducts) else (b, a)
    factor = _number(b)
    return NotImplemented if factor is None or not isinstance(a, OuterProducts) else a.like(*a.scaled(factor))


def _mul_(a: torch.Tensor, b: Factor) -> InArrays:
    factor = _number(b)
    return NotImplemented if factor is None or not isinstance(a, OuterProducts) else a.take(*a.scaled(factor))


def _div_(a: torch.Tensor, b: Factor) -> InArrays:
    factor = _number(b)
    return NotImplemented if factor is None or not isinstance(a, OuterProducts) else a.take(*a.scaled(1 / factor))


def _zero_(t: InArrays) -> InArrays:
    return t.take([], None) if isinstance(t, OuterProducts) else NotImplemented


def _copy_(to: torch.Tensor, values: torch.Tensor, *_: object, **__: object) -> InArrays:
    if isinstance(to, OuterProducts):
        return to.take(*((values.passes, values.rest) if isinstance(values, OuterProducts) else ([], values.clone())))
    if isinstance(to, AnalogParameter) and not isinstance(values, OuterProducts):
        to.write(values.values() if isinstance(values, AnalogParameter) else values)
        return to
    return NotImplemented


def _unscale_(gradients: list[torch.Tensor], found_inf: torch.Tensor, inverse: torch.Tensor) -> None:
    """What a GradScaler does before a step: note what is not finite, and take its factor back."""
    plain = [g for g in gradients if not isinstance(g, OuterProducts)]
    if plain:
        aten._amp_foreach_non_finite_check_and_unscale_(plain, found_inf, inverse)
    for gradient in gradients:
        if isinstance(gradient, OuterProducts):
            if not gradient.finite:
                found_inf.fill_(1.0)
            gradient.take(*gradient.scaled(inverse.item()))


def _each(single: Callable[..., object]) -> Callable[..., None]:
    """An operation on lists as the operation on one after the other."""

    def operate(tensors: list[torch.Tensor], *args: object) -> None:
        for k, tensor in enumerate(tensors):
            single(tensor, *(a[k] if isinstance(a, list | tuple) else a for a in args))

    return operate


_OPERATIONS: dict[OpOverload, Callable[..., object]] = {
    aten.detach.default: _same,
    aten.alias.default: _same,
    aten.clone.default: _clone,
    aten.new_empty_strided.default: _new,
    aten.add.Tensor: _add,
    aten.add_.Tensor: _add_,
    aten.mul.Tensor: _mul,
    aten.mul_.Tensor: _mul_,
    aten.mul_.Scalar: _mul_,
    aten.div_.Tensor: _div_,
    aten.div_.Scalar: _div_,
    aten.zero_.default: _zero_,
    aten.copy_.default: _copy_,
    aten._amp_foreach_non_finite_check_and_unscale_.default: _unscale_,
    aten._foreach_mul_.Tensor: _each(aten.mul_.Tensor),
    aten._foreach_mul_.Scalar: _each(aten.mul_.Scalar),
    aten._foreach_zero_.default: _each(aten.zero_.default),
    aten._foreach_copy_.default: _each(aten.copy_.default),
    aten._foreach_lerp_.Scalar: _each(aten.lerp_.Scalar),
    aten._foreach_lerp_.List: _each(aten.lerp_.Tensor),
}

# Operations in place that a user means as writing: initialisation, averages of weights, clipping of weights.
_WRITES = {
    aten.zero_.default,
    aten.fill_.Scalar,
    aten.fill_.Tensor,
    aten.uniform_.default,
    aten.normal_.default,
    aten.lerp_.Scalar,
    aten.lerp_.Tensor,
    aten.clamp_.default,
}


def _dispatch(func: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> object:
    operation = _OPERATIONS.get(func)
    if operation is not None:
        result = operation(*args, **kwargs)
        if result is not NotImplemented:
            return result
    written = [t for t in _written(func, args, kwargs) if isinstance(t, torch.Tensor)]
    gradients = _all(OuterProducts, args, kwargs)
    if written and gradients:
        _refuse_gradient(gradients[0], func)
    parameters = [t for t in written if isinstance(t, AnalogParameter)]
    if not parameters:
        plain_args, plain_kwargs = tree_map_only(InArrays, lambda t: t.values(), (args, kwargs))
        return func(*plain_args, **plain_kwargs)
    if func not in _WRITES:
        _refuse_write(parameters[0], func)
    return _rewrite(func, args, kwargs)


def _rewrite(func: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> AnalogParameter:
    """Read, change and write back the weights that an operation changes."""
    parameter = args[0]
    before = parameter.values()
    plain = tree_map_only(InArrays, lambda t: t.values(), (args[1:], kwargs))
    after = func(before.clone(), *plain[0], **plain[1])
    parameter.write(after, after != before)
    return parameter


def _written(func: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[object]:
    """Arguments that an operation changes, lists of tensors in pieces."""
    for k, spec in enumerate(func._schema.arguments):
        if spec.alias_info is not None and spec.alias_info.is_write:
            value = args[k] if k < len(args) else kwargs.get(spec.name)
            yield from value if isinstance(value, list | tuple) else (value,)


def _all(kind: type[T], *nested: object) -> list[T]:
    matches: list[T] = []
    tree_map_only(kind, matches.append, nested)
    return matches


_IN_ARRAYS = "train it{where} by aimco.optim.InMemory, with digital=torch.optim.Adam, say, for the rest"


def _refuse_gradient(gradient: OuterProducts, func: OpOverload) -> NoReturn:
    why = f"is taught by the vectors behind its gradient, not by {_name(func)} of another optimizer or of parallel training"
    raise InputError(f"{gradient.layer.title} {why}; {_IN_ARRAYS.format(where=' in one process')}")


def _refuse_write(parameter: AnalogParameter, func: OpOverload) -> NoReturn:
    why = f"has its weights in arrays, which {_name(func)} cannot change"
    raise InputError(f"{parameter.layer.title} {why}; {_IN_ARRAYS.format(where='')}, or write weights by its set_weights")


def _name(func: OpOverload) -> str:
    return func._schema.name.split("::")[1]
