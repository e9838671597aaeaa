"""The main job on embedded data, as a study: devices x rules on handwritten digits."""

from __future__ import annotations

import tempfile
from pathlib import Path

from aimco.studies import Study, Trial, default_storage, run
from aimco.studies.run import OnTrial

_WORKERS = 2


def study() -> Study:
    """Its record, `demo.toml` beside this file."""
    return Study.load(Path(__file__).with_suffix(".toml"))


def trials(on_trial: OnTrial | None = None) -> list[Trial]:
    """Run it from the beginning; nothing is kept. on_trial: called with (trial, finished, all) as each is ready."""
    with tempfile.TemporaryDirectory() as folder:
        return run(study(), storage=default_storage(Path(folder) / "demo.toml"), workers=_WORKERS, on_trial=on_trial)
