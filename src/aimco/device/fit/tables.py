"""Measured distributions of the change by one pulse, taken as the device: from published tables, or from pulses themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from aimco.device.device import Device
from aimco.device.families import jump_table
from aimco.device.fit.datasheet import Estimate
from aimco.device.measurement import Measurement, Trace
from aimco.device.measurement.jump_tables import JumpTables
from aimco.plain_data import PlainData
from aimco.record import InputError

_STATES, _QUANTILES = 24, 41
_FEWEST = 30  # changes in a bin of the state


@dataclass(frozen=True, eq=False)
class TableFit:
    """A device that is a measured table. estimates: its numbers at mid-range; notes: what was assumed."""

    device: Device
    estimates: dict[str, Estimate]
    measured: JumpTables
    notes: list[str] = field(default_factory=list)


def fit_tables(
    measured: JumpTables, *, name: str = "fitted", span_S: tuple[float, float] = (1e-7, 1e-5), extra: PlainData | None = None
) -> TableFit:
    """The device of a pair of jump tables.

    Args:
        measured: the tables. name: of the device. span_S: conductances that the range is laid on when the unit is not S.
        extra: further fields of the datasheet.

    Raises:
        InputError: tables whose mean changes go the wrong way.
    """
    (up_states, *_), (down_states, *_) = measured.up, measured.down
    low, high = float(min(up_states[0], down_states[0])), float(max(up_states[-1], down_states[-1]))
    known = measured.unit == "S"
    scale = 1.0 if known else (span_S[1] - span_S[0]) / (high - low)
    tables = [jump_table.from_quantiles(*side, low, high) * scale for side in (measured.up, measured.down)]
    try:
        response = jump_table.response(*tables)
    except ValueError as error:
        raise InputError(f"{measured.source}: {error}; check which table is which") from None
    words = f"measured ({measured.source})"
    ends = words if known else f"assumed: the file is not in siemens; its range {low:.4g} to {high:.4g} is laid here"
    sources = {n: ends for n in ("g_min", "g_max")} | {"response": f"{words}: the distribution of the change, state by state"}
    sources |= {"cycle_noise": f"{words}: within the table", "spread": "assumed: none, as the table does not tell devices from cycles"}
    range_S = (low, high) if known else span_S
    about = f"measured distribution of the change by a pulse, from {measured.source}"
    plain = {"name": name, "description": about, "g_min": range_S[0], "g_max": range_S[1], "response": response}
    device = Device.of(plain | (extra or {}) | {"sources": sources | (extra or {}).get("sources", {})})
    return TableFit(
        device, _numbers(device), measured, [*measured.notes, "a table does not tell spread among devices from noise of cycles"]
    )


def _numbers(device: Device) -> dict[str, Estimate]:
    def one(value: float, unit: str = "") -> Estimate:
        return Estimate(value, float("nan"), float("nan"), unit)

    point = float(device.sample((1, 1), [0]).symmetry_point()) * float(device.half_range) + float(device.mid_range)
    return {
        "step_up": one(float(device.response.step_up), "S"),
        "step_down": one(float(device.response.step_down), "S"),
        "g_min": one(device.g_min, "S"),
        "g_max": one(device.g_max, "S"),
        "states": one(device.states),
        "asymmetry": one(device.asymmetry),
        "symmetry_point": one(point, "S"),
        "cycle_noise": one(device.response.own_noise()),
    }


def tables_of(measured: Measurement) -> JumpTables:
    """The jump tables of measured pulses: quantiles of the change in bins of the state before it.

    Raises:
        InputError: too few pulses in a direction for a distribution.
    """
    sides = {}
    for polarity, word in ((1, "up"), (-1, "down")):
        state = np.concatenate([t.level[:-1][_single(t, polarity)] for t in measured.traces])
        change = np.concatenate([np.diff(t.level)[_single(t, polarity)] for t in measured.traces])
        bins = min(_STATES, state.size // _FEWEST)
        if bins < 2:
            raise InputError(
                f"{measured.source}: must have at least {2 * _FEWEST} single pulses {word} for a jump table, got {state.size}; measure more"
            )
        sides[word] = _quantiles(state, change, bins)
    notes = [*measured.notes, "noise of reading is in the table too, as every change is that of one pulse"]
    return JumpTables(sides["up"], sides["down"], measured.unit, measured.source, notes)


def _single(trace: Trace, polarity: int) -> np.ndarray:
    return (trace.polarity[1:] == polarity) & (trace.pulses[1:] == 1)


def _quantiles(state: np.ndarray, change: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    order = np.argsort(state, kind="stable")
    parts: Sequence[np.ndarray] = np.array_split(order, bins)
    probability = np.linspace(0, 1, _QUANTILES)
    centres = np.array([state[part].mean() for part in parts])
    distinct = np.concatenate([[True], np.diff(centres) > 0])
    table = np.stack([np.quantile(change[part], probability) for part in parts], 1)
    return centres[distinct], probability, table[:, distinct]
