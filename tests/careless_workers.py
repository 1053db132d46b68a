"""Workers and supervisors that are broken on purpose; the checks of test_workers must find them out.

Run as `python -m tests.careless_workers serve --workers 2`, with the name of the fault in CARELESS.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import pathlib
import sys

from prometheus_client import multiprocess

from geoingest import cli, supervisor, worker
from geoingest.local import child

_numbers = itertools.count(100)


def cuts() -> None:
    """A rolling restart kills instead of letting drain."""

    async def stop(self: worker.Worker, seconds: float) -> None:
        self._process.kill()
        await asyncio.wait([self.ended])

    worker.Worker.stop = stop  # type: ignore[method-assign]  # the fault


def leaves_a_gap() -> None:
    """A rolling restart ends the last worker before the next is there."""

    async def change(self: supervisor.Supervisor, last: worker.Worker) -> worker.Worker:
        await self._stop(last)
        return await self._start()

    supervisor.Supervisor._change = change  # type: ignore[method-assign]  # the fault


def forgets() -> None:
    """What a dead worker counted goes with it."""

    def forget(slot: int, folder: str) -> None:
        for path in pathlib.Path(folder).glob(f"*_{slot}.db"):
            path.unlink()

    multiprocess.mark_process_dead = forget  # type: ignore[assignment]  # the fault


def piles_up() -> None:
    """Each worker has files of its own, as if they were named by pid."""

    def give_back(self: supervisor.Supervisor, slot: int) -> None:
        multiprocess.mark_process_dead(slot, str(self._folder))  # type: ignore[no-untyped-call]  # not typed
        del self._workers[slot]
        self._free.add(next(_numbers))

    supervisor.Supervisor._give_back = give_back  # type: ignore[method-assign]  # the fault


def orphans() -> None:
    """Workers do not notice that their supervisor is gone."""
    child.follow_parent = lambda: None
    worker.COMMAND = (sys.executable, "-m", "tests.careless_workers", "serve")


def crashes() -> None:
    """Workers end at once."""
    worker.COMMAND = (sys.executable, "-c", "raise SystemExit(3)")


def misunderstands() -> None:
    """Workers find that a setting is wrong."""
    worker.COMMAND = (sys.executable, "-c", "raise SystemExit(78)")


if __name__ == "__main__":
    globals()[os.environ["CARELESS"]]()
    cli.main()
