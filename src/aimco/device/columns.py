"""Text files of measurements as named columns of numbers with units."""

from __future__ import annotations

import io
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aimco.record import InputError

LARGEST = 512 * 2**20  # bytes
_SIGNS = "\u00b5\u03bc\u2126\u03a9\u00b0"  # micro, ohm and degree signs: what a header in another encoding may hold
_PREFIX = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "m": 1e-3, "u": 1e-6, "n": 1e-9, "p": 1e-12, "f": 1e-15}
_TIMES = {"s": 1.0, "sec": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9, "min": 60.0, "h": 3600.0, "hours": 3600.0, "hour": 3600.0}
_FOR_A_BLOCK = 3  # rows of numbers that make a table


@dataclass(frozen=True, eq=False)
class Column:
    """One column: its name in small letters, its unit as written (or None), and its values; words where they are not numbers."""

    name: str
    unit: str | None
    values: np.ndarray


def text_of(path: Path) -> str:
    """The text of a file.

    Raises:
        InputError: no such file, a folder, empty, too large, or not text.
    """
    if not path.exists():
        raise InputError(f"{path}: there is no such file; check the path")
    if path.is_dir():
        raise InputError(f"{path}: must be a file, got a folder; name the file in it")
    size = path.stat().st_size
    if size > LARGEST:
        raise InputError(f"{path}: must be smaller than {LARGEST // 2**20} MB, got {size // 2**20} MB; split it by device or thin it out")
    data = path.read_bytes()
    for mark, encoding in ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"), (b"", "utf-8-sig")):
        if data.startswith(mark):
            try:
                text = data.decode(encoding)
            except UnicodeDecodeError:
                text = data.decode("latin-1")
                if any(c > "~" and c not in _SIGNS for c in text):
                    raise InputError(f"{path}: must be UTF-8 text, got another encoding; save the file as UTF-8") from None
            break
    if "\0" in text:
        raise InputError(f"{path}: must be text, got binary data; export it as CSV")
    if not text.strip():
        raise InputError(f"{path}: must hold measurements, got an empty file; export it again")
    return text


def scale_of(unit: str, dimension: str) -> float | None:
    """Factor to SI of a unit such as "uS", for one dimension among S, A, V, Ohm and s; None when it is not of that dimension."""
    word = unit.strip().replace("\u00b5", "u").replace("\u03bc", "u").replace("\u2126", "Ohm").replace("\u03a9", "Ohm")
    if dimension == "s":
        return _TIMES.get(word.lower())
    base = "ohm" if dimension == "Ohm" else dimension.lower()
    if not word.lower().endswith(base):
        return None
    return _PREFIX.get(word[: len(word) - len(base)])


def columns_of(text: str, path: Path) -> list[Column]:
    """The columns of the table in a text: preamble, comments and blank lines left out.

    Raises:
        InputError: no rows of numbers, rows of unequal length, a cell that is not a number, two columns of one name.
    """
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith(("#", "%", "//"))]
    lines = _easyexpert(lines)
    separator = _separator(lines)
    comma = separator in (";", "\t") and any(re.search(r"\d,\d", line) for line in lines[-20:])
    start = _first_row(lines, separator, comma)
    if start is None:
        raise InputError(f"{path}: must have a column of numbers, got none; export the readings as CSV")
    header = _cells(lines[start - 1], separator) if start and not _is_row(lines[start - 1], separator, comma) else []
    names = [_name_and_unit(cell) for cell in header]
    rows = lines[start:]
    width = max(len(_cells(line, separator)) for line in rows[:50])
    if header and len(header) != width:
        raise InputError(f"{path}: must have a name for each of its {width} columns, got {len(header)} names; mend the header line")
    double = [name for name, count in Counter(names).items() if count > 1]
    if double:
        raise InputError(f"{path}: must have columns of different names, got {double[0][0]!r} twice; rename one")
    if not header:
        names = [(f"column {k + 1}", None) for k in range(width)]
    values = _table(rows, separator, comma, width, path, [n for n, _ in names], start)
    return [Column(name, unit, v) for (name, unit), v in zip(names, values, strict=True)]


def _easyexpert(lines: list[str]) -> list[str]:
    """Rows marked DataName and DataValue, as some analysers write them, without the mark."""
    if not any(line.startswith("DataValue") for line in lines):
        return lines
    return [line.split(",", 1)[1] for line in lines if line.startswith(("DataName", "DataValue")) and "," in line]


def _separator(lines: list[str]) -> str | None:
    """The sign between cells: tab, semicolon or comma, else white space (None)."""
    sample = lines[-20:]
    for sign in ("\t", ";", ","):
        if sample and all(sign in line for line in sample):
            return sign
    return None


def _cells(line: str, separator: str | None) -> list[str]:
    return [cell.strip().strip('"') for cell in line.split(separator)]


