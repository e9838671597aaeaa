"""`advise`: which algorithm makes a device learn."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

from aimco import advice, html_parts
from aimco.advice.answer import Answer
from aimco.api.devices import fit
from aimco.api.progress import Progress, reported
from aimco.design import Design
from aimco.device.device import Device
from aimco.frames import dataframe
from aimco.outputs import saving
from aimco.record import InputError
from aimco.report import advice as report
from aimco.studies.workers import Evaluate
from aimco.terminal import as_json

if TYPE_CHECKING:
    from pandas import DataFrame
    from rich.table import Table

_SHEET = ".toml"


class Advice(Answer):
    """What makes a device learn, and what holds it back."""

    def __repr__(self) -> str:
        best = self.best
        words = "nothing confirmed" if best is None else f"{best.candidate.name}, {best.score:.1f} %"
        return f"Advice({self.device} on {self.task}: {words})"

    def _repr_html_(self) -> str:
        """The answer in sentences, and the confirmed designs, for notebooks."""
        return html_parts.card(f"{self.device} on {self.task}", html_parts.listed(self.sentences()), html_parts.of_table(self.table()))

    def sentences(self) -> list[str]:
        """The answer in words, the verdict first."""
        return report.sentences(self)

    def table(self) -> Table:
        """The confirmed designs beside software, as `aimco advise` prints them."""
        return report.table(self)

    def design(self, place: int = 0) -> Design:
        """The design at a place of the confirmed ones, the best first.

        Args:
            place: From 0.

        Raises:
            InputError: So many were not confirmed.
        """
        if not 0 <= place < len(self.confirmed):
            raise InputError(f"place must be below the number of confirmed designs, {len(self.confirmed)}, got {place}")
        return self.confirmed[place].design

    def to_dataframe(self) -> DataFrame:
        """A row for each way to learn that was tried, with its best setting, as a pandas table.

        Raises:
            InputError: pandas is not installed.
        """
        rows = report.trial_rows(self.best_trials())
        return dataframe({column: [row[column] for row in rows] for column in rows[0]} if rows else {})

    def as_json(self) -> dict[str, object]:
        """Plain data, as `aimco advise --json` prints it."""
        confirmed = [*self.confirmed, *([self.digital] if self.digital else [])]
        return {
            "device": self.device,
            "task": self.task,
            "answer": self.sentences(),
            "confirmed": [
                {
                    "rule": c.candidate.rule,
                    "cell": c.candidate.cell,
                    "reference": c.candidate.reference,
                    "setting": c.setting,
                    "scores": list(c.scores),
                    "score": c.score,
                    "margin": c.margin,
                    "metrics": c.metrics,
                    "design": c.design.as_dict(),
                }
                for c in confirmed
            ],
            "tried": report.trial_rows(self.best_trials()),
            "refused": [r.__dict__ for r in self.refused],
            "influences": [i.__dict__ for i in self.influences],
            "demands": [d.__dict__ for d in self.demands],
            "notes": self.notes,
            "finished": self.finished,
            "took_s": self.took_s,
        }

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write the page advice.html, its pictures and the confirmed designs.

        Args:
            folder: Made where it is missing.

        Returns:
            The page.
        """
        return report.write(self, os.fspath(folder))


class AdviceOptions(TypedDict, total=False):
    """What is asked beside the device.

    Args:
        rules: Only these; all that learn in arrays when absent.
        network: Kind of network, "FILE.py:FUNCTION", or a table of its fields.
        training: Fields of the schedule in place of 10 epochs in batches of 10.
        minutes: After which the answer is what is known by then; all that is planned when absent.
        workers: Local processes.
        seed: Of the search.
        out: Folder of the page, in which finished runs are kept, so that the same call resumes.
        data_dir: Folder of the task's files.
        limit: Use only the first training samples.
        around: Whether the device and the circuit are changed about the best design; True when absent.
        quick: Whether a tenth of the work is enough, for a first answer; False when absent.
    """

    rules: Sequence[str]
    network: str | Mapping[str, object] | None
    training: Mapping[str, object] | None
    minutes: float | None
    workers: int
    seed: int
    out: str | None
    data_dir: str | None
    limit: int | None
    around: bool
    quick: bool


def advise(
    device: Device | str | Sequence[str], task: str = "digits", *, progress: Progress = None, **options: Unpack[AdviceOptions]
) -> Advice:
    """Which algorithm makes a device learn: `aimco advise`.

    Every rule in every cell that the device admits gets rates of its own, by successive halving. The leaders are confirmed on other
    seeds. Around the best design, each line of the datasheet is improved and worsened, and the circuit is worsened until a point is lost.

    Args:
        device: A `Device`, a name of the catalogue, a FILE.toml, or a file of measured pulses, which is fitted; with other files, as of
            retention, in a list.
        task: As of `evaluate`.
        progress: True or False for a bar or none, or a function of (what is running, fraction done). When absent, a bar appears on a
            terminal or in a notebook after 2 s.
        **options: `AdviceOptions`: rules, network, training, minutes, workers, seed, out, data_dir, limit, around, quick.

    Raises:
        InputError: What cannot be asked; a device that admits no rule.
    """
    network = options.get("network")
    table = {"kind": network} if isinstance(network, str) else network
    rest = {name: value for name, value in options.items() if name not in ("network", "rules")}
    sources = [] if isinstance(device, Device) else [device] if isinstance(device, str) else list(device)
    known = device if isinstance(device, Device) else device_of(*sources)
    command = _command(sources or [known.name], task, options)
    question = advice.Question(known.as_dict(), task, rules=tuple(options.get("rules", ())), network=table, command=command, **rest)  # type: ignore[arg-type]
    with reported(progress, f"advise {known.name}") as on_step:
        result = answer_of(question, on_step)
    if (out := options.get("out")) is not None:
        with saving("advise", result, lambda: as_json(result.as_json(), indent=1)):
            result.save(out)
    return result


def answer_of(question: advice.Question, on_step: advice.OnStep | None = None, evaluate: Evaluate | None = None) -> Advice:
    """The answer to a question, as `advise` gives it; see `aimco.advice.advise`."""
    answer = advice.advise(question, on_step, evaluate)
    return Advice(**{f.name: getattr(answer, f.name) for f in fields(answer)})


def device_of(*sources: str) -> Device:
    """A device of the catalogue or a datasheet; one that is fitted to measured pulses, and to what else was measured."""
    if not sources:
        raise InputError("device must be a name of the catalogue, a FILE.toml or files of measured pulses, got none")
    path = Path(sources[0])
    if len(sources) == 1 and (sources[0] in Device.names() or path.suffix == _SHEET or not (path.suffix or path.exists())):
        return Device.named(sources[0])
    fitted = fit(*sources, progress=False).device
    if fitted is None:
        raise InputError(f"{', '.join(sources)}: holds no pulses that a device could be fitted to; give a file of pulses")
    return fitted


def _command(sources: Sequence[str], task: str, options: AdviceOptions) -> str:
    """The command that asks this again."""
    words = ["aimco", "advise", *sources, "--task", task]
    given = {
        name.replace("_", "-"): value
        for name, value in options.items()
        if isinstance(value, str | int | float) and name not in ("around", "quick")
    }
    words += [word for rule in options.get("rules", ()) for word in ("--rule", rule)]
    training = options.get("training") or {}
    words += [] if options.get("around", True) else ["--no-around"]
    words += ["--quick"] if options.get("quick", False) else []
    words += ["--epochs", str(training["epochs"])] if training.get("epochs", 10) != 10 else []
    return shlex.join(words + [word for name, value in given.items() for word in (f"--{name}", str(value))])
