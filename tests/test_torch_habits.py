"""What torch teaches its users holds for analog layers: what is pending is what a Parameter's `.grad` would hold."""

from __future__ import annotations

import copy
import functools
import io
import math
import pickle

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

import aimco as ai

IDEAL = ai.Design(device="ideal")
NOISY = ai.Design.of({"device": "soft-bounds", "periphery": {"output_noise": 1e-10, "dac": {"bits": 7.0}}})
X, Y = torch.randn(8, 6, generator=torch.Generator().manual_seed(5)), torch.arange(8) % 3


def network(design: ai.Design = IDEAL, seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(ai.nn.Linear(6, 5, design=design), nn.Tanh(), ai.nn.Linear(5, 3, design=design))


def twin_of(model: nn.Module) -> nn.Sequential:
    twin = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))
    twin.load_state_dict({k: v for k, v in model.state_dict().items() if "_extra_state" not in k})
    return twin


def optimizer_of(model: nn.Module, **options) -> ai.optim.InMemory:
    return ai.optim.InMemory(model.parameters(), **{"lr": 0.1} | options)


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int = 3) -> torch.Tensor:
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(model(X), Y).backward()
        optimizer.step()
    return weights(model)


def weights(model: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def same_gradients(model: nn.Module, twin: nn.Module) -> None:
    for mine, theirs in zip(model.parameters(), twin.parameters(), strict=True):
        wanted = torch.zeros(theirs.shape) if theirs.grad is None else theirs.grad
        torch.testing.assert_close(torch.zeros(mine.shape) if mine.grad is None else mine.grad + 0, wanted, atol=1e-5, rtol=1e-4)


# copies


def saved(model: nn.Module) -> nn.Module:
    buffer = io.BytesIO()
    torch.save(model, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=False)


def loaded(model: nn.Module) -> nn.Module:
    buffer = io.BytesIO()
    torch.save(model.state_dict(), buffer)
    buffer.seek(0)
    other = network(NOISY, seed=7)  # of other seeds: those that were saved come with the arrays
    other.load_state_dict(torch.load(buffer))
    return other


@pytest.mark.parametrize("way", [saved, loaded, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_a_copy_goes_on_bit_for_bit(way):
    model = network(NOISY)
    optimizer = optimizer_of(model)
    train(model, optimizer)
    other = way(model)
    before = weights(other)
    expected = train(model, optimizer)
    assert torch.equal(before, weights(other))
    assert torch.equal(train(other, optimizer_of(other)), expected)
    assert not torch.equal(before, expected)


@pytest.mark.parametrize("way", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))])
def test_a_model_and_its_optimizer_are_copied_together(way):
    model = network(NOISY)
    optimizer = optimizer_of(model, digital=torch.optim.Adam)
    train(model, optimizer)
    other, its = way((model, optimizer))
    assert torch.equal(train(model, optimizer), train(other, its))


def learn_elsewhere(model: nn.Module, answers) -> None:
    torch.set_num_threads(1)
    answers.put(train(model, optimizer_of(model)).tolist())


def test_another_process_gets_arrays_of_its_own():
    model = network(NOISY)
    optimizer = optimizer_of(model)
    train(model, optimizer)
    context = torch.multiprocessing.get_context("spawn")
    answers = context.SimpleQueue()
    process = context.Process(target=learn_elsewhere, args=(model, answers))
    process.start()
    their_weights = torch.tensor(answers.get())
    process.join()
    assert torch.equal(their_weights, train(model, optimizer))


# optimizers of torch

OPTIMIZERS = {
    "SGD": functools.partial(torch.optim.SGD, lr=0.1),
    "momentum": functools.partial(torch.optim.SGD, lr=0.1, momentum=0.9, weight_decay=1e-3),
    "foreach": functools.partial(torch.optim.SGD, lr=0.1, foreach=True),
} | {n: getattr(torch.optim, n) for n in ("Adam", "AdamW", "RMSprop", "Adagrad", "Adadelta", "NAdam", "RAdam", "Adamax", "ASGD", "Rprop")}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_another_optimizer_is_refused_in_its_first_step(name):
    model = network()
    optimizer = OPTIMIZERS[name](model.parameters())
    before = weights(model)
    F.cross_entropy(model(X), Y).backward()
    with pytest.raises(ai.InputError, match=r"the layer Linear\(6, 5\) named 'linear'.*aimco\.optim\.InMemory"):
        optimizer.step()
    assert torch.equal(weights(model), before)


