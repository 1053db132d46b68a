"""`geoingest directory load` does with a file what the service does with a body; viewers and devices know the platform's ids."""

from __future__ import annotations

import pathlib

import psycopg
import pytest

from tests import commands, conftest, directories


def _load(
    database: conftest.Database, kind: str, path: pathlib.Path, body: bytes, *more: str
) -> tuple[int, str, str]:
    path.write_bytes(body)
    result = commands.run("directory", "load", kind, "--file", str(path), *more, database=database)
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def filled(database: conftest.Database, tmp_path: pathlib.Path) -> conftest.Database:
    """A directory with somebody in it."""
    for kind, lines in directories.ALL.items():
        code, _, words = _load(database, kind, tmp_path / "a.ndjson", directories.ndjson(lines))
        assert (code, words) == (0, "")
    return database


async def test_a_file_makes_what_a_body_makes(
    running: conftest.Running,
    database: conftest.Database,
    tmp_path: pathlib.Path,
) -> None:
    """Over HTTP and then from a file: nothing changes; and the other way round."""
    one, two = ("1a", "south"), ("1a", "north")
    admin = directories.admin(database, running)
    await admin.fill()
    over_http = directories.held(database)

    again = [
        _load(database, kind, tmp_path / f"{kind}.csv", directories.table(lines))
        for kind, lines in directories.ALL.items()
    ]
    moved = _load(
        database,
        "classes",
        tmp_path / "moved.csv",
        b"external_id,school\n%s,%s\n" % tuple(map(str.encode, one)),
    )
    back = await admin.put("classes", [dict(zip(("external_id", "school"), two, strict=True))])

    assert [code for code, *_ in again] == [0] * 5
    assert again[3] == (0, "lines: 4, added: 0, changed: 0, unchanged: 3\n", "")
    assert moved == (0, "lines: 1, added: 0, changed: 1, unchanged: 0\n", "")
    assert back.body["changed"] == 1
    assert directories.held(database) == over_http


def test_it_reads_from_a_pipe(database: conftest.Database) -> None:
    """As NDJSON, or as what --format says."""
    results = [
        commands.run(
            "directory", "load", "students", "--file", "-", *more, database=database, stdin=text
        )
        for more, text in (
            ((), '{"external_id":"ann"}'),
            (("--format", "csv"), "external_id\nben\n"),
        )
    ]

    missing = commands.run("directory", "load", "staff", "--file", "/no/where", database=database)

    assert [one.stdout for one in results] == ["lines: 1, added: 1, changed: 0, unchanged: 0\n"] * 2
    assert (missing.exit_code, missing.stdout) == (1, "")
    assert missing.stderr == "geoingest: cannot read /no/where: No such file or directory\n"


def test_bad_lines_are_named_on_stderr_and_nothing_changes(
    filled: conftest.Database, tmp_path: pathlib.Path
) -> None:
    """Exit code 1; a line for each of the first thousand, then how many there are; nothing that they say."""
    before = directories.held(filled)
    body = b"external_id,class\neve,1a\ncanary,9z\n,1a\n" + b"x,canary,\n" * 2_000

    code, out, words = _load(filled, "students", tmp_path / "s.csv", body)

    assert (code, out) == (1, "")
    told = words.splitlines()
    assert told[:3] == ["line 3: unknown_class", "line 4: missing external_id", "line 5: malformed"]
    assert told[-1] == "geoingest: bad lines: 2002, nothing was changed"
    assert len(told) == 1_001
    assert "canary" not in words
    assert directories.held(filled) == before


def test_beside_another_import_it_changes_nothing(
    filled: conftest.Database, tmp_path: pathlib.Path
) -> None:
    """Exit code 1, at once."""
    with psycopg.connect(filled.url) as other:
        other.execute("SELECT pg_advisory_xact_lock(4270003)")
        found = _load(filled, "students", tmp_path / "s.csv", b"external_id\nnew\n")

    assert found == (1, "", "geoingest: another import is under way\n")
    assert _load(filled, "students", tmp_path / "s.csv", b"external_id\nnew\n")[0] == 0


def test_viewers_have_roles_and_ids(filled: conftest.Database) -> None:
    """Staff sees all, an administrator needs nobody; an id that is taken is refused, and so is a guardian of nobody."""
    found = {}
    for name, arguments in {
        "guardian": ("--students", "1,2"),
        "staff": ("--students", "all"),
        "admin": ("--role", "admin"),
        "of one": ("--role", "staff", "--students", "1", "--external-id", "p-1"),
        "taken": ("--students", "1", "--external-id", "g1"),
        "nobody": ("--role", "guardian"),
        "no id": ("--students", "1", "--external-id", " p"),
    }.items():
        result = commands.run("viewer", "add", *arguments, database=filled)
        found[name] = result.exit_code
        if result.exit_code == 0:
            query = (
                "SELECT role, sees_all, external_id, (SELECT count(*) FROM guardianships AS one"
                " WHERE one.viewer_id = viewer.viewer_id) FROM viewers AS viewer WHERE viewer_id = $1"
            )
            (row,) = filled.query(query, int(result.stdout.split()[0]))
            found[name] = row  # type: ignore[assignment]  # a code or a row

    assert found == {
        "guardian": ("guardian", False, None, 2),
        "staff": ("staff", True, None, 0),
        "admin": ("admin", False, None, 0),
        "of one": ("staff", False, "p-1", 1),
        "taken": 1,
        "nobody": 2,
        "no id": 2,
    }


async def test_a_viewer_is_revoked(running: conftest.Running, database: conftest.Database) -> None:
    """Its token is unknown at once, also to who knew it a moment ago; nothing of it is left to come back with."""
    added = commands.run("viewer", "add", "--role", "admin", database=database)
    viewer, token = added.stdout.split()
    admin = directories.Admin(running, token)
    query = "INSERT INTO sessions (viewer_id, token_digest, idle_seconds, ends_at)"
    database.query(f"{query} VALUES ($1, sha256('a'), 60, now() + interval '1 day')", int(viewer))
    before = (await admin.put("students", [{"external_id": "ann"}])).status

    results = [commands.run("viewer", "revoke", viewer, database=database) for _ in range(2)]
    unknown = commands.run("viewer", "revoke", "4711", database=database)

    after = (await admin.put("students", [{"external_id": "ben"}])).status
    assert (before, after) == (200, 401)
    assert [(one.exit_code, one.output) for one in results] == [(0, "")] * 2
    assert (unknown.exit_code, unknown.stderr) == (1, "geoingest: there is no viewer 4711\n")
    assert database.query("SELECT count(*) FROM sessions") == [(0,)]
    query = "SELECT token_digest FROM viewers WHERE revoked_at IS NOT NULL"
    assert database.query(query) == [(None,)]


def test_a_device_is_added_to_a_student_of_the_platform(filled: conftest.Database) -> None:
    """By its id there; who is unknown, or being erased, gets none, and is not added."""
    filled.query("UPDATE students SET erased_at = now() WHERE external_id = 'ben'")
    results = [
        commands.run("device", "add", "--external-id", one, *more, database=filled)
        for one, more in (("ann", ()), ("ann", ("--app", "traccar")), ("ben", ()), ("eve", ()))
    ]
    both = commands.run("device", "add", "--external-id", "ann", "--student", "1", database=filled)

    assert [one.exit_code for one in (*results, both)] == [0, 0, 1, 1, 2]
    assert results[3].stderr == "geoingest: no such student: eve\n"
    query = "SELECT external_id FROM devices JOIN students USING (student_id)"
    assert filled.query(query) == [("ann",), ("ann",)]
    assert len(directories.held(filled)["students"]) == 4
