"""The user's own arrays or images, from a file or a folder."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from pydantic import Field, field_validator

from aimco.data.own import GoalName, data_of
from aimco.files import resolved
from aimco.tasks import Task


class Arrays(Task):
    """Samples of a file (.npz, .npy, .csv, .pt) or of a folder of images.

    Args:
        path: of the file or folder; in a TOML file it counts from its folder.
        x, y: names of inputs and targets in it, where they are not the usual ones (x, y, x_train, X_test, labels, ...).
        goal: "classification", y being labels, or "regression", y being values; by the type of y when "auto".
        test_fraction: of the samples that are kept for the test, where the file has no test samples.
    """

    path: str
    x: str | None = None
    y: str | None = None
    goal: GoalName = "auto"
    test_fraction: float = Field(default=0.2, gt=0, lt=1, description="part of the samples that is kept for the test")

    @field_validator("path")
    @classmethod
    def _counted(cls, path: str) -> str:
        return str(resolved(os.path.expanduser(path)))

    def data(self, data_dir=None, seed=0, limit=None):
        from aimco.data.files import read

        train, test = read(Path(self.path), self.x, self.y)
        name = Path(self.path).name
        return data_of(train, test, name=name, goal=self.goal, test_fraction=self.test_fraction, limit=limit)

    def text(self):
        return self.path if self == Arrays(path=self.path) else super().text()

    def code(self):
        """The content of the files, so that a study over other data is another study."""
        place = Path(self.path)
        files = [place, place.parent / self.y] if self.y is not None and place.suffix == ".npy" else [place]
        files += sorted(place.rglob("*")) if place.is_dir() else []
        digits = hashlib.sha256()
        for file in (f for f in files if f.is_file()):
            digits.update(str(file.relative_to(place.parent)).encode() + hashlib.sha256(file.read_bytes()).digest())
        return digits.hexdigest()
