"""What operations of arrays refuse: wrong shapes, types and numbers never reach the kernels, which do not check them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import aimco as ai
from aimco.arrays.crossbar import Crossbar
from aimco.arrays.spec import ArraySpec
from aimco.mapping import AnalogMatrix
from aimco.record import InputError
from aimco.tile import Tile

E, B, R, C = 2, 3, 5, 4
DEVICE = ai.Device.of(
    {"g_min": 0.0, "g_max": 2.0, "response": {"kind": "soft-bounds", "step_up": 0.02, "step_down": 0.02}, "retention_s": 10.0}
)
DESIGN = ai.Design.of({"device": DEVICE.as_dict(), "array": {"rows": 3, "cols": 4}})  # cut over two arrays
NAN, INF = float("nan"), float("inf")


def build(kind: str):
    seeds = tuple(range(E))
    if kind == "crossbar":
        return Crossbar(ArraySpec(DEVICE, reference="symmetry-point"), R, C, seeds=seeds)
    if kind == "tile":
        return Tile(ArraySpec(DEVICE, reference="symmetry-point"), R, C, seeds=seeds)
    array = DESIGN.array if kind == "cut matrix" else ai.Design(device="ideal").array
    return AnalogMatrix(ArraySpec(DEVICE, array=array, reference="symmetry-point"), R, C, seeds=seeds)


KINDS = ("crossbar", "tile", "matrix", "cut matrix")


def floats(*shape: int, fill: float = 0.3) -> torch.Tensor:
    return torch.full(shape, fill)


def poisoned(t: torch.Tensor, value: float) -> torch.Tensor:
    t = t.clone()
    t.view(-1)[-1] = value
    return t


def wrong_floats(*shape: int, expands: bool = False):
    """Tensors that are none of finite numbers of this shape."""
    others = [floats(*shape, 2), floats(*shape[:-1], shape[-1] + 1), floats(shape[0] + 1, *shape[1:]), floats(*shape[:-1], shape[-1] - 1)]
    others += [] if expands else [floats(*shape[1:]), floats(*reversed(shape)), floats(1, *shape[1:])]
    strange = [None, "x", 0.3, floats(*shape).numpy(), floats(*shape).to(torch.complex64), floats(*shape) > 0, floats(*shape).to_sparse()]
    strange += [torch.empty(shape, device="meta"), [[0.3]]]
    return others + strange + [poisoned(floats(*shape), v) for v in (NAN, INF, -INF)] + [floats(*shape).double() * 1e300]


def wrong_pulses(*shape: int):
    ones = torch.ones(shape, dtype=torch.int32)
    others = [ones[..., :-1], torch.ones(*shape, 3, dtype=torch.int32), torch.ones(shape[0] + 1, *shape[1:], dtype=torch.int32)]
    beyond = [ones.long() * 2**31, ones.long() * -(2**31), ones.long() * 2**40, poisoned(ones, -(2**31))]
    return others + beyond + [None, 1, ones.numpy(), ones > 0, ones * 0.5, ones * NAN, ones * 1e30, ones * INF]


WRONG_INDEX = [-1, R, 999, 2**40, -(2**63), 1.5, NAN, INF, None, "0", [0], True]
WRONG_RATES = [-0.1, NAN, INF, -INF, None, "0.1", np.full(E + 1, 0.1), np.full((E, B + 1), 0.1), np.full((B, E), 0.1), np.array([0.1, NAN])]
WRONG_RATES += [np.full((E, B), -1.0), np.full((E, B, 1), 0.1), 0.1j, True, torch.full((E + 1, 1, 1), 0.1)]
WRONG_TIMES = [
    -5,
    -1e-30,
    NAN,
    INF,
    None,
    "1",
    np.ones(E + 1),
    np.ones((E, 1)),
    np.array([1.0, -1.0]),
    np.array([1.0, NAN]),
    1j,
    True,
    [1.0],
]
WRONG_MASKS = [torch.ones(E, R, C), torch.ones(E, R, C + 1, dtype=torch.bool), torch.ones(E, R, C, 2, dtype=torch.bool), None, True]
WRONG_COUNTS = [-1, 2**31, 2**70, 1.5, NAN, INF, None, "3", True]
WRONG_ROWS = [np.array([R]), np.array([-1]), np.array([0.0]), np.array([[0]]), np.array([2**40]), "0", 0, np.array([0, 1])]
WRONG_AFTER = [np.array([B]), np.array([-1]), np.array([0.5]), np.array([[0]]), 0, np.array([0, 1])]


def right(kind: str):
    """Arguments that each operation takes: the operation, then name -> (what is right, what is wrong)."""
    x, d = (floats(E, B, R), wrong_floats(E, B, R)), (floats(E, B, C), wrong_floats(E, B, C))
    batch = {"x": (floats(E, B, R), [*wrong_floats(E, B, R), floats(E, B + 1, R)]), "d": d, "lr": (np.full(E, 0.01), WRONG_RATES)}
    one, line = np.array([0]), torch.ones(E, 1, C, dtype=torch.int32)
    lines = {"rows": (one, WRONG_ROWS), "pulses": (line, wrong_pulses(E, 1, C))}
    expanding = wrong_floats(E, R, C, expands=True)
    everywhere = {
        "mvm": {"x": x},
        "mvm_t": {"d": d},
        "pulse": batch,
        "pulse_and_read": batch | {"lr": (np.full((E, B), 0.01), WRONG_RATES), "after": (one, WRONG_AFTER), "rows": (one, WRONG_ROWS)},
        "pulse_rows": lines,
        "set_reference": {"to": (floats(E, R, C), expanding)},
        "pulse_up_down": {"pulses": (2, WRONG_COUNTS)},
        "program": {"target": (floats(E, R, C), expanding), "only": (torch.ones(E, R, C, dtype=torch.bool), [*WRONG_MASKS[:3], True])},
        "reset": {"mask": (torch.ones(E, R, C, dtype=torch.bool), WRONG_MASKS)},
        "elapse": {"seconds": (1.0, WRONG_TIMES)},
    }
    operations = {
        "crossbar": {
            "line": {"k": (0, WRONG_INDEX)},
            "pulse": batch | {"polarity": (1, [2, -2, 0.5, None, NAN, "1"])},
            "program": everywhere["program"] | {"tolerance": (0.1, [-1.0, 0.0, NAN, INF, "1"]), "rounds": (3, WRONG_COUNTS[:6])},
        },
        "tile": {"read_devices": {"k": (0, [1, *WRONG_INDEX])}},
        "matrix": {"pulse_row": {"k": (0, WRONG_INDEX), "pulses": (line[:, 0], wrong_pulses(E, C))}},
    }
    lists = {
        "read_row": {"k": (0, WRONG_INDEX)},
    }
    operations["cut matrix"] = operations["matrix"]
    return everywhere | ({} if kind == "crossbar" else lists) | operations[kind]


def snapshot(array) -> list[torch.Tensor]:
    """Everything that a wrong call must leave as it was, the ledger included."""
    tensors, parts = [], [array.checkpoint(), {k: torch.as_tensor(np.asarray(v)) for k, v in array.counts.items()}]
    while parts:
        part = parts.pop()
        if isinstance(part, torch.Tensor):
            tensors.append(part.clone())
        elif isinstance(part, dict):
            parts += [part[k] for k in sorted(part, key=str)]
        elif isinstance(part, list | tuple):
            parts += part
        else:
            tensors.append(torch.tensor(float(part)))
    return tensors


CASES = [(kind, op, name) for kind in KINDS for op, arguments in right(kind).items() for name in arguments]


@pytest.mark.parametrize(("kind", "op", "name"), CASES, ids=[f"{k}-{o}-{n}" for k, o, n in CASES])
def test_a_wrong_argument_is_refused_in_one_sentence_and_changes_nothing(kind, op, name):
    array = build(kind)
    array.pulse(floats(E, B, R), floats(E, B, C, fill=-0.5), np.full(E, 0.05))
    before, arguments = snapshot(array), right(kind)[op]
    for wrong in arguments[name][1]:
        given = {n: (wrong if n == name else good) for n, (good, _) in arguments.items()}
        with pytest.raises(InputError, match=r"^(AnalogMatrix|Tile|Crossbar)\.\w+: ") as refused:
            getattr(array, op)(**given)
        assert f".{op}: " in str(refused.value) or op == "pulse_row"
        assert "\n" not in str(refused.value)
        assert all(torch.equal(a, b) for a, b in zip(before, snapshot(array), strict=True)), wrong


ANSWERS = {  # what each read gives, of the arguments and the states (E, R, C)
    "mvm": lambda states: torch.einsum("ebr,erc->ebc", floats(E, B, R), states),
    "mvm_t": lambda states: torch.einsum("ebc,erc->ebr", floats(E, B, C), states),
    "line": lambda states: states[:, 0],
    "read_row": lambda states: states[:, 0],
    "read_devices": lambda states: states,
}


@pytest.mark.parametrize("kind", KINDS)
def test_right_arguments_are_taken_and_do_what_they_ask_for(kind):
    """Reads give sums of the states and change none; all other operations change states. Doors that refuse everything would fail."""
    for op, arguments in right(kind).items():
        array, given = build(kind), {n: good for n, (good, _) in arguments.items()}
        array.pulse(floats(E, B, R), floats(E, B, C, fill=-0.5), np.full(E, 0.05))
        before = (array.state if kind == "crossbar" else array.weights).clone()
        answer = getattr(array, op)(**given)
        after = array.state if kind == "crossbar" else array.weights
        assert (op in ANSWERS) == torch.equal(before, after), op
        if op in ANSWERS:
            assert torch.allclose(answer, ANSWERS[op](before), atol=1e-6), op
        elif op == "pulse_and_read":
            low, high = torch.minimum(before, after)[:, :1], torch.maximum(before, after)[:, :1]
            assert ((answer >= low - 1e-6) & (answer <= high + 1e-6)).all()  # row 0 after the first sample of three


sizes = st.integers(0, 7)
numbers = st.one_of(st.floats(width=32), st.floats(-1, 1, width=32))


@settings(max_examples=40)
@given(
    kind=st.sampled_from(KINDS),
    op=st.sampled_from(["mvm", "mvm_t", "pulse"]),
    x=st.tuples(st.integers(1, 3), sizes, sizes),
    d=st.tuples(st.integers(1, 3), sizes, sizes),
    fill=numbers,
    lr=st.floats(),
    dtype=st.sampled_from([torch.float16, torch.float32, torch.float64, torch.int64, torch.bool]),
)
def test_any_batch_is_refused_or_leaves_finite_states(kind, op, x, d, fill, lr, dtype):
    """Numbers as large as they come, too: what kernels make of them stays within the range of the devices."""
    array = build(kind)
    vectors = [torch.full(shape, fill).to(dtype) if dtype != torch.int64 else torch.ones(shape, dtype=dtype) for shape in (x, d)]
    given = {"mvm": vectors[:1], "mvm_t": vectors[1:], "pulse": [*vectors, np.full(E, lr)]}[op]
    fits = x == (E, d[1], R) and d[2] == C and d[0] == E if op == "pulse" else x[::2] == (E, R) if op == "mvm" else d[::2] == (E, C)
    try:
        getattr(array, op)(*given)
    except InputError:
        pass
    else:
        assert fits
    states = array.state if kind == "crossbar" else array.weights
    assert torch.isfinite(states).all()
    assert (states.abs() <= 1.001).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fill", [1e-38, 1e-20, 1e20, 3e38])
@pytest.mark.parametrize("lr", [0.0, 1e-300, 1.0, 1e300])
def test_numbers_as_large_or_small_as_they_come_keep_states_and_counts_sound(kind, fill, lr):
    array = build(kind)
    array.pulse(floats(E, B, R, fill=fill), -floats(E, B, C, fill=fill), np.full(E, lr))
    states, counts = array.state if kind == "crossbar" else array.weights, array.counts
    assert torch.isfinite(states).all()
    assert (states.abs() <= 1.001).all()
    most = 62 * B * E * R * C  # pulses of both polarities on every device
    assert all(np.min(c) >= 0 and np.max(c) <= most for c in counts.values())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.int64])
def test_other_types_of_numbers_and_lines_that_do_not_lie_together_are_converted(dtype):
    x, d = (torch.arange(n).reshape(1, 1, n).expand(E, B, n) % 2 for n in (R, C))
    plain, other = build("matrix"), build("matrix")
    plain.pulse(x.float().contiguous(), d.float().contiguous(), 0.05)
    other.pulse(x.to(dtype), d.to(dtype), torch.full((E, 1, 1), 0.05))
    assert torch.equal(plain.weights, other.weights)
    assert torch.equal(plain.mvm(x.float().contiguous()), other.mvm(x.to(dtype)))
    wide = torch.zeros(E, B, 2 * R)[..., ::2]
    assert torch.equal(plain.mvm(wide), torch.zeros(E, B, C))
    assert not plain.mvm(x.float().requires_grad_()).requires_grad


def test_the_sentence_names_operation_argument_rule_and_value():
    matrix = build("matrix")
    with pytest.raises(InputError) as swapped:
        matrix.pulse(floats(E, B, C), floats(E, B, R), 0.1)
    assert str(swapped.value) == "AnalogMatrix.pulse: x must have the shape (members, batch, rows) = (2, any, 5), got (2, 3, 4)"
    with pytest.raises(InputError, match=r"AnalogMatrix\.elapse: seconds must be finite and at least 0, got -5"):
        matrix.elapse(-5)
    with pytest.raises(InputError, match=r"AnalogMatrix\.pulse_row: k must be in 0\.\.4, got 999"):
        matrix.pulse_row(999, torch.ones(E, C, dtype=torch.int32))


def test_a_gradient_that_is_not_finite_reaches_no_array():
    layer = ai.nn.Linear(R, C, design=ai.Design(device="ideal"))
    optimizer = ai.optim.InMemory(layer.parameters())
    before = layer.stored.clone()
    (layer(torch.ones(2, R)) * NAN).sum().backward()
    with pytest.raises(InputError, match="has NaN or infinite inputs or gradients; nothing was pulsed"):
        optimizer.step()
    assert torch.equal(layer.stored, before)


def test_operations_answer_to_the_names_they_had_and_say_the_new_ones():
    matrix = build("matrix")
    with pytest.warns(DeprecationWarning, match="hold is now elapse"):
        matrix.hold(1.0)
    with pytest.warns(DeprecationWarning, match=r"pulse_lines\(rows, pulses\) is now pulse_rows\(pulses, rows\)"):
        matrix.pulse_lines(np.array([1]), torch.ones(E, 1, C, dtype=torch.int32))
    assert np.all(matrix.counts["row_updates"])
    with pytest.raises(AttributeError, match="no attribute 'hould'"):
        _ = matrix.hould
