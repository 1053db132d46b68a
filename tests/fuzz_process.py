"""The fuzzer's own process, which sees what each input runs through: `python -m tests.fuzz_protocols` starts it."""

from __future__ import annotations

import multiprocessing.connection
import sys

import atheris

# Nothing that is imported before is seen.
with atheris.instrument_imports(include=["geoingest", "tests"]):
    from geoingest.ingest import apps
    from tests import trials


class _Target:
    """What is given the inputs."""

    def __init__(self, app: apps.App, judge: multiprocessing.connection.Connection) -> None:
        self._app = app
        self._judge = judge

    def take(self, data: bytes) -> None:
        """Raises when something is not as it must be."""
        if trials.seconds(self._app, data) < trials.MOST_CPU_SECONDS:
            return
        # Being seen is slow itself: another process says how long it takes without.
        self._judge.send_bytes(data)
        seconds = self._judge.recv()
        assert seconds < trials.MOST_CPU_SECONDS, f"{seconds * 1e3:.0f} ms of CPU time"


def main(name: str, judge: str, *options: str) -> None:
    """Never returns: the fuzzer ends the process, with 0 when it found nothing."""
    target = _Target(trials.APPS[name], multiprocessing.connection.Connection(int(judge)))
    atheris.Setup([sys.argv[0], *options], target.take)
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
