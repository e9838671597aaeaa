"""Five usual torch models on analog layers beside the same models in plain torch: what is lost, in points of test accuracy.

MLP, LeNet, residual network with BatchNorm, bidirectional GRU and transformer learn the embedded 8 x 8 digits in one ordinary training
loop. The layers come from `torch.nn` or from `aimco.nn`, the optimizer is `torch.optim.SGD` or `aimco.optim.InMemory`; nothing else
differs: learning rates, schedule, order of samples and number of epochs are those of torch.

Usage: python torch_models.py [--seeds N] [--quick] [--out FOLDER]      (10 min a seed; writes torch-models.json after each seed)
"""

from __future__ import annotations

import argparse
import functools
import itertools
import statistics
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

import aimco as ai
from aimco.tasks import Data, batches, load
from aimco.terminal import keep, steps

BATCH, EPOCHS = 10, 15
# Plain SGD needs steps that are alike up and down: on soft bounds it pulls weights to the symmetry point (Wu 2024). `rpu` is the device
# that it was specified for (Gokmen & Vlasov 2016). The two other rules were made for soft bounds. All numbers of the rules are defaults.
RULES = {"sgd": "rpu", "tiki-taka-v2": "soft-bounds", "agad": "soft-bounds"}
RATES = {"GRU": 0.3}  # of torch and of plain SGD, where 0.1 is not enough in so many epochs; the other rules take the rate of their own
NAMES = ("Linear", "Conv2d", "GRU", "MultiheadAttention")


def layers(design: ai.Design | None) -> Any:
    """The layers of torch, or those of aimco for a design."""
    classes = {n: getattr(nn, n) if design is None else functools.partial(getattr(ai.nn, n), design=design) for n in NAMES}
    return SimpleNamespace(**classes)


def mlp(of: Any) -> nn.Module:
    """64-32-10."""
    return nn.Sequential(nn.Flatten(), of.Linear(64, 32), nn.ReLU(), of.Linear(32, 10))


def lenet(of: Any, activation: type[nn.Module] = nn.Tanh) -> nn.Module:
    """Two convolutions with pooling, two fully connected layers (LeCun 1998, smaller)."""
    first = [of.Conv2d(1, 8, 3, padding=1), activation(), nn.MaxPool2d(2)]
    second = [of.Conv2d(8, 16, 3, padding=1), activation(), nn.MaxPool2d(2)]
    return nn.Sequential(*first, *second, nn.Flatten(), of.Linear(64, 32), activation(), of.Linear(32, 10))


