"""All trials as files for other programs: CSV always, Parquet where pyarrow is installed."""

from __future__ import annotations

import csv
import importlib
import importlib.util
import io
import json
from collections.abc import Mapping, Sequence

from aimco.record import InputError
from aimco.report.markup import file_of
from aimco.report.view import View
from aimco.studies.trial import Trial

NO_PARQUET = "trials.parquet was not written: it needs pyarrow, which pip install 'aimco[parquet]' brings"

_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # that spreadsheets take a cell to begin with
Cell = bool | int | float | str | None
Column = Sequence[Cell]


def columns(view: View) -> dict[str, Column]:
    """One list a column, None where a trial has nothing there.

    number, state, feasible; the paths of the point; the objectives; seeds, epochs, wall_s, reason, design (a file); then the numbers of the
    result by dotted name ("result.energy_J.total") and its notes.
    """
    trials = list(view.trials)
    table: dict[str, Column] = {name: [getattr(t, name) for t in trials] for name in ("number", "state", "feasible")}
    table |= {path: [_plain(t.point.get(path)) for t in trials] for path in view.fields}
    table |= {name: [_float(t.values.get(name)) for t in trials] for name in view.measures}
    table["seeds"] = [" ".join(map(str, t.seeds)) for t in trials]
    table |= {name: [getattr(t, name) for t in trials] for name in ("epochs", "wall_s", "reason")}
    table["design"] = [file_of(view, t) if t.design else None for t in trials]
    flat = [_flat(t) for t in trials]
    return table | {name: [row.get(name) for row in flat] for name in dict.fromkeys(n for row in flat for n in row)}


def csv_text(view: View) -> str:
    """The columns as CSV: numbers in full, inf and nan by name, empty where there is nothing; no text that a spreadsheet would run."""
    table = columns(view)
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(map(_harmless, table))
    writer.writerows(map(_harmless, row) for row in zip(*table.values(), strict=True))
    return buffer.getvalue()


def _harmless(cell: object) -> object:
    """Text that begins as a formula does, after an apostrophe."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell


def has_parquet() -> bool:
    """Whether Parquet can be written here."""
    return importlib.util.find_spec("pyarrow") is not None


def parquet_bytes(view: View) -> bytes:
    """The columns as Parquet. Raises InputError without pyarrow."""
    if not has_parquet():
        raise InputError(NO_PARQUET)
    arrow, parquet = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    buffer = io.BytesIO()
    parquet.write_table(arrow.table({name: _uniform(values) for name, values in columns(view).items()}), buffer)
    return buffer.getvalue()


def _flat(trial: Trial) -> dict[str, Cell]:
    row: dict[str, Cell] = {}

    def add(name: str, value: object) -> None:
        if isinstance(value, Mapping):
            for key, inner in value.items():
                add(f"{name}.{key}", inner)
        elif isinstance(value, bool | int | float | str):
            row[name] = float(value) if isinstance(value, int) and not isinstance(value, bool) else value

    for key, value in trial.result.items():
        add(f"result.{key}", "; ".join(map(str, value)) if key == "notes" else value)
    return row


def _plain(value: object) -> Cell:
    return value if value is None or isinstance(value, bool | int | float | str) else json.dumps(value, default=str)


def _float(value: float | None) -> float | None:
    return None if value is None else float(value)


def _uniform(values: Column) -> Column:
    """Values of one type: numbers as they are, a mixture as text."""
    kinds = {float if isinstance(v, int) and not isinstance(v, bool) else type(v) for v in values if v is not None}
    return values if len(kinds) <= 1 else [None if v is None else str(v) for v in values]
