"""Layers are ordinary torch modules, and an ideal array is a float matrix."""

from __future__ import annotations

import copy

import pytest
import torch

import aimco as ai
from aimco.data.goals import Classification
from aimco.descent import Descent
from aimco.nn.analog import AnalogLayer
from designs import LAYER_RULES, design


def float_twin(layer: ai.nn.Linear) -> torch.nn.Linear:
    twin = torch.nn.Linear(layer.inputs, layer.outputs)
    weights = layer.matrices[layer.rule.weight_array].weights[0]
    with torch.no_grad():
        twin.weight.copy_(weights[: layer.inputs].T)
        twin.bias.copy_(weights[-1])
    return twin


def test_an_ideal_array_is_a_float_matrix():
    layer = ai.nn.Linear(20, 8, design=design())
    twin = float_twin(layer)
    x = torch.rand(5, 20, requires_grad=True)
    y, z = layer(x), twin(x)
    assert torch.allclose(y, z, atol=1e-6)
    mine, theirs = (torch.autograd.grad(v.square().sum(), x)[0] for v in (y, z))
    assert torch.allclose(mine, theirs, atol=1e-5)


def test_a_cut_matrix_gives_the_sum_of_its_parts():
    layer = ai.nn.Linear(20, 8, design=design(array={"rows": 6, "cols": 3}))
    assert torch.allclose(layer(torch.ones(2, 20)), float_twin(layer)(torch.ones(2, 20)), atol=1e-6)
    matrix = layer.matrices["W"]
    assert (len(matrix.row_spans), len(matrix.column_spans)) == (4, 3)
    assert torch.allclose(matrix.read_row(7), matrix.weights[:, 7], atol=1e-6)


def test_conv2d_equals_torch():
    layer = ai.nn.Conv2d(2, 4, 3, padding=1, stride=2, design=design())
    weights = layer.matrices["W"].weights[0]
    x = torch.rand(3, 2, 8, 8)
    expected = torch.nn.functional.conv2d(x, weights[:-1].T.reshape(4, 2, 3, 3), weights[-1], stride=2, padding=1)
    assert torch.allclose(layer(x), expected, atol=1e-5)
    layer(x).sum().backward()
    ai.optim.InMemory(layer.parameters(), lr=0.01).step()
    assert layer.matrices["W"].counts["coincidences"] > 0


def test_a_copy_is_independent():
    layer = ai.nn.Linear(4, 3, design=design())
    twin = copy.deepcopy(layer)
    before = twin.matrices["W"].weights.clone()
    layer(torch.ones(2, 4)).sum().backward()
    ai.optim.InMemory(layer.parameters(), lr=0.1).step()
    assert torch.equal(twin.matrices["W"].weights, before)
    assert not torch.equal(layer.matrices["W"].weights, before)
    assert twin.weight.layer is twin


def test_zero_grad_forgets_what_backward_left():
    layer = ai.nn.Linear(4, 3, design=design())
    optimizer, before = ai.optim.InMemory(layer.parameters(), lr=0.1), layer.matrices["W"].weights.clone()
    layer(torch.ones(2, 4)).sum().backward()
    optimizer.zero_grad()
    optimizer.step()
    assert torch.equal(layer.matrices["W"].weights, before)
    layer(torch.ones(2, 4)).sum().backward()
    optimizer.step()
    assert not torch.equal(layer.matrices["W"].weights, before)