def test_vectors_are_not_gathered_for_layers_that_no_optimizer_holds():
    model = network()
    twin = twin_of(model)
    for _ in range(101):
        for one in (model, twin):
            F.cross_entropy(one(X), Y).backward()
    assert all(not p.grad.passes for p in model.parameters())
    same_gradients(model, twin)
    model.zero_grad()
    F.cross_entropy(model(X), Y).backward()
    optimizer, before = optimizer_of(model), weights(model)  # made after the one pass, as in torch
    optimizer.step()
    assert not torch.equal(weights(model), before)


# freezing


def test_requires_grad_false_freezes():
    model = network()
    model[0].requires_grad_(False)
    model[2].bias.requires_grad_(False)
    optimizer, before = optimizer_of(model), [p.detach() + 0 for p in model.parameters()]
    train(model, optimizer)
    moved = [not torch.equal(p.detach() + 0, b) for p, b in zip(model.parameters(), before, strict=True)]
    assert moved == [False, False, True, False]


def test_what_is_left_out_of_the_optimizer_is_frozen():
    model = network()
    optimizer, before = ai.optim.InMemory([model[2].bias], lr=0.1), [p.detach() + 0 for p in model.parameters()]
    train(model, optimizer)
    moved = [not torch.equal(p.detach() + 0, b) for p, b in zip(model.parameters(), before, strict=True)]
    assert moved == [False, False, False, True]


# what is pending


def test_a_gradient_at_the_inputs_alone_is_no_update():
    model = network()
    optimizer, x = optimizer_of(model), X.clone().requires_grad_()
    torch.autograd.grad(model(x).sum(), x)
    assert all(p.grad is None for p in model.parameters())
    before = weights(model)
    optimizer.step()
    assert torch.equal(weights(model), before)


@pytest.mark.parametrize("dropped_by", ["model", "optimizer", "zeros", "another optimizer", "None"])
def test_any_zero_grad_drops_it(dropped_by):
    model = network()
    optimizer, before = optimizer_of(model), weights(model)
    F.cross_entropy(model(X), Y).backward()
    if dropped_by == "None":
        for p in model.parameters():
            p.grad = None
    else:
        holder = {"model": model, "another optimizer": torch.optim.SGD(model.parameters(), lr=0.1)}.get(dropped_by, optimizer)
        holder.zero_grad(**{"set_to_none": False} if dropped_by == "zeros" else {})
    optimizer.step()
    assert torch.equal(weights(model), before)


def test_backward_accumulates():
    model = network()
    twin, _ = twin_of(model), optimizer_of(model)
    for k in range(3):
        for one in (model, twin):
            F.cross_entropy(one(X[k:]), Y[k:]).backward()
    same_gradients(model, twin)
    assert len(model[0].weight.grad.passes) == 3


def test_thousands_of_passes_are_one_update():
    model = ai.nn.Linear(2, 2, design=IDEAL)
    optimizer, x = optimizer_of(model, lr=2e-5), torch.ones(1, 2)
    for _ in range(5000):
        model(x).sum().backward()
    assert len(model.weight.grad.passes) == 5000
    before = weights(model)
    optimizer.step()
    assert torch.allclose(weights(model) - before, torch.full((6,), -0.1), atol=0.05)


