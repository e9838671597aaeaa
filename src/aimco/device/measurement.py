"""Measurements that users bring: pulses, retention traces and jump tables, read from the files that instruments and people write."""

from __future__ import annotations

import itertools
import re
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy import signal

from aimco.device.columns import LARGEST, Column, columns_of, scale_of, text_of
from aimco.record import InputError

_ROLES = {
    "conductance": ("conductance", "g", "gd", "g_read", "read_conductance", "cond"),
    "resistance": ("resistance", "r", "r_read"),
    "current": ("current", "i", "id", "i_d", "ids", "i_read", "iread", "read_current", "idrain", "drain_current", "ad"),
    "level": ("vcap", "v_cap", "voltage", "v", "adc_counts", "adc", "counts", "weight", "w", "value", "level", "a.u.", "state", "reading"),
    "polarity": ("polarity", "direction", "sign", "type", "pulse_type", "operation", "mode"),
    "pulse_voltage": ("pulse_voltage", "v_pulse", "vpulse", "write_voltage", "v_write", "vwrite", "amplitude"),
    "pulse": ("pulse", "pulse_number", "pulse_no", "pulses", "n", "index", "number", "#"),
    "cycle": ("cycle", "cycle_number", "loop"),
    "device": ("device", "device_id", "chip", "cell", "sample", "dut"),
    "time": ("time", "t", "timestamp", "elapsed", "elapsed_time"),
    "read_voltage": ("read_voltage", "v_read", "vread"),
    "width": ("pulse_width", "width", "pw"),
}
_DIMENSION = {"conductance": "S", "resistance": "Ohm", "current": "A", "time": "s", "read_voltage": "V", "pulse_voltage": "V", "width": "s"}
_LEVELS = ("conductance", "resistance", "current", "level")
_WORDS = {
    **dict.fromkeys(("up", "set", "p", "ltp", "pot", "potentiation", "+", "+1", "1", "inc", "increase", "program"), 1),
    **dict.fromkeys(("down", "d", "ltd", "dep", "depression", "-", "-1", "0", "dec", "decrease"), -1),
    **dict.fromkeys(("reset", "erase"), -2),
    **dict.fromkeys(("none", "read", "initial", "start"), 0),
}
_RAMP = re.compile(r"(?:(.+?)[_ ])?(up|set|ltp|potentiation|pot|down|reset|ltd|depression|dep)[_ ]*(\d*)", re.IGNORECASE)
_UP = ("up", "set", "ltp", "potentiation", "pot")
_FEWEST = 3  # readings


@dataclass(frozen=True, eq=False)
class Trace:
    """One device, one uninterrupted sequence of readings.

    Args:
        device: name. cycle: number of the cycle of each reading (N,). level: readings (N,). polarity: of the pulses before each
            reading, 1 up, -1 down, 2 an abrupt RESET, 0 none (N,). pulses: how many since the reading before (N,).
        time_s: of each reading, when it is known.
    """

    device: str
    cycle: np.ndarray
    level: np.ndarray
    polarity: np.ndarray
    pulses: np.ndarray
    time_s: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Measurement:
    """Readings under pulses. unit: of the levels, "S", "A", "V" or "a.u."; notes: what was taken for granted."""

    traces: list[Trace]
    unit: str
    source: str
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Retention:
    """Levels of devices left alone: (name, times in s, levels) of each."""

    devices: list[tuple[str, np.ndarray, np.ndarray]]
    unit: str
    source: str
    notes: list[str] = field(default_factory=list)


Table = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False)
class JumpTables:
    """Distributions of the change by one pulse, up and down: states (C,), probabilities (R,), changes (R, C)."""

    up: Table
    down: Table
    unit: str
    source: str
    notes: list[str] = field(default_factory=list)


