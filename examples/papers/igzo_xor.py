"""XOR learned on the 5 x 5 array of oxide-transistor cells: ten starts, and where time and energy go (control program, Yoon 2023).

Drawn from the run of `aimco reference run igzo-xor`, whose protocol and assumptions are in `src/aimco/reference/igzo_xor.py`: the largest
distance of an output from its target against epochs, and the shares of time and of energy that zeroing, reading and writing take.

Usage: python igzo_xor.py [--quick] [--out FOLDER]      (10 s; writes igzo-xor.png)
"""

from __future__ import annotations

from pathlib import Path

from _figure import options

from aimco.reference import Settings
from aimco.reference.igzo_xor import LEARNED, Run, whole, worst


def draw_learning(axis, result: Run) -> None:
    """One curve for each start."""
    distance = worst(result.outputs)
    axis.plot(range(1, len(distance) + 1), distance, linewidth=1)
    axis.axhline(LEARNED, color="black", linestyle=":", linewidth=1)
    axis.text(len(distance), LEARNED + 0.02, "learned below", ha="right")
    learned = int((distance[-1] < LEARNED).sum())
    axis.set(xlabel="epochs of four samples", ylabel="largest |output - target|", ylim=(0, 1), xscale="log")
    axis.set_title(f"XOR on nine cells: {learned} of {distance.shape[1]} starts")


def draw_shares(axis, result: Run) -> None:
    """Two bars, each cut into zeroing, reading and writing."""
    bars = {
        f"time, {result.zeroing_s + result.reading_s + result.writing_s:.1f} s": (result.zeroing_s, result.reading_s, result.writing_s),
        "energy (assumed)": (result.zeroing_J, result.reading_J, result.writing_J),
    }
    left = [0.0] * len(bars)
    for k, work in enumerate(("zeroing", "reading", "writing")):
        shares = [100 * parts[k] / sum(parts) for parts in bars.values()]
        percents = ", ".join(f"{share:.2g} %" for share in shares)
        axis.barh(list(bars), shares, height=0.6, left=left, label=f"{work}: {percents}")
        left = [a + b for a, b in zip(left, shares, strict=True)]
    axis.set(xlabel="share (%)", xlim=(0, 100), ylim=(-0.5, 2.4), title="Zeroing once, then learning")
    axis.legend(loc="upper center", title="share of time, of energy")


def main() -> None:
    from matplotlib.figure import Figure

    chosen = options()
    result = whole(Settings(quick=chosen.quick))
    figure = Figure(figsize=(9, 4), layout="constrained")
    learning, shares = figure.subplots(1, 2)
    draw_learning(learning, result)
    draw_shares(shares, result)
    folder = Path(chosen.out)
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / "igzo-xor.png", dpi=120)
    print(f"time: zeroing {result.zeroing_s:.2f} s, reading {result.reading_s:.2f} s, writing {result.writing_s:.4f} s")


if __name__ == "__main__":
    main()
