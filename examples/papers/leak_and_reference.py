"""What the fast array of Tiki-Taka v2 should be read against when its capacitors leak (after Won et al., Adv. Sci. 2023).

784-256-128-10 on MNIST; the fast array is of the oxide-transistor cell (775 min of retention) or of the CMOS capacitor (1 s), the slow one
of the same device without leak. Drawn against the seconds that a sample takes: test error with the symmetry point as reference, with
the resting point, and with none (AGAD). Assumed, since one cell was measured: cells differ by 0.1 in step, 0.06 between up and down, and
rest 0.1 half ranges (standard deviation) around the middle of the range.

Usage: python leak_and_reference.py --data-dir FOLDER [--quick] [--out FOLDER]      (10 min; writes leak-and-reference.png and .json)
"""

from __future__ import annotations

from pathlib import Path

from _figure import keep, options

import aimco as ai

RULES = {"symmetry point": "tiki-taka-v2", "resting point": "retention-tiki-taka", "none (AGAD)": "agad"}
SECONDS = {"igzo-6t1c": (1e-2, 1.0, 10.0, 100.0, 300.0), "capacitor-cmos": (1e-7, 1e-5, 1e-4, 1e-3, 5e-3)}
SPREAD = {"step": 0.1, "asymmetry": 0.06, "resting_g": 0.1}


def design(device: str, rule: str, sample_s: float, epochs: int) -> ai.Design:
    """One point of the figure."""
    leaks = ai.Device.named(device).replace("resting_g", None).replace("spread", SPREAD)
    holds = leaks.replace("retention_s", float("inf")).replace("spread", {k: v for k, v in SPREAD.items() if k != "resting_g"})
    learning = {
        "kind": rule,
        "lr": 0.1,
        "transfer_every": 2,
        "lr_fast": 0.3,
        "granularity": 200.0,
        "max_pulses": 10,
        "slow_device": holds.as_dict(),
    }
    return ai.Design.of(
        {
            "device": leaks.as_dict(),
            "cell": {"kind": "reference", "weight_max": 0.4},
            "network": {"hidden": [256, 128], "activation": "tanh", "output_scale": "learned"},
            "rule": learning,
            "training": {"epochs": epochs, "batch": 10, "sample_s": sample_s},
        }
    )


def errors(device: str, rule: str, data_dir: str, quick: bool) -> list[float]:
    """Test error, %, for each of the seconds per sample: one ensemble."""
    designs = [design(device, rule, seconds, 1 if quick else 2) for seconds in SECONDS[device]]
    results = ai.evaluate_many(designs, "mnist", seeds=[0] * len(designs), data_dir=data_dir, limit=2000 if quick else 10_000)
    return [100 * (1 - result.accuracy) for result in results]


def main() -> None:
    from matplotlib.figure import Figure

    chosen = options(mnist="must")
    figure = Figure(figsize=(9, 4), layout="constrained")
    table: dict[str, dict[str, list[float]]] = {}
    for device, axis in zip(SECONDS, figure.subplots(1, 2, sharey=True), strict=True):
        tau = ai.Device.named(device).retention_s
        table[device] = {"seconds per sample": list(SECONDS[device])}
        print(f"{device}, retention {tau:g} s; seconds per sample {', '.join(f'{s:g}' for s in SECONDS[device])}")
        for name, rule in RULES.items():
            table[device][name] = errors(device, rule, chosen.data_dir, chosen.quick)
            axis.plot(SECONDS[device], table[device][name], "o-", label=name)
            print(f"  {name}: {', '.join(f'{e:.2f}' for e in table[device][name])} %", flush=True)
        axis.set(xscale="log", yscale="log", xlabel="seconds per sample", title=f"{device}, retention {tau:g} s")
        axis.legend(title="fast array read against its")
    figure.axes[0].set_ylabel("test error, MNIST (%)")
    folder = Path(chosen.out)
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / "leak-and-reference.png", dpi=120)
    keep(chosen.out, "leak-and-reference", {"test error, %": table})


if __name__ == "__main__":
    main()
