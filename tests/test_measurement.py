"""Measured files: each format is read for what it says, and what is wrong is refused in one sentence."""

from __future__ import annotations

import csv
import io
import random
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aimco.device.measurement import JumpTables, Measurement, Retention, Trace, read
from aimco.device.measurement.headers import quantity
from aimco.record import InputError

UP_DOWN = "pulse,polarity,G (uS)\n1,up,1\n2,up,2\n3,up,3\n4,down,2\n5,down,1\n6,up,2.5\n7,down,1.5\n"
JUMPS = "G bins, points, changes\n1e-6, 2e-6, 3e-6\n0.0,0.25,0.5,1.0\n" + "1e-8,2e-8,1e-8\n" * 4


def read_text(folder: Path, text: str | bytes, *, name: str = "m.csv", **options):
    file = folder / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read(file, **options)


def pulses(folder: Path, text: str | bytes, **options) -> Measurement:
    measurement = read_text(folder, text, **options)
    assert isinstance(measurement, Measurement)
    assert_valid(measurement)
    return measurement


def only(measurement: Measurement) -> Trace:
    assert len(measurement.traces) == 1
    return measurement.traces[0]


def assert_valid(measurement) -> None:
    """What every structure that comes out of `read` keeps."""
    assert all(isinstance(n, str) and "\n" not in n for n in measurement.notes)
    if isinstance(measurement, JumpTables):
        for g, cdf, dg in (measurement.up, measurement.down):
            assert dg.shape == (len(cdf), len(g))
            assert all(np.isfinite(a).all() for a in (g, cdf, dg))
        return
    assert measurement.unit in ("S", "A", "V", "a.u.")
    if isinstance(measurement, Retention):
        assert measurement.devices
        for _, seconds, level in measurement.devices:
            assert len(seconds) == len(level) >= 3
            assert np.isfinite(level).all()
            assert (np.diff(seconds) >= 0).all()
        return
    assert measurement.traces
    for t in measurement.traces:
        assert len(t.level) == len(t.cycle) == len(t.polarity) == len(t.pulses) >= 3
        assert (t.level.dtype, t.cycle.dtype, t.polarity.dtype, t.pulses.dtype) == (np.float64, np.int64, np.int8, np.int64)
        assert np.isfinite(t.level).all()
        assert measurement.unit != "S" or (t.level >= 0).all()
        assert set(t.polarity) <= {-1, 0, 1, 2}
        assert t.polarity[0] == 0
        assert ((t.pulses == 0) == (t.polarity == 0)).all()
        assert (t.pulses >= 0).all()
        assert t.cycle.min() == 0
        assert t.time_s is None or (len(t.time_s) == len(t.level) and np.isfinite(t.time_s).all())


# tidy tables


def test_a_tidy_table_is_read_by_its_names(tmp_path):
    measurement = pulses(tmp_path, UP_DOWN)
    trace = only(measurement)
    assert (measurement.unit, measurement.source, trace.device) == ("S", "m.csv", "1")
    assert trace.level == pytest.approx(np.array([1, 2, 3, 2, 1, 2.5, 1.5]) * 1e-6, rel=1e-15)
    assert trace.polarity.tolist() == [0, 1, 1, -1, -1, 1, -1]
    assert trace.cycle.tolist() == [0, 0, 0, 0, 0, 1, 1]
    assert trace.pulses.tolist() == [0, 1, 1, 1, 1, 1, 1]
    assert trace.time_s is None


@pytest.mark.parametrize(
    ("up", "down"),
    [
        ("up", "down"),
        ("SET", "RESET"),
        ("p", "d"),
        ("LTP", "LTD"),
        ("Potentiation", "Depression"),
        ("+1", "-1"),
        ("1", "0"),
        ("1.0", "-1.0"),
        ("positive", "negative"),
    ],
)
def test_polarity_words(tmp_path, up, down):
    rows = "".join(f"{w},{v}\n" for w, v in zip([up, up, up, down, down, up], [1, 2, 3, 2, 1, 2], strict=True))
    assert only(pulses(tmp_path, "Direction,conductance\n" + rows)).polarity.tolist() == [0, 1, 1, -1, -1, 1]


def test_the_sign_of_the_pulse_voltage_is_the_polarity(tmp_path):
    text = "V_pulse (V),Id (nA)\n0,10\n1.2,20\n1.2,30\n-1.1,25\n0,25\n-1.1,20\n"
    measurement = pulses(tmp_path, text, read_voltage=0.1)
    assert only(measurement).polarity.tolist() == [0, 1, 1, -1, 0, -1]
    assert only(measurement).level == pytest.approx([1e-7, 2e-7, 3e-7, 2.5e-7, 2.5e-7, 2e-7], rel=1e-14)
    assert (measurement.unit, measurement.read_voltage) == ("S", 0.1)


def test_a_plain_voltage_of_both_signs_is_that_of_the_pulses(tmp_path):
    assert only(pulses(tmp_path, "voltage,g_us\n1,1\n1,2\n1,3\n-1,2\n")).polarity.tolist() == [0, 1, 1, -1]


