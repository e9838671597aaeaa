"""Doors: what public operations of arrays check of their arguments, before compiled kernels, which trust them, go by them.

Each returns the argument as the kernels take it: on the CPU, without gradients, contiguous, of their type. Numbers of other types are
converted where no value is lost but to rounding. `where` is the operation and `name` the argument, for the error.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol, get_args

import numpy as np
import torch

from aimco.device.device import Device
from aimco.ensemble import PerMember
from aimco.record import InputError

Shape = tuple[int, int, int]  # of an array: members, rows, columns
Lines = Literal["rows", "columns"]
ReferencePolicy = Literal["mid-range", "symmetry-point", "resting-point", "measured"]
_LARGEST = float(np.finfo(np.float32).max)
MOST_PULSES = 2**31 - 1  # what a 32-bit counter holds
_AXES = ("members", "rows", "columns")
_PLACE = {"rows": 1, "columns": 2}


class NotFinite(InputError):
    """An argument holds a number that is not finite.

    Args:
        where: The operation.
        what: The argument, what it must be and what it is.
    """

    def __init__(self, where: str, what: str) -> None:
        super().__init__(where, what)
        self.what = what

    def __str__(self) -> str:
        return f"{self.args[0]}: {self.what}"


class _Paired(Protocol):
    """An array whose devices make pairs with those of another."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def device(self) -> Device: ...


def vectors(where: str, name: str, t: object, shape: Shape, lines: Lines, batch: int | None = None) -> torch.Tensor:
    """Finite float32 vectors on the lines of an array, (E, B, lines).

    Args:
        where: The operation.
        name: The argument.
        t: What was given.
        shape: Of the array.
        lines: That the vectors drive.
        batch: How many there must be; any number when absent.
    """
    return finite(where, name, shaped(where, name, t, shape, lines, batch))


def shaped(where: str, name: str, t: object, shape: Shape, lines: Lines, batch: int | None = None) -> torch.Tensor:
    """`vectors` that may hold any number: a training loop reads and pulses often, and its loss tells of those that are not finite."""
    if isinstance(t, torch.Tensor) and t.ndim == 3:
        members, count, width = t.shape
        if members == shape[0] and width == shape[_PLACE[lines]] and (batch is None or count == batch):
            if t.dtype is torch.float32 and t.is_contiguous() and t.is_cpu and not t.requires_grad:
                return t
            return _tensor(where, name, t).float().contiguous()
    asked = f"({shape[0]}, {'any' if batch is None else batch}, {shape[_PLACE[lines]]})"
    raise InputError(f"{where}: {name} must have the shape (members, batch, {lines}) = {asked}, got {tuple(_tensor(where, name, t).shape)}")


def update(where: str, x: object, d: object, lr: object, shape: Shape) -> tuple[torch.Tensor, torch.Tensor, PerMember]:
    """Arguments of a rank-1 update: x (E, B, rows), d (E, B, columns), and the learning rate as `rates` gives it."""
    x = vectors(where, "x", x, shape, "rows")
    return x, vectors(where, "d", d, shape, "columns", x.shape[1]), rates(where, lr, shape[0], x.shape[1])


def shaped_update(where: str, x: object, d: object, lr: object, shape: Shape) -> tuple[torch.Tensor, torch.Tensor, PerMember]:
    """`update` with `shaped`; learning rates of each sample, (E, B), may be any numbers too."""
    x = shaped(where, "x", x, shape, "rows")
    d = shaped(where, "d", d, shape, "columns", x.shape[1])
    if isinstance(lr, np.ndarray) and lr.dtype == np.float64 and lr.shape == x.shape[:2]:
        return x, d, lr
    return x, d, rates(where, lr, shape[0], x.shape[1])


def either(where: str, x: object, shape: Shape, direction: str) -> torch.Tensor:
    """Vectors on the rows, or for "mvm_t" on the columns."""
    return vectors(where, "x", x, shape, "rows" if one_of(where, "direction", direction, ("mvm", "mvm_t")) == "mvm" else "columns")


def update_and_reads(
    where: str, x: object, d: object, lr: object, after: object, rows: object, shape: Shape
) -> tuple[torch.Tensor, torch.Tensor, np.ndarray, np.ndarray, np.ndarray]:
    """Arguments of an update with reads between its samples: `update`, lr as (E, B), and after which samples (T,) which rows are read."""
    x, d, lr = update(where, x, d, lr, shape)
    members, batch = x.shape[:2]
    if not isinstance(lr, np.ndarray) or lr.shape != (members, batch):
        lr = np.ascontiguousarray(np.broadcast_to(np.reshape(lr, (-1, 1)), (members, batch)), np.float64)
    after = indices(where, "after", after, batch, in_order=True)
    return x, d, lr, after, indices(where, "rows", rows, shape[1], count=len(after))


