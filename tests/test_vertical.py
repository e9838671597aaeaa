"""Three-dimensional arrays: reads and settling against ngspice, what heights lose, matrices laid out in layers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from aimco.arrays.vertical import VerticalArray, VerticalWires, placed, residual
from aimco.circuit import spice
from aimco.record import InputError

KINDS = {
    "combs": {},
    "planes": {"word_lines": "planes"},
    "neuron": {"sense_ohm": 2e4},
    "ideal lines": {"word_ohm": 0.0, "bit_ohm": 0.0},
    "ideal pillars": {"pillar_ohm": 0.0, "select_ohm": 0.0},
}


def cells(*shape: int, seed: int = 0) -> torch.Tensor:
    """.1 to 10 uS, a tenth of them 0."""
    draws = np.random.default_rng(seed)
    return torch.from_numpy(draws.uniform(1e-7, 1e-5, shape) * (draws.random(shape) > 0.1))


def volts(count: int, inputs: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).uniform(-0.3, 0.3, (count, inputs)))


@pytest.mark.parametrize("shape", [(3, 2, 4), (8, 8, 8)])
@pytest.mark.parametrize("kind", KINDS)
def test_reads_are_those_of_ngspice(ngspice, kind, shape):
    """Currents of bit lines and drivers to 1e-10 of the largest bit line's."""
    wires = VerticalWires(layers=shape[0], rows=shape[1], columns=shape[2], **KINDS[kind])
    array, v = VerticalArray(cells(*shape), wires), volts(1, wires.inputs)
    theirs = torch.from_numpy(spice.linear_currents(array.circuit, np.concatenate([v[0].numpy(), np.zeros(shape[2] + 1)])))
    ends = slice(wires.inputs, wires.inputs + shape[2])
    assert float((array.mvm(v)[0] - theirs[ends]).abs().max()) <= 1e-10 * float(theirs[ends].abs().max())


def test_one_row_of_transistors_reads_its_own_pillars(ngspice):
    """Planes with one row selected, as a memory is read: ngspice has it too, and the others leak through transistors that are off."""
    wires = VerticalWires(layers=4, rows=3, columns=5, word_lines="planes")
    array, v = VerticalArray(cells(4, 3, 5), wires, selected=[1]), volts(2, 4)
    theirs = spice.linear_currents(array.circuit, np.concatenate([v[0].numpy(), np.zeros(6)]))[4:9]
    assert np.abs(array.mvm(v)[0].numpy() - theirs).max() <= 1e-10 * np.abs(theirs).max()
    assert torch.allclose(array.mvm(v), v @ array.ideal, rtol=0.05, atol=1e-8)


@pytest.mark.parametrize("kind", KINDS)
def test_the_effective_matrix_makes_every_read_one_product(kind):
    wires = VerticalWires(layers=5, rows=3, columns=4, **KINDS[kind])
    array, v = VerticalArray(cells(5, 3, 4), wires), volts(6, wires.inputs)
    assert torch.allclose(array.mvm(v), v @ array.matrix, rtol=1e-9, atol=1e-18)


def test_without_resistance_a_read_is_the_product():
    none = dict.fromkeys(("word_ohm", "pillar_ohm", "select_ohm", "bit_ohm"), 0.0)
    array = VerticalArray(cells(3, 2, 4), VerticalWires(layers=3, rows=2, columns=4, **none))
    assert torch.allclose(array.matrix, array.ideal, rtol=1e-12)


def published(layers: tuple[int, ...]) -> dict[tuple[int, float], tuple[float, float]]:
    """Gain and residual of 16 x 16 pillars with 1 kOhm transistors and 1 Ohm at the bit lines' ends, drawn as for the table."""
    draws, errors = np.random.default_rng(0), {}
    for shape in ((4, 8, 8), (8, 16, 16), (16, 16, 16)):
        draws.uniform(size=shape), draws.uniform(size=shape[:2])
    for count in (4, 16, 64, 128):
        g, v = draws.uniform(1e-7, 1e-5, (count, 16, 16)), draws.uniform(-0.3, 0.3, (count, 16, 8))
        inputs = torch.from_numpy(v.reshape(-1, 8).T.copy())
        for ohm in (10.0, 100.0, 1000.0) if count in layers else ():
            array = VerticalArray(torch.from_numpy(g), VerticalWires(layers=count, rows=16, columns=16, pillar_ohm=ohm, sense_ohm=1.0))
            errors[count, ohm] = residual(array.mvm(inputs), inputs @ array.ideal)
    return errors


TABLE = {
    (4, 10.0): (0.959, 0.011),
    (4, 100.0): (0.957, 0.011),
    (4, 1000.0): (0.934, 0.019),
    (16, 10.0): (0.866, 0.027),
    (16, 100.0): (0.841, 0.037),
    (16, 1000.0): (0.670, 0.155),
    (64, 10.0): (0.586, 0.082),
    (64, 100.0): (0.446, 0.246),
    (64, 1000.0): (0.197, 1.16),
    (128, 10.0): (0.371, 0.194),
    (128, 100.0): (0.190, 0.83),
    (128, 1000.0): (0.049, 3.68),
}


