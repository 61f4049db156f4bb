"""Where many encodes run: processes of this machine or a Dask cluster, each a concurrent.futures.Executor."""

from __future__ import annotations

import contextlib
import functools
import itertools
import logging
import multiprocessing
import multiprocessing.connection
import os
import shutil
import signal
import tempfile
import threading
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    CancelledError,
    Executor,
    Future,
    ProcessPoolExecutor,
    wait,
)
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from splat2d.errors import BackendUnavailableError

DEATHS = 3
"""How often a worker may die at one task before the task is given up."""

ANSWER = 10.0  # s that a scheduler has to answer
WORKERS = 30.0  # s until it must have a worker
RETURN = 120.0  # s after which a worker must be there again when all were lost
LOOK = 2.0  # s between looks at workers that all are silent

_Key = TypeVar("_Key")


class WorkerDied(Exception):
    """A task at which workers died, again and again."""


class Workers(ABC):
    """Something that works at several tasks at a time."""

    @property
    @abstractmethod
    def slots(self) -> int:
        """Tasks that are worked at at the same time, as of now."""

    @abstractmethod
    def executor(self, slots: int | None = None) -> Executor:
        """Return a new executor, of fewer slots if so asked."""

    @abstractmethod
    def stop(self, executor: Executor) -> None:
        """End an executor and what it is at."""

    def check(self) -> None:
        """Look whether anybody is still at work.

        Raises:
            BackendUnavailableError: nobody is, and nobody will be.
        """
        return None

    def results(
        self, tasks: Iterable[tuple[_Key, Callable[[], Any]]]
    ) -> Iterator[tuple[_Key, Any | Exception]]:
        """Work at tasks; each is started when there is room for it, so that few are in memory.

        Args:
            tasks: Keys, and what to call, which can be pickled.

        Yields:
            Every key once, and what its task returned, or the exception that it raised; in the order in which
            they end.

        Raises:
            BackendUnavailableError: As `check`.
        """
        waiting, running = iter(tasks), {}
        executor = self.executor()
        try:
            while True:
                # One more than there are slots, so that none waits for this process.
                suspects = []
                for key, task in itertools.islice(waiting, max(self.slots + 1 - len(running), 0)):
                    try:
                        running[executor.submit(task)] = (key, task)
                    except BrokenProcessPool:
                        suspects.append((key, task))
                if not (running or suspects):
                    return
                while not (done := wait(running, LOOK, return_when=FIRST_COMPLETED).done) and running:
                    self.check()
                for future in done:
                    key, task = running.pop(future)
                    if _is_broken(future):
                        suspects.append((key, task))
                    else:
                        yield key, _outcome(future)
                if suspects:
                    # A pool dies with each of its processes, and does not say which task that was at.
                    wait(running)
                    for future, (key, task) in running.items():
                        if _is_broken(future):
                            suspects.append((key, task))
                        else:
                            yield key, _outcome(future)
                    running.clear()
                    self.stop(executor)
                    for key, task in suspects:
                        yield key, self._alone(task)
                    executor = self.executor()
        finally:
            self.stop(executor)

    def _alone(self, task: Callable[[], Any]) -> Any | Exception:
        """Do one task with nothing beside it, again if the worker dies at it."""
        for _ in range(1, DEATHS):
            executor = self.executor(1)
            try:
                future = executor.submit(task)
                wait([future])
                if not _is_broken(future):
                    return _outcome(future)
            finally:
                self.stop(executor)
        return WorkerDied(f"a worker died {DEATHS} times at it, {self.suspicion}")

    @property
    def suspicion(self) -> str:
        """Why a worker may have died."""
        return "perhaps for want of memory"


class Processes(Workers):
    """Processes of this machine.

    Args:
        jobs: how many.
    """

    def __init__(self, jobs: int) -> None:
        self._jobs = jobs
        self._started: Future[int] | None = None
        self._folder: str | None = None

    @property
    def slots(self) -> int:
        """Number of processes."""
        return self._jobs

    def results(
        self, tasks: Iterable[tuple[_Key, Callable[[], Any]]]
    ) -> Iterator[tuple[_Key, Any | Exception]]:
        """Work at tasks; what processes leave in temporary files goes, however they ended."""
        with tempfile.TemporaryDirectory(prefix="splat2d-", ignore_cleanup_errors=True) as self._folder:
            yield from super().results(tasks)

    def executor(self, slots: int | None = None) -> Executor:
        """Return a pool; its processes are spawned, because a fork behind a parallel loop would hang."""
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(
            slots or self._jobs, mp_context=context, initializer=_begin, initargs=(self._folder,)
        )
        self._started = pool.submit(int)
        return pool

    @property
    def suspicion(self) -> str:
        """Why a process may have died; one that never began has a script that begins others itself."""
        if self._started is None or not _is_broken(self._started):
            return super().suspicion
        return 'before it began; a script that calls this needs `if __name__ == "__main__":`'

    def stop(self, executor: Executor) -> None:
        """Terminate what is running; after the last task nothing is."""
        for process in list(getattr(executor, "_processes", None) or {}):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGTERM)
        executor.shutdown(wait=True, cancel_futures=True)