@pytest.mark.parametrize(
    ("header", "value", "si", "unit"),
    [
        ("conductance", 2, 2, "S"),
        ("G (mS)", 2, 2e-3, "S"),
        ("G [µS]", 2, 2e-6, "S"),
        ("g_us", 2, 2e-6, "S"),
        ("Conductance / nS", 2, 2e-9, "S"),
        ("g_pS", 2, 2e-12, "S"),
        ("Resistance (kOhm)", 4, 2.5e-4, "S"),
        ("R (kΩ)", 4, 2.5e-4, "S"),
        ("r_MOhm", 4, 2.5e-7, "S"),
        ("I_D (A)", 2, 2, "A"),
        ("current_uA", 2, 2e-6, "A"),
        ("drain current (pA)", 2, 2e-12, "A"),
        ("vcap_V", 2, 2, "V"),
        ("Vcap (mV)", 2, 2e-3, "V"),
        ("adc_counts", 2, 2, "a.u."),
        ("weight", 2, 2, "a.u."),
        ("value (a.u.)", 2, 2, "a.u."),
        ("value (uS)", 2, 2e-6, "S"),
        ("G (a.u.)", 2, 2, "a.u."),
        ("my own name", 2, 2, "a.u."),
    ],
)
def test_units_become_si(tmp_path, header, value, si, unit):
    measurement = pulses(tmp_path, f"polarity\t{header}\nup\t{value}\nup\t{value * 2}\nup\t{value * 4}\n")
    assert measurement.unit == unit
    assert only(measurement).level[0] == pytest.approx(si, rel=1e-14)


@pytest.mark.parametrize(
    ("header", "unit"), [("Time (s)", 1.0), ("time_min", 60.0), ("t (ms)", 1e-3), ("t_us", 1e-6), ("elapsed time (h)", 3600.0)]
)
def test_times_become_seconds(tmp_path, header, unit):
    measurement = read_text(tmp_path, f"{header},vcap_V\n0,0.9\n10,0.8\n20,0.75\n30,0.7\n")
    assert isinstance(measurement, Retention)
    assert_valid(measurement)
    assert measurement.devices[0][1] == pytest.approx(np.array([0, 10, 20, 30]) * unit, rel=1e-14)
    assert measurement.unit == "V"


def test_units_in_cells_are_converted_each(tmp_path):
    measurement = pulses(tmp_path, "polarity,G\nup,2 uS\nup,0.1 mS\nup,3e-4 S\ndown,200000nS\n")
    assert only(measurement).level == pytest.approx([2e-6, 1e-4, 3e-4, 2e-4], rel=1e-14)


def test_devices_and_cycles_are_told_apart(tmp_path):
    rows = [
        ("B", 3, "up", 1.0),
        ("A", 1, "up", 5.0),
        ("B", 3, "up", 2.0),
        ("A", 1, "up", 6.0),
        ("B", 4, "down", 1.5),
        ("A", 7, "down", 5.5),
    ]
    measurement = pulses(tmp_path, "chip;cycle;type;g_uS\n" + "".join(";".join(map(str, r)) + "\n" for r in rows))
    assert [t.device for t in measurement.traces] == ["B", "A"]
    assert [t.level.tolist() for t in measurement.traces] == [pytest.approx([1e-6, 2e-6, 1.5e-6]), pytest.approx([5e-6, 6e-6, 5.5e-6])]
    assert [t.cycle.tolist() for t in measurement.traces] == [[0, 0, 1], [0, 0, 1]]


def test_two_columns_that_name_devices_are_joined(tmp_path):
    rows = "".join(f"c{c},{k},{w},{k + c + v}\n" for c in (1, 2) for k in (1, 2) for v, w in enumerate(("up", "up", "up", "down")))
    assert [t.device for t in pulses(tmp_path, "chip,cell,polarity,value\n" + rows).traces] == ["c1/1", "c1/2", "c2/1", "c2/2"]


def test_pulses_between_readings_come_from_their_numbers(tmp_path):
    text = "n,polarity,g_us\n0,up,1\n10,up,2\n20,up,3\n30,down,2\n30,down,2.1\n50,down,1\n"
    trace = only(pulses(tmp_path, text))
    assert trace.pulses.tolist() == [0, 10, 10, 10, 0, 20]
    assert trace.polarity.tolist() == [0, 1, 1, -1, 0, -1]


def test_numbers_that_begin_again_or_are_counted_down_are_understood(tmp_path):
    again = only(pulses(tmp_path, "n,polarity,g_us\n10,up,1\n20,up,2\n30,up,3\n10,down,2\n20,down,1\n"))
    assert again.pulses.tolist() == [0, 10, 10, 10, 10]
    back = only(pulses(tmp_path, "n,polarity,g_us\n0,up,1\n5,up,2\n10,up,3\n5,down,2\n0,down,1\n"))
    assert back.pulses.tolist() == [0, 5, 5, 5, 5]