def test_sums_of_gradients_leave_their_terms_alone():
    """Terms share one list of passes; each still sees its own part, whatever is added to the others."""
    layer = ai.nn.Linear(2, 2, design=IDEAL)
    _, terms = optimizer_of(layer), []
    for k in range(3):
        layer.zero_grad()
        (layer(torch.ones(1, 2)).sum() * (k + 1)).backward()
        terms.append(layer.weight.grad)
    one, two, three = terms
    both = one + two
    others = [both + three, both + both, one + three, both * 2.0]
    assert [t.passes.__len__() for t in (one, two, both, *others)] == [1, 1, 2, 3, 4, 2, 2]
    for sum_, size in zip((one, two, both, *others), (1, 2, 3, 6, 6, 4, 6), strict=True):
        torch.testing.assert_close(sum_ + torch.zeros(2, 2), torch.full((2, 2), float(size)))


def test_a_gradient_of_a_gradient_is_that_of_torch():
    model = network()
    twin, _ = twin_of(model), optimizer_of(model)
    for one in (model, twin):
        x = X.clone().requires_grad_()
        (slope,) = torch.autograd.grad(one(x).sum(), x, create_graph=True)
        ((slope.norm(dim=1) - 1) ** 2).mean().backward()
    same_gradients(model, twin)


@pytest.mark.parametrize("reentrant", [False, True])
def test_activation_checkpointing_leaves_the_same_gradient(reentrant):
    model = network()
    twin, _ = twin_of(model), optimizer_of(model)
    F.cross_entropy(checkpoint(model, X.clone().requires_grad_(), use_reentrant=reentrant), Y).backward()
    F.cross_entropy(twin(X), Y).backward()
    same_gradients(model, twin)
    assert len(model[0].weight.grad.passes) == 1


def test_evaluation_mode_does_not_stop_gradients():
    model = network().eval()
    twin = twin_of(model)
    for one in (model, twin):
        F.cross_entropy(one(X), Y).backward()
    same_gradients(model, twin)


# scales and number types


@pytest.mark.parametrize("foreach", [None, True])
def test_clipping_acts_on_the_update(foreach):
    model = network()
    twin, optimizer = twin_of(model), optimizer_of(model)
    norms = []
    for one in (model, twin):
        (100 * F.cross_entropy(one(X), Y)).backward()
        norms.append(nn.utils.clip_grad_norm_(one.parameters(), 0.1, foreach=foreach if one is model else None))
    torch.testing.assert_close(*norms)
    same_gradients(model, twin)
    before = weights(model)
    optimizer.step()
    assert (weights(model) - before).norm() < 0.2


def test_a_gradient_scaler_takes_its_factor_back_and_skips_what_overflows():
    model = network()
    optimizer, scaler = optimizer_of(model), torch.amp.GradScaler("cpu", init_scale=1024.0)
    scaler.scale(F.cross_entropy(model(X), Y)).backward()
    scaler.unscale_(optimizer)
    twin = twin_of(model)
    F.cross_entropy(twin(X), Y).backward()
    same_gradients(model, twin)
    scaler.step(optimizer)
    scaler.update()
    optimizer.zero_grad()
    before = weights(model)
    scaler.scale(F.cross_entropy(model(X), Y) * math.inf).backward()
    scaler.step(optimizer)
    assert torch.equal(weights(model), before)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_reads_in_float32_and_returns_its_type(dtype):
    model = network()
    optimizer = optimizer_of(model)
    with torch.autocast("cpu", dtype=dtype):
        y = model(X)
        assert y.dtype == dtype
        F.cross_entropy(y.float(), Y).backward()
    torch.testing.assert_close(y.float(), model(X), atol=0.02, rtol=0.02)
    optimizer.step()
    assert all(s.dtype == torch.float32 for p in model.parameters() for one, _ in p.grad.passes for s in (one.rows, one.errors))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_outputs_have_the_type_of_inputs(dtype):
    model = network()
    x = X.to(dtype).requires_grad_()
    y = model(x)
    assert y.dtype == dtype
    y.float().sum().backward()
    assert x.grad.dtype == dtype
    assert model.half()[0].weight.dtype == torch.float32


@pytest.mark.parametrize(
    ("change", "problem"), [(lambda m: m.double(), "cannot be made double"), (lambda m: m.to("meta"), "must stay on the CPU")]
)
def test_what_arrays_cannot_be_is_said(change, problem):
    with pytest.raises(ai.InputError, match=problem):
        change(network())


