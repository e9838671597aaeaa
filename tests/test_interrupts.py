"""Ctrl-C: one line and status 130, whenever it comes."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import time

import pytest

from aimco.interrupts import SAID, heard, resumption

DESIGN = 'device = "rpu"\nrule = { kind = "sgd", lr = 0.1 }\ntraining = { epochs = 400, batch = 10 }\n'
STUDY = 'name = "long"\ntask = "digits"\ntrials = 60\n[base]\ndevice = "rpu"\n[base.rule]\nkind = "sgd"\n[base.training]\nepochs = 50\n'
STUDY += '[space]\n"rule.lr" = { low = 0.01, high = 0.5, log = true }\n'
ON_ITS_OWN = """
import os, signal, time
os.kill(os.getpid(), signal.SIGINT)
time.sleep(0.1)
whole = True
"""


def stopped(folder, words: list[str], after_s: float) -> tuple[int, str]:
    """Status and standard error of a command that Ctrl-C comes to so long after its start, s."""
    (folder / "design.toml").write_text(DESIGN)
    (folder / "long.toml").write_text(STUDY)
    running = subprocess.Popen(
        [sys.executable, "-m", "aimco", *words], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    time.sleep(after_s)
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=120)
    return running.returncode, said


@pytest.mark.parametrize("after_s", [0.3, 0.8, 1.6])
@pytest.mark.parametrize("words", [["run", "design.toml", "--checkpoint", "state.pt"], ["study", "long.toml"]])
def test_a_command_stops_in_one_line_while_it_is_imported_checked_or_running(tmp_path, words, after_s):
    status, said = stopped(tmp_path, words, after_s)
    assert status == 130
    assert "Traceback" not in said
    assert said.count(SAID) == 1
    assert said.splitlines()[-1].startswith(SAID)


@pytest.mark.slow
def test_no_moment_of_thirty_shows_a_traceback(tmp_path):
    for k in range(30):
        words = ["run", "design.toml"] if k % 2 else ["study", "long.toml"]
        status, said = stopped(tmp_path, words, 0.1 + 0.1 * k)
        assert (k, status, "Traceback" in said) == (k, 130, False)


def test_an_interruption_amid_an_import_waits_for_its_end(tmp_path, monkeypatch):
    (tmp_path / "imported_amid.py").write_text(ON_ITS_OWN)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(KeyboardInterrupt), heard():
        importlib.import_module("imported_amid")
        time.sleep(5)
    assert sys.modules.pop("imported_amid").whole


def test_an_interruption_that_is_lost_is_repeated_and_not_told(capsys):
    class Deaf:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.05)

    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), heard():
        Deaf()
        time.sleep(30)  # ends without an interruption where none is repeated
    assert capsys.readouterr().err == ""
    assert signal.getsignal(signal.SIGINT) is handler


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("study s.toml", "; the same command resumes it"),
        ("run d.toml --checkpoint c.pt", "; the same command resumes it"),
        ("advise d --out=there", "; the same command resumes it"),
        ("run d.toml --out there", "; with --checkpoint, the same command resumes it"),
        ("reference run one", "; with --checkpoints, the same command resumes it"),
        ("requirements --rule sgd", "; with --out, the same command resumes it"),
        ("fit a.csv", ""),
        ("", ""),
    ],
)
def test_what_can_be_resumed_is_said(words, sentence):
    assert resumption(words.split()) == sentence


def test_the_status_is_that_of_a_stop_whatever_code_was_interrupted(tmp_path):
    """Python ends by the signal itself after an interruption of code that was text, as that which makes a named tuple."""
    (tmp_path / "interrupted.py").write_text(
        "import sys\nimport aimco.cli\nfrom aimco.__main__ import run\n"
        "def main():\n    try:\n        exec('raise KeyboardInterrupt')\n    except KeyboardInterrupt:\n        return 130\n"
        "aimco.cli.main = main\nrun()\n"
    )
    assert subprocess.run([sys.executable, "-m", "interrupted"], cwd=tmp_path, check=False).returncode == 130
