"""The commands `advise` and `demo`: which algorithm makes a device learn."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from aimco.outputs import finish, settled, try_to_save, writing
from aimco.terminal import as_json, print_json, steps

if TYPE_CHECKING:
    from aimco.api.advise import Advice

_LOG_WIDTH = 150  # columns of wide tables in a file


def advise(
    device: tyro.conf.Positional[list[str]],
    /,
    *,
    task: str = "digits",
    rule: Annotated[list[str], tyro.conf.UseAppendAction] = [],  # noqa: B006
    network: str | None = None,
    epochs: int = 10,
    minutes: float | None = None,
    workers: int = 1,
    seed: int = 0,
    data_dir: str | None = None,
    limit: int | None = None,
    around: bool = True,
    quick: bool = False,
    out: str | None = None,
    force: bool = False,
    json: bool = False,
) -> None:
    """Which algorithm makes a DEVICE learn: a name of the catalogue, FILE.toml, or files of measured pulses, which are fitted.

    Every rule in every cell that the device admits gets rates of its own. The leaders are confirmed on other seeds, with intervals. Then
    each line of the datasheet is improved and worsened, and converters and wires are worsened until a point is lost.

    --rule: only this one, again for several. --minutes: after which the answer is what is known by then; Ctrl-C does the same.
    --workers: local processes. --network: kind of network, or FILE.py:FUNCTION. --no-around leaves out what holds the device back and
    what the circuit must give; --quick takes a tenth of the work for a first answer. --out DIR writes the page advice.html and the
    designs, and keeps finished runs: the same command resumes. --force replaces files of that name that are not aimco's.
    """
    from aimco.api.advise import advise as ask

    options = {"rules": rule, "network": network, "training": {"epochs": epochs}, "minutes": minutes, "workers": workers}
    options |= {"seed": seed, "data_dir": data_dir, "limit": limit, "around": around, "quick": quick, "out": out}
    reads, name = [name for name in device if Path(name).suffix], Path(device[0]).name if device else ""
    with writing(out, ["advice.html"], reads=reads, force=force), steps(f"advise {name}", by_label=False) as on_step:
        answer, unsaved = settled(lambda: ask(device, task, progress=on_step, **options))  # type: ignore[arg-type]
    if json:
        print_json(answer.as_json())
    else:
        _print(answer, out if unsaved is None else None)
    finish(unsaved)


def demo(*, out: str = "aimco-report", workers: int = 2, force: bool = False, json: bool = False) -> None:
    """Which algorithm makes each of five devices learn handwritten digits, in two minutes; one is fitted to measured pulses.

    --workers: local processes. --out: folder of the page report.html, and of the page, the pictures and the designs of each device;
    --force replaces files of that name that are not aimco's.
    """
    from rich.console import Console

    from aimco import demo
    from aimco.report import answers as report

    with writing(out, ["report.html"], force=force):
        with steps("demo", by_label=False) as on_step:
            answers = demo.answers(workers=workers, on_step=on_step)
        documents = [answer.as_json() for answer in answers]
        unsaved = try_to_save("demo", answers, lambda: report.write(answers, out, "aimco demo"), lambda: as_json(documents, indent=1))
    if json:
        print_json(documents)
    else:
        for answer in answers:
            print(answer.sentences()[0])
        Console(width=None if sys.stdout.isatty() else _LOG_WIDTH).print(report.table(answers))
    finish(unsaved)
    if not json:
        print(f"The page of the answers is {Path(out) / 'report.html'}")


def _print(answer: Advice, out: str | None) -> None:
    """An answer on the terminal."""
    from rich.console import Console

    for sentence in answer.sentences():
        print(sentence)
    if answer.confirmed:
        Console(width=None if sys.stdout.isatty() else _LOG_WIDTH).print(answer.table())
    for note in answer.notes:
        print(f"note: {note}")
    if out is not None:
        print(f"The page of the answer is {Path(out) / 'advice.html'}")
