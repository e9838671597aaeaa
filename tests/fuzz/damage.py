"""What may be wrong with an input: values that no field has, structure that is lost, bytes that changed."""

from __future__ import annotations

import copy
import math
import random
import tomllib
from typing import Any

import tomli_w

VALUES: tuple[Any, ...] = (
    *(0, -1, 1, 2, 7, 10**6, 10**30, -(10**30)),
    *(0.0, -0.0, 0.5, -0.5, 1e-320, 1e-30, 1e30, 1e308, -1e308, math.inf, -math.inf, math.nan),
    *(True, False, "", "x", "none", "auto", "inf", "nan", "rpu", "ideal", "sgd", "pair", "x" * 2000, "a b", "ä", "\t", "=1+1", "../d.toml"),
    *("mine.py:Mine", "absent.toml", "absent.py:Absent", "/absent/file", "/dev/null", ".", "~"),
    *([], [1], [1, 2, 3], ["a"], [[1]], {}, {"a": 1}, {"kind": "sgd"}, {"low": 0, "high": 1}),
)
_CELLS = (
    "",
    "nan",
    "inf",
    "-inf",
    "1e400",
    "1e-320",
    "-1",
    "0",
    "abc",
    '"',
    '"a,b"',
    "1;2",
    "1,2",
    "=1+1",
    "ä",
    "\0",
    " ",
    "1e3 uS",
    "x" * 500,
)

_OPTIONS = (
    *("--seed", "--limit", "--task", "--data-dir", "--checkpoint", "--sort", "--network"),
    *("--out", "--workers", "--minutes", "--rule", "--requirement", "--seeds"),
)


