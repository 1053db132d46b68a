"""One postgres as our own, reaped child: started, waited for, stopped."""

from __future__ import annotations

import contextlib
import logging
import os
import pathlib
import signal
import subprocess
import time
from collections.abc import Mapping

import psycopg

from geoingest import errors
from geoingest.local import account

log = logging.getLogger(__name__)

# Crash recovery of a busy server takes a while; a server that has died is noticed at once.
START_SECONDS = 300.0
STOP_SECONDS = 60.0
_POLL_SECONDS = 0.1
_LINGER_SECONDS = 20.0


class Server:
    """A data folder and the process that serves it on a unix socket."""

    def __init__(
        self,
        data: pathlib.Path,
        *,
        programs: pathlib.Path,
        owner: account.Account,
        socket_folder: pathlib.Path,
        port: int,
    ) -> None:
        self.data = data
        self._programs = programs
        self._owner = owner
        self._socket_folder = socket_folder
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log_path(self) -> pathlib.Path:
        """The server's own log."""
        return self.data.with_suffix(".log")

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return None if self._process is None else self._process.poll()

    @property
    def pid(self) -> int | None:
        """The postmaster's process id."""
        return None if self._process is None else self._process.pid

    def start(self, settings: Mapping[str, str], url: str) -> None:
        """Starts the server and returns once it answers; LocalError with the log's place if it does not."""
        self._end_leftover()
        # After a kill -9 of the postmaster its children hold the shared memory for some moments more.
        was_killed = (self.data / "postmaster.pid").exists()
        deadline = time.monotonic() + (_LINGER_SECONDS if was_killed else 0)
        self._spawn(settings)
        while not self._is_ready(url):
            if time.monotonic() > deadline:
                raise errors.LocalError(f"postgres did not start; its log: {self.log_path}")
            time.sleep(_POLL_SECONDS)
            self._spawn(settings)

    def _spawn(self, settings: Mapping[str, str]) -> None:
        options = {
            **settings,
            "listen_addresses": "",
            "unix_socket_directories": str(self._socket_folder),
            "unix_socket_permissions": "0700",
            "port": str(self._port),
        }
        arguments = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        with self.log_path.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603  # our own command, no shell
                [str(self._programs / "postgres"), "-D", str(self.data), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                # Ctrl-C reaches the whole terminal; the databases must outlive the service.
                start_new_session=True,
                **self._owner.credentials(),  # type: ignore[call-overload]  # user and group
            )

    def stop(self) -> None:
        """Ends sessions, writes a checkpoint, waits; kills only what does not end in a minute."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                log.warning("postgres does not stop and is killed", extra={"data": self.data.name})
                self._process.kill()
                self._process.wait()
        self._process = None

    def _is_ready(self, url: str) -> bool:
        """True once it answers, False when it ends first."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.exit_code is not None:
                return False
            with contextlib.suppress(psycopg.OperationalError), psycopg.connect(url):
                return True
            time.sleep(_POLL_SECONDS)
        raise errors.LocalError(f"postgres is not ready yet; its log: {self.log_path}")

    def _end_leftover(self) -> None:
        """A postmaster of a `geoingest up` that was killed: it still serves our data."""
        pid = self._leftover()
        if pid is None:
            return
        log.warning("a postgres of an earlier run is stopped", extra={"pid": pid})
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGINT)
        deadline = time.monotonic() + STOP_SECONDS
        while self._leftover() is not None:
            if time.monotonic() > deadline:
                raise errors.LocalError(f"postgres {pid} of an earlier run does not stop; end it")
            time.sleep(_POLL_SECONDS)

    def _leftover(self) -> int | None:
        """The pid of a live postmaster on this data folder; a reused number does not count."""
        try:
            pid = int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])
            os.kill(pid, 0)
        except (FileNotFoundError, ProcessLookupError, ValueError, PermissionError):
            return None
        with contextlib.suppress(OSError):
            state = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
            command = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
            if state == "Z" or str(self.data).encode() not in command:
                return None
        return pid
