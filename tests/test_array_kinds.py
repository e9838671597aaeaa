"""Kinds of arrays: read as the circuits that they are, refused by field where they cannot be, and users' own; the laws of all are in
`test_contracts`."""

from __future__ import annotations

import pytest
import torch

import aimco as ai
from aimco.arrays.crossbar import Crossbar
from aimco.arrays.kinds import Array
from aimco.arrays.laws import Law
from aimco.arrays.nonlinear import WiredNonlinear
from aimco.arrays.vertical import VerticalArray
from aimco.arrays.wires import Wires
from aimco.ensemble import stack
from aimco.errors import InputError
from designs import design

MICRO = {"g_min": 1e-7, "g_max": 1e-5, "response": {"kind": "constant-step", "step_up": 1e-8, "step_down": 1e-8}}
DEVICE = ai.Device.of(MICRO)
HALF, MID = float(DEVICE.half_range), float(DEVICE.mid_range)
STEEP = {"word_ohm": 300.0, "bit_ohm": 500.0, "tolerance": 1e-12}


def crossbar(array: Array, rows: int = 9, columns: int = 6, read_V: float = 0.3) -> Crossbar:
    cells = Crossbar(ai.ArraySpec(DEVICE, array=array, periphery=ai.Periphery(read_voltage=read_V)), rows, columns)
    cells.program(1.6 * torch.rand(cells.shape, generator=torch.Generator().manual_seed(0)) - 0.8)
    return cells


def volts(lines: int) -> torch.Tensor:
    return 2 * torch.rand(1, 4, lines, generator=torch.Generator().manual_seed(1)) - 1


@pytest.mark.parametrize("kind", ["sinh", "selector"])
@pytest.mark.parametrize("wires", [None, Wires(**STEEP)])
@pytest.mark.parametrize("transposed", [False, True])
def test_an_array_of_cells_that_are_not_linear_reads_two_circuits_at_the_read_voltage(kind, wires, transposed):
    """Cells minus references, each solved with the law at 0.3 V, over half the range and 0.3 V."""
    law = Law.of({"kind": kind})
    array = crossbar(Array.of({"kind": "nonlinear"}).model_copy(update={"law": law, "wires": wires}))
    v = volts(6 if transposed else 9)
    held = [s.double()[0] * HALF + MID for s in (array.state, torch.zeros_like(array.state))]
    circuits = [WiredNonlinear(g, wires or Wires(), law) for g in held]
    currents, against = ((c.mvm_t if transposed else c.mvm)(0.3 * v[0].double()) for c in circuits)
    read = (array.mvm_t if transposed else array.mvm)(v)
    assert torch.allclose(read[0].double(), (currents - against) / (HALF * 0.3), atol=1e-6)
    ideal = v @ (array.state.transpose(1, 2) if transposed else array.state)
    assert (read - ideal).norm() > 0.02 * ideal.norm()


def test_inputs_of_cells_that_are_not_linear_are_scaled_to_the_read_voltage():
    """A vector and its double, and a row read alone, are driven with the same voltages: what is read doubles."""
    spec = design(array={"kind": "nonlinear", "law": {"kind": "sinh", "scale_V": 0.05}}, device=MICRO)
    matrix = ai.AnalogMatrix(ai.ArraySpec.of(spec), 5, 4)
    matrix.program(torch.full((1, 5, 4), 0.4))
    x = torch.tensor([[[0.2, -0.1, 0.3, 0.0, 0.1]]])
    assert torch.allclose(matrix.mvm(20 * x), 20 * matrix.mvm(x), rtol=1e-5)
    assert torch.allclose(matrix.mvm(torch.eye(5)[None]), matrix.read_rows(), rtol=1e-5)
    assert matrix.read_rows().mean() > 5 * 0.4  # sinh(4)/4


def test_a_row_that_saturates_the_converter_is_read_again_at_half_the_voltage():
    """Half the voltage of a law that is not linear gives less than half the current: a row alone reads as the product with one input."""
    adc = {"bits": 16.0, "range_A": 4e-7}  # cells at 10 uS take 2 uA at 0.2 V
    parts = {"array": {"kind": "nonlinear", "law": {"kind": "sinh", "scale_V": 0.05}}, "periphery": {"adc": adc}}
    matrix = ai.AnalogMatrix(ai.ArraySpec.of(design(device=MICRO, **parts)), 5, 4)
    matrix.program(torch.full((1, 5, 4), 0.4))
    assert torch.allclose(matrix.mvm(torch.eye(5)[None]), matrix.read_rows(), rtol=1e-3)
    assert matrix.counts["mvm"].sum() > 10


