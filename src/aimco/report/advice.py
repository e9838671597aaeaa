"""An advice as sentences, tables, pictures, and one page with the designs and the commands that repeat them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.table import Table

from aimco.advice.answer import Answer, Confirmed, Demand, Influence, Trial, ties
from aimco.design import Design
from aimco.outputs import write_outputs
from aimco.report import markup
from aimco.report.device import device_figure, png
from aimco.units import text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SHOWN_TRIALS = 40  # ways to learn in tables
_LEARNS = 0.2  # of what software gains over chance, below which a device is said not to learn


def sentences(answer: Answer) -> list[str]:
    """The answer in words, the verdict first."""
    best = answer.best
    if best is None:
        return [_unconfirmed(answer), *_refused(answer)]
    words = [_verdict(answer, best), _costs(best), _wear(best)]
    words += _equals(answer.confirmed) + _second(answer.confirmed)
    words += [w for w in (_held_back(answer.influences), *map(_demand, answer.demands)) if w]
    return words + _refused(answer) + ([] if answer.finished else ["Not all that was planned was run in the time given."])


def _unconfirmed(answer: Answer) -> str:
    leaders = answer.best_trials()
    if leaders and all(t.score != t.score for t in leaders):
        return f"Every run on {answer.device} failed: {leaders[0].reason}."
    if not leaders:
        return f"Nothing was tried on {answer.device} in the time given; give more minutes."
    return f"{leaders[0].candidate.name} led on {answer.device} with {leaders[0].score:.1f} %, but was not confirmed in the time given."


def _percent(one: Confirmed) -> str:
    margin = f" +- {one.margin:.1f}" if np.isfinite(one.margin) else ""
    return f"{one.score:.1f}{margin} %"


def _verdict(answer: Answer, best: Confirmed) -> str:
    digital = "" if answer.digital is None else f" ({_percent(answer.digital)} in software)"
    if answer.digital is not None and best.score < answer.chance + _LEARNS * (answer.digital.score - answer.chance):
        tried = f"{answer.device} does not learn {answer.task} by any rule that was tried"
        return f"{tried}: {best.candidate.name} is best with {_percent(best)}{digital}."
    return f"{answer.device} learns {answer.task} best with {best.candidate.name}: {_percent(best)} {answer.metric}{digital}."


def _costs(best: Confirmed) -> str:
    m = best.metrics
    parts = [f"{text(m['energy_sample'], 'J')} and {text(m['latency'], 's')} for a training sample"]
    parts += [f"{text(m['energy_inference'], 'J')} and {text(m['latency_inference'], 's')} for an inference", text(m["area"], "m^2")]
    return f"It takes {', '.join(parts)}."


def _wear(best: Confirmed) -> str:
    """Pulses of training beside the endurance of the device."""
    pulses, endurance = best.metrics["device_pulses"], best.design.device.endurance
    words = f"Training puts {pulses:,.0f} pulses on a device of the busiest array, in the mean"
    if endurance is None:
        return f"{words}; device.endurance, if given, would be held against it."
    return (
        f"{words}: {pulses / endurance:.1%} of its endurance."
        if pulses > 1e-3 * endurance
        else f"{words}, of {endurance:.2g} that it survives."
    )


def _equals(confirmed: Sequence[Confirmed]) -> list[str]:
    same = [c.candidate.name for c in confirmed[1:] if ties(confirmed[0], c)]
    return [f"The seeds do not tell it from {'; '.join(same)}."] if same else []


def _second(confirmed: Sequence[Confirmed]) -> list[str]:
    """What the next best differs by in price, if it differs."""
    if len(confirmed) < 2:
        return []
    first, second = confirmed[:2]
    names = {"energy_sample": "energy of a training sample", "latency": "time of a training sample", "area": "area"}
    ratios = {name: second.metrics[key] / first.metrics[key] for key, name in names.items() if first.metrics[key] > 0}
    differs = [f"{ratio:.2g} times the {name}" for name, ratio in ratios.items() if not 0.9 < ratio < 1.1]
    return [f"The second best, {second.candidate.name} ({_percent(second)}), needs {', '.join(differs)}."] if differs else []


def _held_back(influences: Sequence[Influence]) -> str:
    better = [i for i in influences if i.matters and i.gain > 0]
    if not influences:
        return ""
    if not better:
        return "No line of its datasheet, improved by a factor of two, changes the result beyond the spread of the seeds."
    return "What would help: " + "; ".join(f"{i.name} {i.change} gains {i.gain:.1f} +- {i.margin:.1f} points" for i in better[:3]) + "."


def _demand(demand: Demand) -> str:
    if demand.needed is None:
        return f"{demand.name}: already {demand.values[0]:g} {demand.unit} costs {demand.lost[0]:.1f} points."
    if demand.needed == demand.values[-1]:
        return f"{demand.name}: {demand.needed:g} {demand.unit} still costs less than a point."
    return f"{demand.name}: {demand.needed:g} {demand.unit} is enough to lose less than a point."


def _refused(answer: Answer) -> list[str]:
    rules = list(dict.fromkeys(r.rule for r in answer.refused if r.rule not in answer.admitted))
    return [f"Not admitted: {', '.join(rules)}; the page says which field would admit each."] if rules else []


def _all(answer: Answer) -> list[Confirmed]:
    """The confirmed designs, and software."""
    return [*answer.confirmed, *([answer.digital] if answer.digital else [])]


def confirmed_rows(answer: Answer) -> list[dict[str, object]]:
    """A row for each confirmed design and for software."""
    rows = []
    for one in _all(answer):
        m = one.metrics
        rows.append(
            {
                "way to learn": one.candidate.name,
                answer.metric: _percent(one),
                "setting": _setting(one.setting),
                "training sample": f"{text(m['energy_sample'], 'J')}, {text(m['latency'], 's')}",
                "inference": f"{text(m['energy_inference'], 'J')}, {text(m['latency_inference'], 's')}",
                "area": text(m["area"], "m^2"),
                "seeds": len(one.scores),
            }
        )
    return rows


def _setting(setting: Mapping[str, float]) -> str:
    return ", ".join(f"{path.removeprefix('rule.')} {value:.3g}" for path, value in setting.items()) or "as the device suggests"


def table(answer: Answer) -> Table:
    """The confirmed designs, for a terminal."""
    rich_table = Table(title=f"{answer.device} on {answer.task}", box=None)
    rows = confirmed_rows(answer)
    for column in rows[0] if rows else ("way to learn",):
        rich_table.add_column(column, justify="left" if column in ("way to learn", "setting") else "right")
    for row in rows:
        rich_table.add_row(*map(str, row.values()))
    return rich_table


def trial_rows(trials: Sequence[Trial]) -> list[dict[str, object]]:
    """The best setting of each way to learn."""
    return [
        {
            "way to learn": t.candidate.name,
            "best score, %": f"{t.score:.1f}" if t.score == t.score else t.reason or "failed",
            "part of the schedule": f"{100 * t.share:.0f} %",
            "setting": _setting(t.setting),
        }
        for t in trials
    ]


def figures(answer: Answer) -> dict[str, Figure]:
    """Pictures by title: the ways to learn, what holds the device back, what the circuit must give, the device itself."""
    drawn = {"Ways to learn": _ways(answer)} if answer.confirmed or answer.trials else {}
    if answer.influences:
        drawn["What holds the device back"] = _influences(answer.influences)
    if answer.demands:
        drawn["What the circuit must give"] = _demands(answer.demands)
    if answer.best is not None:
        drawn["Pulse response of the device"] = device_figure([answer.best.design.device])
    return drawn


def _ways(answer: Answer) -> Figure:
    from matplotlib.figure import Figure

    trials = [t for t in answer.best_trials() if t.score == t.score][:_SHOWN_TRIALS][::-1]
    figure = Figure(figsize=(8.0, 1.7 + 0.22 * len(trials)), layout="constrained")
    axes = figure.subplots()
    colors = ["C0" if t.share == 1 else "0.7" for t in trials]
    axes.barh(range(len(trials)), [t.score for t in trials], color=colors)
    axes.set_yticks(range(len(trials)), [t.candidate.name for t in trials], fontsize=8)
    confirmed = {c.candidate.name: c for c in answer.confirmed}
    for k, trial in enumerate(trials):
        one = confirmed.get(trial.candidate.name)
        if one is not None:
            axes.errorbar(one.score, k, xerr=one.margin, color="k", marker="o", markersize=4, capsize=3)
    if answer.digital is not None:
        axes.axvline(answer.digital.score, color="tab:red", linewidth=1, label="software")
    axes.set_xlabel(f"{answer.metric}, %")
    axes.plot([], [], "s", color="C0", label="one seed, whole schedule")
    axes.plot([], [], "s", color="0.7", label="one seed, part of the schedule")
    axes.errorbar([], [], xerr=[], color="k", marker="o", markersize=4, capsize=3, label="confirmed, 95 % interval")
    figure.legend(loc="outside lower center", ncols=2, fontsize=8)
    axes.margins(y=0.01)
    return figure


def _influences(influences: Sequence[Influence]) -> Figure:
    from matplotlib.figure import Figure

    largest = list(influences)[:16][::-1]
    figure = Figure(figsize=(8.0, 1.2 + 0.3 * len(largest)), layout="constrained")
    axes = figure.subplots()
    margins = [i.margin if np.isfinite(i.margin) else 0.0 for i in largest]
    axes.barh(
        range(len(largest)), [i.gain for i in largest], xerr=margins, color=["C2" if i.gain > 0 else "C3" for i in largest], capsize=2
    )
    axes.set_yticks(range(len(largest)), [f"{i.name} {i.change}" for i in largest], fontsize=8)
    axes.axvline(0, color="k", linewidth=0.8)
    axes.set_xlabel("gain, points (bars: 95 % interval over seeds)")
    return figure


def _demands(demands: Sequence[Demand]) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.4 * len(demands), 3.2), layout="constrained")
    for axes, demand in zip(np.ravel(figure.subplots(1, len(demands), sharey=True)), demands, strict=True):
        margins = [m if np.isfinite(m) else 0.0 for m in demand.margins]
        axes.errorbar(demand.values, demand.lost, yerr=margins, fmt="o-", color="C0", capsize=2)
        axes.axhline(1, color="tab:red", linewidth=0.8)
        if demand.unit == "Ohm":
            axes.set_xscale("log")
        else:
            axes.invert_xaxis()
        axes.set_xlabel(f"{demand.name}, {demand.unit}")
    axes = figure.axes[0]
    axes.set_ylabel("points lost (bars: 95 % interval)")
    return figure


def write(answer: Answer, folder: str | Path) -> Path:
    """advice.html, its pictures and the confirmed designs in a folder; returns the page."""
    at, images = Path(folder), {title: png(figure) for title, figure in figures(answer).items()}
    designs = {_file(k, one): one.design for k, one in enumerate(_all(answer))}
    files: dict[str, str | bytes] = {f"pictures/{re.sub(r'[^a-z0-9]+', '-', t.lower())}.png": data for t, data in images.items()}
    for name, design in designs.items():
        sheet, copies = design.packed(at / "designs" / name)
        files |= {f"designs/{name}": sheet} | {f"designs/{copy}": content for copy, content in copies.items()}
    write_outputs(at, files | {"advice.html": _page(answer, images, designs, at)})
    return at / "advice.html"


def _file(k: int, one: Confirmed) -> str:
    return f"{k + 1}-{re.sub(r'[^a-z0-9]+', '-', one.candidate.name.lower()).strip('-')}.toml"


def _page(answer: Answer, images: Mapping[str, bytes], designs: Mapping[str, Design], folder: Path) -> str:
    head = f"Which algorithm makes {answer.device} learn {answer.task}?"
    refused = [{"rule": r.rule, "cell": r.cell, "against": r.reference or "-", "what would admit it": r.reason} for r in answer.refused]
    pictures = {title: markup.image(title, data) for title, data in images.items()}
    parts = [
        f"<h1>{markup.text(head)}</h1>",
        f"<p>Made by <code>{markup.text(answer.command)}</code> in {answer.took_s:.0f} s</p>",
        markup.listed([*sentences(answer), *answer.notes]),
        markup.section("Confirmed", markup.rows_table(confirmed_rows(answer))),
        *(markup.section(title, picture) for title, picture in pictures.items()),
        markup.section("Every way that was tried", markup.rows_table(trial_rows(answer.best_trials()))),
        markup.section("What the device does not admit", markup.rows_table(refused)),
        markup.section("The designs", *(_design(answer, name, design, folder) for name, design in designs.items())),
    ]
    return markup.whole(head, [part for part in parts if part])


def _design(answer: Answer, name: str, design: Design, folder: Path) -> str:
    """A design as TOML, and the command and the Python that run it."""
    file = str(folder / "designs" / name)
    command = shlex.join(["aimco", "run", file, "--task", answer.task_text])
    python = f"import aimco as ai\n\nresult = ai.evaluate(ai.Design.load({file!r}), {answer.task_text!r})"
    words = f"<pre>{markup.text(command)}</pre><pre>{markup.text(python)}</pre>"
    words += f'<pre data-file="{markup.text(name)}">{markup.text(design.dumps())}</pre>'
    return f"<details><summary>{markup.text(name)}</summary>{words}</details>"
