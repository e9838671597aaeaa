"""From the fitted devices to the datasheet of their kind: means, spreads, intervals, and the words beside each number."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from aimco.device.device import Device
from aimco.device.fit.noise import Noise
from aimco.device.response import Response
from aimco.plain_data import PlainData

_FEW = 8  # devices from which the law of the spread is asked for
_SURE = 2.0  # of the logarithm of the likelihood, for the lognormal law


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval; low and high are nan where the data cannot say."""

    value: float
    low: float
    high: float
    unit: str = ""


@dataclass(frozen=True, eq=False)
class Population:
    """Devices of one kind as fitted, in levels of the file.

    Args:
        family: the response. values: step_up, step_down, g_max, g_min of each device (D,). sigma: their own uncertainties (D,).
        shared, shared_sigma: the other parameters, and their uncertainties. low, high: nominal range.
        symmetry: symmetry points (D,). asymmetry_slope: change of the mean asymmetry with the state, at mid-range, 1/level.
    """

    family: type[Response]
    values: dict[str, np.ndarray]
    sigma: dict[str, np.ndarray]
    shared: dict[str, float]
    shared_sigma: dict[str, float]
    symmetry: np.ndarray
    asymmetry_slope: float
    low: float
    high: float

    @property
    def half(self) -> float:
        """Half the nominal range."""
        return (self.high - self.low) / 2

    @property
    def count(self) -> int:
        """Devices."""
        return self.values["step_up"].size


def mean(values: np.ndarray, sigma: np.ndarray, unit: str = "") -> Estimate:
    """Mean over devices with the interval of Student's t; of one device, that of its own uncertainty."""
    value, count = float(values.mean()), values.size
    if count == 1:
        wide = 1.96 * float(sigma[0])
        return Estimate(value, value - wide, value + wide, unit) if wide > 0 else Estimate(value, np.nan, np.nan, unit)
    wide = float(stats.t.ppf(0.975, count - 1) * values.std(ddof=1) / count**0.5)
    return Estimate(value, value - wide, value + wide, unit)


def spread(values: np.ndarray, sigma: np.ndarray) -> Estimate:
    """Standard deviation among devices, their own uncertainty taken out, with the interval of chi squared."""
    count = values.size
    if count == 1:
        return Estimate(np.nan, np.nan, np.nan)
    total, uncertainty = float(values.var(ddof=1)), float(np.mean(sigma**2))
    ends = (count - 1) * total / stats.chi2.ppf([0.975, 0.025], count - 1)
    value, low, high = (max(v - uncertainty, 0.0) ** 0.5 for v in (total, *ends))
    return Estimate(value, low, high)


def estimates(population: Population, noise: Noise, unit: str) -> dict[str, Estimate]:
    """Every number of the datasheet with its interval, in levels of the file or relative."""
    values, sigma, half = population.values, population.sigma, population.half
    up, down = values["step_up"], values["step_down"]
    both = {} if population.family.one_sided else {"step_down": mean(down, sigma["step_down"], unit)}
    numbers = {"step_up": mean(up, sigma["step_up"], unit)} | both
    numbers |= {name: mean(values[name], sigma[name], unit) for name in ("g_min", "g_max")}
    wide = float(stats.t.ppf(0.975, population.count - 1)) if population.count > 3 else 1.96
    numbers |= {
        n: Estimate(v, v - wide * population.shared_sigma[n], v + wide * population.shared_sigma[n]) for n, v in population.shared.items()
    }
    step = up if population.family.one_sided else (up + down) / 2
    step_sigma = sigma["step_up"] if population.family.one_sided else np.hypot(sigma["step_up"], sigma["step_down"]) / 2
    middle, width = mean(step, step_sigma), population.high - population.low
    numbers["states"] = Estimate(width / middle.value, width / middle.high, width / middle.low if middle.low > 0 else np.inf)
    if not population.family.one_sided:
        apart, apart_sigma = (up - down) / step, np.hypot(sigma["step_up"], sigma["step_down"]) / step
        numbers["asymmetry"] = _wider(mean(apart, apart_sigma), population)
        numbers["symmetry_point"] = mean(population.symmetry, np.zeros(population.count), unit)
    relative_up, relative_down = up / up.mean(), down / down.mean()
    relative_sigma = step_sigma / step
    numbers["spread.step"] = spread((relative_up + relative_down) / 2, relative_sigma)
    if not population.family.one_sided:
        numbers["spread.asymmetry"] = spread((relative_up - relative_down) / 2, relative_sigma)
    numbers |= {f"spread.{name}": spread(values[name] / half, sigma[name] / half) for name in ("g_min", "g_max")}
    name = "cycle_noise" if noise.kind == "relative" else "cycle_noise_additive"
    numbers[name] = Estimate(*noise.write)
    numbers["read_noise"] = Estimate(*noise.read, unit)
    return numbers


