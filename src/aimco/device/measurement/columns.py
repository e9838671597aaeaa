"""Text files to columns: where the table begins, how it is separated, and numbers in bulk, refused by line and column."""

from __future__ import annotations

import codecs
import csv
import itertools
import os
import re
import stat
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import numpy as np

from aimco.device.measurement.headers import LEVELS, Quantity, plain, quantity, unit_of
from aimco.record import InputError

LARGEST = 512 << 20  # bytes of a file; more would not leave room for its columns
_BLOCK = 8 << 20  # bytes looked at together, so that what is held besides the file stays small
_PREAMBLE = 2000  # lines in which the header is looked for
_WIDEST = 200  # characters of a cell
_DELIMITERS = ("\t", ";", ",", " ")  # a blank stands for any run of blanks and tabs
_NUMERIC = ("pulse", "time", "conductance", "resistance", "current", "voltage", "counts", "up", "down")
_NUMBER = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eEdD][+-]?\d+)?)\s*([^\d\s].*)?")
_NOT_FINITE = re.compile(r"[+-]?(nan|inf|infinity)", re.IGNORECASE)


def refuse(path: str | os.PathLike[str], problem: str) -> NoReturn:
    """InputError in one line that begins with the name of the file."""
    raise InputError(" ".join(f"{path}: {problem}".split()))


def quote(cell: str) -> str:
    """A cell as it may stand in a sentence."""
    return repr(cell if len(cell) <= 40 else cell[:40] + "...")


def size_checked(path: Path) -> None:
    """Refuse what is no file, is empty, or is too large, before a byte of it is read."""
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        refuse(path, "there is no such file; check the path")
    except (OSError, ValueError) as error:
        refuse(path, f"cannot be read ({getattr(error, 'strerror', None) or error}); check the path")
    if not stat.S_ISREG(status.st_mode):
        refuse(path, "is not a file; name a file with a table")
    if status.st_size > LARGEST:
        refuse(path, f"has {status.st_size >> 20} MB, the limit is {LARGEST >> 20} MB; thin it out or split it by device")
    if status.st_size == 0:
        refuse(path, "is empty; name a file with a table")


def text_of(path: Path) -> bytes:
    """The file as UTF-8 with lines that end in a line feed.

    Raises InputError when it is missing, too large, empty or not text.
    """
    size_checked(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        refuse(path, f"cannot be read ({error.strerror}); check its permissions")
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        data = _decoded(path, data, "utf-16").encode()
    data = data.removeprefix(codecs.BOM_UTF8)
    if not data.isascii():
        signs = {0xB5: "µ", 0xD9: "Ω"}  # of Latin-1 and its Greek sister, as instruments write them
        if set(data.translate(None, bytes(range(128)))) <= signs.keys():
            data = data.decode("latin-1").translate(signs).encode()
        data = _decoded(path, data, "utf-8").replace("−", "-").replace("\u00a0", " ").encode()
    if b"\x00" in data or data.startswith(b"PK\x03\x04"):
        refuse(path, "is not UTF-8 text; save the table as CSV in UTF-8")
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return data if data.endswith(b"\n") else data + b"\n"


def _decoded(path: Path, data: bytes, encoding: str) -> str:
    try:
        text = data.decode(encoding)
        text.encode()
        return text
    except UnicodeError:
        refuse(path, "is not UTF-8 text; save the file as UTF-8")


def is_number(cell: str, delimiter: str) -> bool:
    """A number, with a unit behind it or not, and with a decimal comma where the comma does not separate cells."""
    cell = cell if delimiter == "," else cell.replace(",", ".")
    match = _NUMBER.fullmatch(cell)
    return bool(_NOT_FINITE.fullmatch(cell)) or (match is not None and (not match[2] or any(unit_of(match[2], d) for d in "SAVs")))


def split(line: str, delimiter: str) -> list[str]:
    """The cells of one line; a bracket belongs to the word before it where blanks separate."""
    line = line.strip(" \n") if delimiter == "\t" else line.strip()
    if delimiter == " ":
        return [plain(c) for c in re.split(r"[ \t]+(?![(\[])", line)]
    if '"' not in line:
        return [c.strip() for c in line.split(delimiter)]
    try:
        return [c.strip() for c in next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])]
    except csv.Error:
        return [c.strip() for c in line.split(delimiter)]


def is_comment(line: str) -> bool:
    return line.lstrip().startswith(("#", "%", "//"))


