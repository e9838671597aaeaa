"""The page of a study, its files, and the front and knee that it names."""

from __future__ import annotations

import csv
import dataclasses
import html
import io
import json
import math
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

import made_studies
from aimco.report import tables
from aimco.report.pictures import fronts
from aimco.report.study import page, write
from aimco.report.view import About, View, format_value, verdict
from aimco.studies.front import front, knee
from aimco.studies.sensitivity import Sensitivity
from aimco.studies.trial import Trial

TWO = {"accuracy": "max", "energy": "min"}
UGLY = "<script>alert('$x$ & \"y\"')</script> 設計 _"


class Reader(HTMLParser):
    """What a browser would fetch, run and show of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.open: list[str] = []
        self.scripts = 0
        self.words = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.fetched += [v for name, v in attrs if name in ("src", "href", "srcset", "data", "action") and v is not None]
        self.scripts += tag == "script"
        if tag not in ("meta", "img", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words += data if self.open[-1:] not in (["script"], ["style"]) else ""


def build_page(trials, about, tmp_path) -> tuple[str, Reader]:
    page(trials, tmp_path / "page.html", about)
    text = (tmp_path / "page.html").read_text()
    return text, Reader(text)


def full() -> About:
    first, total = {"rule.kind": 0.4, "device": -0.01}, {"rule.kind": 0.5, "device": 0.1}
    analysis = Sensitivity("accuracy", first, total, total, 0.93, "quadratic", 14)
    tolerance = [{"field": "device.cycle_noise", "largest": 1.25}, {"field": "device.retention_s", "largest": "12 s"}]
    return About(
        TWO, command="aimco study s.toml --workers 2", constraints=["accuracy >= 0.7"], tolerance=tolerance, sensitivity=[analysis]
    )


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    missing = write(made_studies.study(14), folder, full())
    return folder, missing


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=20))
def test_nothing_beats_a_member_of_the_front_and_something_beats_or_equals_all_others(points):
    trials = [Trial(n, {}, values={"accuracy": a, "energy": e}) for n, (a, e) in enumerate(points)]
    members = front(trials, TWO)
    for t in trials:
        better = [o for o in trials if o.values["accuracy"] >= t.values["accuracy"] and o.values["energy"] <= t.values["energy"]]
        beaten = [o for o in better if o.values != t.values]
        assert not (t in members and beaten)
        assert t in members or any(o in members for o in better)
    assert len({tuple(m.values.values()) for m in members}) == len(members)


def test_the_knee_is_the_corner_of_the_front():
    """A front of two straight arms: the point where they meet is farthest from the line through the ends, also over decades."""
    arms = [(0.5, 1e-6), (0.8, 2e-6), (0.95, 3e-6), (0.96, 3e-5), (0.97, 3e-4)]
    trials = [Trial(n, {}, values={"accuracy": a, "energy": e}) for n, (a, e) in enumerate(arms)]
    assert [t.number for t in front(trials, TWO)] == [4, 3, 2, 1, 0]
    assert knee(front(trials, TWO), TWO) is trials[2]


def test_for_one_objective_the_knee_is_the_best():
    trials = [Trial(n, {}, values={"energy": e}, feasible=n != 1) for n, e in enumerate([3.0, 1.0, 2.0])]
    assert knee(front(trials, {"energy": "min"}), {"energy": "min"}) is trials[2]
    assert knee([], {"energy": "min"}) is None


def test_the_verdict_names_best_cheapest_and_knee():
    points = [("sgd", 0.90, 1e-6), ("tiki-taka-v2", 0.961, 1.2e-6), ("tiki-taka", 0.97, 1e-5), ("sgd", 0.5, 1e-7)]
    trials = [
        Trial(n, {"device": "ecram", "rule.kind": r}, values={"accuracy": a, "energy": e}, feasible=a > 0.8)
        for n, (r, a, e) in enumerate(points)
    ]
    assert verdict(View(trials, About(TWO, constraints=["accuracy >= 0.8"]))) == [
        "4 trials: 4 complete; 3 meet the constraints (accuracy >= 0.8); 3 on the front",
        "the best accuracy is trial 2: tiki-taka on ecram, 97.0 % at 10 uJ",
        "the cheapest that meets the constraints is trial 0: sgd on ecram, 90.0 % at 1 uJ",
        "the knee is trial 1: tiki-taka-v2 on ecram, 96.1 % at 1.2 uJ",
    ]


def test_a_choice_is_said_with_the_unit_of_its_field():
    assert format_value("device.g_max", 2.5e-5) == "25 uS"
    assert format_value("training.sample_s", 1e-6) == "1 us"
    assert format_value("rule.lr", 0.05) == "0.05"
    assert format_value("network.hidden", [32, 16]) == "[32, 16]"


def test_the_page_opens_without_a_network_and_holds_every_point(written):
    folder, _ = written
    text = (folder / "report.html").read_text()
    reader = Reader(text)
    assert reader.open == []
    assert all(link.startswith(("data:", "#")) for link in reader.fetched)
    assert not re.search(r"@import|url\(|fetch\(|https?://", text)
    assert text.count("<img ") == 5  # front, choices, sensitivity, learning, devices
    for trial in made_studies.study(14):
        assert trial.design in reader.words
        assert f"aimco run designs/trial-{trial.number}.toml --task digits --seed 0\naimco run" in reader.words
        assert (folder / f"designs/trial-{trial.number}.toml").read_text() == trial.design
        assert f'id="trial-{trial.number}"' in text
    for message in ("aimco study s.toml --workers 2", "The knee is trial", "device.cycle_noise", "rule.lr must be in 0..1", "are cut"):
        assert message in reader.words


def test_each_pair_of_objectives_has_its_front():
    view = View(made_studies.study(8), About(made_studies.OBJECTIVES))
    assert list(fronts(view)) == ["accuracy and energy", "accuracy and area", "energy and area"]


def test_pictures_lie_beside_the_page_as_files(written):
    folder, _ = written
    names = sorted(p.name for p in (folder / "pictures").iterdir())
    assert len(names) == 5
    assert {"accuracy-and-energy.png", "all-choices.png", "learning.png", "pulse-responses.png"} <= set(names)
    assert all((folder / "pictures" / name).read_bytes().startswith(b"\x89PNG") for name in names)


def test_the_csv_gives_the_trials_back(written):
    folder, _ = written
    rows = list(csv.DictReader(io.StringIO((folder / "trials.csv").read_text())))
    for row, trial in zip(rows, made_studies.study(14), strict=True):
        assert int(row["number"]) == trial.number
        assert row["state"] == trial.state
        assert {n: float(row[n]) for n in made_studies.OBJECTIVES if row[n]} == trial.values
        assert row["seeds"].split() == [str(s) for s in trial.seeds]
        assert float(row["rule.lr"]) == trial.point["rule.lr"]
        assert json.loads(row["network.hidden"]) == trial.point["network.hidden"]
        assert (row["rule.transfer_every"] == "") == ("rule.transfer_every" not in trial.point)
        assert (float(row["result.energy_J.total"]) if trial.values else None) == trial.values.get("energy")
        assert row["reason"] == trial.reason


def test_numbers_without_a_finite_value_come_back_from_csv_by_name():
    trials = [Trial(n, {}, values={"energy": v}) for n, v in enumerate((math.inf, -math.inf, math.nan))]
    rows = list(csv.DictReader(io.StringIO(tables.csv_text(View(trials, About({"energy": "min"}))))))
    assert [row["energy"] for row in rows] == ["inf", "-inf", "nan"]


def test_parquet_holds_what_the_csv_holds(written):
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(written[0] / "trials.parquet")
    view = View(made_studies.study(14), full())
    assert table.column_names == list(tables.columns(view))
    assert table["energy"].to_pylist() == tables.columns(view)["energy"]


@pytest.mark.skipif(tables.has_parquet(), reason="pyarrow is installed")
def test_without_pyarrow_one_sentence_says_what_was_left_out(written):
    folder, missing = written
    assert missing == ["trials.parquet was not written: it needs pyarrow, which pip install 'aimco[parquet]' brings"]
    assert not (folder / "trials.parquet").exists()


def test_the_same_trials_give_the_same_bytes(written, tmp_path):
    folder, _ = written
    page(made_studies.study(14), tmp_path / "again.html", full())
    assert (tmp_path / "again.html").read_bytes() == (folder / "report.html").read_bytes()


def test_words_from_outside_are_escaped(tmp_path):
    point = {UGLY: UGLY, "rule.kind": UGLY, "missing": None, "list": [1, "<b>"], "endless": math.inf}
    trials = [
        dataclasses.replace(t, point=point | {"n": t.number}, reason=UGLY, design=f'a = "{t.number}<b>"', result={"notes": [UGLY]})
        for t in made_studies.study(4)
    ]
    ugly = {"title": UGLY, "command": UGLY, "options": UGLY, "constraints": [UGLY], "tolerance": [{UGLY: UGLY}]}
    text, reader = build_page(
        trials, About(TWO, sensitivity=[Sensitivity(UGLY, {UGLY: 0.1}, {UGLY: math.nan}, {}, math.nan, UGLY, 4)], **ugly), tmp_path
    )
    assert reader.scripts == 1
    assert reader.open == []
    assert "<b>" not in text
    assert html.escape(UGLY) in text


def no_design(trial: Trial, **changes) -> Trial:
    return dataclasses.replace(trial, design="", **changes)


@pytest.mark.parametrize(
    ("case", "objectives"),
    [
        ("empty", TWO),
        ("failed", TWO),
        ("infeasible", TWO),
        ("constant", TWO),
        ("constant", {"energy": "min"}),
        ("one trial", TWO),
        ("endless", TWO),
    ],
)
def test_a_study_with_little_to_show_still_gives_a_whole_page(case, objectives, tmp_path):
    some = made_studies.study(6)
    trials = {
        "empty": [],
        "failed": [no_design(t, state="failed", values={}) for t in some],
        "infeasible": [no_design(t, feasible=False) for t in some],
        "constant": [no_design(t, values={"accuracy": 0.9, "energy": 1e-6}) for t in some],
        "one trial": [no_design(some[1])],
        "endless": [
            no_design(t, values={"accuracy": (math.nan, 0.5)[t.number % 2], "energy": (1.0, math.inf)[t.number % 4 == 1]}, wall_s=math.nan)
            for t in some
        ],
    }[case]
    _, reader = build_page(trials, About(objectives), tmp_path)
    assert reader.open == []
    sentences = {"empty": "nothing to choose from", "failed": "nothing to choose from", "infeasible": "No trial meets the constraints"}
    assert sentences.get(case, "Trial 1") in reader.words


def test_hundreds_of_trials_stay_within_some_megabytes(tmp_path):
    """500 designs of 3 kB: below 5 MB. Without devices and curves, whose pictures hardly grow with the trials."""
    long = "# " + "x" * 3000
    trials = [dataclasses.replace(t, design=long, curves={}) for t in made_studies.study(500)]
    text, reader = build_page(trials, About(TWO), tmp_path)
    assert len(text) < 5e6
    assert reader.words.count(long) == 500
