"""What learning on the chip costs: energy of a synaptic operation and of a sample (Shin 2022, Adv. Intell. Syst. 4, 2200034).

A hundred MNIST digits are learned as in ishii2019.py; the ledger of the run is then priced at 90 nm and as projected to 28 nm. The energy
of a synaptic operation here is all that was spent over the weights that spikes read, so that refresh, pulses and random walks come on top
of the published one, which is an input and not reproduced. Published: 93 %; 8.95 at 90 nm and 5.39 at 28 nm, whose unit is taken to be pJ.

Usage: python shin2022.py --data-dir FOLDER [--quick] [--out FOLDER]      (5 min; writes shin2022.json)
"""

from __future__ import annotations

import torch
from _chip import design, hundred, taught
from _figure import keep, options

from aimco.cost.price import price
from aimco.ledger import Counts

PUBLISHED = {"accuracy": 0.93, "spiking-90nm": 8.95e-12, "spiking-28nm": 5.39e-12}


def main() -> None:
    chosen = options(mnist="must")
    torch.set_num_threads(1)
    task, passes = hundred(chosen.data_dir), 2 if chosen.quick else 30
    chip_design, ledger, shapes = design(passes, 100), {}, {}

    def look(network) -> None:
        ledger.update({name: counts.member(0) for name, counts in network.counts.items()})
        shapes.update(network.shapes)

    result, samples = taught(chip_design, task, look), passes * len(task.train_x)
    total = Counts.total(ledger.values())
    report = {"published": PUBLISHED, "training_accuracy": result.curves["test_accuracy"], "synaptic_ops": total["synaptic_ops"] / samples}
    for technology in ("spiking-90nm", "spiking-28nm"):
        cost = price(chip_design.replace("technology", technology), {"chip": ledger}, samples=samples, shapes={"chip": shapes})
        parts = {name: joules / samples for name, joules in cost.energy_J.items() if joules}
        report[technology] = {"sample_J": parts, "synaptic_op_J": cost.energy_J["total"] / total["synaptic_ops"]}
        each, all_J = 1e12 * report[technology]["synaptic_op_J"], 1e6 * parts["total"]
        print(f"{technology}: {all_J:.1f} uJ a sample, {each:.2f} pJ a synaptic operation (published {1e12 * PUBLISHED[technology]:g})")
    print(f"training accuracy {100 * result.accuracy:.0f} % (published 93 %)")
    keep(chosen.out, "shin2022", report)


if __name__ == "__main__":
    main()
