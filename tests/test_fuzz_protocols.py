"""The fuzzer finds what is broken: it would not help if it found nothing because it looks at nothing."""

from __future__ import annotations

import importlib.util
import pathlib
import subprocess
import sys

import click.testing
import pytest

from tests import fuzz_protocols, processes, trials


@pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None, reason="no atheris for this system"
)
@pytest.mark.parametrize("app", ["falls", "loses", "dawdles"])
def test_a_broken_decoder_is_found_out(app: str, tmp_path: pathlib.Path) -> None:
    """Within seconds, and the input that is printed shows it again."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz_protocols", app, "--seconds", "6"],
        cwd=processes.ROOT,
        env=processes.plain_environment(),
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1, done.stdout + done.stderr
    file = tmp_path / "input"
    # Behind what is told of it stands the input itself.
    *_, found = (line for line in done.stdout.splitlines() if line.startswith(("b'", 'b"')))
    file.write_text(found)
    again = click.testing.CliRunner().invoke(fuzz_protocols.main, [app, "--again", str(file)])
    assert again.exit_code == 1


def test_no_seed_is_cut() -> None:
    """The fuzzer would take the start of a longer one, which shows nothing."""
    assert max(map(len, trials.seeds())) <= trials.MOST_BYTES