@pytest.mark.parametrize("rule", LAYER_RULES)
def test_descent_written_out_equals_autograd(rule):
    """The same draws: states to float32 rounding after 20 steps, in an ensemble; bias in the array, or beside it with a learned scale."""
    x = torch.rand(20, 2, 10, 16, generator=torch.Generator().manual_seed(0))
    y = torch.randint(4, (20, 2, 10), generator=torch.Generator().manual_seed(1))
    for bias, scale in (("array", "none"), ("digital", "learned")):

        def network(bias=bias, scale=scale):
            spec = design(rule, network={"bias": bias, "output_scale": scale})
            layers = [ai.nn.Linear(a, b, design=spec, name=str(a), seeds=(1, 2)) for a, b in ((16, 8), (8, 4))]
            return torch.nn.Sequential(layers[0], torch.nn.Tanh(), layers[1])

        written, by_torch = network(), network()
        descent, optimizer = Descent(written, Classification(4)), ai.optim.InMemory(by_torch.parameters(), lr=0.1)
        for k in range(20):
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(by_torch(x[k]).flatten(0, 1), y[k].flatten(), reduction="none").reshape(2, 10).mean(1)
            loss.sum().backward()
            optimizer.step()
            assert torch.allclose(descent.step(x[k], y[k], 0.1), loss.detach(), atol=1e-5)
        for one, other in zip(written.parameters(), by_torch.parameters(), strict=True):
            assert torch.allclose(one, other, atol=1e-5)
        for k in (0, 2):
            for name, matrix in written[k].matrices.items():
                assert torch.allclose(matrix.weights, by_torch[k].matrices[name].weights, atol=1e-5)
                assert str(matrix.counts) == str(by_torch[k].matrices[name].counts)


@pytest.mark.parametrize("bias", ["array", "digital", "none"])
def test_members_of_an_lstm_equal_their_solo_runs(bias):
    """The same draws, in an ensemble and alone: outputs and weights to float32 rounding after five steps."""
    x = torch.randn(5, 4, 3, 6, generator=torch.Generator().manual_seed(0))

    def train(seeds: tuple[int, ...]) -> ai.nn.LSTM:
        layer = ai.nn.LSTM(6, 5, design=design(network={"bias": bias}), name="one", seeds=seeds)
        optimizer = ai.optim.InMemory(layer.parameters(), lr=0.1)
        for k in range(5):
            optimizer.zero_grad()
            layer(x[k].expand(len(seeds), *x[k].shape) if len(seeds) > 1 else x[k])[0].square().sum().backward()
            optimizer.step()
        return layer

    together = train((1, 2))
    both = x[0].expand(2, *x[0].shape)
    y, (h, c) = together(both)
    assert (y.shape, h.shape, c.shape) == ((2, 4, 3, 5), (2, 1, 3, 5), (2, 1, 3, 5))
    for e, seed in enumerate((1, 2)):
        solo = train((seed,))
        assert torch.allclose(solo.l0.stored[0], together.l0.stored[e], atol=1e-6)
        assert torch.allclose(solo(x[0])[0], y[e], atol=1e-5)


class Rows(torch.nn.Module):
    """Images as sequences of their rows."""

    def forward(self, x):
        return x[:, 0]


def several_vectors(spec: ai.Design, size: int) -> dict[str, torch.nn.Module]:
    """Layers that make several vectors of an image of size x size, and how many."""
    first = torch.nn.Sequential(ai.nn.GRU(size, 3, bidirectional=True, batch_first=True, design=spec), First())
    return {
        "convolution": ai.nn.Conv2d(1, 4, 2, stride=2, padding=1, design=spec),
        "groups": torch.nn.Sequential(torch.nn.ReflectionPad2d(1), Twice(), ai.nn.Conv2d(2, 4, 3, groups=2, design=spec)),
        "tokens": torch.nn.Sequential(Rows(), ai.nn.Linear(size, 3, design=spec)),
        "time steps": torch.nn.Sequential(Rows(), first),
    }


class First(torch.nn.Module):
    """Outputs without the last states."""

    def forward(self, y):
        return y[0]


class Twice(torch.nn.Module):
    """Images of two channels that are alike."""

    def forward(self, x):
        return torch.cat((x, x), 1)


def taught(model: torch.nn.Module, images: torch.Tensor) -> None:
    optimizer = ai.optim.InMemory(model.parameters(), lr=0.1)
    optimizer.zero_grad()
    model(images).square().sum().backward()
    optimizer.step()


def reads_of(model: torch.nn.Module) -> set[int]:
    """Transfers so far of each matrix."""
    return {int(m.rule_state["reads"]) for m in model.modules() if isinstance(m, AnalogLayer)}


