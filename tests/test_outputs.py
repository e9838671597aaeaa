"""What commands write: nothing of the user's is lost, what cannot be written is known before, and a result is never lost."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import subprocess
import threading
from pathlib import Path

import pytest
import tomli_w

import aimco as ai
from aimco import evaluation, training
from aimco.api import runs
from aimco.cli import main
from aimco.cost.technology import Technology
from aimco.files import write_atomic
from aimco.outputs import LIST, Unsaved, write_outputs, writing
from aimco.record import InputError
from aimco.studies.space import Study

EXAMPLES = Path(__file__).parents[1] / "examples"
DESIGN = {"device": "ideal", "network": {"hidden": []}, "training": {"epochs": 1, "batch": 50}}
PULSES = "polarity,G (uS)\n" + "".join(f"up,{1 + k / 10:.3f}\n" for k in range(40)) + "".join(f"down,{5 - k / 10:.3f}\n" for k in range(40))


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A current folder with a design, a study and pulses in it."""
    monkeypatch.chdir(tmp_path)
    ai.Design.of(DESIGN).save("design.toml")
    Path("pulses.csv").write_text(PULSES)
    space = {"rule.lr": {"low": 0.01, "high": 1.0, "log": True}}
    Study.of({"name": "rates", "base": DESIGN, "space": space, "trials": 2, "limit": 100}).save("rates.toml")
    return tmp_path


@pytest.fixture
def untrained(monkeypatch):
    """A run that trains fails the test: what is refused here is refused before."""

    def trained(*_: object) -> None:
        raise AssertionError("it was trained before it was refused")

    monkeypatch.setattr(training.Run, "_train", trained)


