"""The devices of a study, and what each has where a requirement asks for something."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence

from aimco.device.device import Device
from aimco.device.requirement import Judged, Requirement, value_text
from aimco.record import InputError
from aimco.studies.trial import Trial

_MOST = 6  # devices that are shown
_WORDS = {True: "passes", False: "FAILS", None: ""}


def devices(trials: Sequence[Trial]) -> dict[str, Device]:
    """Distinct devices by name, the first of the trials; those that share a name are told apart by a trial that has them."""
    entries: dict[str, tuple[Device, Trial]] = {}
    for trial in trials:
        device = _device(trial)
        if device is not None and len(entries) < _MOST:
            entries.setdefault(device.hash(), (device, trial))
    names = [d.name for d, _ in entries.values()]
    return {d.name if names.count(d.name) == 1 else f"{d.name}, trial {t.number}": d for d, t in entries.values()}


def _device(trial: Trial) -> Device | None:
    """The device of a trial, where its design can be read here: a user's own file may be elsewhere."""
    try:
        data = tomllib.loads(trial.design).get("device")
        return None if data is None else Device.of(data) if isinstance(data, dict) else Device.named(data)
    except (tomllib.TOMLDecodeError, InputError):
        return None


def tolerances(trials: Sequence[Trial], required: Sequence[Requirement]) -> list[dict[str, str]]:
    """Rows of a table: each line of each requirement, and every device of `devices` on it."""
    by_name = devices(trials) if required else {}
    rows = []
    for requirement in required:
        verdicts = {name: requirement.verdict(device) for name, device in by_name.items()}
        for k, line in enumerate(requirement.lines):
            judged = {name: _judged(verdict[k]) for name, verdict in verdicts.items()}
            rows.append({"requirement": requirement.name, "line": line.name, "asked": line.limit, **judged})
    return rows


def _judged(line: Judged) -> str:
    return f"{value_text(line.value, line.unit)} {_WORDS[line.passes]}".strip()
