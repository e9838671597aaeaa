"""What a device is like, in a few words and as a card for notebooks with its mean pulse response."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np

from aimco import html_parts
from aimco.device.response import Parameters
from aimco.device.sampled import draw_devices
from aimco.units import suited, text

if TYPE_CHECKING:
    from aimco.device.datasheet import Datasheet

_POINTS = 100  # of each half of a cycle that are drawn
_MOST_PULSES = 12_000  # of each half of a cycle


def facts(device: Datasheet) -> dict[str, str]:
    """Range, states, asymmetry, retention and response, in words."""
    return {
        "range": f"{text(device.g_min, 'S')} to {text(device.g_max, 'S')}",
        "states": f"{device.states:.0f}",
        "asymmetry": f"{100 * device.asymmetry:.0f} +- {100 * device.spread.get('asymmetry', 0):.0f} %",
        "retention": retention(device),
        "response": device.response.kind,
    }


def retention(device: Datasheet) -> str:
    """How long a state is held, in words."""
    tau = device.retention_s
    if device.drift:
        return "drifts"
    return "no leak" if tau == float("inf") else f"{tau:.3g} s" if tau < 600 else f"{tau / 60:.3g} min"


def words(device: Datasheet) -> list[str]:
    """The parts of its `repr`."""
    if any(np.ndim(value) for value in (device.g_min, device.g_max, device.states, device.retention_s, device.response.step_up)):
        return [device.name, "ensemble"]
    named = facts(device) | {"states": f"{device.states:.0f} states", "asymmetry": f"asymmetry {facts(device)['asymmetry']}"}
    return [device.name, *named.values()]


def html(device: Datasheet, notes: Sequence[str]) -> str:
    """A card: the facts, a cycle of mean pulses, what is noted."""
    rows = facts(device) | ({"description": device.description} if device.description else {})
    return html_parts.card(device.name, html_parts.facts(rows), _picture(device), html_parts.listed(notes))


def _picture(device: Datasheet) -> str:
    pulses, g = mean_cycle(device)
    unit = suited(device.g_max, "S")
    beside = f"conductance ({unit.symbol}), without noise and spread"
    return html_parts.chart(pulses, [value / unit for value in g], below="pulse", beside=beside)


def mean_cycle(device: Datasheet) -> tuple[list[float], list[float]]:
    """A cycle of up and then down pulses on the nominal device, without noise.

    Returns:
        Numbers of pulses, and the conductance after each, S. A response known by its whole pulse takes its median pulse.
    """
    p = _parameters(device)
    each = int(min(max(device.states, 20), _MOST_PULSES))
    every = max(1, each // _POINTS)
    state, pulses, states = p.g_min, [0.0], [p.g_min]
    for half, up in enumerate((True, False)):
        for k in range(1, each + 1):
            state = min(max(_after(device, state, up, p), p.g_min), p.g_max)
            if k % every == 0 or k == each:
                pulses.append(float(half * each + k))
                states.append(state)
    middle, unit = float(device.mid_range), float(device.half_range)
    return pulses, [middle + unit * s for s in states]


def _after(device: Datasheet, state: float, up: bool, p: Parameters) -> float:
    """The state after one pulse without noise."""
    family = type(device.response)
    whole = getattr(family, "pulse", None)
    return float(whole(state, 1, up, p, 0.0)) if whole else state + float(family.step(state, up, p))


def _parameters(device: Datasheet) -> SimpleNamespace:
    """What the response reads as p.NAME, of the nominal device."""
    quiet = {"spread": {}, "cycle_noise": 0.0, "cycle_noise_additive": 0.0, "cycle_noise_range": 0.0}
    sampled = draw_devices(device.model_copy(update=quiet), (1, 1), (0,), "picture")
    tables = {name: np.asarray(v) if np.ndim(v) else float(v) for name, v in device.response.tables().items()}
    return SimpleNamespace(**{name: float(t.reshape(-1)[0]) for name, t in sampled.values.items()}, **tables)
