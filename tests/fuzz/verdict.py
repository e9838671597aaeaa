"""One damaged input through the command line, and what is wrong with what came of it."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import rich.progress

from aimco import cli, training
from aimco.divergence import Diverged
from aimco.user_code import own_fault

PATIENCE_S = 5  # CPU seconds, after which a command is stopped as Ctrl-C does
SLOW_S = 20  # CPU seconds that no command takes without a word
MEMORY = 2 * 2**30  # bytes


class Watched:
    """What happened in a command, beside its output."""

    def __init__(self) -> None:
        self.told = self.patient = self.stopped = self.over = False
        self.late = ""

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Notes training, progress and refusals while a command runs; stops it after its time."""
        train, update = training.Run._train, rich.progress.Progress.update

        def trained(run: training.Run) -> None:
            try:
                train(run)
            except (KeyboardInterrupt, Diverged):
                raise
            except Exception as error:
                done = len(run.curves["train_loss"])
                if done and own_fault(error) is None:
                    self.late = f"refused after {done} epochs: {error}"
                raise

        def updated(*args: Any, **kwargs: Any) -> None:
            self.told |= bool(kwargs.get("completed"))
            update(*args, **kwargs)

        def stop(*_: object) -> None:
            if self.over:
                return
            if not self.told and not self.patient:  # as long as nobody may wait without a word
                self.patient = True
                signal.setitimer(signal.ITIMER_PROF, SLOW_S - PATIENCE_S)
                return
            self.stopped = True
            signal.setitimer(signal.ITIMER_PROF, 1)  # again, where it is lost in a callback
            raise KeyboardInterrupt

        training.Run._train, rich.progress.Progress.update = trained, updated  # type: ignore[method-assign,assignment]
        before = signal.signal(signal.SIGPROF, stop)
        signal.setitimer(signal.ITIMER_PROF, PATIENCE_S)
        try:
            yield
        finally:
            self.over = True  # first, since a signal may come on any line
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.signal(signal.SIGPROF, before)
            training.Run._train, rich.progress.Progress.update = train, update  # type: ignore[method-assign]


def faults(words: Sequence[str], files: dict[str, bytes]) -> tuple[str, list[str], str]:
    """What came of a command in a folder of these files.

    Returns:
        "right", "refused" or "stopped"; faults, empty when all is well; what was printed for people.
    """
    before = Path.cwd()
    folder = Path(tempfile.mkdtemp(prefix="aimco-fuzz-"))
    try:
        os.chdir(folder)
        for name, content in files.items():
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).write_bytes(content)
        return _judged(words, folder)
    finally:
        os.chdir(before)
        shutil.rmtree(folder, ignore_errors=True)


def _judged(words: Sequence[str], folder: Path) -> tuple[str, list[str], str]:
    out, err, watched, state = io.StringIO(), io.StringIO(), Watched(), _state(folder)
    started, peak, status, found = time.process_time(), _peak(), None, []
    modules = set(sys.modules)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), watched.watching(), warnings.catch_warnings():
            warnings.simplefilter("default")
            status = cli.main(list(words))
    except KeyboardInterrupt:
        status = 130
    except BaseException as error:
        found.append(f"{type(error).__name__} left the command: {error}")
    took, said = time.process_time() - started, err.getvalue()
    for name in set(sys.modules) - modules:
        if not getattr(sys.modules[name], "__file__", None) or str(folder) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]
    if "Traceback" in said:
        found.append(f"a traceback: {said.strip().splitlines()[-1]}")
    if "Warning:" in said:
        found.append(f"a warning: {next(line for line in said.splitlines() if 'Warning:' in line)}")
    if watched.late:
        found.append(watched.late)
    if took >= SLOW_S and not watched.told:
        found.append(f"{took:.0f} s without progress")
    if _peak() > max(MEMORY, peak):
        found.append("more than 2 GB of memory")
    if status == 2:
        found += [f"the refusal changed {name}" for name in _changed(state, _state(folder))] + _sentence(said, out.getvalue())
    elif status == 0 and "--json" in words:
        found += _document(out.getvalue())
    elif status not in (0, 1, 130):
        found.append(f"exit status {status}")
    return ("stopped" if watched.stopped else "refused" if status == 2 else "right"), found, said


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _state(folder: Path) -> dict[str, str]:
    files = (p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def _changed(before: dict[str, str], after: dict[str, str]) -> list[str]:
    return [name for name in before | after if before.get(name) != after.get(name)]


def _sentence(said: str, printed: str) -> list[str]:
    """A refusal is one sentence on standard error; that of wrong words in a command has a frame around it."""
    lines = [line for line in said.splitlines() if line.strip()]
    if not lines:
        return ["a refusal without a word"]
    found = ["a refusal with output"] if printed.strip() else []
    if len(lines[-1]) > 700:
        found.append(f"a message of {len(lines[-1])} letters")
    return found


def _document(printed: str) -> list[str]:
    """A JSON document without numbers that are not finite, and amounts that can be."""

    def refuse(word: str) -> None:
        raise ValueError(f"{word} in JSON")

    try:
        data = json.loads(printed, parse_constant=refuse)
    except ValueError as error:
        return [f"no strict JSON: {error}"]
    found = []
    if isinstance(data, dict):
        for name in ("energy_J", "latency_s"):
            amounts = data.get(name)
            found += [f"{name}.{k} is {v}" for k, v in amounts.items() if not 0 <= v < 1e30] if isinstance(amounts, dict) else []
        accuracy = data.get("metrics", {}).get("accuracy", 0.5) if isinstance(data.get("metrics"), dict) else 0.5
        found += [] if 0 <= accuracy <= 1 else [f"accuracy is {accuracy}"]
    return found