def test_settings_are_found_in_columns_and_before_the_table(tmp_path):
    text = "# pulse width = 100 ns\n# read voltage: 0.2 V\npolarity,I (uA)\nup,1\nup,2\ndown,1.5\n"
    measurement = pulses(tmp_path, text)
    assert measurement.pulse_width_s == pytest.approx(1e-7)
    assert (measurement.read_voltage, measurement.unit) == (0.2, "S")
    assert only(measurement).level == pytest.approx([5e-6, 1e-5, 7.5e-6])
    measurement = pulses(tmp_path, "pulse_width_us,v_read,polarity,i_uA\n3,0.1,up,1\n3,0.1,up,2\n3,0.2,down,2\n")
    assert measurement.pulse_width_s == pytest.approx(3e-6)
    assert measurement.read_voltage is None
    assert only(measurement).level == pytest.approx([1e-5, 2e-5, 1e-5])


@pytest.mark.parametrize(
    ("lengths", "abrupt"), [((5, 1, 5, 1, 4), True), ((5, 5, 5, 5), False), ((1, 1, 1, 1), False), ((5, 1, 2, 1, 5), False)]
)
def test_a_lone_reset_between_ramps_is_abrupt(tmp_path, lengths, abrupt):
    words = [w for k, n in enumerate(lengths) for w in ["reset" if k % 2 else "set"] * n]
    measurement = pulses(tmp_path, "polarity,g_us\n" + "".join(f"{w},{1 + k % 3}\n" for k, w in enumerate(words)))
    assert (2 in only(measurement).polarity) is abrupt
    assert (-1 in only(measurement).polarity) is not abrupt
    assert only(measurement).cycle[-1] == (len(lengths) - 1) // 2


# found from the values


def triangle(cycles: int, run: int, noise: float, seed: int = 0, step: float = 0.4) -> np.ndarray:
    ramp = np.arange(run) * step
    return np.tile(np.concatenate([ramp, ramp[::-1]]), cycles) + np.random.default_rng(seed).normal(0, noise, 2 * cycles * run)


@given(
    cycles=st.integers(1, 5),
    run=st.integers(100, 1000),
    noise=st.sampled_from([0.0, 0.2, 1.8]),
    seed=st.integers(0, 99),
    fall=st.booleans(),
)
@settings(max_examples=40)
def test_runs_are_found_under_noise_of_several_steps(cycles, run, noise, seed, fall):
    level = triangle(cycles, run, noise, seed) * (-1 if fall else 1)
    text = "adc_counts\n" + "".join(f"{v:.6g}\n" for v in level)
    with tempfile.TemporaryDirectory() as folder:
        trace = only(pulses(Path(folder), text))
    true = np.tile(np.repeat([1, -1], run), cycles) * (-1 if fall else 1)
    assert trace.cycle[-1] == cycles - 1
    assert np.mean(trace.polarity[1:] != true[1:]) < 0.05
    assert run < 300 or (trace.polarity[1:] == true[1:]).all()


def test_runs_of_saturating_ramps_are_found(tmp_path):
    ramp = 1 - np.exp(-np.arange(200) / 25)
    level = np.tile(np.concatenate([ramp, 1 - ramp]), 3) + np.random.default_rng(1).normal(0, 0.03, 1200)
    trace = only(pulses(tmp_path, "pulse,value\n" + "".join(f"{k},{v:.5f}\n" for k, v in enumerate(level))))
    assert trace.polarity[1:].tolist() == np.tile(np.repeat([1, -1], 200), 3)[1:].tolist()


def test_pulses_with_times_are_not_retention(tmp_path):
    rows = "".join(f"{k * 0.5},{v:.4f}\n" for k, v in enumerate(triangle(2, 50, 0.1)))
    trace = only(pulses(tmp_path, "Time (s),Ig\n" + rows.replace(",-", ",")))
    assert trace.time_s is not None
    assert trace.cycle[-1] == 1


# ramps in columns


@pytest.mark.parametrize("header", ["", "up,down\n", "Set,Reset\n", "potentiation,depression\n", "LTP,LTD\n", "# up,down\n"])
def test_two_columns_are_an_up_ramp_and_the_down_ramp_after_it(tmp_path, header):
    measurement = pulses(tmp_path, header + "-1,0.9\n-0.5,0.4\n0.1,-0.2\n0.8,-0.9\n")
    assert only(measurement).level.tolist() == [-1, -0.5, 0.1, 0.8, 0.9, 0.4, -0.2, -0.9]
    assert only(measurement).polarity.tolist() == [0, 1, 1, 1, -1, -1, -1, -1]
    assert not only(measurement).cycle.any()
    assert measurement.unit == "a.u."


@pytest.mark.parametrize(
    "names", ["set_1,reset_1,set_2,reset_2", "up1,down1,up2,down2", "Set 1,Reset 1,Set 2,Reset 2", "ltp_1,ltd_1,ltp_2,ltd_2"]
)
def test_columns_are_ramps_of_cycles_and_may_end_early(tmp_path, names):
    trace = only(pulses(tmp_path, names + "\n1,3,1.1,3.1\n2,2,2.1,\n3,,3.1,\n"))
    assert trace.level.tolist() == [1, 2, 3, 3, 2, 1.1, 2.1, 3.1, 3.1]
    assert trace.polarity.tolist() == [0, 1, 1, -1, -1, 1, 1, 1, -1]
    assert trace.cycle.tolist() == [0] * 5 + [1] * 4


