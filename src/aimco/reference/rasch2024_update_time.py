"""Time that the update of a 512 x 512 array takes under each learning rule, from the operations counted (Rasch et al. 2024)."""

from __future__ import annotations

import torch

from aimco.cost.price import price
from aimco.design import Design
from aimco.nn.linear import Linear
from aimco.plain_data import PlainData
from aimco.reference import Row, Settings

SOURCE = (
    "Rasch et al., Nat. Commun. 15:7133 (2024), and Li, arXiv 2510.02516 (residual learning): update time per sample, 512 x 512 weights"
)
NEEDS = None

SIZE, SAMPLES = 512, 200
READ_S, SLOT_S = 40e-9, 5e-9  # a slot has a part for each polarity
_TRANSFER = {"transfer_every": 2, "max_pulses": 1, "granularity": 1e-3}
CASES: dict[str, tuple[float, PlainData, int]] = {  # published ns, rule, slots of a train
    "SGD": (30.9, {"kind": "sgd"}, 5),
    "Tiki-Taka v2": (56.3, {"kind": "tiki-taka-v2"} | _TRANSFER, 5),
    "chopped Tiki-Taka v2": (56.3, {"kind": "chopped-tiki-taka-v2"} | _TRANSFER, 5),
    "AGAD": (62.1, {"kind": "agad"} | _TRANSFER, 5),
    "AGAD, a read in 10 samples, trains of 1": (17.1, {"kind": "agad"} | _TRANSFER | {"transfer_every": 10}, 1),
    "mixed precision, written every 100 samples": (3024.5, {"kind": "mixed-precision", "transfer_every": 100}, 5),
    "residual learning, 3 arrays": (
        95.9,
        {"kind": "residual", "num_arrays": 3, "transfer_every": 2, "slower": 1, "transfer_lr": 1e6, "max_pulses": 5},
        5,
    ),
}


def design(rule: PlainData, slots: int) -> Design:
    """Reads of 40 ns, slots of 5 ns, trains of fixed length, 175e9 digital operations per second."""
    pulses = {"length": slots, "update_bl_management": False}
    periphery = {"read_s": READ_S, "pulse_s": SLOT_S / 2, "pulses": pulses}
    return Design.of({"device": "soft-bounds", "rule": rule, "periphery": periphery, "technology": "rpu-2016", "network": {"bias": "none"}})


def update_ns(case: Design) -> float:
    """Nanoseconds of one sample's update, from the counts of 200: what a chip would do, priced.

    Work per sample on N x N weights, n_s samples between reads: SGD 2 N operations (largest |x| and |d|) and a train of slots;
    Tiki-Taka v2 adds a read, one slot and 2 N operations every n_s samples, AGAD 6 N; mixed precision 2 N^2 + N operations and, every
    batch, N slots; residual learning a read and a train for each transfer.
    """
    layer = Linear(SIZE, SIZE, False, design=case, name="linear", seed=0)
    draws = torch.Generator().manual_seed(0)
    lr = 0.01
    if case.rule.kind == "mixed-precision":  # every weight is due one pulse when it is written
        x = d = torch.ones(1, SAMPLES, SIZE)
        lr = float(layer.matrices["W"].step[0]) / 100
    else:
        x, d = torch.randn(2, 1, SAMPLES, SIZE, generator=draws)
    before = {name: matrix.counts for name, matrix in layer.matrices.items()}
    layer.rule.update(layer.matrices, layer.rule_state, x, d, lr)
    done = {name: (matrix.counts - before[name]).member(0) for name, matrix in layer.matrices.items()}
    shapes = dict.fromkeys(done, (SIZE, SIZE))
    return 1e9 * price(case, {"layer": done}, shapes={"layer": shapes}).latency_s / SAMPLES


def run(settings: Settings) -> list[Row]:
    """Every rule, within 0.1 ns."""
    rows = []
    for k, (name, (published, rule, slots)) in enumerate(CASES.items()):
        if settings.on_step:
            settings.on_step(name, k / len(CASES))
        rows.append(Row(name, published, update_ns(design(rule, slots)), 0.1, "ns"))
    return rows