def _wider(asymmetry: Estimate, population: Population) -> Estimate:
    """The interval of the asymmetry widened by what is not known of where mid-range lies: asymmetry changes along the range."""
    if population.count == 1:
        return asymmetry
    middle = mean((population.values["g_max"] + population.values["g_min"]) / 2, np.zeros(population.count))
    reach = population.asymmetry_slope * (middle.high - middle.value)
    wide = float(np.hypot(asymmetry.high - asymmetry.value, reach))
    return Estimate(asymmetry.value, asymmetry.value - wide, asymmetry.value + wide)


def law(values: np.ndarray) -> str:
    """Law of the spread of steps: lognormal where that is clearly the likelier."""
    if values.size < _FEW or (values <= 0).any():
        return "normal"
    logs = np.log(values)
    normal = -values.size * np.log(values.std())
    lognormal = -values.size * np.log(logs.std()) - logs.sum()
    return "lognormal" if lognormal > normal + _SURE else "normal"


def device(
    population: Population,
    numbers: dict[str, Estimate],
    *,
    name: str,
    source: str,
    unit: str,
    span_S: tuple[float, float],
    extra: PlainData,
) -> Device:
    """The datasheet: levels laid on conductances, each number with the words "measured" or "assumed".

    Args:
        extra: further fields of the device, such as its retention. span_S: range in S where the unit of the file is not S.
    """
    known = unit == "S"
    low, high = (max(population.low, 0.0), population.high) if known else span_S
    scale = 1.0 if known else (high - low) / (population.high - population.low)
    steps = {n: float(population.values[n].mean() * scale) for n in ("step_up", "step_down")}
    wanted = ("spread.step", "spread.asymmetry", "spread.g_max", "spread.g_min")
    spreads = {n.removeprefix("spread."): numbers[n].value for n in wanted if n in numbers and np.isfinite(numbers[n].value)}
    noise = {n: numbers[n].value for n in ("cycle_noise", "cycle_noise_additive") if n in numbers}
    rest = {"read_noise": numbers["read_noise"].value * scale, "spread": {n: v for n, v in spreads.items() if v > 0}} | noise
    plain = {
        "name": name,
        "description": f"fitted to {source}: {population.count} device{'s' if population.count > 1 else ''}",
        "g_min": low,
        "g_max": high,
        "response": {"kind": population.family.kind_name()} | steps | population.shared,
        "spread_law": law(population.values["step_up"] + population.values["step_down"]),
    }
    return Device.of(plain | rest | extra | {"sources": _sources(population, numbers, source, known) | extra.get("sources", {})})


def _sources(population: Population, numbers: dict[str, Estimate], source: str, known: bool) -> dict[str, str]:
    def words(name: str) -> str:
        e = numbers[name]
        interval = f", 95 % interval {e.low:.4g} to {e.high:.4g}" if np.isfinite([e.low, e.high]).all() else ""
        return f"measured ({source}): {e.value:.4g}{' ' + e.unit if e.unit else ''}{interval}"

    names = {"response.step_up": "step_up", "response.step_down": "step_down"} | {f"response.{n}": n for n in population.shared}
    sources = {field: words(n) if n in numbers else "assumed: steps down were not measured" for field, n in names.items()}
    assumed = "assumed: the file is not in siemens; its range {} to {} is laid here"
    for field in ("g_min", "g_max"):
        sources[field] = words(field) if known else assumed.format(f"{population.low:.4g}", f"{population.high:.4g}")
    apart = [f"{n.removeprefix('spread.')} {words(n)}" for n in numbers if n.startswith("spread.")]
    sources["spread"] = "; ".join(apart) if population.count > 1 else "assumed: none, as one device was measured"
    return sources | {n: words(n) for n in ("cycle_noise", "cycle_noise_additive", "read_noise") if n in numbers}
