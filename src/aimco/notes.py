"""Notes of a result: approximations in force, and what of a design is hardly meant."""

from __future__ import annotations

from collections.abc import Mapping

from aimco.cost.technology import Technology
from aimco.design import Design
from aimco.device.device import Device
from aimco.nn.layers import Arrays
from aimco.rule_trial import rule_notes


def notes(design: Design, layers: Mapping[str, Arrays], member: int, samples: int, priced_s: float) -> list[str]:
    """All notes of a run.

    Args:
        design: of the run.
        layers: of the network.
        member: of the ensemble.
        samples: to train with.
        priced_s: what one of them takes, s.
    """
    return _training_notes(design, samples) + _approximations(design, layers, member) + _time_notes(design, priced_s)


def leaks(design: Design) -> bool:
    """Whether time changes any device of the arrays that the rule asks for."""
    return any(device.leaks for device in _devices(design))


def _devices(design: Design) -> list[Device]:
    """Every device of the arrays that the rule asks for, at each place of their cells."""
    return [device for array_device in _array_devices(design) for device in design.cell.devices(array_device)]


def _array_devices(design: Design) -> list[Device]:
    """What each array that the rule asks for is made of."""
    return [spec.device or design.device for spec in design.rule.arrays().values()]


def only_rises(design: Design) -> bool:
    """Whether updates would lower a device that pulses can only raise."""
    lowered = {place for _, _, taking in design.cell.route(0, 1) for place, take in taking if not take}
    return any(devices[place].response.one_sided for devices in map(design.cell.devices, _array_devices(design)) for place in lowered)


def _training_notes(design: Design, samples: int) -> list[str]:
    """Schedules that are hardly meant."""
    remarks, batch = rule_notes(design.rule, design.device, design.cell), design.training.batch
    if getattr(design.rule, "lr", None) == 0:
        remarks.append("rule.lr is 0: nothing is learned")
    if batch > samples:
        remarks.append(f"training.batch {batch} is larger than the {samples} training samples: one step per epoch")
    return remarks


def _time_notes(design: Design, priced_s: float) -> list[str]:
    """Whose time devices leaked for, where that is not the priced one."""
    asked = design.training.sample_s
    if asked is None or not priced_s or not leaks(design):
        return []
    return [f"devices leak for training.sample_s = {asked:.3g} s a sample; latency_s is of the operations, {priced_s:.3g} s a sample"]


def _approximations(design: Design, layers: Mapping[str, Arrays], member: int) -> list[str]:
    """Approximations in force."""
    remarks, parts, wires = list(design.rule.notes()), list(layers.values()), design.array.wires
    remarks += [note for part in parts for note in part.notes(member)]
    remarks += design.array.notes() if parts else []
    devices = _devices(design) if any(part.matrices for part in parts) else []
    remarks += dict.fromkeys(note for device in devices for note in device.notes())
    remarks += design.network.notes(Technology.named(design.technology))
    if devices and only_rises(design):
        remarks.append("the device is one-sided: weights can only rise; a cell of two, as cell.kind = 'pair', would let them fall")
    if parts and design.cell.transfers and not design.rule.transfers:
        remarks.append("the pairs of the cells keep the first weights: rule.kind = 'weight-transfer' would move to them what is learned")
    if design.network.taught == "layers" and any(m.arrays > 1 for part in parts for m in part.matrices.values()):
        remarks.append("matrices larger than the array are cut; partial sums are added digitally")
    if any(device.half_select is not None for device in devices):
        remarks.append("half-selected devices move by their mean steps, after each batch or write")
    if parts and wires is not None and not wires.ideal:
        remarks.append("wires drop voltage in reads; pulses and write-and-verify reach each device at full voltage")
        if design.network.taught == "layers" and wires.method == "first-order":
            remarks.append("reads through wires are right to first order in their resistance")
    return remarks