# optimizers and schedulers


def test_the_rest_learns_by_any_optimizer_of_torch():
    model = nn.Sequential(network(), nn.BatchNorm1d(3), nn.Linear(3, 3))
    twin = copy.deepcopy(model[1:])
    optimizer = optimizer_of(model, digital=functools.partial(torch.optim.Adam, lr=0.01))
    adam = torch.optim.Adam(twin.parameters(), lr=0.01)
    for _ in range(3):
        hidden = model[0](X).detach()
        for one in (optimizer, adam):
            one.zero_grad()
        F.cross_entropy(twin(hidden), Y).backward()
        F.cross_entropy(model(X), Y).backward()
        adam.step()
        optimizer.step()
    for mine, theirs in zip(model[1:].parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs)
    assert [g["lr"] for g in optimizer.param_groups] == [0.1, 0.01]


SCHEDULERS = {
    "one cycle": lambda o: torch.optim.lr_scheduler.OneCycleLR(o, max_lr=0.5, total_steps=6, cycle_momentum=False),
    "cosine": lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=6),
    "steps": lambda o: torch.optim.lr_scheduler.StepLR(o, step_size=2),
    "warm-up": lambda o: torch.optim.lr_scheduler.LinearLR(o, start_factor=0.1, total_iters=3),
}


@pytest.mark.parametrize("name", SCHEDULERS)
def test_schedulers_set_both_learning_rates(name):
    model, digital = nn.Sequential(network(), nn.Linear(3, 3)), nn.Linear(1, 1)
    optimizer, plain = optimizer_of(model, digital=torch.optim.SGD), torch.optim.SGD(digital.parameters(), lr=0.1)
    schedulers = [SCHEDULERS[name](o) for o in (optimizer, plain)]
    for _ in range(5):
        train(model, optimizer, 1)
        digital(torch.ones(1, 1)).sum().backward()
        plain.step()
        for scheduler in schedulers:
            scheduler.step()
        assert {g["lr"] for g in optimizer.param_groups} == {plain.param_groups[0]["lr"]}
    before = weights(model)
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    assert torch.equal(train(model, optimizer, 1), before)


def test_the_state_of_an_optimizer_is_restored():
    model = nn.Sequential(network(), nn.Linear(3, 3))
    optimizer = optimizer_of(model, digital=torch.optim.Adam)
    train(model, optimizer)
    other, _ = copy.deepcopy((model, optimizer))
    fresh = optimizer_of(other, digital=torch.optim.Adam, lr=0.7)
    fresh.load_state_dict(pickle.loads(pickle.dumps(optimizer.state_dict())))
    assert torch.equal(train(model, optimizer), train(other, fresh))


@pytest.mark.parametrize("option", ["weight_decay", "momentum", "nesterov", "maximize"])
def test_what_an_array_cannot_do_is_refused_by_name(option):
    model = nn.Sequential(network(), nn.Linear(3, 3))
    with pytest.raises(ai.InputError, match=f"^{option} is nothing that arrays can do"):
        ai.optim.InMemory(model.parameters(), lr=0.1, **{option: 0.1})
    for digital in (None, torch.optim.SGD):
        with pytest.raises(ai.InputError, match=f"^{option} is nothing that arrays can do, got it in the group of the layer Linear"):
            ai.optim.InMemory([{"params": model.parameters(), option: 0.1}], lr=0.1, digital=digital)


def test_groups_have_learning_rates_of_their_own():
    model = network()
    groups = [{"params": [model[0].weight, model[2].weight], "lr": 0.0}, {"params": [model[0].bias, model[2].bias]}]
    optimizer, before = ai.optim.InMemory(groups, lr=0.1), [p.detach() + 0 for p in model.parameters()]
    train(model, optimizer)
    assert [not torch.equal(p.detach() + 0, b) for p, b in zip(model.parameters(), before, strict=True)] == [False, True, False, True]