def read(path: str | Path, other: str | Path | None = None, *, read_voltage: float | None = None) -> Measurement | Retention | JumpTables:
    """What a file holds, told by its columns.

    One row per reading with named columns (pulse, polarity, conductance or current and read voltage, cycle, device, time); two
    columns up and down; one ramp per column (set_1, reset_1, ...); a preamble before the table; time and level only (retention);
    jump tables (a .npz, or two text files: states, probabilities, then changes).

    Args:
        path: the file. other: the second of two jump tables. read_voltage: of currents, V.

    Raises:
        InputError: a file that is none of these, in one sentence that says what is wrong.
    """
    path = Path(path)
    if read_voltage is not None and not (np.isfinite(read_voltage) and read_voltage != 0):
        raise InputError(f"--read-voltage must be a number other than 0, got {read_voltage:g}; give the voltage of a read in V")
    if path.suffix == ".npz":
        return _npz(path)
    text = text_of(path)
    if other is not None:
        return _jump_texts(path, text, Path(other))
    if _jump_text(text) is not None:
        raise InputError(f"{path}: is one jump table, of two; name the file of the other direction too")
    columns = columns_of(text, path)
    ramps = _ramp_columns(columns, path)
    if ramps is not None:
        return ramps
    return _tidy(columns, path, read_voltage)


def _tidy(columns: list[Column], path: Path, read_voltage: float | None) -> Measurement | Retention:
    roles = _roles(columns, path)
    notes: list[str] = []
    level, unit = _level(roles, path, read_voltage, notes)
    device = _labels(roles.get("device"), level.size)
    time = None if "time" not in roles else _scaled(roles["time"], "time", path, _numbers(roles["time"], path))
    voltage = roles.get("pulse_voltage")
    if time is not None and not {"polarity", "pulse_voltage", "pulse"} & set(roles):
        return _retention(device, time, level, unit, path, notes)
    polarity = _polarity(roles.get("polarity"), path)
    if polarity is None and voltage is not None:
        polarity = np.sign(_numbers(voltage, path)).astype(np.int8)
    cycle = roles.get("cycle")
    number = None if cycle is None else np.unique(_numbers(cycle, path), return_inverse=True)[1]
    pulse = None if "pulse" not in roles else _numbers(roles["pulse"], path)
    traces = []
    for name in dict.fromkeys(device.tolist()):
        mine = np.flatnonzero(device == name)
        one = None if polarity is None else polarity[mine]
        at, times = None if pulse is None else pulse[mine], None if time is None else time[mine]
        traces.append(_trace(str(name), level[mine], one, None if number is None else number[mine], at, times, path, notes))
    return Measurement(traces, unit, path.name, list(dict.fromkeys(notes)))


def _trace(
    name: str,
    level: np.ndarray,
    polarity: np.ndarray | None,
    cycle: np.ndarray | None,
    pulse: np.ndarray | None,
    time: np.ndarray | None,
    path: Path,
    notes: list[str],
) -> Trace:
    _check(level, name, path)
    if polarity is None:
        polarity = _from_turning_points(level, path)
        notes.append("no column of the polarity: ramps were told by their turning points")
    polarity = _resets(polarity)
    if pulse is not None and pulse.size > 1 and (pulse[1:] - pulse[:-1] >= 1).all():
        pulses = np.concatenate([[1], np.round(np.diff(pulse))]).astype(np.int64)
    else:
        pulses = np.ones(level.size, np.int64)
    pulses = np.where(polarity == 0, 0, pulses)
    if cycle is None:
        begins = (polarity > 0) & (np.concatenate([[0], polarity[:-1]]) != polarity)
        cycle = np.maximum(np.cumsum(begins & (polarity == 1)) - 1, 0)
    return Trace(name, cycle, level, polarity, pulses, time)


