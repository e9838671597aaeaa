"""Commands that run many designs: `study` searches a space, `requirements` asks what a device must be."""

from __future__ import annotations

import functools
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from aimco.outputs import Unsaved, finish, try_to_save, writing
from aimco.record import InputError
from aimco.terminal import as_json, print_json, steps

if TYPE_CHECKING:
    from aimco.api.requirements import Specification
    from aimco.api.studies import StudyResult
    from aimco.device.device import Device


_LOG_WIDTH = 150  # columns of wide tables in a file


def study(
    file: tyro.conf.Positional[str],
    /,
    *,
    workers: int = 1,
    cluster: str | None = None,
    storage: str | None = None,
    resume: bool = False,
    data_dir: str | None = None,
    requirement: Annotated[list[str], tyro.conf.UseAppendAction] = [],  # noqa: B006
    out: str | None = None,
    force: bool = False,
    json: bool = False,
) -> None:
    """Search a space of designs: the front, its knee, and the command that runs each point of it again.

    The same command goes on with a study that was stopped. --workers: local processes. --cluster: address of a Dask scheduler.
    --storage: URL of a database; FILE.db beside FILE.toml when absent. --resume: refuse to begin anew. --requirement: NAME or
    FILE.toml of what the page holds the devices against, again for several. --out: folder of trials.csv and the points' designs,
    NAME-study when absent; --force replaces files of that name that are not aimco's.
    """
    from aimco.api.studies import FILES
    from aimco.api.studies import study as search
    from aimco.device.requirement import Requirement
    from aimco.studies.space import Study

    for name in requirement:
        Requirement.named(name)
    asked = Study.load(file)
    folder, reads = out or f"{asked.name}-study", [file, *asked.files(), *(r for r in requirement if r.endswith(".toml"))]
    options = {"data_dir": data_dir, "workers": workers, "cluster": cluster, "storage": storage, "resume": resume}
    with writing(folder, FILES, reads=reads, force=force):
        with steps(asked.name, by_label=False) as on_step:
            result = search(file, progress=on_step, **options)  # type: ignore[arg-type]
        save = functools.partial(result.report, folder, requirements=requirement)
        unsaved = try_to_save("study", result, save, lambda: as_json(result.as_json(folder), indent=1))
    print_json(result.as_json(folder)) if json else _print_study(result, folder, data_dir, written=unsaved is None)
    finish(unsaved)


def _print_study(result: StudyResult, folder: str, data_dir: str | None, *, written: bool) -> None:
    """A study on the terminal."""
    from rich.console import Console

    from aimco.report.tables import NO_PARQUET, has_parquet
    from aimco.studies.summary import commands, pruned

    Console().print(result.table())
    for trial in result.front:
        for command in commands(result.study, trial, folder, data_dir):
            print(command)
    for sentence in pruned(result.trials):
        print(sentence)
    for reason, count in Counter(t.reason for t in result.trials if t.state == "failed").most_common(5):
        print(f"failed, {count} of {len(result.trials)}: {reason}")
    if not has_parquet():
        print(NO_PARQUET)
    if written:
        print(f"The page of the study is {Path(folder) / 'report.html'}")


def requirements(
    *,
    rule: Annotated[list[str], tyro.conf.UseAppendAction] = [],  # noqa: B006
    task: str = "digits",
    penalty: float | None = None,
    data_dir: str | None = None,
    limit: int | None = None,
    seeds: int | None = None,
    parameter: Annotated[list[str], tyro.conf.UseAppendAction] = [],  # noqa: B006
    baseline: Annotated[list[str], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="PARAMETER=VALUE")] = [],  # noqa: B006
    response: str | None = None,
    network: str | None = None,
    epochs: int | None = None,
    lr: float | None = None,
    tune: bool = True,
    judge: str | None = None,
    out: str | None = None,
    force: bool = False,
    json: bool = False,
) -> None:
    """What a device must be: how much of each imperfection a --rule tolerates on a task, alone and all together, by runs.

    --penalty: points of accuracy below the near-ideal device, 0.3 on mnist and 1 on digits when absent. --rule again: rules side by side.
    --network, --epochs, --lr: in place of those that the task is judged on; a network of a design, as FILE.py:FUNCTION.
    --response: of the near-ideal device of every rule, linear-step when absent, constant-step (the RPU specification) or soft-bounds.
    Rates of a rule are chosen anew at each point; --no-tune holds those of the near-ideal device, --lr holds the learning rate.
    --parameter: only these. --baseline: a number of the near-ideal device, as fast_retention=300. --judge DEVICE: held against the result.
    --out DIR keeps tables, picture and requirements, and goes on when stopped; --force replaces files of that name that are not aimco's.
    """
    from aimco.api import requirements as api
    from aimco.device.device import Device

    device = None if judge is None else Device.named(judge)
    moved = dict(_number("baseline", change) for change in baseline)
    options = {"penalty": penalty, "data_dir": data_dir, "limit": limit, "seeds": seeds, "parameters": parameter, "baseline": moved}
    options |= {"response": response, "network": network, "epochs": epochs, "lr": lr, "tune": tune, "out": out}
    with writing(out, api.outputs_of(rule, task), reads=[judge] if judge and judge.endswith(".toml") else [], force=force):
        with steps("requirements") as on_step:
            answer = api.requirements(rule, task, progress=on_step, **options)  # type: ignore[arg-type]
        unsaved = _keep_requirements(answer, out, device)
    print_json(answer.document(device)) if json else _print_requirements(answer, device)
    finish(unsaved)


def _keep_requirements(answer: Specification, out: str | None, device: Device | None) -> Unsaved | None:
    if out is None:
        return None
    written: list[str] = []
    save = lambda: written.extend(answer.save(out, device))  # noqa: E731
    unsaved = try_to_save("requirements", answer, save, lambda: as_json(answer.document(device), indent=1))
    print(f"written to {out}: {', '.join(written) or 'nothing'}", file=sys.stderr)
    return unsaved


def _print_requirements(answer: Specification, device: Device | None) -> None:
    """What requirements were derived, and what they say of a device, on the terminal."""
    from rich.console import Console

    from aimco.report import requirements as report

    verdicts = {} if device is None else answer.verdict(device)
    console = Console(width=None if sys.stdout.isatty() else _LOG_WIDTH)
    for table in report.tables(answer, verdicts, device):
        console.print(table)
    for note in dict.fromkeys(note for derived in answer.rules for note in derived.notes):
        print(f"note: {note}")


def _number(option: str, change: str) -> tuple[str, float]:
    key, _, value = change.partition("=")
    try:
        return key.strip(), float(value)
    except ValueError:
        raise InputError(f"--{option} {change} must be PARAMETER=NUMBER, for example --{option} fast_retention=300") from None
