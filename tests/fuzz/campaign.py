"""Damage right inputs of every kind and hold the command line to its word: exit 2 with a sentence, or a right result.

    PYTHONPATH=tests python -m fuzz --count 10000 --workers 2 --out docs/results
    PYTHONPATH=tests python -m fuzz --only "design:17" --show        one input again, with what it says

Each input is a function of its kind and number alone. A process does some of them; one that does not answer is ended, and that is a fault.
"""

from __future__ import annotations

import functools
import json
import multiprocessing
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from typing import Any

from aimco.studies.workers import one_thread
from aimco.terminal import keep
from fuzz import corpus, damage, verdict

_ANSWER_S = 600.0  # of one input, wall time, on a busy machine too
CHUNK = 100  # inputs of a process

Row = dict[str, Any]


def damaged_input(kind: str, number: int) -> tuple[tuple[str, ...], dict[str, bytes]]:
    """The command and the files of an input."""
    rng = random.Random(f"{kind}:{number}")
    one = rng.choice([i for i in inputs() if i.kind == kind])
    files = dict(one.files)
    if not one.damaged:
        return damage.words(one.words, rng), files
    name = rng.choice(one.damaged)
    files[name] = damage.damaged(files[name], name, rng)
    return one.words, files


@functools.cache
def inputs() -> list[corpus.Input]:
    """The right inputs, made once."""
    return corpus.inputs()


def kinds() -> list[str]:
    """Of inputs."""
    return list(dict.fromkeys(one.kind for one in inputs()))


def judged(kind: str, number: int) -> Row:
    """What came of one input."""
    words, files = damaged_input(kind, number)
    outcome, found, said = verdict.faults(words, files)
    return {"kind": kind, "number": number, "outcome": outcome, "faults": found, "said": said[-1500:]}


def _answer(pipe: Connection, work: list[tuple[str, int]]) -> None:
    """A process: answers one after the other."""
    os.environ["NUMBA_NUM_THREADS"] = "1"
    one_thread()
    inputs()
    pipe.send(None)
    for kind, number in work:
        pipe.send(judged(kind, number))
    pipe.close()


def _chunk(work: list[tuple[str, int]]) -> Iterator[Row]:
    """The rows of some inputs, in a process of their own, and in another where it does not answer."""
    context = multiprocessing.get_context("spawn")
    while work:
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_answer, args=(theirs, work))
        process.start()
        theirs.close()
        done = 0
        try:
            while done < len(work) + 1:
                if not ours.poll(_ANSWER_S):
                    raise EOFError
                if (row := ours.recv()) is not None:
                    yield row
                done += 1
            return
        except EOFError:
            kind, number = work[max(done - 1, 0)]
            why = "did not answer" if process.is_alive() else "ended the process"
            yield {"kind": kind, "number": number, "outcome": "lost", "faults": [why], "said": ""}
            work = work[max(done, 1) :]
        finally:
            process.kill()
            process.join()


def main(count: int = 10_000, workers: int = 2, only: str | None = None, show: bool = False, out: str | None = None) -> int:
    """Try damaged inputs.

    Args:
        count: Of all of them, the same for each kind.
        workers: Processes at a time.
        only: KIND or KIND:NUMBER.
        show: Whether to print each input with what came of it.
        out: Folder of the summary, fuzz.json.
    """
    each = -(-count // len(kinds()))
    work = [(kind, number) for kind in kinds() for number in range(each)]
    if only is not None:
        kind, _, number = only.partition(":")
        work = [(kind, int(number))] if number else [w for w in work if w[0] == kind]
    random.Random(0).shuffle(work)
    chunks, rows, started = [work[k : k + CHUNK] for k in range(0, len(work), CHUNK)], [], time.perf_counter()
    with ThreadPoolExecutor(workers) as pool:
        for some in pool.map(lambda chunk: list(_chunk(chunk)), chunks):
            rows += some
            for row in some:
                if row["faults"] or show:
                    print(f"{row['kind']}:{row['number']} {row['outcome']} {row['faults']}\n{row['said'] if show else ''}", flush=True)
            print(f"{len(rows)} of {len(work)}, {sum(bool(r['faults']) for r in rows)} faults", file=sys.stderr, flush=True)
    summary = [
        {"kind": kind}
        | {name: Counter(r["outcome"] for r in rows if r["kind"] == kind)[name] for name in ("right", "refused", "stopped", "lost")}
        | {"faults": sum(bool(r["faults"]) for r in rows if r["kind"] == kind)}
        for kind in kinds()
    ]
    if out is not None:
        faulty = [{n: row[n] for n in ("kind", "number", "faults")} for row in rows if row["faults"]]
        keep(
            out,
            "fuzz",
            {"inputs": len(rows), "faults": len(faulty), "took_s": time.perf_counter() - started, "kinds": summary, "faulty": faulty},
        )
    if only is None:
        print(json.dumps(summary, indent=1))
    return int(any(row["faults"] for row in rows))
