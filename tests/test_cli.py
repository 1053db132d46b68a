"""The command line: exit codes that scripts test for, data on stdout and words on stderr."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys

import pytest

from tests import commands, conftest, processes

_NOBODY = "postgresql://nobody:secret-word@127.0.0.1:{port}/none"


@pytest.fixture
def nobody() -> str:
    """The URL of a database where nobody listens."""
    (port,) = processes.free_ports(1)
    return _NOBODY.format(port=port)


@pytest.mark.parametrize(
    "arguments",
    [
        "nonsense",
        "serve --nonsense",
        "provision",
        "provision --students 0",
        "provision --students many",
        "device add",
        "device add --student 0",
        "device add --student 1 --gateway",
        "device add --gateway --app traccar",
        "device add --student 1 --app nonsense",
        "device add --student 1 --app overland --encrypted",
        "device add --student 1 --app overland --url ftp://pings.example.org",
        "device add --student 1 --app overland --url http://[",
        "device add --student 1 --url https://pings.example.org",
        "device add --student 1 --qr",
        "device rotate",
        "device rotate 1 --overlap 7",
        "device rotate 1 --overlap 366d",
        "device revoke",
        "device revoke x",
        "viewer add",
        "viewer add --students x",
        "viewer add --students 1,,2",
        "viewer add --students 0",
        "jobs run",
        "jobs run nonsense",
        "jobs run quarantine --from 2026-11-01",
        "jobs run partitions --to 2026-11-01T00:00",
        "school add",
        "student move --school 1",
        "student move --school 0 --students all",
        "student move --school 1 --students 1;2",
        "share list",
        "share revoke",
        "share revoke x",
        "erase",
        "erase --student 1",
        "erase --student 0 --yes",
        "erase --student 1 --replay",
        "export",
        "export --student 1",
        "simulate --fast",
        "simulate --trace /nonexistent.csv",
    ],
)
def test_wrong_usage_exits_2(arguments: str) -> None:
    """Said on stderr, before anything is done."""
    result = commands.run(*arguments.split())

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("GEOINGEST_PROT", "1", "did you mean GEOINGEST_PORT?"),
        ("GEOINGEST_PORT", "http", "GEOINGEST_PORT='http'"),
        ("GEOINGEST_WRITERS", "0", "GEOINGEST_WRITERS=0"),
        ("GEOINGEST_LOG_FORMAT", "xml", "GEOINGEST_LOG_FORMAT='xml'"),
    ],
)
def test_a_bad_setting_exits_78(name: str, value: str, words: str) -> None:
    """One line that names the variable; a typo must not run with a default."""
    result = commands.run("serve", environment={name: value})

    assert (result.exit_code, result.stdout) == (78, "")
    assert result.stderr.startswith("geoingest: ")
    assert result.stderr.count("\n") == 1
    assert words in result.stderr


@pytest.mark.parametrize("path", [path for path in commands.ALL if path != ("up",)], ids=" ".join)
def test_without_a_database_the_way_out_is_said(path: tuple[str, ...]) -> None:
    """No DATABASE_URL and no embedded one: exit 78, and what to set or to start."""
    result = commands.run(*_ready(path))

    assert (result.exit_code, result.stdout) == (78, "")
    assert "DATABASE_URL" in result.stderr
    assert "geoingest up" in result.stderr


@pytest.mark.parametrize(
    "path", [path for path in commands.ALL if path not in {("up",), ("serve",)}], ids=" ".join
)
def test_a_database_that_is_away_exits_75(path: tuple[str, ...], nobody: str) -> None:
    """One line without the password; a script can tell this from a failure and come again."""
    result = commands.run(*_ready(path), environment={"DATABASE_URL": nobody})

    assert (result.exit_code, result.stdout) == (75, "")
    assert "secret-word" not in result.stderr
    assert result.stderr.splitlines()[-1].startswith("geoingest: the database ")


def _ready(path: tuple[str, ...]) -> list[str]:
    """The command with the least that it needs."""
    needed = {
        ("jobs",): ["--once"],
        ("jobs", "run"): ["partitions"],
        ("provision",): ["--students", "1"],
        ("device", "add"): ["--student", "1"],
        ("device", "rotate"): ["1"],
        ("device", "revoke"): ["1"],
        ("viewer", "add"): ["--students", "all"],
        ("viewer", "revoke"): ["1"],
        ("viewer", "password"): ["1"],
        ("viewer", "logout"): ["1"],
        ("school", "add"): ["--time-zone", "Europe/Berlin"],
        ("student", "move"): ["--school", "1", "--students", "all"],
        ("directory", "load"): ["students", "--file", "/dev/null"],
        ("erase",): ["--student", "1", "--yes"],
        ("share", "list"): ["--student", "1"],
        ("share", "revoke"): ["1"],
        ("export",): ["--student", "1", "--output", "/nonexistent/1.zip"],
    }
    return [*path, *needed.get(path, [])]


@pytest.mark.parametrize(
    "text", ["nonsense", "postgresql://h:port/x", "postgresql:///x?nonsense=1"]
)
def test_a_url_that_is_none_is_no_traceback(text: str) -> None:
    """What cannot be a database's address is said in a line, with an exit code of ours."""
    result = commands.run("device", "revoke", "1", environment={"DATABASE_URL": text})

    assert result.exit_code in {75, 78}
    assert result.stderr.startswith("geoingest: ")


