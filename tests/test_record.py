"""Records: round trips and one-sentence errors."""

from __future__ import annotations

import contextlib
import importlib
import math
import pickle
import pkgutil

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

import aimco
import aimco as ai
from aimco.design import Design
from aimco.device.device import Device
from aimco.ensemble import repeat, stack
from aimco.errors import limits
from aimco.record import InputError, Record


def test_an_error_of_a_field_reaches_another_process():
    """As multiprocessing sends it: a pool whose answers cannot be unpickled waits for ever."""
    with pytest.raises(InputError) as caught:
        Design.of({"device": "ideal", "rule": {"kind": "sgd", "lr": "fast"}})
    again = pickle.loads(pickle.dumps(caught.value))
    assert (type(again), str(again), again.path) == (type(caught.value), str(caught.value), "rule.lr")


def test_a_design_survives_toml(tmp_path):
    design = Design(device="soft-bounds", rule={"kind": "tiki-taka", "gamma": 0.1}, network={"hidden": [16, 8]})  # type: ignore[arg-type]
    design.save(tmp_path / "d.toml")
    again = Design.load(tmp_path / "d.toml")
    assert again == design
    assert again.hash() == design.hash()
    assert again.dumps() == design.dumps()


@given(st.floats(1e-9, 1e-6), st.integers(1, 31))
def test_replace_changes_one_field_and_the_hash(step, length):
    design = Design(device="ideal")  # type: ignore[arg-type]
    other = design.replace("device.response.step_up", step).replace("periphery.pulses.length", length)
    assert other.device.response.step_up == step
    assert other.periphery.pulses.length == length
    assert (other.hash() == design.hash()) == (other == design)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("periphery.adc.bits", 40.0, "periphery.adc.bits must be in 2..24"),
        ("periphery.pulses.length", 40, "periphery.pulses.length must be in 1..31"),
        ("device.g_max", float("nan"), "device.g_max must be greater than 0 S, got nan"),
        ("device.g_max", "high", "device.g_max must be a number"),
        ("device.g_min", 1e-3, "device.g_max must be greater than g_min"),
        ("periphery.adc.bits", 4.0, "periphery.adc.range_A must be finite for an ADC of 4 bits"),
        ("training.epochs", 0, "training.epochs must be in 1..100000"),
        ("rule.kind", "sdg", "did you mean sgd"),
        ("device.respons", 1.0, "did you mean response"),
        ("device.spread", {"stp": 0.1}, "did you mean step"),
        ("technology", "", "technology must name"),
        ("device.response.step_up", float("inf"), "device.response.step_up must be finite, got inf"),
        ("device.response.step_down", 2e-6, "device.response.step_down must be at most g_max - g_min = 1e-06 S, got 2e-06"),
        ("device.read_noise", 1e5, "device.read_noise must be at most 1000 (g_max - g_min) = 0.001 S, got 100000"),
        ("device.reset_noise", 1.0, "device.reset_noise must be at most 1000 (g_max - g_min) = 0.001 S, got 1"),
        ("device.sources", {"g_min": 1.0}, "device.sources.g_min must be a text"),
        ("training.sample_s", float("inf"), "training.sample_s must be finite, got inf"),
    ],
)
def test_wrong_values_are_refused_in_one_sentence(path, value, words):
    with pytest.raises(InputError) as caught:
        Design(device="ideal").replace(path, value)  # type: ignore[arg-type]
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def records(base: type[Record] = Record) -> list[type[Record]]:
    """Every record that comes with aimco."""
    for module in pkgutil.walk_packages(aimco.__path__, "aimco."):
        if not module.name.startswith("aimco.peers") and not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    classes = [cls for sub in base.__subclasses__() for cls in (sub, *records_below(sub))]
    return [cls for cls in dict.fromkeys(classes) if cls.__module__.startswith("aimco.")]


def records_below(cls: type[Record]) -> list[type[Record]]:
    return [c for sub in cls.__subclasses__() for c in (sub, *records_below(sub))]


def test_only_fields_without_a_limit_by_default_take_infinity():
    """No field of any record takes it but those whose default it is; nested records have fields of their own."""
    taken = {}
    for cls in records():
        for name, field in cls.model_fields.items():
            if field.annotation not in (float, float | None) or {"lt", "le"} & set(limits(field)):
                continue
            with contextlib.suppress(PydanticCustomError):
                cls.model_construct(**dict.fromkeys(cls.model_fields, ())).model_copy(update={name: math.inf})._finite()
                taken[name] = field.default
    assert set(taken) == {"retention_s", "bits", "range_A", "swing_V", "leak_s", "limit"}
    assert set(taken.values()) == {math.inf}


def test_unknown_device_is_named_with_a_suggestion():
    with pytest.raises(InputError, match="did you mean soft-bounds"):
        Device.named("soft-bound")


def test_stack_refuses_what_is_not_a_number():
    a = Design(device="ideal")  # type: ignore[arg-type]
    assert stack([a, a]) is a
    with pytest.raises(InputError, match=r"training\.epochs differs"):
        stack([a, a.replace("training.epochs", 3)])


