"""XOR learned on a 5 x 5 array of oxide-transistor capacitor cells (6T-1C), by the protocol of the array's control program.

Published (the program): hidden weights in rows 0, 2 and columns 0, 2, 4, output weights in rows 1, 3, 4 of column 1, nine cells in
all; biases are digital and never learn; samples 00, 01, 10, 11 in turn. A weight is the difference of two currents read one after the
other, on a 10-bit converter, less a digital reference of its cell, 200 counts to the unit; the initial weight is an offset in that
reference. Inputs are slots of time, 2000 at most. A cell gets ceil(100 |dw|) pulses, 300 at most, alone. An error below 0.1 is driven
backward tenfold. The program also drives 0 and full scale backward, and reads all rows after each update, for its digital copy of the
weights. Before, zeroing; what the program then measures of the ends of each window is left out.

As meant, and not as written there: the sign of the error reaches the hidden layer, and the weights of the second input learn.

Chosen here:
- Width of a pulse. The measured cell steps 0.44 counts in 100 ns in the middle of its window, and 2.1 times that in 200 ns. A pulse of
  1 us is taken as ten of these, 4.4 counts or 0.022 of a weight, so that 100 pulses for dw = 1 are a learning rate of 2.2. Where dw is
  to be met exactly, 100 pulses ask for 2 counts each; nearly these, with four portions of 100 ns, stand beside. Pulses of zero width
  last what a processor needs between two writes: one portion. The noise of a portion is that of the catalogue, independent from
  portion to portion.
- Spread from cell to cell as in `examples/papers/leak_and_reference.py`, since one cell was measured.
- Starts: the program's own initial weights, each moved by up to 2.5 either way. Those of its random start (whole numbers -5..0 in the
  hidden layer, -8..8 in the output) stand beside: cells can move a weight by 3.35 only, and most of them are farther from a solution.
  With fewer counts to the unit more of them are within reach (pulses per weight in proportion, so that the learning rate stays).
- The converter sees cells less their zeros; on the chip these are subtracted behind it, so that its ends lie elsewhere for each cell.
- Time: slots and guards as the program asks for them; what the processor takes between is left out.
- Energy: conductance, voltages and technology are assumed; the work of the processor is left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypedDict, Unpack

import numpy as np
import torch

from aimco import rng
from aimco.arrays.spec import ArraySpec
from aimco.cost import price
from aimco.design import Design
from aimco.device.device import Device
from aimco.ledger import Counts
from aimco.mapping import AnalogMatrix
from aimco.reference import Row, Settings

SOURCE = (
    "control program of the 5 x 5 array of IGZO 6T-1C cells (Yoon 2023, github.com/Gabriel-Yoon/IGZO_XOR): 2-3-1 on 9 of 25 cells; "
    "the device is the one measured cell of the catalogue"
)
NEEDS = None

LEARNED = 0.3  # largest distance of an output from its target that counts as learned
EPOCHS, QUICK_EPOCHS = 100, 40  # of four samples
STARTS, MANY_STARTS, ASKED = 10, 100, 9
SIZE, INPUTS, HIDDEN, DRIVEN, OUTPUT = 5, (0, 2), (0, 2, 4), (1, 3, 4), 1  # lines of the array
COUNTS_PER_WEIGHT = 200
WINDOW = 670  # counts from the middle of the window of a cell to its ends
SPREAD = {"step": 0.1, "asymmetry": 0.06, "resting_g": 0.1}
SLOTS, MOST_PULSES, PULSES_PER_WEIGHT = 2000, 300, 100
PORTIONS, EXACT_PORTIONS = 10, 4  # of 100 ns in a pulse: 1 us; what meets dw with 2 counts for each hundredth, nearly
READ_S = 2 * (1e-6 + SLOTS * 1e-6 + 10e-6) + 20e-6  # set, slots, settle; twice, and the wait between
PULSE_S, ZERO_WIDTH_S = 5e-6, 4e-6  # with 1 us before, to enable, to disable and after
ZEROING_ROUNDS, ZEROING_PULSES = 10, 3000
SMALL, AMPLIFIED = 0.1, 10.0

X = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
T = torch.tensor([0.0, 1.0, 1.0, 0.0])
BIAS_HIDDEN, BIAS_OUTPUT = torch.tensor([1.6303, 4.9258, -0.3763]), -2.9429
START_HIDDEN = torch.tensor([[-4.8384, -2.5380, -0.0782], [-4.5076, -2.4469, -2.0661]])
START_OUTPUT = torch.tensor([-7.2057, 6.5687, 0.6730])
_MOVED = 2.5
_READING = ("read", "dac", "adc")
_HOUR = 3600.0


def design(counts_per_weight: float = COUNTS_PER_WEIGHT) -> Design:
    """The array and its converters in the fields of a design.

    A DAC of 2000 levels is the time-coded input. Two readings of 10 bits are subtracted, so that the ADC has 1023 levels on either
    side of zero, one count each.
    """
    cell = Device.named("igzo-6t1c").replace("spread", SPREAD)
    volt = 0.2
    return Design.of(
        {
            "device": cell.as_dict(),
            "cell": {"kind": "capacitor6t1c", "weight_max": WINDOW / counts_per_weight},
            "array": {"rows": SIZE, "cols": SIZE},
            "periphery": {
                "read_voltage": volt,
                "read_s": READ_S,
                "pulse_s": 1e-6 / PORTIONS,
                "update_voltage": 5.0,
                "dac": {"bits": 1 + math.log2(SLOTS + 1)},
                "adc": {"bits": 11.0, "range_A": 1023 / WINDOW * float(cell.half_range) * volt},
                "noise_management": "none",
                "bound_management": "none",
            },
            "technology": "igzo-1um",
        }
    )


class ChipOptions(TypedDict, total=False):
    """As of `Chip`."""

    counts_per_weight: float
    portions: int


class Chip:
    """The array, the program's digital references, and the seconds that the protocol takes.

    Args:
        start: initial weights, (E, 5, 5), kept as offsets in the references. seeds: of the cells, one for each member.
        counts_per_weight: counts that are a weight of one. portions: of 100 ns in a pulse.
    """

    def __init__(
        self, start: torch.Tensor, seeds: tuple[int, ...], *, counts_per_weight: float = COUNTS_PER_WEIGHT, portions: int = PORTIONS
    ) -> None:
        self.start, self.design, self.portions = start, design(counts_per_weight), portions
        self.pulses_per_weight = PULSES_PER_WEIGHT * counts_per_weight / COUNTS_PER_WEIGHT
        self.matrix = AnalogMatrix(ArraySpec.of(self.design, "measured"), SIZE, SIZE, seeds=seeds, names=("igzo xor",))
        self.reading_s, self.writing_s = 0.0, np.zeros(len(seeds))

    def zero(self) -> float:
        """Pulses of zero width in blocks, then up and down in turn; what is then read is the zero of each cell. Returns seconds."""
        block = torch.full(self.matrix.shape, ZEROING_PULSES, dtype=torch.int32)
        for _ in range(ZEROING_ROUNDS):
            self.matrix.pulse_rows(block)
            self.matrix.pulse_rows(-block)
        pairs = ZEROING_ROUNDS * ZEROING_PULSES
        self.matrix.pulse_up_down(2 * pairs)
        seconds = 2 * 2 * pairs * SIZE * ZERO_WIDTH_S + SIZE * READ_S
        self.matrix.elapse(seconds)
        self.matrix.set_reference(self.matrix.read_rows())
        return seconds

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Weighted sums of the columns (E, B, 5) of times on the rows, what cells hold and offsets together."""
        self.reading_s += x.shape[1] * READ_S
        return self.matrix.mvm(x) + torch.bmm(x, self.start)

    def backward(self, d: torch.Tensor) -> torch.Tensor:
        """Errors (E, 1, 5) at the rows of the error d (E, 1) of the output: driven by 0, by full scale and by the error.

        What 0 gives is subtracted; the drive at full scale, by which the program scales, takes its time and its energy.
        """
        gain = torch.where(d.abs() < SMALL, AMPLIFIED, 1.0)
        drives = torch.zeros(d.shape[0], 3, SIZE)
        drives[:, 1, OUTPUT], drives[:, 2, OUTPUT] = 1.0, (gain * d.abs())[:, 0]
        nothing, _, driven = self.matrix.mvm_t(drives).unbind(1)
        self.reading_s += drives.shape[1] * READ_S
        error = torch.sign(d) / gain * (driven - nothing)
        return (error + d * self.start[:, :, OUTPUT])[:, None]

    def write(self, change: torch.Tensor) -> None:
        """Pulses on one cell after the other towards a change of weights (E, 5, 5); then all rows are read for the digital copy."""
        count = pulses(change, self.pulses_per_weight)
        self.matrix.pulse_rows((self.portions * count).to(torch.int32))
        self.writing_s += count.abs().sum((1, 2)).double().numpy() * PULSE_S
        self.matrix.read_rows()
        self.reading_s += SIZE * READ_S

    @property
    def seconds(self) -> np.ndarray:
        """Seconds of reading and writing so far, (E,)."""
        return self.reading_s + self.writing_s


