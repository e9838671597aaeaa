"""Two phase-change devices and six transistors: read forward and backward at once, written by spikes."""

from typing import ClassVar

from pydantic import Field

from aimco.cell.pair import Pair


class Pair6t2r(Pair):
    """6T-2R cell: w = weight_max (g+ - g-) / (g_max - g_min), like a pair, with a path of its own for each of its works.

    Of the six transistors each device has one gated by the word line of the forward neuron (its current goes to the membrane of a
    column), one by the backward neuron (to the membrane of a row) and one by the spike pair that sets it; so forward and backward
    reads and partial SETs do not wait for each other. Both devices are only ever raised; refresh is that of a pair, rarer, as
    spikes raise them less often than gradients do.
    Source: Kim 2015 (IEDM, 2T-1R core), Ishii 2019 (IEDM).
    """

    transistors: ClassVar[int] = 6

    refresh_every: int | None = Field(default=10_000, ge=1, le=1_000_000_000, description="updates between refreshes")
