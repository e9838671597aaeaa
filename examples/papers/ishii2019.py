"""A hundred MNIST digits learned on the chip: spiking neurons around pairs of phase-change memory (Ishii 2019, IEDM).

Training accuracy after each pass with refresh and without: what only rises fills up, and full pairs no longer move. Then the lower halves
of twenty digits are hidden, and the machine completes them; a pixel is on where its neuron fires at half its largest rate or more.
Published: 92 % (Ishii 2019), 93 % (Shin 2022) on an 832 x 832 array.

Usage: python ishii2019.py --data-dir FOLDER [--quick] [--redraw] [--out FOLDER]      (8 min; writes ishii2019.png and .json)
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _chip import KNOWN, completed, design, hundred, taught
from _figure import figure_of

from aimco.tasks import Data

PUBLISHED = (0.92, 0.93)
SHOWN = 20  # digits that are completed


def learned(task: Data, refresh_every: int | None, passes: int) -> dict:
    """Accuracy after each pass, conductances of pairs at the end, and completed digits."""
    row: dict[str, Any] = {"refresh_every": refresh_every}

    def look(network) -> None:
        on, completion = completed(network, task, SHOWN, 1.0)
        hidden = slice(KNOWN, None)
        row["occluded_error"] = float(on[:, hidden].mean())
        row["completed_error"] = float(((completion >= 0.5).float() - on)[:, hidden].abs().mean())
        row["completed_error_of_rates"] = float((completion - on)[:, hidden].abs().mean())
        row["completed"] = completion.round(decimals=2).tolist()
        plus, minus = (g[0, : task.inputs] / network.device.g_max for g in network.matrices["W"].conductances())
        seen = (task.train_x > 0.5).float().mean(0) > 0.1
        row["mean_of_pairs"] = float(((plus + minus) / 2)[seen].mean())  # of g_max, where inputs are on in a tenth of the digits
        row["both_near_full"] = float((torch.minimum(plus, minus)[seen] > 0.75).float().mean())

    result = taught(design(passes, refresh_every), task, look)
    return row | {"training_accuracy": result.curves["test_accuracy"], "resets": result.counts["resets"]}


def run(chosen: argparse.Namespace) -> dict:
    torch.set_num_threads(1)
    task = hundred(chosen.data_dir)
    rows = [learned(task, every, 2 if chosen.quick else 30) for every in (100, None)]
    for row in rows:
        print(
            f"refresh {row['refresh_every']}: {100 * row['training_accuracy'][-1]:.0f} %, best {100 * max(row['training_accuracy']):.0f} %,"
        )
        print(f"  hidden pixels wrong {row['occluded_error']:.3f}, completed {row['completed_error']:.3f},")
        print(f"  both devices above 0.75 of the range in {100 * row['both_near_full']:.0f} % of pairs of inputs in use")
    return {"published": PUBLISHED, "rows": rows, "digits": (task.train_x[:SHOWN] > 0.5).int().tolist()}


def draw(result: dict, path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.4))
    accuracies = [100 * np.array(row["training_accuracy"]) for row in result["rows"]]
    for accuracy, label in zip(accuracies, ("with refresh", "without"), strict=True):
        left.plot(range(1, len(accuracy) + 1), accuracy, label=label)
    for share in result["published"]:
        left.axhline(100 * share, color="0.6", linestyle=":", linewidth=1)
    left.text(1, 100 * result["published"][0] - 1, "published", color="0.4", va="top")
    left.set(xlabel="passes over 100 digits", ylabel="training accuracy (%)", ylim=(0, 102), title="Pairs of phase-change memory")
    left.legend(loc="lower right")
    with_refresh, without = result["rows"]
    digits = np.array(result["digits"])[:10]
    cut = np.where(np.arange(784) < KNOWN, digits, 0)
    rows = (digits, cut, *(np.array(row["completed"])[:10] for row in result["rows"]))
    whole = np.concatenate([np.concatenate(list(images.reshape(-1, 28, 28)), 1) for images in rows])
    right.imshow(whole, cmap="gray_r", vmin=0, vmax=1)
    right.set_yticks([14, 42, 70, 98], ["digit", "occluded", "completed,\nwith refresh", "completed,\nwithout"])
    right.set_xticks([])
    wrong = (with_refresh["occluded_error"], with_refresh["completed_error"], without["completed_error"])
    right.set_title("Hidden pixels wrong: occluded {:.3f},\ncompleted {:.3f} with refresh, {:.3f} without".format(*wrong))
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    figure_of("ishii2019", run, draw, mnist="must")
