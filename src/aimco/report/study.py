"""A study as one page that opens anywhere, and as files: pictures, tables, designs."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aimco.design import Design
from aimco.errors import InputError
from aimco.files import names_files, write_atomic
from aimco.outputs import write_outputs
from aimco.report import markup
from aimco.report.device import device_figure
from aimco.report.parallel import parallel_coordinates
from aimco.report.pictures import fronts, learning_curves, picture, sensitivities
from aimco.report.tables import NO_PARQUET, csv_text, has_parquet, parquet_bytes
from aimco.report.tolerance import devices
from aimco.report.view import About, View, verdict
from aimco.studies.trial import Trial

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Pictures:
    """The pictures of a study as PNG, by title, in the order of the page."""

    fronts: dict[str, bytes]
    choices: dict[str, bytes]
    sensitivity: dict[str, bytes]
    learning: dict[str, bytes]
    devices: dict[str, bytes]

    def files(self) -> dict[str, bytes]:
        """All of them, by the name of a file."""
        every = self.fronts | self.choices | self.sensitivity | self.learning | self.devices
        return {f"{re.sub(r'[^a-z0-9]+', '-', title.lower()).strip('-')}.png": data for title, data in every.items()}


def page(trials: Sequence[Trial], path: str | Path, about: About) -> None:
    """One self-contained page of a study, written whole or not at all."""
    view = View(trials, about)
    write_atomic(path, _page(view, draw(view)))


def write(trials: Sequence[Trial], folder: str | Path, about: About, *, name: str = "report.html") -> list[str]:
    """The page, its pictures, trials.csv, trials.parquet where pyarrow is installed, and the design of each point.

    Args:
        folder: made where it is missing. name: of the page in it.

    Returns:
        Sentences on what could not be written, empty when everything was.
    """
    view = View(trials, about)
    pictures = draw(view)
    files: dict[str, str | bytes] = {name: _page(view, pictures), "trials.csv": csv_text(view)}
    files |= {"trials.parquet": parquet_bytes(view)} if has_parquet() else {}
    files |= {f"pictures/{file}": data for file, data in pictures.files().items()}
    for trial in view.trials:
        files |= _design_files(markup.file_of(view, trial), trial.design, Path(folder))
    write_outputs(folder, files)
    return [] if has_parquet() else [NO_PARQUET]


def _design_files(file: str, text: str, folder: Path) -> dict[str, str | bytes]:
    """The design of a point, and the users' files that it names, beside it; as it is where they cannot be read any more."""
    if not text:
        return {}
    try:
        design, copies = Design.of(tomllib.loads(text)).packed(folder / file) if names_files(text) else (text, {})
    except InputError:
        return {file: text}
    return {str(Path(file).parent / name): content for name, content in copies.items()} | {file: design}


def draw(view: View) -> Pictures:
    """Every picture of a study."""
    drawn = (fronts(view), parallel_coordinates(view), sensitivities(view), learning_curves(view), _devices(view))
    return Pictures(*({title: picture(figure) for title, figure in group.items()} for group in drawn))


def _page(view: View, pictures: Pictures) -> str:
    about, learning = view.about, "Members of the front in colour, all others faint."
    parts = [
        f"<h1>{markup.text(about.title)}</h1>",
        f"<p>Made by <code>{markup.text(about.command)}</code></p>",
        markup.listed(list(map(_sentence, verdict(view)))),
        markup.section("What can be had for what", *(markup.image(t, d, _caption(view)) for t, d in pictures.fronts.items())),
        markup.section("All choices", *(markup.image(t, d, _choices_caption(view)) for t, d in pictures.choices.items())),
        markup.section("Tolerances", markup.rows_table(about.tolerance)),
        markup.section("What matters", *(markup.image(t, d, t) for t, d in pictures.sensitivity.items())),
        markup.section("Learning", *(markup.image(t, d, learning) for t, d in pictures.learning.items())),
        markup.section("Devices", *(markup.image(t, d, t) for t, d in pictures.devices.items())),
        markup.section("All trials", markup.trials_table(view)),
        markup.section("Every point", _how(view), *(markup.details(view, t) for t in view.trials)),
    ]
    return markup.whole(about.title, [part for part in parts if part])


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:]


def _how(view: View) -> str:
    if not view.trials:
        return ""
    return (
        "<p>A command repeats a point when it is given in the folder of this page, beside which <code>designs/</code> lies; "
        "where that is missing, save the text below it there.</p>"
    )


def _caption(view: View) -> str:
    """What a reader of a front must know beside the legend."""
    lost = len(view.trials) - len(view.known)
    sentences = ["Numbers name members of the front"] if len(view.about.objectives) > 1 and view.front else []
    sentences += [f"{lost} trials that did not run to the end with finite values are not drawn"] if lost else []
    return "; ".join(sentences)


def _choices_caption(view: View) -> str:
    fixed = [f for f in view.fields if all(t.point.get(f) == view.known[0].point.get(f) for t in view.known)]
    sentence = "A line is a trial; members of the front are thick, those that do not meet the constraints faint; the best lie on top."
    return sentence + (f" The same in all: {', '.join(fixed)}." if fixed else "")


def _devices(view: View) -> dict[str, Figure]:
    """Pulse responses of distinct devices, those of the front first."""
    by_name = devices([*view.front, *view.known, *view.trials])
    items = [device if device.name == name else device.replace("name", name) for name, device in by_name.items()]
    return {"Pulse responses": device_figure(items)} if items else {}
