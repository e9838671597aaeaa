"""A short form of `make fuzz`: some damaged inputs of every kind, and proof that the campaign sees each kind of fault."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from aimco import training
from aimco.record import InputError
from fuzz import campaign, verdict

EACH = 12
KINDS = campaign.kinds()


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_inputs_are_refused_in_a_sentence_or_give_a_right_result(kind):
    rows = [campaign.judged(kind, number) for number in range(EACH)]
    assert not [row for row in rows if row["faults"]]
    assert {row["outcome"] for row in rows} <= {"right", "refused", "stopped"}


def spoilt(monkeypatch: pytest.MonkeyPatch, command: object) -> list[str]:
    """The faults that the campaign finds where a command is in place of ours."""
    monkeypatch.setattr(verdict.cli, "main", command)
    return verdict.faults(("run", "d.toml", "--json"), {"d.toml": b"x"})[1]


def says(out: str = "", err: str = "", status: int = 0):
    def command(_: object) -> int:
        sys.stdout.write(out)
        sys.stderr.write(err)
        return status

    return command


def changes(_: object) -> int:
    Path("d.toml").write_text("gone")
    print("refused", file=sys.stderr)
    return 2


def raises(_: object) -> int:
    raise RuntimeError("left")


@pytest.mark.parametrize(
    ("command", "fault"),
    [
        (says(json.dumps({"metrics": {"accuracy": float("nan")}})), "NaN in JSON"),
        (says('{"energy_J": {"total": 1e40}}'), "energy_J.total is 1e"),
        (says('{"metrics": {"accuracy": 1.5}}'), "accuracy is 1.5"),
        (says(err="Traceback (most recent call last):\nKeyError: 'x'\n", status=1), "a traceback: KeyError"),
        (says(err="x.py:1: RuntimeWarning: overflow\n", out="{}"), "a warning"),
        (says(status=2), "a refusal without a word"),
        (says(out="{}", err="wrong\n", status=2), "a refusal with output"),
        (says(err="x" * 800, status=2), "a message of 800 letters"),
        (changes, "the refusal changed d.toml"),
        (raises, "RuntimeError left the command"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_kind_of_fault_is_seen(monkeypatch, command, fault):
    assert any(fault in found for found in spoilt(monkeypatch, command))


def test_a_late_refusal_is_seen(monkeypatch):
    """Training that ends in a refusal after its first epoch."""
    end = training.Phases.end

    def refuses(phases: training.Phases, phase: str) -> None:
        end(phases, phase)
        if phase == "infer":
            raise InputError("too late")

    monkeypatch.setattr(training.Phases, "end", refuses)
    one = next(i for i in campaign.inputs() if i.kind == "design")
    assert any("refused after 1 epochs: too late" in fault for fault in verdict.faults(one.words, dict(one.files))[1])


def test_an_input_is_a_function_of_its_kind_and_number():
    assert campaign.damaged_input("design", 3) == campaign.damaged_input("design", 3)
    assert campaign.damaged_input("design", 3) != campaign.damaged_input("design", 4)


def test_the_campaign_writes_its_summary(tmp_path, monkeypatch):
    monkeypatch.setattr(campaign, "CHUNK", 2)
    assert campaign.main(count=1, workers=1, only="activity:1", out=str(tmp_path)) == 0
    summary = json.loads((tmp_path / "fuzz.json").read_text())
    assert summary["inputs"] == 1
    assert summary["faults"] == 0
