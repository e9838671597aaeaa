"""The phases of a run: what was counted, and is priced, when first weights were written, in training and in inference."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from aimco.cost.price import PARTS, Price, price
from aimco.design import Design
from aimco.ledger import Counts, Ledgers, counts_of, tensors_of
from aimco.nn.layers import analog_layers, counts
from aimco.plain_data import Saved

PHASES = {
    "write": "first weights, and references that the rule finds at the start",
    "train": "training samples: reads, transposed reads, updates, and what the rule does between them",
    "infer": "test samples",
}


class Phases:
    """Counts of a model by phase: whatever is counted belongs to the phase that ends next.

    Args:
        model: any network with analog parts, just built.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.shapes = {name: layer.shapes for name, layer in analog_layers(model).items()}
        self.sums: dict[str, dict[str, dict[str, Counts]]] = {phase: {} for phase in PHASES}
        self._seen: Ledgers = {}

    def end(self, phase: str) -> None:
        """What was counted since the last end was of this phase."""
        before, self._seen = self._seen, counts(self.model)
        for layer, ledgers in self._seen.items():
            sums = self.sums[phase].setdefault(layer, {})
            for name, done in ledgers.items():
                sums[name] = sums.get(name, Counts()) + (done - before.get(layer, {}).get(name, Counts()))

    def member(self, phase: str, e: int) -> dict[str, dict[str, Counts]]:
        """Ledgers of a phase of one ensemble member."""
        return {layer: {name: c.member(e) for name, c in ledgers.items()} for layer, ledgers in self.sums[phase].items()}

    def checkpoint(self) -> Saved:
        """What a later run needs to go on."""
        return {
            phase: {layer: {name: tensors_of(c) for name, c in ledgers.items()} for layer, ledgers in sums.items()}
            for phase, sums in self.sums.items()
        }

    def restore(self, saved: Saved) -> None:
        """Go on from a checkpoint of these phases, with the model as it was then."""
        self.sums = {
            phase: {layer: {name: counts_of(c) for name, c in ledgers.items()} for layer, ledgers in sums.items()}
            for phase, sums in saved.items()
        }
        self._seen = counts(self.model)


def check_price(design: Design, phases: Phases) -> None:
    """Price what a model has done so far, so that a design that cannot be priced is refused before it is trained.

    Raises:
        InputError: As of `price`.
    """
    done = {layer: {name: c.member(0) for name, c in ledgers.items()} for layer, ledgers in counts(phases.model).items()}
    price(design, done, shapes=phases.shapes, both_sides=design.rule.on_chip)


def bill(design: Design, phases: Phases, e: int, samples: Mapping[str, int]) -> tuple[dict[str, float], dict[str, float], float]:
    """Energy (J) by part and phase, time (s) by phase, and area (m^2) of one ensemble member.

    Totals are the sums of the phases. What a sample takes is that of its phase over its samples, and is 0 where there were none.

    Args:
        samples: of the phases train and infer.
    """
    both_sides = design.rule.on_chip  # arrays that are only read have no converters for transposed reads
    prices = {phase: price(design, phases.member(phase, e), shapes=phases.shapes, both_sides=both_sides) for phase in PHASES}
    energy = {part: sum(p.energy_J[part] for p in prices.values()) for part in (*PARTS, "total")}
    return energy | _by_phase(prices, "energy_J", samples), _times(prices, samples), prices["train"].area_m2


def _times(prices: Mapping[str, Price], samples: Mapping[str, int]) -> dict[str, float]:
    return {"total": sum(p.latency_s for p in prices.values())} | _by_phase(prices, "latency_s", samples)


def _by_phase(prices: Mapping[str, Price], amount: str, samples: Mapping[str, int]) -> dict[str, float]:
    """An amount of each phase, and of one sample of training and of inference."""
    spent = {phase: p.energy_J["total"] if amount == "energy_J" else p.latency_s for phase, p in prices.items()}
    each = {f"{name}_sample": spent[phase] / max(samples[phase], 1) for name, phase in (("training", "train"), ("inference", "infer"))}
    return spent | each


def by_operation(phases: Phases, e: int) -> dict[str, Counts]:
    """Totals of the counts of each phase of one ensemble member, by operation."""
    return {phase: Counts.total(c for arrays in phases.member(phase, e).values() for c in arrays.values()) for phase in PHASES}
