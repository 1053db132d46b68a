"""Feeds the decoders of the phone apps with what no app sends: nothing falls, is lost or takes long.

`python -m tests.fuzz_protocols --seconds 600` takes all in turn, for so long in sum; a name, just that one.
"""

from __future__ import annotations

import ast
import contextlib
import multiprocessing.connection
import pathlib
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import TextIO

import click

from geoingest.ingest import apps
from tests import processes, trials

# Long ones take most of the time: short ones are tried by themselves, too.
_LENGTHS_BYTES = (1024, trials.MOST_BYTES)
# An input that takes this long is given up.
_STUCK_SECONDS = 10
_MOST_MEMORY_MIB = 1024
_FOUND = "found-"
_NOISE = re.compile(r"^(INFO|WARNING): .*\n", re.MULTILINE)
_RUNS = re.compile(r"^stat::number_of_executed_units: (\d+)$", re.MULTILINE)


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(list(trials.APPS)))
@click.option("--seconds", default=30.0, show_default=True, help="For all of them together.")
@click.option("--again", type=click.File(), help="Just the input that this file holds, as printed.")
def main(names: tuple[str, ...], seconds: float, again: TextIO | None) -> None:
    """Exit code 1 when there is an input with which something is not as it must be."""
    chosen = [trials.APPS[name] for name in names] or list(apps.APPS)
    if again is None:
        share = seconds / len(chosen) / len(_LENGTHS_BYTES)
        all_good = [_fuzz(app, share, most_bytes=most) for app in chosen for most in _LENGTHS_BYTES]
    else:
        data = ast.literal_eval(again.read())
        all_good = [_try(app, data) for app in chosen]
    sys.exit(0 if all(all_good) else 1)


def _try(app: apps.App, data: bytes) -> bool:
    seconds = trials.least_seconds(app, data)
    click.echo(f"{app.name}: {seconds * 1e3:.1f} ms of CPU time")
    return seconds < trials.MOST_CPU_SECONDS


def _fuzz(app: apps.App, seconds: float, *, most_bytes: int) -> bool:
    """True when nothing was found; else tells what."""
    with tempfile.TemporaryDirectory(prefix="geoingest-fuzz-") as name:
        folder = pathlib.Path(name)
        output = folder / "output"
        exit_code = _run(app, output, _options(folder, seconds, most_bytes))
        said = output.read_text(errors="replace")
        runs = _RUNS.search(said)
        tried = f"{runs[1] if runs else 'unknown'} inputs of at most {most_bytes} bytes"
        click.echo(f"{app.name}: {tried}, exit code {exit_code}")
        if exit_code == 0:
            return True
        click.echo(_NOISE.sub("", said))
        for path in folder.glob(f"{_FOUND}*"):
            data = path.read_bytes()
            click.echo(
                f"{app.name} {path.name}: {trials.request(data)!r}\n"
                f"again: python -m tests.fuzz_protocols {app.name} --again FILE, which holds\n{data!r}"
            )
    return False


def _run(app: apps.App, output: pathlib.Path, options: Sequence[str]) -> int:
    ours, theirs = multiprocessing.connection.Pipe()
    command = [
        *(sys.executable, "-m", "tests.fuzz_process", app.name, str(theirs.fileno())),
        *options,
    ]
    with (
        output.open("wb") as file,
        subprocess.Popen(
            command, cwd=processes.ROOT, pass_fds=[theirs.fileno()], stdout=file, stderr=file
        ) as process,
    ):
        theirs.close()
        try:
            with contextlib.suppress(EOFError, ConnectionError):
                while True:
                    ours.send(trials.least_seconds(app, ours.recv_bytes()))
        except BaseException:
            process.terminate()
            raise
    return process.returncode


def _options(folder: pathlib.Path, seconds: float, most_bytes: int) -> list[str]:
    """The fuzzer's, and the folders in which it starts."""
    seeds = folder / "seeds"
    seeds.mkdir()
    for number, seed in enumerate(trials.seeds()):
        if len(seed) <= most_bytes:
            (seeds / str(number)).write_bytes(seed)
    names = folder / "names"
    names.write_text("".join(f'"{name}"\n' for name in trials.names()))
    return [
        f"-max_total_time={max(1, round(seconds))}",
        f"-max_len={most_bytes}",
        f"-timeout={_STUCK_SECONDS}",
        f"-rss_limit_mb={_MOST_MEMORY_MIB}",
        f"-dict={names}",
        f"-artifact_prefix={folder / _FOUND}",
        "-print_final_stats=1",
        "-verbosity=0",
        str(seeds),
    ]


if __name__ == "__main__":
    main()