def test_a_prefix_of_a_ramp_names_the_device(tmp_path):
    measurement = pulses(tmp_path, "dev1_set_1 (uS),dev1_reset_1 (uS),dev2_set_1 (uS)\n1,3,7\n2,2,8\n3,1,9\n")
    assert [(t.device, len(t.level)) for t in measurement.traces] == [("dev1", 6), ("dev2", 3)]
    assert measurement.unit == "S"
    assert measurement.traces[1].level == pytest.approx([7e-6, 8e-6, 9e-6])


def test_up_ramps_alone_begin_after_something_unknown(tmp_path):
    trace = only(pulses(tmp_path, "up_1,up_2\n1,1.5\n2,2.5\n3,3.5\n"))
    assert trace.polarity.tolist() == [0, 1, 1, 0, 1, 1]


# instruments


def test_easyexpert_text_is_read_behind_its_preamble(tmp_path):
    preamble = "SetupTitle, PulseTest\nPrimitiveTest, I/V-t Sampling\nTestParameter, Channel.Index, 1, 2\nMetaData, TestRecord.Remarks, \n"
    rows = "".join(f"DataValue, {k * 0.01}, {1e-9 * (1 + min(k, 39 - k))}\n" for k in range(40))
    measurement = pulses(tmp_path, preamble + "Dimension1, 40, 40\nDataName, Time, Ig\n" + rows)
    assert measurement.unit == "A"
    assert only(measurement).polarity[1:].tolist() == [1] * 19 + [-1] * 20
    assert only(measurement).time_s[-1] == pytest.approx(0.39)


def test_keithley_text_is_read_behind_its_preamble(tmp_path):
    preamble = "Keithley 4200A-SCS\r\nSite,1\r\nDate,2024/05/01 12:30\r\nRead Voltage (V),0.1\r\n\r\n"
    measurement = pulses(tmp_path, preamble + "Pulse,Polarity,Time (s),I_D (A)\r\n0,up,0.0,1e-7\r\n1,up,0.1,2e-7\r\n2,down,0.2,1.5e-7\r\n")
    assert (measurement.unit, measurement.read_voltage) == ("S", 0.1)
    assert only(measurement).level == pytest.approx([1e-6, 2e-6, 1.5e-6])
    assert only(measurement).time_s == pytest.approx([0, 0.1, 0.2])


# retention


def test_retention_has_a_device_in_each_column_or_row(tmp_path):
    wide = read_text(tmp_path, "time_h,g_1 (uS),g_2 (uS)\n0,5,6\n1,4,5.5\n2,3.5,5.2\n")
    assert isinstance(wide, Retention)
    assert [name for name, _, _ in wide.devices] == ["1", "2"]
    columns = read_text(tmp_path, "time_s,cellA,cellB\n0,5,6\n1,4,5.5\n2,3.5,5.2\n")
    assert isinstance(columns, Retention)
    assert ([name for name, _, _ in columns.devices], columns.unit) == (["cellA", "cellB"], "a.u.")
    long = read_text(tmp_path, "device,time,g_us\na,0,5\na,1,4\na,2,3.5\nb,0,6\nb,10,5.5\nb,20,5\n")
    assert isinstance(long, Retention)
    assert [(name, t[-1]) for name, t, _ in long.devices] == [("a", 2), ("b", 20)]
    for measurement in (wide, columns, long):
        assert_valid(measurement)


# jump tables


@pytest.mark.parametrize("separator", [",", ", ", " ", "\t"])
def test_a_pair_of_jump_tables_is_read_in_any_order_and_from_its_folder(tmp_path, separator):
    down = JUMPS.replace("1e-8", "-1e-8").replace("2e-8", "-2e-8")
    for name, text in (("dG_increasing.txt", JUMPS), ("dG_decreasing.txt", down)):
        title, rest = text.split("\n", 1)
        (tmp_path / name).write_text(title + "\n" + rest.replace(", ", ",").replace(",", separator))
    a, b = tmp_path / "dG_increasing.txt", tmp_path / "dG_decreasing.txt"
    for measurement in (read(a, b), read(b, a), read(tmp_path)):
        assert isinstance(measurement, JumpTables)
        assert_valid(measurement)
        assert measurement.up[2].shape == measurement.down[2].shape == (4, 3)
        assert measurement.up[2].mean() > 0 > measurement.down[2].mean()


def test_jump_tables_without_telling_names_go_by_their_sign(tmp_path):
    (tmp_path / "a.txt").write_text(JUMPS.replace("1e-8", "-1e-8").replace("2e-8", "-2e-8"))
    (tmp_path / "b.txt").write_text(JUMPS)
    measurement = read(tmp_path / "a.txt", tmp_path / "b.txt")
    assert isinstance(measurement, JumpTables)
    assert measurement.up[2].mean() > 0 > measurement.down[2].mean()
    assert measurement.notes


def test_jump_tables_of_an_archive(tmp_path):
    g, cdf = np.linspace(1e-6, 2e-6, 5), np.linspace(0, 1, 7)
    dg = np.full((7, 5), 1e-8)
    np.savez(tmp_path / "j.npz", G_up=g, cdf_up=cdf, dG_up=dg, G_down=g, cdf_down=cdf, dG_down=-dg)
    measurement = read(tmp_path / "j.npz")
    assert isinstance(measurement, JumpTables)
    assert_valid(measurement)
    assert measurement.down[2].tolist() == (-dg).tolist()


