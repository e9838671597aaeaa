"""Arrays that users bring, of any type and layout, checked once and made into `Data`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, Protocol, TypeGuard

import numpy as np
import torch

from aimco import rng
from aimco.data.data import Data, first
from aimco.data.goals import Classification, Goal, Regression
from aimco.record import InputError

GoalName = Literal["auto", "classification", "regression"]
_MOST_CLASSES = 10_000
_WHITE = 255  # of images of bytes


class _Listed(Protocol):
    """A torch Dataset, or whatever else has items by number."""

    def __getitem__(self, k: int, /) -> Any: ...

    def __len__(self) -> int: ...


def data_of(
    train: object,
    test: object = None,
    *,
    name: str = "data",
    goal: GoalName = "auto",
    test_fraction: float = 0.2,
    limit: int | None = None,
) -> Data:
    """Data of arrays, tensors or torch Datasets.

    Args:
        train: (x, y) with x (N, ...) and y (N, ...), a Dataset of such pairs, or ((x, y), (x, y)) of training and test.
        test: As `train`; a part of the training samples, drawn once for all, when absent.
        name: Of the data, in results.
        goal: "classification", y being labels, "regression", y being values; by the type of y when "auto".
        test_fraction: Of the samples that are kept for the test where there are no test samples, in 0..1.
        limit: Use only the first training samples.

    Raises:
        InputError: Anything that is no such pair; NaN, infinite or complex numbers; more or fewer labels than inputs; labels that are none.

    Example:
        >>> import numpy as np
        >>> x = np.arange(40.0).reshape(20, 2)
        >>> data_of((x, np.arange(20) % 2)).goal
        Classification(classes=2, labels=('0', '1'))
    """
    if test is None and isinstance(train, tuple | list) and len(train) == 2 and all(isinstance(p, tuple) and len(p) == 2 for p in train):
        train, test = train
    notes: list[str] = []
    x, y = _pair(train, name)
    x = _inputs(x, name, notes)
    _check_finite(y, name)
    if test is None:
        order = rng.permutation(0, "own split", 0, len(x))
        num_train = max(1, min(len(x) - 1, round(len(x) * (1 - test_fraction))))
        if len(x) < 2:
            raise InputError(f"{name}: x must hold at least 2 samples, one of them to test with, got {len(x)}")
        parts = [(x[order[:num_train]], y[order[:num_train]]), (x[order[num_train:]], y[order[num_train:]])]
    else:
        test_x, test_y = _pair(test, f"{name}: test")
        _check_finite(test_y, f"{name}: test")
        parts = [(x, y), (_inputs(test_x, f"{name}: test", notes), test_y)]
    shape = parts[0][0].shape[1:] or (1,)
    if parts[1][0].shape[1:] != parts[0][0].shape[1:]:
        raise InputError(f"{name}: test samples must have the shape of training samples, {shape}, got {parts[1][0].shape[1:]}")
    inputs = [torch.from_numpy(np.ascontiguousarray(a.reshape(len(a), -1))) for a, _ in parts]
    asked, targets = _targets([b for _, b in parts], goal, name, shape)
    n = first(limit, len(inputs[0]), name)
    data = Data(name, asked, inputs[0][:n], targets[0][:n], inputs[1], targets[1], tuple(shape), tuple(dict.fromkeys(notes)))
    return checked(data, name)


def checked(data: Data, place: str) -> Data:
    """The data, if they are what `Data` says.

    Raises:
        InputError: Samples of another shape, NaN, labels out of range, another number of labels than of samples.
    """
    for part, x, y in (("train", data.train_x, data.train_y), ("test", data.test_x, data.test_y)):
        _check_part(data, f"{place}: {part}", x, y)
    return data


def _check_part(data: Data, place: str, x: torch.Tensor, y: torch.Tensor) -> None:
    for name, tensor in (("x", x), ("y", y)):
        if not isinstance(tensor, torch.Tensor):
            raise InputError(f"{place}_{name} must be a tensor, got {type(tensor).__name__}; use torch.as_tensor")
    if x.dtype != torch.float32 or x.ndim != 2 or x.shape[1] != data.inputs:
        wanted = f"({'N'}, {data.inputs}) float32, as shape = {data.shape} says"
        raise InputError(f"{place}_x must be {wanted}, got {tuple(x.shape)} {str(x.dtype).removeprefix('torch.')}")
    if len(x) == 0:
        raise InputError(f"{place}_x must hold at least one sample, got none")
    if len(x) != len(y):
        raise InputError(f"{place}_y must be as many as there are samples, {len(x)}, got {len(y)}")
    if not bool(torch.isfinite(x).all()):
        raise InputError(f"{place}_x must be finite, got {_bad(x)}")
    if isinstance(data.goal, Classification):
        if y.dtype != torch.int64:
            raise InputError(f"{place}_y must be labels, int64, got {str(y.dtype).removeprefix('torch.')}")
        low, high = int(y.min()), int(y.max())
        if low < 0 or high >= data.goal.classes:
            raise InputError(f"{place}_y must be labels in 0..{data.goal.classes - 1}, got {low if low < 0 else high}")
    elif y.dtype != torch.float32 or y.ndim < 2 or y.shape[-1] != data.outputs:
        got = f"{tuple(y.shape)} {str(y.dtype).removeprefix('torch.')}"
        raise InputError(f"{place}_y must be (N, ..., {data.outputs}) float32, got {got}")
    elif not bool(torch.isfinite(y).all()):
        raise InputError(f"{place}_y must be finite, got {_bad(y)}")


def _bad(values: torch.Tensor) -> str:
    """The first number that is not finite, and where it is."""
    k = int((~torch.isfinite(values)).flatten(1).any(1).nonzero()[0])
    value = values[k][~torch.isfinite(values[k])].flatten()[0]
    return f"{float(value):g} in sample {k}"


def _pair(samples: object, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and targets as arrays."""
    if _is_dataset(samples):
        samples = _of_dataset(samples, name)
    if isinstance(samples, Mapping):
        samples = samples.get("x"), samples.get("y")
    if not isinstance(samples, tuple | list) or len(samples) != 2 or any(part is None for part in samples):
        raise InputError(f"{name} must be a pair (x, y), a torch Dataset or the name of a task, got {type(samples).__name__}")
    x, y = (_array(part, f"{name}: {letter}") for part, letter in zip(samples, "xy", strict=True))
    if x.ndim == 0 or y.ndim == 0 or len(x) != len(y):
        sizes = [len(part) if part.ndim else "a single number" for part in (x, y)]
        raise InputError(f"{name}: y must hold one target for each sample of x, {sizes[0]}, got {sizes[1]}")
    if len(x) == 0:
        raise InputError(f"{name}: x must hold at least one sample, got none")
    return x, y


