"""How busy the arrays of a network are in training: what the shapes of its layers do not say."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from aimco.arrays.pulses import Pulses
from aimco.cost.latency import Cut
from aimco.design import Design
from aimco.ensemble import PerMember
from aimco.ledger import Ledgers, Work
from aimco.record import InputError, Record

Shapes = Mapping[str, Mapping[str, tuple[int, ...]]]
ASSUMED = "assumed: as measured on MNIST with the device rpu"
_FREE: dict[str, Any] = {"ge": 0, "allow_inf_nan": False}


class Activity(Record):
    """What one update of one array takes, on average over its devices and lines; an update is of all rows or of one (a transfer).

    Args:
        slots: pulse slots, of both polarities. row_pulses: on a row. column_pulses: on a column. coincidences: steps of a device.
        reads, transposed_reads: vectors read for each one asked for; more than 1 where bound management reads again.
    """

    slots: float = Field(description="pulse slots of an update", **_FREE)
    row_pulses: float = Field(description="pulses on a row by an update", **_FREE)
    column_pulses: float = Field(description="pulses on a column by an update", **_FREE)
    coincidences: float = Field(description="steps of a device by an update", **_FREE)
    reads: float = Field(default=1.0, ge=1, description="reads of a vector")
    transposed_reads: float = Field(default=1.0, ge=1, description="transposed reads of a vector")


# What is assumed: means over the first epoch of MNIST, 10,000 samples, 784-256-10, device rpu, batch 10. Trains under sgd, lr 0.1, of
# its last layer and of the other; trains of single rows under tiki-taka and transfers under tiki-taka-v2, of the first layer, pulses
# and steps being those of the one row. `aimco run --json` prints the like of any run as "activity".
_HIDDEN = {"slots": 2.05, "row_pulses": 0.123, "column_pulses": 0.209, "coincidences": 0.0074}
_LAST = {"slots": 6.0, "row_pulses": 2.26, "column_pulses": 1.07, "coincidences": 0.207}
_ONE_ROW = {"slots": 2.1, "row_pulses": 1.6, "column_pulses": 0.19, "coincidences": 0.08}
_TRANSFER = {"slots": 15.0, "row_pulses": 7.5, "column_pulses": 4.3, "coincidences": 4.3}


def assumed(pulses: Pulses, rows: int, work: Work, *, last: bool) -> Activity:
    """Activity of an array of which nothing was measured.

    Trains are as update-BL management makes them; without it they have all slots, and lines fire in each the more seldom: the steps
    asked for stay, so that pulses grow as the root of the slots.

    Args:
        rows: of the matrix. work: what the rule does to the array. last: whether the layer is the last one.
    """
    if not work.updates:
        one, times = (_ONE_ROW if work.row_updates else _TRANSFER), (rows if work.all_pulsed else 1)
        shared = {name: one[name] / rows for name in ("row_pulses", "coincidences")}
        return Activity(**{name: times * value for name, value in (one | shared).items()})
    busy = _LAST if last else _HIDDEN
    slots = min(busy["slots"], 2.0 * pulses.length) if pulses.update_bl_management else 2.0 * pulses.length
    grown = sqrt(slots / busy["slots"])
    return Activity(
        slots=slots,
        row_pulses=busy["row_pulses"] * grown,
        column_pulses=busy["column_pulses"] * grown,
        coincidences=busy["coincidences"],
    )


def measured(design: Design, ledgers: Ledgers, shapes: Shapes, vectors: Mapping[str, int]) -> dict[str, dict[str, Activity]]:
    """Activity of each array of a network that was trained.

    Args:
        ledgers: layer -> array -> counts of the training of one ensemble member. shapes: layer -> array -> (rows, columns) of the whole
            matrix. vectors: that each layer was asked to multiply then; others are left out.
    """
    return {
        layer: {name: _of_one(counts, Cut.of(design, *shapes[layer][name]), vectors[layer]) for name, counts in arrays.items()}
        for layer, arrays in ledgers.items()
        if layer in vectors
    }


def pulses_on_devices(design: Design, ledgers: Ledgers, shapes: Shapes) -> float:
    """Pulses that a device of the busiest array took in training, mean over its devices; of updates, and of write-and-verify.

    Args:
        design: Whose cell says how many devices share the pulses of a weight.
        ledgers: Layer -> array -> counts of the training of one ensemble member.
        shapes: Layer -> array -> (rows, columns) of the whole matrix.
    """
    busiest = 0.0
    for layer, arrays in ledgers.items():
        for name, counts in arrays.items():
            devices = len(design.cell.signs) * int(np.prod(shapes.get(layer, {}).get(name, (0,))))
            taken = float(np.sum(counts.get("coincidences", 0))) + float(np.sum(counts.get("program_pulses", 0)))
            busiest = max(busiest, taken / devices if devices else 0.0)
    return busiest


def _of_one(counts: Mapping[str, PerMember], cut: Cut, vectors: int) -> Activity:
    amounts = {name: amount for name, amount in counts.items() if not isinstance(amount, np.ndarray)}  # of one member all are numbers

    def of(name: str, each: float) -> float:
        amount = amounts.get(name, 0)
        return amount / each if amount else 0.0

    updates, asked = amounts.get("updates", 0), vectors * cut.arrays
    return Activity(
        slots=of("slots", updates),
        row_pulses=of("row_pulses", updates * cut.rows),
        column_pulses=of("column_pulses", updates * cut.columns),
        coincidences=of("coincidences", updates * cut.rows * cut.columns),
        reads=max((amounts.get("mvm", 0) - amounts.get("row_reads", 0)) / asked, 1.0),
        transposed_reads=max(amounts.get("mvm_t", 0) / asked, 1.0),
    )


def load(path: str) -> list[dict[str, Activity]]:
    """Activity by layer and array, from the JSON of `aimco run`, layers in order.

    Raises:
        InputError: the file is missing or holds no activity.
    """
    try:
        layers = json.loads(Path(path).read_text())["activity"]
        return [{name: Activity.of(fields) for name, fields in arrays.items()} for arrays in layers.values()]
    except OSError as error:
        raise InputError(f"activity {path}: cannot be read, {error.strerror}; give the JSON of aimco run") from None
    except InputError as error:
        raise InputError(f"activity {path}: {error}") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise InputError(f"activity {path}: must be the JSON that aimco run --json prints or --out keeps as result.json") from None


def choose(
    design: Design, works: Sequence[Mapping[str, Work]], rows: Sequence[int], given: Sequence[Mapping[str, Activity]] | None
) -> list[dict[str, Activity]]:
    """Activity of every array that learns: what was given, or else what is assumed.

    Args:
        works, rows: of each layer. given: by layer, in order.

    Raises:
        InputError: layers or arrays of what was given are not those of the network.
    """
    if given is None:
        pulses, last = design.periphery.pulses, len(works) - 1
        return [
            {name: assumed(pulses, r, array_work, last=k == last) for name, array_work in work.items()}
            for k, (work, r) in enumerate(zip(works, rows, strict=True))
        ]
    if len(given) != len(works):
        raise InputError(f"activity must be of the {len(works)} layers of the network, got {len(given)}")
    for k, (work, arrays) in enumerate(zip(works, given, strict=True)):
        if missing := [name for name in work if name not in arrays]:
            raise InputError(
                f"activity must have array {missing[0]} in layer {k + 1}, got {', '.join(arrays) or 'none'}; run the same rule"
            )
    return [dict(arrays) for arrays in given]