def damaged(content: bytes, name: str, rng: random.Random) -> bytes:
    """One to three faults in a file."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        content = _once(content, name, rng)
    return content


def words(given: tuple[str, ...], rng: random.Random) -> tuple[str, ...]:
    """A command with one or two wrong words in it."""
    out = list(given)
    for _ in range(rng.choice((1, 1, 2))):
        value = _word(rng)
        what, k = rng.randrange(5), rng.randrange(1, len(out)) if len(out) > 1 else 0
        if what == 0:
            out[k] = value
        elif what == 1:
            del out[k]
        elif what == 2:
            out.insert(k, value)
        elif what == 3:
            out += [rng.choice(_OPTIONS), value]
        else:
            place = rng.choice(
                ("device", "rule", "rule.lr", "training.epochs", "network.hidden", "periphery.adc.bits", "array.rows", "cell.kind", "x.y")
            )
            out += ["--set", f"{place}={value}"]
    return tuple(out)


def _word(rng: random.Random) -> str:
    value = rng.choice(VALUES)
    return str(value).lower() if isinstance(value, bool) else str(value).replace("\0", "")


def _once(content: bytes, name: str, rng: random.Random) -> bytes:
    if rng.random() < 0.25 or not name.endswith((".toml", ".csv", ".txt", ".py", ".json")):
        return _bytes(content, rng)
    if name.endswith(".toml"):
        return _toml(content, rng)
    return _table(content, rng) if name.endswith((".csv", ".txt")) else _text(content, rng)


def _bytes(content: bytes, rng: random.Random) -> bytes:
    """Bytes that changed, are missing or are too many."""
    data, k = bytearray(content), rng.randrange(max(len(content), 1))
    what = rng.randrange(6)
    if what == 0:
        return bytes(data[:k])
    if what == 1 and data:
        for _ in range(rng.choice((1, 4, 40))):
            data[rng.randrange(len(data))] = rng.randrange(256)
    elif what == 2:
        data[k:k] = bytes(rng.randrange(256) for _ in range(rng.choice((1, 8, 100))))
    elif what == 3:
        del data[k : k + rng.choice((1, 8, 100))]
    elif what == 4:
        data[k:k] = rng.choice((b"\0", b"\xef\xbb\xbf", b"\xff\xfe", b"\r", b"\n\n", b"[" * 3000))
    else:
        return rng.choice((b"", b"\0" * 100, b"PK\x03\x04", b"\x1f\x8b", bytes(data * 2)))
    return bytes(data)


def _text(content: bytes, rng: random.Random) -> bytes:
    """Lines and words of text in other places."""
    lines = content.decode(errors="replace").split("\n")
    k, what = rng.randrange(len(lines)), rng.randrange(5)
    if what == 0:
        del lines[k]
    elif what == 1:
        lines.insert(k, rng.choice(lines))
    elif what == 2:
        lines[k] = lines[k].replace(rng.choice("0123456789=()[]:.,-"), rng.choice(("", "-1", "1e308", "nan", "(", "x")), 1)
    elif what == 3:
        lines[k] = " " * rng.randrange(9) + lines[k].lstrip()
    else:
        parts = lines[k].split(" ")
        rng.shuffle(parts)
        lines[k] = " ".join(parts)
    return "\n".join(lines).encode()


def _table(content: bytes, rng: random.Random) -> bytes:
    """Cells, rows and columns of a table."""
    rows = [line.split(",") for line in content.decode(errors="replace").splitlines()] or [[""]]
    r = rng.randrange(len(rows))
    c = rng.randrange(max(len(rows[r]), 1))
    what = rng.randrange(9)
    if what == 0 and rows[r]:
        rows[r][min(c, len(rows[r]) - 1)] = rng.choice(_CELLS)
    elif what == 1:
        rows = [row[:c] + row[c + 1 :] for row in rows]
    elif what == 2:
        del rows[r]
    elif what == 3:
        rows.insert(r, [rng.choice(_CELLS)] * rng.choice((1, 3, 9)))
    elif what == 4:
        rows = rows[1:]
    elif what == 5:
        return rng.choice((";", "\t", " ", "|")).join("\0".join(row) for row in rows).replace("\0", ",").encode()
    elif what == 6:
        rows = [[*row[:c], rng.choice(_CELLS), *row[c + 1 :]] if k else row for k, row in enumerate(rows)]
    elif what == 7:
        rng.shuffle(rows)
    else:
        rows = rows[: rng.randrange(4)]
    return ("\n".join(",".join(row) for row in rows) + "\n").encode()


def _toml(content: bytes, rng: random.Random) -> bytes:
    """A field that is lost, renamed, added, or has another value."""
    try:
        data = tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, ValueError, RecursionError):
        return _bytes(content, rng)
    data = copy.deepcopy(data)
    tables = _tables(data)
    table = rng.choice(tables)
    key, what = (rng.choice(list(table)) if table else None), rng.randrange(7)
    if key is None or what == 0:
        table[rng.choice(("x", "kind", "name", "lr", "g_max", "spread", "noise", "a.b", ""))] = rng.choice(VALUES)
    elif what == 1:
        del table[key]
    elif what == 2:
        table[key[:-1] or "k"] = table.pop(key)
    elif what == 3 and isinstance(table[key], int | float) and not isinstance(table[key], bool):
        table[key] = _scaled(table[key], rng)
    elif what == 4:
        other = rng.choice(tables)
        if other:
            table[key] = copy.deepcopy(other[rng.choice(list(other))])
    else:
        table[key] = copy.deepcopy(rng.choice(VALUES))
    try:
        return tomli_w.dumps(data).encode()
    except (TypeError, ValueError, RecursionError):
        return _bytes(content, rng)


def _scaled(value: float, rng: random.Random) -> float:
    try:
        scaled = value * rng.choice((-1, 10, 1e3, 1e-3, 1e12, 1e-12))
        return int(scaled) if isinstance(value, int) and math.isfinite(scaled) else scaled
    except OverflowError:
        return -value


def _tables(data: Any) -> list[dict[str, Any]]:
    """Every table at any depth."""
    if isinstance(data, list):
        return [table for part in data for table in _tables(part)]
    return [data, *(table for part in data.values() for table in _tables(part))] if isinstance(data, dict) else []