def test_the_learning_rate_is_that_of_the_optimizer_or_where_absent_of_the_rule():
    design = IDEAL.replace("rule.lr", 0.03)
    assert ai.optim.InMemory(network(design).parameters()).param_groups[0]["lr"] == 0.03
    assert ai.optim.InMemory(network(design).parameters(), lr=0.2).param_groups[0]["lr"] == 0.2
    with pytest.raises(ai.InputError, match="lr must be given, since the rules"):
        ai.optim.InMemory([*network(design).parameters(), *network().parameters()])
    for bad in (-0.1, math.nan, math.inf, "fast", True):
        with pytest.raises(ai.InputError, match="lr must be a number"):
            ai.optim.InMemory(network().parameters(), lr=bad)


def test_parameters_of_a_group_may_come_from_a_generator():
    listed, given = network(), network()
    wanted = train(listed, ai.optim.InMemory([{"params": list(listed.parameters())}]))
    optimizer = ai.optim.InMemory([{"params": (p for p in given.parameters())}])
    assert torch.equal(train(given, optimizer), wanted) and not torch.equal(wanted, weights(network()))
    later = network()
    optimizer = ai.optim.InMemory([later[0].weight], lr=0.0)
    optimizer.add_param_group({"params": (p for p in later[2].parameters()), "lr": 0.1})
    assert len(optimizer.param_groups[1]["params"]) == 2
    with pytest.raises(TypeError, match="ordered collections"):
        ai.optim.InMemory([{"params": set(network().parameters())}])


@pytest.mark.parametrize("bias", ["array", "digital"])
def test_each_member_learns_at_its_own_rate(bias):
    design = IDEAL.replace("network.bias", bias)
    rates, x = (0.1, 0.4), torch.randn(8, 6)

    def learned(seeds: tuple[int, ...], lr) -> list[torch.Tensor]:
        layer = ai.nn.Linear(6, 5, design=design, name="one", seeds=seeds)
        optimizer = ai.optim.InMemory(layer.parameters(), lr=lr)
        layer(x.expand(2, *x.shape) if len(seeds) > 1 else x).square().sum().backward()
        optimizer.step()
        return [layer.weight.detach() + 0, layer.bias.detach() + 0]

    together = learned((1, 1), torch.tensor(rates)[:, None, None])
    for e, rate in enumerate(rates):
        for both, alone in zip(together, learned((1,), rate), strict=True):
            torch.testing.assert_close(both[e], alone)


def test_rates_of_members_that_are_none_are_refused():
    def optimizer(lr, model=None, **options):
        return ai.optim.InMemory((model or ai.nn.Linear(6, 5, design=IDEAL, seeds=(1, 2))).parameters(), lr=lr, **options)

    for bad in ([0.1, -0.1], [0.1, math.nan], [math.inf, 0.1], [-0.1]):
        with pytest.raises(ai.InputError, match="lr must be a number of at least 0"):
            optimizer(torch.tensor(bad)[:, None, None])
    with pytest.raises(ai.InputError, match=r"or a tensor \(members, 1, 1\), got a tensor \(2,\)"):
        optimizer(torch.tensor([0.1, 0.2]))
    with pytest.raises(ai.InputError, match=r"2 for the layer Linear.*, got 3"):
        optimizer(torch.full((3, 1, 1), 0.1))
    with pytest.raises(ai.InputError, match=r"5 for a parameter of shape \(5, 3\), got 2"):
        optimizer(torch.full((2, 1, 1), 0.1), nn.Linear(3, 5))
    with pytest.raises(ai.InputError, match="lr must be one number for the digital optimizer"):
        optimizer(torch.full((2, 1, 1), 0.1), nn.BatchNorm1d(2), digital=torch.optim.SGD)
    set_later = optimizer(0.1)
    set_later.param_groups[0]["lr"] = -0.1
    with pytest.raises(ai.InputError, match=r"lr must be a number of at least 0, got -0\.1"):
        set_later.step()


