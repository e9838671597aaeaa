"""The names of `import aimco as ai`: what they are, what they give, and how a notebook shows it."""

from __future__ import annotations

import importlib
import io
import json
import pkgutil
import re
import subprocess
import sys
import types
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch

import aimco as ai
import typed_use
from aimco import evaluation, html_parts
from aimco.api import progress
from aimco.arrays.crossbar import Crossbar
from aimco.cli import main
from aimco.device import display
from aimco.frames import dataframe
from aimco.studies.space import Study
from aimco.terminal import as_json

EXAMPLE = Path(__file__).parents[1] / "examples" / "bring-your-device"
VOID = {"br", "rect", "polyline", "img", "meta"}
NASTY = '<b>&"bold"</b>'


def run_command(capsys, *words):
    """The JSON document of a command."""
    capsys.readouterr()
    assert main(list(words)) == 0
    return json.loads(capsys.readouterr().out)


class Text(HTMLParser):
    """The words of a piece of HTML; refuses tags that are not closed in turn, and scripts."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.words, self.open, self.tags = [], [], set()
        self.feed(source)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        assert tag != "script"
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    def __contains__(self, words):
        return words in " | ".join(self.words)


@pytest.fixture(scope="module")
def result():
    return ai.evaluate(typed_use.design().replace("training.epochs", 3), limit=100, seed=2)


@pytest.fixture(scope="module")
def small_study():
    return ai.study(typed_use.study())


def test_every_name_can_be_had():
    for name in ai.__all__:
        assert getattr(ai, name) is not None
    assert set(dir(ai)) == {*ai.__all__, "__version__"}
    assert list(ai.__all__) == sorted(ai.__all__) and len(set(ai.__all__)) == len(ai.__all__)


def test_what_a_user_looks_for_is_there():
    """The names of the commands, the parts of a design, and the kinds."""
    commands = {"demo", "evaluate", "devices", "fit", "bench", "reference", "study", "requirements", "estimate"}
    parts = {"Design", "Device", "Cell", "Array", "Periphery", "Network", "Rule", "Training", "Technology", "Task", "Data", "Response"}
    assert commands | parts | {"Study", "Result", "price", "convert", "nn", "optim"} <= set(dir(ai))


def test_no_function_has_the_name_of_a_module_of_the_package():
    """Python puts a submodule over the attribute of its name as soon as anything imports it."""
    modules = {m.name for m in pkgutil.iter_modules(ai.__path__)}
    assert {n for n in ai.__all__ if not isinstance(getattr(ai, n), types.ModuleType)} & modules == set()


def test_names_stay_what_they_are_when_every_module_is_imported():
    before = {name: getattr(ai, name) for name in ai.__all__}
    for module in ("studies.run", "studies.requirements", "device.fit", "cost.price", "nn.convert", "api.studies", "cli_studies"):
        importlib.import_module(f"aimco.{module}")
    assert {name: getattr(ai, name) for name in ai.__all__} == before


def test_the_package_is_imported_without_what_it_computes_with():
    script = "import sys, aimco; dir(aimco); heavy = {'torch', 'numba', 'numpy', 'pydantic', 'pandas', 'rich'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", f"{script}; assert not heavy, heavy"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_name_that_moved_works_and_warns():
    with pytest.warns(DeprecationWarning, match=r"aimco\.load_task is now aimco\.tasks\.load"):
        assert ai.load_task is ai.tasks.load  # pyright: ignore[reportAttributeAccessIssue]
    assert "load_task" not in dir(ai)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'desing'"):
        _ = ai.desing  # pyright: ignore[reportAttributeAccessIssue]


def test_a_repr_has_what_differs_from_the_defaults():
    design = ai.Design(device="rpu", rule={"kind": "tiki-taka", "lr": 0.03}, training={"epochs": 3})
    assert repr(design) == "Design(device='rpu', rule=TikiTaka(lr=0.03), training=Training(epochs=3))"
    assert repr(ai.Periphery()) == "Periphery()"
    assert "Device(rpu, 22.7 nS to 70 nS, 1498 states" in repr(design.replace("device.g_max", 7e-8))


def test_a_device_is_shown_with_its_numbers_and_a_picture():
    device = ai.Device.named("ecram")
    text = Text(device._repr_html_())
    assert "100 nS to 1 uS" in text and "957" in text and "linear-step" in text and {"svg", "table"} <= text.tags
    assert repr(device) == "Device(ecram, 100 nS to 1 uS, 957 states, asymmetry 12 +- 1 %, no leak, linear-step)"


@pytest.mark.parametrize("name", ["soft-bounds", "rram-gong2018", "pcm", "enode", "rram-hfs2"])
def test_the_picture_of_a_device_is_what_noise_free_pulses_do(name):
    """Against the crossbar, pulse by pulse."""
    quiet = {"spread": {}, "cycle_noise": 0.0, "cycle_noise_additive": 0.0, "cycle_noise_range": 0.0, "read_noise": 0.0, "drift": None}
    device = ai.Device.named(name).model_copy(update=quiet | {"noise": ()})
    pulses, g = display.mean_cycle(device)
    array = Crossbar(device, 1, 1, seeds=[0])
    array.state.fill_(-1.0)
    each, k, seen = int(pulses[-1]) // 2, 0, []
    for n in range(2 * each + 1):
        if n == pulses[k]:
            seen.append(float(device.conductance(array.state).reshape(-1)[0]))
            k += 1
        array.pulse_rows(torch.full(array.shape, 1 if n < each else -1, dtype=torch.int32))
    assert np.array(seen) == pytest.approx(np.array(g), rel=2e-4)


def test_a_result_is_shown_with_its_numbers_and_its_curve(result):
    text = Text(result._repr_html_())
    assert f"{100 * result.accuracy:.1f} %" in text and "seed 2" in text and "svg" in text.tags
    for note in result.notes:
        assert note in text
    assert result.text() in repr(result)


def test_curves_as_a_table_have_one_row_for_each_epoch(result):
    table = result.to_dataframe()
    assert list(table.index) == [1, 2, 3] and list(table.columns) == list(result.curves)
    assert table["test_accuracy"].tolist() == result.curves["test_accuracy"]


def test_a_study_gives_front_designs_and_tables(small_study):
    assert small_study.knee in small_study.front and len(small_study) == 2
    assert small_study.design() == small_study.study.design(small_study.knee.point)
    assert small_study.design(1).rule == small_study.study.design(small_study.trials[1].point).rule
    with pytest.raises(ai.InputError, match="trial 7 is missing"):
        small_study.design(7)
    text = Text(small_study._repr_html_())
    assert "rule.lr" in text and all(str(t.number) in text for t in small_study.front)
    table = small_study.to_dataframe()
    assert list(table.index) == [0, 1] and table["rule.lr"].tolist() == [t.point["rule.lr"] for t in small_study.trials]
    assert table["energy"].tolist() == [t.values["energy"] for t in small_study.trials]
    assert small_study.storage is None and "2 of 2 trials" in repr(small_study)


def test_the_knee_of_a_front_is_marked(small_study):
    trials = [
        type(small_study.trials[0])(
            n, {"rule.lr": 0.1 * (n + 1)}, values={"accuracy": a, "energy": e}, directions=small_study.trials[0].directions
        )
        for n, (a, e) in enumerate([(0.9, 9e-9), (0.85, 2e-9), (0.5, 1e-9)])
    ]
    page = type(small_study)(small_study.study, trials)._repr_html_()
    assert "1 knee" in Text(page) and "85.00 %" in Text(page)


def test_a_study_in_python_is_the_study_of_the_command(tmp_path, monkeypatch, capsys, small_study):
    monkeypatch.chdir(tmp_path)
    typed_use.study().save("rates.toml")
    document = run_command(capsys, "study", "rates.toml", "--json")
    mine = ai.study("rates.toml").as_json()
    assert mine == document
    same = [{k: p[k] for k in ("trial", "values", "point")} for p in document["front"]]
    assert [{"trial": t.number, "values": t.values, "point": t.point} for t in small_study.front] == same


def test_a_study_writes_its_report(tmp_path, small_study):
    page = small_study.report(tmp_path / "page", requirements=["rpu"])
    assert page.read_text().count("<h2>Tolerances</h2>") == 1
    assert Study.load(tmp_path / "page" / "study.toml") == small_study.study
    assert {"trials.csv", "designs", "pictures"} <= {p.name for p in page.parent.iterdir()}


def test_a_run_in_python_is_the_run_of_the_command(tmp_path, capsys):
    design = typed_use.design()
    design.save(tmp_path / "d.toml")
    document = run_command(capsys, "run", str(tmp_path / "d.toml"), "--limit", "60", "--seed", "3", "--json")
    mine = ai.evaluate(design, limit=60, seed=3, out=tmp_path / "page")
    ours = json.loads(as_json(mine.as_json()))
    assert ours | {"wall_s": 0} == document | {"wall_s": 0}
    assert f"aimco run {tmp_path / 'page' / 'design.toml'} --task digits --seed 3 --limit 60" in (tmp_path / "page/report.html").read_text()
    assert evaluation.evaluate(design, "digits", limit=60, seed=3).curves == mine.curves
    many = ai.evaluate_many([design, design], seeds=[3, 4], limit=60)
    assert many[0].metrics == mine.metrics and many[1].seed == 4


def test_costs_in_python_are_those_of_the_command(tmp_path, capsys, result):
    design = typed_use.design()
    design.save(tmp_path / "d.toml")
    for network in ("vgg8", None):
        words = [] if network is None else ["--network", network]
        document = run_command(capsys, "cost", str(tmp_path / "d.toml"), *words, "--json")
        costs = ai.estimate(design, network=network)
        assert json.loads(as_json(costs.as_json())) == document
    text = Text(costs._repr_html_())
    assert ai.units.text(costs.inference.energy_J["total"], "J") in text and "80.1 ns an inference" in repr(costs)
    measured = ai.estimate(design, activity=result)
    assert measured.activity_from == "measured on digits, seed 2" and measured.pulses_J != costs.pulses_J


def test_the_catalogue_in_python_is_that_of_the_command(capsys):
    listed = ai.devices("states")
    assert [d["name"] for d in run_command(capsys, "devices", "--sort", "states", "--json")] == [d.name for d in listed]
    table = listed.to_dataframe()
    assert table.loc["ecram", "states"] == ai.Device.named("ecram").states and len(table) == len(ai.catalogue())
    assert "957" in Text(listed._repr_html_()) and "ecram" in repr(listed)
    with pytest.raises(ai.InputError, match="sort must be one of name, states"):
        ai.devices("price")  # type: ignore[arg-type]


def test_a_fit_in_python_is_that_of_the_command(tmp_path, capsys):
    files = [str(EXAMPLE / "pulses.csv"), str(EXAMPLE / "retention.csv")]
    document = run_command(capsys, "fit", *files, "-o", str(tmp_path / "mine.toml"), "--json")
    fitted = ai.fit(*files, name="mine")
    assert json.loads(as_json(fitted.as_json())) == document
    text = Text(fitted._repr_html_())
    estimate = fitted.estimates["g_max"]
    assert f"{estimate.value:.4g}" in text and f"{estimate.low:.4g} to {estimate.high:.4g}" in text and "mine" in text
    fitted.plot(tmp_path / "fit.png")
    assert (tmp_path / "fit.png").read_bytes()[:4] == b"\x89PNG"
    assert (tmp_path / "mine.toml").read_text() == Path(fitted.save(tmp_path / "again.toml")[0]).read_text()
    with pytest.raises(ai.InputError, match="needs a file"):
        ai.fit()


def test_requirements_in_python_are_those_of_the_command(tmp_path, capsys):
    """Both ask the same runs, so the second finds those of the first."""
    words = ["--rule", "sgd", "--limit", "60", "--seeds", "1", "--epochs", "1", "--parameter", "step", "--baseline", "cycle_noise=0.1"]
    document = run_command(capsys, "requirements", *words, "--judge", "ecram", "--out", str(tmp_path), "--json")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "sweeps").iterdir()}
    asked = {"limit": 60, "seeds": 1, "epochs": 1, "parameters": ["step"], "baseline": {"cycle_noise": 0.1}, "out": str(tmp_path)}
    answer = ai.requirements("sgd", **asked)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "sweeps").iterdir()} == times
    assert json.loads(as_json(answer.document("ecram"))) == document
    text = Text(answer._repr_html_())
    assert "step of a weight, dw_min" in text and f"{answer.rules[0].near_ideal:.2f} %" in text and "digits, 1 points" in repr(answer)
    assert answer.verdict("ecram")["sgd"].device == "ecram"
    (derived,) = answer.rules
    assert (answer.samples, answer.seeds, answer.bench.epochs) == (60, 1, 1)
    assert [f.sweep.key for f in derived.findings] == ["step"] and "the near-ideal device has cycle_noise 0.1" in derived.notes


def test_a_verdict_says_what_fails():
    verdict = ai.Requirement.named("rpu").verdict(ai.Device.named("ecram"))
    assert verdict.passes is False and "fails storage capacity" in repr(verdict)
    assert "FAILS" in Text(verdict._repr_html_()) and verdict._repr_html_().count("font-weight:bold") == 2
    assert type(verdict)(line for line in verdict if line.passes).passes is True
    assert type(verdict)(line for line in verdict if line.passes is not False).passes is None


def test_words_from_outside_are_escaped_everywhere(result, small_study):
    device = ai.Device.named("ecram").replace("name", NASTY).replace("description", NASTY)
    design = result.design.replace("device.name", NASTY)
    verdict = ai.Requirement.named("rpu").verdict(device)
    named = type(result)(**{**vars(result), "design": design, "notes": [NASTY], "task": NASTY})
    trial = type(small_study.trials[0])(
        0, {"device.name": NASTY}, values=small_study.trials[0].values, directions=small_study.trials[0].directions
    )
    study = type(small_study)(small_study.study, [trial])
    for item in (device, design, verdict, named, study, ai.estimate(design), type(ai.devices())((device,))):
        source = item._repr_html_()
        assert NASTY not in source and html_parts.escape(NASTY) in source
        assert NASTY in Text(source)


def test_a_chart_leaves_out_what_is_not_finite():
    drawn = html_parts.chart([1, 2, 3, 4], [1.0, float("nan"), 3.0, 2.0], below="epoch", beside=NASTY)
    assert "nan" not in drawn and drawn.count("<polyline") == 2 and NASTY in Text(drawn)
    assert html_parts.chart([1.0], [float("inf")], below="", beside="") == ""
    assert "<polyline" in html_parts.chart([1.0, 2.0], [5.0, 5.0], below="", beside="")


def test_the_ends_of_a_curve_are_the_corners_of_its_chart():
    drawn = html_parts.chart([0, 10], [2.0, 4.0], below="", beside="", size=(100, 100))
    frame = re.search(r'<rect x="(\d+)" y="(\d+)" width="(\d+)" height="(\d+)"', drawn)
    assert frame is not None
    x, y, width, height = map(int, frame.groups())
    assert f'points="{x:.1f},{y + height:.1f} {x + width:.1f},{y:.1f}"' in drawn


def test_without_pandas_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ai.InputError, match=r"needs pandas.*pip install 'aimco\[notebook\]'"):
        dataframe({"a": [1]})


class Terminal(io.StringIO):
    """Standard error that somebody watches."""

    def isatty(self):
        return True


def test_a_pipe_gets_no_progress(capfd):
    ai.evaluate(typed_use.design(), limit=50)
    assert capfd.readouterr().err == ""


def test_a_bar_appears_on_a_terminal_when_a_call_takes_long(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(sys, "stderr", Terminal())
    with progress.reported(None, "study") as on_step:
        on_step("first", 0.1)
        assert sys.stderr.getvalue() == ""
        now[0] = 1.0 + progress.SHORT_S
        on_step("second", 0.5)
    assert "second" in sys.stderr.getvalue() and "50%" in sys.stderr.getvalue().replace(" ", "")


@pytest.mark.parametrize(("asked", "lines"), [(False, 0), (True, 1)])
def test_a_bar_that_is_asked_for_or_refused(capfd, asked, lines):
    with progress.reported(asked, "run") as on_step:
        on_step("epoch 1", 0.5)
    assert len(capfd.readouterr().err.splitlines()) == lines


def test_progress_may_be_a_function_of_the_caller():
    steps, epochs = [], []
    ai.evaluate(typed_use.design(), limit=50, progress=lambda label, done: steps.append(done), on_epoch=lambda *a: epochs.append(a))
    assert steps[-1] == 1.0 and steps == sorted(steps) and len(epochs) == 1


def test_a_notebook_gets_a_bar_of_plain_html(monkeypatch):
    pages = []

    class ZMQInteractiveShell:
        pass

    class Handle:
        def update(self, data, raw):
            pages.append(data)

    def display_(data, raw, display_id):
        pages.append(data)
        return Handle()

    ipython = types.ModuleType("IPython")
    ipython.get_ipython = ZMQInteractiveShell  # pyright: ignore[reportAttributeAccessIssue]
    ipython.display = types.ModuleType("IPython.display")  # pyright: ignore[reportAttributeAccessIssue]
    ipython.display.display = display_  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", ipython.display)  # pyright: ignore[reportAttributeAccessIssue]
    with progress.reported(True, "fit") as on_step:
        on_step(NASTY, 0.25)
    assert len(pages) == 2 and 'value="0.2500"' in pages[1]["text/html"] and html_parts.escape(NASTY) in pages[1]["text/html"]


def test_what_an_editor_checks_also_runs():
    """Types are checked by pyright over `typed_use.py`."""
    typed_use.results()
    assert typed_use.records().training.epochs == 1
    assert typed_use.with_torch().network.kind.endswith("typed_use.py:network")
    assert (Path(ai.__file__).parent / "py.typed").is_file()
