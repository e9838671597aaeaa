"""Each layer equals torch's where devices are ideal: outputs, gradients at inputs and at weights, over random arguments."""

from __future__ import annotations

import inspect
import math

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

import aimco as ai
from aimco.nn.conv import Windows

IDEAL = ai.Design(device="ideal")
FEW = settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])


def draws(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def parts(layer: nn.Module) -> dict[str, torch.Tensor]:
    """Parameters of a layer of ours under torch's names, and their gradients beside them."""
    tensors: dict[str, torch.Tensor] = {}
    for name, p in layer.named_parameters():
        for what, value in (("", p.detach()), (" grad", p.grad)):
            if value is not None:
                tensors[name + what] = value + 0
    return tensors


def torch_names(layer: nn.Module, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Those of our matrices cut or joined as torch has them."""
    out = {}
    for name, value in tensors.items():
        what, _, grad = name.partition(" ")
        tail = f" {grad}" if grad else ""
        if isinstance(layer, ai.nn.MultiheadAttention) and what[0] in "qkv":
            continue
        if not isinstance(layer, ai.nn.RNN | ai.nn.LSTM | ai.nn.GRU):
            out[name] = value
            continue
        matrix, _, role = what.partition(".")
        if isinstance(layer, ai.nn.GRU):
            out[f"{role}_{matrix}{tail}"] = value
        elif role == "weight":
            split = value.shape[1] - layer.hidden_size
            out[f"weight_ih_{matrix}{tail}"], out[f"weight_hh_{matrix}{tail}"] = value[:, :split], value[:, split:]
        else:
            out[f"bias_ih_{matrix}{tail}"], out[f"bias_hh_{matrix}{tail}"] = value, value if tail else torch.zeros_like(value)
    if isinstance(layer, ai.nn.MultiheadAttention):
        for role in ("weight", "bias"):
            for tail in ("", " grad"):
                shares = [tensors.get(f"{k}_proj.{role}{tail}") for k in "qkv"]
                if shares[0] is not None and len({s.shape for s in shares}) == 1:
                    out[f"in_proj_{role}{tail}"] = torch.cat(shares)
                elif shares[0] is not None:
                    out |= {f"{k}_proj_{role}{tail}": s for k, s in zip("qkv", shares, strict=True)}
    return out


def agree(ours: nn.Module, twin: nn.Module, *inputs: torch.Tensor, call=lambda m, *x: m(*x), tolerance: float = 1e-4) -> None:
    """Copy our weights into the twin, and compare what both make of the inputs, and the gradients of the sum of squares."""
    parameters = dict(twin.named_parameters())
    with torch.no_grad():
        for name, value in torch_names(ours, parts(ours)).items():
            parameters[name].copy_(value)
    passes = []
    for model in (ours, twin):
        xs = [x.clone().requires_grad_() if x.is_floating_point() else x for x in inputs]
        y = call(model, *xs)
        flat = [t for t in flatten(y) if t is not None]
        sum(t.square().sum() for t in flat).backward()
        passes.append((flat, [x.grad for x in xs if x.requires_grad]))
    for mine, theirs in zip(*(m[0] for m in passes), strict=True):
        assert mine.shape == theirs.shape
        torch.testing.assert_close(mine, theirs, atol=tolerance, rtol=tolerance)
    for mine, theirs in zip(*(m[1] for m in passes), strict=True):
        torch.testing.assert_close(mine, theirs, atol=tolerance, rtol=10 * tolerance)
    gradients = {n[:-5]: g for n, g in torch_names(ours, parts(ours)).items() if n.endswith(" grad")}
    assert gradients.keys() == parameters.keys()
    for name, gradient in gradients.items():
        scale = float(parameters[name].grad.abs().max()) + 1
        torch.testing.assert_close(gradient / scale, parameters[name].grad / scale, atol=tolerance, rtol=tolerance)


def flatten(y) -> list[torch.Tensor]:
    return [t for part in y for t in flatten(part)] if isinstance(y, tuple) else [y]


@FEW
@given(
    inputs=st.integers(1, 9),
    outputs=st.integers(1, 9),
    bias=st.booleans(),
    lead=st.lists(st.integers(1, 4), max_size=3),
    seed=st.integers(0, 99),
)
def test_linear(inputs, outputs, bias, lead, seed):
    ours = ai.nn.Linear(inputs, outputs, bias, design=IDEAL, seed=seed)
    agree(ours, nn.Linear(inputs, outputs, bias), draws(seed, *lead, inputs))


@pytest.mark.filterwarnings("ignore:Using padding='same':UserWarning")
@pytest.mark.parametrize("axes", [1, 2, 3])
@FEW
@given(data=st.data())
def test_convolutions(axes, data):
    pick = data.draw
    groups = pick(st.sampled_from([1, 1, 2, 3]))
    channels, outputs = groups * pick(st.integers(1, 3)), groups * pick(st.integers(1, 3))
    size = st.one_of(st.integers(1, 3), st.tuples(*[st.integers(1, 3)] * axes))
    options = {"dilation": pick(size), "groups": groups, "bias": pick(st.booleans())}
    padding = pick(st.one_of(st.sampled_from(["same", "valid"]), st.integers(0, 2), st.tuples(*[st.integers(0, 2)] * axes)))
    options |= {"padding": padding, "padding_mode": pick(st.sampled_from(["zeros", "reflect", "replicate", "circular"]))}
    options |= {} if padding == "same" else {"stride": pick(size)}
    kernel, name = pick(size), f"Conv{axes}d"
    shape = (channels, *(pick(st.integers(7, 9)) for _ in range(axes)))
    batch = () if pick(st.booleans()) else (pick(st.integers(1, 3)),)
    ours = getattr(ai.nn, name)(channels, outputs, kernel, **options, design=IDEAL)
    agree(ours, getattr(nn, name)(channels, outputs, kernel, **options), draws(1, *batch, *shape))


@pytest.mark.parametrize(
    ("shape", "options"),
    [((2, 3, 9), ((3,), (2,), (1,))), ((2, 2, 6, 7), ((2, 3), (2, 1), (1, 2))), ((1, 2, 4, 5, 4), ((2, 2, 2), (1, 2, 1), (2, 1, 1)))],
)
def test_patches_of_images_have_gradients_and_gradients_of_these(shape, options):
    x = draws(4, *shape).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: Windows.apply(x, *options), x)
    assert torch.autograd.gradgradcheck(lambda x: Windows.apply(x, *options), x)


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
@FEW
@given(data=st.data())
def test_recurrent_layers(name, data):
    pick = data.draw
    inputs, hidden, steps, batch = (pick(st.integers(1, 4)) for _ in range(4))
    options = {n: pick(st.booleans()) for n in ("bias", "batch_first", "bidirectional")} | {"num_layers": pick(st.integers(1, 3))}
    options |= {"nonlinearity": pick(st.sampled_from(["tanh", "relu"]))} if name == "RNN" else {}
    ours = getattr(ai.nn, name)(inputs, hidden, **options, design=IDEAL)
    twin = getattr(nn, name)(inputs, hidden, **options)
    kind = pick(st.sampled_from(["batch", "states", "one", "packed"]))
    x = draws(2, *((batch, steps) if options["batch_first"] else (steps, batch)), inputs)
    first = [draws(3 + k, options["num_layers"] * (1 + options["bidirectional"]), batch, hidden) for k in range(1 + (name == "LSTM"))]
    if kind == "one":
        agree(ours, twin, draws(2, steps, inputs))
    elif kind == "packed":
        lengths = [pick(st.integers(1, steps)) for _ in range(batch)]

        def packed(model, x, *first):
            sequences = pack_padded_sequence(x, lengths, batch_first=options["batch_first"], enforce_sorted=False)
            y, last = model(sequences, first if len(first) > 1 else first[0])
            return y.data, last

        agree(ours, twin, x, *first, call=packed)
    else:
        given_states = first if kind == "states" else []
        agree(ours, twin, x, *given_states, call=lambda m, x, *s: m(x, (s if len(s) > 1 else s[0]) if s else None))


@FEW
@given(data=st.data())
def test_attention(data):
    pick = data.draw
    heads = pick(st.integers(1, 3))
    size, queries, keys, batch = heads * pick(st.integers(1, 3)), pick(st.integers(1, 4)), pick(st.integers(1, 4)), pick(st.integers(1, 3))
    options = {n: pick(st.booleans()) for n in ("bias", "add_zero_attn", "batch_first")}
    kdim, vdim = (pick(st.sampled_from([size, size + 1])) for _ in range(2))
    options |= {"kdim": kdim, "vdim": vdim} if (kdim, vdim) != (size, size) and not options["bias"] else {}
    kdim, vdim = options.get("kdim", size), options.get("vdim", size)
    ours = ai.nn.MultiheadAttention(size, heads, **options, design=IDEAL)
    axes = (lambda n: (batch, n)) if options["batch_first"] else (lambda n: (n, batch))
    inputs = [draws(k, *axes(n), features) for k, (n, features) in enumerate(((queries, size), (keys, kdim), (keys, vdim)))]
    masks = {"attn_mask": draws(5, queries, keys) if pick(st.booleans()) else None, "average_attn_weights": pick(st.booleans())}
    if pick(st.booleans()):
        hidden = torch.zeros(batch, keys, dtype=torch.bool)
        hidden[:, 1:] = draws(6, batch, keys - 1) > 0
        masks["key_padding_mask"] = torch.zeros(batch, keys).masked_fill(hidden, float("-inf"))
    agree(ours, nn.MultiheadAttention(size, heads, **options), *inputs, call=lambda m, *x: m(*x, **masks))


def test_an_embedding_on_request_equals_torch():
    with pytest.raises(ai.InputError, match="one_hot must be True"):
        ai.nn.Embedding(7, 3, design=IDEAL)
    ours, twin = ai.nn.Embedding(7, 3, one_hot=True, design=IDEAL), nn.Embedding(7, 3)
    twin.weight.data.copy_(ours.weight.detach().T)
    index = torch.tensor([[0, 6, 2], [2, 2, 1]])
    for model in (ours, twin):
        model(index).square().sum().backward()
    torch.testing.assert_close(ours(index), twin(index))
    torch.testing.assert_close(ours.weight.grad.T + 0, twin.weight.grad)


def test_embeddings_of_one_seed_are_not_alike():
    """As all layers: without a name, one seed gives each its own devices and weights."""
    first, second = (ai.nn.Embedding(7, 3, one_hot=True, design=IDEAL, seed=1) for _ in range(2))
    assert first.name != second.name and not torch.equal(first.weight + 0, second.weight + 0)


def arguments_of(name: str) -> list[str]:
    """Arguments of a constructor of ours in their order, those that it passes on included."""
    names = list(inspect.signature(getattr(ai.nn, name).__init__).parameters)[1:]
    if "args" in names:  # of RNN, whose first four come before those of all recurrent layers that are left
        names[names.index("args") :] = list(inspect.signature(ai.nn.LSTM.__init__).parameters)[4:]
    return names


@pytest.mark.parametrize("name", ["Linear", "Conv1d", "Conv2d", "Conv3d", "RNN", "LSTM", "GRU", "MultiheadAttention"])
def test_signatures_are_in_the_order_of_torch(name):
    theirs = list(inspect.signature(getattr(nn, name).__init__).parameters)[1:]
    if "args" in theirs:  # torch hides those of recurrent layers behind their base, and inserts one of RNN
        theirs = list(inspect.signature(nn.RNNBase.__init__).parameters)[2:]
        theirs[3:3] = ["nonlinearity"] if name == "RNN" else []
    assert arguments_of(name)[: len(theirs)] == theirs


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_arguments_by_position_mean_what_they_mean_in_torch(name):
    values = [4, 3, 2, *(["relu"] if name == "RNN" else []), False, True, 0.25, True]
    ours, twin = getattr(ai.nn, name)(*values, design=IDEAL), getattr(nn, name)(*values)
    attributes = ("input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional")
    for attribute in (*attributes, *(["nonlinearity"] if name == "RNN" else [])):
        assert getattr(ours, attribute) == getattr(twin, attribute), attribute


LAYERS = {
    "Linear": (4, 3),
    "Conv1d": (2, 3, 2),
    "Conv2d": (2, 3, 2),
    "Conv3d": (2, 3, 2),
    "RNN": (4, 3),
    "LSTM": (4, 3),
    "GRU": (4, 3),
    "MultiheadAttention": (4, 2),
    "Embedding": (4, 3),
}
NEVER = (1j, object(), int, b"a", slice(1), -(2**70), math.nan, math.inf, [None], (), {}, {1: 2}, torch.ones(3, 3), np.ones((3, 3)), [1.5])
NO_NUMBER = (True, False, "x", "", 1.5, torch.tensor(1.5), torch.tensor([1.0]), np.float32(1.5))
NO_COUNT = (*NO_NUMBER, -1, 2**25)
BAD = {
    "bias": (None, "x", 2, -1, 1.5),
    "dropout": (None, True, "x", 1.5, -0.1),
    "padding": (None, "full", -1, 1.5, (1, 1, 1, 1)),
    "padding_mode": (None, "wrap", 1, True),
    "nonlinearity": (None, "sigmoid", 1, True),
    "proj_size": (None, 2, "x", 1.5),
    "device": ("cuda", 0, 1.5),
    "dtype": (torch.float64, "float32", 1),
    "name": ("", 1, 1.5, True),
    "seed": (*NO_NUMBER, 2**64),
    "seeds": ("12", 3, {1, 2}, [True], torch.tensor(1), [2**64]),
    "one_hot": (None, False, 1, "x"),
    "design": (None, "ideal", 1, "rpu"),
    "num_heads": (*NO_COUNT, None, 0, 3),
    "kdim": (*NO_COUNT, 0),
    "vdim": (*NO_COUNT, 0),
    "groups": (*NO_COUNT, None, 0, 2),
}
BAD |= dict.fromkeys(("batch_first", "bidirectional", "add_bias_kv", "add_zero_attn"), BAD["bias"])
SIZES = (*NO_COUNT, None, 0)


@pytest.mark.parametrize("name", LAYERS)
def test_bad_arguments_are_refused_in_one_sentence(name):
    """Every argument of every constructor in turn, and what it cannot be: one InputError, which names it."""
    known = arguments_of(name)
    usual = dict(zip(known, LAYERS[name], strict=False)) | {"design": IDEAL} | ({"one_hot": True} if name == "Embedding" else {})
    getattr(ai.nn, name)(**usual)
    for argument in known:
        for value in (*BAD.get(argument, SIZES), *NEVER):
            with pytest.raises(ai.InputError) as refused:
                getattr(ai.nn, name)(**usual | {argument: value})
            message = str(refused.value)
            assert argument in message, (argument, value, message)
            assert "\n" not in message and len(message) < 300


@pytest.mark.parametrize("name", LAYERS)
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_bad_argument_is_refused_whatever_another_is(name, data):
    """Two arguments replaced by anything, of which one is bad: no error but ours, whatever the other is."""
    known, pick = arguments_of(name), data.draw
    usual = dict(zip(known, LAYERS[name], strict=False)) | {"design": IDEAL} | ({"one_hot": True} if name == "Embedding" else {})
    odd = st.one_of(st.none(), st.booleans(), st.integers(-3, 5), st.floats(), st.text(max_size=3), st.sampled_from(NEVER))
    bad, other = pick(st.sampled_from(known)), pick(st.sampled_from(known))
    wrong = {other: pick(odd), bad: pick(st.sampled_from((*BAD.get(bad, SIZES), *NEVER)))}
    with pytest.raises(ai.InputError) as refused:
        getattr(ai.nn, name)(**usual | wrong)
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 300


def test_seeds_may_come_from_a_generator():
    layer = ai.nn.Linear(4, 3, design=IDEAL, name="one", seeds=(seed for seed in (1, 2)))
    assert layer.seeds == (1, 2) and layer.weight.shape == (2, 3, 4)


def test_a_design_of_another_type_is_refused():
    with pytest.raises(ai.InputError, match=r"design must be an aimco\.Design"):
        ai.nn.Linear(4, 3, design="ideal")
    whole = ai.Design.of({"device": "ideal", "network": {"kind": "resistive"}, "rule": {"kind": "equilibrium"}})
    with pytest.raises(ai.InputError, match=r"rule\.kind must be a rule of layers, got equilibrium, which teaches another network"):
        ai.nn.Linear(4, 3, design=whole)