def _number(cell: str, comma: bool) -> float | None:
    try:
        return float(cell.replace(",", ".") if comma else cell)
    except ValueError:
        return None


def _is_row(line: str, separator: str | None, comma: bool) -> bool:
    return any(_number(cell, comma) is not None for cell in _cells(line, separator))


def _first_row(lines: list[str], separator: str | None, comma: bool) -> int | None:
    """Number of the line where the table begins: from there on rows have numbers, and as many cells as the last one or fewer."""
    last = next((k for k in range(len(lines) - 1, -1, -1) if _is_row(lines[k], separator, comma)), None)
    if last is None:
        return None
    width = max(len(_cells(line, separator)) for line in lines[max(0, last - 20) : last + 1])
    for k in range(last + 1):
        following = lines[k : min(k + _FOR_A_BLOCK, last + 1)]
        if all(len(_cells(line, separator)) == width and _is_row(line, separator, comma) for line in following):
            numbers = [_number(cell, comma) is not None for cell in _cells(lines[k], separator)]
            after = [_number(cell, comma) is not None for cell in _cells(lines[min(k + 1, last)], separator)]
            if sum(numbers) >= sum(after):  # a header such as "time, 1, 2" is not the first row
                return k
    return None


def _name_and_unit(cell: str) -> tuple[str, str | None]:
    """("g", "uS") of "G (uS)", "g_uS", "G [uS]" or "G/uS"."""
    found = re.fullmatch(r"(.*?)[\s_]*[(\[]\s*([^)\]]*?)\s*[)\]]", cell) or re.fullmatch(r"(.+?)\s*/\s*(\S+)", cell)
    if found is None:
        tail = re.fullmatch(r"(.+)[_ ]([A-Za-z\u00b5\u03bc]+)", cell)
        known = tail and any(scale_of(tail[2], d) for d in ("S", "A", "V", "Ohm", "s"))
        found = tail if known else None
    name, unit = (found[1], found[2]) if found else (cell, None)
    return re.sub(r"[\s\-]+", "_", name.strip().lower()), unit or None


def _table(rows: list[str], separator: str | None, comma: bool, width: int, path: Path, names: list[str], offset: int) -> list[np.ndarray]:
    """The values of all columns; fast where every cell is a number or the words of a column are few."""
    sample = [_cells(line, separator) for line in rows[:200]]
    words = {k for k in range(width) if any(len(cells) > k and cells[k] and _number(cells[k], comma) is None for cells in sample)}
    codes: dict[int, dict[str, float]] = {k: {} for k in words}

    def coded(k: int):
        return lambda cell: codes[k].setdefault(cell.strip().strip('"'), float(len(codes[k])))

    if not comma:
        try:
            body = io.StringIO("\n".join(rows))
            converters = {k: coded(k) for k in words}
            table = np.loadtxt(body, delimiter=separator, comments=None, ndmin=2, converters=converters, encoding="utf-8")
            if table.shape[1] == width:
                return [_words(table[:, k], codes[k]) if k in words else table[:, k] for k in range(width)]
        except (ValueError, IndexError):
            pass
    return _slow_table([_cells(line, separator) for line in rows], comma, width, path, names, words, offset)


def _words(values: np.ndarray, codes: dict[str, float]) -> np.ndarray:
    return np.array(list(codes))[values.astype(np.int64)]


def _slow_table(
    rows: list[list[str]], comma: bool, width: int, path: Path, names: list[str], words: set[int], offset: int
) -> list[np.ndarray]:
    """Cell by cell: columns may end before others; what is not a number is refused by its place."""
    while rows and not any(rows[-1]):
        rows.pop()
    columns = []
    for k in range(width):
        cells = [row[k] if len(row) > k else "" for row in rows]
        used = max((n + 1 for n, cell in enumerate(cells) if cell), default=0)
        if k in words:
            values = [_with_unit(cell) for cell in cells[:used]]
            units = {unit for value, unit in values if value is not None}
            if any(value is None for value, _ in values) or len(units) == 0:
                columns.append(np.array(cells[:used]))
                continue
            raise InputError(
                f"{path}: column {names[k]} must hold plain numbers, got units in its cells ({cells[0]}); name the unit in the header"
            )
        numbers = [_number(cell, comma) for cell in cells[:used]]
        bad = next((n for n, v in enumerate(numbers) if v is None), None)
        if bad is not None:
            what = repr(cells[bad]) if cells[bad] else "an empty cell"
            raise InputError(f"{path}: column {names[k]} must hold numbers, got {what} in row {bad + 1} of the table; mend that cell")
        columns.append(np.array(numbers, np.float64))
    return columns


def _with_unit(cell: str) -> tuple[float | None, str]:
    found = re.fullmatch(r"([-+0-9.eE]+)\s*([A-Za-z\u00b5\u03bc\u03a9\u2126]+)", cell)
    value = _number(found[1], False) if found else None
    return value, found[2] if found else ""
