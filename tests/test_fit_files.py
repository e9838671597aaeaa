"""Laws of `aimco fit`: any file is fitted or refused in one sentence; nothing is ever half written, silent or not a number."""

from __future__ import annotations

import json
import math
import runpy
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import aimco as ai
from aimco.cli import main
from aimco.device.fit.files import characterise
from aimco.record import InputError

EXAMPLE = Path(__file__).parent.parent / "examples" / "bring-your-device"


def test_the_example_is_made_by_its_script(tmp_path):
    """The CSV files of the repository, byte for byte."""
    script = runpy.run_path(str(EXAMPLE / "make_pulses.py"))
    assert script["pulses"]() == (EXAMPLE / "pulses.csv").read_text()
    assert script["retention"]() == (EXAMPLE / "retention.csv").read_text()


def test_a_fit_writes_a_datasheet_and_pictures(tmp_path, capsys):
    files = [str(EXAMPLE / "pulses.csv"), str(EXAMPLE / "retention.csv")]
    assert main(["fit", *files, "-o", str(tmp_path / "mine.toml")]) == 0
    text = capsys.readouterr().out
    assert "soft-bounds" in text
    assert "Requirement rpu" in text
    device = ai.Device.load(tmp_path / "mine.toml")
    assert device.name == "mine"
    assert device.retention_s == pytest.approx(7200, rel=0.03)
    assert device.cycle_noise == pytest.approx(0.3, rel=0.1)
    assert device.read_noise == pytest.approx(10e-9, rel=0.2)
    for picture in ("mine.png", "mine.retention.png"):
        assert (tmp_path / picture).read_bytes().startswith(b"\x89PNG")
    assert main(["devices", str(tmp_path / "mine.toml")]) == 0


def test_json_of_a_fit_is_one_document(tmp_path, capsys):
    assert main(["fit", str(EXAMPLE / "pulses.csv"), "-o", str(tmp_path / "mine.toml"), "--json"]) == 0
    output = json.loads(capsys.readouterr().out)
    read = output["estimates"]["read_noise"]
    assert read["low"] < 10e-9 < read["high"]
    assert set(output) >= {"device", "estimates", "families", "goodness", "verdict", "notes"}
    assert output["estimates"]["step_up"]["low"] < output["device"]["response"]["step_up"] < output["estimates"]["step_up"]["high"]
    assert output["families"][output["device"]["response"]["kind"]] >= 0


BAD = {
    "empty": b"",
    "no numbers": b"polarity,conductance\nup,high\ndown,low\nup,high\n",
    "negative conductance": b"polarity,conductance_uS\nup,1\nup,-2\nup,3\nup,4\n",
    "one pulse": b"polarity,conductance_uS\nup,1\n",
    "all equal": b"polarity,conductance_uS\n" + b"up,1\n" * 20,
    "mixed units": b"polarity,conductance_uS\nup,1 uS\nup,2 nS\nup,3 V\nup,4 uS\n",
    "wrong encoding": "polarity,conductance\nup,1\nup,2\n".encode("utf-16")[3:],
    "binary": bytes(range(256)) * 10,
    "no ramps": b"polarity,conductance_uS\n" + b"up,1\ndown,2\n" * 20,
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_sentence_and_leaves_no_file(name, tmp_path, capsys):
    (tmp_path / "bad.csv").write_bytes(BAD[name])
    assert main(["fit", str(tmp_path / "bad.csv"), "-o", str(tmp_path / "out.toml")]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert "bad.csv" in lines[-1]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bad.csv"]


def test_a_file_of_a_gigabyte_is_refused_at_once(tmp_path, capsys):
    with open(tmp_path / "big.csv", "wb") as file:
        file.truncate(2**30)
    assert main(["fit", str(tmp_path / "big.csv")]) == 2
    assert "MB" in capsys.readouterr().err


def test_two_files_of_pulses_are_refused():
    with pytest.raises(InputError, match="one file of pulses"):
        characterise([str(EXAMPLE / "pulses.csv")] * 2)


def assert_whole(result) -> None:
    """No number of the datasheet that is not a number."""

    def numbers(data):
        if isinstance(data, dict):
            for value in data.values():
                yield from numbers(value)
        elif isinstance(data, list | tuple):
            for value in data:
                yield from numbers(value)
        elif isinstance(data, float):
            yield data

    assert result.device is None or not any(math.isnan(v) for v in numbers(result.device.as_dict()))


@settings(max_examples=75, suppress_health_check=[HealthCheck.too_slow])
@given(
    draws=st.randoms(use_true_random=False),
    rows=st.integers(3, 60),
    devices=st.integers(1, 3),
    shape=st.sampled_from(["noise", "steps", "constant ends", "huge", "tiny", "few values"]),
    words=st.sampled_from([("up", "down"), ("set", "reset"), ("1", "-1"), None]),
    unit=st.sampled_from(["conductance_uS", "counts", "current_nA"]),
)
def test_any_table_is_fitted_or_refused(tmp_path_factory, draws, rows, devices, shape, words, unit):
    lines = ["device," + ("" if words is None else "polarity,") + unit]
    for d in range(devices):
        level = 5.0
        run = draws.randint(1, 12)
        for k in range(rows):
            up = (k // run) % 2 == 0
            level += {"noise": draws.gauss(0, 1), "few values": 0.0}.get(shape, (1 if up else -1) * draws.random())
            value = {"huge": 1e30, "tiny": 1e-30}.get(shape, 1.0) * abs(level)
            value = (
                float(min(max(value, 3), 6)) if shape == "constant ends" else float(draws.randint(1, 3)) if shape == "few values" else value
            )
            lines.append(f"{d}," + ("" if words is None else f"{words[0] if up else words[1]},") + f"{value:.6g}")
    file = tmp_path_factory.getbasetemp() / "any.csv"
    file.write_text("\n".join(lines) + "\n")
    try:
        assert_whole(characterise([str(file)]))
    except InputError as refusal:
        assert "\n" not in str(refusal)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.binary(max_size=400), name=st.sampled_from(["m.csv", "m.txt", "m.npz"]))
def test_random_bytes_are_refused(tmp_path_factory, data, name):
    file = tmp_path_factory.getbasetemp() / name
    file.write_bytes(data)
    try:
        assert_whole(characterise([str(file)]))
    except InputError as refusal:
        assert name in str(refusal)
        assert "\n" not in str(refusal)


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(place=st.integers(0, 10**6), text=st.text(max_size=4), cut=st.integers(0, 60))
def test_a_damaged_file_is_fitted_or_refused(tmp_path_factory, place, text, cut):
    whole = "\n".join((EXAMPLE / "pulses.csv").read_text().splitlines()[:200])
    at = place % len(whole)
    file = tmp_path_factory.getbasetemp() / "damaged.csv"
    file.write_bytes((whole[:at] + text + whole[at + cut :]).encode("utf-8", "surrogatepass"))
    try:
        result = characterise([str(file)])
    except InputError as refusal:
        assert "\n" not in str(refusal)
        return
    assert_whole(result)
    assert all(np.isfinite(e.value) or name.startswith(("spread", "symmetry")) for name, e in result.estimates.items())
