"""A load generator's process: neither the service's nor ours, so that no one waits for another's work."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import multiprocessing
import multiprocessing.connection
import multiprocessing.context
import resource
import signal
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any, Generic, TypeVar

import click

P = TypeVar("P")
R = TypeVar("R")

# Beside the sockets: the loop's own files, libraries, the pipe.
_OTHER_FILES = 64


class Running(Generic[R]):
    """A load at work in its own process."""

    def __init__(
        self,
        process: multiprocessing.context.SpawnProcess,
        pipe: multiprocessing.connection.Connection[Any, R | Exception],
    ) -> None:
        self._process = process
        self._pipe = pipe

    def is_done(self, *, within_seconds: float) -> bool:
        """Waits so long for the result to be there."""
        return self._pipe.poll(within_seconds)

    def result(self) -> R:
        """Waits for the load's end."""
        try:
            result = self._pipe.recv()
        except (EOFError, ConnectionError) as exc:
            raise click.ClickException("the load generator failed; its words stand above") from exc
        if isinstance(result, Exception):
            raise result
        return result

    def stop(self) -> None:
        """Ends the process, whatever it is at."""
        self._process.terminate()
        self._process.join()


@contextlib.contextmanager
def running(load: Callable[[P], Coroutine[Any, Any, R]], plan: P) -> Iterator[Running[R]]:
    """Runs the load in a fresh process, which ends with the block."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(load, theirs), daemon=True)
    process.start()
    theirs.close()
    one: Running[R] = Running(process, ours)
    try:
        # Not as an argument: a process that dies at its start would never take it, and we would wait.
        with contextlib.suppress(ConnectionError):
            ours.send(plan)
        yield one
    finally:
        one.stop()


def run(load: Callable[[P], Coroutine[Any, Any, R]], plan: P) -> R:
    """Runs the load in a fresh process and returns its result; ends it if we are interrupted."""
    return run_all(load, [plan])[0]


def run_all(load: Callable[[P], Coroutine[Any, Any, R]], plans: Sequence[P]) -> list[R]:
    """The same in as many processes as there are plans, side by side."""
    with contextlib.ExitStack() as stack:
        all_running = [stack.enter_context(running(load, plan)) for plan in plans]
        return [one.result() for one in all_running]


def allow_sockets(count: int) -> None:
    """A socket is a file: raises the limit, or says that the machine does not allow so many."""
    wanted = count + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise click.ClickException(
            f"{count} sockets need {wanted} open files and {hard} are allowed (ulimit -Hn)"
        )
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def still_memory() -> None:
    """Stops the collector: its pauses would be counted as the service's."""
    gc.collect()
    gc.freeze()
    gc.disable()


def _work(
    load: Callable[[P], Coroutine[Any, Any, R]],
    pipe: multiprocessing.connection.Connection,
) -> None:
    # Ctrl-C reaches the whole terminal; our parent ends us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    plan: P = pipe.recv()
    try:
        result: R | Exception = asyncio.run(load(plan))
    except click.ClickException as exc:
        result = exc
    except OSError as exc:
        result = click.ClickException(f"the load generator: {exc}")
    pipe.send(result)