def rows_of_pulses(where: str, rows: object, t: object, shape: Shape) -> tuple[np.ndarray, torch.Tensor]:
    """Rows (T,) and the pulses of their devices, (E, T, columns)."""
    rows = indices(where, "rows", rows, shape[1])
    return rows, pulses(where, "pulses", t, (shape[0], len(rows), shape[2]), ("members", "lines", "columns"))


def reference(where: str, to: object, row: object, members: object, shape: Shape) -> tuple[torch.Tensor, int | None, torch.Tensor | None]:
    """What references are to be, of all devices or of one row, and of which members."""
    row = None if row is None else index(where, "row", row, shape[1])
    axes = _AXES if row is None else ("members", "columns")
    to = values(where, "to", to, shape if row is None else (shape[0], shape[2]), axes)
    return to, row, None if members is None else mask(where, "members", members, shape[:1], ("members",))


def writes(where: str, target: object, only: object, shape: Shape) -> tuple[torch.Tensor, torch.Tensor | None]:
    """What devices are to be written to, and which of them."""
    return values(where, "target", target, shape), None if only is None else mask(where, "only", only, shape)


def finite(where: str, name: str, t: torch.Tensor) -> torch.Tensor:
    """A tensor of finite numbers; the sum tells, but for sums that are beyond the range themselves."""
    if not math.isfinite(t.sum().item()) and not bool(torch.isfinite(t).all()):
        raise NotFinite(where, f"{name} must be finite, got {_first(t.detach().double().numpy(), np.isfinite)}")
    return t


def rates(where: str, lr: object, members: int, batch: int) -> PerMember:
    """Learning rates, finite and at least 0: a float, or float64 (E,) or (E, B). A step the other way is one of -d."""
    number = lr[0] if isinstance(lr, np.ndarray) and lr.dtype == np.float64 and lr.shape == (members,) == (1,) else lr
    if isinstance(number, float) and 0 <= number < math.inf:
        return lr if isinstance(lr, np.ndarray) else number
    given = _numbers(where, "lr", lr)
    if given.shape != (members, batch):
        if given.size not in (1, members) or (given.ndim == 2 and given.shape[0] not in (1, members)):
            asked = f"(members,) = ({members},), or (members, batch) = ({members}, {batch})"
            raise InputError(f"{where}: lr must be a number or have the shape {asked}, got {given.shape}")
        given = given.reshape(-1)
    _at_least_zero(where, "lr", given)
    return np.ascontiguousarray(given) if given.size > 1 or given.ndim == 2 else float(given[0])


def sides(where: str, polarity: object) -> int:
    """Which pulses of an update are sent: -1, 0 or 1."""
    if polarity not in (-1, 0, 1):
        raise InputError(f"{where}: polarity must be -1, 0 or 1, got {polarity!r}")
    return int(polarity)


def one_of(where: str, name: str, value: Any, known: tuple[str, ...]) -> str:
    """A word of those that are known."""
    if value not in known:
        raise InputError(f"{where}: {name} must be {' or '.join(known)}, got {value!r}")
    return value


def index(where: str, name: str, k: object, below: int) -> int:
    """A place, 0 .. below - 1."""
    if type(k) is not int:
        k = whole(where, name, k, 0, below - 1)
    if not 0 <= k < below:
        raise InputError(f"{where}: {name} must be in 0..{below - 1}, got {k}")
    return k


def indices(where: str, name: str, places: object, below: int, *, count: int | None = None, in_order: bool = False) -> np.ndarray:
    """Places, 0 .. below - 1, (T,) int64; `in_order`: none before the one that it follows."""
    try:
        positions = np.asarray(places)
    except (TypeError, ValueError, RuntimeError):
        raise InputError(f"{where}: {name} must be whole numbers, got {type(places).__name__}") from None
    if positions.dtype.kind not in "iu" and positions.size:
        raise InputError(f"{where}: {name} must be whole numbers, got {positions.dtype}")
    if positions.ndim != 1 or (count is not None and len(positions) != count):
        raise InputError(f"{where}: {name} must be ({'any' if count is None else count},) whole numbers, got the shape {positions.shape}")
    if positions.size and not (positions.min() >= 0 and positions.max() < below):
        raise InputError(f"{where}: {name} must be in 0..{below - 1}, got {positions.min()}..{positions.max()}")
    if in_order and (np.diff(positions.astype(np.int64)) < 0).any():
        raise InputError(f"{where}: {name} must not fall from one to the next, got {positions.tolist()[:8]}")
    return np.ascontiguousarray(positions, np.int64)