@pytest.mark.parametrize("transposed", [False, True])
def test_a_vertical_array_reads_two_three_dimensional_circuits(transposed):
    """Cells minus references, 12 rows in 4 layers; the product without wires is another."""
    kind = Array.of({"kind": "vertical", "rows": 12, "cols": 6, "stack": {"layers": 4, "pillar_ohm": 1e4, "select_ohm": 2e4}})
    array, v = crossbar(kind, 12), volts(6 if transposed else 12)
    currents, against = (
        VerticalArray(s.double()[0] * HALF + MID, kind.stack.holding(12, 6)).matrix  # pyright: ignore[reportAttributeAccessIssue]
        for s in (array.state, torch.zeros_like(array.state))
    )
    effective = ((currents - against) / HALF).float()
    read = array.mvm_t(v) if transposed else array.mvm(v)
    assert torch.allclose(read[0], v[0] @ (effective.T if transposed else effective), atol=1e-5)
    assert (effective - array.state[0]).norm() > 0.1 * array.state.norm()
    assert torch.allclose(array.effective()[0], effective, atol=1e-5)


@pytest.mark.parametrize(
    ("array", "kind"),
    [
        ({}, "planar"),
        ({"rows": 64, "cols": 32}, "planar"),
        ({"wires": {}}, "wired"),
        ({"wires": {"word_ohm": 1.0}}, "wired"),
        ({"wires": "none"}, "planar"),
        ({"kind": "planar"}, "planar"),
        ({"kind": "wired"}, "wired"),
        ({"kind": "nonlinear", "wires": {"word_ohm": 1.0}}, "nonlinear"),
    ],
)
def test_an_array_without_a_kind_is_of_the_one_that_its_fields_say(array, kind):
    record = ai.Design.of({"device": "ideal", "array": array}).array
    assert record.kind == kind
    assert ("kind" in record.as_dict()) == (kind not in ("planar", "wired"))
    assert type(record)(**array) == record or array.get("wires") == "none"
    assert Array(**{n: v for n, v in array.items() if v != "none"}) == record


def test_wires_may_be_set_and_taken_away_by_path():
    plain = ai.Design(device="ideal")
    wired = plain.replace("array.wires.word_ohm", 2.0)
    assert (wired.array.kind, wired.array.wires.word_ohm) == ("wired", 2.0)
    assert wired.replace("array.wires", None) == plain
    assert plain.replace("array.kind", "nonlinear").replace("array.law.scale_V", 0.1).array.law.scale_V == 0.1


