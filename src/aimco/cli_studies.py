"""Commands that run many designs: `demo` and `study` search a space, `requirements` asks what a device must be."""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import tyro

from aimco.record import InputError, write_atomic
from aimco.terminal import as_json, print_json, steps

_LOG_WIDTH = 150  # columns of wide tables in a file


def demo(*, out: str = "aimco-report", json: bool = False) -> None:
    """Devices x rules on embedded digits, as a study: a table, a verdict per device, and the page report.html in the folder OUT."""
    from rich.console import Console

    from aimco import demo
    from aimco.report import grid

    print(f"training {demo.study().size()} designs on digits", file=sys.stderr, flush=True)
    with steps("demo") as on_step:

        def on_trial(trial: Any, done: int, size: int) -> None:
            on_step(f"{done} of {size} designs", done / size)

        trials = demo.trials(on_trial)
    grid.write(trials, out, "aimco demo")
    rows = grid.rows(trials)
    if json:
        print_json([grid.as_json(trial, demo.study().task.kind) for trial in trials])
        return
    Console().print(grid.table(rows))
    for sentence in grid.verdicts(rows):
        print(sentence)
    print(f"The page of the study is {Path(out) / 'report.html'}")


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
    json: bool = False,
) -> None:
    """Search a space of designs: the front, its knee, and the command that runs each point of it again.

    The same command goes on with a study that was stopped. --workers: local processes. --cluster: address of a Dask scheduler.
    --storage: URL of a database; FILE.db beside FILE.toml when absent. --resume: refuse to begin anew. --requirement: NAME or
    FILE.toml of what the page holds the devices against, again for several. --out: folder of trials.csv and the points' designs,
    NAME-study when absent.
    """
    from rich.console import Console

    from aimco.device.requirement import Requirement
    from aimco.report.study import write
    from aimco.studies import Study, default_storage, front
    from aimco.studies import run as search
    from aimco.studies.summary import commands, document, pruned, table, told

    asked = Study.load(file)
    required = [Requirement.named(name) for name in requirement]
    where, folder = storage or default_storage(file), out or f"{asked.name}-study"
    with steps(asked.name, by_label=False) as on_step:
        seen: list[Any] = []

        def on_trial(trial: Any, done: int, size: int) -> None:
            seen.append(trial)
            on_step(told(asked, seen, done, size), done / size)

        options = {"data_dir": data_dir, "workers": workers, "cluster": cluster, "resume": resume}
        trials = search(asked, storage=where, on_trial=on_trial, **options)
    missing = write(trials, folder, _about(asked, trials, _command(file, data_dir, requirement), data_dir, required))
    if json:
        print_json(document(asked, trials, where, folder, data_dir))
        return
    Console().print(table(asked, trials))
    for trial in front(trials):
        for command in commands(asked, trial, folder, data_dir):
            print(command)
    for sentence in pruned(trials):
        print(sentence)
    for reason, count in Counter(t.reason for t in trials if t.state == "failed").most_common(5):
        print(f"failed, {count} of {len(trials)}: {reason}")
    for sentence in missing:
        print(sentence)
    print(f"The page of the study is {Path(folder) / 'report.html'}")


def _command(file: str, data_dir: str | None, requirement: list[str]) -> str:
    """What makes the page of a study again."""
    options = {"--data-dir": [data_dir] if data_dir is not None else [], "--requirement": requirement}
    return shlex.join(["aimco", "study", file, *(word for name, values in options.items() for v in values for word in (name, v))])


def _about(asked: Any, trials: list[Any], command: str, data_dir: str | None, required: list[Any]) -> Any:
    """What the page of a study says beside its trials."""
    from aimco.report.tolerance import tolerances
    from aimco.report.view import About
    from aimco.studies import front, sensitivity
    from aimco.studies.summary import bounds, options

    return About(
        {o.name: o.best for o in asked.objectives},
        title=asked.name,
        command=command,
        task=asked.task.text(),
        options=shlex.join(options(asked, data_dir)),
        constraints=bounds(asked),
        tolerance=tolerances([*front(trials), *trials], required),
        sensitivity=sensitivity(asked, trials),
    )


def requirements(
    *,
    rule: Annotated[list[str], tyro.conf.UseAppendAction] = [],  # noqa: B006
    task: str = "digits",
    penalty: float | None = None,
    data_dir: str | None = None,
    limit: int | None = None,
    seeds: int | None = None,
    line: Annotated[list[str], tyro.conf.UseAppendAction] = [],  # noqa: B006
    near: Annotated[list[str], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="LINE=VALUE")] = [],  # noqa: B006
    response: str | None = None,
    network: str | None = None,
    epochs: int | None = None,
    lr: float | None = None,
    verdict: str | None = None,
    out: str | None = None,
    json: bool = False,
) -> None:
    """What a device must be: how much of each imperfection a --rule tolerates on a task, alone and all together, by runs.

    --penalty: points of accuracy below the near-ideal device, 0.3 on mnist and 1 on digits when absent. --rule again: rules side by side.
    --network, --epochs, --lr: in place of those that the task is judged on; a network of a design, as FILE.py:FUNCTION.
    --response: of the near-ideal device of every rule, linear-step when absent, constant-step (the RPU specification) or soft-bounds.
    --line: only these. --near: a number of the near-ideal device, as fast_retention=300. --verdict DEVICE judges one.
    --out DIR keeps tables, picture and requirements, and goes on when stopped.
    """
    from aimco.device.device import Device
    from aimco.studies.requirements import Question, derive

    device = None if verdict is None else Device.named(verdict)
    keys, moved = tuple(line), tuple(_number("near", n) for n in near)
    question = Question(
        tuple(dict.fromkeys(rule)),
        task,
        penalty,
        data_dir,
        limit,
        seeds,
        keys,
        moved,
        out,
        response=response,
        network=network,
        epochs=epochs,
        lr=lr,
    )
    question.check()
    with steps("requirements") as on_step:
        answer = derive(question, on_step)
    _answered(answer, device, out, json)


def _answered(answer: Any, device: Any, out: str | None, json: bool) -> None:
    """Keep and tell what requirements were derived, and what they say of a device."""
    from rich.console import Console

    from aimco.report import requirements as report

    verdicts = {} if device is None else answer.verdicts(device)
    document = answer.as_json() | {"verdicts": {r: [j.as_json() for j in lines] for r, lines in verdicts.items()}}
    written = {} if out is None else {f"requirements-{answer.task}.json": as_json(document, indent=1) + "\n"} | report.files(answer)
    for name, content in written.items():
        write_atomic(Path(out or "") / name, content)
    if json:
        print_json(document)
        return
    console = Console(width=None if sys.stdout.isatty() else _LOG_WIDTH)
    for table in report.tables(answer, verdicts, device):
        console.print(table)
    for note in dict.fromkeys(note for derived in answer.rules for note in derived.notes):
        print(f"note: {note}")
    if written:
        print(f"written to {out}: {', '.join(written)}")


def _number(option: str, change: str) -> tuple[str, float]:
    key, _, value = change.partition("=")
    try:
        return key.strip(), float(value)
    except ValueError:
        raise InputError(f"--{option} {change} must be LINE=NUMBER, for example --{option} fast_retention=300") from None