def pulses(
    where: str, name: str, t: object, shape: tuple[int, ...], axes: tuple[str, ...] = _AXES, *, expands: bool = False
) -> torch.Tensor:
    """Numbers of pulses, whole and within the reach of their counters, int32 of this shape, or expanded to it where that is allowed."""
    t = _tensor(where, name, t)
    if t.dtype.is_floating_point and not bool((torch.isfinite(t) & (t == t.round())).all()):
        raise InputError(
            f"{where}: {name} must be whole numbers, got {_first(t.double().numpy(), lambda v: np.isfinite(v) & (v == np.round(v)))}"
        )
    if t.numel():
        low, high = (v.item() for v in torch.aminmax(t))
        if low < -MOST_PULSES or high > MOST_PULSES:
            raise InputError(f"{where}: {name} must be in -{MOST_PULSES}..{MOST_PULSES}, got {low:g}..{high:g}")
    if not expands and tuple(t.shape) != shape:
        raise InputError(f"{where}: {name} must have the shape ({', '.join(axes)}) = {shape}, got {tuple(t.shape)}")
    return _expanded(where, name, t, shape, axes).to(torch.int32).contiguous()


def values(where: str, name: str, t: object, shape: tuple[int, ...], axes: tuple[str, ...] = _AXES) -> torch.Tensor:
    """Finite numbers for every device, of this shape or expanded to it; float64 stays."""
    t = _expanded(where, name, _tensor(where, name, t), shape, axes)
    t = t if t.dtype in (torch.float32, torch.float64) else t.float()
    finite(where, name, t)
    if t.dtype is torch.float64 and t.numel() and float(t.abs().max()) > _LARGEST:
        raise InputError(f"{where}: {name} must be within +-{_LARGEST:.3g}, what single precision holds, got {float(t.abs().max()):g}")
    return t


def matrix(where: str, name: str, t: object, columns: int | None = None) -> torch.Tensor:
    """Finite numbers, float64: vectors (B, columns), or any (rows, columns)."""
    t = _tensor(where, name, t).double()
    if t.ndim != 2 or t.shape[1] != (columns or t.shape[1]):
        raise InputError(
            f"{where}: {name} must have the shape ({f'vectors, {columns}' if columns else 'rows, columns'}), got {tuple(t.shape)}"
        )
    return finite(where, name, t)


def conductances(where: str, t: object, shape: tuple[int, ...] | None = None) -> torch.Tensor:
    """Finite conductances of at least 0 S, float64, (layers, rows, columns) of this shape, or any matrix."""
    t = _tensor(where, "conductances", t).double()
    if t.ndim != 2 or not t.numel() if shape is None else tuple(t.shape) != shape:
        asked = "(rows, columns), at least one of each" if shape is None else f"(layers, rows, columns) = {shape}"
        raise InputError(f"{where}: conductances must have the shape {asked}, got {tuple(t.shape)}")
    _at_least_zero(where, "conductances", t.numpy(), " S")
    return t


def mask(where: str, name: str, t: object, shape: tuple[int, ...], axes: tuple[str, ...] = _AXES) -> torch.Tensor:
    """Devices that are meant, bool, of this shape or expanded to it."""
    if not isinstance(t, torch.Tensor) or t.dtype is not torch.bool:
        got = t.dtype if isinstance(t, torch.Tensor) else type(t).__name__
        raise InputError(f"{where}: {name} must be a tensor of bool, got {got}")
    return _expanded(where, name, _tensor(where, name, t, flags=True), shape, axes)


def whole(where: str, name: str, n: object, low: int, high: int = MOST_PULSES) -> int:
    """A whole number in low..high."""
    number = n.item() if isinstance(n, np.generic) else n
    if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number) or number != int(number):
        raise InputError(f"{where}: {name} must be a whole number, got {n!r}")
    if not low <= number <= high:
        raise InputError(f"{where}: {name} must be in {low}..{high}, got {number:g}")
    return int(number)


def above_zero(where: str, name: str, v: object) -> float:
    """A finite number above 0."""
    if isinstance(v, bool) or not isinstance(v, int | float | np.number) or not (math.isfinite(v) and v > 0):
        raise InputError(f"{where}: {name} must be finite and above 0, got {v!r}")
    return float(v)


def seconds(where: str, time: object, members: int) -> PerMember:
    """A time, s, finite and at least 0: a float, or (E,) float64."""
    if type(time) is not float:
        time = _numbers(where, "seconds", time)
        if time.shape not in ((), (members,)):
            raise InputError(f"{where}: seconds must be a number or have the shape (members,) = ({members},), got {time.shape}")
        time = time if time.ndim else float(time)
    _at_least_zero(where, "seconds", np.asarray(time))
    return time


