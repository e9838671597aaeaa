"""The columns of a table as quantities in SI units: levels, polarity, devices, settings of the measurement."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from aimco.device.measurement.columns import Table, amount, is_number, quote, refuse
from aimco.device.measurement.headers import DIMENSIONS, LEVELS, RANKS, Quantity, plain, problem, quantity
from aimco.record import InputError

_WORDS = {
    1: "up u set p ltp potentiation potentiate pot increase inc positive pos +",
    -1: "down d ltd depression depress dep decrease dec negative neg erase -",
    0: "none read initial init start",
    2: "reset",
}
_SIGNS = {word: sign for sign, words in _WORDS.items() for word in words.split()}


class Sheet:
    """A table whose columns have been told.

    Args:
        table: the table. read_voltage: V, where the caller gives one.
    """

    def __init__(self, table: Table, read_voltage: float | None) -> None:
        self.table, self.path, self.given = table, table.path, read_voltage
        self.notes = table.notes
        self.asked: set[int] = set()
        self._settings: dict[str, float | np.ndarray | None] = {}
        self.read_voltage: float | np.ndarray | None = read_voltage
        self.quantities = [quantity(n) for n in table.names] if table.names else self._headerless()
        seen: dict[tuple[str, ...], int] = {}
        for j, header in enumerate(self.quantities):
            ramp = header.kind in ("up", "down")
            key = (header.kind or "", header.prefix, header.number, "" if ramp else header.word)
            if header.kind and key in seen:
                refuse(self.path, f"{table.column(seen[key])} and {table.column(j)} hold the same quantity; keep one of them")
            seen[key] = j

    def _headerless(self) -> list[Quantity]:
        columns = len(self.table.first)
        if columns > 2:
            refuse(self.path, f"has {columns} columns and no header; name them in a first line, such as pulse,polarity,conductance")
        if columns == 1:
            kinds, note = ["counts"], "there is no header: the numbers are taken as levels in arbitrary units"
        elif self._counts_rows():
            kinds, note = ["pulse", "counts"], "there is no header: the columns are taken as pulse number and level in arbitrary units"
        else:
            kinds, note = ["up", "down"], "there is no header: the columns are taken as an up ramp and the down ramp after it"
        self.notes.append(note)
        return [Quantity(kind, "") for kind in kinds]

    def _counts_rows(self) -> bool:
        try:
            first = self.table.numbers(0, Quantity(None, ""))
        except InputError:
            return False
        return bool((np.diff(first) == 1).all())

    def of(self, kind: str) -> list[int]:
        """Columns of this kind, the surest name first."""
        return sorted((j for j, q in enumerate(self.quantities) if q.kind == kind), key=lambda j: RANKS.get(self.quantities[j].word, 0))

    def numbers(self, kind: str) -> np.ndarray | None:
        """The column of this kind in SI units, None when there is none."""
        for j in self.of(kind)[:1]:
            return self._in_unit(j, DIMENSIONS.get(kind))
        return None

    def _in_unit(self, j: int, dimension: str | None, ends: bool = False) -> np.ndarray:
        self.asked.add(j)
        wrong = problem(self.quantities[j])
        if wrong:
            refuse(self.path, f"{self.table.column(j)} {wrong}")
        return self.table.numbers(j, replace(self.quantities[j], dimension=self.quantities[j].dimension or dimension), ends)

    def _note(self, note: str) -> None:
        """Note once what is assumed of several columns."""
        if note not in self.notes:
            self.notes.append(note)

    def setting(self, kind: str) -> float | np.ndarray | None:
        """A setting of the measurement: from its column, one number where it is constant, or from a line before the table."""
        if kind not in self._settings:
            self._settings[kind] = self._setting(kind)
        return self._settings[kind]

    def _setting(self, kind: str) -> float | np.ndarray | None:
        column = self.numbers(kind)
        if column is not None:
            return float(column[0]) if (column == column[0]).all() else column
        for line in self.table.preamble:
            cells = [c for c in re.split(r"[,;:=\t]", line.lstrip("#%/ ")) if c.strip()]
            header = quantity(cells[-2]) if len(cells) > 1 else Quantity(None, "")
            value = amount(plain(cells[-1]), replace(header, dimension=DIMENSIONS[kind])) if header.kind == kind else None
            if value is not None and not problem(header):
                return value
        return None

    # levels

    def levels(self) -> list[int]:
        """The columns that hold levels: one, or one for each device."""
        for kind in LEVELS:
            tagged = [j for j in self.of(kind) if self.quantities[j].prefix or self.quantities[j].number]
            exact = [j for j in self.of(kind) if j not in tagged]
            if exact and (kind != "voltage" or len(tagged) == 0):
                return self._surest(kind, exact)
            if tagged:
                return self.alike(tagged)
        unknown = [j for j, q in enumerate(self.quantities) if q.kind is None and is_number(self.table.first[j], self.table.delimiter)]
        united = [j for j in unknown if self.quantities[j].dimension in ("S", "A", "V", "Ohm", "a.u.")]
        if not unknown or (len(unknown) > 1 and not (united or self.of("time") or self.of("pulse"))):
            names = ", ".join(quote(plain(n)) for n in (self.table.names or [])[:20])
            refuse(self.path, f"has no column that is surely the level; name one conductance, current or value (there are {names})")
        self.notes.append(f"taken as the level: {', '.join(self.table.column(j) for j in (united or unknown)[:10])}")
        return self.alike(united or unknown)

    def _surest(self, kind: str, columns: list[int]) -> list[int]:
        if kind in ("conductance", "resistance") and len(columns) > 1:
            scales = {(self.quantities[j].scale, self.quantities[j].dimension) for j in columns}
            both = f"{self.table.column(columns[0])} and {self.table.column(columns[1])}"
            refuse(self.path, f"{both} are both a {kind}{' in different units' if len(scales) > 1 else ''}; keep one of them")
        return columns[:1]

    def alike(self, columns: list[int]) -> list[int]:
        """These columns of levels, refused when their units differ."""
        units = sorted({self.quantities[j].unit or "no unit" for j in columns})
        if len({(self.quantities[j].scale, self.quantities[j].dimension) for j in columns}) > 1:
            refuse(self.path, f"mixes the units {' and '.join(units)} in columns of levels; convert them to one")
        names = [plain(self.table.names[j]) for j in columns] if self.table.names else []
        if len(set(names)) < len(names):
            refuse(self.path, f"has two columns {quote(next(n for n in names if names.count(n) > 1))}; name each by its device")
        return columns

    def level(self, j: int, ends: bool = False) -> tuple[np.ndarray, str]:
        """(levels, their unit) of a column; resistances and, with a read voltage, currents become conductances."""
        header = self.quantities[j]
        dimension = header.dimension or DIMENSIONS.get(header.kind or "", "a.u.")
        if dimension != "a.u." and not header.unit and not self.table.first[j][-1:].isalpha():
            self._note(f"no unit is named: the levels are taken in {dimension}")
        values = self._in_unit(j, dimension, ends)
        if dimension == "Ohm":
            self._refuse_where(values <= 0, j, "a resistance must be positive")
            return self._inverted(values, j), "S"
        if dimension == "A":
            return self._sensed(values, j)
        if dimension == "S":
            self._refuse_where(values < 0, j, "a conductance must not be negative", "subtract the offset or name the column value")
        return values, dimension

    def _refuse_where(self, wrong: np.ndarray, j: int, rule: str, fix: str = "correct it or remove the line") -> None:
        if wrong.any():
            row = int(wrong.argmax())
            self.table.refuse_cell(row, j, f"{rule}, got {quote(self.table.cells(j)[row].decode())}; {fix}")

    def _inverted(self, ohms: np.ndarray, j: int) -> np.ndarray:
        with np.errstate(over="ignore"):
            values = 1 / ohms
        self._refuse_where(~np.isfinite(values), j, "a resistance must be more than that")
        return values

    def _sensed(self, amps: np.ndarray, j: int) -> tuple[np.ndarray, str]:
        """Currents by the read voltage, I/V, S; as they are, in A, when no voltage is known."""
        volts = self.read_voltage = self.given if self.given is not None else self.setting("read_voltage")
        if volts is None:
            if (amps <= 0).all():
                self._note("all currents are negative: their magnitudes are taken")
                return -amps, "A"
            self._refuse_where(amps < 0, j, "currents read at one voltage have one sign", "give read_voltage or subtract the offset")
            self._note("there is no read voltage: levels are currents in A; give read_voltage for conductances")
            return amps, "A"
        if np.ndim(volts):
            volts = np.asarray(volts)[: len(amps)]
            self._refuse_where(volts == 0, self.of("read_voltage")[0], "a read voltage must not be 0 V")
        elif not volts or not np.isfinite(volts):
            refuse(self.path, f"has a read voltage of {volts} V, which must be finite and not 0; correct it")
        with np.errstate(over="ignore"):
            values = amps / volts
        self._refuse_where(~np.isfinite(values), j, "the current by the read voltage must be finite")
        self._refuse_where(values < 0, j, "a current must have the sign of its read voltage", "subtract the offset of the read-out")
        return values, "S"

    def name_of(self, j: int, device: str, columns: int, devices: int) -> str:
        """The device of a level: by its row, by its column where there are several, or by both."""
        if columns == 1:
            return device
        label = self.quantities[j].prefix or self.quantities[j].number or re.sub(r"\s*[(\[].*", "", plain((self.table.names or {})[j]))
        return label if devices == 1 else f"{device} {label}"

    def note_unused(self) -> None:
        """Note the columns that nothing asked for."""
        idle = [self.table.column(j) for j in range(len(self.quantities)) if j not in self.asked and (self.table.names or [""] * 3)[j]]
        idle = [name for name in idle if name.lower() != "column 'dataname'"]
        if idle:
            self.notes.append(f"not used: {', '.join(idle[:10])}")

    # pulses

    def devices(self) -> list[tuple[str, np.ndarray]]:
        """(name, its rows) of each device, in the order of the file; several columns that name devices are joined."""
        columns = self.of("device")
        if not columns:
            return [("1", np.arange(self.table.rows))]
        self.asked.update(columns)
        codes, names = self.table.words(columns[0])
        for j in columns[1:]:
            more, words = self.table.words(j)
            pairs, codes = np.unique(codes * len(words) + more, return_inverse=True)
            names = [f"{names[p // len(words)]}/{words[p % len(words)]}" for p in pairs]
        order = np.argsort(codes, kind="stable")
        ends = np.searchsorted(codes[order], np.arange(len(names) + 1))
        return [(name, order[ends[k] : ends[k + 1]]) for k, name in enumerate(names)]

    def polarity(self, level: int) -> np.ndarray | None:
        """Sign of the pulse before each reading, (rows,) int8: by its word, else by the sign of its voltage; None when neither is there.

        Args:
            level: the column of levels, which is not the voltage of the pulses.
        """
        if columns := self.of("polarity"):
            return self._polarity_words(columns[0])
        volts = self.numbers("pulse_voltage")
        if volts is None and (plain_voltage := [j for j in self.of("voltage") if j != level]):
            volts = self._in_unit(plain_voltage[0], "V")
            if volts.min() >= 0 or volts.max() <= 0:
                return None
            self.notes.append(f"the sign of {self.table.column(plain_voltage[0])} is taken as the polarity of the pulses")
        if volts is not None and not volts.any():
            refuse(self.path, "has pulse voltages of 0 V only, which are no pulses; correct them")
        return None if volts is None else np.sign(volts).astype(np.int8)

    def _polarity_words(self, j: int) -> np.ndarray:
        self.asked.add(j)
        codes, words = self.table.words(j)
        signs = [_sign(word) for word in words]
        for code, sign in enumerate(signs):
            if sign is None:
                row = int((codes == code).argmax())
                self.table.refuse_cell(row, j, f"{quote(words[code])} is no polarity; write up or down, set or reset, +1 or -1, or none")
        if not any(signs):
            self.table.refuse_cell(0, j, f"{quote(words[0])} stands in every row, so that there is no pulse; write up or down")
        down = [w for w, sign in zip(words, signs, strict=True) if sign == -1]
        if 1 in signs and not down and 2 not in signs:  # 1 and 0 are up and down, -1 and 0 and 1 are not
            signs = [-1 if sign == 0 and is_number(word, ",") else sign for word, sign in zip(words, signs, strict=True)]
        return np.array(signs, np.int8)[codes]

    def pulse_numbers(self) -> np.ndarray | None:
        """Number of the pulse at each reading, (rows,) int64; None when no column says it or it only counts the rows."""
        numbers = self.numbers("pulse")
        if numbers is None:
            return None
        wrong = (numbers != np.round(numbers)) | (np.abs(numbers) > 2**53)
        self._refuse_where(wrong, self.of("pulse")[0], "the number of a pulse must be a whole number")
        return None if (np.diff(numbers) == 1).all() else numbers.astype(np.int64)


def _sign(word: str) -> int | None:
    word = word.lower()
    number = amount(word, Quantity(None, ""))
    return _SIGNS.get(word, int(number) if number in (-1, 0, 1) else None)