REFUSED = {
    "array.wires must be absent in an array of kind planar": {"array": {"kind": "planar", "wires": {}}},
    "array.wires must be absent in an array of kind vertical": {"array": {"kind": "vertical", "wires": {"word_ohm": 1.0}}},
    "array.rows must be 1 to 1024 in each of the 16 layers, all equal, got 100": {"array": {"kind": "vertical", "rows": 100}},
    "array.stack.word_lines must be combs": {"array": {"kind": "vertical", "stack": {"layers": 16, "word_lines": "planes"}}},
    "array.wires.method must be exact": {"array": {"kind": "nonlinear", "wires": {"word_ohm": 1.0, "method": "first-order"}}},
    "array.law.kind must be one that conducts both ways": {"array": {"kind": "nonlinear", "law": {"kind": "self-rectifying"}}},
    "array.compensation must be absent with cells of several devices": {
        "array": {"wires": {"word_ohm": 1.0}, "compensation": "effective-matrix"},
        "cell": {"kind": "pair"},
    },
    "array.kind must be planar, wired or vertical in a resistive network": {
        "array": {"kind": "nonlinear"},
        "network": {"kind": "resistive"},
        "rule": {"kind": "equilibrium"},
    },
    "array.kind must be planar in a spiking network": {
        "array": {"kind": "vertical"},
        "network": {"kind": "spiking-rbm"},
        "rule": {"kind": "contrastive-divergence"},
    },
    r"array kind 'planer' is unknown \(did you mean planar\?\)": {"array": {"kind": "planer"}},
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_an_array_cannot_do_is_refused_by_field_when_the_design_is_read(message):
    with pytest.raises(InputError, match="^" + message):
        ai.Design.of({"device": MICRO} | REFUSED[message])


def test_compensation_makes_reads_through_wires_those_of_the_weights():
    """The effective weights of 24 x 16 cells miss by a third as programmed and by less than 3 % with compensation, with one note each."""
    target = 0.5 * (2 * torch.rand(1, 24, 16, generator=torch.Generator().manual_seed(0)) - 1)
    wires, missed = {"word_ohm": 250.0, "bit_ohm": 250.0}, {}
    for name in ("none", "effective-matrix"):
        spec = design(array={"wires": wires, "compensation": name}, device=MICRO)
        matrix = ai.AnalogMatrix(ai.ArraySpec.of(spec), 24, 16)
        matrix.program(target)
        read = matrix.mvm(torch.eye(24)[None])
        missed[name] = float((read - target).norm() / target.norm())
        assert torch.allclose(matrix.read_weights(), read, atol=1e-5)
        assert matrix.missed(target) == [""]
    assert missed["none"] > 0.3
    assert missed["effective-matrix"] < 0.03


def test_a_crossbar_of_a_resistive_network_stands_in_the_array_of_the_design():
    """A vertical array of the design is that of `network.circuit.vertical`: the same outputs."""
    parts = {"device": MICRO, "rule": {"kind": "equilibrium", "update_mode": "ideal"}}
    network = {"kind": "resistive", "hidden": [6], "circuit": {"low_V": -0.3, "high_V": 0.3}}
    stack = {"layers": 4, "pillar_ohm": 1e5}
    by_network = ai.Design.of(parts | {"network": network | {"circuit": network["circuit"] | {"vertical": stack}}})
    by_array = ai.Design.of(parts | {"network": network, "array": {"kind": "vertical", "rows": 256, "cols": 64, "stack": stack}})
    plain = ai.Design.of(parts | {"network": network})
    every = [spec.replace("training.epochs", 1) for spec in (by_network, by_array, plain)]
    losses = [ai.evaluate(spec, "digits", limit=6).curves["train_loss"] for spec in every]
    assert losses[0] == losses[1]
    assert losses[0] != losses[2]


OWN = "from aimco.arrays.kinds import Array, ProgrammedArray\n\n\nclass Mine(Array):\n"
READ = "\n\nclass Read(ProgrammedArray):\n    def read(self, voltages, transposed):\n        return {}\n"
WRONG = {
    "Mine has no method program": "    loss: float = 0.1\n",
    r"Mine has no method program\(self, conductances\); is programme": "    def programme(self, conductances):\n        return 1\n",
    r"Mine.program must take \(self, conductances\)": "    def program(self):\n        return 1\n",
    "Mine.program must return a ProgrammedArray, got int": "    def program(self, conductances):\n        return 1\n",
    r"mine\.py:6: ZeroDivisionError": "    def program(self, conductances):\n        return 1 / 0\n",
    r"read must return a tensor of the shape \(vectors, lines read\) = \(2, 3\) where not transposed, got \(2, 4\)": (
        "    def program(self, conductances):\n        return Read()\n" + READ.format("voltages")
    ),
    "must give currents in proportion to the voltages": (
        "    def program(self, conductances):\n        r = Read()\n        r.g = conductances\n        return r\n"
        + READ.format("(20 * voltages).sinh() @ (self.g.T if transposed else self.g)")
    ),
    "read must not change the voltages": (
        "    def program(self, conductances):\n        r = Read()\n        r.g = conductances\n        return r\n"
        + READ.format("voltages.mul_(0.9) @ (self.g.T if transposed else self.g)")
    ),
    "must not change the conductances": (
        "    def program(self, conductances):\n        r = Read()\n        r.g = conductances.mul_(0.9)\n        return r\n"
        + READ.format("voltages @ (self.g.T if transposed else self.g)")
    ),
    "read must return finite currents, got nan": (
        "    def program(self, conductances):\n        r = Read()\n        r.g = conductances\n        return r\n"
        + READ.format("0 / 0 * voltages if False else float('nan') * (voltages @ (self.g.T if transposed else self.g))")
    ),
}


@pytest.mark.parametrize("message", WRONG)
def test_an_array_of_a_users_own_is_tried_when_the_design_is_read(tmp_path, message):
    (tmp_path / "mine.py").write_text(OWN + WRONG[message])
    with pytest.raises(InputError, match=message):
        ai.Design.of({"device": "ideal", "array": {"kind": f"{tmp_path / 'mine.py'}:Mine"}})


@pytest.mark.parametrize(
    ("array", "path", "values"),
    [
        ({"kind": "nonlinear"}, "array.law.scale_V", (0.1, 0.5)),
        ({"kind": "nonlinear"}, "periphery.read_voltage", (0.1, 0.5)),
        ({"kind": "vertical", "rows": 8, "cols": 4, "stack": {"layers": 4}}, "array.stack.pillar_ohm", (1e2, 1e5)),
    ],
)
def test_members_of_an_ensemble_have_arrays_of_their_own(array, path, values):
    """Numbers along the ensemble axis: a member reads as it does alone, and unlike the other."""
    base = design(array=array, device=MICRO)
    alone = [base.replace(path, value) for value in values]
    both, *ones = (
        ai.AnalogMatrix(ai.ArraySpec.of(spec), 8, 4, seeds=(0,) * n) for spec, n in ((stack(alone), 2), *((d, 1) for d in alone))
    )
    target, x = 0.6 * torch.rand(1, 8, 4, generator=torch.Generator().manual_seed(0)), volts(8)
    for matrix in (both, *ones):
        matrix.program(target)
    read = both.mvm(x.expand(2, -1, -1).contiguous())
    assert all(torch.equal(read[e], one.mvm(x)[0]) for e, one in enumerate(ones))
    assert not torch.allclose(read[0], read[1], rtol=1e-2)
