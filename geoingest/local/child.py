"""A `geoingest` command that belongs to `geoingest up`: restarted when it ends by itself."""

from __future__ import annotations

import collections
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence

from geoingest import errors

log = logging.getLogger(__name__)

LEASH = "--on-leash"
# Handed on to the workers of a service.
_OF_UP_VARIABLE = "_GEOINGEST_OF_UP"
_STOP_SECONDS = 15.0
_PAUSE_SECONDS = 1.0
# So many ends within the window, and coming back is no cure.
_MOST_RESTARTS = 5
_RESTART_WINDOW_SECONDS = 60.0


class Child:
    """The process, and how often it ended."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        self._arguments = arguments
        self._environment = {**os.environ, _OF_UP_VARIABLE: "1", **environment}
        self._ended_at: collections.deque[float] = collections.deque(maxlen=_MOST_RESTARTS)
        self._process = self._spawn()

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def look(self) -> None:
        """Restarts it if it has ended; LocalError when it ends again and again."""
        code = self.exit_code
        if code is None:
            return
        now = time.monotonic()
        self._ended_at.append(now)
        if (
            len(self._ended_at) == _MOST_RESTARTS
            and now - self._ended_at[0] < _RESTART_WINDOW_SECONDS
        ):
            raise errors.LocalError(f"geoingest {self._arguments[0]} ends again and again")
        log.warning("restarting", extra={"command": self._arguments[0], "exit_code": code})
        time.sleep(_PAUSE_SECONDS)
        self._process = self._spawn()

    def stop(self) -> None:
        """Asks it to drain and waits; kills what does not end."""
        if self.exit_code is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()

    def _spawn(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603  # our own command, no shell
            [sys.executable, "-m", "geoingest", *self._arguments, LEASH],
            env=self._environment,
            # Never written to: it closes when we are gone, however we went.
            stdin=subprocess.PIPE,
            # Ctrl-C reaches the whole terminal; the order of stopping is ours.
            start_new_session=True,
        )


def is_of_up() -> bool:
    """True in whatever `geoingest up` has started, which is for one machine and for trying it out."""
    return _OF_UP_VARIABLE in os.environ


def follow_parent() -> None:
    """Called in the child: ends this process when its parent is gone."""

    def wait() -> None:
        # Unbuffered: a lock on sys.stdin, held by a daemon thread, would break the exit.
        os.read(sys.stdin.fileno(), 1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()