@dataclass(frozen=True, eq=False)
class _Block:
    """Rows of one length: `edges` (rows, columns) are the places of the delimiters, the last one of a row its line feed."""

    data: np.ndarray
    edges: np.ndarray
    lines: np.ndarray | range


@dataclass(frozen=True, eq=False)
class Table:
    """A table of a text file.

    Args:
        path: the file. names: of the columns as written, None when there is no header. first: cells of the first row.
        preamble: lines before the first row. delimiter: see `_DELIMITERS`. notes: what was assumed of the columns asked for.
    """

    path: Path
    names: list[str] | None
    first: list[str]
    preamble: list[str]
    delimiter: str
    blocks: list[_Block]
    notes: list[str] = field(default_factory=list)

    @property
    def rows(self) -> int:
        return sum(len(b.edges) for b in self.blocks)

    def line(self, row: int) -> int:
        """Number of the line of a row, from 1."""
        for block in self.blocks:
            if row < len(block.lines):
                return int(block.lines[row])
            row -= len(block.lines)
        raise IndexError(row)

    def column(self, j: int) -> str:
        """A column as it is called in a sentence."""
        return f"column {plain(self.names[j])!r}" if self.names else f"column {j + 1}"

    def refuse_cell(self, row: int, j: int, problem: str) -> NoReturn:
        refuse(self.path, f"line {self.line(row)}, {self.column(j)}: {problem}")

    def cells(self, j: int) -> np.ndarray:
        """The text of a column, (rows,) bytes."""
        return np.concatenate([self._cells(block, j) for block in self.blocks])

    def _cells(self, block: _Block, j: int) -> np.ndarray:
        edges = block.edges
        starts = edges[:, j - 1] + 1 if j else np.concatenate([[0], edges[:-1, -1] + 1])
        lengths = edges[:, j] - starts
        width = max(int(lengths.max(initial=1)), 1)
        if width > _WIDEST:
            refuse(self.path, f"line {block.lines[int(lengths.argmax())]}, {self.column(j)}: a cell has {width} characters; shorten it")
        letters, places = np.empty((len(edges), width), np.uint8), np.arange(width)
        for i in range(0, len(edges), 1 << 16):
            part = slice(i, i + (1 << 16))
            at = np.minimum(starts[part, None] + places, len(block.data) - 1)
            letters[part] = block.data[at] * (places < lengths[part, None])
        return letters.reshape(-1).view(f"S{width}")

    def words(self, j: int) -> tuple[np.ndarray, list[str]]:
        """(code of each row, word of each code), in the order of their first rows."""
        cells = self.cells(j)
        heads = np.concatenate([[0], np.flatnonzero(cells[1:] != cells[:-1]) + 1])
        seen: dict[bytes, int] = {}
        codes = np.fromiter((seen.setdefault(c, len(seen)) for c in cells[heads].tolist()), np.int64, len(heads))
        words: dict[str, int] = {}
        rank = np.array([words.setdefault(plain(c.decode()), len(words)) for c in seen])
        return np.repeat(rank[codes], np.diff(np.append(heads, len(cells)))), list(words)

    def numbers(self, j: int, header: Quantity, ends: bool = False) -> np.ndarray:
        """A column in SI units, (rows,) float64, all finite.

        Args:
            header: what the name of the column says. ends: the column may end before the table does.
        """
        cells = self.cells(j)
        if ends:
            filled = np.flatnonzero(np.char.str_len(np.char.strip(cells)) > 0)
            cells = cells[: filled[-1] + 1 if len(filled) else 0]
        letters = cells.view(np.uint8)
        if self.delimiter != "," and (letters == ord(",")).any():
            if (letters == ord(".")).any():
                refuse(self.path, f"{self.column(j)} has decimal points and decimal commas; use one of them")
            letters[letters == ord(",")] = ord(".")
            self.notes.append(f"commas in {self.column(j)} are decimal commas")
        values = self._in_bulk(letters, cells)
        with np.errstate(over="ignore"):
            values = self._one_by_one(cells, j, header) if values is None else values * header.scale
        if not np.isfinite(values).all():
            row = int(np.flatnonzero(~np.isfinite(values))[0])
            self.refuse_cell(row, j, f"{quote(cells[row].decode())} is not a finite number; correct it or remove the line")
        return values

    def _in_bulk(self, letters: np.ndarray, cells: np.ndarray) -> np.ndarray | None:
        """The numbers, or None when some cell is more than a number; Python would take 1_0 for 10."""
        try:
            return None if (letters == ord("_")).any() else cells.astype(np.float64)
        except ValueError:
            return None

    def _one_by_one(self, cells: np.ndarray, j: int, header: Quantity) -> np.ndarray:
        """Numbers of which some have a unit in their cell."""
        values = np.empty(len(cells))
        for row, cell in enumerate(cells.tolist()):
            values[row] = bare = _bare(cell) * header.scale
            if bare == bare:
                continue
            text = plain(cell.decode())
            value = amount(text, header)
            if value is None:
                what = f"{quote(text)} is not a number" if text else "the cell is empty and not a number"
                of = f" in {header.dimension}" if header.dimension not in (None, "a.u.") else ""
                self.refuse_cell(row, j, f"{what}{of}; correct it or remove the line")
            values[row] = value
        return values


