"""Runs that an advice asks for: packed, given to workers, kept in files, and stopped when the time is up."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import aimco
from aimco.data.data import Data
from aimco.design import Design
from aimco.files import sha256, write_atomic
from aimco.studies.pack import Outcome, Pack, packs
from aimco.studies.workers import Evaluate
from aimco.tasks import task_of

_MEMBERS = 64  # of a pack, at most
_PARTS, _FEWEST = 2, 2  # packs that work is split into, so that workers share it evenly; members of a pack of such a part, at least

OnPack = Callable[[Mapping[int, Outcome]], None]


@dataclass(frozen=True)
class Job:
    """A design to run.

    Args:
        design: With its own schedule.
        seeds: Of its runs.
        limit: Use only the first training samples; as many as the question when absent.
    """

    design: Design
    seeds: tuple[int, ...]
    limit: int | None = None


class Jobs:
    """Evaluates jobs in packs. Outcomes are kept in a folder by the content of their packs, so that the same question resumes.

    Args:
        evaluate: Of `aimco.studies.workers.evaluator`.
        data: The task, loaded.
        limit: Use only the first training samples, all when absent.
        task: The task as text, for workers.
        data_dir: Folder of the task's files.
        folder: Of outcomes; nothing is kept when absent.
    """

    def __init__(
        self,
        evaluate: Evaluate,
        data: Data,
        task: str,
        *,
        data_dir: str | None = None,
        folder: Path | None = None,
        limit: int | None = None,
    ) -> None:
        self.evaluate, self.data, self.task, self.data_dir = evaluate, data, task, data_dir
        self.folder, self.limit = folder, limit
        self.deadline, self.until = float("inf"), float("inf")  # when nothing begins any more, and when nothing is waited for
        self.cut = False  # whether these left anything undone
        self._speeds: dict[tuple[object, ...], float] = {}  # seconds of a sample of a member, by what takes time

    def run(self, jobs: Sequence[Job], on_pack: OnPack | None = None) -> list[Outcome | None]:
        """Outcomes in the order of the jobs; None for those that the deadline left undone.

        Args:
            jobs: What to run.
            on_pack: Called with the outcomes of jobs that trained together, by number, as they are there.
        """
        outcomes: list[Outcome | None] = [None] * len(jobs)
        with closing(self._finished(self._packed(jobs))) as finished:
            for numbers, done in finished:
                for number, outcome in zip(numbers, done, strict=True):
                    outcomes[number] = outcome
                if on_pack is not None:
                    on_pack(dict(zip(numbers, done, strict=True)))
        self.cut |= None in outcomes
        return outcomes

    def _in_time(self, pack: Pack) -> bool:
        """Whether a pack that began now would be done by the deadline, by what the fastest like it took; the first of its like begins."""
        return time.monotonic() + self._speeds.get(_kind(pack), 0.0) * self._size(pack) <= self.deadline

    def seconds(self, design: Design, seeds: Sequence[int]) -> float:
        """What a run of a design would take, by what others like it took; 0 where there was none."""
        pack = Pack([design.as_dict()], list(seeds), self.task, self.limit, self.data_dir)
        return self._speeds.get(_kind(pack), 0.0) * self._size(pack)

    def _note_speed(self, pack: Pack, outcomes: Sequence[Outcome]) -> None:
        took = sum(outcome["wall_s"] for outcome in outcomes)
        if took:  # the first runs of a process load what they need
            self._speeds[_kind(pack)] = min(took / self._size(pack), self._speeds.get(_kind(pack), math.inf))

    def _size(self, pack: Pack) -> int:
        """Samples that its members learn, all together."""
        epochs = max(int(design["training"]["epochs"]) for design in pack.designs)
        return len(pack.designs) * len(pack.seeds) * epochs * (pack.limit or len(self.data.train_x))

    def _finished(self, chosen: Sequence[tuple[list[int], Pack]]) -> Generator[tuple[list[int], list[Outcome]]]:
        """Numbers of jobs with their outcomes, as each pack is ready; those first that are there from before."""
        waiting = []
        for numbers, pack in chosen:
            before = self._kept(pack)
            if before is None:
                waiting.append((numbers, pack))
            else:
                yield numbers, before
        for k, outcomes in self.evaluate([pack for _, pack in waiting], lambda k: self._in_time(waiting[k][1]), self.until):
            numbers, pack = waiting[k]
            self._note_speed(pack, outcomes)
            self._keep(pack, outcomes)
            yield numbers, outcomes

    def _packed(self, jobs: Sequence[Job]) -> list[tuple[list[int], Pack]]:
        """Jobs that train together, with their numbers, in the order of the first of each."""
        groups: dict[tuple[tuple[int, ...], int | None], dict[int, Design]] = {}
        for number, job in enumerate(jobs):
            groups.setdefault((job.seeds, job.limit or self.limit), {})[number] = job.design
        numbered = []
        most = min(_MEMBERS, max(_FEWEST, -(-sum(len(job.seeds) for job in jobs) // _PARTS)))
        for (seeds, limit), designs in groups.items():
            for numbers in packs(designs, max(1, most // len(seeds))):
                pack = Pack([designs[n].as_dict() for n in numbers], list(seeds), self.task, limit, self.data_dir)
                numbered.append((numbers, pack))
        return sorted(numbered, key=lambda item: item[0][0])

    def _path(self, pack: Pack) -> Path | None:
        if self.folder is None:
            return None
        designs = [Design.of(data).hash() for data in pack.designs]  # which the source of users' own kinds is part of
        task = task_of(self.task).hash()  # loss and metrics are not in the data
        content = [designs, pack.seeds, pack.limit, task, self.data.digest, aimco.__version__]
        return self.folder / f"{sha256(json.dumps(content).encode())[:20]}.json"

    def _kept(self, pack: Pack) -> list[Outcome] | None:
        path = self._path(pack)
        return json.loads(path.read_text()) if path is not None and path.exists() else None

    def _keep(self, pack: Pack, outcomes: list[Outcome]) -> None:
        path = self._path(pack)
        if path is not None and all(outcome["state"] != "failed" for outcome in outcomes):
            write_atomic(path, json.dumps(outcomes))


def _kind(pack: Pack) -> tuple[object, ...]:
    """What the time of a pack depends on: rule, cell, array, converters."""
    design = pack.designs[0]
    kinds = (design.get(part, {}) for part in ("rule", "cell", "array"))
    return *(part.get("kind") if isinstance(part, dict) else part for part in kinds), "adc" in str(design.get("periphery", ""))
