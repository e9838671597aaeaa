"""Progress as it is drawn: the bar and the time left stay, whatever runs is called."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from aimco.terminal import steps

LONG = "a study of resistive devices, 12 of 100 trials, the best of accuracy 0.9712 at 1.2e-9 J, the last failed: rule.lr must be"


def drawn(width: int, *told: tuple[str, float]) -> str:
    """The last line that progress leaves on a terminal."""
    file = io.StringIO()
    console = Console(width=width, force_terminal=True, color_system=None, file=file, legacy_windows=False)
    with steps("study", by_label=False, console=console) as on_step:
        for label, done in told:
            on_step(label, done)
    lines = re.sub(r"\x1b\[[0-9?]*[A-Za-z]", "", file.getvalue()).replace("\r", "\n").split("\n")
    return [line for line in lines if line][-1]


@pytest.mark.parametrize("width", [60, 80, 132])
@pytest.mark.parametrize("label", ["run", LONG])
def test_a_line_has_the_bar_the_share_and_both_times_at_any_width(label, width):
    line = drawn(width, (label, 0.4))
    assert len(line) <= width
    assert line.startswith("study, ")
    assert "━" * (width // 4 * 4 // 10) in line
    assert " 40% -:--:-- 0:00:0" in line  # the share, what is left (not yet known), what is gone
    assert ("…" in line) == (label == LONG)


def test_a_label_is_never_taken_for_markup():
    assert "study, [/red] [lr] " in drawn(80, ("one", 0.5), ("[/red] [lr]", 0.75))