def _bare(cell: bytes) -> float:
    """A number without a unit, NaN for anything else."""
    try:
        return float("nan") if b"_" in cell else float(cell)
    except ValueError:
        return float("nan")


def amount(text: str, header: Quantity) -> float | None:
    """A number in SI units, by the unit behind it or else by that of its column; None when it is none of this dimension."""
    if _NOT_FINITE.fullmatch(text):
        return float("nan")
    parts = _NUMBER.fullmatch(text)
    scale, dimension = (header.scale, header.dimension)
    if parts and parts[2]:
        scale, dimension = unit_of(parts[2], header.dimension) or (0.0, None)
    if parts is None or (parts[2] and dimension != header.dimension) or (parts[2] and dimension is None):
        return None
    return float(parts[1].replace("D", "e").replace("d", "e")) * scale


def table_of(path: Path, data: bytes) -> Table:
    """The table in a text, its header found by the names in it.

    Raises InputError when no line has numbers, or rows are longer than the header.
    """
    lines = first_lines(data)
    rows = [i for i, line in enumerate(lines) if line.strip() and not is_comment(line)]
    delimiter, names, first = _by_names(lines, rows) or _by_numbers(path, lines, rows)
    cells = split(lines[first], delimiter)
    keep = "DataValue" if names and names[0].lower() == "dataname" else ""  # EasyEXPERT repeats its preamble for each record
    columns = max(len(names or []), len(cells))
    body = data[sum(len(line.encode()) for line in lines[:first]) :]
    blocks = list(_blocks(path, body, delimiter, columns, first + 1, keep))
    if not blocks:
        refuse(path, "has no row of numbers; name a table of pulses and read values")
    preamble = [line.strip() for line in lines[:first]]
    cells, names = cells + [""] * (columns - len(cells)), names and names + [""] * (columns - len(names))
    return Table(path, names, cells, preamble, delimiter, blocks)


def first_lines(data: bytes) -> list[str]:
    """The lines in which a header may stand."""
    head = data[: 1 << 20].decode(errors="ignore")
    return [line + "\n" for line in head.split("\n")[:-1][:_PREAMBLE]] or [head]


def _by_names(lines: list[str], rows: list[int]) -> tuple[str, list[str] | None, int] | None:
    """(delimiter, names, line of the first row): the first line of known names with numbers below them, or units and then numbers."""
    for delimiter, (i, line) in itertools.product(_DELIMITERS, enumerate(lines)):
        names, k = split(line.lstrip(" #%/"), delimiter), bisect_right(rows, i)
        units = split(lines[rows[k]], delimiter) if k + 1 < len(rows) else []
        if len(units) == len(names) and any(units) and all(not u or (unit_of(u) and u != "1") for u in units):
            names, k = [f"{n} ({u})" if u else n for n, u in zip(names, units, strict=True)], k + 1
        if line.strip() and k < len(rows) and _heads(line, names, lines[rows[k]], delimiter):
            return delimiter, names, rows[k]
    return None


def _heads(line: str, names: list[str], row: str, delimiter: str) -> bool:
    """Whether these names, in this line, stand above the numbers of this row."""
    cells, alone = split(row, delimiter), len(names) == 1
    if is_number(names[0], delimiter) or (alone and is_comment(line) and quantity(names[0]).kind not in LEVELS):
        return False
    if alone and "," in row and ("," in line or is_comment(line)):
        return False  # this comma is no decimal comma
    if len(names) != len(cells) and len(_ended(names)) != len(_ended(cells)):
        return False
    return any(is_number(c, delimiter) and quantity(n).kind in _NUMERIC for n, c in zip(names, cells, strict=False))