def test_a_rate_of_no_axes_is_a_number_also_where_a_convolution_has_groups():
    changed = []
    for lr in (0.1, torch.tensor(0.1), torch.full((1, 1, 1), 0.1)):
        conv = ai.nn.Conv2d(4, 6, 2, groups=2, design=IDEAL, name="one", seed=1)
        optimizer = ai.optim.InMemory(conv.parameters(), lr=lr)
        conv(torch.ones(3, 4, 5, 5)).square().sum().backward()
        optimizer.step()
        changed.append(conv.weight.detach() + 0)
    torch.testing.assert_close(changed[1], changed[0])
    torch.testing.assert_close(changed[2], changed[0])


# names and seeds


def test_two_layers_of_one_shape_are_two():
    for options in ({}, {"seed": 3}, {"seeds": (3, 4)}):
        one, other = (ai.nn.Linear(4, 3, design=NOISY, **options) for _ in range(2))
        assert not torch.equal(one.weight.detach() + 0, other.weight.detach() + 0)
        assert not torch.equal(one.stored, other.stored)


def test_manual_seed_sets_the_chip():
    chips = [weights(network(NOISY, seed)) for seed in (0, 1, 2, 3, 4, 0)]
    assert torch.equal(chips[0], chips[5])
    assert len({tuple(c.tolist()) for c in chips}) == 5


def test_the_same_name_and_seed_give_the_same_bits():
    one, other = (ai.nn.Linear(4, 3, design=NOISY, name="a", seed=3) for _ in range(2))
    assert torch.equal(one.stored, other.stored)
    assert torch.equal(one(torch.ones(2, 4)), other(torch.ones(2, 4)))


@pytest.mark.parametrize(
    "options", [{"seed": 1, "seeds": (1,)}, {"seeds": ()}, {"seed": 1.5}, {"seeds": "12"}, {"seed": True}, {"seeds": 3}]
)
def test_seeds_that_are_none_are_refused(options):
    with pytest.raises(ai.InputError, match="seed"):
        ai.nn.Linear(4, 3, design=IDEAL, **options)


# states


@pytest.mark.parametrize(
    ("other", "problem"),
    [
        (ai.Design.of({"device": "soft-bounds"}), "same design, got another device"),
        (ai.Design.of({"device": "ideal", "rule": {"kind": "tiki-taka-v2"}}), "same design, got another rule"),
        (ai.Design.of({"device": "ideal", "array": {"rows": 3}}), "same design, got another array"),
    ],
)
def test_the_state_of_another_design_is_refused_in_one_sentence(other, problem):
    state, model = network(other).state_dict(), network()
    before = weights(model)
    with pytest.raises(ai.InputError, match=problem):
        model.load_state_dict(state)
    assert torch.equal(weights(model), before)


def test_the_state_of_another_size_is_refused_in_one_sentence():
    state = nn.Sequential(ai.nn.Linear(7, 5, design=IDEAL), nn.Tanh(), ai.nn.Linear(5, 3, design=IDEAL)).state_dict()
    with pytest.raises(ai.InputError, match=r"must be of arrays \[1, 7, 5\]"):
        network().load_state_dict(state)
    with pytest.raises(RuntimeError, match=r"size mismatch for 0\.weight"):
        network().load_state_dict(nn.Sequential(nn.Linear(7, 5), nn.Tanh(), nn.Linear(5, 3)).state_dict())
    with pytest.raises(RuntimeError, match=r"Missing key.*0\.weight"):
        network().load_state_dict({})


def test_the_weights_of_a_digital_layer_are_written():
    """To half a step of the devices where they are in arrays; exactly where they are digital."""
    twin = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))
    for design, tolerance in ((IDEAL, 0.002), (IDEAL.replace("rule", {"kind": "digital"}), 0.0)):
        model = network(design)
        assert str(model.load_state_dict(twin.state_dict())) == "<All keys matched successfully>"
        torch.testing.assert_close(weights(model), weights(twin), atol=tolerance, rtol=0)
    back = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))
    back.load_state_dict({k: v for k, v in model.state_dict().items() if "_extra_state" not in k})
    assert torch.equal(weights(back), weights(model))


