"""What a device must be: the tolerance of each of its numbers under a learning rule, and all of them together, verified by a run."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

import aimco
from aimco import tasks
from aimco.cost import of_design, training
from aimco.design import Design
from aimco.errors import did_you_mean
from aimco.evaluation import Result, evaluate_many
from aimco.learning import Rule
from aimco.record import InputError, write_atomic
from aimco.studies.parameters import BOUND, RESTING, STEP, Bench, Point, Sweep, bench, design, ideal, known_rule, sweeps, waits
from aimco.studies.settings import SOFTWARE_RATES, Setting, better, settings_at_ratios, with_setting
from aimco.studies.specification import Answer, Derived, Finding, Joint
from aimco.studies.threshold import closer, penalty, threshold
from aimco.tasks import Data, task_of
from aimco.tunable import Tunable

OnStep = Callable[[str, float], None]
_CLOSER = 3  # values of the second sweep
_FRACTIONS = (0.08, 0.16, 0.25, 0.35, 0.5, 0.7)
_MOST_MEMBERS = 64  # of one ensemble
_TUNING_SEEDS = (1000, 1001, 1002)  # by which the settings of a point are judged
_FIRST_SEEDS = 6  # by which those of the near-ideal device are
_TUNED = 0.7  # share of the work of points that goes into their settings


class Runs:
    """Accuracies of points under a rule, in ensembles, each kept in a file when done so that a stopped derivation goes on.

    At each point the rates of the rule are chosen anew, on other seeds than those that count, until they are held.

    Args:
        setup: The bench.
        task: Loaded.
        seeds: Of every point, the same for all, so that differences share their draws.
        folder: Where finished ensembles are kept.
        tell: Told the share of the current ensemble.
    """

    def __init__(self, setup: Bench, task: Data, seeds: int, folder: Path | None, tell: Callable[[float], None]) -> None:
        self.setup, self.task, self.seeds, self.folder, self.tell = setup, task, seeds, folder, tell
        self.held: Setting | None = None  # rates of every point
        self.usual: int | None = None  # place of the near-ideal device's setting among those that are tried

    def points(self, rule: str, points: Sequence[Point]) -> tuple[np.ndarray, list[Setting]]:
        """Test accuracy, %, (points, seeds), the mean of the last epochs, and the setting of each point."""
        designs = [design(self.setup, rule, point) for point in points]
        settings = [self.held for _ in designs] if self.held is not None else self._chosen(designs)
        return self.runs([with_setting(d, s) for d, s in zip(designs, settings, strict=True)], range(self.seeds), (_TUNED, 1.0)), settings

    def _chosen(self, designs: Sequence[Design]) -> list[Setting]:
        """The setting of each design: that of the near-ideal device, at the same ratios, unless another is better beyond chance."""
        tried = [settings_at_ratios(d, self.adapts(d)) for d in designs]
        if len(tried[0]) == 1:
            return [settings[0] for settings in tried]
        seeds = _TUNING_SEEDS if self.usual is not None else range(_TUNING_SEEDS[0], _TUNING_SEEDS[0] + _FIRST_SEEDS)
        every = [with_setting(d, s) for d, settings in zip(designs, tried, strict=True) for s in settings]
        scores = self.runs(every, seeds, (0.0, _TUNED)).reshape(len(designs), len(tried[0]), -1)
        places = better(np.nan_to_num(scores, nan=0.0), self.usual)
        if self.usual is None:
            self.usual = int(places[0])
        return [settings[k] for settings, k in zip(tried, places, strict=True)]

    def adapts(self, point: Design) -> list[Tunable]:
        """Fields that are chosen at each point: those of the rule but for a learning rate that is asked for."""
        fields = point.rule.tunables(point)
        return [t for t in fields if t.path.startswith("rule.") and not (t.path == "rule.lr" and self.setup.lr is not None)]

    def best(self, tried: Sequence[Sequence[Setting]], designs: Sequence[Design]) -> list[Setting]:
        """The best setting of each design."""
        if all(len(settings) == 1 for settings in tried):
            return [settings[0] for settings in tried]
        every = [with_setting(d, s) for d, settings in zip(designs, tried, strict=True) for s in settings]
        scores = self.runs(every, _TUNING_SEEDS[:2], (0.0, _TUNED)).mean(1)
        ends = np.cumsum([len(settings) for settings in tried])[:-1]
        return [
            settings[int(np.argmax(np.nan_to_num(mine, nan=-np.inf)))] for settings, mine in zip(tried, np.split(scores, ends), strict=True)
        ]

    def runs(self, designs: Sequence[Design], seeds: Sequence[int], span: tuple[float, float] = (0.0, 1.0)) -> np.ndarray:
        """Test accuracy, %, (designs, seeds), of designs that differ in numbers only; `span` of the progress is theirs."""
        members = [(d, seed) for d in designs for seed in seeds]
        parts = -(-len(members) // _MOST_MEMBERS)
        size = -(-len(members) // parts)
        scores: list[float] = []
        for k in range(parts):
            first, share = span[0] + k / parts * (span[1] - span[0]), (span[1] - span[0]) / parts
            scores += self._ensemble(
                members[k * size : (k + 1) * size], lambda done, first=first, share=share: self.tell(first + share * done)
            )
        return np.array(scores).reshape(len(designs), len(seeds))

    def _score(self, result: Result) -> float:
        """Per cent of a perfect result, of the mean metrics of the last epochs."""
        goal = self.task.goal
        last = {m.name: float(np.mean(result.curves[f"test_{m.name}"][-self.setup.last :])) for m in goal.metrics}
        return goal.score(last, self.task.test_y)

    def _ensemble(self, members: Sequence[tuple[Design, int]], tell: Callable[[float], None]) -> list[float]:
        identity = [[d.hash(), seed] for d, seed in members], self.task.name, self.task.digest, self.setup.last, aimco.__version__
        key = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:20]
        path = None if self.folder is None else self.folder / f"{key}.json"
        if path is not None and path.exists():
            return json.loads(path.read_text())
        designs, seeds = zip(*members, strict=True)
        results = evaluate_many(designs, self.task, seeds=seeds, on_progress=tell)
        scores = [self._score(r) for r in results]
        if path is not None:
            write_atomic(path, json.dumps(scores))
        return scores


@dataclass(frozen=True)
class Question:
    """What is asked.

    Args:
        rules: learning rules, the first being what the others are compared with. task: digits or mnist. penalty: allowed, points;
            the bench's when absent. data_dir: folder of the task's files. limit: use only the first training samples.
        seeds: of every point; the bench's when absent. only: keys of the lines, all when absent. near: keys and values, of lines not
            swept, of a near-ideal device that is not ideal there. out: folder that keeps finished sweeps.
        bench: network and schedule; the task's when absent. response: of the near-ideal device of every rule; the bench's when absent.
        network: kind of network, or FILE.py:FUNCTION, in place of that of the bench; so are epochs.
        lr: learning rate at every point; chosen like the other rates when absent.
        tune: whether rates are chosen anew at each point; else those of the near-ideal device hold at all.
    """

    rules: tuple[str, ...]
    task: str = "digits"
    penalty: float | None = None
    data_dir: str | None = None
    limit: int | None = None
    seeds: int | None = None
    only: tuple[str, ...] = ()
    near: tuple[tuple[str, float], ...] = ()
    out: str | None = None
    bench: Bench | None = None
    response: str | None = None
    network: str | None = None
    epochs: int | None = None
    lr: float | None = None
    tune: bool = True

    @property
    def judged_on(self) -> Bench:
        """The bench, with what is asked for in place of its own. Raises InputError for another response."""
        setup = self.bench or bench(task_of(self.task).kind)
        network = None if self.network is None else {"kind": self.network}
        asked = {"response": self.response, "network": network, "epochs": self.epochs, "lr": self.lr}
        asked["last"] = None if self.epochs is None else min(setup.last, self.epochs)
        return replace(setup, **{name: value for name, value in asked.items() if value is not None})

    def check(self) -> None:
        """Refuse what cannot be asked: raises InputError."""
        if not self.rules:
            raise InputError("rule must name at least one learning rule, got none; give for example --rule sgd")
        for rule in self.rules:
            known_rule(rule)
        _ = self.judged_on
        if self.epochs is not None and not 1 <= self.epochs <= 100_000:
            raise InputError(f"epochs must be in 1..100000, got {self.epochs}")
        if self.lr is not None and not 0 < self.lr <= 1000:
            raise InputError(f"lr must be above 0 and at most 1000, got {self.lr:g}")
        if self.penalty is not None and not 0 < self.penalty <= 50:
            raise InputError(f"penalty must be in points of accuracy above 0 and at most 50, got {self.penalty:g}; give for example 0.3")
        if self.seeds is not None and not 1 <= self.seeds <= 100:
            raise InputError(f"seeds must be in 1..100, got {self.seeds}; 5 or more give useful intervals")
        known = {line.key for rule in self.rules for line in sweeps(known_rule(rule))}
        for key in (*self.only, *(key for key, _ in self.near)):
            if key not in known:
                raise InputError(f"parameter must be one of {', '.join(sorted(known))}, got {key!r}{did_you_mean(key, list(known))}")
        for key, value in self.near:
            if not 0 < value <= 1e12:
                raise InputError(f"baseline {key} must be above 0 and at most 1e12, got {value:g}; leave it out for the ideal value")


def derive(question: Question, on_step: OnStep | None = None) -> Answer:
    """Derive the specification that each rule asks of a device.

    Each line is swept alone around the near-ideal device, first coarsely, then between the neighbours of the crossing; all values and
    seeds of a line are one ensemble. The penalty is against the near-ideal device of the same seed.

    Args:
        question: what is asked. on_step: called with (what is running, fraction of all that is done).
    """
    question.check()
    setup = question.judged_on
    task = tasks.load(question.task, data_dir=question.data_dir, limit=question.limit)
    near = dict(question.near)
    swept = {rule: [line for line in sweeps(known_rule(rule)) if line.key not in near] for rule in question.rules}
    asked = {rule: [line for line in lines if not question.only or line.key in question.only] for rule, lines in swept.items()}
    meter = _Meter(on_step, sum(4 + 2 * len(lines) for lines in asked.values()))
    folder = Path(question.out) / "sweeps" if question.out else None
    seeds = setup.seeds if question.seeds is None else question.seeds
    runs = Runs(setup, task, seeds, folder, meter.share)
    allowed = setup.penalty if question.penalty is None else question.penalty
    derived = [_derive(rule, lines, near, runs, allowed, meter, question.tune) for rule, lines in asked.items()]
    return Answer(Path(task.name).stem, allowed, seeds, len(task.train_x), setup, derived, question.tune)


class _Meter:
    """How much of a derivation is done: ensembles, and the share of the current one."""

    def __init__(self, on_step: OnStep | None, total: int) -> None:
        self.on_step, self.total, self.done, self.label = on_step, total, -1, ""

    def start(self, label: str) -> None:
        self.done, self.label = self.done + 1, label
        self.share(0.0)

    def share(self, done: float) -> None:
        if self.on_step:
            self.on_step(self.label, (self.done + done) / self.total)


def _derive(rule: str, lines: Sequence[Sweep], moved: Point, runs: Runs, allowed: float, meter: _Meter, tune: bool) -> Derived:
    cls = known_rule(rule)
    base = {key: moved.get(key, value) for key, value in ideal(cls).items()}
    near = design(runs.setup, rule, base)
    meter.start(f"{rule}: software")
    rates = SOFTWARE_RATES if runs.setup.lr is None else (runs.setup.lr,)
    digital = near.replace("rule", {"kind": "digital"})
    (chosen,) = runs.best([[{"rule.lr": lr} for lr in rates]], [digital])
    software = runs.runs([with_setting(digital, chosen)], range(runs.seeds))
    meter.start(f"{rule}: near-ideal device")
    runs.held = runs.usual = None
    ideal_accuracy, (setting,) = runs.points(rule, [base])
    runs.held = None if tune else setting
    findings = [_sweep(rule, line, base, runs, (ideal_accuracy, setting), allowed, meter) for line in lines]
    joint = _joint(rule, findings, base, runs, ideal_accuracy, allowed, meter)
    if joint.fraction is not None:
        share = joint.fraction
        findings = [replace(f, joint=f.sweep.eased(f.threshold.value, share)) for f in findings]
    spread = float(ideal_accuracy.std(ddof=1)) if runs.seeds > 1 else math.nan
    seconds = training(near, of_design(near, runs.task.sample)).latency_s
    notes = _notes(cls, base, runs, setting)
    return Derived(rule, float(software.mean()), float(ideal_accuracy.mean()), spread, findings, joint, seconds, notes, dict(setting))


def _sweep(rule: str, line: Sweep, base: Point, runs: Runs, at_base: tuple[np.ndarray, Setting], allowed: float, meter: _Meter) -> Finding:
    near, setting = at_base
    values, accuracy, settings = np.empty(0), np.empty((0, runs.seeds)), []
    if line.starts_at_base:
        values, accuracy, settings = np.array([line.base]), near, [setting]
    for turn, words in enumerate(("", ", closer")):
        meter.start(f"{rule}: {line.name}{words}")
        more = np.array(line.values) if turn == 0 else closer(values, near - accuracy, allowed, line.rises, _CLOSER)
        if len(more) == 0:
            continue
        extra, chosen = runs.points(rule, [{**base, line.key: float(value)} for value in more])
        values, accuracy, settings = np.concatenate([values, more]), np.concatenate([accuracy, extra]), settings + chosen
    order = np.argsort(values if line.rises else -values)
    values, accuracy = values[order], accuracy[order]
    crossing = threshold(values, near - accuracy, allowed, line.rises)
    return Finding(line, crossing, values.tolist(), accuracy.mean(1).tolist(), [dict(settings[k]) for k in order])


def _joint(rule: str, findings: Sequence[Finding], base: Point, runs: Runs, near: np.ndarray, allowed: float, meter: _Meter) -> Joint:
    """The largest fraction whose own run keeps the penalty: tried coarsely, then between the neighbours of the crossing."""
    fractions, accuracy = np.empty(0), np.empty((0, runs.seeds))
    for turn, words in enumerate(("", ", closer")):
        meter.start(f"{rule}: all lines together{words}")
        more = np.array(_FRACTIONS) if turn == 0 else closer(fractions, near - accuracy, allowed, True, _CLOSER)
        if len(more) == 0:
            continue
        eased = [{**base, **{f.sweep.key: f.sweep.eased(f.threshold.value, float(s)) for f in findings}} for s in more]
        fractions = np.concatenate([fractions, more])
        accuracy = np.concatenate([accuracy, runs.points(rule, eased)[0]])
    order = np.argsort(fractions)
    fractions, accuracy = fractions[order], accuracy[order]
    lost, smooth = (near - accuracy).mean(1), penalty(fractions, near - accuracy, True)
    tried = [(float(f), float(p)) for f, p in zip(fractions, lost, strict=True)]
    within = np.flatnonzero((lost <= allowed) & (smooth <= allowed))
    if len(within) == 0:
        return Joint(None, None, None, tried)
    k = int(within[-1])
    return Joint(float(fractions[k]), float(accuracy[k].mean()), float(lost[k]), tried)


def _notes(rule: type[Rule], base: Point, runs: Runs, setting: Mapping[str, float]) -> list[str]:
    response, goal = runs.setup.response, runs.task.goal
    notes = [] if goal.scored == "accuracy" else [f"per cent and points are of a perfect result, {goal.scored}"]
    notes += ["outputs that saturate are not read again, so that the largest output is seen; converters have no levels"]
    notes.append(_held(runs, setting))
    notes.append(f"the near-ideal device of every rule has the response {response}, with {2 * BOUND / STEP:g} states")
    if waits(rule):
        leak = f"gradients leak to mid-range, in {RESTING:g} samples unless said otherwise"
        notes.append(f"{leak}; weights are in the same device without leak unless swept")
    moved = [f"{key} {value:g}" for key, value in base.items() if value != ideal(rule)[key]]
    return notes + ([f"the near-ideal device has {', '.join(moved)}"] if moved else [])


def _held(runs: Runs, setting: Setting) -> str:
    """What of the rule is chosen at each point, and what is held."""
    values = " and ".join(f"{path.removeprefix('rule.')} {value:.3g}" for path, value in setting.items())
    asked = "" if runs.setup.lr is None else f"lr is held at {runs.setup.lr:g}; "
    if not setting:
        return f"{asked}rates that are not given follow from the device at each point"
    if runs.held is None:
        return f"{asked}chosen at each point, on other seeds: {values} on the near-ideal device; network and schedule are held"
    return f"{asked}held at every point, as chosen on the near-ideal device: {values}"
