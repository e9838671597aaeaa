"""Layers split over arrays: groups, gradients, what the chip does with a trained layer, and what splitting costs in accuracy."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from aimco import reference
from aimco.binary.folded import cells_used, digitised, fold, naive
from aimco.binary.layers import BinaryConv2d, BinaryDescent, BinaryLinear, SplitConv2d, SplitLinear, majority, perceptron, sign
from aimco.cost import price
from aimco.design import Design
from aimco.mapping import Array, groups, utilisation
from aimco.record import InputError
from aimco.tasks import load


def bits(*shape: int, seed: int = 0) -> torch.Tensor:
    return sign(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)))


def trained(inputs: int, outputs: int, parts: int) -> SplitLinear:
    """A layer whose BatchNorm has seen data and has gains of both signs, and one of 0."""
    layer, draws = SplitLinear(inputs, outputs, parts), torch.Generator().manual_seed(1)
    for k in range(30):
        layer(bits(64, inputs, seed=k))
    with torch.no_grad():
        for p in (layer.norm.weight, layer.norm.bias):
            p.copy_(torch.randn(len(p), generator=draws))
        layer.norm.weight[0] = 0
    return layer.eval()


CIFAR = (1152, 2304, 4608, 8192, 1024)


@pytest.mark.parametrize(("rows", "expected"), [(512, (3, 6, 9, 16, 2)), (256, (6, 9, 18, 32, 4)), (128, (9, 18, 36, 64, 8))])
def test_the_network_for_cifar_has_its_published_groups(rows, expected):
    """Fan-ins of the VGG-like network: Kim 2018."""
    assert tuple(groups(inputs, rows) for inputs in CIFAR) == expected


@given(st.integers(1, 5000), st.integers(1, 600))
def test_groups_are_equal_and_fit(inputs, rows):
    count = groups(inputs, rows)
    assert inputs % count == 0
    assert inputs // count <= rows
    assert all(inputs % k for k in range(-(-inputs // rows), count))


@pytest.mark.parametrize(("inputs", "rows"), [(0, 128), (128, 0)])
def test_what_cannot_be_split_is_refused(inputs, rows):
    with pytest.raises(InputError, match="inputs and rows must be at least 1"):
        groups(inputs, rows)


def test_cells_that_groups_leave_empty_are_not_used():
    assert utilisation(1024, 1024, Array(rows=512, cols=512)) == 1
    assert utilisation(1152, 128, Array(rows=512, cols=128)) == 1152 / (3 * 512)
    assert utilisation(2304, 256, Array(rows=256, cols=512), 9) == 0.5
    layers = torch.nn.Sequential(SplitLinear(64, 32, 2), SplitLinear(32, 16, 1))
    assert cells_used(layers, Array(rows=32, cols=32)) == (64 * 32 + 32 * 16) / (3 * 32 * 32)


def test_a_tie_is_up():
    """Two groups that differ, and sums of exactly 0 and -0."""
    assert torch.equal(sign(torch.tensor([0.0, -0.0, -1e-30])), torch.tensor([1.0, 1.0, -1.0]))
    assert torch.equal(majority(torch.tensor([[0.3, -0.2]]), 2), torch.tensor([[1.0]]))
    assert torch.equal(majority(torch.tensor([[0.3, -0.2, -0.1]]), 3), torch.tensor([[-1.0]]))


def test_products_of_groups_add_up_to_the_whole():
    whole, parts = BinaryLinear(24, 5), BinaryLinear(24, 5, 4)
    assert torch.equal(parts.weight.view(1, 24, 5), whole.weight)
    torch.testing.assert_close(parts(bits(7, 24)).sum(1), whole(bits(7, 24))[:, 0])


def test_the_gradient_passes_straight_through_signs():
    """y = sign(sum_g sign(a_g)): dy/da_g = 1 where |a_g| <= 1; weights take x d as if they were real."""
    a = torch.tensor([[0.5, -2.0, 0.9, -0.4]], requires_grad=True)
    majority(a, 2).backward(torch.tensor([[3.0, 5.0]]))
    assert torch.equal(a.grad, torch.tensor([[3.0, 0.0, 3.0, 5.0]]))
    layer, x, d = BinaryLinear(6, 2, 3), bits(4, 6).requires_grad_(), torch.randn(4, 3, 2, generator=torch.Generator().manual_seed(2))
    layer(x).backward(d)
    parts = x.detach().view(4, 3, 2)
    torch.testing.assert_close(layer.weight.grad, torch.einsum("bgn,bgo->gno", parts, d))
    torch.testing.assert_close(x.grad, torch.einsum("gno,bgo->bgn", sign(layer.weight.detach()), d).reshape(4, 6))


@pytest.mark.parametrize("parts", [1, 3])
def test_batchnorm_and_sign_fold_into_a_comparison(parts):
    layer = trained(12, 5, parts)
    folded, x = fold(layer), bits(200, 12, seed=9)
    assert torch.equal(folded(x), layer(x))
    assert folded.counts(10) == {
        "mvm": 10 * parts,
        "dac": 120,
        "cell_reads": 600,
        "sensed": 50 * parts,
        "digital_ops": 50 * (parts - 1),
    }


def test_zero_points_of_amplifiers_move_thresholds():
    layer = trained(12, 4000, 3)
    with torch.no_grad():
        layer.norm.weight.abs_().add_(0.1)
    moved = fold(layer, offset=2.0).threshold - fold(layer).threshold
    assert moved.std() == pytest.approx(2.0, rel=0.05)
    assert torch.equal(fold(layer, offset=2.0, seed=1).threshold, fold(layer, offset=2.0, seed=1).threshold)


def test_a_layer_of_one_group_is_cut_in_three_ways():
    layer, x = trained(24, 7, 1), bits(300, 24, seed=5)
    whole = fold(layer)
    exact = digitised(whole, 4, float("inf"), x, percentile=100.0)
    assert torch.equal(exact(x), layer(x))
    assert exact.counts(1) == {"mvm": 4, "dac": 24, "cell_reads": 168, "digital_ops": 21, "adc": 28}
    assert torch.equal(naive(whole, 1)(x), layer(x))
    shared, plain = naive(whole, 4, shared=True), naive(whole, 4)
    assert torch.equal(4 * shared.threshold, plain.threshold)


def test_conversions_are_priced_where_there_are_any():
    """The same layer over four arrays: with ADCs, and with sense amplifiers, which have none."""
    whole, design = fold(trained(24, 7, 1)), Design.of({"device": "rpu", "array": {"rows": 6, "cols": 16}})
    layers = {"adc": digitised(whole, 4, 4.0, bits(9, 24)), "sensed": naive(whole, 4)}
    paid = {n: price(design, {"layer": {"W": layer.counts(100)}}, shapes={"layer": {"W": (24, 7)}}) for n, layer in layers.items()}
    assert paid["adc"].energy_J["adc"] > 0 == paid["sensed"].energy_J["adc"]
    assert paid["sensed"].energy_J["sense"] > 0 == paid["adc"].energy_J["sense"]
    assert all(p.energy_J["digital"] + p.energy_J["accumulate"] > 0 for p in paid.values())


@pytest.mark.parametrize("parts", [5, 7])
def test_parts_that_do_not_divide_are_refused(parts):
    with pytest.raises(InputError, match=f"parts must divide the 24 inputs of a layer of one group, got {parts}"):
        naive(fold(trained(24, 3, 1)), parts)


def test_more_bits_of_the_adc_lose_fewer_outputs():
    whole, x = fold(trained(256, 60, 1)), bits(400, 256, seed=3)
    wrong = [float((digitised(whole, 8, b, x)(x) != whole(x)).float().mean()) for b in (2.0, 3.0, 5.0, 8.0)]
    assert wrong == sorted(wrong, reverse=True)
    assert wrong[0] > 0.05
    assert wrong[-1] < 0.02


def test_a_split_convolution_is_a_split_layer_on_every_patch():
    """Pooled and not; the rows of a kernel are those of torch: channel, then place."""
    images, conv, linear = bits(3, 4, 6, 6), SplitConv2d(4, 5, 3, 1, 4, seed=2, name="one"), SplitLinear(36, 5, 4, seed=2, name="one")
    patches = torch.nn.functional.unfold(images, 3, padding=1).transpose(1, 2).reshape(-1, 36)
    torch.testing.assert_close(conv(images), linear(patches).view(3, 6, 6, 5).permute(0, 3, 1, 2))
    plain = BinaryConv2d(4, 5, 3, 1, seed=2)
    kernel = sign(plain.linear.weight.detach())[0].T.view(5, 4, 3, 3)
    torch.testing.assert_close(plain(images)[:, 0], torch.nn.functional.conv2d(images, kernel, padding=1))
    assert SplitConv2d(4, 5, 3, 1, 4, pool=2)(images).shape == (3, 5, 3, 3)


def test_split_convolutions_learn():
    """Digits, one convolution and one fully connected layer, both split: far above chance in two passes."""
    task = load("digits", limit=600)
    model = torch.nn.Sequential(
        torch.nn.Unflatten(1, (1, 8, 8)),
        SplitConv2d(1, 16, 3, 1),
        SplitConv2d(16, 16, 3, 1, groups(144, 48), pool=2, name="second"),
        torch.nn.Flatten(1),
        SplitLinear(256, 64, groups(256, 64)),
        BinaryLinear(64, 10),
        torch.nn.Flatten(1),
        torch.nn.BatchNorm1d(10),
    )
    descent = BinaryDescent(model, 2, batch=20)
    losses = [descent.epoch(task.train_x, task.train_y) for _ in range(2)]
    model.eval()
    right = (model(task.test_x).argmax(1) == task.test_y).float().mean()
    assert losses[1] < losses[0]
    assert right > 0.6


def test_descent_goes_on_from_a_checkpoint_bit_for_bit():
    task = load("digits", limit=200)
    descents = [BinaryDescent(perceptron(64, (16, 16), 10, 4), 3, batch=20) for _ in range(2)]
    descents[0].epoch(task.train_x, task.train_y)
    descents[1].restore(descents[0].checkpoint())
    ends = [[descent.epoch(task.train_x, task.train_y) for _ in range(2)] for descent in descents]
    assert ends[0] == ends[1]
    assert torch.equal(descents[0].binary[0], descents[1].binary[0])
    assert descents[0].binary[1].abs().max() <= 1


def test_splitting_is_reproduced_on_digits():
    report = reference.run("kim2018-splitting", reference.Settings(quick=True))
    assert [row["row"] for row in report["rows"] if row["pass"] is False] == []
    assert report["tally"]["met"] == 4
    assert report["tally"]["published"] == 0
    assert sum("as they were" in row["row"] for row in report["rows"]) == 2


def test_a_reference_goes_on_from_its_checkpoints(tmp_path, mnist_dir):
    """The second run trains nothing again, and says the same."""
    from aimco.reference import kim2018_splitting as kim

    steps: list[str] = []
    plan = kim.Plan("mnist", (16, 16, 16), (8,), 1)
    settings = reference.Settings(
        data_dir=str(mnist_dir), limit=400, checkpoints=str(tmp_path), on_step=lambda text, done: steps.append(text)
    )
    task = settings.load("mnist")
    first, again = (kim.train(settings, plan, task, 8, 0).state_dict() for _ in range(2))
    assert len(steps) == 1
    assert all(torch.equal(first[name], again[name]) for name in first)