# text


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "  ", " \t "])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_any_separator_and_line_end(tmp_path, delimiter, end):
    text = UP_DOWN.replace("G (uS)", "g_uS").replace(",", delimiter).replace("\n", end)
    assert only(pulses(tmp_path, text)).level == pytest.approx(np.array([1, 2, 3, 2, 1, 2.5, 1.5]) * 1e-6)


def test_decimal_commas(tmp_path):
    measurement = pulses(tmp_path, "polarity;g_us\nup;1,5\nup;2,5e0\ndown;2\n")
    assert only(measurement).level == pytest.approx([1.5e-6, 2.5e-6, 2e-6])
    assert "commas in column 'g_us' are decimal commas" in measurement.notes


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_encodings(tmp_path, encoding):
    text = "polarity,G (µS)\nup,1\nup,2\ndown,1\n"
    assert only(pulses(tmp_path, text.encode(encoding))).level == pytest.approx([1e-6, 2e-6, 1e-6])


def test_comments_blank_lines_quotes_and_idle_columns_do_not_matter(tmp_path):
    text = '# by hand\n\n"polarity","G (uS)",remark\n\n% here\nup,1,"a, b"\n// there\n\n"up",2,\nup,3,c\n'
    measurement = pulses(tmp_path, text)
    assert only(measurement).level == pytest.approx([1e-6, 2e-6, 3e-6])
    assert "not used: column 'remark'" in measurement.notes


def test_units_in_a_row_of_their_own_belong_to_the_names(tmp_path):
    measurement = pulses(tmp_path, "Polarity\tTime\tConductance\n\tms\tuS\nup\t0\t1\nup\t1\t2\ndown\t2\t1.5\n")
    assert only(measurement).level == pytest.approx([1e-6, 2e-6, 1.5e-6])
    assert only(measurement).time_s == pytest.approx([0, 1e-3, 2e-3])


@given(
    rows=st.lists(st.tuples(st.sampled_from("ABC"), st.sampled_from(["up", "down"]), st.floats(0, 1e-3)), min_size=5, max_size=40),
    extra=st.sampled_from(["# a comment\n", "\n", "   \n", "// \n"]),
    delimiter=st.sampled_from([",", "\t", ";", "  "]),
)
def test_reading_in_bulk_is_reading_line_by_line(rows, extra, delimiter):
    """A comment or an empty line sends a block of rows to the careful reader, quotes to neither; all give the same."""
    lines = [delimiter.join((d, w, repr(v))) + "\n" for d, w, v in rows]
    quoted = [delimiter.join((f'"{d}"', w, repr(v))) + "\n" for d, w, v in rows]
    head = delimiter.join(("device", "polarity", "g")) + "\n"
    with tempfile.TemporaryDirectory() as folder:
        texts = (head + "".join(lines), head + "".join([*lines[:2], extra, *lines[2:]]), head + "".join(quoted))
        outcomes = [outcome_of(Path(folder), text) for text in texts]
    assert outcomes[0] == outcomes[1] == outcomes[2]


def outcome_of(folder: Path, text: str) -> object:
    try:
        measurement = pulses(folder, text)
    except InputError as error:
        return str(error)
    return [(t.device, t.level.tolist(), t.polarity.tolist(), t.cycle.tolist()) for t in measurement.traces]


@st.composite
def tables(draw):
    n = draw(st.integers(3, 30))
    return {
        "level": draw(st.lists(st.floats(1e-3, 1e6), min_size=n, max_size=n).filter(lambda v: min(v) < max(v))),
        "sign": draw(st.lists(st.sampled_from([1, -1]), min_size=n, max_size=n).filter(lambda s: 1 in s)),
        "unit": draw(st.sampled_from([("S", 1.0), ("mS", 1e-3), ("uS", 1e-6), ("nS", 1e-9), ("µS", 1e-6)])),
        "delimiter": draw(st.sampled_from([",", ";", "\t", " "])),
        "decimal": draw(st.sampled_from([".", ","])),
        "preamble": draw(st.sampled_from(["", "# made\n", "Tester,7\nOperator,me\n\n"])),
    }


@given(tables())
def test_what_is_written_is_read_back(table):
    unit, scale = table["unit"]
    comma = table["decimal"] == "," and table["delimiter"] != ","
    out = io.StringIO()
    out.write(table["preamble"])
    writer = csv.writer(out, delimiter=table["delimiter"], lineterminator="\n")
    writer.writerow(["polarity", f"g_{unit}"])
    for sign, level in zip(table["sign"], table["level"], strict=True):
        writer.writerow(["up" if sign > 0 else "down", repr(level).replace(".", ",") if comma else repr(level)])
    with tempfile.TemporaryDirectory() as folder:
        trace = only(pulses(Path(folder), out.getvalue()))
    assert trace.level.tolist() == [v * scale for v in table["level"]]
    assert trace.polarity[1:].tolist() == table["sign"][1:]


# what is refused

