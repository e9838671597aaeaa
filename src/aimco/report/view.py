"""What a page of a study shows, said in words: names of objectives and points, numbers with units, the verdict."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING

from aimco.data.goals import Metric
from aimco.design import Design
from aimco.plain_data import PlainData, PlainView
from aimco.record import Record
from aimco.studies.front import comparable, front, knee
from aimco.studies.metrics import COSTS, metric
from aimco.studies.sensitivity import Sensitivity
from aimco.studies.trial import Trial
from aimco.units import text

if TYPE_CHECKING:
    pass

_NAMING = ("rule.kind", "rule", "device", "device.name")  # parts of a point that a sentence begins with

_BRIEF = 44  # letters of a label in a figure


@dataclass(frozen=True)
class About:
    """What a page says beside the trials.

    Args:
        objectives: name -> "max" or "min", in order of interest. command: that made the study.
        task, options: of `aimco run` for a single point ("--data-dir D --limit 500"). constraints: in words ("accuracy >= 0.95").
        tolerance: rows of one table. sensitivity: one for each objective that was analysed.
    """

    objectives: Mapping[str, str]
    title: str = "Study"
    command: str = "aimco study STUDY.toml"
    task: str = "digits"
    options: str = ""
    constraints: Sequence[str] = ()
    tolerance: Sequence[PlainView] = ()
    sensitivity: Sequence[Sensitivity] = ()


@dataclass(frozen=True)
class View:
    """The trials of a study, sorted out for showing."""

    trials: Sequence[Trial]
    about: About

    @cached_property
    def known(self) -> list[Trial]:
        """Those that can be drawn."""
        return comparable(self.trials, self.about.objectives)

    @cached_property
    def front(self) -> list[Trial]:
        return front(self.trials, self.about.objectives)

    @cached_property
    def knee(self) -> Trial | None:
        return knee(self.front, self.about.objectives)

    @cached_property
    def fields(self) -> list[str]:
        """Paths of the points, in the order met."""
        return list(dict.fromkeys(path for t in self.trials for path in t.point))

    @cached_property
    def measures(self) -> list[str]:
        """The objectives, then whatever else trials have values of."""
        return list(dict.fromkeys([*self.about.objectives, *(name for t in self.trials for name in t.values)]))

    def rises(self, name: str) -> bool:
        """Whether more of an objective is better."""
        return self.about.objectives[name] == "max"

    def label(self, name: str) -> str:
        """An objective in words."""
        return name.replace("_", " ")

    @cached_property
    def judged_by(self) -> Metric:
        """The main metric of the task: the first objective that is no cost, or what trials were tested by."""
        asked = [name for name in self.about.objectives if name not in COSTS]
        tested = [n.removeprefix("test_") for t in self.trials for n in t.curves if n.startswith("test_")]
        return metric(next(iter([*asked, *tested]), "accuracy"))

    def value(self, name: str, value: float | None) -> str:
        """A value of an objective with its unit."""
        if value is None:
            return "-"
        known = metric(name)
        return text(value, known.unit) if known.unit else known.text(value)

    def describe(self, trial: Trial) -> str:
        """A point and what it gives, in words: "tiki-taka on ecram, 96.1 % at 1.2 uJ (rule.lr 0.05)"."""
        others = [f"{path} {format_value(path, v)}" for path, v in trial.point.items() if path not in _NAMING]
        measured = self.measured(trial) if trial.values else ""
        main = ", ".join(filter(None, [" on ".join(names_of(trial)), measured]))
        return " ".join(filter(None, [main, f"({', '.join(others)})" if others else ""]))

    def brief(self, trial: Trial) -> str:
        """A point in a few words, for a label in a figure."""
        names = " on ".join(names_of(trial))
        short = names if len(names) <= _BRIEF else names[: _BRIEF - 1] + "…"
        return f"trial {trial.number}: {short}" if names else f"trial {trial.number}"

    def measured(self, trial: Trial) -> str:
        """Objectives of a trial: "96.1 % at 1.2 uJ, 0.3 mm^2 area"."""
        first, *others = self.about.objectives
        costs = [f"{self.value(n, trial.values[n])}{'' if n == 'energy' else ' ' + self.label(n)}" for n in others if n in trial.values]
        return " at ".join(filter(None, [self.value(first, trial.values.get(first)), ", ".join(costs)]))


def names_of(trial: Trial) -> list[str]:
    """Rule and device of a trial: from its point, or from its design where the point leaves them as they are."""
    design = parsed(trial.design)
    rule = _named(trial.point.get("rule.kind", trial.point.get("rule")), "kind") or _named(design.get("rule"), "kind")
    device = _named(trial.point.get("device", trial.point.get("device.name")), "name") or _named(design.get("device"), "name")
    return [name for name in (rule, device) if name]


def _named(part: object, key: str) -> str:
    return str(part.get(key, "")) if isinstance(part, Mapping) else "" if part is None else str(part)


def parsed(design: str) -> PlainData:
    """Plain data of the text of a design, empty where it is none."""
    try:
        return tomllib.loads(design)
    except tomllib.TOMLDecodeError:
        return {}


def format_value(path: str, value: object) -> str:
    """A chosen value, with the unit of its field."""
    if isinstance(value, float):
        return text(value, unit_of(path), 4) if unit_of(path) else f"{value:.4g}"
    if isinstance(value, Mapping) and "kind" in value:
        rest = {name: inner for name, inner in value.items() if name != "kind"}
        return " ".join([str(value["kind"]), *([json.dumps(rest, default=str)] if rest else [])])
    return value if isinstance(value, str) else json.dumps(value, default=str)


@cache
def unit_of(path: str) -> str:
    """Symbol of the unit of a field of a design, by its dotted path; empty where it has none."""
    record: type[Record] = Design
    *parents, last = path.split(".")
    for name in parents:
        options = [record.model_fields[name].annotation] if name in record.model_fields else []
        record = next((o for o in options if isinstance(o, type) and issubclass(o, Record)), Record)
    known = record.model_fields.get(last)
    extra = known.json_schema_extra if known else None
    return str(extra.get("unit", "")) if isinstance(extra, dict) else "s" if last.endswith("_s") else ""


def verdict(view: View) -> list[str]:
    """What the study found, in sentences."""
    if not view.known:
        return [_counted(view), "no trial ran to the end with finite values, so there is nothing to choose from"]
    first, *others = view.about.objectives
    best = _best(view, view.known, first)
    meets = [t for t in view.known if t.feasible]
    superlative = "best" if view.rises(first) else "least"
    but = "" if best.feasible else ", which does not meet the constraints"
    sentences = [_counted(view), f"the {superlative} {view.label(first)} is {_describe(view, best)}{but}"]
    if not meets:
        return [*sentences, "no trial meets the constraints"]
    if not best.feasible:
        sentences.append(f"the {superlative} {view.label(first)} that meets them is {_describe(view, _best(view, meets, first))}")
    for name in others[:1] if "energy" not in others else ["energy"]:
        least = _best(view, meets, name)
        meeting = " that meets the constraints" if len(meets) < len(view.known) or view.about.constraints else ""
        word = "cheapest" if name == "energy" else f"best in {view.label(name)}"
        sentences.append(f"the {word}{meeting} is {_describe(view, least)}")
    if view.knee is not None and others:
        word = "the knee is" if len(view.front) > 1 else "nothing else is better in any objective than"
        sentences.append(f"{word} {_describe(view, view.knee)}")
    return sentences


def _describe(view: View, trial: Trial) -> str:
    return f"trial {trial.number}: {view.describe(trial)}"


def _best(view: View, trials: Sequence[Trial], name: str) -> Trial:
    """The best trial in one objective; the other objectives, then the constraints, settle what is equal."""
    order = [name, *(n for n in view.about.objectives if n != name)]
    signs = [-1.0 if view.rises(n) else 1.0 for n in order]
    return min(trials, key=lambda t: (*(sign * t.values[n] for sign, n in zip(signs, order, strict=True)), not t.feasible))


def _counted(view: View) -> str:
    states = {state: sum(t.state == state for t in view.trials) for state in ("complete", "pruned", "failed")}
    parts = [", ".join(f"{n} {state}" for state, n in states.items() if n) or "none"]
    lost, meeting = states["complete"] - len(view.known), sum(t.feasible for t in view.known)
    parts += [f"{lost} without finite values"] if lost else []
    if meeting < len(view.known) or view.about.constraints:
        parts.append(f"{meeting} meet the constraints" + (f" ({', '.join(view.about.constraints)})" if view.about.constraints else ""))
    parts += [f"{len(view.front)} on the front"] if len(view.about.objectives) > 1 and view.front else []
    return f"{len(view.trials)} trial{'' if len(view.trials) == 1 else 's'}: {'; '.join(parts)}"
