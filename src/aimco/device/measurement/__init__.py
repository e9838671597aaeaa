"""Measured pulse responses, retention and jump tables, read from the files that laboratories write.

What a file holds is told from its content: the names and units in its header, the words in its polarity column, and where there is
none the shape of the values. Whatever was assumed stands in `notes`; what cannot be told is refused in one sentence.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from aimco.device.measurement import jump_tables
from aimco.device.measurement.columns import quote, refuse, table_of, text_of
from aimco.device.measurement.jump_tables import JumpTables
from aimco.device.measurement.sheet import Sheet
from aimco.device.measurement.turning import is_triangular, run_starts

__all__ = ["JumpTables", "Measurement", "Retention", "Trace", "read"]

_Series = tuple[str, np.ndarray, np.ndarray]  # device, levels, and where they come from
P = TypeVar("P")
_RAMP = 3  # pulses on either side of a single RESET that make it abrupt


@dataclass(frozen=True, eq=False)
class Trace:
    """One device in one uninterrupted sequence of N read-outs.

    Args:
        device: its name in the file, "1" when it has none. cycle: number of the up/down cycle of each reading, from 0, (N,) int64.
        level: value read, (N,) float64, in the unit of the Measurement.
        polarity: of the pulses before this reading, (N,) int8: +1 up, -1 down, 2 an abrupt RESET, 0 none; 0 for the first reading.
        pulses: number of pulses since the reading before, (N,) int64; 0 where the polarity is 0. time_s: of each reading, s, or None.
    """

    device: str
    cycle: np.ndarray
    level: np.ndarray
    polarity: np.ndarray
    pulses: np.ndarray
    time_s: np.ndarray | None


@dataclass(frozen=True, eq=False)
class Measurement:
    """Levels read between pulses.

    Args:
        traces: one for each device. unit: of the levels, "S", "A", "V" or "a.u.". source: name of the file.
        notes: what was assumed, a sentence each. pulse_width_s, read_voltage: s and V, None when unsaid or not constant.
    """

    traces: list[Trace]
    unit: str
    source: str
    notes: list[str]
    pulse_width_s: float | None
    read_voltage: float | None


@dataclass(frozen=True, eq=False)
class Retention:
    """Levels over time without pulses.

    Args:
        devices: (name, time in s, level) of each. unit, source, notes: as of a Measurement.
    """

    devices: list[tuple[str, np.ndarray, np.ndarray]]
    unit: str
    source: str
    notes: list[str]


def read(
    path: str | os.PathLike[str], *more_paths: str | os.PathLike[str], read_voltage: float | None = None
) -> Measurement | Retention | JumpTables:
    """The measurement in a file.

    Args:
        path: a text table, a .npz of jump tables, or a folder with a pair of them. more_paths: the second file of a pair.
        read_voltage: V, makes conductances of currents; the file may say it instead.

    Raises:
        InputError: when the file cannot be read or told, in one sentence that names it, and the line and column where it can.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     file = Path(folder) / "pulses.csv"
        ...     _ = file.write_text("polarity,G (uS)\\nup,1\\nup,2\\nup,3\\ndown,2\\n")
        ...     measured = read(file)
        >>> measured.unit, measured.traces[0].polarity.tolist()
        ('S', [0, 1, 1, -1])
    """
    paths = [Path(p) for p in (path, *more_paths)]
    if read_voltage is not None and not (math.isfinite(read_voltage) and read_voltage != 0):
        refuse(paths[0], f"read_voltage must be finite and not 0 V, got {read_voltage!r}; give the voltage of the read-out")
    if len(paths) == 1 and paths[0].is_dir():
        paths = jump_tables.pair_in(paths[0])
    if len(paths) == 1 and paths[0].suffix.lower() == ".npz":
        return jump_tables.of_archive(paths[0])
    if len(paths) > 2:
        refuse(paths[0], "only two jump tables are read together; name one file, or the increasing and the decreasing table")
    texts = [text_of(p) for p in paths]
    jumps = [jump_tables.is_jump_table(t) for t in texts]
    if jumps == [False]:
        return _of_table(Sheet(table_of(paths[0], texts[0]), read_voltage))
    if jumps == [True]:
        refuse(paths[0], "is one jump table; name the table of the other direction as well")
    if not all(jumps):
        refuse(paths[jumps.index(False)], "is not a jump table; only these are read in pairs")
    return jump_tables.of_pair(paths, texts)


def _of_table(sheet: Sheet) -> Measurement | Retention:
    ramps = sheet.of("up") + sheet.of("down")
    return _of_ramps(sheet, ramps) if ramps else _of_rows(sheet)


def _of_ramps(sheet: Sheet, columns: list[int]) -> Measurement:
    """One ramp in each column: for each device set_1, reset_1, set_2, ..."""
    devices: dict[str, list[tuple[int, int, np.ndarray]]] = {}
    unit, numbers = "a.u.", sheet.pulse_numbers()
    sheet.alike(columns)
    for j in sorted(columns, key=lambda j: (int(sheet.quantities[j].number or 0), sheet.quantities[j].kind == "down")):
        header = sheet.quantities[j]
        levels, unit = sheet.level(j, ends=True)
        if len(levels) == 0:
            refuse(sheet.path, f"{sheet.table.column(j)} is empty; fill it in or remove it")
        devices.setdefault(header.prefix or "1", []).append((int(header.number or 0), 1 if header.kind == "up" else -1, levels))
    whole = [(name, np.concatenate([levels for _, _, levels in parts]), parts) for name, parts in devices.items()]
    return _measurement(sheet, unit, [_trace_of_ramps(name, level, parts, numbers) for name, level, parts in _select_usable(sheet, whole)])


def _trace_of_ramps(name: str, level: np.ndarray, parts: list[tuple[int, int, np.ndarray]], numbers: np.ndarray | None) -> Trace:
    lengths = [len(levels) for _, _, levels in parts]
    sign = np.repeat(np.array([s for _, s, _ in parts], np.int8), lengths)
    cycle = np.repeat(np.unique([c for c, _, _ in parts], return_inverse=True)[1], lengths)
    for k in (k for k in range(1, len(parts)) if parts[k][1] == parts[k - 1][1]):
        sign[sum(lengths[:k])] = 0  # what set the device back in between is not in the file
    return _trace(name, level, sign, None if numbers is None else np.concatenate([numbers[:n] for n in lengths]), cycle, None)


def _of_rows(sheet: Sheet) -> Measurement | Retention:
    """One reading in each row."""
    columns, groups = sheet.levels(), sheet.devices()
    polarity, number = sheet.polarity(columns[0]), sheet.pulse_numbers()
    time, cycle = sheet.numbers("time"), sheet.numbers("cycle")
    series, unit = [], "a.u."
    for j in columns:
        levels, unit = sheet.level(j)
        series += [(sheet.name_of(j, device, len(columns), len(groups)), levels[rows], rows) for device, rows in groups]
    series = _select_usable(sheet, series)
    pulsed = polarity is not None or sheet.of("pulse") or cycle is not None
    if time is not None and not pulsed and not all(is_triangular(level) for _, level, _ in series):
        return _retention(sheet, unit, series, time)
    signs = _find_signs(sheet, series) if polarity is None else _given_signs(sheet, series, polarity)
    traces = []
    for (name, level, rows), sign in zip(series, signs, strict=True):
        if sign is not None:
            traces.append(_trace(name, level, sign, *(None if v is None else v[rows] for v in (number, cycle, time))))
    return _measurement(sheet, unit, traces)


def _select_usable(sheet: Sheet, series: list[tuple[str, np.ndarray, P]]) -> list[tuple[str, np.ndarray, P]]:
    """The devices with three readings and two values at least; InputError when there is none."""
    reasons = {}
    for name, level, _ in series:
        if len(level) < 3:
            reasons[name] = f"has only {len(level)} reading{'s' * (len(level) != 1)}, and a response needs 3; measure more pulses"
        elif level.min() == level.max():
            reasons[name] = "has only equal levels; check what was read"
    if len(reasons) == len(series):
        name, reason = next(iter(reasons.items()))
        refuse(sheet.path, reason if len(series) == 1 else f"has no usable device: {quote(name)} {reason}")
    sheet.notes += [f"device {name} is left out: it {reason.partition(';')[0]}" for name, reason in reasons.items()]
    return [each for each in series if each[0] not in reasons]


# polarity


def _find_signs(sheet: Sheet, series: list[_Series]) -> list[np.ndarray | None]:
    """Signs of pulses by the turning points of the levels, None for a device without any run."""
    signs: list[np.ndarray | None] = []
    for name, level, _ in series:
        runs = run_starts(level)
        if runs is None and len(series) == 1:
            refuse(sheet.path, "has no polarity column, and its levels show no up and down runs; add a column polarity")
        if runs is None:
            sheet.notes.append(f"device {name} is left out: its levels show no up and down runs")
            signs.append(None)
            continue
        starts, first = runs
        lengths = np.diff(np.append(starts, len(level)))
        signs.append(np.repeat(first * (-1) ** np.arange(len(starts)), lengths).astype(np.int8))
    if all(s is None for s in signs):
        refuse(sheet.path, "has no polarity column, and its levels show no up and down runs; add a column polarity")
    sheet.notes.append("there is no polarity column: up and down runs are found from the turning points of the levels")
    return signs


def _given_signs(sheet: Sheet, series: list[_Series], polarity: np.ndarray) -> list[np.ndarray]:
    """Signs of pulses by the file; `reset` is an abrupt RESET when each stands alone between ramps, otherwise a pulse down."""
    signs = [polarity[rows] for _, _, rows in series]
    if (polarity == 2).any():
        others = bool((polarity == -1).any())
        if all(_stands_alone(s, others) for s in signs):
            sheet.notes.append("single reset pulses between ramps are taken as abrupt RESETs")
        else:
            signs = [np.where(s == 2, -1, s).astype(np.int8) for s in signs]
    return signs


def _stands_alone(sign: np.ndarray, others: bool) -> bool:
    """Whether each reset is one pulse between runs of `_RAMP` pulses up, or of either sign where `others` are pulses down."""
    sign = sign[sign != 0]
    starts = np.concatenate([np.zeros(min(len(sign), 1), int), np.flatnonzero(np.diff(sign)) + 1])
    length = np.diff(np.append(starts, len(sign)))
    reset = sign[starts] == 2
    ramp = (length >= _RAMP) & ((sign[starts] == 1) | (others & ~reset))
    beside = np.concatenate([[True], ramp[:-1]]) & np.concatenate([ramp[1:], [True]])
    return bool((length[reset] == 1).all() and beside[reset].all() and (len(starts) > 1 or not reset.any()))


# the structures


def _trace(
    name: str, level: np.ndarray, sign: np.ndarray, number: np.ndarray | None, cycle: np.ndarray | None, time: np.ndarray | None
) -> Trace:
    pulses = _pulses(number, len(level))
    cycles = _cycles(sign) if cycle is None else np.unique(cycle, return_inverse=True)[1]
    polarity = np.where(pulses == 0, 0, sign).astype(np.int8)
    polarity[0] = 0
    pulses[polarity == 0] = 0
    return Trace(name, cycles.astype(np.int64), level, polarity, pulses, time)


def _pulses(number: np.ndarray | None, readings: int) -> np.ndarray:
    """Pulses since the reading before. Where the number falls back it began again, unless it is counted down."""
    pulses = np.ones(readings, np.int64)
    if number is None:
        return pulses
    steps = np.diff(number)
    if np.count_nonzero(steps) * 2 < len(steps):  # a number of something else
        return pulses
    most = int(steps.max()) if steps.max() > 0 else int(-steps.min())
    again = np.where((number[1:] >= 0) & (number[1:] <= most), number[1:], 1)
    pulses[1:] = np.where(steps >= 0, steps, np.where(-steps <= most, -steps, again))
    return pulses


def _cycles(sign: np.ndarray) -> np.ndarray:
    """Number of the cycle of each reading: one begins where the sign of the first pulse comes back."""
    side = np.where(sign == 2, -1, sign)
    latest = side[np.maximum.accumulate(np.where(side != 0, np.arange(len(side)), 0))]
    first = next(iter(side[side != 0]), 0)
    return np.cumsum(np.diff(latest, prepend=latest[:1]) * first > 1)


def _retention(sheet: Sheet, unit: str, series: list[_Series], time: np.ndarray) -> Retention:
    for _, _, rows in series:
        back = np.flatnonzero(np.diff(time[rows]) < 0)
        if len(back):
            sheet.table.refuse_cell(int(rows[back[0] + 1]), sheet.of("time")[0], "time goes back; add a column device, or sort the rows")
    sheet.note_unused()
    return Retention([(name, time[rows], level) for name, level, rows in series], unit, sheet.path.name, sheet.notes)


def _measurement(sheet: Sheet, unit: str, traces: list[Trace]) -> Measurement:
    width, volts = sheet.setting("pulse_width"), sheet.read_voltage
    if volts is None:
        volts = sheet.setting("read_voltage")
    sheet.note_unused()
    constant = (v if isinstance(v, float) else None for v in (width, volts))
    return Measurement(traces, unit, sheet.path.name, sheet.notes, *constant)