WRONG = {
    "empty": ("", "is empty"),
    "no table": ("hello\nworld\n", "no column of numbers"),
    "words only": ("polarity,conductance\nup,high\ndown,low\n", "no column of numbers"),
    "negative conductance": ("polarity,g_us\nup,1\nup,-2\nup,3\n", "line 3, column 'g_us': a conductance must not be negative, got '-2'"),
    "not a number": ("polarity,g_us\nup,1\nup,x\nup,3\n", "line 3, column 'g_us': 'x' is not a number"),
    "underscore": ("polarity,g_us\nup,1\nup,1_0\nup,3\n", "'1_0' is not a number"),
    "nan": ("polarity,g_us\nup,1\nup,nan\nup,3\n", "line 3, column 'g_us': 'nan' is not a finite number"),
    "infinite": ("polarity,g_us\nup,1\nup,1e999\nup,3\n", "'1e999' is not a finite number"),
    "empty cell": ("polarity,g_us\nup,1\nup,\nup,3\n", "line 3, column 'g_us': the cell is empty"),
    "short row": ("polarity,g_us\nup,1\nup\nup,3\n", "line 3, column 'g_us': the cell is empty"),
    "long row": ("polarity,g_us\nup,1\nup,2,9\nup,3\n", "line 3 has 3 cells where the table has 2 columns"),
    "ragged blanks": ("polarity g_us\nup 1\nup\nup 3\n", "line 3 has 1 cells"),
    "other dimension": ("polarity,G\nup,1 uS\nup,2 uA\nup,3 uS\n", "'2 uA' is not a number in S"),
    "units apart": ("polarity,conductance_uS,g_mS\nup,1,2\nup,2,3\nup,3,4\n", "in different units"),
    "two the same": ("polarity,conductance_uS,g_uS\nup,1,2\nup,2,3\nup,3,4\n", "are both a conductance"),
    "device units apart": ("polarity,g1_uS,g2_mS\nup,1,2\nup,2,3\nup,3,4\n", "mixes the units mS and uS"),
    "ramp units apart": ("set_1 (uS),reset_1 (nS)\n1,3\n2,2\n3,1\n", "mixes the units nS and uS"),
    "unit against name": ("polarity,G (kOhm)\nup,1\nup,2\nup,3\n", "is a conductance but has the unit kOhm"),
    "milli or mega": ("polarity,r_mohm\nup,1\nup,2\nup,3\n", "the unit 'mohm', which is not known"),
    "time of no unit": ("time (a.u.),g_us\n0,3\n1,2\n2,1\n", "is a time but has the unit a.u."),
    "names twice": ("time_s,a,a\n0,3,3\n1,2,2\n2,1,1\n", "has two columns 'a'"),
    "unknown unit": ("polarity,G (G0)\nup,1\nup,2\nup,3\n", "the unit 'G0', which is not known"),
    "twice": ("polarity,g_us,polarity\nup,1,up\nup,2,up\nup,3,up\n", "column 'polarity' and column 'polarity' hold the same quantity"),
    "one pulse": ("polarity,g_us\nup,1\nup,2\n", "has only 2 readings"),
    "equal": ("polarity,g_us\nup,2\nup,2\ndown,2\n", "has only equal levels"),
    "word": ("polarity,g_us\nup,1\nsideways,2\nup,3\n", "line 3, column 'polarity': 'sideways' is no polarity"),
    "no pulse": ("polarity,g_us\n0,1\n0,2\n0,3\n", "'0' stands in every row"),
    "0 V pulses": ("v_pulse,g_us\n0,1\n0,2\n0,3\n", "pulse voltages of 0 V only"),
    "0 V read": ("polarity,i_uA,v_read\nup,1,0.1\nup,2,0\nup,3,0.1\n", "line 3, column 'v_read': a read voltage must not be 0 V"),
    "0 V before": ("read voltage,0\npolarity,i_uA\nup,1\nup,2\nup,3\n", "has a read voltage of 0.0 V"),
    "both signs of current": ("polarity,i_uA\nup,1\nup,-2\nup,3\n", "currents read at one voltage have one sign"),
    "against its voltage": ("polarity,i_uA,v_read\nup,1,0.1\nup,2,-0.1\nup,3,0.1\n", "must have the sign of its read voltage"),
    "no resistance": ("polarity,r_kOhm\nup,1\nup,0\nup,3\n", "a resistance must be positive, got '0'"),
    "half a pulse": ("pulse,polarity,g_us\n1,up,1\n2.5,up,2\n3,up,3\n", "the number of a pulse must be a whole number, got '2.5'"),
    "both decimals": ("polarity;g_us\nup;1,5\nup;2.5\nup;3\n", "decimal points and decimal commas"),
    "unknown columns": ("foo,bar\n1,7\n2,5\n3,6\n", "no column that is surely the level"),
    "no names": ("1,7,3\n2,5,3\n3,6,3\n", "has 3 columns and no header"),
    "noise alone": ("value\n" + "".join(f"{v}\n" for v in np.random.default_rng(3).normal(size=200)), "show no up and down runs"),
    "time goes back": ("time_s,g_us\n0,5\n1,4\n0,3\n1,2.9\n", "line 4, column 'time_s': time goes back"),
    "gap in a ramp": ("set_1,reset_1\n1,3\n,2\n3,1\n", "line 3, column 'set_1': the cell is empty"),
    "empty ramp": ("set_1,reset_1\n1,\n2,\n3,\n", "column 'reset_1' is empty"),
    "wide cell": ("polarity,g_us\nup,1\n" + "u" * 300 + ",2\nup,3\n", "a cell has 300 characters"),
    "binary": (b"\x00\x01\x02\x03polarity,g\n", "is not UTF-8 text"),
    "latin": ("polarity,g_us,größe\nup,1,2\nup,2,2\n".encode("latin-1"), "is not UTF-8 text; save the file as UTF-8"),
    "half utf-16": (b"\xff\xfea\x00b", "is not UTF-8 text"),
    "half a pair": (JUMPS, "is one jump table"),
}