def _roles(columns: list[Column], path: Path) -> dict[str, Column]:
    found: dict[str, Column] = {}
    for column in columns:
        for role, names in _ROLES.items():
            if column.name in names:
                if role in found:
                    raise InputError(f"{path}: must have one column of the {role}, got {found[role].name} and {column.name}; leave one out")
                found[role] = column
    levels = [role for role in _LEVELS if role in found]
    if len(levels) > 1:
        raise InputError(f"{path}: must have one column of the level, got {' and '.join(found[r].name for r in levels)}; leave one out")
    if levels:
        return found
    rest = [c for c in columns if c not in found.values() and c.values.dtype.kind == "f"]
    if len(columns) == 1 and rest:
        return {"level": rest[0]}
    if len(rest) == 1 and found:
        return found | {"level": rest[0]}
    if not any(c.values.dtype.kind == "f" for c in columns):
        raise InputError(f"{path}: must have a column of numbers, got none; export the readings as CSV")
    names = ", ".join(c.name for c in columns)
    raise InputError(f"{path}: must have a column of the level (conductance, current, adc_counts, value), got {names}; name the columns")


def _numbers(column: Column, path: Path) -> np.ndarray:
    if column.values.dtype.kind != "f":
        raise InputError(f"{path}: column {column.name} must hold numbers, got {str(column.values[0])!r}; mend it")
    if not np.isfinite(column.values).all():
        row = int(np.flatnonzero(~np.isfinite(column.values))[0]) + 1
        raise InputError(
            f"{path}: column {column.name} must hold finite numbers, got {column.values[row - 1]} in row {row} of the table; mend it"
        )
    return column.values


def _scaled(column: Column, role: str, path: Path, values: np.ndarray) -> np.ndarray:
    """Values in SI; a column without a unit is in SI already."""
    if column.unit is None:
        return values
    scale = scale_of(column.unit, _DIMENSION[role])
    if scale is None:
        raise InputError(
            f"{path}: column {column.name} must have a unit of the {role}, as {_DIMENSION[role]}, got {column.unit}; mend the header"
        )
    return values * scale


def _level(roles: dict[str, Column], path: Path, read_voltage: float | None, notes: list[str]) -> tuple[np.ndarray, str]:
    role = next(r for r in _LEVELS if r in roles)
    column = roles[role]
    values = _numbers(column, path)
    if role == "level":
        volts = scale_of(column.unit, "V") if column.unit else None
        return (values * volts, "V") if volts else (values, "a.u.")
    values = _scaled(column, role, path, values)
    if role == "resistance":
        if (values <= 0).any():
            raise InputError(f"{path}: column {column.name} must hold positive resistances, got {values.min():g} Ohm; mend that row")
        values = 1 / values
    if role == "current":
        given = (
            _scaled(roles["read_voltage"], "read_voltage", path, _numbers(roles["read_voltage"], path))
            if "read_voltage" in roles
            else read_voltage
        )
        if given is None:
            notes.append("currents without a read voltage: levels stay in A; --read-voltage makes them conductances")
            return values, "A"
        if np.any(np.asarray(given) == 0):
            raise InputError(f"{path}: the read voltage must not be 0, got 0 V; mend that row")
        values = values / given
    if (values < 0).any():
        row = int(np.flatnonzero(values < 0)[0]) + 1
        raise InputError(
            f"{path}: column {column.name} must not give a negative conductance, got {values[row - 1]:g} S in row {row}; mend it"
        )
    return values, "S"


def _labels(column: Column | None, count: int) -> np.ndarray:
    if column is None:
        return np.full(count, "1")
    values = column.values
    return (
        values if values.dtype.kind == "U" else np.array([f"{v:g}" for v in np.unique(values)])[np.unique(values, return_inverse=True)[1]]
    )


def _polarity(column: Column | None, path: Path) -> np.ndarray | None:
    """1, -1, -2 (RESET) or 0 for each reading."""
    if column is None:
        return None
    if column.values.dtype.kind == "f":
        values = _numbers(column, path)
        return (
            np.where(values > 0, 1, -1).astype(np.int8) if (values != 0).all() or (values >= 0).all() else np.sign(values).astype(np.int8)
        )
    words, place = np.unique(column.values, return_inverse=True)
    unknown = [w for w in words if w.lower() not in _WORDS]
    if unknown:
        raise InputError(f"{path}: column {column.name} must hold up and down, set and reset, or +1 and -1, got {unknown[0]!r}; rename it")
    return np.array([_WORDS[w.lower()] for w in words], np.int8)[place]