@pytest.mark.parametrize("rule", ["sgd", "tiki-taka", "tiki-taka-v2"])
@pytest.mark.parametrize("scale", ["none", "fan-in", "learned"])
def test_set_weights_writes_what_weight_reads(rule, scale):
    design = ai.Design.of({"device": "ideal", "rule": {"kind": rule}, "network": {"output_scale": scale}})
    layer, twin = ai.nn.Linear(6, 5, design=design), nn.Linear(6, 5)
    train_a_little(layer)
    twin.weight.data.mul_(0.5)  # within the cells under each scale
    layer.set_weights(twin.weight, twin.bias * 0)
    torch.testing.assert_close(layer.weight.detach() + 0, twin.weight.detach(), atol=0.002, rtol=0)
    torch.testing.assert_close(layer(X), F.linear(X, twin.weight), atol=0.01, rtol=0)


def train_a_little(layer: nn.Module) -> None:
    optimizer = ai.optim.InMemory(layer.parameters(), lr=0.05)
    layer(X).square().sum().backward()
    optimizer.step()


def test_weights_that_cells_cannot_hold_are_refused():
    layer = ai.nn.Linear(6, 5, design=IDEAL)
    for weight, problem in (
        (torch.full((5, 6), 7.0), "within what its cells hold"),
        (torch.full((5, 6), math.nan), "must be finite"),
        (torch.zeros(6, 5), "must be a tensor"),
        ([[0.0]], "must be a tensor"),
    ):
        with pytest.raises(ai.InputError, match=problem):
            layer.set_weights(weight)
    with pytest.raises(ai.InputError, match="has no bias"):
        ai.nn.Linear(6, 5, False, design=IDEAL).set_weights(torch.zeros(5, 6), torch.zeros(5))


# what a layer shows


def test_weights_counts_and_texts():
    model = network()
    assert sum(p.numel() for p in model.parameters()) == sum(p.numel() for p in twin_of(model).parameters())
    assert [n for n, _ in model.named_parameters()] == ["0.weight", "0.bias", "2.weight", "2.bias"]
    layer = model[0]
    assert (layer.weight.shape, layer.bias.shape) == ((5, 6), (5,))
    assert torch.equal(layer.weight.detach() + 0, layer.stored[0, :6].T)
    assert layer.weight.detach().numpy().shape == (5, 6)
    assert layer.weight.abs().max().item() == layer.stored[0, :6].abs().max().item()
    assert "in_features=6, out_features=5, bias=True, rule=sgd, device=ideal, arrays=(W: 1 x (7 x 5))" in repr(layer)
    assert "read from its arrays" in repr(layer.weight)


def test_initialisation_and_clipping_of_weights_write_the_arrays():
    layer = ai.nn.Linear(6, 5, design=IDEAL)
    with torch.no_grad():
        nn.init.constant_(layer.weight, 0.25)
        nn.init.zeros_(layer.bias)
    torch.testing.assert_close(layer.stored[0, :6], torch.full((6, 5), 0.25), atol=0.001, rtol=0)
    assert layer.stored[0, 6].abs().max() < 0.001
    nn.init.xavier_uniform_(layer.weight)
    layer.weight.data.clamp_(-0.1, 0.1)
    assert 0.09 < layer.stored[0, :6].abs().max() < 0.102
    with pytest.raises(ai.InputError, match="which mul_ cannot change"):
        layer.weight.data.mul_(0.5)


def test_nothing_is_put_in_place_of_weights_silently():
    with pytest.raises(ai.InputError, match="nothing can be put in place of"):
        nn.utils.parametrizations.weight_norm(ai.nn.Linear(6, 5, design=IDEAL))(X)


