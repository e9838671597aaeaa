"""`devices`: the catalogue; `fit`: measured pulses to a device."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Literal, SupportsIndex, TypedDict, Unpack, overload

from rich.table import Table

from aimco import html_parts
from aimco.api.progress import Progress, reported
from aimco.device import display
from aimco.device.device import Device
from aimco.device.fit.files import Characterisation, characterise
from aimco.frames import dataframe
from aimco.outputs import write_outputs
from aimco.record import InputError
from aimco.report.device import estimates_table, fit_figures, png

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

Order = Literal["name", "states", "asymmetry", "retention"]
_KEYS: dict[Order, Callable[[Device], str | float]] = {
    "name": lambda d: d.name,
    "states": lambda d: -d.states,
    "asymmetry": lambda d: d.asymmetry,
    "retention": lambda d: -d.retention_s,
}


@dataclass(frozen=True, repr=False)
class Catalogue(Sequence[Device]):
    """The devices that come with aimco.

    Args:
        devices: In the order that was asked for.
    """

    devices: tuple[Device, ...]

    @overload
    def __getitem__(self, k: SupportsIndex) -> Device: ...
    @overload
    def __getitem__(self, k: slice) -> tuple[Device, ...]: ...
    def __getitem__(self, k: SupportsIndex | slice) -> Device | tuple[Device, ...]:
        return self.devices[k]

    def __len__(self) -> int:
        return len(self.devices)

    def __iter__(self) -> Iterator[Device]:
        return iter(self.devices)

    def __repr__(self) -> str:
        return f"Catalogue({', '.join(d.name for d in self.devices)})"

    def _repr_html_(self) -> str:
        """A row for each device, for notebooks."""
        return html_parts.of_table(self.table())

    def table(self) -> Table:
        """A row for each device, as `aimco devices` prints it."""
        table = Table(title="Devices (asymmetry of the mean steps, and its spread)")
        for column in ("name", "states", "asymmetry", "retention", "response"):
            table.add_column(column, no_wrap=True)
        for d in self.devices:
            known = display.facts(d)
            table.add_row(d.name, *(known[name] for name in ("states", "asymmetry", "retention", "response")))
        return table

    def to_dataframe(self) -> DataFrame:
        """One row for each device as a pandas table, SI units, indexed by name.

        Raises:
            InputError: pandas is not installed.
        """
        columns: dict[str, Sequence[object]] = {
            "name": [d.name for d in self.devices],
            "response": [d.response.kind for d in self.devices],
            **{n: [float(getattr(d, n)) for d in self.devices] for n in ("g_min", "g_max", "states", "asymmetry")},
            "asymmetry_spread": [d.spread.get("asymmetry", 0.0) for d in self.devices],
            "retention_s": [d.retention_s for d in self.devices],
            "drifts": [d.drift is not None for d in self.devices],
            "description": [d.description for d in self.devices],
        }
        return dataframe(columns).set_index("name")


def devices(sort: Order = "name") -> Catalogue:
    """The devices that come with aimco: `aimco devices`.

    Args:
        sort: By name, states (most first), asymmetry (least first) or retention (longest first).

    Raises:
        InputError: Another order.

    Example:
        >>> devices("states")[0].name
        'rpu-10000-states'
    """
    if sort not in _KEYS:
        raise InputError(f"sort must be one of {', '.join(_KEYS)}, got {sort!r}")
    return Catalogue(tuple(sorted((Device.named(name) for name in Device.names()), key=_KEYS[sort])))


def outputs_of(path: str | os.PathLike[str]) -> list[str]:
    """The names of the files that a fit may write.

    Raises:
        InputError: The datasheet has another ending than .toml, which may be that of a picture beside it.
    """
    target = Path(path)
    if target.suffix != ".toml":
        raise InputError(f"out must end in .toml, got {os.fspath(path)!r}; pictures lie beside the datasheet, as FILE.png")
    return [target.name, *(target.with_suffix(end).name for end in (".png", ".retention.png"))]


class FitResult(Characterisation):
    """A device that was fitted, and what it was made of."""

    def __repr__(self) -> str:
        return f"FitResult({self.device!r}, {len(self.estimates)} estimates)"

    def _repr_html_(self) -> str:
        """The device, estimates with their intervals, the verdict and notes, for notebooks."""
        parts = [part._repr_html_() for part in (self.device, self.verdict) if part]
        return html_parts.card("Fit", html_parts.of_table(estimates_table(self)), *parts, html_parts.listed(self.notes))

    def plot(self, path: str | os.PathLike[str] | None = None) -> Figure:
        """Measured beside fitted: readings, changes per pulse and the verdict; of retention alone, levels against time.

        Args:
            path: Picture that is written, if any.
        """
        figure = next(iter(fit_figures(self).values()))
        if path is not None:
            figure.savefig(os.fspath(path), dpi=150)
        return figure

    def save(self, path: str | os.PathLike[str]) -> list[str]:
        """Write the datasheet, a FILE.toml, and pictures of the fit beside it.

        Returns:
            The files; without a datasheet where only retention was measured.
        """
        target = Path(path)
        files: dict[str, str | bytes] = {}
        if self.device is not None:
            sheet, copies = self.device.packed(target)
            files = {target.name: sheet} | copies
        files |= {target.with_suffix(end).name: png(figure) for end, figure in fit_figures(self).items()}
        return list(map(str, write_outputs(target.parent, files)))


class FitOptions(TypedDict, total=False):
    """How files are read and fitted.

    Args:
        family: Response that is taken instead of choosing one: of the catalogue, "jump-table", or "FILE.py:CLASS".
        read_voltage: Of files of currents, V.
        span_S: Conductances that a file in other units is laid on, S; (1e-7, 1e-5) when absent.
        requirement: That the device is held against, a name or a FILE.toml; "rpu" when absent.
        name: Of the device.
    """

    family: str | None
    read_voltage: float | None
    span_S: tuple[float, float]
    requirement: str
    name: str


def fit(*files: str | os.PathLike[str], progress: Progress = None, **options: Unpack[FitOptions]) -> FitResult:
    """Find the device behind measured pulses: `aimco fit`.

    Args:
        *files: Of pulses (or a pair of jump tables), of retention traces, or both.
        progress: True or False for a bar or none, or a function of (what is running, fraction done). When absent, a bar appears on a
            terminal or in a notebook after 2 s.
        **options: `FitOptions`: family, read_voltage, span_S, requirement, name.

    Returns:
        What was found: `device`, `estimates` with 95 % intervals, `verdict`, `notes`.

    Raises:
        InputError: A file that is not what it should be; nothing that can be fitted.
    """
    if not files:
        raise InputError("fit needs a file of measured pulses, for example pulses.csv")
    paths = [os.fspath(file) for file in files]
    named: FitOptions = {"name": Path(paths[0]).stem, **options}
    with reported(progress, "fit") as on_step:
        result = characterise(paths, on_progress=on_step, **named)
    return FitResult(**{f.name: getattr(result, f.name) for f in fields(result)})