def _ended(cells: list[str]) -> list[str]:
    """The cells without the empty ones at the end."""
    return cells[: max((i + 1 for i, c in enumerate(cells) if c), default=0)]


def _by_numbers(path: Path, lines: list[str], rows: list[int]) -> tuple[str, list[str] | None, int]:
    """As `_by_names` where no name is known: the first line of numbers alone, else of any; what stands above it as wide names them."""
    for enough, (k, i), delimiter in itertools.product((all, any), enumerate(rows), _DELIMITERS):
        if delimiter not in lines[i] and delimiter != " ":
            continue
        cells, above = _ended(split(lines[i], delimiter)), split(lines[rows[k - 1]], delimiter) if k else []
        headed = len(above) == len(cells) and not any(is_number(c, delimiter) for c in above)
        if cells and enough(is_number(c, delimiter) for c in cells) and (headed or enough is all):
            return delimiter, above if headed else None, i
    refuse(path, "has no column of numbers; name a table of pulses and read values")


def _blocks(path: Path, body: bytes, delimiter: str, columns: int, line: int, keep: str) -> Iterator[_Block]:
    """The rows in pieces of a few megabytes. `line`: number of the first line. `keep`: how lines of the table begin."""
    start = 0
    while start < len(body):
        end = max(body.rfind(b"\n", start, start + _BLOCK), body.find(b"\n", start)) + 1
        chunk = body[start:end]
        block = None if keep else _even(chunk, delimiter, columns, line)
        block = block or _mended(path, chunk, delimiter, columns, line, keep)
        if len(block.edges):
            yield block
        line, start = line + chunk.count(b"\n"), end


def _even(chunk: bytes, delimiter: str, columns: int, line: int) -> _Block | None:
    """A block of which every line is a row of as many cells, None when some are not."""
    if any(mark in chunk for mark in (b"#", b"%", b"//", b"\x1f")):
        return None
    data = np.frombuffer(chunk, np.uint8)
    data = _unquoted(data, delimiter) if b'"' in chunk else data
    data = data if data is None or delimiter != " " else _single_blanks(data)
    if data is None:
        return None
    ends = data == ord("\n")
    edges = np.flatnonzero(ends | (data == ord(delimiter))).astype(np.int32)
    rows = int(ends.sum())
    empty = bool(ends[0]) or bool((ends[1:] & ends[:-1]).any())
    if empty or len(edges) != rows * columns or not ends[edges[columns - 1 :: columns]].all():
        return None
    return _Block(data, edges.reshape(rows, columns), range(line, line + rows))


def _unquoted(data: np.ndarray, delimiter: str) -> np.ndarray | None:
    """The text without quotes, None when a delimiter stands between two."""
    quotes = data == ord('"')
    between = (np.cumsum(quotes, dtype=np.int32) & 1).astype(bool)
    return None if (between & ((data == ord(delimiter)) | (data == ord("\n")))).any() else data[~quotes]


def _single_blanks(data: np.ndarray) -> np.ndarray:
    """The text with one blank between words and none at the ends of lines."""
    data = np.where(data == ord("\t"), np.uint8(ord(" ")), data)
    blank, end = data == ord(" "), data == ord("\n")
    data = data[~(blank & np.concatenate([[True], (blank | end)[:-1]]))]
    return data[~((data == ord(" ")) & np.append(data[1:] == ord("\n"), False))]


def _mended(path: Path, chunk: bytes, delimiter: str, columns: int, line: int, keep: str) -> _Block:
    """A block with quotes, comments, blank lines or rows of other lengths, put in order line by line."""
    rows, lines = [], []
    for i, text in enumerate(chunk.decode().split("\n")[:-1], line):
        if not text.strip() or is_comment(text) or not text.startswith(keep):
            continue
        cells = split(text, delimiter)
        cells = cells if len(cells) <= columns else _ended(cells)
        if len(cells) > columns or (len(cells) < columns and delimiter == " "):
            refuse(path, f"line {i} has {len(cells)} cells where the table has {columns} columns; give every row as many")
        rows.append("\x1f".join(c.replace("\x1f", " ") for c in cells + [""] * (columns - len(cells))))
        lines.append(i)
    data = np.frombuffer("".join(r + "\n" for r in rows).encode(), np.uint8)
    edges = np.flatnonzero((data == ord("\x1f")) | (data == ord("\n"))).astype(np.int32)
    return _Block(data, edges.reshape(len(rows), columns), np.array(lines, np.int64))
