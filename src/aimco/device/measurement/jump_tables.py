"""Jump tables: the measured distribution of the change of conductance by one pulse, against the conductance."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aimco.device.measurement.columns import LARGEST, first_lines, refuse, size_checked
from aimco.record import InputError

Side = tuple[np.ndarray, np.ndarray, np.ndarray]  # g (C,), cdf (R,), dg (R, C)
_UP, _DOWN = ("increas", "set", "up"), ("decreas", "reset", "down")  # in the names of files


@dataclass(frozen=True, eq=False)
class JumpTables:
    """Measured distribution of the change of conductance by one pulse, at each conductance.

    Args:
        up, down: (g (C,), cdf (R,), dg (R, C)): `dg[r, c]` is the change that a fraction `cdf[r]` of the pulses at `g[c]` stays below.
        unit, source, notes: as of a Measurement.
    """

    up: Side
    down: Side
    unit: str
    source: str
    notes: list[str]


def pair_in(folder: Path) -> list[Path]:
    """The increasing and the decreasing table of a folder, told by their names."""
    try:
        files = sorted(p for p in folder.iterdir() if p.is_file())
    except OSError as error:
        refuse(folder, f"cannot be read ({error.strerror}); check its permissions")
    pair = [p for sign in (1, -1) for p in files if _sign_of_name(p) == sign]
    if [_sign_of_name(p) for p in pair] != [1, -1]:
        refuse(folder, "is a folder without one pair of jump tables (increasing or set, decreasing or reset); name a file in it")
    return pair


def _sign_of_name(path: Path) -> int:
    name = path.name.lower()
    return -1 if any(w in name for w in _DOWN) else int(any(w in name for w in _UP))


def _floats(line: str) -> np.ndarray | None:
    try:
        return np.array(line.replace(",", " ").split(), np.float64)
    except ValueError:
        return None


def is_jump_table(data: bytes) -> bool:
    """A title, then bins, then points of a cumulative distribution, then rows as long as the bins."""
    lines = [line for line in first_lines(data) if line.strip()]
    title, *rows = [_floats(line) for line in lines[:4]] or [None]
    numbers = [r for r in rows if r is not None]
    if title is not None or len(numbers) < 3:
        return False
    g, cdf, first = numbers
    rises = len(cdf) >= 3 and bool((np.diff(cdf) >= 0).all()) and 0 <= cdf[0] <= 0.1 and 0.9 <= cdf[-1] <= 1
    consistent = len(cdf) != len(g) or len(lines) == len(cdf) + 3
    return rises and consistent and len(g) == len(first) >= 2


def _table(path: Path, data: bytes) -> Side:
    lines = [(i, line) for i, line in enumerate(data.decode().split("\n"), 1) if line.strip()][1:]
    rows = [_floats(line) for _, line in lines]
    g, cdf = rows[:2]
    assert g is not None and cdf is not None  # `is_jump_table` saw them
    for (i, _), row in zip(lines[2:], rows[2:], strict=True):
        if row is None or len(row) != len(g):
            refuse(path, f"line {i} must hold {len(g)} numbers, one for each bin of line {lines[0][0]}")
    if len(rows) - 2 != len(cdf):
        refuse(path, f"has {len(rows) - 2} rows of changes for {len(cdf)} points of the distribution; give one row for each point")
    return _checked(path, g, cdf, np.array(rows[2:]))


def _checked(path: Path, g: np.ndarray, cdf: np.ndarray, dg: np.ndarray) -> Side:
    if g.ndim != 1 or cdf.ndim != 1 or dg.shape != (len(cdf), len(g)) or min(dg.shape) < 2:
        refuse(path, f"must hold dG of the shape (points, bins) = {cdf.shape + g.shape}, got {dg.shape}; write the table again")
    if not all(np.isfinite(v).all() for v in (g, cdf, dg)):
        refuse(path, "holds a number that is not finite; remove its bin or its row")
    if g[0] < 0 or not (np.diff(g) > 0).all():
        refuse(path, "must have conductance bins that are not negative and rise; sort them")
    if cdf[0] < 0 or cdf[-1] > 1 or not (np.diff(cdf) >= 0).all():
        refuse(path, "must have points of the distribution that rise from 0 to 1; sort them")
    return g, cdf, dg


def of_pair(paths: list[Path], texts: list[bytes]) -> JumpTables:
    """Two text tables, one for each direction, told apart by their names, else by the sign of most changes."""
    tables = [(p, _table(p, t)) for p, t in zip(paths, texts, strict=True)]
    signs, notes = [_sign_of_name(p) for p, _ in tables], []
    if sorted(signs) != [-1, 1]:
        signs = [int(np.sign(np.sum(np.sign(dg)))) for _, (_, _, dg) in tables]
        notes = ["the names do not tell the two tables apart: the one with more positive changes is taken as up"]
    if sorted(signs) != [-1, 1]:
        refuse(tables[0][0], "cannot be told from the other table; put increasing and decreasing in the names of the files")
    up, down = (tables[signs.index(sign)] for sign in (1, -1))
    return JumpTables(up[1], down[1], "S", f"{up[0].name}, {down[0].name}", notes)


def of_archive(path: Path) -> JumpTables:
    """Both tables in the arrays of a .npz."""
    names = [f"{part}_{side}" for side in ("up", "down") for part in ("G", "cdf", "dG")]
    size_checked(path)
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > LARGEST:
            refuse(path, f"unpacks to {size >> 20} MB, the limit is {LARGEST >> 20} MB; thin it out")
        with np.load(path, allow_pickle=False) as arrays:
            columns = [np.asarray(arrays[name], np.float64) for name in names if name in arrays]
    except InputError:
        raise
    except Exception:  # a damaged archive fails in a dozen ways
        refuse(path, "is not a whole .npz of numbers; write it again with numpy.savez")
    if len(columns) != len(names):
        refuse(path, f"must hold the arrays {', '.join(names)}; write it again with numpy.savez")
    return JumpTables(_checked(path, *columns[:3]), _checked(path, *columns[3:]), "S", path.name, [])