class Block(nn.Module):
    """x + f(x), f two convolutions with BatchNorm (He 2016)."""

    def __init__(self, of: Any, channels: int) -> None:
        super().__init__()
        first, second = (of.Conv2d(channels, channels, 3, padding=1, bias=False) for _ in range(2))
        self.f = nn.Sequential(first, nn.BatchNorm2d(channels), nn.ReLU(), second, nn.BatchNorm2d(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x + self.f(x))


def residual(of: Any) -> nn.Module:
    """A convolution and two residual blocks of 8 channels."""
    first = [of.Conv2d(1, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU()]
    return nn.Sequential(*first, Block(of, 8), nn.MaxPool2d(2), Block(of, 8), nn.Flatten(), of.Linear(128, 10))


class Gru(nn.Module):
    """Two bidirectional layers of 24 units; the rows of the image are the time steps."""

    def __init__(self, of: Any) -> None:
        super().__init__()
        self.gru = of.GRU(8, 24, num_layers=2, bidirectional=True, batch_first=True)
        self.out = of.Linear(48, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.gru(x[:, 0])[0].mean(1))


class Transformer(nn.Module):
    """One block of 4 heads and width 32; the rows of the image are the tokens."""

    def __init__(self, of: Any, width: int = 32) -> None:
        super().__init__()
        self.embed, self.place = of.Linear(8, width), nn.Parameter(0.1 * torch.randn(8, width))
        self.attention = of.MultiheadAttention(width, 4, batch_first=True)
        self.feed_forward = nn.Sequential(nn.LayerNorm(width), of.Linear(width, 2 * width), nn.ReLU(), of.Linear(2 * width, width))
        self.norm, self.out = nn.LayerNorm(width), nn.Sequential(nn.LayerNorm(width), of.Linear(width, 10))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.embed(x[:, 0]) + self.place
        tokens = self.norm(h)
        h = h + self.attention(tokens, tokens, tokens, need_weights=False)[0]
        return self.out((h + self.feed_forward(h)).mean(1))


MODELS = {
    "MLP": mlp,
    "LeNet, tanh": lenet,
    "LeNet, ReLU": functools.partial(lenet, activation=nn.ReLU),
    "residual, BatchNorm": residual,
    "GRU": Gru,
    "transformer": Transformer,
}


def rate(name: str, rule: str | None) -> float:
    """Learning rate of a model, in torch or under a rule."""
    return RATES.get(name, 0.1) if rule in (None, "sgd") else ai.Rule.of_kind(rule)().lr


def accuracy(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> float:
    """Test accuracy, %."""
    model.eval()
    with torch.no_grad():
        right = model(x).argmax(1) == y
    model.train()
    return 100 * float(right.float().mean())


def train(name: str, rule: str | None, task: Data, epochs: int, seed: int) -> float:
    """Accuracy after the last epoch, %, of a model taught by a rule, or in plain torch."""
    torch.manual_seed(seed)
    design = None if rule is None else ai.Design.of({"device": RULES[rule], "rule": {"kind": rule}})
    model, lr = MODELS[name](layers(design)), rate(name, rule)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr) if design is None else ai.optim.InMemory(model.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    x, test_x = (images.reshape(-1, 1, 8, 8) for images in (task.train_x, task.test_x))
    for epoch in range(epochs):
        for index in batches(task, BATCH, epoch, seed):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[index]), task.train_y[index]).backward()
            optimizer.step()
        schedule.step()
    return accuracy(model, test_x, task.test_y)


Found = dict[tuple[str, str | None], list[float]]


def found_by(seeds: int, epochs: int) -> Iterator[Found]:
    """Accuracies so far, %, of each model and rule, after each seed."""
    task, accuracies = load("digits"), {}
    runs = list(itertools.product(MODELS, (None, *RULES)))
    with steps("torch models") as on_step:
        for seed in range(seeds):
            for k, (name, rule) in enumerate(runs):
                on_step(f"{name}, {rule or 'torch'}, seed {seed}", (seed + k / len(runs)) / seeds)
                accuracies.setdefault((name, rule), []).append(train(name, rule, task, epochs, seed))
            yield accuracies


def as_rows(accuracies: Found) -> list[dict[str, Any]]:
    """One row for each model and rule: accuracy of each seed, mean and standard deviation, and points lost to torch."""
    rows = []
    for (name, rule), ours in accuracies.items():
        row = {"model": name, "rule": rule or "torch", "device": RULES[rule] if rule else None, "lr": rate(name, rule)}
        lost = statistics.fmean(accuracies[name, None]) - statistics.fmean(ours)
        rows.append(row | {"accuracy": ours, "mean": statistics.fmean(ours), "std": spread(ours), "lost": lost})
    return rows


def spread(values: list[float]) -> float | None:
    """Standard deviation over seeds; None of one."""
    return statistics.stdev(values) if len(values) > 1 else None


def as_text(rows: list[dict[str, Any]]) -> str:
    """The table of the documents: accuracy of each rule, and points lost to torch."""
    columns = ["torch", *RULES]
    heads = ["torch.nn, SGD", *(f"`{rule}` on `{device}`" for rule, device in RULES.items())]
    lines = [f"| model | lr | {' | '.join(heads)} |", "|---|---:|" + "---:|" * len(heads)]
    for name in MODELS:
        by_rule = {r["rule"]: r for r in rows if r["model"] == name}
        cells = [
            f"{by_rule[c]['mean']:.1f}"
            + (f" ± {by_rule[c]['std']:.1f}" if by_rule[c]["std"] is not None else "")
            + (f" ({0 - by_rule[c]['lost']:+.1f})" if c != "torch" else "")
            for c in columns
        ]
        lines.append(f"| {name} | {by_rule['torch']['lr']:g} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    known = argparse.ArgumentParser()
    known.add_argument("--quick", action="store_true", help="one epoch, one seed: that it runs")
    known.add_argument("--seeds", type=int, default=3)
    known.add_argument("--out", default=".")
    chosen = known.parse_args()
    seeds, epochs = (1, 1) if chosen.quick else (chosen.seeds, EPOCHS)
    for accuracies in found_by(seeds, epochs):
        rows = as_rows(accuracies)
        keep(chosen.out, "torch-models", {"task": "digits", "batch": BATCH, "epochs": epochs, "schedule": "cosine to 0", "rows": rows})
    print(as_text(rows), end="")


if __name__ == "__main__":
    main()
