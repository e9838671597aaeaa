"""From the files that a measurement left to one device: pulses, retention traces, jump tables together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from aimco.device.device import Device
from aimco.device.fit import Fit, OnProgress, fit
from aimco.device.fit.datasheet import Estimate
from aimco.device.fit.retention import RetentionFit, fit_retention
from aimco.device.fit.tables import TableFit, fit_tables, tables_of
from aimco.device.measurement import Measurement, Retention, read
from aimco.device.measurement.jump_tables import JumpTables
from aimco.device.requirement import Requirement, Verdict
from aimco.plain_data import PlainData
from aimco.record import InputError


@dataclass(frozen=True, eq=False)
class Characterisation:
    """A device and what it was made of.

    Args:
        device: the datasheet; None when only retention was measured. pulses: the fit of pulses, or the tables taken.
        retention: the fit of retention traces, if any. verdict: the device against the requirement. notes: of all parts.
    """

    device: Device | None
    pulses: Fit | TableFit | None
    retention: RetentionFit | None
    verdict: Verdict
    notes: list[str] = field(default_factory=list)

    @property
    def estimates(self) -> dict[str, Estimate]:
        """Every number that was found, with its 95 % interval."""
        parts = (part.estimates for part in (self.pulses, self.retention) if part is not None)
        return {name: e for part in parts for name, e in part.items()}

    def as_json(self) -> PlainData:
        """Plain data, as `aimco fit --json` prints it."""
        numbers = {n: {"value": e.value, "low": e.low, "high": e.high, "unit": e.unit} for n, e in self.estimates.items()}
        fitted = {"families": self.pulses.families, "goodness": self.pulses.goodness} if isinstance(self.pulses, Fit) else {}
        laws = [{law.name: {"r2": law.r2} | law.parameters for law in each} for each in self.retention.laws] if self.retention else []
        return {
            "device": None if self.device is None else self.device.as_dict(),
            "estimates": numbers,
            **fitted,
            "retention": laws,
            "verdict": [line.as_json() for line in self.verdict],
            "notes": self.notes,
        }


def characterise(
    files: Sequence[str],
    *,
    family: str | None = None,
    read_voltage: float | None = None,
    span_S: tuple[float, float] = (1e-7, 1e-5),
    requirement: str = "rpu",
    name: str = "fitted",
    on_progress: OnProgress | None = None,
) -> Characterisation:
    """Read files, fit what is in them, and judge the device.

    Args:
        files: one of pulses (or the pair of jump tables), one of retention, in any order. family: see `fit`, or "jump-table".
        read_voltage: of files of currents, V. span_S: see `fit`. requirement: a name or a FILE.toml. name: of the device.

    Raises:
        InputError: a file that is not what it should be, or two of the same sort.
    """
    if not 0 <= span_S[0] < span_S[1] < float("inf"):
        raise InputError(f"--g-max must be greater than --g-min, both finite and not negative, got {span_S[1]:g} and {span_S[0]:g} S")
    asked = Requirement.named(requirement)
    parts = _read(files, read_voltage)
    retention = next((fit_retention(p) for p in parts if isinstance(p, Retention)), None)
    source = next((p for p in parts if not isinstance(p, Retention)), None)
    if isinstance(source, Measurement) and family == "jump-table":
        source = tables_of(source)
    extra = {} if retention is None else retention.extra
    pulses: Fit | TableFit | None = None
    if isinstance(source, Measurement):
        pulses = fit(source, family=family, name=name, span_S=span_S, extra=extra, on_progress=on_progress)
    elif source is not None:
        pulses = fit_tables(source, name=name, span_S=span_S, extra=extra)
    device = None if pulses is None else pulses.device
    notes = [note for part in (pulses, retention) if part is not None for note in part.notes] + ([] if device is None else device.notes())
    return Characterisation(device, pulses, retention, Verdict(()) if device is None else asked.verdict(device), notes)


def _read(files: Sequence[str], read_voltage: float | None) -> list[Measurement | Retention | JumpTables]:
    """The contents of the files, no two of the same sort."""
    if len(files) == 2 and _is_jump_tables(files):
        return [read(files[0], files[1])]
    parts = [read(path, read_voltage=read_voltage) for path in files]
    for kind, word in ((Retention, "retention"), (Measurement, "pulses"), (JumpTables, "jump tables")):
        if sum(isinstance(part, kind) for part in parts) > 1:
            raise InputError(f"{', '.join(map(str, files))}: must hold one file of {word}, got two; join them, or fit them apart")
    return parts


def _is_jump_tables(files: Sequence[str]) -> bool:
    return all(Path(f).suffix == ".txt" for f in files)