def test_a_summary_lists_matrices_cells_and_pulses():
    model = nn.Sequential(network(ai.Design.of({"device": "soft-bounds", "array": {"rows": 4}})), nn.Linear(3, 2))
    first = ai.nn.summary(model)
    assert [(r.layer, r.rows, r.columns, r.arrays, r.cells, r.device) for r in first.rows] == [
        ("0.0", 7, 5, 2, 35, "soft-bounds"),
        ("0.2", 6, 3, 2, 18, "soft-bounds"),
    ]
    assert first.digital == 8
    optimizer = optimizer_of(model)
    F.cross_entropy(model[0](X), Y).backward()
    optimizer.step()
    assert all(b.pulses > a.pulses for a, b in zip(first.rows, ai.nn.summary(model).rows, strict=True))
    assert "53 cells in arrays, 8 digital parameters" in str(first)


def test_lines_that_are_left_over_have_a_converter_of_their_own():
    shared = {"adc": {"shared_by": 4}, "dac": {"shared_by": 4}}
    for cols, converters in ((4096, "3 exact DACs, 2 exact ADCs"), (4, "6 exact DACs, 2 exact ADCs"), (8, "3 exact DACs, 2 exact ADCs")):
        design = IDEAL.replace("periphery", shared).replace("array.cols", cols)
        assert ai.nn.summary(ai.nn.Linear(8, 7, design=design)).rows[0].converters == converters


# NaN, and penalties


@pytest.mark.parametrize("where", ["inputs", "gradients"])
def test_what_is_not_finite_is_no_pulse(where):
    model = network()
    optimizer, x = optimizer_of(model), X.clone()
    if where == "inputs":
        x[0, 0] = math.nan
    before = weights(model)
    (F.cross_entropy(model(x), Y) * (math.inf if where == "gradients" else 1)).backward()
    with pytest.raises(
        ai.InputError, match=r"the layer Linear\(6, 5\) named 'linear' has NaN or infinite inputs or gradients; nothing was pulsed"
    ):
        optimizer.step()
    assert torch.equal(weights(model), before)
    skipping = optimizer_of(model, skip_non_finite=True)
    skipping.step()
    assert torch.equal(weights(model), before)
    assert not torch.equal(train(model, skipping), before)


def test_a_penalty_on_weights_is_refused():
    model = network()
    optimizer = optimizer_of(model)
    (F.cross_entropy(model(X), Y) + model[0].weight.abs().sum()).backward()
    with pytest.raises(ai.InputError, match="of a penalty on the weights"):
        optimizer.step()


# members


def test_members_come_first_and_are_checked():
    alone, many = ai.nn.Linear(6, 5, design=IDEAL), ai.nn.Linear(6, 5, design=IDEAL, seeds=(1, 2))
    x = torch.randn(4, 7, 6)  # batch, time, features
    assert alone(x).shape == (4, 7, 5)
    assert many(x.expand(2, 4, 7, 6)).shape == (2, 4, 7, 5)
    assert many.weight.shape == (2, 5, 6)
    for wrong in (x, X, torch.zeros(6)):
        with pytest.raises(ai.InputError, match=r"must be \(2, \.\.\., 6\), members first"):
            many(wrong)
    with pytest.raises(ai.InputError, match=r"must be \(\.\.\., 6\)"):
        alone(torch.zeros(2, 5))
    conv = ai.nn.Conv2d(2, 3, 2, design=IDEAL, seeds=(1, 2))
    assert conv(torch.zeros(2, 4, 2, 5, 5)).shape == (2, 4, 3, 4, 4)
    with pytest.raises(ai.InputError, match="must be"):
        conv(torch.zeros(4, 2, 5, 5))


def test_members_of_a_convolution_with_groups_equal_their_solo_runs():
    options = {"groups": 2, "design": NOISY, "name": "one"}
    together, x = ai.nn.Conv2d(4, 6, 2, seeds=(1, 2), **options), torch.randn(3, 4, 5, 5)
    y = together(x.expand(2, *x.shape))
    for e, seed in enumerate((1, 2)):
        solo = ai.nn.Conv2d(4, 6, 2, seed=seed, **options)
        assert torch.equal(solo.weight.detach() + 0, together.weight.detach()[e] + 0)
        torch.testing.assert_close(solo(x), y[e])