def state(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


ADVISE = ["advise", "rpu", "--rule", "sgd", "--limit", "50", "--epochs", "1", "--minutes", "0.02", "--no-around"]
REQUIREMENTS = ["requirements", "--rule", "sgd", "--limit", "50", "--epochs", "1", "--seeds", "2", "--parameter", "asymmetry", "--no-tune"]
RUN = ["run", "design.toml", "--limit", "50"]
IN_THE_WAY = [
    (["fit", "pulses.csv", "-o", "pulses.csv"], "must end in .toml"),
    (["fit", "pulses.csv", "-o", "x.png"], "must end in .toml"),
    (["fit", "data.toml", "-o", "data.toml"], "data.toml: is read by this command"),
    (["fit", "pulses.csv", "-o", "design.toml"], "design.toml: is there already"),
    ([*RUN, "--out", "."], "design.toml: is read by this command"),
    ([*RUN, "--out", "linked"], "linked/design.toml: is read by this command"),
    ([*RUN, "--out", "notes.txt"], "notes.txt"),
    ([*RUN, "--out", "notes.txt/below"], "notes.txt"),
    ([*RUN, "--out", "mine"], "mine/report.html: is there already"),
    ([*RUN, "--checkpoint", "design.toml"], "design.toml: is read by this command"),
    ([*RUN, "--checkpoint", "mine"], "mine: is a folder"),
    ([*RUN, "--out", "new", "--checkpoint", "new/result.json"], "new/result.json: is written by this command already"),
    (["cost", "design.toml", "--out", "mine"], "mine/cost.json: is there already"),
    (["cost", "design.toml", "--activity", "c/cost.json", "--out", "c"], "c/cost.json: is read by this command"),
    (["devices", "rpu", "--out", "design.toml"], "design.toml: is there already"),
    (["advise", "rpu", "--out", "mine"], "mine/advice.html: is there already"),
    (["demo", "--out", "mine"], "mine/report.html: is there already"),
    (["bench", "pulse", "--out", "mine"], "mine/pulse.json: is there already"),
    (["reference", "run", "igzo-xor", "--out", "mine"], "mine/igzo-xor.json: is there already"),
    (["requirements", "--rule", "sgd", "--out", "mine"], "mine/requirements-digits.json: is there already"),
    (["study", "rates.toml", "--out", "mine"], "mine/report.html: is there already"),
    ([*RUN, "--out", "a\0b"], "must not contain NUL"),
]


@pytest.mark.parametrize(("words", "why"), IN_THE_WAY, ids=lambda value: " ".join(value)[:60] if isinstance(value, list) else "")
def test_what_is_in_the_way_is_refused_before_anything_is_done(here, untrained, capsys, words, why):
    (here / "data.toml").write_text(PULSES)
    (here / "notes.txt").write_text("mine")
    for name in ("linked", "mine", "c"):
        (here / name).mkdir()
    (here / "linked" / "design.toml").symlink_to(here / "design.toml")
    (here / "c" / "cost.json").write_text("{}")
    names = ("report.html", "cost.json", "advice.html", "pulse.json", "igzo-xor.json", "requirements-digits.json")
    for name in names:
        (here / "mine" / name).write_text("of the user")
    before = state(here)
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert why in err, err
    assert err.count("\n") == 1
    assert state(here) == before


def test_a_command_replaces_what_it_wrote_and_nothing_that_was_changed_since(here, capsys):
    command = ["run", "design.toml", "--limit", "50", "--out", "run"]
    assert main(command) == main(command) == 0
    sheet = here / "run" / "design.toml"
    sheet.write_text(sheet.read_text() + "# my own words\n")
    before = state(here)
    capsys.readouterr()
    assert main(command) == 2
    assert "design.toml: is there already, and was not written by aimco or was changed since" in capsys.readouterr().err
    assert state(here) == before
    assert main([*command, "--force"]) == 0
    assert "my own words" not in sheet.read_text()
    assert main(command) == 0


COMMANDS = [
    [*RUN, "--out", "new"],
    ["fit", "pulses.csv", "-o", "new/mine.toml"],
    ["cost", "design.toml", "--out", "new"],
    ["devices", "rpu", "--out", "new/rpu.png"],
    ["study", "rates.toml", "--out", "new"],
    ["reference", "run", "adc-regression", "--out", "new"],
    [*ADVISE, "--out", "new"],
]


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
def test_every_file_that_a_command_writes_is_in_its_list(here, words):
    assert main(words) == 0
    listed = {line.partition("  ")[2] for line in (here / "new" / LIST).read_text().splitlines()}
    written = (p for p in (here / "new").rglob("*") if p.is_file() and not re.fullmatch(r"[0-9a-f]{20}\.json|\.aimco-files", p.name))
    names = {str(p.relative_to(here / "new")) for p in written}  # without finished runs, which are named by what they are of
    assert names
    assert names <= listed
    assert main(words) == 0  # and is its own the second time


def test_a_picture_of_the_user_keeps_its_name(here):
    with writing("run", ["report.html"]):
        write_outputs("run", {"report.html": "page"})
        (here / "run" / "weights.png").write_bytes(b"of the user")
        written = write_outputs("run", {"weights.png": b"ours"})
    assert (here / "run" / "weights.png").read_bytes() == b"of the user"
    assert [p.name for p in written] == ["weights-1.png"]
    with writing("run", ["report.html"], force=True):
        write_outputs("run", {"weights.png": b"ours"})
    assert (here / "run" / "weights.png").read_bytes() == b"ours"


def full_disk(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "run/result.json")


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("aimco.api.runs.keep", [*RUN, "--out", "run"]),
        ("aimco.api.devices.write_outputs", ["fit", "pulses.csv"]),
        ("aimco.cli_figures.keep", ["reference", "run", "adc-regression", "--out", "run"]),
        ("aimco.report.study.write_outputs", ["study", "rates.toml"]),
        (
            "aimco.report.advice.write_outputs",
            [*ADVISE, "--out", "run"],
        ),
        (
            "aimco.api.requirements.write_outputs",
            [*REQUIREMENTS, "--out", "r"],
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_result_that_cannot_be_written_is_printed_and_saved_elsewhere(here, capsys, monkeypatch, place, words):
    monkeypatch.setattr(place, full_disk)
    assert main([*words, "--json"]) == 2
    out, err = capsys.readouterr()
    name = "adc-regression" if words[0] == "reference" else words[0]
    saved = here / f"aimco-{name}.json"
    assert json.loads(out) == json.loads(saved.read_text())
    assert f"run/result.json: cannot be written (No space left on device); the result is in {saved}" in err
    assert main(words) == 2  # for people: as words, and beside the first
    assert saved.with_name(f"1-{saved.name}").exists()
    assert capsys.readouterr().out


def test_the_error_of_python_has_the_result(here, monkeypatch):
    monkeypatch.setattr(runs, "keep", full_disk)
    with pytest.raises(Unsaved, match="the result is in") as caught:
        ai.evaluate(ai.Design.of(DESIGN), limit=50, out="run", progress=False)
    assert isinstance(caught.value.result, ai.Result)
    monkeypatch.setattr("aimco.outputs.write_atomic", full_disk)
    with pytest.raises(Unsaved, match="could not be written elsewhere either") as caught:
        ai.evaluate(ai.Design.of(DESIGN), limit=50, out="run", progress=False)
    assert isinstance(caught.value.result, ai.Result)


def test_a_full_disk_is_known_before(here, untrained, capsys, monkeypatch):
    monkeypatch.setattr("aimco.outputs.shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    assert main([*RUN, "--out", "run"]) == 2
    assert "run/report.html: cannot be written (the disk is full)" in capsys.readouterr().err


def test_what_cannot_be_priced_is_not_trained(here, untrained):
    with pytest.raises(InputError, match="technology 'rpu-2061' is unknown"):
        evaluation.evaluate(ai.Design.of(DESIGN).replace("technology", "rpu-2061"), limit=50)
    ramp = ai.Design.of(DESIGN | {"technology": "igzo-1um", "periphery": {"adc": {"kind": "ramp"}}})
    with pytest.raises(InputError, match="has no comparator_J, which an ADC of kind ramp needs"):
        evaluation.evaluate(ramp, limit=50)


def test_what_is_found_at_the_first_batch_is_not_trained_on(here):
    """The amplifiers of a resistive network are asked for once it settled."""
    epochs = []
    sheet = {n: v for n, v in Technology.named("rpu-2016").as_dict().items() if n != "amplifier_W"} | {"node_m2": 1e-10}
    Path("bare.toml").write_text(tomli_w.dumps(sheet))
    design = ai.Design.load(EXAMPLES / "resistive.toml").replace("technology", str(here / "bare.toml"))
    with pytest.raises(InputError, match="has no amplifier_W, which a resistive network needs"):
        evaluation.evaluate(design, limit=20, on_epoch=lambda *_: epochs.append(1))
    assert not epochs


def test_a_pipe_is_written_into_and_stays(tmp_path):
    pipe, got = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    write_atomic(pipe, "text")
    reader.join(5)
    assert got == [b"text"]
    assert pipe.is_fifo()


def test_what_was_half_done_is_ours_the_next_time(here, monkeypatch):
    """A command that ends between two files, as by kill -9, can be given again."""
    from aimco import outputs

    def ends(path: Path, content: bytes) -> None:
        if path.name == "two.txt":
            raise KeyboardInterrupt
        write_atomic(path, content)

    with monkeypatch.context() as patch, writing("run", ["one.txt", "two.txt"]), pytest.raises(KeyboardInterrupt):
        patch.setattr(outputs, "write_atomic", ends)
        write_outputs("run", {"one.txt": "1", "two.txt": "2"})
    with writing("run", ["one.txt", "two.txt"]):
        assert [p.name for p in write_outputs("run", {"one.txt": "1", "two.txt": "2"})] == ["one.txt", "two.txt"]


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 300 kB."""
    at = tmp_path / "disk"
    at.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(at)], capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"mounting a tmpfs must be permitted, got: {mounted.stderr.strip()}")
    yield at
    subprocess.run(["umount", "-l", str(at)], check=True)


FILLING = [
    [*RUN, "--out", "disk/o"],
    [*RUN, "--checkpoint", "disk/c.pt"],
    ["fit", "pulses.csv", "-o", "disk/mine.toml"],
    ["cost", "design.toml", "--out", "disk/o"],
    ["devices", "rpu", "--out", "disk/rpu.png"],
    ["study", "rates.toml", "--out", "disk/o"],
    ["study", "rates.toml", "--storage", "sqlite:///disk/s.db"],
    ["reference", "run", "adc-regression", "--out", "disk/o"],
    ["bench", "cost", "--out", "disk/o", "--json"],
    [*ADVISE, "--out", "disk/o"],
    [*REQUIREMENTS, "--out", "disk/o"],
]


@pytest.mark.parametrize("words", FILLING, ids=lambda words: " ".join(words)[:40])
def test_a_disk_that_fills_loses_nothing_that_was_there(here, small_disk, monkeypatch, capsys, words):
    (small_disk / "o").mkdir()
    (small_disk / "o" / "mine.txt").write_text("of the user")
    monkeypatch.setattr("aimco.outputs._LEAST_FREE", 0)
    monkeypatch.setattr("aimco.bench.run", lambda name, **_: {"bench": name, "rows": []})  # which takes minutes
    with contextlib.suppress(OSError), open(small_disk / "filler", "wb", buffering=0) as filler:
        while True:
            filler.write(bytes(4096))
    before = state(small_disk)
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    assert "full" in err or "No space left on device" in err
    assert state(small_disk) == before
    if "result is in" in err:  # what took long is not lost
        assert Path(err.strip().rpartition("result is in ")[2]).stat().st_size
        assert out