@pytest.mark.parametrize("name", WRONG)
def test_bad_input_is_refused_in_one_sentence(tmp_path, name):
    text, words = WRONG[name]
    with pytest.raises(InputError) as caught:
        read_text(tmp_path, text)
    assert_sentence(caught.value, tmp_path / "m.csv")
    assert words in str(caught.value)


def assert_sentence(error: InputError, file: Path) -> None:
    assert str(error).startswith(f"{file}")
    assert "\n" not in str(error)
    assert len(str(error)) < 500


def test_paths_that_are_no_table_are_refused(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "a.csv").write_text(UP_DOWN)
    (tmp_path / "b.csv").write_text(JUMPS)
    cases = [
        (("none.csv",), "there is no such file"),
        (("folder",), "is a folder without one pair of jump tables"),
        (("a.csv", "b.csv"), "is not a jump table"),
        (("b.csv", "b.csv"), "cannot be told from the other table"),
        (("a.csv", "b.csv", "a.csv"), "only two jump tables"),
    ]
    for names, words in cases:
        with pytest.raises(InputError, match=words) as caught:
            read(*(tmp_path / n for n in names))
        assert_sentence(caught.value, tmp_path)


@pytest.mark.parametrize("volts", [0.0, float("nan"), float("inf")])
def test_a_read_voltage_must_be_a_voltage(tmp_path, volts):
    with pytest.raises(InputError, match="read_voltage must be finite and not 0 V"):
        read_text(tmp_path, UP_DOWN, read_voltage=volts)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("1e-8,2e-8,1e-8\n", "", "has 0 rows of changes|is not a jump table|no column"),
        ("1e-8,2e-8,1e-8\n1e-8", "1e-8,2e-8\n1e-8", "is not a jump table|must hold 3 numbers"),
        ("1e-6, 2e-6, 3e-6", "3e-6, 2e-6, 1e-6", "not negative and rise"),
        ("1e-6, 2e-6, 3e-6", "-1e-6, 2e-6, 3e-6", "not negative and rise"),
        ("1e-6, 2e-6, 3e-6", "1e-6, nan, 3e-6", "not finite"),
    ],
)
def test_damaged_jump_tables_are_refused(tmp_path, old, new, words):
    (tmp_path / "up.txt").write_text(JUMPS.replace(old, new))
    (tmp_path / "down.txt").write_text(JUMPS)
    with pytest.raises(InputError, match=words) as caught:
        read(tmp_path / "up.txt", tmp_path / "down.txt")
    assert_sentence(caught.value, tmp_path / "up.txt")


def test_archives_that_are_not_jump_tables_are_refused(tmp_path):
    np.savez(tmp_path / "few.npz", G_up=np.ones(3))
    np.savez(tmp_path / "objects.npz", G_up=np.array([None, {}], dtype=object))
    (tmp_path / "torn.npz").write_bytes((tmp_path / "few.npz").read_bytes()[:100])
    for name, words in (("few", "must hold the arrays"), ("objects", "not a whole .npz"), ("torn", "not a whole .npz")):
        with pytest.raises(InputError, match=words) as caught:
            read(tmp_path / f"{name}.npz")
        assert_sentence(caught.value, tmp_path / f"{name}.npz")