@pytest.mark.parametrize("what", ["convolution", "groups", "tokens", "time steps"])
@pytest.mark.parametrize("rule", ["tiki-taka", "tiki-taka-v2", "agad", "residual", "mixed-precision"])
def test_a_rule_transfers_once_in_so_many_samples_however_many_vectors_one_makes(rule, what):
    """Also where the images change their size: then at once if more vectors have passed than are now due."""
    spec = design(rule=rule).replace("rule.transfer_every", 2)
    for size in (4, 9):
        model = several_vectors(spec, size)[what]
        for samples in (3, 8, 10):
            passed, now = {3: (3, 1), 8: (5, 4), 10: (2, 5)}[samples]
            taught(model, torch.rand(passed, 1, size, size))
            assert reads_of(model) == {now}


def test_images_may_change_their_size():
    """Three of 25 patches, of which a fourth would be due, then one of 4: 79 vectors are more than 4 x 4, and a transfer is due at once."""
    model = ai.nn.Conv2d(1, 4, 2, design=design(rule="tiki-taka-v2").replace("rule.transfer_every", 4))
    for count, size, now in ((3, 6, 0), (1, 3, 1), (3, 3, 1), (1, 3, 2), (4, 6, 3)):
        taught(model, torch.rand(count, 1, size, size))
        assert reads_of(model) == {now}, (count, size)


def test_a_rule_may_count_vectors():
    model = ai.nn.Conv2d(1, 4, 2, design=design(rule="tiki-taka-v2").replace("rule.transfer_unit", "vector"))
    taught(model, torch.rand(3, 1, 5, 5))
    assert reads_of(model) == {3 * 16 // 2}


@pytest.mark.parametrize("rule", ["tiki-taka", "tiki-taka-v2", "residual", "mixed-precision"])
def test_a_rule_paced_by_batches_takes_one_turn_however_many_patches(rule):
    spec = design(rule=rule).replace("rule.transfer_unit", "batch").replace("rule.transfer_every", 1)
    layer = ai.nn.Conv2d(1, 4, 2, design=spec)
    optimizer = ai.optim.InMemory(layer.parameters(), lr=0.1)
    for k in range(7):
        optimizer.zero_grad()
        layer(torch.rand(3, 1, 5, 5)).sum().backward()
        optimizer.step()
        assert int(layer.rule_state["reads"]) == k + 1


@pytest.mark.parametrize("rule", ["tiki-taka-v2", "agad"])
def test_a_convolution_learns_by_the_numbers_that_a_rule_has_by_itself(rule):
    """Digits by two convolutions, three epochs: 93.3 % in software, 95 % here; 61 % where transfers come once a batch."""
    network = {"kind": "lenet", "channels": [8, 16], "kernel_size": 3, "pool": 1}
    spec = ai.Design.of({"device": "soft-bounds", "rule": {"kind": rule}, "network": network, "training": {"epochs": 3, "batch": 10}})
    assert ai.evaluate(spec, "digits").accuracy > 0.92


@pytest.mark.slow
@pytest.mark.parametrize(("rule", "above"), [("tiki-taka-v2", 0.03), ("agad", 0.01)])
def test_large_images_are_learned_by_the_same_numbers(rule, above, mnist_dir):
    """LeNet, 1000 images of 784 pixels, six epochs: within 3 % of software, and above what transfers counted in vectors leave.

    By 2.5 % on average under AGAD (2.1, 3.1, 2.2 % of three seeds), and more under Tiki-Taka v2.
    """
    spec = ai.Design.of(
        {"device": "soft-bounds", "rule": {"kind": rule}, "network": {"kind": "lenet"}, "training": {"epochs": 6, "batch": 10}}
    )
    designs = spec, spec.replace("rule", {"kind": "digital"}), spec.replace("rule.transfer_unit", "vector")
    ours, software, often = (ai.evaluate(d, "mnist", data_dir=str(mnist_dir), limit=1000).accuracy for d in designs)
    assert ours > software - 0.03
    assert ours > often + above
