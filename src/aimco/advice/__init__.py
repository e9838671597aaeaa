"""Which algorithm makes a device learn: every way that it admits, tuned, confirmed, and what then holds it back.

`candidates` lists the ways; `tuning` finds their rates by successive halving; `confirm` runs the leaders on fresh seeds; `around` changes
one thing at a time about the best.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aimco import tasks
from aimco.advice.answer import Answer, Candidate, Trial, ties
from aimco.advice.around import demands, influences
from aimco.advice.candidates import candidates, digital
from aimco.advice.confirm import confirm, in_software, play_off
from aimco.advice.jobs import Jobs
from aimco.advice.tuning import QUICK, RUNGS, Rung, tune
from aimco.data.data import Data
from aimco.record import InputError
from aimco.studies.parameters import known_rule
from aimco.studies.workers import Evaluate, evaluator

OnStep = Callable[[str, float], None]
_TUNED, _PLAYED, _CONFIRMED = 0.6, 0.75, 0.85  # of the time, after which settings are no longer tuned, played off, confirmed
_SEEDS, _MARGIN = 5, 0.93  # of the confirmation; part of the time by which it is over even where runs are slow


@dataclass(frozen=True)
class _Plan:
    """How much is tried: rungs of tuning; how many candidates are confirmed, after a play-off of how many settings on how many seeds."""

    rungs: tuple[Rung, ...]
    leaders: int
    finalists: int
    play_off: int


_WHOLE, _QUICK = _Plan(RUNGS, 4, 4, 3), _Plan(QUICK, 2, 1, 0)
_SCHEDULE = {"epochs": 10, "batch": 10}
_NETWORK = {"hidden": [32], "activation": "sigmoid"}


@dataclass(frozen=True)
class Question:
    """What is asked.

    Args:
        device: Plain data or name of a device.
        task: As a design takes it.
        rules: Only these; all that learn in arrays when empty.
        network: Table of a network; one hidden layer of 32 when absent.
        training: Fields of the schedule in place of 10 epochs in batches of 10.
        minutes: Time limit, min; everything planned is run when absent.
        workers: Local processes.
        seed: Of the search; leaders are confirmed on others.
        out: Folder that keeps finished runs, so that the same question resumes.
        data_dir: Folder of the task's files.
        limit: Use only the first training samples.
        around: Whether the device and the circuit are changed about the best design.
        quick: Whether a tenth of the work is enough, for a first answer.
        command: Command that repeats the question.
    """

    device: str | Mapping[str, object]
    task: str = "digits"
    rules: tuple[str, ...] = ()
    network: Mapping[str, object] | None = None
    training: Mapping[str, object] | None = None
    minutes: float | None = None
    workers: int = 1
    seed: int = 0
    out: str | None = None
    data_dir: str | None = None
    limit: int | None = None
    around: bool = True
    quick: bool = False
    command: str = ""

    def check(self) -> None:
        """Refuse what cannot be asked: raises InputError."""
        if self.minutes is not None and not 0 < self.minutes <= 100_000:
            raise InputError(f"minutes must be above 0 and at most 100000, got {self.minutes:g}")
        for name, least in (("workers", 1), ("seed", 0)):
            number: object = getattr(self, name)
            if not isinstance(number, int) or number < least:
                raise InputError(f"{name} must be a whole number of at least {least}, got {number!r}")
        for rule in self.rules:
            known_rule(rule)

    @property
    def base(self) -> dict[str, object]:
        """Plain data of a design, without rule and cell."""
        training = {**_SCHEDULE, **(self.training or {})}
        return {"device": self.device, "network": dict(self.network or _NETWORK), "training": training}


def advise(question: Question, on_step: OnStep | None = None, evaluate: Evaluate | None = None) -> Answer:
    """Answer which algorithm makes a device learn.

    Whenever it is stopped, by Ctrl-C or by the minutes given, the answer is what is known by then.

    Args:
        question: What is asked.
        on_step: Called with (what is running, fraction of the plan or of the time that is done).
        evaluate: Of `aimco.studies.workers.evaluator`; one of its own, with the workers of the question, when absent.

    Raises:
        InputError: What cannot be asked; a device that admits no rule.
    """
    question.check()
    data = tasks.load(question.task, data_dir=question.data_dir, seed=question.seed, limit=question.limit)
    ways, refused = candidates(question.base, question.rules)
    if not ways:
        raise InputError(f"device admits no rule that learns in arrays: {refused[0].reason}")
    device, network = ways[0].design.device, ways[0].design.network
    if network.taught != "layers":
        raise InputError(f"network must be one of layers, as mlp or lenet, got {network.kind}, which other rules teach; use aimco study")
    chance = data.goal.score(data.goal.chance(data.test_y)[0], data.test_y)
    answer = Answer(device.name, Path(data.name).stem, question.task, data.goal.scored, chance, question.command, refused=refused)
    answer.admitted = {way.rule for way in ways}
    started = time.monotonic()
    folder = Path(question.out) / "runs" if question.out else None
    try:
        with contextlib.nullcontext(evaluate) if evaluate else evaluator(question.workers) as evaluates:
            _Search(question, answer, data, evaluates, folder, on_step).run(ways)
    except KeyboardInterrupt:
        answer.stopped = True
        resumes = "the same command resumes it" if question.out else "with --out, the same command resumes it"
        answer.notes.append(f"stopped by Ctrl-C: this is the answer so far; {resumes}")
    answer.took_s = time.monotonic() - started
    return answer


class _Search:
    """The stages of one question, each of which adds to the answer."""

    def __init__(
        self, question: Question, answer: Answer, data: Data, evaluate: Evaluate, folder: Path | None, on_step: OnStep | None
    ) -> None:
        self.question, self.answer, self.on_step = question, answer, on_step
        self.jobs = Jobs(evaluate, data, question.task, data_dir=question.data_dir, folder=folder, limit=question.limit)
        self.started, self.planned = time.monotonic(), 1
        self.plan = _QUICK if question.quick else _WHOLE
        first, then = question.seed + 1, question.seed + 1 + _SEEDS
        self.seeds, self.play_off_seeds = tuple(range(first, then)), tuple(range(then, then + self.plan.play_off))

    def run(self, ways: list[Candidate]) -> None:
        """Tune, confirm, look around."""
        answer, jobs, plan = self.answer, self.jobs, self.plan
        self.planned = sum(min(len(ways), rung.keep) * (rung.again + rung.new) for rung in plan.rungs)
        self._until(_TUNED, f"{len(ways)} ways to learn", 0.0)
        tune(ways, jobs, self.question.seed, self._note_trials, plan.rungs, self._tuned_by)
        self._until(_PLAYED, "confirming the leaders", 0.6)
        answer.digital = in_software(digital(self.question.base), jobs, self.play_off_seeds or self.seeds[:1], self.seeds)
        leaders = [t for t in answer.best_trials() if t.score == t.score][: plan.leaders]
        if leaders:
            jobs.deadline = min(jobs.deadline, self._end(_MARGIN) - jobs.seconds(leaders[0].design, self.seeds))
        finalists = (
            play_off([t.candidate for t in leaders], answer.trials, jobs, self.play_off_seeds, plan.finalists) if plan.play_off else []
        )
        self._until(_CONFIRMED, "confirming the leaders", 0.7)
        answer.confirmed = confirm(finalists or leaders, jobs, self.seeds)
        if leaders and not answer.confirmed:  # whatever the time: an answer without a confirmed design is none
            jobs.deadline = jobs.until = float("inf")
            answer.confirmed = confirm(leaders[:1], jobs, self.seeds)
            self._until(_CONFIRMED, "confirming the leaders", 0.7)
        self._until(1.0, "what holds the device back", 0.8)
        if answer.best is not None and self.question.around:
            answer.influences = influences(answer.best, jobs, self.seeds)
            self._tell("what the circuit must give", 0.9)
            answer.demands += demands(answer.best, jobs, self.seeds)
        answer.finished = not jobs.cut

    def _tuned_by(self, leader: Candidate | None) -> float:
        """When tuning ends: earlier where the leader takes long to confirm."""
        return min(self._end(_TUNED), float("inf") if leader is None else self._end(_MARGIN) - self.jobs.seconds(leader.design, self.seeds))

    def _end(self, part: float) -> float:
        """When a part of the time is over."""
        return float("inf") if self.question.minutes is None else self.started + part * 60 * self.question.minutes

    def _until(self, part: float, label: str, done: float) -> None:
        """Set the end of a stage, where time is short, and tell what is running."""
        self.jobs.deadline, self.jobs.until = self._end(part), self._end(1.0)
        self._tell(label, done)

    def _note_trials(self, trials: Sequence[Trial]) -> None:
        self.answer.trials += trials
        best = max((t.score for t in trials if t.score == t.score), default=float("nan"))
        self._tell(f"{trials[0].candidate.name}: {best:.1f} %", 0.6 * min(1.0, len(self.answer.trials) / self.planned))

    def _tell(self, label: str, done: float) -> None:
        if self.on_step:
            self.on_step(label, done)


__all__ = ["Answer", "Question", "advise", "ties"]
