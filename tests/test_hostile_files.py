"""Files that are damaged or made to harm: one sentence, no memory, nothing that runs."""

from __future__ import annotations

import csv
import gzip
import io
import struct
import tracemalloc
import zipfile

import pytest
import torch

import aimco as ai
import made_studies
from aimco.cli import main
from aimco.data.idx import read_idx
from aimco.report.tables import csv_text
from aimco.report.view import About, View
from aimco.studies.trial import Trial

HOSTILE = {
    "a number of thousands of digits": "epochs = " + "9" * 5000,
    "tables nested thousands deep": "x = " + "[" * 5000 + "]" * 5000,
    "nested at most": "x = " + "[" * 60 + "]" * 60,
}


@pytest.mark.parametrize("part", HOSTILE)
def test_toml_without_end_is_refused_in_a_file_and_on_the_command_line(part, tmp_path, capsys):
    (tmp_path / "design.toml").write_text(HOSTILE[part])
    ai.Design(device="ideal").save(tmp_path / "good.toml")
    for words in ([str(tmp_path / "design.toml")], [str(tmp_path / "good.toml"), "--set", f"rule={HOSTILE[part].split(' = ')[1]}"]):
        assert main(["run", *words]) == 2
        message = capsys.readouterr().err.strip()
        assert part in message and "\n" not in message and len(message) < 300


def test_little_that_unpacks_to_much_is_not_unpacked(tmp_path):
    """A header that promises 100 values before 300 MB of zeros; one that promises billions."""
    with gzip.open(tmp_path / "more.gz", "wb") as file:
        file.write(struct.pack(">4I", 0x0803, 1, 10, 10))
        for _ in range(300):
            file.write(bytes(1_000_000))
    tracemalloc.start()
    with pytest.raises(ai.InputError, match="must hold 1 x 10 x 10 values as its header says, got more"):
        read_idx(tmp_path / "more.gz", 3)
    assert tracemalloc.get_traced_memory()[1] < 5e6
    tracemalloc.stop()
    (tmp_path / "vast").write_bytes(struct.pack(">4I", 0x0803, 2**31, 1000, 1000))
    with pytest.raises(ai.InputError, match="must hold 2147483648 x 1000 x 1000 values as its header says, got 0"):
        read_idx(tmp_path / "vast", 3)


@pytest.mark.parametrize("suffix", ["npz", "pt"])
def test_an_archive_of_zeros_is_not_unpacked(suffix, tmp_path):
    """600 MB in less than one."""
    with zipfile.ZipFile(tmp_path / f"zeros.{suffix}", "w", zipfile.ZIP_DEFLATED) as archive, archive.open("X.npy", "w") as file:
        for _ in range(600):
            file.write(bytes(1_000_000))
    with pytest.raises(ai.InputError, match="must not unpack to 200 times its size, got 572 MB"):
        ai.tasks.load(str(tmp_path / f"zeros.{suffix}"))


def test_an_activity_and_a_task_nested_without_end_are_refused(tmp_path, capsys):
    design = str(tmp_path / "d.toml")
    ai.Design(device="ideal").save(design)
    (tmp_path / "run.json").write_text('{"activity": ' + "[" * 100_000)
    assert main(["cost", design, "--activity", str(tmp_path / "run.json")]) == 2
    assert "must be the JSON that aimco run" in capsys.readouterr().err
    assert main(["run", design, "--task", "{ kind = " + "[" * 5000]) == 2
    assert "tables nested thousands deep" in capsys.readouterr().err


def test_no_cell_of_a_table_is_a_formula():
    trials = [Trial(0, {"=1+1": "@SUM(A1)"}, values={"accuracy": -0.5}, reason="-2+3"), *made_studies.study(2)]
    rows = list(csv.reader(io.StringIO(csv_text(View(trials, About({"accuracy": "max"}))))))
    text = [cell for row in rows for cell in row if cell and not cell.lstrip("-").replace(".", "").isdigit()]
    assert not [cell for cell in text if cell[0] in "=+@" or (cell[0] == "-" and cell[1:2] == "2")]
    assert "-0.5" in [cell for row in rows for cell in row]


