"""The command line: each command is a function here, its options are the function's arguments."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import sys
import tomllib
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from aimco import __version__, interrupts
from aimco.cli_advise import advise, demo
from aimco.cli_figures import bench, reference
from aimco.cli_studies import requirements, study
from aimco.files import parse_toml, untrusted_everywhere
from aimco.outputs import Unsaved, finish, settled, try_to_save, write_outputs, writing
from aimco.record import InputError
from aimco.terminal import as_json, bar, keep, print_json, telling
from aimco.user_code import own_fault

if TYPE_CHECKING:
    from aimco.device.fit.files import Characterisation
    from aimco.report.cost import Costs
    from aimco.result import Result


def run(
    design: tyro.conf.Positional[str],
    /,
    *,
    task: str = "digits",
    seed: int = 0,
    set: Annotated[list[tuple[str, ...]], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="PATH=VALUE ...")] = [],  # noqa: B006
    data_dir: str | None = None,
    limit: int | None = None,
    checkpoint: str | None = None,
    out: str | None = None,
    force: bool = False,
    json: bool = False,
) -> None:
    """Train and price one design. --set changes fields of it; LIMIT uses only the first training samples.

    --out DIR writes report.html, the result, the design and its pictures there; --force replaces files of that name that are not aimco's.

    --checkpoint FILE keeps the state after each epoch; the same command goes on from there when it was stopped.
    """
    from rich.console import Console
    from rich.markup import escape

    from aimco.api.runs import FILES, evaluate
    from aimco.design import Design

    chosen = Design.load(design)
    for change in itertools.chain.from_iterable(set):
        chosen = chosen.replace(*_assignment(change))
    name = f"{chosen.device.name}, {chosen.rule.kind}"
    reads = [design, *chosen.files()]
    with writing(out, FILES, reads=reads, state=[checkpoint], force=force), bar(Console(stderr=True)) as progress:
        task_bar = progress.add_task(escape(name), total=1.0)

        def on_step(label: str, done: float) -> None:
            progress.update(task_bar, completed=done, description=escape(": ".join(filter(None, [name, label]))))

        options = {"seed": seed, "data_dir": data_dir, "limit": limit, "checkpoint": checkpoint, "out": out}
        result, unsaved = settled(lambda: evaluate(chosen, task, progress=on_step, **options))  # type: ignore[arg-type]
    if out is not None and unsaved is None:
        print(f"written: {Path(out) / 'report.html'}", file=sys.stderr)
    if json:
        print_json(result.as_json())
    else:
        _print_run(result)
    finish(unsaved)


def _print_run(result: Result) -> None:
    """A run on the terminal."""
    from rich.console import Console

    from aimco.report.run import phases_table, result_table

    Console().print(result_table(result))
    if result.energy_J["total"]:
        Console().print(phases_table(result))
    for note in result.notes:
        print(f"note: {note}")


def devices(
    name: tyro.conf.Positional[str | None] = None,
    /,
    *,
    sort: Literal["name", "states", "asymmetry", "retention"] = "name",
    requirement: str = "rpu",
    out: str | None = None,
    force: bool = False,
    json: bool = False,
) -> None:
    """The catalogue, sorted; or one device of it (or a FILE.toml): numbers, sources, its verdict against a requirement.

    --out FILE.png draws the pulse response over several cycles and devices, and the margins of the verdict; --force replaces a file
    of that name that is not aimco's.
    """
    from rich.console import Console

    from aimco.api.devices import devices as listed
    from aimco.device.device import Device
    from aimco.device.requirement import Requirement
    from aimco.report import device as report

    if name is not None:
        device = Device.named(name)
        verdict = Requirement.named(requirement).verdict(device)
        if out is not None:
            at, reads = Path(out), [name, requirement]
            with writing(at.parent, [at.name], reads=[r for r in reads if r.endswith(".toml")], force=force):
                write_outputs(at.parent, {at.name: report.png(report.verdict_figure(device, verdict))})
        if json:
            print_json(device.as_dict() | {"verdict": [line.as_json() for line in verdict]})
            return
        print(device.dumps())
        Console().print(report.verdict_table(verdict, requirement))
        for note in device.notes():
            print(f"note: {note}")
        return
    listing = listed(sort)
    if json:
        print_json([d.as_dict() | {"states": d.states, "asymmetry": d.asymmetry} for d in listing])
        return
    Console().print(listing.table())


def fit(
    files: tyro.conf.Positional[list[str]],
    /,
    *,
    out: Annotated[str, tyro.conf.arg(aliases=["-o"])] = "device.toml",
    family: str | None = None,
    read_voltage: float | None = None,
    g_min: float | None = None,
    g_max: float | None = None,
    requirement: str = "rpu",
    force: bool = False,
    json: bool = False,
) -> None:
    """Measured pulses (and retention traces, or a pair of jump tables) to a device: datasheet OUT, pictures beside it, verdict.

    --family takes that response instead of choosing one: one of the catalogue's, jump-table, or FILE.py:CLASS. --read-voltage: of files
    of currents, V. --g-min, --g-max: conductances that a file in other units is laid on, S. --requirement: a name or a FILE.toml.
    --force replaces files at OUT that are not aimco's.
    """
    from rich.console import Console
    from rich.markup import escape

    from aimco.api.devices import fit, outputs_of

    options = {"family": family, "read_voltage": read_voltage, "requirement": requirement, "name": Path(out).stem}
    options |= {"span_S": (1e-7 if g_min is None else g_min, 1e-5 if g_max is None else g_max)}
    written: list[str] = []
    with writing(Path(out).parent, outputs_of(out), reads=files, force=force), bar(Console(stderr=True)) as progress:
        task_bar = progress.add_task("reading", total=1.0)

        def on_progress(what: str, done: float) -> None:
            progress.update(task_bar, completed=done, description=escape(what))

        result = fit(*files, progress=on_progress, **options)  # type: ignore[arg-type]
        unsaved = try_to_save("fit", result, lambda: written.extend(result.save(out)), lambda: as_json(result.as_json(), indent=1))
    print_json(result.as_json()) if json else _print_fit(result, requirement, written)
    finish(unsaved)


def _print_fit(result: Characterisation, requirement: str, written: Sequence[str]) -> None:
    """A fitted device on the terminal."""
    from rich.console import Console

    from aimco.report.device import estimates_table, verdict_table

    Console().print(estimates_table(result))
    if result.verdict:
        Console().print(verdict_table(result.verdict, requirement))
    for note in result.notes:
        print(f"note: {note}")
    print(f"written: {', '.join(written) or 'nothing'}")


def cost(
    design: tyro.conf.Positional[str],
    /,
    *,
    network: str | None = None,
    task: str = "digits",
    data_dir: str | None = None,
    activity: str | None = None,
    set: Annotated[list[tuple[str, ...]], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="PATH=VALUE ...")] = [],  # noqa: B006
    out: str | None = None,
    force: bool = False,
    json: bool = False,
) -> None:
    """Energy, time and area of one sample's inference and of one training sample, from the shapes of layers, without a run.

    --network: vgg8, a FILE.toml of layers, or a network as of a design, as FILE.py:FUNCTION; the design's own when absent. --task: whose
    samples it is given, as of aimco run. --activity: pulses of an update as
    FILE.json of aimco run measured them; assumed when absent. --set changes fields of the design.
    --out DIR keeps cost.json and a picture of it there; --force replaces files of that name that are not aimco's.
    """
    from rich.console import Console

    from aimco.lazy import at_first_use

    at_first_use("torch")

    from aimco.api.costs import estimate
    from aimco.design import Design
    from aimco.report import cost as report

    chosen = Design.load(design)
    for change in itertools.chain.from_iterable(set):
        chosen = chosen.replace(*_assignment(change))
    reads = [design, activity, *chosen.files(), *([network] if network is not None and network.endswith(".toml") else [])]
    with writing(out, ["cost.json", "cost.png"], reads=reads, force=force):
        costs = estimate(chosen, network=network, task=task, data_dir=data_dir, activity=activity)
        if out is not None:
            _keep_costs(out, costs)
    if json:
        print_json(costs.as_json())
        return
    for table in report.tables(costs):
        Console().print(table)
    for note in costs.notes():
        print(f"note: {note}")


def _keep_costs(out: str, costs: Costs) -> None:
    from aimco.report.cost import figure
    from aimco.report.device import png

    write_outputs(out, {"cost.png": png(figure(costs))})
    keep(out, "cost", costs.as_json())
    print(f"written to {out}: cost.json, cost.png", file=sys.stderr)


def _assignment(change: str) -> tuple[str, object]:
    path, equals, value = change.partition("=")
    if not equals or not path.strip():
        raise InputError(f"--set {change} must be PATH=VALUE, for example --set rule.lr=0.05")
    try:
        return path.strip(), parse_toml(f"value = {value}", f"--set {path.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        return path.strip(), value.strip()


_UNTRUSTED = "--untrusted"
_LONGEST = 600  # letters of a message
_ABOUT = "From a device to the algorithm that makes it learn. With --untrusted, no command runs Python of files that its input names."
_RENAMED = {"--near": "--baseline", "--line": "--parameter", "--verdict": "--judge"}


def _current(word: str) -> str:
    """An option by its present name, with a warning for one that had another."""
    option, equals, value = word.partition("=")
    if option not in _RENAMED:
        return word
    print(f"{option} is now {_RENAMED[option]}", file=sys.stderr)
    return _RENAMED[option] + equals + value


def _brief(message: str) -> str:
    """A message without the middle, where it echoes what is long."""
    return message if len(message) <= _LONGEST else f"{message[: _LONGEST // 2]} ... {message[-_LONGEST // 2 :]}"


def _interruptible(command: Callable[..., None]) -> Callable[..., None]:
    """A command that hears Ctrl-C, from when its arguments are understood."""

    @functools.wraps(command)
    def heard(*arguments: object, **options: object) -> None:
        with interrupts.heard():
            command(*arguments, **options)

    return heard


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command. Returns the exit status: 0 done, 2 the input is wrong (one sentence), 1 anything else."""
    words = [_current(word) for word in (sys.argv[1:] if argv is None else argv)]
    if words == ["--version"]:
        print(__version__)
        return 0
    commands = {"demo": demo, "run": run, "devices": devices, "fit": fit, "bench": bench, "reference": reference, "study": study}
    commands |= {"requirements": requirements, "cost": cost, "advise": advise}
    try:
        with untrusted_everywhere(_UNTRUSTED in words), telling():
            asked = [word for word in words if word != _UNTRUSTED]
            interruptible = {name: _interruptible(command) for name, command in commands.items()}
            tyro.extras.subcommand_cli_from_dict(interruptible, prog="aimco", args=asked, description=_ABOUT)
    except InputError as error:
        print(_brief(str(error)), file=sys.stderr)
        return 2
    except BrokenPipeError:  # nobody reads on, as after `| head`
        with contextlib.suppress(OSError):
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        return 1
    except Unsaved as error:
        print(error, file=sys.stderr)
        return 2
    except OSError as error:
        place, cause = error.filename or "a file or a connection", error.strerror or str(error)
        print(f"{place}: cannot be written or read ({cause}); check the path and its permissions", file=sys.stderr)
        return 2
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 2
    except KeyboardInterrupt:
        print(interrupts.SAID + interrupts.resumption(words), file=sys.stderr)
        return interrupts.STATUS
    except Exception as error:
        message = own_fault(error)
        if message is None:
            traceback.print_exc()
            return 1
        print(message, file=sys.stderr)
        return 2
    return 0
