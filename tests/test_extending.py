"""The page on extending: its files are those that the suites run on, short, and work in one design."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import aimco as ai
from kinds import TOYS

PAGE = Path(__file__).parent.parent / "docs" / "extending.md"
BLOCKS = {name: text for text, name in re.findall(r"```(?:python|toml)\n(# (\S+\.(?:py|toml))\n.*?)```", PAGE.read_text(), re.DOTALL)}


@pytest.mark.parametrize("path", sorted(TOYS.iterdir()), ids=lambda p: p.name)
def test_the_page_has_each_toy_as_it_is_and_it_is_short(path):
    if path.is_dir():
        return
    assert BLOCKS[path.name] == f"# {path.name}\n{path.read_text()}"
    assert len(path.read_text().splitlines()) < 30


def test_all_toys_work_in_one_design(tmp_path, monkeypatch):
    """From the files of the page alone."""
    for name, text in BLOCKS.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    response = {"kind": "my_response.py:Saturating", "step_up": 2e-9, "step_down": 2e-9, "fall": 0.1}
    design = ai.Design.of(
        {
            "device": {"name": "mine", "g_min": 0.0, "g_max": 2e-6, "response": response},
            "cell": {"kind": "my_cell.py:Twins", "weight_max": 2.0},
            "network": {"kind": "my_network.py:Wide", "times": 8},
            "rule": {"kind": "my_rule.py:Sparse", "lr": 0.2},
            "training": {"epochs": 8, "batch": 5},
            "technology": "my_technology.toml",
        }
    )
    result = ai.evaluate(design, "my_task.py:Quadrants")
    assert result.accuracy > 0.9 and result.energy_J["total"] > 0
    assert {Path(n).name for n in design.files()} == {"my_response.py", "my_cell.py", "my_network.py", "my_rule.py", "my_technology.toml"}
