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
from aimco.notes import only_rises
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
            design = _both_ways(Design.of({**base, "rule": parts, "cell": _cell(base, cell)}))
            _suits(design)
        except InputError as error:
            refused.setdefault((rule, str(error)), Refusal(rule, cell, reference, str(error)))
            continue
        if not any(design == other.design for other in admitted):
            admitted.append(Candidate(rule, cell, reference, design))
    turn: Counter[str] = Counter()
    turns = {c.name: turn[c.rule] for c in admitted if turn.update([c.rule]) is None}
    admitted.sort(key=lambda c: turns[c.name])  # one of each rule, then the next
    return admitted, [r for r in refused.values() if not any(a.rule == r.rule and a.cell == r.cell for a in admitted)]


def digital(base: PlainView) -> Candidate:
    """The same network and schedule in software."""
    return Candidate("digital", "software", None, Design.of({**base, "rule": {"kind": "digital"}}))


def _both_ways(design: Design) -> Design:
    """With devices of either sign where pulses only raise a device, and the cell leaves the choice."""
    if design.device.response.one_sided and "differential" in type(design.cell).model_fields:
        return design.replace("cell.differential", True)
    return design


def _suits(design: Design) -> None:
    """Refuse what runs but is no such circuit: capacitors that never leak, and cells whose capacitors learn what nobody moves on."""
    cell, rule = design.cell, design.rule
    if cell.capacitive and math.isinf(design.device.retention_s):
        raise InputError(f"device.retention_s must be finite in the cell {cell.kind}, where it is a capacitor, whose charge leaks, got inf")
    if only_rises(design):
        raise InputError(f"cell.kind must be one of two devices whose weights also fall, as pair, for a one-sided device, got {cell.kind}")
    if cell.transfers and not rule.transfers:
        raise InputError(
            f"rule.kind must be one that moves what capacitors learn, as weight-transfer, for cell {cell.kind}, got {rule.kind}"
        )


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