def size_and_seeds(where: str, rows: object, columns: object, seeds: object) -> tuple[int, int, tuple[int, ...]]:
    """Size of an array, and its seeds, one for each member."""
    rows, columns = (whole(where, name, size, 1) for name, size in (("rows", rows), ("columns", columns)))
    if not isinstance(seeds, Sequence | np.ndarray) or isinstance(seeds, str) or len(seeds) == 0:
        raise InputError(f"{where}: seeds must be whole numbers, one for each ensemble member, got {seeds!r}")
    return rows, columns, tuple(whole(where, "seeds", seed, -(2**63), 2**64 - 1) for seed in seeds)


def measured(where: str, policy: object, error: PerMember, members: int) -> None:
    """What states are measured against, and how badly that is known; mid-range is known exactly."""
    one_of(where, "reference", policy, get_args(ReferencePolicy))
    off = _numbers(where, "reference_error", error)
    if off.shape not in ((), (members,)):
        raise InputError(f"{where}: reference_error must be a number or one for each of {members} members, got the shape {off.shape}")
    _at_least_zero(where, "reference_error", off)
    if policy == "mid-range" and off.any():
        raise InputError(f"{where}: reference_error must be 0 for the reference mid-range, which is known exactly, got {error}")


def same_kind(where: str, array: _Paired, other: object) -> None:
    """Two arrays whose devices make pairs."""
    if not isinstance(other, type(array)):
        raise InputError(f"{where}: other must be a {type(array).__name__}, got {type(other).__name__}")
    if other.shape != array.shape:
        raise InputError(f"{where}: other must have the shape {array.shape}, got {other.shape}")
    if other.device != array.device:
        raise InputError(f"{where}: other must be of the same device, {array.device.name}, got {other.device.name}")


def flag(where: str, name: str, value: object) -> bool:
    """True or False."""
    if not isinstance(value, bool | np.bool_):
        raise InputError(f"{where}: {name} must be True or False, got {value!r}")
    return bool(value)


def alike(where: str, current: Mapping[str, torch.Tensor], saved: Mapping[str, torch.Tensor]) -> None:
    """Tensors of a checkpoint that belong to this array, by names and shapes."""
    for name in sorted(current.keys() | saved.keys()):
        ours, theirs = (tuple(t[name].shape) if name in t else None for t in (current, saved))
        if ours != theirs:
            raise InputError(f"{where}: the checkpoint must be of the same design: {name} has the shape {theirs}, not {ours}")


def _at_least_zero(where: str, name: str, given: np.ndarray, unit: str = "") -> None:
    right = np.isfinite(given) & (given >= 0)
    if not right.all():
        problem = f"{name} must be finite and at least 0{unit}, got {given[~right].flat[0]:g}{unit}"
        raise InputError(f"{where}: {problem}") if np.isfinite(given).all() else NotFinite(where, problem)


def _numbers(where: str, name: str, value: object) -> np.ndarray:
    """Numbers of any shape, float64."""
    if isinstance(value, torch.Tensor):
        value = value.detach()
    try:
        numbers = np.asarray(value)
    except (TypeError, ValueError, RuntimeError):
        numbers = np.empty(0, object)
    if numbers.dtype.kind not in "fiu":
        raise InputError(
            f"{where}: {name} must be a number, or an array of them, got {value if isinstance(value, str) else type(value).__name__}"
        )
    return numbers.astype(np.float64, copy=False)


def _tensor(where: str, name: str, t: object, flags: bool = False) -> torch.Tensor:
    """A dense tensor of real numbers on the CPU, without its gradient."""
    if not isinstance(t, torch.Tensor):
        raise InputError(f"{where}: {name} must be a tensor, got {type(t).__name__}")
    if not t.is_cpu or t.layout is not torch.strided or t.is_quantized:
        raise InputError(f"{where}: {name} must be a dense tensor on the CPU, got one of {t.layout} on {t.device}")
    if t.is_complex() or (t.dtype is torch.bool and not flags):
        raise InputError(f"{where}: {name} must hold real numbers, got {t.dtype}")
    return t.detach() if t.requires_grad else t


def _expanded(where: str, name: str, t: torch.Tensor, shape: tuple[int, ...], axes: tuple[str, ...]) -> torch.Tensor:
    sizes = (1,) * (len(shape) - t.ndim) + tuple(t.shape)
    if len(sizes) != len(shape) or any(a not in (1, b) for a, b in zip(sizes, shape, strict=True)):
        raise InputError(f"{where}: {name} must have the shape ({', '.join(axes)}) = {shape}, or expand to it, got {tuple(t.shape)}")
    return t.expand(shape)


def _first(given: np.ndarray, right: Callable[[np.ndarray], np.ndarray]) -> str:
    """The first number that is not right."""
    return f"{np.atleast_1d(given)[~np.atleast_1d(right(given))].flat[0]:g}"