def checkpointed(tmp_path, lr: float = 0.1, epochs: int = 1):
    """A run of a few digits that keeps its state."""
    design = ai.Design.of({"device": "ideal", "network": {"hidden": []}, "rule": {"kind": "sgd", "lr": lr}, "training": {"epochs": epochs}})
    return ai.evaluate(design, "digits", limit=20, checkpoint=str(tmp_path / "run.pt"), progress=False)


def test_a_checkpoint_of_another_design_names_the_field(tmp_path):
    checkpointed(tmp_path)
    with pytest.raises(ai.InputError, match=r"must be of a design with rule\.lr = 0\.2, got 0\.1; remove it or name another"):
        checkpointed(tmp_path, lr=0.2)


@pytest.mark.parametrize("lost", ["model", "phases", "curves", "run", "0.weight", "0.bias", "0._extra_state", "text"])
def test_a_damaged_checkpoint_is_one_sentence(tmp_path, lost):
    checkpointed(tmp_path)
    saved = torch.load(tmp_path / "run.pt", weights_only=True)
    if lost in saved["model"]:
        del saved["model"][lost]
    elif lost != "text":
        del saved[lost]
    torch.save(saved, tmp_path / "run.pt")
    if lost == "text":
        (tmp_path / "run.pt").write_text("no checkpoint")
    with pytest.raises(ai.InputError, match="must be a file that aimco wrote"):
        checkpointed(tmp_path)


MINE = """from aimco import Response

open({mark!r}, "w").close()


class Mine(Response):
    @staticmethod
    def step(g, up, p):
        return p.step_up if up else -p.step_down
"""


def test_python_of_what_is_not_trusted_does_not_run(tmp_path, capsys):
    """A design and a device from elsewhere, read by a function and by commands; `mark` appears when the file runs."""
    mark, sheet, design = tmp_path / "mark", tmp_path / "device.toml", tmp_path / "design.toml"
    (tmp_path / "mine.py").write_text(MINE.format(mark=str(mark)))
    sheet.write_text('g_min = 0.0\ng_max = 1e-6\n[response]\nkind = "mine.py:Mine"\nstep_up = 1e-9\nstep_down = 1e-9\n')
    design.write_text('device = "device.toml"\n')
    with pytest.raises(ai.InputError, match=r"mine\.py: must be one that comes with aimco in what is not trusted"):
        ai.Design.load(design, trust=False)
    for words in (["run", str(design)], ["cost", str(design)], ["devices", str(sheet)], ["advise", str(sheet)]):
        assert main(["--untrusted", *words]) == 2
        assert "not trusted" in capsys.readouterr().err
    assert not mark.exists()
    assert ai.Design.load(design).device.response.one_sided is False
    assert mark.exists()


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("device = 'ideal'\n[cell]\nkind = 'reference'\nweight_max = 1e-320", "weight_max"),
        ("device = 'ideal'\n[periphery]\nread_s = 1e-300", "read_s"),
        ("[device]\ng_min = 0.0\ng_max = 1e200\nresponse = { kind = 'constant-step', step_up = 1e-9, step_down = 1e-9 }", "g_max"),
        ("device = 'ideal'\ntechnology = 'tech.toml'", "adc_J"),
    ],
)
def test_numbers_that_nothing_has_are_refused(text, field, tmp_path, capsys):
    (tmp_path / "tech.toml").write_text(
        ai.Technology.named("rpu-2016").replace("adc_J", 1e-12).dumps().replace("adc_J = 1e-12", "adc_J = 1e308")
    )
    (tmp_path / "design.toml").write_text(text)
    assert main(["cost", str(tmp_path / "design.toml")]) == 2
    message = capsys.readouterr().err
    assert field in message and len(message.strip().splitlines()) == 1


def test_a_message_does_not_echo_what_is_long(tmp_path, capsys):
    ai.Design(device="ideal").save(tmp_path / "d.toml")
    assert main(["run", str(tmp_path / "d.toml"), "--set", f"device={'x' * 5000}"]) == 2
    assert len(capsys.readouterr().err) < 700