def _resets(polarity: np.ndarray) -> np.ndarray:
    """RESET pulses that come one by one among steps up are abrupt (2); in runs they are steps down."""
    polarity = polarity.astype(np.int8)
    named = polarity == -2
    single = named & ~np.concatenate([[False], named[:-1]]) & ~np.concatenate([named[1:], [False]])
    if named.any() and single.sum() == named.sum() and (polarity == 1).sum() >= 3 * named.sum():
        return np.where(named, 2, polarity).astype(np.int8)
    return np.where(named, -1, polarity).astype(np.int8)


def _from_turning_points(level: np.ndarray, path: Path) -> np.ndarray:
    """Polarity of a triangular sequence, by the prominent extremes of its running mean."""
    window = min(max(3, level.size // 100) | 1, max(level.size // 3, 1) | 1)
    smooth = np.convolve(np.pad(level, window // 2, mode="edge"), np.ones(window) / window, "valid")[: level.size]
    height = 0.3 * float(np.ptp(smooth))
    padded = np.concatenate([[smooth[0]], smooth, [smooth[-1]]])
    tops, bottoms = (signal.find_peaks(sign * padded, prominence=height)[0] - 1 for sign in (1, -1))
    turns = np.unique(np.concatenate([tops, bottoms]))
    turns = turns[(turns > 0) & (turns < level.size - 1)]
    edges = [0, *turns.tolist(), level.size - 1]
    polarity = np.zeros(level.size, np.int8)
    for first, last in itertools.pairwise(edges):
        polarity[first + 1 : last + 1] = 1 if smooth[last] > smooth[first] else -1
    return polarity


def _check(level: np.ndarray, name: str, path: Path) -> None:
    if level.size < _FEWEST:
        raise InputError(f"{path}: device {name} must have at least {_FEWEST} readings, got {level.size}; apply more pulses")
    if np.ptp(level) == 0:
        raise InputError(
            f"{path}: device {name} must change under pulses, got the same value {level[0]:g} in all readings; check the column"
        )


def _retention(device: np.ndarray, time: np.ndarray, level: np.ndarray, unit: str, path: Path, notes: list[str]) -> Retention:
    devices = []
    for name in dict.fromkeys(device.tolist()):
        mine = device == name
        _check(level[mine], str(name), path)
        order = np.argsort(time[mine], kind="stable")
        devices.append((str(name), time[mine][order] - min(time[mine].min(), 0.0), level[mine][order]))
    return Retention(devices, unit, path.name, notes)


def _ramp_columns(columns: list[Column], path: Path) -> Measurement | None:
    """Columns that each hold a ramp, up and down in turn."""
    named = [_RAMP.fullmatch(c.name) for c in columns]
    if len(columns) == 2 and all(re.fullmatch(r"column \d", c.name) for c in columns):
        named = [_RAMP.fullmatch("up"), _RAMP.fullmatch("down")]
    if len(columns) < 2 or not all(named):
        return None
    units = {c.unit for c in columns}
    if len(units) > 1:
        raise InputError(f"{path}: ramps must be in one unit, got {' and '.join(str(u) for u in units)}; convert one")
    unit = units.pop()
    siemens = scale_of(unit, "S") if unit else None
    ramps: dict[str, list[tuple[int, int, np.ndarray]]] = {}
    for column, match in zip(columns, named, strict=True):
        assert match is not None
        values = _numbers(column, path) * (siemens or 1.0)
        if siemens and (values < 0).any():
            raise InputError(f"{path}: column {column.name} must not hold a negative conductance, got {values.min():g} S; mend it")
        down = match[2].lower() not in _UP
        ramps.setdefault(match[1] or "1", []).append((int(match[3] or 1), int(down), values))
    notes = ["the polarity of a ramp is that of its column's name or place"]
    traces = [_joined(name, sorted(parts, key=lambda part: part[:2]), path) for name, parts in ramps.items()]
    return Measurement(traces, "S" if siemens else "a.u.", path.name, notes)


def _joined(name: str, parts: list[tuple[int, int, np.ndarray]], path: Path) -> Trace:
    level = np.concatenate([values for _, _, values in parts])
    _check(level, name, path)
    polarity = np.concatenate([np.full(values.size, -1 if down else 1, np.int8) for _, down, values in parts])
    numbers = {n: k for k, n in enumerate(sorted({n for n, _, _ in parts}))}
    cycle = np.concatenate([np.full(values.size, numbers[n], np.int64) for n, _, values in parts])
    polarity[0] = 0
    return Trace(name, cycle, level, polarity, (polarity != 0).astype(np.int64))


def _jump_text(text: str) -> Table | None:
    """A jump table: a line of words, the states, the probabilities from 0 to 1, then the changes; None when it is something else."""
    rows = [line.replace(",", " ").split() for line in text.splitlines() if line.strip()]
    try:
        numbers = [np.array(row, np.float64) for row in rows[1:]]
    except ValueError:
        return None
    if len(numbers) < 4 or numbers[0].size < 2 or numbers[1].size != len(numbers) - 2:
        return None
    states, probability, body = numbers[0], numbers[1], numbers[2:]
    if any(row.size != states.size for row in body) or abs(probability[0]) > 1e-6 or abs(probability[-1] - 1) > 1e-6:
        return None
    return states, probability, np.stack(body)


def _jump_texts(path: Path, text: str, other: Path) -> JumpTables:
    tables = []
    for file, content in ((path, text), (other, text_of(other))):
        table = _jump_text(content)
        if table is None:
            raise InputError(f"{file}: must be a jump table (a line of words, states, probabilities 0 to 1, changes), got something else")
        tables.append(_checked_table(table, file))
    ups = [float(np.median(changes)) > 0 for _, _, changes in tables]
    if ups[0] == ups[1]:
        raise InputError(f"{path} and {other}: must be one table of rising and one of falling conductance, got two of one direction")
    up, down = tables if ups[0] else reversed(tables)
    return JumpTables(up, down, "S", f"{path.name} and {other.name}")


def _checked_table(table: Table, path: Path) -> Table:
    states, probability, changes = (np.asarray(part, np.float64) for part in table)
    if not all(np.isfinite(part).all() for part in (states, probability, changes)):
        raise InputError(f"{path}: a jump table must hold finite numbers, got others; export it again")
    if (states < 0).any() or not (np.diff(states) > 0).all() or not (np.diff(probability) >= 0).all():
        raise InputError(f"{path}: states of a jump table must rise and not be negative, and its probabilities rise; export it again")
    return states, probability, changes


def _npz(path: Path) -> JumpTables:
    if not path.exists() or path.stat().st_size > LARGEST:
        text_of(path)  # says what is wrong
    names = ("G_up", "cdf_up", "dG_up", "G_down", "cdf_down", "dG_down")
    try:
        with np.load(path, allow_pickle=False) as found:
            missing = [name for name in names if name not in found]
            parts = [] if missing else [np.asarray(found[name], np.float64) for name in names]
    except (ValueError, OSError, zipfile.BadZipFile, EOFError, TypeError):
        raise InputError(f"{path}: must be a sound .npz file, got one that is not; export it again") from None
    if missing:
        raise InputError(f"{path}: must hold {', '.join(names)}, got no {missing[0]}; export the tables again")
    for g, cdf, dg in (parts[:3], parts[3:]):
        if g.ndim != 1 or cdf.ndim != 1 or dg.shape != (cdf.size, g.size) or g.size < 2:
            raise InputError(f"{path}: dG must be (probabilities, states), got {dg.shape} for {cdf.shape} and {g.shape}; export it again")
    up, down = (_checked_table((parts[k], parts[k + 1], parts[k + 2]), path) for k in (0, 3))
    return JumpTables(up, down, "S", path.name)
