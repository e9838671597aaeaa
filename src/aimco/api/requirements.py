"""`requirements`: what a rule asks of a device."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from aimco import html_parts
from aimco.api.progress import Progress, reported
from aimco.device.device import Device
from aimco.device.requirement import Verdict
from aimco.outputs import write_outputs
from aimco.plain_data import PlainData
from aimco.report import requirements as report
from aimco.studies.requirements import Question, derive
from aimco.studies.specification import Answer
from aimco.terminal import as_json

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def outputs_of(rules: Sequence[str], task: str) -> list[str]:
    """The files that requirements of these rules on a task of aimco write; names of those on a user's task follow from its data."""
    files = ("requirements-{}.json", "requirements-{}.png", *(f"{rule}-{{}}.toml" for rule in rules))
    return [file.format(task) for file in files] if task.isidentifier() else []


class Specification(Answer):
    """What each rule asks of a device, parameter by parameter and all together."""

    def __repr__(self) -> str:
        together = {d.rule: d.joint.accuracy for d in self.rules}
        words = [f"{rule} {'no joint specification' if a is None else f'{a:.2f} % together'}" for rule, a in together.items()]
        return f"Specification({self.task}, {self.penalty:g} points: {', '.join(words)})"

    def _repr_html_(self) -> str:
        """The tables of the rules, and the rules beside each other, for notebooks."""
        tables = [html_parts.of_table(table) for table in report.tables(self, {}, None)]
        notes = dict.fromkeys(note for derived in self.rules for note in derived.notes)
        return html_parts.card(f"Requirements on {self.task}", *tables, html_parts.listed(notes))

    def verdict(self, device: Device | str) -> dict[str, Verdict]:
        """A device against what each rule asks.

        Args:
            device: A `Device`, a name of the catalogue or a FILE.toml.
        """
        return self.verdicts(Device.named(device) if isinstance(device, str) else device)

    def plot(self, path: str | os.PathLike[str] | None = None) -> Figure:
        """Accuracy against each parameter, with the threshold and its interval.

        Args:
            path: Picture that is written, if any.
        """
        figure = report.figure(self)
        if path is not None:
            figure.savefig(os.fspath(path), dpi=150)
        return figure

    def document(self, device: Device | str | None = None) -> PlainData:
        """Plain data with the verdicts on a device, as `aimco requirements --json` prints it."""
        verdicts = {} if device is None else self.verdict(device)
        return self.as_json() | {"verdicts": {rule: [line.as_json() for line in lines] for rule, lines in verdicts.items()}}

    def save(self, folder: str | os.PathLike[str], device: Device | str | None = None) -> list[str]:
        """Write the document, the picture and a requirement of each rule into a folder.

        Returns:
            The names of the files.
        """
        document = as_json(self.document(device), indent=1) + "\n"
        files = {f"requirements-{self.task}.json": document} | report.files(self)
        return [path.name for path in write_outputs(folder, files)]


class RequirementsOptions(TypedDict, total=False):
    """What is asked, and how it is judged; where absent as the task is judged.

    Args:
        penalty: Points of accuracy below the near-ideal device that are allowed.
        data_dir: Folder of the task's files.
        limit: Use only the first training samples.
        seeds: Runs of every point.
        parameters: Only these, by key.
        baseline: Key -> value of parameters in which the near-ideal device is not ideal, as {"fast_retention": 300}.
        response: Of the near-ideal device of every rule: "linear-step", "constant-step" or "soft-bounds".
        network: Kind of network, or "FILE.py:FUNCTION".
        epochs: Of every run.
        lr: Learning rate at every point; chosen like the other rates when absent.
        tune: Whether the rates of a rule are chosen anew at each point, True when absent; else those of the near-ideal device are held.
        out: Folder that keeps finished sweeps, so that the same call resumes from them.
    """

    penalty: float | None
    data_dir: str | None
    limit: int | None
    seeds: int | None
    parameters: Sequence[str]
    baseline: Mapping[str, float]
    response: str | None
    network: str | None
    epochs: int | None
    lr: float | None
    tune: bool
    out: str | None


def requirements(
    rule: str | Sequence[str], task: str = "digits", *, progress: Progress = None, **options: Unpack[RequirementsOptions]
) -> Specification:
    """What a device must be for a rule to learn a task, by runs: `aimco requirements`.

    Args:
        rule: A learning rule, or several to compare; the first is what the others are compared with.
        task: As of `evaluate`.
        progress: True or False for a bar or none, or a function of (what is running, fraction done). When absent, a bar appears on a
            terminal or in a notebook after 2 s.
        **options: `RequirementsOptions`: penalty, data_dir, limit, seeds, parameters, baseline, response, network, epochs, lr, tune, out.

    Raises:
        InputError: What cannot be asked.
    """
    rules = (rule,) if isinstance(rule, str) else tuple(dict.fromkeys(rule))
    asked: dict[str, Any] = dict(options)
    only, near = tuple(asked.pop("parameters", ())), tuple(dict(asked.pop("baseline", {})).items())
    question = Question(rules, task, only=only, near=near, **asked)
    question.check()
    with reported(progress, "requirements") as on_step:
        answer = derive(question, on_step)
    return Specification(**{f.name: getattr(answer, f.name) for f in fields(answer)})
