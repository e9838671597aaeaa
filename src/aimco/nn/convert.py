"""Ordinary torch models on arrays: their layers replaced by analog ones of the same weights, and the shapes of their matrices."""

from __future__ import annotations

import copy
import fnmatch
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypedDict, Unpack

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd
from torch.utils.hooks import RemovableHandle

from aimco.arrays.spec import Blueprint
from aimco.nn.analog import AnalogLayer
from aimco.nn.attention import MultiheadAttention
from aimco.nn.conv import Conv1d, Conv2d, Conv3d
from aimco.nn.linear import Linear
from aimco.nn.recurrent import GRU, LSTM, RNN
from aimco.record import InputError
from aimco.rng import keep_generators
from aimco.shapes import Shape

KINDS = "Linear, Conv1d to Conv3d, RNN, LSTM, GRU, MultiheadAttention"
_INPUTS = ("input", "query", "key", "value")  # arguments of layers that may be given by name
_ALONE = "layer"  # name of a model that is one layer
_TRACED = 2  # samples that shapes are found with
_GATES = {nn.RNN: 1, nn.LSTM: 4, nn.GRU: 3}

Inputs = Sequence[torch.Tensor]  # of a layer


class _Placement(TypedDict):
    """What an analog layer is made of beside torch's arguments."""

    design: Blueprint
    name: str
    seed: int


def _linear(m: nn.Linear, **placement: Unpack[_Placement]) -> nn.Module:
    return Linear(m.in_features, m.out_features, m.bias is not None, **placement)


def _conv(m: _ConvNd, **placement: Unpack[_Placement]) -> nn.Module:
    kind = {nn.Conv1d: Conv1d, nn.Conv2d: Conv2d, nn.Conv3d: Conv3d}[type(m)]
    sizes = (m.in_channels, m.out_channels, m.kernel_size, m.stride, m.padding, m.dilation, m.groups)
    return kind(*sizes, m.bias is not None, m.padding_mode, **placement)


def _recurrent(m: nn.RNNBase, **placement: Unpack[_Placement]) -> nn.Module:
    options = {n: getattr(m, n) for n in ("num_layers", "bias", "batch_first", "dropout", "bidirectional", "proj_size")}
    if isinstance(m, nn.RNN):
        return RNN(m.input_size, m.hidden_size, nonlinearity=m.nonlinearity, **options, **placement)
    return (LSTM if isinstance(m, nn.LSTM) else GRU)(m.input_size, m.hidden_size, **options, **placement)


def _attention(m: nn.MultiheadAttention, **placement: Unpack[_Placement]) -> nn.Module:
    return MultiheadAttention(
        m.embed_dim,
        m.num_heads,
        m.dropout,
        m.in_proj_bias is not None,
        m.bias_k is not None,
        m.add_zero_attn,
        m.kdim,
        m.vdim,
        m.batch_first,
        **placement,
    )


_MAKE: dict[type[nn.Module], Callable[..., nn.Module]] = {
    nn.Linear: _linear,
    nn.Conv1d: _conv,
    nn.Conv2d: _conv,
    nn.Conv3d: _conv,
    nn.RNN: _recurrent,
    nn.LSTM: _recurrent,
    nn.GRU: _recurrent,
    nn.MultiheadAttention: _attention,
}


def on_arrays(model: nn.Module, analog: Sequence[str] = ("*",)) -> dict[str, nn.Module]:
    """The layers of a model that can be put on arrays and that a pattern names, by their names.

    Args:
        model: An ordinary torch model.
        analog: Patterns of names, with * for any part.

    Raises:
        InputError: A pattern that names no such layer, or no layer at all.
    """
    able = {name: m for name, m in _layers(model)}
    if not able:
        raise InputError(f"the network has no layer that can be put on arrays; these are {KINDS}")
    for pattern in analog:
        if not fnmatch.filter(able, pattern):
            raise InputError(f"network.analog must name layers of the network, {', '.join(able)}, got {pattern!r}")
    return {name: m for name, m in able.items() if any(fnmatch.fnmatchcase(name, pattern) for pattern in analog)}


