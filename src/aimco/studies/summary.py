"""What a study found, as a table, files and one JSON document."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from aimco.plain_data import PlainData
from aimco.studies.axis import label
from aimco.studies.front import front, hypervolume, knee
from aimco.studies.metrics import metric
from aimco.studies.sensitivity import sensitivity
from aimco.studies.space import Study
from aimco.studies.trial import Trial
from aimco.units import text

_SIDES = {"at_least": "at least", "at_most": "at most"}
KNEE = "the point farthest from the line between the ends of the front, objectives normalised to it, wide costs as logarithms"


def format_metric(name: str, value: float) -> str:
    """A metric's value with its unit."""
    known = metric(name)
    if known.percent:
        return f"{100 * value:.2f} %"
    return text(value, known.unit) if known.unit else f"{value:.4g}"


def describe_progress(study: Study, trials: Sequence[Trial], done: int, size: int) -> str:
    """How far a study is: counts and the best of each objective so far."""
    best = front(trials)
    counts = Counter(t.state for t in trials)
    parts = [f"{done} of {size} trials", *(f"{counts[state]} {state}" for state in ("pruned", "failed") if counts[state])]
    if not best:
        return ", ".join([*parts, "none feasible yet"])
    if len(study.objectives) > 1:
        parts.append(f"{len(best)} on the front")
    for objective in study.objectives:
        values = [t.values[objective.name] for t in best]
        parts.append(f"best {objective.name} {format_metric(objective.name, (max if objective.best == 'max' else min)(values))}")
    return ", ".join(parts)


def pruned(trials: Sequence[Trial]) -> list[str]:
    """What was pruned, in a sentence; none where nothing was."""
    ended = [t for t in trials if t.state == "pruned"]
    epochs = sum(t.epochs for t in ended)
    return [f"pruned, {len(ended)} of {len(trials)}: after {epochs / len(ended):.1f} epochs on average"] if ended else []


def options(study: Study, data_dir: str | None) -> list[str]:
    """Of `aimco run` for any of its points."""
    words = ["--limit", str(study.limit)] if study.limit is not None else []
    return words + (["--data-dir", data_dir] if data_dir is not None else [])


def commands(study: Study, trial: Trial, out: str, data_dir: str | None) -> list[str]:
    """What runs a point again, one command for each seed."""
    design = str(Path(out) / "designs" / f"trial-{trial.number}.toml")
    words = ["aimco", "run", design, "--task", study.task.text(), *options(study, data_dir)]
    return [shlex.join([*words, "--seed", str(seed)]) for seed in trial.seeds]


def bounds(study: Study) -> list[str]:
    """The constraints in words."""
    sides = ((name, word, getattr(bound, side)) for name, bound in study.constraints.items() for side, word in _SIDES.items())
    return [f"{name} {word} {format_metric(name, limit)}" for name, word, limit in sides if limit is not None]


def table(study: Study, trials: Sequence[Trial]) -> Table:
    """The front, best of the first objective first; the knee is marked."""
    best = front(trials)
    bend = knee(best)
    title = "Pareto front" if len(study.objectives) > 1 else "Best trial"
    front_table = Table(title=f"{study.name}: {title}", caption=f"knee: {KNEE}" if len(best) > 2 else None)
    front_table.add_column("trial", justify="right")
    for objective in study.objectives:
        front_table.add_column(f"{objective.name} ({objective.best})", justify="right", no_wrap=True)
    front_table.add_column("point")
    for trial in best:
        mark = " knee" if trial is bend and len(best) > 2 else ""
        values = [format_metric(name, value) for name, value in trial.values.items()]
        front_table.add_row(f"{trial.number}{mark}", *values, "  ".join(f"{path} {_cell(value)}" for path, value in trial.point.items()))
    return front_table


def _cell(value: object) -> str:
    if isinstance(value, dict):
        return str(value.get("kind", label(value)))
    return f"{value:.4g}" if isinstance(value, float) else label(value)


def document(study: Study, trials: Sequence[Trial], storage: str, out: str, data_dir: str | None) -> PlainData:
    """The study as `aimco study --json` prints it."""
    best = front(trials)
    bend = knee(best)
    points = [
        {"trial": t.number, "values": t.values, "point": t.point, "knee": t is bend, "run": commands(study, t, out, data_dir)} for t in best
    ]
    return {
        "study": study.name,
        "storage": storage,
        "sampler": study.sampler,
        "objectives": [{"name": o.name, "direction": o.best, "unit": metric(o.name).unit} for o in study.objectives],
        "trials": dict(Counter(t.state for t in trials)),
        "pruned": [{"trial": t.number, "epochs": t.epochs, "values": t.values, "point": t.point} for t in trials if t.state == "pruned"],
        "front": points,
        "knee": None if bend is None else bend.number,
        "knee_method": KNEE,
        "hypervolume": hypervolume(trials),
        "sensitivity": [s.as_json() for s in sensitivity(study, trials)],
        "wall_s": sum(t.wall_s for t in trials),
    }
