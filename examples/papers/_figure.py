"""What the scripts of this folder share: their options, and figures drawn from a JSON that the run left."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from aimco.terminal import keep


def options(*, mnist: Literal["no", "may", "must"] = "no", redraw: bool = False, peer: bool = False) -> argparse.Namespace:
    """--quick and --out; the folder of the files of MNIST where it may or must be told; whether to draw what an earlier run left.

    And the interpreter that a peer is installed for.
    """
    known = argparse.ArgumentParser()
    known.add_argument("--quick", action="store_true")
    known.add_argument("--out", default=".")
    if mnist != "no":
        known.add_argument("--data-dir", help="folder with the IDX files of MNIST")
    if peer:
        known.add_argument("--peer", required=True, help="interpreter of an environment that has the peer")
    if redraw:
        known.add_argument("--redraw", action="store_true", help="from the JSON in the folder")
    chosen = known.parse_args()
    if mnist == "must" and chosen.data_dir is None and not getattr(chosen, "redraw", False):
        known.error("--data-dir must be given: the folder with the IDX files of MNIST")
    return chosen


def figure_of(name: str, run: Callable[[argparse.Namespace], Any], draw: Callable[[Any, Path], None], **needs: Any) -> None:
    """Run, or with --redraw read what an earlier run left; keep NAME.json and draw NAME.png."""
    chosen = options(redraw=True, **needs)
    if not chosen.redraw:
        keep(chosen.out, name, run(chosen))
    draw(json.loads((Path(chosen.out) / f"{name}.json").read_text()), Path(chosen.out) / f"{name}.png")
