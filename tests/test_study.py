"""Spaces are refused before anything runs; points lie in them; fronts, knees and volumes by their definitions."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aimco.design import Design
from aimco.device.device import Device
from aimco.record import InputError
from aimco.studies import Axis, Study, Trial, fields, front, hypervolume, knee
from aimco.studies.axis import label
from aimco.studies.pack import batch_key, packs
from aimco.studies.search import ask
from aimco.studies.sensitivity import sensitivity
from studies import SMALL, small

RULES = {"choices": [{"kind": "sgd"}, {"kind": "tiki-taka", "transfer_every": 1}]}
RATE = {"low": 0.01, "high": 1.0}


@pytest.mark.parametrize(
    ("space", "words"),
    [
        ({"rule.lrr": RATE}, r"space.rule.lrr is not a field of sgd \(did you mean lr\?\)"),
        ({"rul.lr": RATE}, r"space.rul is not a field \(did you mean rule\?\)"),
        ({"rule.lr.x": RATE}, "space.rule.lr.x is not a field"),
        ({"rule.lr": {"low": 1.0, "high": 0.1}}, "space.rule.lr.high must be greater than low = 1, got 0.1"),
        ({"rule.lr": {"low": 1.0, "high": 1.0}}, "space.rule.lr.high must be greater than low"),
        ({"rule.lr": {"low": 1.0}}, "space.rule.lr.high is missing"),
        ({"rule.lr": {"low": 0.0, "high": 1.0, "log": True}}, "space.rule.lr.low must be greater than 0 where log = true, got 0"),
        ({"rule.lr": {"low": 0.0, "high": math.inf}}, "space.rule.lr.high must be finite"),
        ({"rule.lr": {"low": 0.0, "high": 1.0, "step": 0.3}}, "space.rule.lr.step must divide"),
        ({"rule.lr": RATE | {"choices": [1.0]}}, "space.rule.lr.low must be left out beside choices"),
        ({"rule.lr": {"choices": []}}, "space.rule.lr.choices must hold at least one value"),
        ({"rule.lr": {"choices": [0.1, 0.1]}}, "space.rule.lr.choices must differ from each other"),
        ({"rule.lr": {"low": -1.0, "high": 1.0}}, "space.rule.lr holds -1.0, of which no design can be made: must be in 0..1000"),
        ({"rule.lr": {"low": 0.1, "high": 2000.0}}, "space.rule.lr holds 2000.0, .* must be in 0..1000, got 2000"),
        ({"rule.lr": {"lo": 0.1, "high": 1.0}}, r"space.rule.lr.lo is not a field \(did you mean low\?\)"),
        ({"rule.lr": 0.1}, "space.rule.lr must be a table with low and high, or with choices, got 0.1"),
        ({"training.epochs": {"low": 1, "high": 2.5}}, "space.training.epochs must have whole numbers"),
        ({"training.epochs": {"low": 0, "high": 2}}, "space.training.epochs holds 0, .* must be in 1..100000"),
        ({"device": {"choices": ["rpu", "rpx"]}}, r"device 'rpx' is unknown \(did you mean rpu\?\)"),
        ({"rule": {"choices": [{"kind": "sdg"}]}}, r"kind 'sdg' is unknown \(did you mean sgd\?\)"),
        ({"rule": RULES, "rule.lr_fast": RATE}, "space.rule.lr_fast is not a field of sgd.*; give it when"),
        (
            {"rule.lr": RATE | {"when": {"rule.kind": ["tiki-taka"]}}},
            "space.rule.lr.when never holds: rule.kind is sgd, and never tiki-taka",
        ),
        (
            {"rule": RULES, "rule.lr": RATE | {"when": {"rule.kind": ["sgdd"]}}},
            "space.rule.lr.when never holds: rule.kind is sgd or tiki-taka",
        ),
        ({"rule.lr": RATE | {"when": {"rule.kimd": ["sgd"]}}}, "space.rule.lr.when looks at what is not there: rule.kimd is not a field"),
        ({"cell.weight_max": RATE, "rule.lr": RATE | {"when": {"cell.weight_max": [0.5]}}}, "must look at fields with choices"),
        ({"rule.lr": {"choices": [0.1, 0.2], "when": {"rule.lr": [0.1]}}}, "space.rule.lr.when must not lead back to itself"),
        (
            {"training.batch": {"choices": [5, 10], "when": {"training.epochs": [1]}}}
            | {"training.epochs": {"choices": [1, 2], "when": {"training.batch": [5]}}},
            "must not lead back to itself, got .* -> ",
        ),
        (
            {"rule": RULES, "training.batch": {"choices": [5, 20], "when": {"rule.kind": ["sgd"]}}}
            | {"rule.lr_fast": RATE | {"when": {"rule.kind": ["tiki-taka"], "training.batch": [5]}}},
            "space.rule.lr_fast.when never holds: its conditions exclude each other",
        ),
        ({}, "space must hold at least one axis"),
    ],
)
def test_a_bad_space_is_refused_with_the_fields_name(space, words):
    with pytest.raises(InputError, match=words):
        small(space=space)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sampler": "grid"}, "space.rule.lr.step is missing; the sampler grid needs step or choices"),
        ({"sampler": "simplex"}, "sampler must be"),
        ({"trials": None}, "trials is missing; say how many points the sampler random is to try"),
        ({"objectives": ["acuracy"]}, r"objectives.0.name must be a metric \(did you mean accuracy\?\)"),
        ({"objectives": ["accuracy", "accuracy"]}, "objectives must differ from each other"),
        ({"constraints": {"are": {"at_most": 1.0}}}, r"constraints.are must be a metric \(did you mean area\?\)"),
        ({"constraints": {"area": {}}}, "constraints.area must have at_least or at_most"),
        ({"constraints": {"area": {"at_least": 2.0, "at_most": 1.0}}}, "constraints.area.at_least must be at most"),
        ({"seeds": [1, 1]}, "seeds must differ"),
        ({"task": "digts"}, r"task 'digts' is unknown \(did you mean digits\?\)"),
        ({"base": {"device": "rpx"}}, "base.device"),
        ({"base": "nowhere.toml"}, "base nowhere.toml: there is no such file"),
        (
            {"pruning": {"rule": "median"}},
            "pruning must be left out where a metric of the task is not the one objective, got accuracy .max., energy .min.",
        ),
        ({"name": "a/b"}, "name"),
    ],
)
def test_a_bad_study_is_refused_in_one_sentence(change, words):
    with pytest.raises(InputError, match=words) as refusal:
        small(**change)
    assert "\n" not in str(refusal.value)


@given(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3), st.booleans())
def test_a_range_of_numbers_is_taken_or_refused_by_its_ends(low, high, log):
    """Either an axis whose ends design can have, or a refusal that names it; nothing else happens."""
    exist = all(not end or abs(end) >= 1e-100 for end in (low, high))
    fine = low < high and (low > 0 or not log) and low >= 0 and high <= 1000 and exist
    try:
        study = small(space={"rule.lr": {"low": low, "high": high, "log": log}})
    except InputError as error:
        assert not fine
        assert str(error).startswith("space.rule.lr")
    else:
        assert fine
        assert [study.design({"rule.lr": v}).rule.lr for v in (low, high)] == [low, high]


@given(st.floats(1e-6, 1e3), st.floats(1e-6, 1e3), st.booleans(), st.floats(0, 1, exclude_max=True))
def test_places_on_an_axis_are_values_of_it_and_back(low, width, log, u):
    axis = Axis(low=low, high=low + width, log=log)
    value = axis.at_unit(u, False)
    assert low <= value <= low + width
    assert axis.unit(value) == pytest.approx(u, abs=1e-6)


@given(st.integers(1, 50), st.integers(1, 50), st.booleans(), st.floats(0, 1, exclude_max=True))
def test_whole_axes_give_whole_numbers_within_their_ends(low, width, log, u):
    value = Axis(low=float(low), high=float(low + width), log=log).at_unit(u, True)
    assert isinstance(value, int)
    assert low <= value <= low + width


def test_the_same_study_in_nested_tables():
    nested = small(space={"rule": {"lr": SMALL["space"]["rule.lr"]}, "cell": {"weight_max": SMALL["space"]["cell.weight_max"]}})
    assert nested.space == small().space
    assert Study.of(nested.as_dict()) == nested


CONDITIONAL = {
    "rule": RULES,
    "rule.lr_fast": RATE | {"when": {"rule.kind": ["tiki-taka"]}},
    "device": {"choices": ["rpu", "soft-bounds"]},
    "device.retention_s": {"low": 1.0, "high": 10.0, "when": {"device": ["soft-bounds"]}},
    "training.epochs": {"low": 1, "high": 4},
}


@pytest.mark.parametrize("sampler", ["random", "sobol", "tpe", "nsga2"])
def test_axes_are_chosen_where_their_conditions_hold_and_only_there(sampler):
    study = small(space=CONDITIONAL, sampler=sampler)
    points = [study.draw(lambda p, axis, w, r=record: _written(study, p, r)) for record in ask(study, [], 32)]
    assert {p["rule"]["kind"] for p in points} == {"sgd", "tiki-taka"}
    for point in points:
        assert ("rule.lr_fast" in point) == (point["rule"]["kind"] == "tiki-taka")
        assert ("device.retention_s" in point) == (point["device"] == "soft-bounds")
        design = study.design(point)
        assert design.device.name == point["device"]
        assert design.training.epochs == point["training.epochs"]
        assert design.device.retention_s == point.get("device.retention_s", math.inf)


def _written(study, path, record):
    choices, value = study.space[path].choices, record.params[path]
    return value if choices is None else choices[[label(c) for c in choices].index(value)]


def test_the_grid_is_every_combination_that_applies_once():
    space = {
        "rule": RULES,
        "rule.lr_fast": {"low": 0.1, "high": 0.3, "step": 0.1, "when": {"rule.kind": ["tiki-taka"]}},
        "training.epochs": {"low": 1, "high": 2},
    }
    study = small(space=space, sampler="grid", trials=None)
    assert study.size() == (1 + 3) * 2 == len({label(p) for p in study.grid()})
    assert small(space=space, sampler="grid", trials=5).size() == 5


@pytest.mark.parametrize("sampler", ["random", "sobol", "tpe", "nsga2"])
def test_points_depend_on_the_seed_and_the_trials_before_alone(sampler):
    first, again, other = (ask(small(sampler=sampler, seed=seed), [], 8) for seed in (1, 1, 2))
    assert [r.params for r in first] == [r.params for r in again]
    assert [r.params for r in first] != [r.params for r in other]


def test_sobol_points_fill_the_space_evenly():
    study = small(sampler="sobol", space={"cell.weight_max": {"low": 1.0, "high": 2.0}})
    values = sorted(r.params["cell.weight_max"] for r in ask(study, [], 16))
    assert [math.floor((v - 1) * 16) for v in values] == list(range(16))


def test_designs_that_differ_in_floats_only_are_packed():
    base = small().base
    designs = dict(enumerate(base.replace("rule.lr", lr).replace("training.epochs", e) for e in (1, 2) for lr in (0.1, 0.2, 0.3)))
    assert list(packs(designs, 2)) == [[0, 1], [2], [3, 4], [5]]
    assert batch_key(base) == batch_key(base.replace("device.cycle_noise", 0.5)) != batch_key(base.replace("periphery.adc.shared_by", 2))


def trial(number: int, *values: float, feasible: bool = True, state: str = "complete", point: dict | None = None) -> Trial:
    names = ["accuracy", "energy", "area"][: len(values)]
    directions = {n: "max" if n == "accuracy" else "min" for n in names}
    values_by_name = dict(zip(names, values, strict=True))
    return Trial(number, point or {}, state, values_by_name, feasible, [0], "", directions)  # type: ignore[arg-type]


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6), st.booleans()), min_size=1, max_size=20))
def test_the_front_is_what_nothing_feasible_beats(rows):
    trials = [trial(k, a, e, feasible=f) for k, (a, e, f) in enumerate(rows)]
    best, able = front(trials), [t for t in trials if t.feasible]

    def beats(one, other):
        a, b = ((t.values["accuracy"], -t.values["energy"]) for t in (one, other))
        return a != b and all(x >= y for x, y in zip(a, b, strict=True))

    assert all(not any(beats(t, b) for t in able) for b in best)
    assert all(any(beats(b, t) or b.values == t.values for b in best) for t in able)
    assert all(b.feasible for b in best)


def test_the_knee_is_farthest_from_the_line_between_the_ends():
    ends = [trial(0, 1.0, 10.0), trial(3, 0.0, 0.0)]
    assert knee(front([*ends, trial(1, 0.9, 2.0), trial(2, 0.5, 1.0)])).number == 1  # type: ignore[union-attr]
    assert knee([]) is None


@settings(max_examples=50)
@given(st.lists(st.tuples(*[st.integers(0, 5)] * 3), min_size=1, max_size=6))
def test_the_hypervolume_is_the_number_of_cells_dominated(rows):
    trials = [trial(k, *row) for k, row in enumerate(rows)]
    corner = {"accuracy": 0, "energy": 5, "area": 5}
    cells = itertools.product(range(5), repeat=3)
    counted = sum(any(a >= x + 1 and e <= y and s <= z for a, e, s in rows) for x, y, z in cells)
    assert hypervolume(trials, corner) == counted


def test_sensitivity_finds_what_matters_and_says_how_well():
    """y = u1 + noise-free interaction with nothing: S1 = ST = 1 for the axis that acts, 0 for the one that does not."""
    study = small()
    u = np.random.default_rng(0).random((60, 2))
    places = [{p: study.space[p].at_unit(row[k], False) for k, p in enumerate(study.order)} for row in u]
    trials = [trial(k, row[0], row[0] * row[1], point=places[k]) for k, row in enumerate(u)]
    one, both = sensitivity(study, trials)
    acts, idle = study.order
    assert one.r2 > 0.95
    assert one.first[acts] == pytest.approx(1, abs=0.05)
    assert one.total[idle] == pytest.approx(0, abs=0.05)
    assert one.importance[acts] > 10 * abs(one.importance[idle])
    assert [both.first[p] for p in study.order] == pytest.approx([3 / 7] * 2, abs=0.06)  # of x y on the unit square
    assert [both.total[p] for p in study.order] == pytest.approx([4 / 7] * 2, abs=0.06)
    assert sensitivity(study, trials[:5]) == []


def test_the_only_axis_of_a_study_makes_all_of_the_variance():
    study = small(space={"cell.weight_max": {"low": 1.0, "high": 2.0}}, objectives=["accuracy"])
    (analysis,) = sensitivity(study, [trial(k, k / 20, point={"cell.weight_max": 1 + k / 20}) for k in range(20)])
    assert [*analysis.first.values(), *analysis.total.values()] == pytest.approx([1, 1], abs=0.02)


FLICKER = {"kind": "flicker", "amplitude": 0.1, "f_low": 1.0, "f_high": 10.0}


def test_an_axis_addresses_a_source_of_noise_by_its_kind_or_number():
    """Points that differ only in its numbers train together; of a kind with no entry, there is one where the axis sets it."""
    base = Design.of({"device": Device.named("ideal").as_dict() | {"noise": [FLICKER]}})
    for path in ("device.noise.flicker.amplitude", "device.noise.0.amplitude"):
        assert fields.annotation(base.as_dict(), path) is float
        assert fields.value_at(base.as_dict(), path) == 0.1
        points = []
        for value in (0.2, 0.3):
            data = base.as_dict()
            fields.put(data, path, value)
            points.append(Design.of(data))
        assert [d.device.noise[0].amplitude for d in points] == [0.2, 0.3]
        assert batch_key(points[0]) == batch_key(points[1]) != batch_key(Design.of({"device": "ideal"}))
    data = Design.of({"device": "ideal"}).as_dict()
    assert fields.value_at(data, "device.noise.telegraph.amplitude") is None
    fields.put(data, "device.noise.telegraph", {"amplitude": 0.1, "capture_s": 1.0, "emission_s": 2.0})
    assert Design.of(data).device.noise[0].kind == "telegraph"
    fields.put(data, "device.noise.telegraph", "none")
    assert Design.of(data).device.noise == ()
    with pytest.warns(DeprecationWarning, match="device.flicker is now device.noise.flicker"):
        fields.put(data := base.as_dict(), "device.flicker.amplitude", 0.7)
    assert Design.of(data).device.noise[0].amplitude == 0.7


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("device.noise.flickr.amplitude", r"no entry of kind flickr \(did you mean flicker\?\); kinds are flicker, telegraph"),
        ("device.noise.flicker.amplitud", r"amplitud is not a field of flicker \(did you mean amplitude\?\)"),
        ("device.noise.3.amplitude", "there is no entry 3, of 1"),
    ],
)
def test_a_wrong_path_to_a_source_of_noise_is_refused(path, problem):
    base = Design.of({"device": Device.named("ideal").as_dict() | {"noise": [FLICKER]}})
    with pytest.raises(InputError, match=problem):
        fields.annotation(base.as_dict(), path)
