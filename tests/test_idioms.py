"""The usual idioms of torch programs run with analog layers in them."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, TensorDataset

import aimco as ai
from aimco.record import InputError

IDEAL = ai.Design(device="ideal")


def test_the_example_of_the_docs_runs(tmp_path, monkeypatch, capsys):
    text = (Path(__file__).parents[1] / "docs/torch.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    exec(text.split("```python\n")[1].split("```")[0], {})
    assert "10420 cells in arrays, 16 digital parameters" in capsys.readouterr().out


def network(*sizes: int) -> nn.Sequential:
    parts: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(sizes):
        parts += [ai.nn.Linear(inputs, outputs, design=IDEAL), nn.Tanh()]
    return nn.Sequential(*parts[:-1])


def test_a_step_of_a_wgan_with_gradient_penalty():
    generator, critic = network(3, 8, 4), network(4, 8, 1)
    optimizers = [ai.optim.InMemory(m.parameters(), lr=0.01) for m in (generator, critic)]
    real, before = torch.randn(16, 4), [p.detach() + 0 for m in (generator, critic) for p in m.parameters()]
    fake = generator(torch.randn(16, 3))
    mixed = (real + fake.detach()).div(2).requires_grad_()
    (slope,) = torch.autograd.grad(critic(mixed).sum(), mixed, create_graph=True)
    loss = critic(fake.detach()).mean() - critic(real).mean() + 10 * (slope.norm(dim=1) - 1).square().mean()
    optimizers[1].zero_grad()
    loss.backward()
    optimizers[1].step()
    optimizers[0].zero_grad()
    (-critic(fake).mean()).backward()
    optimizers[0].step()
    after = [p.detach() + 0 for m in (generator, critic) for p in m.parameters()]
    assert sum(not torch.equal(a, b) for a, b in zip(before, after, strict=True)) >= 7  # the last offset of a critic has no gradient


def test_fgsm_leaves_weights_alone():
    model = network(6, 5, 3)
    optimizer, before = ai.optim.InMemory(model.parameters(), lr=0.1), model[0].stored.clone()
    x, y = torch.rand(4, 6, requires_grad=True), torch.tensor([0, 1, 2, 0])
    loss = F.cross_entropy(model(x), y)
    (slope,) = torch.autograd.grad(loss, x)
    assert F.cross_entropy(model(x + 0.1 * slope.sign()), y) > loss
    optimizer.step()
    assert torch.equal(model[0].stored, before)


@pytest.mark.parametrize("average", [None, get_ema_multi_avg_fn(0.5)])
def test_an_average_of_weights_is_written_into_arrays_of_its_own(average):
    model, decay = network(6, 3), 0.5
    mean = AveragedModel(model, multi_avg_fn=average)
    optimizer, history = ai.optim.InMemory(model.parameters(), lr=0.2), []
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.ones(4, 6)).square().sum().backward()
        optimizer.step()
        mean.update_parameters(model)
        history.append(model[0].stored.clone())
    wanted = history[0]
    for k, one in enumerate(history[1:]):
        wanted = wanted.lerp(one, 1 / (k + 2) if average is None else 1 - decay)
    torch.testing.assert_close(mean.module[0].stored, wanted, atol=0.005, rtol=0)


def split_training(rank: int, port: int, answers) -> None:
    torch.set_num_threads(1)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.distributed.init_process_group("gloo", rank=rank, world_size=2)
    torch.manual_seed(0)
    try:
        model = nn.parallel.DistributedDataParallel(network(6, 3))
        model(torch.ones(4, 6)).sum().backward()
        answers.put("no refusal")
    except ai.InputError as error:
        answers.put(str(error))
    torch.distributed.destroy_process_group()


@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch was built without distributed training")
def test_training_in_parallel_processes_is_refused_in_one_sentence():
    context = torch.multiprocessing.get_context("spawn")
    answers = context.SimpleQueue()
    port = 20_000 + os.getpid() % 20_000
    processes = [context.Process(target=split_training, args=(rank, port, answers)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    for _ in range(2):
        assert "parallel training" in answers.get()


def test_workers_of_a_data_loader():
    model = network(6, 3)
    optimizer, data = ai.optim.InMemory(model.parameters(), lr=0.1), TensorDataset(torch.randn(32, 6), torch.arange(32) % 3)
    before = model[0].stored.clone()
    for x, y in DataLoader(data, batch_size=8, num_workers=2, multiprocessing_context="spawn"):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    assert not torch.equal(model[0].stored, before)


@pytest.mark.filterwarnings("default")
def test_a_compiled_model_learns_as_the_plain_one():
    losses = []
    for compiled in (False, True):
        torch.manual_seed(0)
        model = network(6, 5, 3)
        optimizer = ai.optim.InMemory(model.parameters(), lr=0.1)
        call = torch.compile(model, backend="eager") if compiled else model
        for _ in range(2):
            optimizer.zero_grad()
            F.cross_entropy(call(torch.ones(4, 6)), torch.tensor([0, 1, 2, 0])).backward()
            optimizer.step()
        losses.append(model[0].stored.clone())
    assert torch.equal(*losses)


def test_gradients_are_accumulated_over_small_batches():
    """Four batches of one sum are the update of the whole: the same vectors, in the same order."""
    gradients, x = [], torch.randn(8, 6)
    for size in (8, 2):
        torch.manual_seed(0)
        model = network(6, 3)
        optimizer = ai.optim.InMemory(model.parameters(), lr=0.01)
        for part in x.split(size):
            model(part).square().sum().backward()
        optimizer.step()
        gradients.append(model[0].stored.clone())
    torch.testing.assert_close(*gradients, atol=0.01, rtol=0)


def test_a_layer_in_a_transformer_of_torch():
    block = nn.TransformerEncoderLayer(8, 2, dim_feedforward=16, batch_first=True)
    block.self_attn = ai.nn.MultiheadAttention(8, 2, batch_first=True, design=IDEAL)
    block.linear1 = ai.nn.Linear(8, 16, design=IDEAL)
    optimizer, x = ai.optim.InMemory(block.parameters(), lr=0.01, digital=torch.optim.Adam), torch.randn(3, 5, 8)
    before = block.self_attn.q_proj.stored.clone()
    (block(x) - torch.randn(3, 5, 8)).square().sum().backward()
    optimizer.step()
    assert not torch.equal(block.self_attn.q_proj.stored, before)
    with torch.no_grad():
        assert block.eval()(x).shape == x.shape


def test_functional_transforms_are_refused_in_one_sentence():
    layer = ai.nn.Linear(4, 3, design=ai.Design(device="ideal"), seed=0)
    with pytest.raises(InputError, match=r"torch\.autograd"):
        torch.func.vmap(layer)(torch.rand(5, 2, 4))


def test_hooks_around_steps_run():
    layer, seen = ai.nn.Linear(4, 3, design=ai.Design(device="ideal"), seed=0), []
    optimizer = ai.optim.InMemory(layer.parameters(), lr=0.1)
    optimizer.register_step_pre_hook(lambda *_: seen.append("before"))
    optimizer.register_step_post_hook(lambda *_: seen.append("after"))
    optimizer.step()
    assert seen == ["before", "after"]
