"""Ways to learn that a device admits: every rule, in every cell, against every reference."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, get_args, get_origin

from aimco.advice.answer import Candidate, Refusal
from aimco.cell import Cell
from aimco.design import Design
from aimco.learning import Rule
from aimco.plain_data import PlainView
from aimco.record import InputError


def candidates(base: PlainView, rules: Sequence[str] = ()) -> tuple[list[Candidate], list[Refusal]]:
    """Those that the device and the network of a base design admit, and those refused, with the field that would admit them.

    Args:
        base: PlainView data of a design; its rule and cell are replaced.
        rules: Only these; all that learn in arrays when empty.
    """
    admitted: list[Candidate] = []
    refused: dict[tuple[str, str], Refusal] = {}
    for rule, reference, cell in _all(rules or Rule.kinds()):
        parts = {"kind": rule} | ({} if reference is None else {"reference": reference})
        try:
            design = Design.of({**base, "rule": parts, "cell": _cell(base, cell)})
            _suits(design)
        except InputError as error:
            refused.setdefault((rule, str(error)), Refusal(rule, cell, reference, str(error)))
            continue
        if not any(design == other.design for other in admitted):
            admitted.append(Candidate(rule, cell, reference, design))
    turn: Counter[str] = Counter()
    turns = {c.name: turn[c.rule] for c in admitted if turn.update([c.rule]) is None}
    admitted.sort(key=lambda c: turns[c.name])  # one of each rule, then the next of each
    return admitted, [r for r in refused.values() if not any(a.rule == r.rule and a.cell == r.cell for a in admitted)]


def digital(base: PlainView) -> Candidate:
    """The same network and schedule in software."""
    return Candidate("digital", "software", None, Design.of({**base, "rule": {"kind": "digital"}}))


def _suits(design: Design) -> None:
    """Refuse a cell of capacitors to devices that keep their state: what it would learn, no such circuit could."""
    if design.cell.capacitive and math.isinf(design.device.retention_s):
        raise InputError(f"device.retention_s must be finite in the cell {design.cell.kind}, a capacitor, whose charge leaks, got inf")


def _all(rules: Sequence[str]) -> Iterator[tuple[str, str | None, str]]:
    """Rules that learn in arrays, their reference policies, and cells."""
    for rule in rules:
        kind = Rule.of_kind(rule)
        if not kind.on_chip or not kind().arrays():
            continue
        for reference in _references(kind):
            for cell in _cells():
                yield rule, reference, cell


def _cells() -> list[str]:
    """Cells but for those that are another one with further transistors, which learn alike."""
    kinds = {name: Cell.of_kind(name) for name in Cell.kinds()}
    return [name for name, kind in kinds.items() if not any(kind is not other and issubclass(kind, other) for other in kinds.values())]


def _references(kind: type[Rule]) -> tuple[str | None, ...]:
    """What its arrays may be read against; (None,) where it has no such field."""
    field = kind.model_fields.get("reference")
    return (
        tuple(p for p in get_args(field.annotation) if p != "auto")
        if field is not None and get_origin(field.annotation) is Literal
        else (None,)
    )


def _cell(base: PlainView, kind: str) -> dict[str, object]:
    """A cell of a kind, with the largest weight of the base design's."""
    cell = base.get("cell")
    top = cell.get("weight_max") if isinstance(cell, Mapping) else None
    parts: dict[str, object] = {"kind": kind}
    return parts if top is None else parts | {"weight_max": top}
