"""The command line: one sentence and status 2 for wrong input, one JSON document for --json."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from aimco.cli import main
from aimco.design import Design
from aimco.peers.spikes import brian2
from aimco.record import InputError, write_atomic
from aimco.spiking.sampler import SpikingRbm
from aimco.terminal import as_json


@pytest.fixture
def design_file(tmp_path):
    path = tmp_path / "design.toml"
    Design.of({"device": "rpu", "network": {"hidden": [8]}, "training": {"epochs": 1, "batch": 50}}).save(path)
    return str(path)


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (["--task", "mnits"], "did you mean mnist"),
        (["--task", "mnist"], "--data-dir"),
        (["--set", "rule.lr"], "must be PATH=VALUE"),
        (["--set", "rule.lrr=1.0"], "did you mean lr"),
        (["--set", "device.g_max=nan"], "device.g_max must be"),
        (["--set", "periphery.adc.bits=99.0"], "periphery.adc.bits must be in 2..24"),
        (["--set", "training.epochs='many'"], "training.epochs must be a whole number"),
        (["--set", "technology='rpu'"], "technology 'rpu' is unknown"),
    ],
)
def test_wrong_input_is_one_sentence(design_file, capsys, extra, words):
    assert main(["run", design_file, *extra]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no such file"),
        ("device = ", "not valid TOML"),
        ("device = 'rpx'", "did you mean rpu"),
        ("device = 'rpu'\ntrianing = 1", "did you mean training"),
    ],
)
def test_wrong_files_are_one_sentence(tmp_path, capsys, content, words):
    path = tmp_path / "d.toml"
    if content is not None:
        path.write_text(content)
    assert main(["run", str(path)]) == 2
    assert words in capsys.readouterr().err


def test_run_prints_one_json_document(design_file, capsys):
    assert main(["run", design_file, "--limit", "100", "--json"]) == 0
    output = json.loads(capsys.readouterr().out)
    for name in ("metrics", "energy_J", "latency_s", "area_m2", "counts", "curves", "design_hash", "seed", "wall_s", "versions", "notes"):
        assert name in output


@pytest.mark.parametrize(
    "words",
    [
        ["--set", "training.epochs=2", "--set", "rule.lr=0.3", "--set", "device.cycle_noise=0.1"],
        ["--set", "training.epochs=2", "rule.lr=0.3", "device.cycle_noise=0.1"],
    ],
)
def test_every_setting_counts_however_they_are_given(design_file, capsys, words):
    assert main(["run", design_file, "--limit", "100", "--json", *words]) == 0
    expected = Design.load(design_file).replace("training.epochs", 2).replace("rule.lr", 0.3).replace("device.cycle_noise", 0.1)
    assert json.loads(capsys.readouterr().out)["design_hash"] == expected.hash()


def test_devices_are_listed_and_drawn(tmp_path, capsys):
    assert main(["devices"]) == 0
    assert "rpu" in capsys.readouterr().out
    picture = tmp_path / "rpu.png"
    assert main(["devices", "rpu", "--out", str(picture)]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert main(["devices", "rpx"]) == 2
    capsys.readouterr()
    assert main(["devices", "--sort", "states", "--json"]) == 0
    states = [d["states"] for d in json.loads(capsys.readouterr().out)]
    assert states == sorted(states, reverse=True)


def test_unknown_benchmark_is_refused(capsys):
    assert main(["bench", "plse"]) == 2
    assert "did you mean pulse" in capsys.readouterr().err


def test_a_peer_that_a_benchmark_has_not_or_that_is_not_there_is_refused(capsys):
    assert main(["bench", "pulse", "--peer", "python"]) == 2
    assert "peer must be left out for pulse" in capsys.readouterr().err
    for python in ("/nowhere/python", sys.executable):
        with (
            pytest.raises(InputError, match=f"peer must be the interpreter of an environment with brian2, got {python}"),
            brian2(python, SpikingRbm(4, 3), np.full((1, 4), 0.9)) as again,
        ):
            again()


def test_an_interrupted_demo_leaves_nothing_and_can_be_repeated(tmp_path):
    """Stopped by Ctrl-C in mid-run: status 130, one sentence, no file, no traceback."""
    words = [sys.executable, "-m", "aimco", "demo", "--out", str(tmp_path / "report")]
    running = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert running.stderr is not None
    message = running.stderr.read(1)  # the first sign of progress
    running.send_signal(signal.SIGINT)
    _, rest = running.communicate(timeout=120)
    assert running.returncode == 130
    assert "Traceback" not in message + rest
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    target = tmp_path / "result.json"
    write_atomic(target, "old")
    with pytest.raises(TypeError):
        write_atomic(target, 5)  # type: ignore[arg-type]
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_design_is_priced_without_torch_which_is_there_when_asked_for(tmp_path):
    """Its import takes longer than all the rest; a proxy stands for it until something of it is used."""
    (tmp_path / "design.toml").write_text('device = "rpu"')
    priced = f"from aimco.cli import main; main(['cost', {str(tmp_path / 'design.toml')!r}, '--network', 'vgg8'])"
    used = "import sys, torch; assert 'torch.nn' not in sys.modules; from aimco.mapping import torch as ours; print(ours.ones(2).sum())"
    used += "; import torch; assert torch.Tensor is ours.Tensor and torch is sys.modules['torch']"
    done = subprocess.run([sys.executable, "-c", f"{priced}; {used}"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "TOPS/W" in done.stdout and done.stdout.endswith("tensor(2.)\n")


def test_the_entry_point_runs():
    done = subprocess.run([sys.executable, "-m", "aimco", "--version"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stdout.strip() == "0.1.0"


def test_a_written_file_keeps_links_and_permissions(tmp_path):
    """A link is followed; a new file has what the umask leaves, one that is there keeps its own."""
    real, link, new = tmp_path / "real.json", tmp_path / "link.json", tmp_path / "new.json"
    real.write_text("old")
    real.chmod(0o600)
    link.symlink_to(real)
    write_atomic(link, "text")
    assert link.is_symlink() and real.read_text() == "text" and real.stat().st_mode & 0o777 == 0o600
    before = os.umask(0o027)
    try:
        write_atomic(new, "text")
    finally:
        os.umask(before)
    assert new.stat().st_mode & 0o777 == 0o640
    with pytest.raises(OSError) as caught:
        write_atomic(real / "below" / "file.json", "text")
    assert caught.value.filename == str(real / "below" / "file.json")


def test_json_is_strict():
    """What is not a number is null, what is unlimited is text, whatever kind of float it is."""
    text = as_json({"a": float("nan"), "b": [np.float32("inf"), np.float64("nan")], "c": (1.5, np.float32(2)), "d": np.float32("nan")})
    assert json.loads(text, parse_constant=pytest.fail) == {"a": None, "b": ["inf", None], "c": [1.5, 2.0], "d": None}