@pytest.mark.parametrize("name", ["huge.csv", "huge.npz"])
def test_a_file_of_a_gigabyte_is_refused_before_it_is_read(tmp_path, name):
    with open(tmp_path / name, "wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(InputError, match="has 1024 MB, the limit is 512 MB; thin it out or split it by device"):
        read(tmp_path / name)


def test_useless_devices_are_left_out_with_a_note(tmp_path):
    measurement = pulses(tmp_path, "device,polarity,g_us\na,up,1\na,up,2\na,up,3\nb,up,2\nb,up,2\nb,up,2\nc,up,1\n")
    assert [t.device for t in measurement.traces] == ["a"]
    assert len([n for n in measurement.notes if "left out" in n]) == 2


# anything at all

VALID = [
    UP_DOWN.encode(),
    b"time_s,g_us\n0,5\n1,4\n2,3.5\n",
    b"set_1,reset_1,set_2\n1,3,1\n2,2,2\n3,1,\n",
    b"DataName, Time, Ig\nDataValue, 0, 1\nDataValue, 1, 2\nDataValue, 2, 3\nDataValue, 3, 2\n",
    "polarity;I (µA);v_read\nup;1,5;0,1\nup;2;0,1\ndown;1;0,1\n".encode(),
    UP_DOWN.encode("utf-16"),
    JUMPS.encode(),
    ("value\n" + "\n".join(f"{v:.3f}" for v in triangle(2, 20, 0.3)) + "\n").encode(),
]


def outcome(data: bytes, *, name: str = "any.csv", twice: bool = False) -> None:
    """`read` gives a valid structure or one sentence, and nothing else."""
    with tempfile.TemporaryDirectory() as folder:
        file, other = Path(folder) / name, Path(folder) / "down.txt"
        file.write_bytes(data)
        other.write_text(JUMPS.replace("1e-8", "-1e-8"))
        try:
            measurement = read(file, *([other] if twice else []))
        except InputError as error:
            assert_sentence(error, Path(folder))
        else:
            assert_valid(measurement)


@given(st.binary(max_size=300), st.sampled_from(["any.csv", "any.npz"]))
def test_random_bytes_are_read_or_refused(data, name):
    outcome(data, name=name)


CELLS = st.one_of(
    st.text(max_size=8),
    st.floats().map(str),
    st.integers(-5, 5).map(str),
    st.sampled_from(["up", "reset", "1 uS", "nan", "g_us", "time_s", "#"]),
)
NAMES = st.one_of(
    st.sampled_from(["polarity", "g_us", "I (A)", "time_s", "n", "device", "cycle", "v_read", "set_1", "reset_1", "down", "voltage"]), CELLS
)


@given(st.lists(NAMES, min_size=1, max_size=5), st.lists(st.lists(CELLS, max_size=5), max_size=12), st.sampled_from([",", ";", "\t", " "]))
@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
def test_random_tables_are_read_or_refused(names, rows, delimiter):
    outcome("\n".join(delimiter.join(r) for r in [names, *rows]).encode(errors="replace"))


@given(st.sampled_from(range(len(VALID))), st.randoms(use_true_random=False), st.integers(1, 6), st.booleans())
@settings(max_examples=200)
def test_damaged_files_are_read_or_refused(which, chance, damages, twice):
    data = VALID[which]
    for _ in range(damages):
        data = damaged(data, chance)
    outcome(data, twice=twice)


def damaged(data: bytes, chance: random.Random) -> bytes:
    at, end = sorted(chance.randint(0, len(data)) for _ in range(2))
    new = chance.choice([b"", b",", b"\n", b"nan", b"-", b"1e400", b"\x00", b"\xff", b'"', b"#", b"up", b" uS", b"_", b"0", data[at:end]])
    return data[:at] + new + data[chance.choice([at, min(at + 1, len(data)), end]) :]


# names


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Pulse Number", "pulse"),
        ("PulseNumber", "pulse"),
        ("n", "pulse"),
        ("Direction", "polarity"),
        ("V_pulse (V)", "pulse_voltage"),
        ("V_read", "read_voltage"),
        ("Cycle", "cycle"),
        ("Device_ID", "device"),
        ("I_D (A)", "current"),
        ("id", "current"),
        ("Ids_uA", "current"),
        ("ADC counts", "counts"),
        ("remark", None),
        ("setup", None),
        ("temperature (K)", None),
    ],
)
def test_names_of_columns(name, kind):
    assert quantity(name).kind == kind


# files that were measured


@pytest.mark.parametrize(
    ("name", "readings", "cycles", "turns"),
    [
        ("igzo-6t1c/linear_symmetric_6000pulses.csv", 6000, 3, [1000, 2000, 3000, 4000, 5000]),
        ("igzo-6t1c/pw100ns_2000pulses.csv", 2000, 1, [1000]),
        ("rram-gong/gong_et_al.csv", 2000, 1, [1000]),
    ],
)
def test_measured_pulses(measured, name, readings, cycles, turns):
    measurement = read(measured / name)
    assert isinstance(measurement, Measurement)
    assert_valid(measurement)
    trace = only(measurement)
    assert (len(trace.level), int(trace.cycle[-1]) + 1, measurement.unit) == (readings, cycles, "a.u.")
    assert (np.flatnonzero(np.diff(trace.polarity[1:])) + 2).tolist() == turns
    assert trace.pulses.sum() == readings - 1


def test_measured_retention(measured):
    measurement = read(measured / "igzo-6t1c/retention.csv")
    assert isinstance(measurement, Retention)
    ((_, seconds, level),) = measurement.devices
    assert (measurement.unit, len(level), level[0], seconds[-1]) == ("V", 12, 0.8813, 660 * 60)


def test_measured_jump_tables(measured):
    pair = read(measured / "enode/dG_increasing.txt", measured / "enode/dG_decreasing.txt")
    archive = read(measured / "taox/TaOx_1.npz")
    for jump_tables, shape in ((pair, (122, 48)), (archive, (501, 501))):
        assert isinstance(jump_tables, JumpTables)
        assert_valid(jump_tables)
        assert jump_tables.up[2].shape == jump_tables.down[2].shape == shape
        assert jump_tables.unit == "S"


def test_a_ramp_of_times_is_no_ramp_of_levels():
    assert quantity("time_up").kind is None
    assert quantity("g_up_2").kind == "up"
    assert quantity("cell_set_1").prefix == "cell"