def test_a_database_without_a_schema_names_the_cure(database: conftest.Database) -> None:
    """Exit 1 and `geoingest migrate`."""
    database.query("DROP TABLE guardianships, devices, viewers, students CASCADE")

    results = [
        commands.run(*_ready(path), database=database)
        for path in (("device", "add"), ("device", "revoke"), ("provision",), ("viewer", "add"))
    ]

    assert [(one.exit_code, one.stdout) for one in results] == [(1, "")] * 4
    assert all("geoingest migrate" in one.stderr for one in results)


def test_commands_find_the_embedded_database_by_its_file(
    database: conftest.Database, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """urls.env in the data folder stands in for DATABASE_URL."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "urls.env").write_text(
        "".join(f"{name}={url}\n" for name, url in processes.urls(database).items())
    )

    result = commands.run(
        "device", "add", "--gateway", environment={"GEOINGEST_DATA_DIR": str(folder)}
    )

    assert result.exit_code == 0
    assert database.query("SELECT student_id FROM devices") == [(None,)]


def test_jobs_once_and_migrate_say_what_they_did(database: conftest.Database) -> None:
    """Exit 0, nothing on stdout when there was nothing to do."""
    migrated = commands.run("migrate", database=database)
    done = commands.run("jobs", "--once", database=database)

    assert (migrated.exit_code, migrated.stdout) == (0, "")
    assert migrated.stderr.endswith("up to date\n")
    assert (done.exit_code, done.stdout) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "name", "code"),
    [(["device", "revoke", "1"], "DATABASE_URL", 75), (["serve"], "GEOINGEST_NONSENSE", 78)],
)
def test_a_process_exits_with_the_code(
    arguments: list[str], name: str, code: int, nobody: str
) -> None:
    """What the shell sees of `python -m geoingest`: the code, words on stderr, no traceback."""
    done = subprocess.run(
        [sys.executable, "-m", "geoingest", *arguments],
        env={**processes.plain_environment(), name: nobody},
        cwd=processes.ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith("geoingest: ")
    assert "Traceback" not in done.stderr


async def test_a_service_without_a_usable_url_does_not_start() -> None:
    """A typo in DATABASE_URL is a bad setting, exit 78, and no database to wait for."""
    environment = {"DATABASE_URL": "nonsense", "GEOINGEST_PORT": "0", "GEOINGEST_ADMIN_PORT": "0"}
    with processes.Process("serve", environment=environment) as service:
        await conftest.until(
            lambda: service.popen.poll() is not None or "serving" in service.output(), seconds=30
        )

        assert service.popen.poll() == 78
        assert "geoingest: DATABASE_URL" in service.output()


async def test_a_port_that_is_taken_is_named(nobody: str) -> None:
    """`geoingest serve` beside another program on its port: exit 1 and the address."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        ports = {"GEOINGEST_PORT": "0", "GEOINGEST_ADMIN_PORT": port}

        with processes.Process("serve", environment={"DATABASE_URL": nobody, **ports}) as service:
            code = await service.ended()
            words = service.output()

    assert code == 1
    assert f"geoingest: cannot listen on 127.0.0.1:{port}" in words
    assert "Traceback" not in words


async def test_sigterm_ends_a_service_without_a_database(nobody: str) -> None:
    """Exit 0, though it never reached its database."""
    ports = {"GEOINGEST_PORT": "0", "GEOINGEST_ADMIN_PORT": "0"}
    with processes.Process("serve", environment={"DATABASE_URL": nobody, **ports}) as service:
        await service.says("serving")

        service.popen.send_signal(signal.SIGTERM)

        assert await service.ended() == 0
        assert "Traceback" not in service.output()