@pytest.mark.parametrize("layers", [4, 16, pytest.param(64, marks=pytest.mark.slow), pytest.param(128, marks=pytest.mark.slow)])
def test_gain_and_residual_are_those_of_the_table(layers):
    """Within 2 %, and half of the last digit given."""
    for key, (gain, left) in published((layers,)).items():
        assert gain == pytest.approx(TABLE[key][0], rel=0.02, abs=5e-4)
        assert left == pytest.approx(TABLE[key][1], rel=0.02, abs=5e-4)


def test_a_gain_for_each_height_mends_what_pillars_do():
    """Far layers keep less; calibrated, the error of 1 kOhm per layer falls to less than half."""
    wires = VerticalWires(layers=16, rows=8, columns=8, pillar_ohm=1e3)
    array, v = VerticalArray(cells(16, 8, 8), wires), volts(8, wires.inputs)
    gains = array.gains()
    assert float(gains[0]) > 1.5 * float(gains[-1])
    plain = residual(array.mvm(v), v @ array.ideal)[1]
    mended = residual(array.mvm((v.view(-1, 16, 8) / gains[:, None]).flatten(1)), v @ array.ideal)
    assert mended[1] < plain / 2
    assert mended[0] == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("shape", [(4, 3, 3), (12, 4, 4)])
def test_settling_is_that_of_a_transient_in_ngspice(ngspice, shape):
    """The 1 % time within 3 %, and the energy of the drivers until then."""
    wires = VerticalWires(layers=shape[0], rows=shape[1], columns=shape[2], select_ohm=1e4, sense_ohm=1.0)
    array, v = VerticalArray(cells(*shape), wires), volts(1, wires.inputs)
    ours = array.settling(v)
    seconds = float(ours.settle_s[0])
    held = np.concatenate([v[0].numpy(), np.zeros(shape[2] + 1)])
    t, i = spice.linear_transient(array.circuit, held, seconds / (1600 if shape[0] < 10 else 400), (1.05 if shape[0] < 10 else 4) * seconds)
    end = array.mvm(v)[0].numpy()
    off = np.abs(i[:, wires.inputs : wires.inputs + shape[2]] - end).max(1) / np.abs(end).max()
    assert t[np.flatnonzero(off > 0.01)[-1]] == pytest.approx(seconds, rel=0.03)
    until = t <= seconds
    joules = -np.trapezoid(i[until] @ held, t[until])
    assert float(ours.energy_J[0]) == pytest.approx(joules, rel=0.05)
    assert seconds > float(ours.slowest_s) > 0


def test_the_slowest_mode_is_that_of_a_dense_eigenproblem():
    wires = VerticalWires(layers=5, rows=2, columns=3, select_ohm=1e4)
    circuit = VerticalArray(cells(5, 2, 3), wires).circuit
    y, c = (m[circuit.free][:, circuit.free].toarray() for m in (circuit.y, circuit.c))
    assert circuit.slowest() == pytest.approx(np.linalg.eigvals(np.linalg.solve(y, c)).real.max(), rel=1e-9)


def test_a_matrix_is_laid_out_layer_after_layer():
    wires, matrix = VerticalWires(layers=3, rows=4, columns=5), cells(10, 5)
    array = VerticalArray(matrix, wires)
    assert torch.equal(array.ideal[:10], matrix)
    assert torch.equal(placed(matrix, wires)[1, 2], matrix[6])
    assert not array.ideal[10:].any()


@pytest.mark.parametrize(
    ("message", "build"),
    [
        ("pillar_ohm must be at least 0 Ohm, got -1", lambda: VerticalWires(layers=1, rows=1, columns=1, pillar_ohm=-1.0)),
        ("layers must be in 1..1024, got 0", lambda: VerticalWires(layers=0, rows=1, columns=1)),
        ("matrix must be at most 6 x 4, layers x rows and columns, got 7 x 4", lambda: VerticalArray(cells(7, 4), SMALL)),
        ("matrix must be at most 6 x 4", lambda: VerticalArray(cells(6, 5), SMALL)),
        ("vertical.word_lines must be combs", lambda: VerticalArray(cells(3, 4), SMALL.replace("word_lines", "planes"))),
        (r"conductances must have the shape \(layers, rows, columns\) = \(3, 2, 4\)", lambda: VerticalArray(cells(2, 2, 4), SMALL)),
        ("conductances must be finite and at least 0 S", lambda: VerticalArray(-cells(3, 2, 4), SMALL)),
        (r"voltages must have the shape \(vectors, 6\)", lambda: VerticalArray(cells(3, 2, 4), SMALL).mvm(torch.zeros(1, 5))),
    ],
)
def test_arrays_that_cannot_be_are_refused_by_name(message, build):
    with pytest.raises(InputError, match=message):
        build()


SMALL = VerticalWires(layers=3, rows=2, columns=4)