class Cluster(Workers):
    """Workers of a Dask scheduler, which gives tasks of a lost worker to another one.

    Args:
        address: of the scheduler, as tcp://host:8786.

    Raises:
        BackendUnavailableError: no Dask here, no answer there, or no workers.
    """

    def __init__(self, address: str) -> None:
        try:
            from distributed import Client
        except ImportError:
            raise BackendUnavailableError("a scheduler needs Dask; pip install 'splat2d[cluster]'") from None
        # It logs what it also raises.
        logging.getLogger("distributed").setLevel(logging.CRITICAL)
        try:
            self._client = Client(address, timeout=ANSWER, set_as_default=False)
        except (OSError, ValueError, ImportError, RuntimeError) as fault:
            why = f"{type(fault).__name__}: {' '.join(str(fault).split())}"[:200]
            raise BackendUnavailableError(f"no Dask scheduler answers at {address} ({why})") from None
        self._address, self._seen = address, time.monotonic()
        try:
            self._client.wait_for_workers(1, timeout=WORKERS)
        except (TimeoutError, OSError):
            self.close()
            raise BackendUnavailableError(f"the Dask scheduler at {address} has no workers") from None

    @property
    def slots(self) -> int:
        """Threads of all workers; twice as many tasks are sent, so that none waits for the network."""
        return max(2 * sum(self._threads().values()), 1)

    def _threads(self) -> dict[str, int]:
        """Threads by worker; none where the scheduler does not answer."""
        try:
            found: Any = self._client.nthreads(callback_timeout=ANSWER)
        except (TimeoutError, OSError):
            found = {}
        if found:
            self._seen = time.monotonic()
        return found

    def check(self) -> None:
        """Give up when no worker has been there for a while."""
        if not self._threads() and time.monotonic() - self._seen > RETURN:
            raise BackendUnavailableError(
                f"the Dask scheduler at {self._address} has had no workers for {RETURN:g} s"
            )

    def executor(self, slots: int | None = None) -> Executor:
        """Return an executor of the scheduler's workers."""
        return _Sent(self._client)

    def stop(self, executor: Executor) -> None:
        """Cancel what is left."""
        executor.shutdown(wait=False, cancel_futures=True)

    def close(self) -> None:
        """Leave the scheduler."""
        self._client.close(timeout=2)


class _Sent(Executor):
    """Calls that a Dask client sends to workers.

    Not `Client.get_executor`: its future never ends where a worker dies while its result is fetched and the
    task, done again, fails.

    Args:
        client: of `distributed`.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._remote: set[Any] = set()  # a task whose future is forgotten here is dropped there

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future:
        """Send a call; equal ones are done each for itself."""
        future: Future = Future()
        remote = self._client.submit(fn, *args, **kwargs, pure=False)
        self._remote.add(remote)
        remote.add_done_callback(functools.partial(self._end, future))
        return future

    def _end(self, future: Future, remote: Any) -> None:
        try:
            future.set_result(remote.result())
        except BaseException as fault:
            future.set_exception(fault)
        self._remote.discard(remote)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Drop what is not finished."""
        if self._remote:
            self._client.cancel(list(self._remote))
            self._remote.clear()


@contextlib.contextmanager
def workers(jobs: int, scheduler: str | None = None) -> Iterator[Workers]:
    """Give the workers that a user asks for.

    Args:
        jobs: processes of this machine.
        scheduler: address of a Dask scheduler, instead of those.

    Raises:
        BackendUnavailableError: no Dask here, no answer there, or no workers.
    """
    if scheduler is None:
        yield Processes(jobs)
        return
    cluster = Cluster(scheduler)
    try:
        yield cluster
    finally:
        cluster.close()


def _begin(folder: str | None) -> None:
    """Leave Ctrl-C to the parent process, end when it has ended, and keep libraries' warnings quiet.

    Args:
        folder: of temporary files, which whoever ends last removes.
    """
    tempfile.tempdir = folder
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    warnings.simplefilter("ignore")
    if (parent := multiprocessing.parent_process()) is not None:
        threading.Thread(target=_follow, args=(parent.sentinel, folder), daemon=True).start()


def _follow(parent: int, folder: str | None) -> None:
    """End this process when its parent has ended, however that was."""
    multiprocessing.connection.wait([parent])
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


def _is_broken(future: Future) -> bool:
    """Whether a future ended because a process of its pool died."""
    return not future.cancelled() and isinstance(future.exception(), BrokenProcessPool)


def _outcome(future: Future) -> Any | Exception:
    try:
        return future.result()
    except Exception as fault:
        if isinstance(fault, CancelledError) or type(fault).__name__ == "FutureCancelledError":
            return WorkerDied("the scheduler gave it up; is it still there?")
        # Dask's own word for a task at which several workers died.
        if type(fault).__name__ == "KilledWorker":
            return WorkerDied("workers died at it again and again, perhaps for want of memory")
        return fault
