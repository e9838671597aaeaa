"""The commands `bench` and `reference`: times beside a peer, and published figures beside ours."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import tyro

from aimco.errors import InputError
from aimco.outputs import Unsaved, finish, try_to_save, writing
from aimco.plain_data import PlainData
from aimco.terminal import as_json, keep, print_json, steps

if TYPE_CHECKING:
    from aimco.reference import Settings


def bench(
    name: tyro.conf.Positional[str], /, *, peer: str | None = None, out: str | None = None, force: bool = False, json: bool = False
) -> None:
    """Time a part beside a peer in the same run: medians and ratios.

    NAME is pulse, train, hold, fit, circuit, wires, variants, rbm, cost or start. --out DIR keeps them as NAME.json; --force replaces
    another's file there. --peer PYTHON, for rbm: the interpreter of an environment with brian2 (`make brian2` makes one), which then does
    the same work in the same run.
    """
    from rich.console import Console

    from aimco import bench as benches

    console = Console(stderr=True)
    with writing(out, [f"{name}.json"], force=force):
        measured = benches.run(name, on_case=lambda case: console.print(f"timing {case}"), peer=peer)
        unsaved = _keep(out, name, measured)
    if json:
        print_json(measured)
    else:
        _print_bench(measured)
    finish(unsaved)


def _keep(out: str | None, name: str, document: PlainData) -> Unsaved | None:
    if out is None:
        return None
    return try_to_save(name, document, lambda: keep(out, name, document), lambda: as_json(document, indent=1))


def _print_bench(measured: PlainData) -> None:
    """Times on the terminal."""
    from rich.console import Console
    from rich.table import Table

    unit, peers = measured["rows"][0]["unit"], dict.fromkeys(row["peer"] for row in measured["rows"])
    table = Table(title=f"{measured['bench']}: {unit}, {measured['threads']} threads", caption=f"peer: {'; '.join(peers)}", box=None)
    for column in ("case", "ours", "peer", "ratio"):
        is_case = column == "case"
        table.add_column(column, no_wrap=not is_case, overflow="fold", justify="left" if is_case else "right")
    for row in measured["rows"]:
        table.add_row(row["case"], *(f"{v:,.0f}" if v >= 1000 else f"{v:.3g}" for v in (row["value"], row["peer_value"], row["ratio"])))
    Console().print(table)


def reference(
    action: tyro.conf.Positional[Literal["list", "run"]],
    names: tyro.conf.Positional[list[str]] = [],  # noqa: B006
    /,
    *,
    quick: bool = False,
    data_dir: str | None = None,
    seed: int = 0,
    limit: int | None = None,
    out: str | None = None,
    checkpoints: str | None = None,
    force: bool = False,
    json: bool = False,
) -> None:
    """Published figures, ours beside theirs: `list` them, or `run` some by NAME. --out DIR writes each report as NAME.json;
    --force replaces another's file there.

    --checkpoints DIR keeps the state of each run after every epoch; the same command resumes from it after an interruption.
    """
    from rich.console import Console

    from aimco import reference as references
    from aimco.report.reference import table

    modules = {name: references.module(name) for name in (names if action == "run" else references.names())}
    if not modules:
        raise InputError(f"reference run needs a NAME; the references are {', '.join(references.names())}")
    if action == "list":
        listed = [{"reference": name, "source": module.SOURCE, "needs": module.NEEDS} for name, module in modules.items()]
        print_json(listed) if json else print("\n".join(f"{r['reference']}: {r['source']}" for r in listed))
        return
    settings = references.Settings(quick=quick, data_dir=data_dir, seed=seed, limit=limit, checkpoints=checkpoints)
    files, reports, failed = {name: f"{name}-quick" if quick else name for name in modules}, [], []
    with writing(out, [f"{file}.json" for file in files.values()], force=force):
        for name, file in files.items():
            report = _run_reference(name, settings)
            reports.append(report)
            failed.append(_keep(out, file, report))
            if not json:
                Console().print(table(report))
    if json:
        print_json(reports[0] if len(reports) == 1 else reports)
    finish(next(filter(None, failed), None))


def _run_reference(name: str, settings: Settings) -> PlainData:
    """A reference with its progress."""
    from aimco import reference as references

    with steps(name) as on_step:
        return references.run(name, replace(settings, on_step=on_step))
