"""Who evaluates the packs: this process, local processes, or a cluster. What comes out is the same."""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from math import inf
from typing import TYPE_CHECKING, Protocol

from aimco.record import InputError
from aimco.studies.pack import Outcome, Pack, evaluate_pack, failed

if TYPE_CHECKING:
    from distributed import Client


Wanted = Callable[[int], bool]


class Evaluate(Protocol):
    """Evaluates packs and yields (index, outcomes) as each is ready."""

    def __call__(self, packs: Sequence[Pack], wanted: Wanted | None = None, until: float = inf) -> Iterator[tuple[int, list[Outcome]]]:
        """What is ready of packs.

        Args:
            packs: To evaluate.
            wanted: Asked of each index before its pack begins; one that is not wanted is left out.
            until: `time.monotonic` after which nothing is waited for: local processes are ended, the jobs of a cluster cancelled. What
                runs in this process is never cut short.
        """
        ...


_LOSSES = 4  # of its worker after which a pack is given up
_SUSPECT = 2  # after which packs are run one by one, to find the one that ends its worker
_REACH_S = 30

_MOST = 1024  # local processes


@contextlib.contextmanager
def evaluator(workers: int = 1, cluster: str | None = None) -> Iterator[Evaluate]:
    """A function that evaluates packs and yields (index, outcomes) as each is ready.

    Args:
        workers: local processes; 1 is this process. cluster: address of a Dask scheduler, instead.
    """
    check_workers(workers, cluster)
    if cluster is not None:
        with _cluster(cluster) as evaluate:
            yield evaluate
    elif workers == 1:
        yield _here
    else:
        with contextlib.closing(_Processes(workers)) as processes:
            yield processes.evaluate


def check_workers(workers: int, cluster: str | None) -> None:
    """Refuse what no evaluator is of: raises InputError."""
    if not 1 <= workers <= _MOST:
        raise InputError(f"workers must be in 1..{_MOST}, got {workers}")
    if cluster is not None and workers > 1:
        raise InputError("--workers and --cluster exclude each other; the cluster brings its own workers")


def _here(packs: Sequence[Pack], wanted: Wanted | None = None, until: float = inf) -> Iterator[tuple[int, list[Outcome]]]:
    for k, pack in enumerate(packs):
        if wanted is None or wanted(k):
            yield k, evaluate_pack(pack)


class _Processes:
    """Local processes that are replaced when one dies."""

    def __init__(self, workers: int) -> None:
        self.workers, self.pool = workers, None
        self.others = {child.pid for child in multiprocessing.active_children()}

    def evaluate(self, packs: Sequence[Pack], wanted: Wanted | None = None, until: float = inf) -> Iterator[tuple[int, list[Outcome]]]:
        left, losses = dict(enumerate(packs)), Counter[int]()
        while left:
            suspects = [k for k in left if losses[k] >= _SUSPECT]
            chosen = suspects[:1] or list(left)
            for k, outcomes in self._round({k: left[k] for k in chosen}, wanted, until):
                del left[k]
                if outcomes is not None:
                    yield k, outcomes
            lost = [k for k in chosen if k in left]
            losses.update(lost)
            if lost:
                self.close()
            for k in [k for k in lost if losses[k] >= _LOSSES]:
                yield k, _given_up(left.pop(k))

    def _round(self, packs: dict[int, Pack], wanted: Wanted | None, until: float) -> Iterator[tuple[int, list[Outcome] | None]]:
        """What comes back of packs until a worker dies; None for those that are no longer wanted when their turn comes, or too late."""
        futures: dict[Future[list[Outcome]], int] = {}
        waiting = list(packs)[::-1]
        try:
            with contextlib.suppress(BrokenProcessPool):
                while waiting or futures:
                    while waiting and len(futures) <= self.workers:  # one is ready for the worker that is free first
                        k = waiting.pop()
                        if wanted is not None and not wanted(k):
                            yield k, None
                            continue
                        with _deaf():
                            futures[self._started().submit(evaluate_pack, packs[k])] = k
                    done = wait(futures, max(0.0, until - time.monotonic()) if until < inf else None, FIRST_COMPLETED).done
                    if not done and time.monotonic() >= until:
                        self.close()
                        yield from ((k, None) for k in (*futures.values(), *waiting))
                        return
                    for future in done:
                        k = futures.pop(future)
                        with contextlib.suppress(BrokenProcessPool):
                            yield k, future.result()
        finally:  # closed before the end: what has not begun does not
            for future in futures:
                future.cancel()

    def _started(self) -> ProcessPoolExecutor:
        if self.pool is None:
            context = multiprocessing.get_context("spawn")
            self.pool = ProcessPoolExecutor(self.workers, mp_context=context, initializer=_begin)
        return self.pool

    def close(self) -> None:
        """End the workers, at work or not."""
        if self.pool is None:
            return
        self.pool.shutdown(wait=False, cancel_futures=True)
        for child in multiprocessing.active_children():
            if child.pid not in self.others:
                child.terminate()
                child.join()
        self.pool = None


@contextlib.contextmanager
def _deaf() -> Iterator[None]:
    """Start processes that never hear Ctrl-C, which is for the coordinator: it hears it afterwards."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _given_up(pack: Pack) -> list[Outcome]:
    reason = f"its worker died {_LOSSES} times; try a smaller pack, or look for memory running out"
    return [failed(reason) for _ in pack.designs]


def _begin() -> None:
    """A worker: one thread, and gone when the coordinator is."""
    one_thread()
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def one_thread() -> None:
    """Keep this process to one thread: workers side by side would only wake each other's."""
    import numba
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(1)
    numba.set_num_threads(1)
    threadpool_limits(1)


@contextlib.contextmanager
def _cluster(address: str) -> Iterator[Evaluate]:
    try:
        from distributed import Client
    except ImportError:
        raise InputError("--cluster needs Dask; install it with pip install 'aimco[cluster]'") from None
    try:
        client = Client(address, timeout=_REACH_S, set_as_default=False)
    except (OSError, ValueError) as error:
        message = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"--cluster {address} cannot be reached ({message}); give the address that its scheduler printed") from None
    with client:
        threads = [worker["nthreads"] for worker in client.scheduler_info(n_workers=-1)["workers"].values()]
        if any(n != 1 for n in threads):
            raise InputError(f"--cluster {address}: each worker must have 1 thread, got {max(threads)}; start them with --nthreads 1")
        yield functools.partial(_on, client)


def _on(client: Client, packs: Sequence[Pack], wanted: Wanted | None = None, until: float = inf) -> Iterator[tuple[int, list[Outcome]]]:
    """The scheduler gives a pack whose worker is lost to another one."""
    from distributed import KilledWorker, as_completed

    futures = {client.submit(_alone, pack, pure=False): k for k, pack in enumerate(packs) if wanted is None or wanted(k)}
    try:
        with contextlib.suppress(TimeoutError):
            for future in as_completed(list(futures), loop=client.loop, timeout=None if until == inf else until - time.monotonic()):
                k = futures[future]
                try:
                    yield k, future.result()
                except KilledWorker:
                    yield k, _given_up(packs[k])
    finally:
        client.cancel(list(futures))


def _alone(pack: Pack) -> list[Outcome]:
    one_thread()
    return evaluate_pack(pack)
