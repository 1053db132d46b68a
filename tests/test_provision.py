"""A whole school, a device or a viewer is added by one command; tokens are shown once and kept nowhere."""

from __future__ import annotations

import csv
import datetime
import pathlib
import re
import stat

import psycopg
import pytest

from geoingest import db
from geoingest.access import provision, tokens
from tests import commands, conftest

LINE = re.compile(r"^(\d+)\t(gi_(?:dev|view)_[\w-]{43})\n$")


async def _post(running: conftest.Running, token: str, **changes: object) -> dict[str, object]:
    now = datetime.datetime.now(datetime.UTC).isoformat()
    body = {"timestamp": now, "latitude": 52.5, "longitude": 13.4, **changes}
    headers = {"Authorization": f"Bearer {token}"}
    async with running.client.post("/v1/pings", json=body, headers=headers) as answer:
        found: dict[str, object] = await answer.json(content_type=None)
        return {**found, "http": answer.status}


async def _status(running: conftest.Running, token: str, path: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    async with running.client.get(path, headers=headers) as answer:
        return answer.status


def _added(*arguments: str, database: conftest.Database) -> tuple[int, str]:
    """The id and the token that a command prints, and proof that it prints nothing else."""
    result = commands.run(*arguments, database=database)
    assert result.exit_code == 0, result.stderr
    found = LINE.match(result.stdout)
    assert found is not None, "stdout is `id<TAB>token` and a line's end"
    return int(found[1]), found[2]


def _all_rows(database: conftest.Database) -> str:
    """Every row of every table of ours, as text."""
    with psycopg.connect(database.url) as connection:
        tables = connection.execute(
            "SELECT oid::regclass::text FROM pg_class"
            " WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        ).fetchall()
        return "\n".join(
            row
            for (table,) in tables
            for (row,) in connection.execute(f"SELECT one::text FROM {table} AS one".encode())  # noqa: S608  # names from the catalog
        )


async def test_a_school_of_500_is_one_command(
    running: conftest.Running, database: conftest.Database, tmp_path: pathlib.Path
) -> None:
    """The CSV holds each student's numbers and tokens, which work; the tables hold digests only."""
    path = tmp_path / "school.csv"

    result = commands.run("provision", "--students", "500", "--csv", str(path), database=database)
    await running.service.credentials.refresh()

    assert (result.exit_code, result.stdout) == (0, "")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["student_id", "device_id", "device_token", "viewer_token"]
    assert len(rows) == 500
    assert [len({row[column] for row in rows}) for column in range(4)] == [500] * 4
    for student, device, device_token, viewer_token in (rows[0], rows[249], rows[499]):
        assert (await _post(running, device_token))["stored"] == 1
        stored = "SELECT student_id, device_id FROM geolocation_data WHERE student_id = $1"
        assert database.query(stored, int(student)) == [(int(student), int(device))]
        own = f"/v1/students/{student}/track"
        assert await _status(running, viewer_token, own) == 200
        assert await _status(running, rows[1][3], own) == 404
    everything = _all_rows(database)
    for *_, device_token, viewer_token in rows:
        for token in (device_token, viewer_token):
            assert everything.count(tokens.digest(token).hex()) == 1
            secret = token[-40:]
            assert secret not in everything
            assert secret.encode().hex() not in everything


def test_without_a_file_the_csv_goes_to_stdout(database: conftest.Database) -> None:
    """A header and a line each, ready for a pipe; what is for people goes to stderr."""
    result = commands.run("provision", "--students", "2", database=database)

    lines = result.stdout.splitlines()
    assert lines[0] == "student_id,device_id,device_token,viewer_token"
    assert len(lines) == 3
    assert result.stderr == "2 students added\n"


def test_a_file_that_is_there_is_kept_and_nobody_is_added(
    database: conftest.Database, tmp_path: pathlib.Path
) -> None:
    """Tokens of last year are not overwritten, and none exists that nobody has."""
    path = tmp_path / "school.csv"
    path.write_text("of last year")

    refused = commands.run("provision", "--students", "2", "--csv", str(path), database=database)
    nowhere = commands.run(
        "provision", "--students", "2", "--csv", str(tmp_path / "no" / "x.csv"), database=database
    )

    assert [one.exit_code for one in (refused, nowhere)] == [1, 1]
    assert (str(path) in refused.stderr, path.read_text()) == (True, "of last year")
    assert database.query("SELECT count(*) FROM students") == [(0,)]


@pytest.mark.parametrize("students", [1, 50, 3000])
def test_bulk_numbers_students_in_order(database: conftest.Database, students: int) -> None:
    """The first line is student 1, with the first device, however many there are."""
    with db.direct(database.url) as connection, connection.transaction():
        enrolled = provision.bulk(connection, students)

    numbers = list(range(1, students + 1))
    assert [one.student_id for one in enrolled] == numbers
    assert [one.device_id for one in enrolled] == numbers


def test_bulk_steps_around_numbers_that_the_platform_chose(database: conftest.Database) -> None:
    """A student added by its own number is in nobody's way later."""
    _added("device", "add", "--student", "3", database=database)

    result = commands.run("provision", "--students", "5", database=database)

    assert result.exit_code == 0
    students = [line.partition(",")[0] for line in result.stdout.splitlines()[1:]]
    assert len(set(students) - {"3"}) == 5


async def test_a_device_is_added_and_revoked(
    running: conftest.Running, database: conftest.Database
) -> None:
    """Its token posts for its student, new or not, until the device is revoked."""
    device, token = _added("device", "add", "--student", "17", database=database)
    second, other = _added("device", "add", "--student", "17", database=database)
    await running.service.credentials.refresh()
    before = [(await _post(running, one))["http"] for one in (token, other)]

    results = [commands.run("device", "revoke", str(device), database=database) for _ in range(2)]
    await running.service.credentials.refresh()

    after = [(await _post(running, one))["http"] for one in (token, other)]
    assert (before, after) == ([200, 200], [401, 200])
    assert device != second
    assert [(one.exit_code, one.stdout) for one in results] == [(0, ""), (0, "")]
    assert database.query("SELECT DISTINCT student_id FROM geolocation_data") == [(17,)]


async def test_a_gateway_is_added(running: conftest.Running, database: conftest.Database) -> None:
    """A bus unit's token posts for the student it names."""
    _, token = _added("device", "add", "--gateway", database=database)
    database.query("INSERT INTO students (student_id) VALUES (5)")
    await running.service.credentials.refresh()

    answers = [await _post(running, token, student_id=one) for one in (5, 6)]

    assert [one["stored"] for one in answers] == [1, 0]


async def test_a_viewer_is_added(
    running: conftest.Running, database: conftest.Database, school: list[provision.Enrolled]
) -> None:
    """Of some students or of all, also those that are added later."""
    _, some = _added("viewer", "add", "--students", "1, 3,3", database=database)
    _, everyone = _added("viewer", "add", "--students", "all", database=database)
    database.query("INSERT INTO students (student_id) VALUES (99)")

    paths = [f"/v1/students/{one}/track" for one in (1, 2, 3, 99)]
    await conftest.until(lambda: not running.service.replica.in_use or _is_replayed(database))
    found = [[await _status(running, token, path) for path in paths] for token in (some, everyone)]

    assert found == [[200, 404, 200, 404], [200] * 4]


def _is_replayed(database: conftest.Database) -> bool:
    query = "SELECT replay_lsn >= pg_current_wal_lsn() FROM pg_stat_replication"
    return database.administer(query) == [(True,)]


def test_a_viewer_of_someone_unknown_is_refused(
    database: conftest.Database, school: list[provision.Enrolled]
) -> None:
    """The unknown students are named on stderr, and no viewer is left behind."""
    viewers = database.query("SELECT count(*) FROM viewers")

    result = commands.run("viewer", "add", "--students", "1,777,778", database=database)

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "geoingest: no such student: 777, 778\n"
    assert database.query("SELECT count(*) FROM viewers") == viewers


def test_a_device_that_is_not_there_cannot_be_revoked(database: conftest.Database) -> None:
    """Exit 1 with its number: a typo must not pass for a revocation."""
    for device in ("4711", "2147483647"):
        result = commands.run("device", "revoke", device, database=database)

        assert (result.exit_code, result.stdout) == (1, "")
        assert device in result.stderr