def _layers(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Layers by the first name that each has; of attention the whole, not its parts."""
    inside: set[int] = set()
    for name, m in model.named_modules():
        if type(m) in _MAKE and id(m) not in inside:
            inside |= {id(part) for part in m.modules()}
            yield name or _ALONE, m


def convert(
    model: nn.Module,
    design: Blueprint,
    *,
    analog: Sequence[str] = ("*",),
    designs: Mapping[str, Blueprint] | None = None,
    seed: int = 0,
) -> nn.Module:
    """A copy of a torch model whose layers are on arrays, which hold its weights as they are.

    Args:
        model: An ordinary torch model; it stays as it is.
        design: Of the layers.
        analog: Patterns of the names of the layers that are put on arrays; all that can be when absent.
        designs: Pattern -> design of the layers that it names, in place of `design`; the last that fits counts.
        seed: Of devices and noise.

    Raises:
        InputError: No such layer; weights that two layers share.

    Example:
        >>> import torch, aimco as ai
        >>> net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
        >>> type(ai.convert(net, ai.Design(device="ideal"))[0]).__module__
        'aimco.nn.linear'
    """
    chosen = on_arrays(model, analog)
    _check_shared(model, chosen)
    replaced: dict[int, nn.Module] = {}
    for name, layer in chosen.items():
        layer_design = design
        for pattern, other in (designs or {}).items():
            layer_design = other if fnmatch.fnmatchcase(name, pattern) else layer_design
        analog_layer = _MAKE[type(layer)](layer, design=layer_design, name=name, seed=seed)
        analog_layer.load_state_dict({n: t.detach().clone() for n, t in layer.state_dict().items()}, strict=False)
        _freeze(name, layer, analog_layer)
        replaced[id(layer)] = analog_layer.train(layer.training)
    if id(model) in replaced:
        return replaced[id(model)]
    return copy.deepcopy(model, dict(replaced))


def _freeze(name: str, layer: nn.Module, analog_layer: nn.Module) -> None:
    """Freeze in the analog layer what is frozen in the layer: weight and bias each, or a layer of several matrices as a whole.

    Raises:
        InputError: Some matrices of a recurrent or attention layer learn and others do not.
    """
    learn = {n: p.requires_grad for n, p in layer.named_parameters()}
    parameters = dict(analog_layer.named_parameters())
    if learn.keys() <= parameters.keys():
        for n, learns in learn.items():
            parameters[n].requires_grad_(learns)
    elif len(set(learn.values())) > 1:
        frozen = ", ".join(n for n, learns in learn.items() if not learns)
        raise InputError(f"layer {name} must learn as a whole or be frozen as a whole on arrays, got {frozen} frozen alone")
    else:
        analog_layer.requires_grad_(all(learn.values()))


def _check_shared(model: nn.Module, chosen: Mapping[str, nn.Module]) -> None:
    """Refuse weights on arrays that another layer has too: they would part."""
    owners: dict[int, str] = {id(p): name for name, m in chosen.items() for p in m.parameters()}
    inside = {id(m) for layer in chosen.values() for m in layer.modules()}
    for name, module in model.named_modules():
        if id(module) in inside:
            continue
        for p in module.parameters(recurse=False):
            if id(p) in owners:
                owner = owners[id(p)]
                raise InputError(f"layers {owner} and {name or 'model'} share a weight, which no array can; leave {owner} out of analog")
    seen: dict[int, str] = {}
    for name, layer in chosen.items():
        for p in layer.parameters():
            if seen.setdefault(id(p), name) != name and chosen[seen[id(p)]] is not layer:
                raise InputError(f"layers {seen[id(p)]} and {name} share a weight, which no array can; leave one out of network.analog")


def shapes_of(model: nn.Module, sample: Sequence[int], analog: Sequence[str] = ("*",)) -> list[Shape]:
    """The matrices of the layers that are put on arrays, in the order in which a sample reaches them.

    Args:
        model: An ordinary torch model.
        sample: Shape of one sample.
        analog: See `convert`.
    """
    model = copy.deepcopy(model).train()  # in training no layer takes a short cut around its parts
    chosen, calls = on_arrays(model, analog), []

    def traced(name: str, m: nn.Module) -> RemovableHandle:
        def hook(m: nn.Module, x: tuple[object, ...], named: dict[str, object], y: object) -> None:
            calls.extend(_SHAPES[type(m)](name, m, (*x, *(named[n] for n in _INPUTS if n in named)), y))

        return m.register_forward_hook(hook, with_kwargs=True)

    handles = [traced(name, m) for name, m in chosen.items()]
    try:
        with torch.enable_grad(), keep_generators():
            model(torch.zeros(_TRACED, *sample))
    finally:
        for handle in handles:
            handle.remove()
    shapes: dict[str, Shape] = {}
    for shape in calls:
        before = shapes.get(shape.name)
        if before is not None:
            shape = replace(shape, vectors=shape.vectors + before.vectors, back=(shape.back or 0) + (before.back or 0))
        shapes[shape.name] = shape
    return list(shapes.values())


def _back(x: Sequence[object], vectors: int) -> int:
    """Vectors of errors that are asked for at the inputs of a layer: all or none."""
    return vectors if any(t.requires_grad for t in x if isinstance(t, torch.Tensor)) else 0


def _of_linear(name: str, m: nn.Linear, x: Inputs, y: torch.Tensor) -> Iterator[Shape]:
    vectors = math.prod(y.shape[1:-1])
    yield Shape(name, m.in_features, m.out_features, vectors, 1, _back(x, vectors), m.bias is not None)


def _of_conv(name: str, m: _ConvNd, x: Inputs, y: torch.Tensor) -> Iterator[Shape]:
    rows = m.in_channels // m.groups * math.prod(m.kernel_size)
    vectors = math.prod(y.shape[2:])
    yield Shape(name, rows, m.out_channels // m.groups, vectors, m.groups, _back(x, vectors), m.bias is not None)


def _of_recurrent(name: str, m: nn.RNNBase, x: Inputs, y: object) -> Iterator[Shape]:
    steps = x[0].shape[1 if m.batch_first else 0] if x[0].ndim == 3 else x[0].shape[0]
    sides, outputs = 2 if m.bidirectional else 1, _GATES[type(m)] * m.hidden_size
    for layer in range(m.num_layers):
        inputs = m.input_size if layer == 0 else m.hidden_size * sides
        for end in [f"l{layer}", f"l{layer}_reverse"][:sides]:
            back = steps if layer else _back(x, steps)
            if isinstance(m, nn.GRU):
                yield Shape(f"{name}.ih_{end}", inputs, outputs, steps, 1, back, m.bias)
                yield Shape(f"{name}.hh_{end}", m.hidden_size, outputs, steps, 1, steps - 1, m.bias)
            else:  # the state before the first step asks for no error
                yield Shape(f"{name}.{end}", inputs + m.hidden_size, outputs, steps, 1, max(back, steps - 1), m.bias)


def _of_attention(name: str, m: nn.MultiheadAttention, x: Inputs, y: object) -> Iterator[Shape]:
    axis = 1 if m.batch_first else 0
    lengths = [t.shape[axis] if t.ndim == 3 else t.shape[0] for t in x[:3]]
    bias = m.in_proj_bias is not None
    for what, inputs, length in zip("qkv", (m.embed_dim, m.kdim, m.vdim), lengths, strict=True):
        yield Shape(f"{name}.{what}_proj", inputs, m.embed_dim, length, 1, _back(x, length), bias)
    yield Shape(f"{name}.out_proj", m.embed_dim, m.embed_dim, lengths[0], 1, lengths[0], bias)


_SHAPES: dict[type[nn.Module], Callable[..., Iterator[Shape]]] = {
    nn.Linear: _of_linear,
    nn.Conv1d: _of_conv,
    nn.Conv2d: _of_conv,
    nn.Conv3d: _of_conv,
    nn.RNN: _of_recurrent,
    nn.LSTM: _of_recurrent,
    nn.GRU: _of_recurrent,
    nn.MultiheadAttention: _of_attention,
}


def set_vectors(model: nn.Module, shapes: Sequence[Shape]) -> None:
    """Tell the analog layers of a converted model how many vectors a sample gives them."""
    known = {s.name: s.vectors for s in shapes}
    for name, m in model.named_modules():
        if isinstance(m, AnalogLayer) and (name or _ALONE) in known:
            m.vectors = known[name or _ALONE]