def pulses(change: torch.Tensor, per_weight: float = PULSES_PER_WEIGHT) -> torch.Tensor:
    """Pulses for a change of weight: ceil(100 |dw|), 300 at most, with its sign."""
    return torch.sign(change) * torch.ceil(per_weight * change.abs()).clamp(max=MOST_PULSES)


def answer(chip: Chip, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Hidden activities (E, B, 3) and outputs (E, B) of inputs (B, 2), layer after layer through the array."""
    members = chip.matrix.shape[0]
    rows, middle = torch.zeros(members, len(x), SIZE), torch.zeros(members, len(x), SIZE)
    rows[..., INPUTS] = x
    hidden = torch.sigmoid(chip.forward(rows)[..., HIDDEN] + BIAS_HIDDEN)
    middle[..., DRIVEN] = hidden
    return hidden, torch.sigmoid(chip.forward(middle)[..., OUTPUT] + BIAS_OUTPUT)


def learn(chip: Chip, x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """One sample: forward, backward, pulses, and the time it took as leak. Returns the outputs (E,) before.

    dw = h e at the output and x e w h (1 - h) at the hidden layer, e = target - output.
    """
    before = chip.seconds
    hidden, out = answer(chip, x[None])
    d = target - out
    at_hidden = chip.backward(d)[..., DRIVEN] * hidden * (1 - hidden)
    change = torch.zeros(chip.matrix.shape)
    change[:, DRIVEN, OUTPUT] = (hidden * d[..., None])[:, 0]
    for row, value in zip(INPUTS, x, strict=True):
        change[:, row, HIDDEN] = value * at_hidden[:, 0]
    chip.write(change)
    chip.matrix.elapse(chip.seconds - before)
    return out[:, 0]


def train(chip: Chip, epochs: int, settings: Settings, label: str) -> np.ndarray:
    """Outputs (epochs, 4, E) as they came while learning."""
    curve = np.empty((epochs, len(X), len(chip.matrix.seeds)))
    for epoch in range(epochs):
        for k in range(len(X)):
            curve[epoch, k] = learn(chip, X[k], T[k]).numpy()
        if settings.on_step:
            settings.on_step(label, (epoch + 1) / epochs)
    return curve


def worst(outputs: np.ndarray) -> np.ndarray:
    """Largest distance of the four outputs (..., 4, E) from their targets."""
    return np.abs(outputs - T.numpy()[:, None]).max(-2)


def near_program(seeds: tuple[int, ...]) -> torch.Tensor:
    """The program's initial weights, each moved by up to 2.5 either way, (E, 5, 5)."""
    u = torch.from_numpy(2 * rng.uniform(rng.stream_keys(seeds, "igzo xor", "start"), 0, 9) - 1).float()
    return placed(START_HIDDEN + _MOVED * u[:, :6].reshape(-1, 2, 3), START_OUTPUT + _MOVED * u[:, 6:])


def at_random(seeds: tuple[int, ...]) -> torch.Tensor:
    """The program's random start: whole numbers -5..0 in the hidden layer and -8..8 in the output, (E, 5, 5)."""
    u = torch.from_numpy(rng.uniform(rng.stream_keys(seeds, "igzo xor", "random start"), 0, 9))
    return placed((6 * u[:, :6]).floor().float().reshape(-1, 2, 3) - 5, (17 * u[:, 6:]).floor().float() - 8)


def placed(hidden: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
    """Hidden (E, 2, 3) and output (E, 3) weights in their places of the array, (E, 5, 5)."""
    weights = torch.zeros(len(hidden), SIZE, SIZE)
    for k, row in enumerate(INPUTS):
        weights[:, row, HIDDEN] = hidden[:, k]
    weights[:, DRIVEN, OUTPUT] = output
    return weights


def energy(chip: Chip, since: Counts, portions: int = 1, together: int = 1) -> np.ndarray:
    """Mean joules of (reading, writing) since some counts.

    Args:
        portions: pulses of 100 ns in a pulse, which charges its lines once. together: cells of a row that are pulsed at once.

    Each vector is read, driven and converted twice; `read_s` is the time of both.
    """
    done, energies = chip.matrix.counts - since, []
    for e in range(len(chip.matrix.seeds)):
        n = done.member(e)
        sent = n["coincidences"] / portions
        ledger = Counts(cell_reads=n["cell_reads"], dac=2 * n["dac"], adc=2 * n["adc"], coincidences=n["coincidences"])
        ledger.add(row_pulses=sent / together, column_pulses=sent)
        joules = price(chip.design, {"array": {"W": ledger}}, shapes={"array": {"W": (SIZE, SIZE)}}).energy_J
        energies.append((sum(joules[part] for part in _READING), joules["update"]))
    return np.mean(energies, 0)


@dataclass(frozen=True)
class Run:
    """What a run of the protocol left.

    Args:
        outputs: (epochs, 4, E). zeroing_s, reading_s, writing_s: seconds, the last two of learning. first_writing: share of the first
            epoch spent writing. zeroing_J, reading_J, writing_J: joules. rested: worst distance after an hour and after tau, (2, E).
    """

    outputs: np.ndarray
    zeroing_s: float
    reading_s: float
    writing_s: float
    first_writing: float
    zeroing_J: float
    reading_J: float
    writing_J: float
    rested: np.ndarray


def whole(settings: Settings) -> Run:
    """Zeroing, learning from ten starts near the program's, and what is left of it after a rest."""
    seeds = tuple(range(STARTS * settings.seed, STARTS * (settings.seed + 1)))
    chip = Chip(near_program(seeds), seeds)
    zeroing_s, zeroed = chip.zero(), chip.matrix.counts
    zeroing_J = float(energy(chip, Counts(), together=SIZE).sum())
    first = train(chip, 1, Settings(), "first epoch")
    first_writing = float(np.mean(chip.writing_s / chip.seconds))
    later = train(chip, (QUICK_EPOCHS if settings.quick else EPOCHS) - 1, settings, "starts near the program's")
    reading_J, writing_J = energy(chip, zeroed, portions=chip.portions)
    seconds, rested, waited = (chip.reading_s, float(np.mean(chip.writing_s))), [], 0.0
    for wait in (_HOUR, float(chip.design.device.retention_s)):
        chip.matrix.elapse(wait - waited)
        waited = wait
        rested.append(worst(answer(chip, X)[1].T.numpy()))
    outputs = np.concatenate((first, later))
    return Run(outputs, zeroing_s, *seconds, first_writing, zeroing_J, float(reading_J), float(writing_J), np.stack(rested))


def share_learned(
    starts: Callable[[tuple[int, ...]], torch.Tensor], settings: Settings, label: str, **options: Unpack[ChipOptions]
) -> float:
    """How many of a hundred starts are learned, %; options as those of `Chip`."""
    seeds = tuple(range(MANY_STARTS * settings.seed, MANY_STARTS * (settings.seed + 1)))
    chip = Chip(starts(seeds), seeds, **options)
    chip.zero()
    return 100 * float(np.mean(worst(train(chip, EPOCHS, settings, label)[-1]) < LEARNED))


def _hundreds(settings: Settings) -> list[Row]:
    """Shares of a hundred starts, for information."""
    third = COUNTS_PER_WEIGHT / 3
    variants: dict[str, tuple[Callable[[tuple[int, ...]], torch.Tensor], ChipOptions]] = {
        "near the program's": (near_program, {}),
        f"the same, pulses of {EXACT_PORTIONS / 10:g} us": (near_program, {"portions": EXACT_PORTIONS}),
        "the program's random starts": (at_random, {}),
        f"the same, {third:.0f} counts to the unit": (at_random, {"counts_per_weight": third}),
    }
    return [Row(f"{MANY_STARTS} starts, {n}", None, share_learned(at, settings, n, **o), None, "%") for n, (at, o) in variants.items()]


def run(settings: Settings) -> list[Row]:
    """Starts learned, then time and energy by kind of work; quick: fewer epochs, no hundreds of starts."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # products of an array this small are not worth sharing
    try:
        result = whole(settings)
        hundreds = [] if settings.quick else _hundreds(settings)
    finally:
        torch.set_num_threads(threads)
    distance = worst(result.outputs)
    return [
        Row(
            f"starts learned, of {STARTS} near the program's",
            None,
            int((distance[-1] < LEARNED).sum()),
            0.0,
            "",
            expected=ASKED,
            limit="at least",
            why="a demand of this program: nothing was published",
        ),
        Row("the same in the first epoch", None, int((distance[0] < LEARNED).sum()), None, ""),
        Row("largest distance of an output from its target, median of starts", None, float(np.median(distance[-1])), None, ""),
        *(Row(f"still learned of {STARTS} after {n} without pulses", None, int((w < LEARNED).sum()), None, "") for n, w in _rests(result)),
        *hundreds,
        *_times(result),
        *_energies(result),
    ]


def _rests(result: Run) -> list[tuple[str, np.ndarray]]:
    return list(zip(("1 h", "775 min"), result.rested, strict=True))


def _times(result: Run) -> list[Row]:
    reading, writing, samples = result.reading_s, result.writing_s, result.outputs.shape[0] * len(X)
    percent = 100 / (reading + writing)
    return [
        Row("time of zeroing", None, result.zeroing_s, None, "s"),
        Row("time of learning", None, reading + writing, None, "s"),
        Row("reading, of the time of learning", None, reading * percent, None, "%"),
        Row("reading for the digital copy alone", None, samples * SIZE * READ_S * percent, None, "%"),
        Row("writing, of the time of learning", None, writing * percent, None, "%"),
        Row("writing, of the time of the first epoch", None, 100 * result.first_writing, None, "%"),
        Row("pulses per sample", None, writing / PULSE_S / samples, None, ""),
    ]


def _energies(result: Run) -> list[Row]:
    learning = result.reading_J + result.writing_J
    return [
        Row("energy of zeroing (assumed technology)", None, 1e6 * result.zeroing_J, None, "uJ"),
        Row("energy of learning (assumed technology)", None, 1e6 * learning, None, "uJ"),
        Row("reading, of the energy of learning", None, 100 * result.reading_J / learning, None, "%"),
        Row("writing, of the energy of learning", None, 100 * result.writing_J / learning, None, "%"),
    ]