def test_a_users_own_response_works_from_a_file(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from math import cos\n"
        "from aimco.device.response import Response\n"
        "SCALE = 0.5\n"
        "base = 0.5  # also a name of the kernel\n"
        "class Mine(Response):\n"
        "    '''Steps that follow a cosine.'''\n"
        "    width: float = 1.0\n"
        "    @staticmethod\n"
        "    def step(g, up, p):\n"
        "        return p.step_up * (SCALE + base * cos(p.width * g)) if up else -p.step_down\n"
    )
    import torch

    from aimco.arrays.crossbar import Crossbar

    kind = f"{tmp_path / 'mine.py'}:Mine"
    device = Device.of(
        {"g_min": 0.0, "g_max": 2.0, "response": {"kind": kind, "step_up": 0.01, "step_down": 0.01}, "spread": {"width": 0.1}}
    )
    array = Crossbar(device, 4, 4)
    array.pulse_rows(torch.full(array.shape, 10, dtype=torch.int32))
    assert torch.allclose(array.state, torch.full((), 0.1), atol=1e-3)
    assert Device.of(device.as_dict()) == device
    (tmp_path / "mine.py").write_text((tmp_path / "mine.py").read_text().replace("SCALE = 0.5", "SCALE = 0.4"))
    changed = Crossbar(Device.of(device.as_dict()), 4, 4)
    changed.pulse_rows(torch.full(changed.shape, 10, dtype=torch.int32))
    assert torch.allclose(changed.state, torch.full((), 0.09), atol=1e-3)


def test_what_is_absent_stays_absent_in_plain_data():
    """A field that is None where its default is something else is the word "none" in TOML, and comes back as None."""
    pair = ai.Cell.of({"kind": "pair", "refresh_every": None})
    assert pair.as_dict()["refresh_every"] == "none"
    assert ai.Cell.of(pair.as_dict()) == pair
    assert ai.Cell.of({"kind": "pair"}).refresh_every == 1000


FLICKER = {"kind": "flicker", "amplitude": 0.1, "f_low": 1.0, "f_high": 10.0}
TELEGRAPH = {"kind": "telegraph", "amplitude": 0.2, "capture_s": 1.0, "emission_s": 2.0}


def test_a_path_names_one_of_several_records_by_its_kind_or_its_number():
    """Set, changed, made where there is none of its kind, and taken out."""
    design = ai.Design.of({"device": ai.Device.named("ideal").as_dict() | {"noise": [FLICKER, TELEGRAPH]}})
    for path in ("device.noise.telegraph.amplitude", "device.noise.1.amplitude"):
        assert [n.amplitude for n in design.replace(path, 0.5).device.noise] == [0.1, 0.5]
    assert [n.kind for n in design.replace("device.noise.flicker", None).device.noise] == ["telegraph"]
    assert design.replace("device.noise.1", FLICKER).device.noise == (design.device.noise[0],) * 2
    bare = ai.Design.of({"device": "ideal"})
    spec = bare.replace("device.noise.telegraph", {n: v for n, v in TELEGRAPH.items() if n != "kind"})
    assert spec.device.noise == design.device.noise[1:]
    assert bare.hash() != spec.hash()


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("device.noise.2.amplitude", "there is no entry 2, of 2 that count from 0"),
        ("device.noise.flicker.amplitude", "2 entries are of kind flicker; name one by its number, 0 for the first"),
        ("device.noise.0.amplitud", r"amplitud is not a field \(did you mean amplitude\?\)"),
        ("device.noise.flickr.amplitude", r"kind 'flickr' is unknown \(did you mean flicker\?\)"),
        ("device.noise.0.amplitude", r"device\.noise\.0\.amplitude must be in 0\.\.10"),
    ],
)
def test_a_wrong_path_into_several_records_is_refused_in_one_sentence(path, problem):
    design = ai.Design.of({"device": ai.Device.named("ideal").as_dict() | {"noise": [FLICKER, FLICKER]}})
    with pytest.raises(ai.InputError, match=problem):
        design.replace(path, 20.0)


def test_records_in_a_list_are_stacked_one_by_one():
    plain = ai.Device.named("ideal").as_dict()
    members = [ai.Device.of(plain | {"noise": [FLICKER, TELEGRAPH | {"amplitude": a}]}) for a in (0.2, 0.3)]
    flicker, telegraph = stack(members).noise
    assert (flicker, telegraph.amplitude) == (members[0].noise[0], (0.2, 0.3))
    assert repeat(stack(members), 2).noise[1].amplitude == (0.2, 0.2, 0.3, 0.3)
    with pytest.raises(ai.InputError, match=r"noise\.1\.traps differs within one ensemble"):
        stack([members[0], members[1].replace("noise.1.traps", 2)])


@pytest.mark.parametrize(
    ("parts", "path", "value", "old"),
    [
        ({"rule": {"kind": "tiki-taka-v2", "most_pulses": 3}}, "rule.max_pulses", 3, "most_pulses"),
        ({"rule": {"kind": "residual", "arrays_used": 4}}, "rule.num_arrays", 4, "arrays_used"),
        (
            {"rule": {"kind": "contrastive-divergence", "moves": "ideal"}, "network": {"kind": "spiking-rbm"}},
            "rule.update_mode",
            "ideal",
            "moves",
        ),
        ({"periphery": {"adc": {"lines": 2}}}, "periphery.adc.shared_by", 2, "lines"),
    ],
)
def test_fields_answer_to_the_names_they_had(parts, path, value, old):
    """In a file, and in a path of `replace`; both names at once are refused."""
    with pytest.warns(DeprecationWarning, match=rf"{old} is now {path.split('.')[-1]}"):
        design = Design.of({"device": "ideal"} | parts)
    owner = design
    for name in path.split("."):
        owner = getattr(owner, name)
    assert owner == value
    with pytest.warns(DeprecationWarning, match=f"{old} is now"):
        assert design.replace(f"{path.rsplit('.', 1)[0]}.{old}", value) == design
    *parents, last = path.split(".")
    both = design.as_dict()
    inner = both
    for name in parents:
        inner = inner[name]
    inner[old] = value
    with pytest.warns(DeprecationWarning), pytest.raises(InputError, match=f"{old} must be left out beside {last}, which is its name now"):
        Design.of(both)
