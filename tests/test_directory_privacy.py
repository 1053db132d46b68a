"""Canaries: neither an id of the platform nor an e-mail comes out of an import where it has no business."""

from __future__ import annotations

import pathlib

import aiohttp
import pytest

from geoingest.local import cluster
from tests import commands, conftest, directories, processes

STUDENT, GUARDIAN = "canary-kestrel", "canary-magpie"
EMAIL = "canary.nightjar@example.org"
TAKEN = "canary.wagtail@example.org"
CANARIES = ("kestrel", "magpie", "nightjar", "wagtail", "Kestrel")
LINE: dict[str, object] = {"external_id": GUARDIAN, "email": EMAIL, "student": STUDENT}
BODIES = {
    "unknown student": [{**LINE, "student": "canary-Kestrel"}],
    "taken": [{**LINE, "external_id": "canary-magpie-2", "email": TAKEN}],
    "contradiction": [LINE, {**LINE, "student": None, "email": None}],
    "no address": [{**LINE, "email": f"{EMAIL}@"}],
    "unknown field": [{**LINE, "canary-Kestrel": 1}],
}


def _written(servers: cluster.Cluster, since: dict[pathlib.Path, int]) -> str:
    """What the servers have written into their logs."""
    return "".join(
        path.read_bytes()[since[path] :].decode(errors="replace") for path in _logs(servers)
    )


def _logs(servers: cluster.Cluster) -> list[pathlib.Path]:
    return [servers.primary.log_path, servers.replica.log_path]


def _found(text: str) -> list[str]:
    return [canary for canary in CANARIES if canary in text]


@pytest.mark.parametrize("log_format", ["text", "json"])
async def test_what_a_line_says_is_told_to_nobody(
    database: conftest.Database, servers: cluster.Cluster, tmp_path: pathlib.Path, log_format: str
) -> None:
    """Taken, bad, refused by a rule of the table, cut in the middle; over HTTP and from a file: logs, metrics, answers."""
    since = {path: path.stat().st_size for path in _logs(servers)}
    settings = {"GEOINGEST_LOG_FORMAT": log_format, "GEOINGEST_LOG_LEVEL": "debug"}
    headers = {
        "Authorization": f"Bearer {directories.viewer(database, 'admin')}",
        "Content-Type": directories.NDJSON,
    }
    answers: list[tuple[int, str]] = []
    path = tmp_path / "guardians.ndjson"
    async with (
        processes.serving(database, **settings) as service,
        aiohttp.ClientSession(service.url, headers=headers) as session,
    ):

        async def put(kind: str, lines: directories.Lines, more: bytes = b"") -> None:
            body = directories.ndjson(lines) + more
            async with session.put(f"/v1/admin/{kind}", data=body) as answer:
                answers.append((answer.status, f"{answer.headers}{await answer.text()}"))

        await put("students", [{"external_id": STUDENT}])
        await put("guardians", [LINE, {"external_id": "canary-magpie-1", "email": TAKEN}])
        for lines in BODIES.values():
            await put("guardians", lines)
        await put("guardians", [LINE], b'{"external_id": "%s"' % GUARDIAN.encode())
        # From here on the table takes no other address, and says so with the row.
        database.query("ALTER TABLE viewers ADD CONSTRAINT canary CHECK (email <> 'x@y') NOT VALID")
        refused = [{**LINE, "email": "x@y"}]
        await put("guardians", refused)
        path.write_bytes(directories.ndjson(refused))
        command = ("directory", "load", "guardians", "--file", str(path))
        loaded = commands.run(*command, database=database)
        path.write_bytes(directories.ndjson([one for lines in BODIES.values() for one in lines]))
        loaded_bad = commands.run(*command, database=database)
        async with session.get(f"{service.admin_url}/metrics") as answer:
            scraped = await answer.text()
        service.terminate()
        assert await service.ended() == 0
        said = service.output()

    assert [status for status, _ in answers] == [200, 200, *[422] * 6, 500]
    assert (loaded.exit_code, loaded_bad.exit_code) == (1, 1)
    assert loaded.stderr == "geoingest: the database does not take it (23514)\n"
    # The lines in which it could have stood are there.
    assert "request failed" in said
    written = _written(servers, since)
    assert 'violates check constraint "canary"' in written
    told = {
        "log": said,
        "PostgreSQL": written,
        "metrics": scraped,
        "answers": "".join(text for _, text in answers),
        "command": loaded.output + loaded_bad.output,
    }
    assert {where: _found(text) for where, text in told.items() if _found(text)} == {}
    # And the search finds what is there.
    assert set(_found(f"{LINE}{TAKEN}{BODIES}")) == set(CANARIES)