def _is_dataset(samples: object) -> TypeGuard[_Listed]:
    """Whether samples have items by number and are no pair, table or array."""
    listed = hasattr(samples, "__getitem__") and hasattr(samples, "__len__")
    return listed and not isinstance(samples, tuple | list | Mapping | np.ndarray)


def _of_dataset(samples: _Listed, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and targets of a torch Dataset."""
    try:
        pairs = [samples[k] for k in range(len(samples))]
        x, y = zip(*((a, b) for a, b in pairs), strict=True)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: each item of the Dataset must be a pair (x, y), got {type(error).__name__}: {error}") from None
    return np.stack([np.asarray(a) for a in x]), np.stack([np.asarray(b) for b in y])


def _array(part: object, what: str) -> np.ndarray:
    """As a numpy array of numbers, truth values or texts."""
    try:
        array = part.detach().cpu().numpy() if isinstance(part, torch.Tensor) else np.asarray(part)
    except (TypeError, ValueError) as error:
        raise InputError(f"{what} must be an array of one shape, got {type(part).__name__} ({error})") from None
    if array.dtype.kind not in "biufUS":
        kind = "complex numbers" if array.dtype.kind == "c" else f"an array of {array.dtype}"
        raise InputError(f"{what} must be real numbers in an array of one shape, got {kind}")
    return array


def _check_finite(y: np.ndarray, name: str) -> None:
    """Refuse targets that are NaN or infinite."""
    if y.dtype.kind == "f":
        flat = torch.from_numpy(np.ascontiguousarray(y, np.float64).reshape(len(y), -1))
        if not bool(torch.isfinite(flat).all()):
            raise InputError(f"{name}: y must be finite, got {_bad(flat)}")


def _inputs(x: np.ndarray, name: str, notes: list[str]) -> np.ndarray:
    """Samples in float32."""
    if x.dtype.kind in "US":
        raise InputError(f"{name}: x must be numbers, got text, for example {str(x.flat[0])!r}")
    if x.dtype == np.uint8:
        notes.append(f"inputs of {name} are bytes and were divided by {_WHITE}")
        x = x.astype(np.float32) / np.float32(_WHITE)
    largest = np.abs(x, dtype=np.float64).max(initial=0.0)
    if math.isfinite(largest) and largest > np.finfo(np.float32).max:
        raise InputError(f"{name}: x must be at most {np.finfo(np.float32).max:.3g} in magnitude, got {largest:.3g}")
    numbers = np.ascontiguousarray(x, np.float32)
    flat = torch.from_numpy(numbers.reshape(len(x), -1))
    if not bool(torch.isfinite(flat).all()):
        raise InputError(f"{name}: x must be finite, got {_bad(flat)}")
    return numbers


def _targets(parts: list[np.ndarray], goal: GoalName, name: str, shape: tuple[int, ...]) -> tuple[Goal, list[torch.Tensor]]:
    """The goal, and the targets of training and test as tensors."""
    train = parts[0]
    whole = train.dtype.kind in "biuUS"
    if train.dtype.kind == "f":
        integral = all(bool((part == np.round(part)).all()) for part in parts)
        if goal == "auto" and integral and train.ndim == 1:
            raise InputError(
                f"{name}: y holds whole numbers as floats, for example {train.flat[0]:g}, which may be labels or values; "
                "set goal = 'classification' or 'regression', or store labels as integers"
            )
        if goal == "classification" and not integral:
            value = next(v for v in train.flat if v != round(v))
            raise InputError(f"{name}: y must be labels, whole numbers or texts, for goal = 'classification', got {value:g}")
    if goal == "classification" or (goal == "auto" and whole):
        return _labels(parts, name, shape)
    if train.dtype.kind in "US":
        raise InputError(f"{name}: y must be numbers for goal = 'regression', got text, for example {str(train.flat[0])!r}")
    shaped = [p[:, None] if p.ndim == 1 else p for p in parts]
    if shaped[0].shape[1:] != shaped[1].shape[1:]:
        raise InputError(f"{name}: test targets must have the shape of training targets, {shaped[0].shape[1:]}, got {shaped[1].shape[1:]}")
    tensors = [torch.from_numpy(np.ascontiguousarray(p, np.float32)) for p in shaped]
    return Regression(tensors[0].shape[-1]), tensors


def _labels(parts: list[np.ndarray], name: str, shape: tuple[int, ...]) -> tuple[Goal, list[torch.Tensor]]:
    """Classes, numbered in the order of their labels."""
    parts = [p[:, 0] if p.ndim == 2 and p.shape[1] == 1 else p for p in parts]
    steps = parts[0].shape[1:]
    if steps and steps != shape[:1]:
        hint = "; give the index of the 1 in each row" if set(np.unique(parts[0])) <= {0, 1} else ""
        raise InputError(f"{name}: y must hold one label for each sample, or for each of its {shape[0]} steps, got {steps} each{hint}")
    known, indices = np.unique(parts[0], return_inverse=True)
    if len(known) < 2:
        raise InputError(f"{name}: y must hold at least 2 labels, got only {known[0].item()!r}")
    if len(known) > _MOST_CLASSES or (len(known) > 20 and len(known) > len(parts[0]) / 2):
        few = f"{len(known)} labels in {len(parts[0])} samples"
        raise InputError(f"{name}: y must hold several samples of each label, got {few}; for values set goal = 'regression'")
    strange = np.setdiff1d(parts[1], known)
    if len(strange):
        raise InputError(f"{name}: test labels must be among those of training samples, got {strange[0]}")
    tensors = [
        torch.from_numpy(i.reshape(p.shape).astype(np.int64))
        for i, p in ((indices, parts[0]), (np.searchsorted(known, parts[1]), parts[1]))
    ]
    labels = tuple(str(int(k)) if known.dtype.kind == "f" else str(k) for k in known.tolist())
    return Classification(len(known), labels), tensors
